/* cli/document.h: a pipeline document from a file: read and checked here, then by a worker that may load plugins. */
#ifndef LATHE_CLI_DOCUMENT_H
#define LATHE_CLI_DOCUMENT_H

#include "pipeline/document.h"

typedef struct cli_document {
    char *text;
    size_t len;
    char *base_dir; /* absolute */
    lathe_pipeline *pipeline;
} cli_document;

/* False: diags says why. home NULL: the usual. To be freed in either case. */
bool cli_load_document(const char *path, const char *home, const lathe_catalogue *catalogue,
                       const char *const *sets, size_t n_sets, cli_document *document,
                       lathe_diags *diags);
void cli_free_document(cli_document *document);

/* {"errors": [{"file", "line", "column", "pointer", "message"}], "valid"} */
cJSON *cli_diags_json(const lathe_diags *diags);

#endif

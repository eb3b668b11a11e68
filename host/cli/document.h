/* cli/document.h: a pipeline document from a file, parsed and checked in the parent. */
#ifndef LATHE_CLI_DOCUMENT_H
#define LATHE_CLI_DOCUMENT_H

#include "pipeline/document.h"

typedef struct cli_document {
    char *text;
    size_t len;
    char *base_dir; /* absolute */
    lathe_pipeline *pipeline;
} cli_document;

/* False: diags says why. */
bool cli_load_document(const char *path, const lathe_catalogue *catalogue, const char *const *sets,
                       size_t n_sets, cli_document *document, lathe_diags *diags);
void cli_free_document(cli_document *document);

#endif

/* serve/validate.h: what the plugins of a pipeline document say about it, asked of a worker.
 *
 * Who submits or validates a document has read it by the parameter tables and loads no plugin; rules across parameters
 * (check_config) are code of the plugins. So a worker (`lathe worker validate`) reads it once more, with the plugins loaded.
 */
#ifndef LATHE_SERVE_VALIDATE_H
#define LATHE_SERVE_VALIDATE_H

#include "base/json.h"

typedef struct lathe_validation_question {
    const char *executable;
    const char *home;     /* whose cache of plugins is used; NULL: the usual */
    const char *text;     /* of the document */
    const char *file;     /* its name, for messages */
    const char *base_dir; /* as in lathe_pipeline_options; may be NULL, as the two below */
    const char *const *roots;
    size_t n_roots;
    const char *const *sets;
    size_t n_sets;
} lathe_validation_question;

/* Adds what is wrong, with its place; also that the worker gave no answer within 20 s, or that a plugin crashed. [pool] */
void lathe_validate_ask(const lathe_validation_question *question, lathe_diags *diags);

/* The worker's side; gives its exit code. */
int lathe_worker_validate(void);

#endif

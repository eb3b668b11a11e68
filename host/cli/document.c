#include "cli/document.h"

#include "base/fs.h"
#include "serve/validate.h"

#include <stdlib.h>

static bool parse(const char *path, const lathe_catalogue *catalogue, const char *const *sets,
                  size_t n_sets, cli_document *d, lathe_diags *diags) {
    lathe_error err = {0};
    *d = (cli_document){0};
    char *dir = lathe_path_dir(path);
    if (lathe_read_file(path, LATHE_JSON_MAX_BYTES, &d->text, &d->len, &err) != LATHE_OK ||
        dir == NULL || lathe_path_real(dir, &d->base_dir, &err) != LATHE_OK) {
        lathe_diag_add_at(diags, path, 0, 0, NULL, "%s", err.message);
        free(dir);
        return false;
    }
    free(dir);
    const lathe_pipeline_options options = {
        .catalogue = catalogue, .base_dir = d->base_dir, .sets = sets, .n_sets = n_sets};
    d->pipeline = lathe_pipeline_parse(d->text, d->len, path, &options, diags);
    return d->pipeline != NULL;
}

void cli_free_document(cli_document *d) {
    lathe_pipeline_free(d->pipeline);
    free(d->text);
    free(d->base_dir);
    *d = (cli_document){0};
}

cJSON *cli_diags_json(const lathe_diags *diags) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddItemToObject(out, "errors", lathe_diags_json(diags));
    cJSON_AddBoolToObject(out, "valid", !lathe_diags_any(diags));
    return out;
}

/* Rules across parameters are code of the plugins: a worker runs them. */
static void ask_worker(const char *path, const char *home, const char *const *sets, size_t n_sets,
                       const cli_document *d, lathe_diags *diags) {
    char *self = lathe_path_self();
    const lathe_validation_question question = {.executable = self,
                                                .home = home,
                                                .text = d->text,
                                                .file = path,
                                                .base_dir = d->base_dir,
                                                .sets = sets,
                                                .n_sets = n_sets};
    lathe_validate_ask(&question, diags);
    free(self);
}

bool cli_load_document(const char *path, const char *home, const lathe_catalogue *catalogue,
                       const char *const *sets, size_t n_sets, cli_document *document,
                       lathe_diags *diags) {
    if (!parse(path, catalogue, sets, n_sets, document, diags))
        return false;
    ask_worker(path, home, sets, n_sets, document, diags);
    lathe_diags_sort(diags);
    return !lathe_diags_any(diags);
}

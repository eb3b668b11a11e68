#include "cli/document.h"

#include "base/fs.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "pipeline/link.h"
#include "pipeline/setup.h"

#include <stdlib.h>
#include <unistd.h>

#define CHECK_SECONDS 20

static bool parse(const char *path, const lathe_catalogue *catalogue, const char *const *sets,
                  size_t n_sets, bool load, cli_document *d, lathe_diags *diags) {
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
    const lathe_pipeline_options options = {.catalogue = catalogue,
                                            .base_dir = d->base_dir,
                                            .sets = sets,
                                            .n_sets = n_sets,
                                            .load = load};
    d->pipeline = lathe_pipeline_parse(d->text, d->len, path, &options, diags);
    return d->pipeline != NULL;
}

void cli_free_document(cli_document *d) {
    lathe_pipeline_free(d->pipeline);
    free(d->text);
    free(d->base_dir);
    *d = (cli_document){0};
}

/* ---- what only plugin code can tell ---- */

cJSON *cli_diags_json(const lathe_diags *diags) {
    cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "errors");
    cJSON_AddBoolToObject(out, "valid", !lathe_diags_any(diags));
    for (size_t i = 0; i < diags->count; i++) {
        const lathe_diag *d = &diags->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "file", d->file);
        cJSON_AddNumberToObject(item, "line", d->line);
        cJSON_AddNumberToObject(item, "column", d->column);
        cJSON_AddStringToObject(item, "pointer", d->pointer);
        cJSON_AddStringToObject(item, "message", d->message);
        cJSON_AddItemToArray(list, item);
    }
    return out;
}

static void take_diags(const char *path, const lathe_buf *answer, lathe_diags *diags) {
    lathe_error err = {0};
    lathe_json *doc = lathe_json_read(lathe_buf_str(answer), answer->len, "worker", NULL, &err);
    const cJSON *list = doc ? lathe_json_get(lathe_json_root(doc), "errors") : NULL, *item;
    if (!cJSON_IsArray(list))
        lathe_diag_add_at(diags, path, 0, 0, NULL,
                          "the worker that checks the plugins gave no answer");
    cJSON_ArrayForEach(item, list) {
        const cJSON *line = lathe_json_get(item, "line"), *column = lathe_json_get(item, "column");
        const cJSON *pointer = lathe_json_get(item, "pointer"),
                    *message = lathe_json_get(item, "message");
        if (cJSON_IsNumber(line) && cJSON_IsNumber(column) && cJSON_IsString(pointer) &&
            cJSON_IsString(message))
            lathe_diag_add_at(diags, path, line->valueint, column->valueint, pointer->valuestring,
                              "%s", message->valuestring);
    }
    lathe_json_free(doc);
}

/* Rules across parameters are code of the plugins: a worker runs them. */
static void ask_worker(const char *path, const char *home, const char *const *sets, size_t n_sets,
                       lathe_diags *diags) {
    lathe_error err = {0};
    lathe_buf answer = {0};
    const char **args = calloc(2 * n_sets + 6, sizeof *args);
    size_t n = 1; /* argv[0] is not read */
    for (size_t i = 0; args != NULL && i < n_sets; i++) {
        args[n++] = "--set";
        args[n++] = sets[i];
    }
    if (args != NULL && home != NULL) {
        args[n++] = "--home";
        args[n++] = home;
    }
    int32_t rc = LATHE_E_MEMORY;
    if (args != NULL) {
        args[n++] = "--";
        args[n++] = path;
        rc = cli_child_ask("validate", (int)n, (char **)(uintptr_t)args, CHECK_SECONDS, &answer,
                           &err);
    }
    if (rc == LATHE_OK)
        take_diags(path, &answer, diags);
    else
        lathe_diag_add_at(diags, path, 0, 0, NULL, "the plugins could not be asked about it: %s",
                          err.message);
    free(args);
    lathe_buf_free(&answer);
}

int cli_worker_validate(int argc, char **argv) {
    const char *args[argc + 1], *sets[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "set", .takes_value = true, .list = sets},
                            {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, 2, "", args, &n_args, &help) || n_args != 2)
        return EXIT_USAGE;
    lathe_error err = {0};
    lathe_diags diags = {0};
    lathe_buf text = {0};
    cli_document document;
    lathe_catalogue *catalogue = NULL;
    const int answer_fd = lathe_link_hide_events();
    lathe_crumbs *crumbs = lathe_setup_crumbs();
    if (cli_open_catalogue(options[1].value, false, &catalogue, &err) != LATHE_OK)
        return cli_error(&err);
    if (crumbs != NULL)
        lathe_catalogue_on_load(catalogue, lathe_crumbs_loaded, crumbs);
    parse(args[1], catalogue, sets, options[0].count, true, &document, &diags);
    cJSON *answer = cli_diags_json(&diags);
    lathe_json_print(NULL, answer, &text);
    cJSON_Delete(answer);
    bool good = !text.failed;
    for (size_t at = 0; good && at < text.len;) {
        const ssize_t n = write(answer_fd, text.data + at, text.len - at);
        good = n > 0;
        at += n > 0 ? (size_t)n : 0;
    }
    lathe_buf_free(&text);
    cli_free_document(&document);
    lathe_diags_free(&diags);
    lathe_catalogue_close(catalogue);
    return good ? EXIT_DONE : EXIT_FAILED;
}

bool cli_load_document(const char *path, const char *home, const lathe_catalogue *catalogue,
                       const char *const *sets, size_t n_sets, cli_document *document,
                       lathe_diags *diags) {
    if (!parse(path, catalogue, sets, n_sets, false, document, diags))
        return false;
    ask_worker(path, home, sets, n_sets, diags);
    lathe_diags_sort(diags);
    return !lathe_diags_any(diags);
}

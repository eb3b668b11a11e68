#include "serve/validate.h"

#include "base/fs.h"
#include "pipeline/document.h"
#include "pipeline/link.h"
#include "pipeline/setup.h"
#include "serve/ask.h"
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CHECK_SECONDS 20
#define MAX_ANSWER ((size_t)16 << 20)

/* ---- asking ---- */

static void add_text(cJSON *object, const char *key, const char *text) {
    if (text != NULL)
        cJSON_AddStringToObject(object, key, text);
}

static void add_texts(cJSON *object, const char *key, const char *const *texts, size_t n) {
    cJSON *list = cJSON_AddArrayToObject(object, key);
    for (size_t i = 0; i < n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(texts[i]));
}

/* {"document", "file", "base_dir", "home", "roots", "sets"} */
static void write_job(const lathe_validation_question *q, lathe_buf *out) {
    cJSON *job = cJSON_CreateObject();
    add_text(job, "document", q->text);
    add_text(job, "file", q->file);
    add_text(job, "base_dir", q->base_dir);
    add_text(job, "home", q->home);
    add_texts(job, "roots", q->roots, q->n_roots);
    add_texts(job, "sets", q->sets, q->n_sets);
    lathe_json_print(NULL, job, out);
    cJSON_Delete(job);
}

static int32_t take_diags(const lathe_buf *answer, lathe_diags *diags, lathe_error *err) {
    lathe_json *doc = lathe_json_read(lathe_buf_str(answer), answer->len, "worker", NULL, err);
    int32_t rc = doc != NULL ? LATHE_OK : err->code;
    if (rc == LATHE_OK && !lathe_diags_from_json(diags, lathe_json_root(doc)))
        rc = lathe_fail(err, LATHE_E_DATA, NULL, "the worker gave no list of errors");
    lathe_json_free(doc);
    return rc;
}

void lathe_validate_ask(const lathe_validation_question *q, lathe_diags *diags) {
    static const char *const args[] = {"validate", NULL};
    lathe_error err = {0};
    lathe_buf job = {0}, answer = {0};
    write_job(q, &job);
    const lathe_question question = {.executable = q->executable,
                                     .args = args,
                                     .input = lathe_buf_str(&job),
                                     .input_len = job.len,
                                     .seconds = CHECK_SECONDS,
                                     .max_bytes = MAX_ANSWER};
    int32_t rc = q->executable != NULL && q->text != NULL && !job.failed
                     ? lathe_ask(&question, &answer, &err)
                     : lathe_fail(&err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = take_diags(&answer, diags, &err);
    if (rc != LATHE_OK)
        lathe_diag_add_at(diags, q->file, 0, 0, NULL, "the plugins could not be asked about it: %s",
                          err.message);
    lathe_buf_free(&job);
    lathe_buf_free(&answer);
}

/* ---- the worker ---- */

static const char *text_of(const cJSON *job, const char *key) {
    return cJSON_GetStringValue(lathe_json_get(job, key));
}

/* A list of texts in the arena. */
static const char *const *texts_of(const cJSON *job, const char *key, lathe_arena *arena,
                                   size_t *n) {
    const cJSON *list = lathe_json_get(job, key), *item;
    const char **texts =
        lathe_arena_array(arena, (size_t)cJSON_GetArraySize(list) + 1, sizeof *texts);
    *n = 0;
    cJSON_ArrayForEach(item, list) if (texts != NULL && cJSON_IsString(item)) texts[(*n)++] =
        item->valuestring;
    return texts;
}

static int32_t open_catalogue(const char *home, lathe_catalogue **catalogue, lathe_error *err) {
    char *path = NULL, *cache = NULL, *self = lathe_path_self();
    if (lathe_store_home_path(home, &path, NULL) == LATHE_OK)
        cache = lathe_path_join(path, "plugins.json");
    const lathe_catalogue_options options = {.cache_file = cache, .scanner = self};
    const int32_t rc =
        self ? lathe_catalogue_open(&options, catalogue, err)
             : lathe_fail(err, LATHE_E_INTERNAL, NULL, "the program cannot find itself");
    free(self);
    free(cache);
    free(path);
    return rc;
}

/* Reads the document of a job with its plugins loaded, and writes what is wrong with it. */
static int32_t answer(const cJSON *job, lathe_crumbs *crumbs, lathe_buf *out, lathe_error *err) {
    lathe_diags diags = {0};
    lathe_catalogue *catalogue = NULL;
    lathe_arena *arena = lathe_arena_new();
    const char *text = text_of(job, "document");
    int32_t rc = arena && text ? open_catalogue(text_of(job, "home"), &catalogue, err)
                               : lathe_fail(err, LATHE_E_INVALID, NULL, "the job has no document");
    if (rc == LATHE_OK) {
        lathe_pipeline_options options = {
            .catalogue = catalogue, .base_dir = text_of(job, "base_dir"), .load = true};
        options.roots = texts_of(job, "roots", arena, &options.n_roots);
        options.sets = texts_of(job, "sets", arena, &options.n_sets);
        if (crumbs != NULL)
            lathe_catalogue_on_load(catalogue, lathe_crumbs_loaded, crumbs);
        lathe_pipeline_free(lathe_pipeline_parse(text, strlen(text),
                                                 text_of(job, "file") ? text_of(job, "file") : "",
                                                 &options, &diags));
        cJSON *list = lathe_diags_json(&diags);
        lathe_json_print(NULL, list, out);
        cJSON_Delete(list);
    }
    lathe_diags_free(&diags);
    lathe_catalogue_close(catalogue);
    lathe_arena_free(arena);
    return rc == LATHE_OK && out->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                                         : rc;
}

static void read_job(lathe_buf *out) {
    char chunk[16384];
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
        lathe_buf_append(out, chunk, (size_t)n);
}

int lathe_worker_validate(void) {
    lathe_error err = {0};
    lathe_buf text = {0}, out = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive who asked */
    const int answer_fd = lathe_link_hide_events();
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what a plugin prints is no answer */
    lathe_crumbs *crumbs = lathe_setup_crumbs();
    read_job(&text);
    cJSON *job = cJSON_ParseWithLength(lathe_buf_str(&text), text.len);
    const int32_t rc = answer(job, crumbs, &out, &err);
    bool good = rc == LATHE_OK;
    for (size_t at = 0; good && at < out.len;) {
        const ssize_t n = write(answer_fd, out.data + at, out.len - at);
        good = n > 0;
        at += n > 0 ? (size_t)n : 0;
    }
    if (!good)
        fprintf(stderr, "lathe: %s\n",
                rc != LATHE_OK ? err.message : "the answer cannot be written");
    cJSON_Delete(job);
    lathe_buf_free(&text);
    lathe_buf_free(&out);
    return good ? 0 : 1;
}

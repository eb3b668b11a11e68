/* `lathe predict MODEL IN.csv`: predictions as CSV: `prediction`, and one `probability_<class>` a class. */
#include "base/buf.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/pool.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "model/model.h"
#include "pipeline/setup.h"
#include "plugin/call.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] = "usage: lathe predict MODEL[@VERSION|@ALIAS]|FILE IN.csv [-o OUT.csv] "
                            "[--threads N] [--home D]\n"
                            "\n"
                            "Reads raw rows (csv, csv.gz), applies the model's own preparation, "
                            "writes one line a row, in order.\n";

#define BLOCK_ROWS 65536
#define PRINT_ROWS 4096 /* of a chunk of text */

static atomic_int stop_requested;

static void on_stop(int number) {
    (void)number;
    atomic_store(&stop_requested, 1);
}

/* What a prediction run holds. */
typedef struct prediction_run {
    lathe_setup setup;
    lathe_model *model;
    lathe_instance source;
    void *stream;
    FILE *out;
} prediction_run;

/* The model's file: one that exists, or a version of the store. malloc'ed. */
static char *find_model(const char *name, const char *home, lathe_error *err) {
    lathe_store *store;
    lathe_version_record version;
    const char *path = NULL;
    char *copy = NULL;
    if (lathe_is_file(name))
        return strdup(name);
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL || lathe_store_open(home, LATHE_STORE_READ, &store, err) != LATHE_OK) {
        lathe_arena_free(arena);
        return NULL;
    }
    if (lathe_store_version(store, name, arena, &version, err) == LATHE_OK &&
        lathe_store_artifact_path(store, version.sha256, true, arena, &path, err) == LATHE_OK)
        copy = strdup(path);
    lathe_store_close(store);
    lathe_arena_free(arena);
    return copy;
}

static void put_field(lathe_buf *out, const char *text) {
    if (strpbrk(text, ",\"\r\n") == NULL) {
        lathe_buf_append_str(out, text);
        return;
    }
    lathe_buf_append_char(out, '"');
    for (; *text != 0; text++) {
        if (*text == '"')
            lathe_buf_append_char(out, '"');
        lathe_buf_append_char(out, *text);
    }
    lathe_buf_append_char(out, '"');
}

static void put_header(const lathe_model_info *info, lathe_buf *out) {
    lathe_buf_append_str(out, "prediction");
    for (int64_t c = 0; c < info->n_classes; c++) {
        char name[512];
        snprintf(name, sizeof name, "probability_%s", info->classes[c]);
        lathe_buf_append_char(out, ',');
        put_field(out, name);
    }
    lathe_buf_append_char(out, '\n');
}

static void put_row(const lathe_model_info *info, const lathe_prediction *p, int64_t i,
                    lathe_buf *out) {
    char text[40];
    if (info->n_classes == 0)
        lathe_buf_append(out, text,
                         (size_t)snprintf(text, sizeof text, "%.9g", (double)p->value[i]));
    else
        put_field(out, info->classes[p->label[i]]);
    for (int64_t c = 0; c < info->n_classes; c++)
        lathe_buf_append(out, text,
                         (size_t)snprintf(text, sizeof text, ",%.9g",
                                          (double)p->probability[i * info->n_classes + c]));
    lathe_buf_append_char(out, '\n');
}

/* Printing takes longer than predicting, so it is spread over the pool: one text a chunk. */
typedef struct printing {
    const lathe_model_info *info;
    const lathe_prediction *p;
    lathe_buf *chunk;
} printing;

static int32_t print_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    printing *job = user;
    lathe_buf *out = &job->chunk[begin / PRINT_ROWS];
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        put_row(job->info, job->p, i, out);
    return out->failed ? LATHE_E_MEMORY : LATHE_OK;
}

static int32_t put_rows(prediction_run *run, const lathe_model_info *info,
                        const lathe_prediction *p, lathe_error *err) {
    const int64_t n = (p->n + PRINT_ROWS - 1) / PRINT_ROWS;
    printing job = {info, p, calloc((size_t)n + 1, sizeof(lathe_buf))};
    int32_t rc = LATHE_E_MEMORY;
    if (job.chunk != NULL)
        rc = lathe_pool_run(run->setup.pool, p->n, PRINT_ROWS, print_chunk, &job);
    if (rc != LATHE_OK)
        lathe_fail(err, rc, NULL, "out of memory for the text of the predictions");
    for (int64_t k = 0; rc == LATHE_OK && k < n; k++)
        if (fwrite(job.chunk[k].data, 1, job.chunk[k].len, run->out) != job.chunk[k].len)
            rc = lathe_fail_errno(err, errno, NULL, "the predictions cannot be written");
    for (int64_t k = 0; job.chunk != NULL && k < n; k++)
        lathe_buf_free(&job.chunk[k]);
    free(job.chunk);
    return rc;
}

/* The model's own source settings (missing texts, delimiter, declared types) with another path, where its document
 * reads csv; else a plain csv. */
static int32_t make_source(prediction_run *run, const char *path, lathe_error *err) {
    cJSON *document;
    int32_t rc = lathe_model_document(run->model, LATHE_MODEL_DOCUMENT, &document, err);
    if (rc != LATHE_OK)
        return rc;
    const cJSON *source = lathe_json_get(lathe_json_get(document, "prepare"), "source");
    const cJSON *trained = lathe_json_get(source, "csv");
    cJSON *params = cJSON_CreateObject();
    static const char *const keep[] = {"missing", "delimiter", "quote", "types", "header"};
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        const cJSON *value = lathe_json_get(trained, keep[i]);
        if (value != NULL)
            cJSON_AddItemToObject(params, keep[i], cJSON_Duplicate(value, 1));
    }
    cJSON_Delete(document);
    cJSON_AddStringToObject(params, "path", path);
    lathe_buf text = {0};
    lathe_json_print(NULL, params, &text);
    cJSON_Delete(params);
    const lathe_binder binder = {.catalogue = run->setup.catalogue, .load = true};
    lathe_component *component = NULL;
    rc = lathe_bind_text(&binder, LATHE_KIND_SOURCE, "csv", lathe_buf_str(&text), &component, err);
    lathe_buf_free(&text);
    if (rc == LATHE_OK)
        rc = lathe_instance_create(run->setup.runtime, component, 0, NULL, &run->source, err);
    lathe_component_free(component);
    if (rc == LATHE_OK)
        rc = lathe_call_source_open(&run->source, &run->stream, err);
    return rc;
}

static int32_t predict_all(prediction_run *run, lathe_error *err) {
    const lathe_model_info *info = lathe_model_get_info(run->model);
    for (bool headed = false;; headed = true) {
        lathe_table block = {0};
        lathe_prediction p = {0};
        if (atomic_load(&stop_requested))
            return lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped");
        int32_t rc = lathe_call_source_next(&run->source, run->stream, BLOCK_ROWS, &block, err);
        if (rc == LATHE_OK && block.n_rows > 0)
            rc = lathe_model_predict(run->model, &block, &p, err);
        if (rc == LATHE_OK && !headed) { /* not before something has succeeded */
            lathe_buf header = {0};
            put_header(info, &header);
            fputs(lathe_buf_str(&header), run->out);
            if (header.failed)
                rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the header");
            lathe_buf_free(&header);
        }
        if (rc != LATHE_OK || block.n_rows == 0)
            return rc;
        rc = put_rows(run, info, &p, err);
        lathe_prediction_free(&p);
        if (rc == LATHE_OK && ferror(run->out))
            rc = lathe_fail_errno(err, errno, NULL, "the predictions cannot be written");
        if (rc != LATHE_OK)
            return rc;
    }
}

static void close_run(prediction_run *run) {
    if (run->stream != NULL)
        lathe_call_source_close(&run->source, run->stream);
    lathe_instance_destroy(&run->source);
    lathe_model_close(run->model);
    lathe_setup_close(&run->setup);
}

/* An output file that has no name until all is there: a crash leaves nothing behind. Where the file system cannot,
 * it has the name `temporary` from the begin. A device or a pipe is written as it is: *direct. */
static FILE *open_output(const char *path, const char *temporary, bool *direct, bool *named) {
    struct stat st;
    *named = *direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    if (*direct)
        return fopen(path, "w");
    char *dir = lathe_path_dir(path);
    const int fd = dir ? open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;
    free(dir);
    if (fd >= 0)
        return fdopen(fd, "w");
    *named = true;
    return fopen(temporary, "w");
}

/* Gives the finished file its temporary name. */
static bool name_output(FILE *out, const char *temporary) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fileno(out));
    return linkat(AT_FDCWD, link, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0;
}

static int32_t write_file(prediction_run *run, const char *path, const char *temporary,
                          lathe_error *err) {
    bool direct, named;
    run->out = open_output(path, temporary, &direct, &named);
    if (run->out == NULL)
        return lathe_fail_errno(err, errno, path, "cannot be written");
    int32_t rc = predict_all(run, err);
    bool good = fflush(run->out) == 0;
    if (rc == LATHE_OK && good && !named)
        good = named = name_output(run->out, temporary);
    if (fclose(run->out) != 0 || !good)
        rc = rc == LATHE_OK
                 ? lathe_fail_errno(err, errno, path, "the predictions cannot be written")
                 : rc;
    if (rc == LATHE_OK && !direct)
        rc = lathe_rename_durable(temporary, path, err);
    if (rc != LATHE_OK && named && !direct)
        unlink(temporary);
    return rc;
}

/* To a file, which appears when all is there; or to stdout as it comes. */
static int32_t write_output(prediction_run *run, const char *path, lathe_error *err) {
    char *temporary = NULL;
    if (path != NULL) {
        if (asprintf(&temporary, "%s.%d.tmp", path, (int)getpid()) < 0)
            return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
        int32_t rc = write_file(run, path, temporary, err);
        free(temporary);
        return rc;
    }
    run->out = stdout;
    int32_t rc = predict_all(run, err);
    if (fflush(stdout) != 0 && rc == LATHE_OK)
        rc = lathe_fail_errno(err, errno, NULL, "the predictions cannot be written");
    return rc;
}

int cli_worker_predict(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "o", .takes_value = true},
                            {.name = "threads", .takes_value = true},
                            {.name = "home", .takes_value = true}};
    prediction_run run = {0};
    lathe_error err = {0};
    if (!cli_parse(argc, argv, options, 3, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 2)
        return cli_usage(usage, "it takes a model and a file");
    const char *threads = options[1].value ? options[1].value : getenv("LATHE_THREADS");
    signal(SIGTERM, on_stop);
    signal(SIGPIPE, SIG_IGN);
    run.setup.crumbs = lathe_setup_crumbs();
    char *path = find_model(args[0], options[2].value, &err);
    if (path == NULL)
        return cli_error(&err);
    const lathe_setup_options setup = {.threads = threads ? atoi(threads) : 0,
                                       .stop = &stop_requested};
    int32_t rc = lathe_setup_open(&run.setup, &setup, &err);
    if (rc == LATHE_OK)
        rc = lathe_model_open(run.setup.runtime, path, &run.model, &err);
    if (rc == LATHE_OK)
        rc = make_source(&run, args[1], &err);
    if (rc == LATHE_OK)
        rc = write_output(&run, options[0].value, &err);
    if (rc != LATHE_OK)
        cli_error(&err);
    close_run(&run);
    free(path);
    return rc == LATHE_OK ? EXIT_DONE : rc == LATHE_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int cli_predict(int argc, char **argv) {
    return cli_child("predict", argc, argv);
}

/* Submitted pipelines: checked, queued, run one after the other (or as many as configured), cancelled. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "pipeline/document.h"
#include "plugin/catalogue.h"
#include "serve/internal.h"

#include <stdlib.h>
#include <string.h>

static void start_next(lathe_supervisor *s);

static void remove_run(lathe_supervisor *s, lathe_queued_run *run) {
    for (lathe_queued_run **at = &s->queue; *at != NULL; at = &(*at)->next)
        if (*at == run) {
            *at = run->next;
            break;
        }
    lathe_arena_free(run->arena); /* the run itself lives there */
}

static void on_end(void *user, const lathe_outcome *outcome) {
    lathe_queued_run *run = user;
    lathe_supervisor *s = run->s;
    lathe_error err = {0};
    lathe_log(LATHE_LEVEL_INFO, "serve", "run %s of \"%s\": %s%s%s", run->id, run->pipeline,
              outcome->status, outcome->error->message[0] ? ": " : "", outcome->error->message);
    s->running--;
    remove_run(s, run);
    /* it may have registered a version or moved an endpoint */
    if (!s->draining && lathe_supervisor_reroute(s, NULL, NULL, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the routes stay as they were: %s", err.message);
    start_next(s);
}

static void on_output(void *user, const char *text) {
    const lathe_queued_run *run = user;
    lathe_log(LATHE_LEVEL_WARN, "serve", "run %s: a plugin printed: %.300s", run->id, text);
}

static int32_t start_run(lathe_supervisor *s, lathe_queued_run *run, lathe_error *err) {
    const lathe_run_request request = {.executable = s->executable,
                                       .text = run->text,
                                       .file = run->file,
                                       .roots = s->config.data_roots,
                                       .n_roots = s->config.n_data_roots,
                                       .pipeline = run->pipeline,
                                       .document = run->document,
                                       .seed = (int64_t)run->seed,
                                       .threads = s->config.run_threads,
                                       .on_output = on_output,
                                       .on_end = on_end,
                                       .user = run};
    int32_t rc = lathe_parent_start(&s->loop, s->store, &request, &run->parent, err);
    if (rc == LATHE_OK)
        snprintf(run->id, sizeof run->id, "%s", lathe_parent_run_id(run->parent));
    return rc;
}

/* Starts waiting runs while there is room. */
static void start_next(lathe_supervisor *s) {
    for (lathe_queued_run *run = s->queue, *next; run != NULL; run = next) {
        lathe_error err = {0};
        next = run->next;
        if (s->draining || s->running >= s->config.run_concurrent)
            return;
        if (run->parent != NULL)
            continue;
        s->running++;
        if (start_run(s, run, &err) == LATHE_OK)
            continue;
        lathe_log(LATHE_LEVEL_ERROR, "serve", "\"%s\" cannot be run: %s", run->pipeline,
                  err.message);
        s->running--;
        remove_run(s, run);
    }
}

/* The document as a queued run, or NULL with diagnostics. A submitted document has no folder of its own: its paths resolve
 * under the data roots alone; without any it may read nothing. */
static lathe_queued_run *check_document(lathe_supervisor *s, const char *text, size_t len,
                                        lathe_diags *diags, lathe_error *err) {
    static const char *const nowhere[] = {"/nonexistent"};
    lathe_catalogue *catalogue;
    const char *cache = lathe_arena_printf(s->arena, "%s/plugins.json", lathe_store_home(s->store));
    const lathe_catalogue_options scan = {.cache_file = cache, .scanner = s->executable};
    if (lathe_catalogue_open(&scan, &catalogue, err) != LATHE_OK)
        return NULL;
    const bool none = s->config.n_data_roots == 0;
    const lathe_pipeline_options options = {.catalogue = catalogue,
                                            .roots = none ? nowhere : s->config.data_roots,
                                            .n_roots = none ? 1 : s->config.n_data_roots};
    lathe_pipeline *p = lathe_pipeline_parse(text, len, "document", &options, diags);
    lathe_arena *arena = p ? lathe_arena_new() : NULL;
    lathe_queued_run *run = arena ? lathe_arena_alloc(arena, sizeof *run) : NULL;
    if (run != NULL) {
        lathe_buf document = {0};
        lathe_json_print(p->doc, lathe_json_root(p->doc), &document);
        *run = (lathe_queued_run){.s = s,
                                  .arena = arena,
                                  .text = lathe_arena_strndup(arena, text, len),
                                  .file = "document",
                                  .pipeline = lathe_arena_strdup(arena, p->name),
                                  .document = lathe_arena_strdup(arena, lathe_buf_str(&document)),
                                  .seed = p->seed};
        lathe_buf_free(&document);
    } else if (p != NULL) {
        lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a run");
    }
    lathe_pipeline_free(p);
    lathe_catalogue_close(catalogue);
    return run;
}

int32_t lathe_queue_submit(lathe_supervisor *s, const char *text, size_t len, int64_t *number,
                           lathe_diags *diags, lathe_error *err) {
    int waiting = 0;
    for (const lathe_queued_run *r = s->queue; r != NULL; r = r->next)
        waiting += r->parent == NULL;
    if (waiting >= s->config.run_queue && s->running >= s->config.run_concurrent)
        return lathe_fail(err, LATHE_E_STATE, NULL, "%d runs wait already; try again later",
                          waiting);
    lathe_queued_run *run = check_document(s, text, len, diags, err);
    if (run == NULL)
        return err->code ? err->code : LATHE_E_INVALID;
    lathe_queued_run **at = &s->queue;
    while (*at != NULL)
        at = &(*at)->next;
    *at = run;
    run->number = *number = ++s->next_number;
    start_next(s);
    return LATHE_OK;
}

bool lathe_queue_cancel(lathe_supervisor *s, const char *id) {
    for (lathe_queued_run *run = s->queue; run != NULL; run = run->next) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)run->number);
        if (strcmp(run->id, id) != 0 && strcmp(number, id) != 0)
            continue;
        if (run->parent != NULL)
            lathe_parent_stop(run->parent, 1000);
        else
            remove_run(s, run);
        return true;
    }
    return false;
}

void lathe_queue_stop(lathe_supervisor *s) {
    for (lathe_queued_run *run = s->queue; run != NULL; run = run->next)
        if (run->parent != NULL)
            lathe_parent_stop(run->parent, 1000);
}

cJSON *lathe_queue_list(const lathe_supervisor *s) {
    cJSON *list = cJSON_CreateArray();
    for (const lathe_queued_run *run = s->queue; run != NULL; run = run->next) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "number", (double)run->number);
        cJSON_AddStringToObject(item, "pipeline", run->pipeline);
        cJSON_AddStringToObject(item, "state", run->parent ? "running" : "waiting");
        if (run->id[0] != 0)
            cJSON_AddStringToObject(item, "run", run->id);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

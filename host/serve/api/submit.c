/* Submitting a pipeline document: checked, then queued, or kept as a schedule. */
#include "serve/api/api.h"

#include "base/clock.h"
#include "base/json.h"
#include "pipeline/document.h"
#include "serve/validate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A submission: the document itself, or {"document": {…} or its text, "set": ["name=value"], "retry", "schedule", "file",
 * "base_dir"}. */
typedef struct submission {
    const char *text, *file, *base_dir;
    size_t len;
    const char **sets;
    size_t n_sets;
    lathe_retry retry; /* of the envelope */
    lathe_run_schedule schedule;
    bool has_retry, has_schedule;
} submission;

static const char *print(lathe_arena *arena, const lathe_json *doc, const cJSON *node) {
    lathe_buf text = {0};
    lathe_json_print(doc, node, &text);
    const char *copy = text.failed ? NULL : lathe_arena_strdup(arena, lathe_buf_str(&text));
    lathe_buf_free(&text);
    return copy;
}

static void read_sets(const lathe_check *c, const cJSON *node, submission *out) {
    const cJSON *item;
    if (node == NULL)
        return;
    if (!cJSON_IsArray(node)) {
        lathe_diag_add(c->diags, c->doc, node,
                       "\"set\" is %s; expected a list of \"name=value\" texts",
                       lathe_json_type_name(node));
        return;
    }
    out->sets =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(node) + 1, sizeof *out->sets);
    cJSON_ArrayForEach(item, node) {
        if (!cJSON_IsString(item) || strchr(item->valuestring, '=') == NULL)
            lathe_diag_add(c->diags, c->doc, item, "expected a text \"name=value\"");
        else if (out->sets != NULL)
            out->sets[out->n_sets++] = lathe_arena_strdup(c->arena, item->valuestring);
    }
}

/* Who may write the home anyway may have a document read what lies beside it. */
static void read_base(const api_call *call, const lathe_check *c, const cJSON *root,
                      submission *out) {
    out->base_dir = lathe_check_string(c, root, "base_dir", NULL);
    if (out->base_dir != NULL && !call->local)
        lathe_diag_add(c->diags, c->doc, lathe_json_get(root, "base_dir"),
                       "\"base_dir\" is for the home's own socket; the paths of a document that "
                       "comes over the network resolve under the data roots");
    else if (out->base_dir != NULL && out->base_dir[0] != '/')
        lathe_diag_add(c->diags, c->doc, lathe_json_get(root, "base_dir"),
                       "\"base_dir\" must be an absolute folder");
}

static void read_envelope(const api_call *call, const lathe_check *c, const cJSON *root,
                          submission *out) {
    static const char *const keys[] = {"document", "set",      "retry", "schedule",
                                       "file",     "base_dir", NULL};
    const cJSON *document = lathe_json_get(root, "document");
    if (!lathe_check_object(c, root, "the submission", keys))
        return;
    if (cJSON_IsString(document))
        out->text = lathe_arena_strdup(c->arena, document->valuestring);
    else if (cJSON_IsObject(document))
        out->text = print(c->arena, c->doc, document);
    else
        lathe_diag_add(c->diags, c->doc, document,
                       "\"document\" is %s; expected a pipeline document or its text",
                       lathe_json_type_name(document));
    out->len = out->text ? strlen(out->text) : 0;
    out->file = lathe_check_string(c, root, "file", "document");
    read_base(call, c, root, out);
    read_sets(c, lathe_json_get(root, "set"), out);
    lathe_timing_read(c, root, &out->retry, &out->schedule);
    out->has_retry = lathe_json_get(root, "retry") != NULL;
    out->has_schedule = out->schedule.cron != NULL;
}

static void read_submission(const api_call *call, lathe_diags *diags, submission *out) {
    *out = (submission){.text = call->text, .len = call->len, .file = "document"};
    lathe_json *doc = lathe_json_parse(call->text, call->len, "body", NULL);
    const cJSON *root = doc ? lathe_json_root(doc) : NULL;
    /* a body that cannot be read is told about as a document */
    if (lathe_json_get(root, "document") != NULL && lathe_json_get(root, "lathe") == NULL) {
        lathe_json_free(doc);
        if ((doc = lathe_json_parse(call->text, call->len, "body", diags)) != NULL) {
            const lathe_check c = {doc, call->arena, diags};
            read_envelope(call, &c, lathe_json_root(doc), out);
        }
    }
    lathe_json_free(doc);
}

/* ---- checking ---- */

int32_t api_open_catalogue(api_call *c, bool rescan, lathe_catalogue **catalogue) {
    const char *cache = lathe_arena_printf(c->arena, "%s/plugins.json", c->home);
    const lathe_catalogue_options scan = {
        .cache_file = cache, .scanner = c->executable, .rescan = rescan};
    return lathe_catalogue_open(&scan, catalogue, &c->err);
}

/* Rules across parameters are code of the plugins: a worker runs them. */
static void ask_plugins(api_call *c, const submission *in, const lathe_pipeline_options *options,
                        lathe_diags *diags) {
    const lathe_validation_question question = {
        .executable = c->executable,
        .home = c->home,
        .text = lathe_arena_strndup(c->arena, in->text, in->len),
        .file = in->file,
        .base_dir = options->base_dir,
        .roots = options->roots,
        .n_roots = options->n_roots,
        .sets = options->sets,
        .n_sets = options->n_sets};
    lathe_validate_ask(&question, diags);
    lathe_diags_sort(diags);
}

/* The document, checked; NULL: diags or c->err. The catalogue must outlive it. */
static lathe_pipeline *check(api_call *c, const submission *in, const lathe_catalogue *catalogue,
                             lathe_diags *diags) {
    static const char *const nowhere[] = {"/nonexistent"};
    const bool none = c->config.n_data_roots == 0, beside = in->base_dir != NULL;
    const lathe_pipeline_options options = {.catalogue = catalogue,
                                            .base_dir = in->base_dir,
                                            .roots = beside ? NULL
                                                     : none ? nowhere
                                                            : c->config.data_roots,
                                            .n_roots = beside ? 0
                                                       : none ? 1
                                                              : c->config.n_data_roots,
                                            .sets = in->sets,
                                            .n_sets = in->n_sets};
    if (lathe_diags_any(diags))
        return NULL;
    lathe_pipeline *p = lathe_pipeline_parse(in->text, in->len, in->file, &options, diags);
    if (p != NULL)
        lathe_sources_check(&c->config.sources, c->who.role, p, diags);
    if (p != NULL && !lathe_diags_any(diags))
        ask_plugins(c, in, &options, diags);
    if (p == NULL || !lathe_diags_any(diags))
        return p;
    lathe_pipeline_free(p);
    return NULL;
}

static int32_t fail_diags(api_call *c, const lathe_diags *diags) {
    /* JSON that is no good document is 422, what is no JSON object 400 */
    cJSON *body = cJSON_ParseWithLength(c->text, c->len);
    c->status = cJSON_IsObject(body) ? 422 : 400;
    cJSON_Delete(body);
    api_answer(c, api_diags_json(diags));
    return LATHE_E_INVALID;
}

/* ---- keeping ---- */

static const char *sets_json(const submission *in, lathe_arena *arena) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < in->n_sets; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(in->sets[i]));
    const char *text = print(arena, NULL, list);
    cJSON_Delete(list);
    return text;
}

static void wake(api_call *c) {
    lathe_queue_wake(c->s->queue);
    lathe_sse_poke(c->s->sse, NULL);
}

/* The project has used what it may: 429. */
static int32_t check_quota(api_call *c, const char *project) {
    int64_t retry_after = 10;
    const int32_t rc = lathe_metering_check_run(c->store, project, &retry_after, &c->err);
    if (rc == LATHE_E_STATE) {
        c->status = 429;
        snprintf(c->headers, sizeof c->headers, "retry-after: %" PRId64 "\r\n", retry_after);
    }
    return rc;
}

static int32_t keep_schedule(api_call *c, const lathe_submission *what,
                             const lathe_run_schedule *schedule) {
    lathe_schedule_record record = {.name = what->pipeline,
                                    .cron = schedule->cron,
                                    .timezone = schedule->timezone,
                                    .overlap = lathe_overlap_name(schedule->overlap),
                                    .catch_up = schedule->catch_up,
                                    .what = *what};
    int32_t rc = lathe_schedule_next(schedule->cron, schedule->timezone, lathe_wall_us(),
                                     &record.next, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_store_schedule_set(c->store, &record, &c->err);
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "schedule", record.name);
    api_add_time(out, "next_us", record.next);
    c->then = wake;
    return api_answer(c, out);
}

static int32_t keep_run(api_call *c, const lathe_submission *what) {
    char run[LATHE_RUN_ID];
    int64_t number = 0;
    const int64_t room = (int64_t)c->config.run_queue + c->config.run_concurrent;
    const int32_t rc = lathe_store_queue_add(c->store, what, NULL, room, run, &number, &c->err);
    if (rc == LATHE_E_STATE) {
        c->status = 429;
        snprintf(c->headers, sizeof c->headers, "retry-after: 10\r\n");
    }
    if (rc != LATHE_OK)
        return rc;
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "run", run);
    cJSON_AddNumberToObject(out, "number", (double)number);
    c->then = wake;
    return api_answer(c, out);
}

/* Whose a run is: the token's; where that is of all, the model's or endpoint's that it deploys, else the schedule's that it
 * replaces, else "default". LATHE_E_EXISTS: what it deploys, or its schedule, is another project's. */
static int32_t find_project(api_call *c, const lathe_pipeline *p, bool scheduled,
                            const char **project) {
    const struct {
        lathe_store_named what;
        const char *name;
    } names[] = {{LATHE_STORE_MODEL, p->deploy.present ? p->deploy.model : NULL},
                 {LATHE_STORE_ENDPOINT, p->deploy.present ? p->deploy.endpoint : NULL},
                 {LATHE_STORE_SCHEDULE, scheduled ? p->name : NULL}};
    int32_t rc = LATHE_OK;
    *project = c->who.project[0] != 0 ? c->who.project : NULL;
    for (size_t i = 0; i < 3 && rc == LATHE_OK && *project == NULL; i++)
        if (names[i].name != NULL)
            rc = lathe_store_owner(c->store, names[i].what, names[i].name, c->arena, project,
                                   &c->err);
    if (*project == NULL)
        *project = LATHE_METERING_PROJECT;
    for (size_t i = 0; i < 3 && rc == LATHE_OK; i++)
        if (names[i].name != NULL)
            rc = lathe_store_claim(c->store, names[i].what, names[i].name, *project, &c->err);
    return rc;
}

static int32_t keep(api_call *c, const submission *in, const lathe_pipeline *p) {
    const lathe_retry *retry = in->has_retry ? &in->retry : &p->retry;
    const lathe_run_schedule *schedule = in->has_schedule ? &in->schedule : &p->schedule;
    const char *project = NULL;
    int32_t rc = find_project(c, p, schedule->cron != NULL, &project);
    if (rc == LATHE_OK)
        rc = check_quota(c, project);
    if (rc != LATHE_OK)
        return rc;
    const lathe_submission what = {.project = project,
                                   .pipeline = p->name,
                                   .text = lathe_arena_strndup(c->arena, in->text, in->len),
                                   .file = in->file,
                                   .base_dir = in->base_dir,
                                   .document = print(c->arena, p->doc, lathe_json_root(p->doc)),
                                   .sets = sets_json(in, c->arena),
                                   .seed = (int64_t)p->seed,
                                   .retry_limit = retry->limit,
                                   .retry_backoff_s = retry->backoff_s,
                                   .retry_factor = retry->factor};
    if (what.text == NULL || what.document == NULL || what.sets == NULL)
        return lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
    return schedule->cron != NULL ? keep_schedule(c, &what, schedule) : keep_run(c, &what);
}

/* What both routes do; `store`: not only checked. */
static int32_t take(api_call *c, bool store) {
    lathe_diags diags = {0};
    lathe_catalogue *catalogue = NULL;
    submission in;
    int32_t rc = api_open_catalogue(c, false, &catalogue);
    if (rc != LATHE_OK)
        return rc;
    read_submission(c, &diags, &in);
    lathe_pipeline *p = check(c, &in, catalogue, &diags);
    if (p == NULL) {
        rc = fail_diags(c, &diags);
    } else if (store) {
        rc = keep(c, &in, p);
    } else {
        cJSON *out = cJSON_CreateObject();
        cJSON_AddTrueToObject(out, "valid");
        cJSON_AddStringToObject(out, "pipeline", p->name);
        cJSON_AddNumberToObject(out, "candidates", (double)p->n_candidates);
        cJSON_AddNumberToObject(out, "transforms", (double)p->prepare.n_transforms);
        rc = api_answer(c, out);
    }
    lathe_pipeline_free(p);
    lathe_catalogue_close(catalogue);
    lathe_diags_free(&diags);
    return rc;
}

int32_t api_submit(api_call *c) {
    return take(c, true);
}

int32_t api_validate(api_call *c) {
    return take(c, false);
}

#include "pipeline/worker.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/fs.h"
#include "monitor/rules.h"
#include "pipeline/job.h"
#include "pipeline/origins.h"
#include "pipeline/score.h"
#include "web/report.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- what plugins say ---- */

static void on_metric(lathe_job *job, const lathe_event *e) {
    cJSON *point = cJSON_CreateArray();
    cJSON_AddItemToArray(point, cJSON_CreateNumber((double)e->step));
    cJSON_AddItemToArray(point, cJSON_CreateNumber(e->value));
    uv_mutex_lock(&job->curves_lock);
    if (job->curves == NULL)
        job->curves = cJSON_CreateObject();
    cJSON *curve = lathe_json_get(job->curves, e->text);
    if (curve == NULL)
        curve = cJSON_AddArrayToObject(job->curves, e->text);
    cJSON_AddItemToArray(curve, point);
    uv_mutex_unlock(&job->curves_lock);
}

static void on_event(void *user, const lathe_event *e) {
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    lathe_job *job = user;
    if (e->type == LATHE_EVENT_METRIC && e->depth == job->curve_depth && isfinite(e->value))
        on_metric(job, e);
    if ((e->type == LATHE_EVENT_METRIC || e->type == LATHE_EVENT_PROGRESS) &&
        e->depth > job->curve_depth)
        return;
    cJSON *event = lathe_link_event(e->type == LATHE_EVENT_LOG        ? "log"
                                    : e->type == LATHE_EVENT_PROGRESS ? "progress"
                                                                      : "metric");
    cJSON_AddStringToObject(event, "step", e->scope);
    cJSON_AddStringToObject(event, "plugin", e->plugin);
    if (e->type == LATHE_EVENT_LOG)
        cJSON_AddStringToObject(event, "level",
                                levels[e->level < 0 || e->level > 3 ? 3 : e->level]);
    cJSON_AddStringToObject(event, e->type == LATHE_EVENT_METRIC ? "name" : "message", e->text);
    if (e->type != LATHE_EVENT_LOG)
        cJSON_AddNumberToObject(event, e->type == LATHE_EVENT_PROGRESS ? "fraction" : "value",
                                e->value);
    if (e->type == LATHE_EVENT_METRIC)
        cJSON_AddNumberToObject(event, "at", (double)e->step);
    lathe_link_emit(job->link, event);
}

/* ---- setting up ---- */

static const char *text_of(const cJSON *object, const char *key) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsString(node) ? node->valuestring : NULL;
}

/* A list of texts as an array in the arena. */
static const char *const *texts_of(lathe_arena *arena, const cJSON *object, const char *key,
                                   size_t *n) {
    const cJSON *list = lathe_json_get(object, key), *item;
    const char **texts =
        lathe_arena_array(arena, (size_t)cJSON_GetArraySize(list) + 1, sizeof *texts);
    *n = 0;
    cJSON_ArrayForEach(item, list) if (texts != NULL && cJSON_IsString(item)) texts[(*n)++] =
        item->valuestring;
    return texts;
}

static int32_t open_plugins(lathe_job *job, lathe_crumbs *crumbs, lathe_error *err) {
    const cJSON *threads = lathe_json_get(job->request, "threads");
    const lathe_setup_options options = {.executable = text_of(job->request, "executable"),
                                         .plugin_cache = text_of(job->request, "plugin_cache"),
                                         .threads = cJSON_IsNumber(threads) ? threads->valueint : 0,
                                         .stop = lathe_link_stop_flag(job->link),
                                         .on_event = on_event,
                                         .user = job};
    job->setup.crumbs = crumbs;
    int32_t rc = lathe_setup_open(&job->setup, &options, err);
    job->catalogue = job->setup.catalogue;
    job->pool = job->setup.pool;
    job->runtime = job->setup.runtime;
    return rc;
}

/* Parses the document; with a task once the data has told which. */
static int32_t parse_document(lathe_job *job, int32_t task, lathe_error *err) {
    const cJSON *request = job->request;
    lathe_pipeline_options options = {.catalogue = job->catalogue,
                                      .base_dir = text_of(request, "base_dir"),
                                      .task = task,
                                      .load = true};
    const char *text = text_of(request, "document");
    lathe_diags diags = {0};
    options.roots = texts_of(job->arena, request, "roots", &options.n_roots);
    options.sets = texts_of(job->arena, request, "sets", &options.n_sets);
    if (text == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "job", "the job has no document");
    lathe_pipeline *p =
        lathe_pipeline_parse(text, strlen(text), text_of(request, "file"), &options, &diags);
    int32_t rc = p ? LATHE_OK : lathe_diags_error(&diags, LATHE_E_INVALID, err);
    lathe_diags_free(&diags);
    if (rc == LATHE_OK) {
        lathe_pipeline_free(job->pipeline);
        job->pipeline = p;
    }
    return rc;
}

static int32_t make_metrics(lathe_job *job, lathe_error *err) {
    const lathe_goal *goal = &job->pipeline->goal;
    job->metrics = lathe_arena_array(job->arena, goal->n_metrics, sizeof *job->metrics);
    if (job->metrics == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the metrics");
    for (size_t i = 0; i < goal->n_metrics; i++) {
        lathe_error why = {0};
        int32_t rc = lathe_instance_create(job->runtime, goal->metrics[i].component, 0, NULL,
                                           &job->metrics[i], &why);
        if (rc != LATHE_OK &&
            i == 0) { /* the metric that selects must work; others may not fit the task */
            *err = why;
            return lathe_error_wrap(err, "/goal/metric");
        }
    }
    return LATHE_OK;
}

/* ---- the run ---- */

static void report_head(lathe_job *job) {
    const cJSON *request = job->request;
    char now[LATHE_ISO_TIME], cpu[128];
    lathe_iso_now(now);
    lathe_cpu_model(cpu, sizeof cpu);
    cJSON_AddStringToObject(job->report, "run",
                            text_of(request, "run") ? text_of(request, "run") : "");
    cJSON_AddStringToObject(job->report, "name", job->pipeline->name);
    if (job->pipeline->description != NULL)
        cJSON_AddStringToObject(job->report, "description", job->pipeline->description);
    cJSON_AddStringToObject(job->report, "started", now);
    cJSON_AddNumberToObject(job->report, "seed", (double)job->pipeline->seed);
    cJSON *machine = cJSON_AddObjectToObject(job->report, "machine");
    cJSON_AddStringToObject(machine, "cpu", cpu);
    cJSON_AddNumberToObject(machine, "cores", lathe_cpu_count());
    cJSON_AddNumberToObject(machine, "threads", lathe_pool_workers(job->pool));
    cJSON_AddStringToObject(machine, "level", lathe_cpu_level_name(lathe_cpu_level()));
    cJSON_AddStringToObject(machine, "version", LATHE_SDK_VERSION);
    cJSON_AddItemToObject(job->report, "document",
                          cJSON_Duplicate(lathe_json_root(job->pipeline->doc), 1));
}

/* Renders the page and hands it over; a report that fails does not sink the run. */
static void send_report(lathe_job *job) {
    lathe_error err = {0};
    lathe_buf json = {0};
    const char *page = lathe_arena_printf(job->arena, "%s/report.html", job->staging);
    const char *data = lathe_arena_printf(job->arena, "%s/report.json", job->staging);
    int32_t rc = page && data ? lathe_report_write(job->report, page, &err) : LATHE_E_MEMORY;
    lathe_json_print(NULL, job->report, &json);
    if (rc == LATHE_OK)
        rc =
            json.failed ? LATHE_E_MEMORY : lathe_write_file_atomic(data, json.data, json.len, &err);
    lathe_buf_free(&json);
    const char *const names[] = {"report.html", "report.json"};
    const char *const paths[] = {page, data};
    for (size_t i = 0; rc == LATHE_OK && i < 2; i++) {
        cJSON *question = lathe_link_event("commit");
        cJSON_AddStringToObject(question, "name", names[i]);
        cJSON_AddStringToObject(question, "path", paths[i]);
        cJSON *reply = lathe_link_ask(job->link, question, &err);
        rc = reply ? LATHE_OK : err.code;
        cJSON_Delete(reply);
    }
    if (rc != LATHE_OK)
        lathe_job_log(job, LATHE_LOG_WARN, "there is no report: %s", err.message);
}

/* Does the data have the columns that the document validates? Told before anything is trained. */
static int32_t check_validation(lathe_job *job, lathe_error *err) {
    lathe_rules *rules;
    int32_t rc = lathe_rules_new(lathe_schema_table(job->schema), NULL,
                                 job->pipeline->deploy.validation, &rules, err);
    if (rc == LATHE_OK)
        lathe_rules_free(rules);
    else
        lathe_error_wrap(err, "/deploy/validation/columns");
    return rc;
}

static int32_t run_steps(lathe_job *job, lathe_error *err) {
    int32_t rc = parse_document(job, 0, err);
    if (rc != LATHE_OK)
        return rc;
    report_head(job);
    rc = lathe_job_prepare(job, err);
    if (rc == LATHE_OK)
        rc = check_validation(job, err);
    if (rc == LATHE_OK && job->task == LATHE_TASK_MULTICLASS)
        rc = parse_document(job, job->task, err); /* defaults may depend on it */
    if (rc == LATHE_OK)
        rc = make_metrics(job, err);
    if (rc == LATHE_OK)
        rc = lathe_job_train(job, err);
    if (rc == LATHE_OK)
        rc = lathe_job_evaluate(job, err);
    if (rc == LATHE_OK)
        rc = lathe_job_deploy(job, err);
    if (rc == LATHE_OK)
        rc = lathe_job_monitor(job, err);
    return rc;
}

static void free_job(lathe_job *job) {
    for (size_t i = 0; job->metrics && i < job->pipeline->goal.n_metrics; i++)
        lathe_instance_destroy(&job->metrics[i]);
    for (size_t i = 0; i < job->n_trained; i++) {
        lathe_trained *t = &job->trained[i];
        lathe_instance_destroy(&t->learner);
        for (int p = 0; p < N_PARTS; p++)
            lathe_prediction_free(&t->predictions[p]);
        cJSON_Delete(t->curves);
        cJSON_Delete(t->importance);
        if (t->baseline)
            lathe_component_free(t->component);
    }
    cJSON_Delete(job->permutation);
    lathe_origins_free(job->origins);
    lathe_chain_free(job->chain);
    lathe_schema_free(job->schema);
    for (int p = 0; p < N_PARTS; p++) {
        lathe_part *part = &job->parts[p];
        lathe_dataset_release(part->data);
        lathe_frame_free(part->prepared);
        lathe_frame_free(part->raw);
        lathe_frame_free(part->target);
        free(part->weight);
        free(part->fold);
        free(part->truth);
    }
    lathe_pipeline_free(job->pipeline);
    lathe_setup_close(&job->setup);
    cJSON_Delete(job->curves);
    cJSON_Delete(job->report);
    lathe_arena_free(job->arena);
    uv_mutex_destroy(&job->curves_lock);
}

static void emit_failure(lathe_job *job, const lathe_error *err) {
    cJSON *event = lathe_link_event("failed");
    cJSON_AddNumberToObject(event, "code", err->code);
    cJSON_AddStringToObject(event, "step", job->step ? job->step : "");
    cJSON_AddStringToObject(event, "where", err->where);
    cJSON_AddStringToObject(event, "message", err->message);
    lathe_link_emit(job->link, event);
}

static int work(void *user, lathe_link *link, const cJSON *request) {
    lathe_crumbs *crumbs = user;
    lathe_error err = {0};
    lathe_job job = {.link = link,
                     .request = request,
                     .staging = text_of(request, "staging"),
                     .selected = SIZE_MAX,
                     .positive = -1};
    const double start = lathe_now_seconds();
    if (crumbs != NULL)
        lathe_crumbs_thread_start(crumbs, 0);
    uv_mutex_init(&job.curves_lock);
    job.arena = lathe_arena_new();
    job.report = cJSON_CreateObject();
    int32_t rc = job.arena && job.report && job.staging
                     ? open_plugins(&job, crumbs, &err)
                     : lathe_fail(&err, LATHE_E_INVALID, "job", "the job names no staging folder");
    if (rc == LATHE_OK)
        rc = run_steps(&job, &err);
    const bool stopped = rc == LATHE_E_CANCELLED || (job.runtime && lathe_job_stopped(&job));
    const char *status = rc != LATHE_OK ? (stopped ? "cancelled" : "failed")
                         : job.goal_met ? "succeeded"
                                        : "goal_not_met";
    if (rc != LATHE_OK)
        emit_failure(&job, &err);
    if (rc == LATHE_OK) {
        cJSON_AddStringToObject(job.report, "status", status);
        cJSON_AddNumberToObject(job.report, "seconds", lathe_now_seconds() - start);
        send_report(&job);
        cJSON *event = lathe_link_event("result");
        cJSON_AddItemToObject(event, "result", lathe_job_result(&job));
        lathe_link_emit(link, event);
    }
    const bool met = job.goal_met;
    free_job(&job);
    return rc == LATHE_OK ? (met ? 0 : 3) : stopped ? 130 : 1;
}

int lathe_worker_run(void) {
    signal(SIGINT,
           SIG_IGN); /* a terminal sends it to the whole group; the parent says when to stop */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return lathe_link_run(work, lathe_setup_crumbs());
}

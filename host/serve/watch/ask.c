/* Questions to the process that runs drift measures and metrics, and its answers. */
#include "serve/watch/internal.h"

#include "base/json.h"
#include "serve/ask.h"

#include <math.h>
#include <string.h>

#define ASK_SECONDS 120 /* the lowest priority on a busy machine */
#define ANSWER_BYTES ((size_t)64 << 20)

const lathe_trial_measure lathe_trial_measures[LATHE_TRIAL_MEASURES] = {
    {"psi", "threshold", 100},
    {"js", "threshold", 1},
    {"ks", "threshold", 1},
    {"chi2", "effect", 1},
    {"wasserstein", "threshold", 1000}};

/* Measures as a document has them: [{"ks": {"threshold": 0.1}}, …]. */
static void add_measures(const double *limits, cJSON *list) {
    for (int m = 0; m < LATHE_TRIAL_MEASURES; m++) {
        const lathe_trial_measure *measure = &lathe_trial_measures[m];
        if (isnan(limits[m]))
            continue;
        cJSON *use = cJSON_CreateObject();
        cJSON_AddNumberToObject(cJSON_AddObjectToObject(use, measure->name), measure->parameter,
                                limits[m]);
        cJSON_AddItemToArray(list, use);
    }
}

static void add_guards(const watch_trial *trial, cJSON *question) {
    static const char *const names[LATHE_TRIAL_GUARDS] = {"feature_drift", "output_drift"};
    cJSON *guards = cJSON_AddObjectToObject(question, "guards");
    for (int g = 0; g < LATHE_TRIAL_GUARDS; g++)
        if (trial->limits.guarded[g])
            add_measures(trial->limits.limits[g], cJSON_AddArrayToObject(guards, names[g]));
}

static void add_counts(watch_part *p, lathe_live_total *begun, lathe_buf *out) {
    lathe_live_total_copy(p->part, p->now);
    if (begun != NULL)
        lathe_live_total_subtract(p->part, begun);
    lathe_buf_append(out, lathe_live_total_save(p->part),
                     (size_t)lathe_live_cells(p->live) * sizeof(double));
}

int32_t watch_question(watch_item *item, lathe_live_total *const begun[WATCH_PARTS],
                       watch_job *job) {
    static const char *const counted[WATCH_PARTS] = {"cells", "outputs"};
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "model", item->path);
    cJSON_AddStringToObject(question, "plugin_cache", item->all->plugin_cache);
    cJSON_AddNumberToObject(question, "key", (double)item->windows + 1);
    cJSON_AddBoolToObject(question, "drift", job->task == WATCH_WINDOW);
    if (job->task == WATCH_TRIAL)
        add_guards(item->trial, question);
    for (int i = 0; i < WATCH_PARTS; i++)
        if (item->parts[i].live != NULL)
            cJSON_AddNumberToObject(question, counted[i],
                                    (double)lathe_live_cells(item->parts[i].live));
    lathe_json_print(NULL, question, &job->question);
    cJSON_Delete(question);
    lathe_buf_append_char(&job->question, '\n');
    for (int i = 0; i < WATCH_PARTS; i++)
        if (item->parts[i].live != NULL)
            add_counts(&item->parts[i], begun[i], &job->question);
    job->rows = lathe_live_total_rows(item->parts[WATCH_FEATURES].part);
    return job->question.failed
               ? lathe_fail(&job->err, LATHE_E_MEMORY, NULL, "out of memory for the monitor")
               : LATHE_OK;
}

int32_t watch_ask(const lathe_watches *all, watch_job *job) {
    const char *const args[] = {"watch", NULL};
    const lathe_question question = {.executable = all->s->executable,
                                     .args = args,
                                     .input = job->question.data,
                                     .input_len = job->question.len,
                                     .seconds = ASK_SECONDS,
                                     .max_bytes = ANSWER_BYTES,
                                     .stop = &all->stop};
    int32_t rc = lathe_ask(&question, &job->text, &job->err);
    if (rc != LATHE_OK)
        return rc;
    lathe_json *doc =
        lathe_json_read(lathe_buf_str(&job->text), job->text.len, "monitor", NULL, &job->err);
    job->answer = doc ? lathe_json_take(doc) : NULL;
    return cJSON_IsObject(job->answer)
               ? LATHE_OK
               : lathe_fail(&job->err, LATHE_E_DATA, NULL, "the monitor's worker had no answer");
}

/* Labels: joined to the answers that are remembered; the goal's metric of the newest of them. */
#include "serve/watch/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "data/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SOONEST_NS 1000000000
#define NEWS 10 /* the metric is computed anew where a tenth of the rows is new */

/* ---- one label ---- */

/* The number of a class by its name; -1: there is none. */
static int class_of(const watch_item *item, const cJSON *label) {
    char number[LATHE_CELL_TEXT];
    const char *name = cJSON_GetStringValue(label);
    const cJSON *one;
    int i = 0;
    if (cJSON_IsNumber(label)) {
        number[lathe_print_number(label->valuedouble, number)] = '\0';
        name = number;
    }
    if (cJSON_IsBool(label))
        name = cJSON_IsTrue(label) ? "true" : "false";
    cJSON_ArrayForEach(one, item->classes) {
        if (name != NULL && strcmp(one->valuestring, name) == 0)
            return i;
        i++;
    }
    return -1;
}

static lathe_label_end keep(watch_item *item, const lathe_recall_answer *a, const cJSON *label) {
    lathe_label_row row = {.when_ms = a->when_ms, .label = a->label, .n = a->n};
    if (item->classes != NULL)
        row.truth = class_of(item, label);
    else
        row.truth = cJSON_IsNumber(label) ? label->valuedouble : (double)NAN;
    const int64_t n_classes = cJSON_GetArraySize(item->classes);
    if (!(item->classes != NULL ? row.truth >= 0 && a->label < n_classes : isfinite(row.truth)) ||
        a->n != item->n_values)
        return LATHE_LABEL_INVALID;
    memcpy(row.values, a->values, sizeof row.values);
    if (item->quality == NULL) {
        if ((item->quality = calloc(1, sizeof *item->quality)) == NULL)
            return LATHE_LABEL_LATER;
        item->quality->value = (double)NAN;
    }
    row.number = item->quality->n;
    item->quality->rows[item->quality->n++ % LATHE_LABELS_KEPT] = row;
    return LATHE_LABEL_MATCHED;
}

static lathe_label_end join(lathe_watches *all, const char *name, const char *id, int64_t row,
                            const cJSON *label) {
    const uint64_t key = lathe_recall_key(lathe_recall_name(name), lathe_str_of(id), row);
    lathe_recall_answer a;
    const lathe_recall_found found = lathe_recall_find(all->s->slots, key, &a);
    if (found == LATHE_RECALL_UNKNOWN)
        return LATHE_LABEL_UNMATCHED;
    watch_item *item = watch_need(all, a.slot);
    lathe_label_end end = LATHE_LABEL_REPEATED;
    if (found == LATHE_RECALL_NEW && item == NULL)
        return LATHE_LABEL_UNMATCHED; /* a version of before */
    if (found == LATHE_RECALL_NEW && item->phase == WATCH_NEW)
        return LATHE_LABEL_LATER;
    if (found == LATHE_RECALL_NEW && (end = keep(item, &a, label)) == LATHE_LABEL_MATCHED)
        lathe_recall_mark(all->s->slots, key);
    if (item != NULL && item->quality != NULL)
        item->quality->asked = true;
    return end;
}

lathe_label_end lathe_watches_label(lathe_watches *all, const char *name, const char *id,
                                    int64_t row, const cJSON *label) {
    const lathe_label_end end = join(all, name, id, row, label);
    all->labels[end]++;
    return end;
}

/* ---- what is due ---- */

static int64_t kept(const watch_quality *q) {
    return q == NULL ? 0 : q->n < LATHE_LABELS_KEPT ? q->n : LATHE_LABELS_KEPT;
}

int64_t watch_labelled_since(const watch_item *item, int64_t when_ms) {
    int64_t n = 0;
    for (int64_t i = 0; i < kept(item->quality); i++)
        n += item->quality->rows[i].when_ms >= when_ms && !isnan(item->quality->rows[i].truth);
    return n;
}

bool watch_quality_is_due(const watch_item *item) {
    const watch_quality *q = item->quality;
    if (q == NULL || kept(q) < item->min_rows || q->n == q->scored ||
        lathe_now_ns() - q->scored_ns < SOONEST_NS)
        return false;
    return (q->n - q->scored) * NEWS >= kept(q);
}

/* As many rows as two equal sides would have: what the error of a difference goes by. */
static double worth(const int64_t rows[2]) {
    const double sum = (double)(rows[0] + rows[1]);
    return sum > 0 ? 2 * (double)rows[0] * (double)rows[1] / sum : 0;
}

/* Each look costs confidence: at once where there are enough, then where they have doubled, or half of those that are kept are
 * new. */
bool watch_compare_is_due(const watch_item *item, const watch_item *base) {
    const watch_trial *t = item->trial;
    if (t == NULL || !t->limits.compares || base == NULL || item->quality == NULL ||
        lathe_now_ns() - t->compared_ns < SOONEST_NS)
        return false;
    const int64_t rows[2] = {watch_labelled_since(item, t->since_ms),
                             watch_labelled_since(base, t->limits.base_ms)};
    return rows[0] >= t->limits.min_labels && rows[1] >= t->limits.min_labels &&
           (t->looks == 0 || worth(rows) >= 2 * worth(t->compared) ||
            item->quality->n - t->compared_n >= LATHE_LABELS_KEPT / 2);
}

/* ---- questions ---- */

/* Rows at or after a time: truth, prediction, probabilities; gives how many. */
static int64_t put_rows(const watch_item *item, int64_t since_ms, lathe_buf *out) {
    int64_t n = 0;
    for (int64_t i = 0; i < kept(item->quality); i++) {
        const lathe_label_row *row = &item->quality->rows[i];
        double numbers[2 + LATHE_RECALL_VALUES] = {row->truth};
        if (row->when_ms < since_ms || isnan(row->truth))
            continue;
        numbers[1] = item->classes != NULL ? (double)row->label : (double)row->values[0];
        for (int k = 0; item->classes != NULL && k < item->n_values; k++)
            numbers[2 + k] = (double)row->values[k];
        lathe_buf_append(out, numbers,
                         (size_t)(2 + (item->classes != NULL ? item->n_values : 0)) *
                             sizeof *numbers);
        n++;
    }
    return n;
}

int32_t watch_quality_question(watch_item *item, const watch_item *base, watch_job *job) {
    lathe_buf numbers = {0};
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "model", item->path);
    cJSON_AddStringToObject(question, "plugin_cache", item->all->plugin_cache);
    cJSON *quality = cJSON_AddObjectToObject(question, "quality");
    cJSON_AddBoolToObject(quality, "errors", base != NULL);
    cJSON_AddNumberToObject(quality, "width", 2 + (item->classes != NULL ? item->n_values : 0));
    cJSON *sides = cJSON_AddArrayToObject(quality, "sides");
    job->labelled[0] = put_rows(item, base != NULL ? item->trial->since_ms : 0, &numbers);
    job->labelled[1] = base != NULL ? put_rows(base, item->trial->limits.base_ms, &numbers) : 0;
    for (int i = 0; i < (base != NULL ? 2 : 1); i++) {
        cJSON *side = cJSON_CreateObject();
        cJSON_AddNumberToObject(side, "rows", (double)job->labelled[i]);
        cJSON_AddItemToArray(sides, side);
    }
    lathe_json_print(NULL, question, &job->question);
    cJSON_Delete(question);
    lathe_buf_append_char(&job->question, '\n');
    lathe_buf_append(&job->question, numbers.data, numbers.len);
    const bool failed = numbers.failed || job->question.failed;
    lathe_buf_free(&numbers);
    if (base != NULL) {
        item->trial->compared_ns = lathe_now_ns();
        item->trial->compared_n = item->quality->n;
    } else {
        item->quality->scored_ns = lathe_now_ns();
        item->quality->scored = item->quality->n;
    }
    return failed ? lathe_fail(&job->err, LATHE_E_MEMORY, NULL, "out of memory for the monitor")
                  : LATHE_OK;
}

/* ---- answers ---- */

static double value_at(const cJSON *quality, const char *list, int side) {
    const cJSON *value = cJSON_GetArrayItem(lathe_json_get(quality, list), side);
    return cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
}

static double worse_by(const cJSON *quality, double than, double is) {
    return cJSON_IsTrue(lathe_json_get(quality, "higher_is_better")) ? than - is : is - than;
}

void watch_take_quality(watch_item *item, const watch_job *job) {
    const cJSON *quality = lathe_json_get(job->answer, "quality");
    const char *metric = cJSON_GetStringValue(lathe_json_get(quality, "metric"));
    watch_quality *q = item->quality;
    q->value = value_at(quality, "values", 0);
    if (metric != NULL)
        snprintf(item->metric, sizeof item->metric, "%s", metric);
    const double drop = worse_by(quality, item->reference, q->value);
    if (isnan(item->quality_drop) || isnan(drop))
        return;
    const lathe_alarm_level level =
        lathe_alarm_level_of(drop > 0 ? drop : 0, item->quality_drop, drop > item->quality_drop);
    const lathe_alarm_change change = lathe_alarm_note(&q->alarm, level, item->after);
    char message[400];
    if (change == LATHE_ALARM_SAME)
        return;
    snprintf(message, sizeof message,
             "%s: %s of the last %" PRId64 " labelled answers is %.4g; it was %.4g at training%s",
             item->step, item->metric, job->labelled[0], q->value, item->reference,
             change == LATHE_ALARM_RAISED ? "" : " (as it should be again)");
    watch_tell(item, change == LATHE_ALARM_RAISED ? "warning" : "info", "quality",
               change == LATHE_ALARM_RAISED, NULL, message, quality);
}

void watch_take_comparison(const watch_job *job) {
    const cJSON *quality = lathe_json_get(job->answer, "quality");
    watch_trial *t = watch_trial_of(job);
    if (t == NULL)
        return;
    memcpy(t->compared, job->labelled, sizeof t->compared);
    t->verdict.labelled = job->labelled[0];
    const double errors[2] = {value_at(quality, "errors", 0), value_at(quality, "errors", 1)};
    t->verdict.quality_drop =
        worse_by(quality, value_at(quality, "values", 1), value_at(quality, "values", 0));
    t->verdict.quality_least =
        lathe_worse_at_least(t->verdict.quality_drop, errors, t->limits.confidence, ++t->looks);
}

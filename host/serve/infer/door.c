#include "serve/infer/door.h"

#include "base/json.h"
#include "base/log.h"
#include "monitor/bounds.h"
#include "monitor/outputs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lathe_door {
    _Atomic int refs;
    _Atomic bool furnished; /* what follows it is there */
    pthread_mutex_t lock;   /* of furnishing */
    const lathe_model *model;
    const lathe_table *raw;
    cJSON *settings;
    char *label;
    lathe_baseline *baseline;
    lathe_rules *rules;
    lathe_live *live;            /* NULL: nothing is counted */
    lathe_live_waiting *waiting; /* the serving thread's, as what begins with taken_ */
    lathe_bounds *bounds; /* for the numbers of a row that is taken; NULL: they are not enough */
    bool numbers_alone;   /* there are no rules about anything else */
    uint64_t taken_last;  /* the visit whose row was taken last */
    lathe_baseline *answered; /* in training; NULL: an older file has none */
    lathe_live *answers;      /* NULL: they are not counted */
    lathe_live_waiting *answers_waiting, *shared, *answers_shared; /* shared: see count_shared */
    lathe_outputs latest; /* the columns of the next three */
    int64_t n_latest;     /* answers that wait */
    double numbers[LATHE_LIVE_WAITING];
    int32_t labels[LATHE_LIVE_WAITING];
    lathe_str *dict; /* classes */
    int64_t n_classes;
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER; /* of count_shared */

/* What is there but does not fit is told and left out. */
static int32_t tell(const lathe_door *door, int32_t rc, const lathe_error *warning,
                    lathe_error *err) {
    if (rc == LATHE_E_MEMORY)
        return lathe_fail(err, rc, NULL, "%s", warning->message);
    if (rc != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "infer", "validation of %s: %s%s%s", door->label,
                  warning->where, warning->where[0] ? ": " : "", warning->message);
    return LATHE_OK;
}

static int32_t read_profile(lathe_door *door, lathe_error *err) {
    lathe_error warning = {0};
    if (door->baseline != NULL)
        return LATHE_OK;
    cJSON *profile = NULL;
    int32_t rc = lathe_model_document(door->model, LATHE_MODEL_BASELINE, &profile, &warning);
    const cJSON *outputs = lathe_json_get(profile, "outputs");
    if (rc == LATHE_OK && door->answered == NULL && outputs != NULL)
        rc = lathe_baseline_from_json(outputs, &door->answered, &warning);
    if (rc == LATHE_OK)
        rc = lathe_baseline_from_json(profile, &door->baseline, &warning);
    cJSON_Delete(profile);
    return tell(door, rc, &warning, err);
}

static int32_t make_rules(lathe_door *door, const cJSON *settings, lathe_error *err) {
    lathe_error warning = {0};
    if (door->rules != NULL)
        return LATHE_OK;
    int32_t rc = lathe_rules_new(door->raw, door->baseline, settings, &door->rules, &warning);
    rc = tell(door, rc, &warning, err);
    if (rc == LATHE_OK && door->rules == NULL) /* a column of an earlier version: the usual rules */
        rc = lathe_rules_new(door->raw, door->baseline, NULL, &door->rules, err);
    return rc;
}

/* Counts of a layout: for the serving thread, where rows may wait, and for other threads. */
static int32_t make_waiting(const lathe_live *live, lathe_live_waiting **own, int64_t rows,
                            lathe_live_waiting **shared, lathe_error *err) {
    if (*own == NULL)
        *own = lathe_live_waiting_new(live, rows);
    if (*shared == NULL)
        *shared = lathe_live_waiting_new(live, 0);
    return *own != NULL && *shared != NULL
               ? LATHE_OK
               : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the statistics");
}

static int32_t watch_answers(lathe_door *door, lathe_error *err) {
    const lathe_model_info *info = lathe_model_get_info(door->model);
    const lathe_answers none = {.label = door->labels};
    int32_t rc = LATHE_OK;
    if (door->answered == NULL)
        return LATHE_OK;
    door->n_classes = info->n_classes;
    if (door->dict == NULL)
        door->dict = lathe_outputs_dict(info->classes, info->n_classes);
    if (door->dict == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the statistics");
    lathe_outputs_view(&door->latest, door->dict, info->n_classes, &none, door->numbers);
    if (door->answers == NULL)
        rc = lathe_live_new(door->answered, &door->latest.table, LATHE_SLOTS_OUTPUTS,
                            &door->answers, err);
    return rc == LATHE_OK
               ? make_waiting(door->answers, &door->answers_waiting, 0, &door->answers_shared, err)
               : rc;
}

/* A row's numbers are put side by side for the statistics; the rules look at them there. */
static int32_t make_bounds(lathe_door *door, lathe_error *err) {
    const int64_t n = lathe_live_numbers(door->live);
    int64_t *columns = calloc((size_t)n + 1, sizeof *columns);
    if (columns == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the validation");
    for (int64_t i = 0; i < n; i++)
        columns[i] = lathe_live_number_column(door->live, i);
    const int32_t rc = lathe_bounds_new(door->rules, columns, n, &door->bounds, err);
    door->numbers_alone = lathe_rules_are_numbers(door->rules);
    free(columns);
    return rc;
}

static int32_t make_statistics(lathe_door *door, const cJSON *settings, lathe_error *err) {
    int32_t rc = LATHE_OK;
    if (door->baseline == NULL || cJSON_IsFalse(lathe_json_get(settings, "statistics")))
        return LATHE_OK;
    if (door->live == NULL)
        rc = lathe_live_new(door->baseline, door->raw, LATHE_SLOTS_FEATURES, &door->live, err);
    if (rc == LATHE_OK)
        rc = make_waiting(door->live, &door->waiting, LATHE_LIVE_WAITING, &door->shared, err);
    if (rc == LATHE_OK && door->bounds == NULL)
        rc = make_bounds(door, err);
    return rc == LATHE_OK ? watch_answers(door, err) : rc;
}

int32_t lathe_door_furnish(lathe_door *door, lathe_error *err) {
    lathe_error warning = {0};
    int32_t rc = LATHE_OK;
    cJSON *document = NULL;
    const cJSON *settings = door->settings;
    pthread_mutex_lock(&door->lock);
    if (lathe_door_is_furnished(door)) {
        pthread_mutex_unlock(&door->lock);
        return LATHE_OK;
    }
    if (settings == NULL) {
        rc = lathe_model_document(door->model, LATHE_MODEL_DOCUMENT, &document, &warning);
        rc = tell(door, rc, &warning, err);
        settings = lathe_json_get(lathe_json_get(document, "deploy"), "validation");
    }
    if (rc == LATHE_OK)
        rc = read_profile(door, err);
    if (rc == LATHE_OK)
        rc = make_rules(door, settings, err);
    if (rc == LATHE_OK)
        rc = make_statistics(door, settings, err);
    cJSON_Delete(document);
    atomic_store_explicit(&door->furnished, rc == LATHE_OK, memory_order_release);
    pthread_mutex_unlock(&door->lock);
    return rc;
}

bool lathe_door_is_furnished(const lathe_door *door) {
    return atomic_load_explicit(&door->furnished, memory_order_acquire);
}

int32_t lathe_door_new(const lathe_model *model, const cJSON *settings, const char *label,
                       lathe_door **out, lathe_error *err) {
    *out = NULL;
    lathe_door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the validation");
    atomic_init(&door->refs, 1);
    pthread_mutex_init(&door->lock, NULL);
    door->model = model;
    door->raw = lathe_schema_table(lathe_model_get_info(model)->raw);
    door->label = strdup(label);
    door->settings = settings != NULL ? cJSON_Duplicate(settings, 1) : NULL;
    if (door->label == NULL || (settings != NULL && door->settings == NULL)) {
        lathe_door_free(door);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the validation");
    }
    *out = door;
    return LATHE_OK;
}

void lathe_door_retain(lathe_door *door) {
    atomic_fetch_add(&door->refs, 1);
}

void lathe_door_free(lathe_door *door) {
    if (door == NULL || atomic_fetch_sub(&door->refs, 1) > 1)
        return;
    lathe_live_waiting_free(door->answers_waiting);
    lathe_live_waiting_free(door->answers_shared);
    lathe_live_free(door->answers);
    lathe_baseline_free(door->answered);
    free(door->dict);
    lathe_bounds_free(door->bounds);
    lathe_live_waiting_free(door->waiting);
    lathe_live_waiting_free(door->shared);
    lathe_live_free(door->live);
    lathe_rules_free(door->rules);
    lathe_baseline_free(door->baseline);
    cJSON_Delete(door->settings);
    pthread_mutex_destroy(&door->lock);
    free(door->label);
    free(door);
}

const cJSON *lathe_door_settings(const lathe_door *door) {
    return door->settings;
}

/* ---- requests ---- */

void lathe_door_expect(const lathe_door *door) {
    if (door->bounds == NULL)
        return;
    lathe_bounds_expect(door->bounds);
    lathe_live_expect(door->waiting);
    __builtin_prefetch(&door->numbers[door->n_latest], 1);
    __builtin_prefetch(&door->labels[door->n_latest], 1);
}

void lathe_door_open(const lathe_door *door, lathe_plan *plan) {
    lathe_plan_tolerate(plan, lathe_rules_tolerated(door->rules));
}

/* Visits are told apart so that a row which was taken is counted for its own alone. */
static bool take_and_check(lathe_door *door, const lathe_plan *plan, int64_t row,
                           lathe_door_visit *visit) {
    const double *numbers =
        lathe_live_take(door->waiting, lathe_plan_flat(plan, row), lathe_plan_values(plan), row);
    const lathe_table *rows = lathe_plan_rows(plan);
    uint8_t *mark = lathe_plan_marks(plan) + row;
    visit->taken = ++door->taken_last;
    if (!lathe_bounds_hold(door->bounds, numbers))
        return lathe_rules_check(door->rules, rows, row, 1, mark, &visit->report);
    return (*mark != 0 || !door->numbers_alone) &&
           lathe_rules_check_others(door->rules, rows, row, mark, &visit->report);
}

static int32_t explain(const lathe_door *door, const lathe_plan *plan,
                       const lathe_door_visit *visit, lathe_error *err) {
    lathe_rule_place at;
    lathe_rules_refused(&visit->report, &at);
    const lathe_plan_unseen *first = lathe_plan_get_unseen(plan, at.column);
    lathe_str unseen = {NULL, 0};
    if (first != NULL && first->row == at.row)
        unseen = (lathe_str){first->text, first->len < (int64_t)sizeof first->text
                                              ? first->len
                                              : (int64_t)sizeof first->text};
    return lathe_rules_explain(door->rules, lathe_plan_rows(plan), &visit->report, unseen, err);
}

int32_t lathe_door_check_shared(const lathe_door *door, lathe_plan *plan, int64_t begin, int64_t n,
                                lathe_door_visit *visit, lathe_error *err) {
    visit->taken = 0;
    visit->fired = lathe_rules_check(door->rules, lathe_plan_rows(plan), begin, n,
                                     lathe_plan_marks(plan) + begin, &visit->report);
    return visit->fired && visit->report.rejected > 0 ? explain(door, plan, visit, err) : LATHE_OK;
}

int32_t lathe_door_check(lathe_door *door, lathe_plan *plan, int64_t begin, int64_t n,
                         lathe_door_visit *visit, lathe_error *err) {
    if (n != 1 || door->bounds == NULL)
        return lathe_door_check_shared(door, plan, begin, n, visit, err);
    visit->fired = take_and_check(door, plan, begin, visit);
    return visit->fired && visit->report.rejected > 0 ? explain(door, plan, visit, err) : LATHE_OK;
}

void lathe_door_count(lathe_door *door, const lathe_plan *plan, int64_t begin, int64_t n,
                      const lathe_door_visit *visit, void *region) {
    if (door->live == NULL || region == NULL)
        return;
    if (n == 1 && visit != NULL && visit->taken != 0 && visit->taken == door->taken_last)
        lathe_live_keep(door->waiting, region);
    else
        lathe_live_add_later(door->waiting, region, lathe_plan_rows(plan), begin, n);
    door->taken_last++;
}

static void *answers_of(void *region) {
    return (uint8_t *)region + LATHE_SLOTS_FEATURES;
}

/* Rows [at, at + LATHE_LIVE_WAITING) of n at most. */
static int64_t view_answers(const lathe_door *door, const lathe_plan_output *output, int64_t at,
                            int64_t n, lathe_outputs *view, double numbers[LATHE_LIVE_WAITING]) {
    const bool classes = door->n_classes > 0;
    const int64_t m = n - at < LATHE_LIVE_WAITING ? n - at : LATHE_LIVE_WAITING;
    const lathe_answers answers = {m, classes ? NULL : output->value + at,
                                   classes ? output->probability + at * door->n_classes : NULL,
                                   classes ? output->label + at : NULL};
    lathe_outputs_view(view, door->dict, door->n_classes, &answers, numbers);
    return m;
}

/* Answers that wait, and room for others. */
static void settle_answers(lathe_door *door, void *region) {
    door->latest.table.n_rows = door->n_latest;
    lathe_live_add_later(door->answers_waiting, region, &door->latest.table, 0, door->n_latest);
    door->n_latest = 0;
}

static void count_answer(lathe_door *door, const lathe_plan_output *output, void *region) {
    const int64_t i = door->n_latest++;
    if (door->n_classes > 0)
        door->labels[i] = output->label[0];
    door->numbers[i] =
        (double)(door->n_classes > 0 ? output->probability[output->label[0]] : output->value[0]);
    if (door->n_latest == LATHE_LIVE_WAITING)
        settle_answers(door, region);
}

static void count_all_answers(const lathe_door *door, lathe_live_waiting *waiting,
                              const lathe_plan_output *output, int64_t n, void *region) {
    double numbers[LATHE_LIVE_WAITING];
    lathe_outputs view;
    for (int64_t at = 0; at < n; at += LATHE_LIVE_WAITING) {
        const int64_t m = view_answers(door, output, at, n, &view, numbers);
        lathe_live_add_later(waiting, region, &view.table, 0, m);
    }
}

void lathe_door_count_answers(lathe_door *door, const lathe_plan_output *output, int64_t n,
                              void *region) {
    if (door->answers == NULL || region == NULL)
        return;
    if (n == 1)
        count_answer(door, output, answers_of(region));
    else
        count_all_answers(door, door->answers_waiting, output, n, answers_of(region));
}

void lathe_door_flush(lathe_door *door, void *region) {
    if (!lathe_door_is_furnished(door) || region == NULL)
        return;
    if (door->live != NULL)
        lathe_live_flush(door->waiting, region);
    if (door->answers == NULL)
        return;
    settle_answers(door, answers_of(region));
    lathe_live_flush(door->answers_waiting, answers_of(region));
}

void lathe_door_count_shared(lathe_door *door, const lathe_plan *plan,
                             const lathe_plan_output *output, int64_t n, void *region) {
    if (door->live == NULL || region == NULL)
        return;
    pthread_mutex_lock(&shared_lock);
    lathe_live_add_later(door->shared, region, lathe_plan_rows(plan), 0, n);
    lathe_live_flush(door->shared, region);
    if (door->answers != NULL) {
        count_all_answers(door, door->answers_shared, output, n, answers_of(region));
        lathe_live_flush(door->answers_shared, answers_of(region));
    }
    pthread_mutex_unlock(&shared_lock);
}

void lathe_door_note(const lathe_door_visit *visit, lathe_slot_model *counters) {
    const lathe_rule_report *r = &visit->report;
    if (!visit->fired || counters == NULL)
        return;
    lathe_slot_add(&counters->flagged, (uint64_t)r->flagged);
    lathe_slot_add(&counters->rejected, (uint64_t)r->rejected);
    for (int rule = 0; rule < LATHE_RULE_COUNT; rule++)
        for (int action = 0; action < LATHE_ACTION_COUNT; action++)
            if (r->rows[rule][action] > 0)
                lathe_slot_add(&counters->validated[rule][action], (uint64_t)r->rows[rule][action]);
}

void lathe_door_note_type(lathe_slot_model *counters) {
    if (counters == NULL)
        return;
    lathe_slot_add(&counters->rejected, 1);
    lathe_slot_add(&counters->validated[LATHE_RULE_TYPE][LATHE_ACTION_REJECT], 1);
}

/* A column's name within a quoted string of a header: what is no letter, digit, '_', '-', '.' or blank as %XX. */
static size_t put_name(const char *name, char *out, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (; *name != '\0' && n + 4 < size; name++) {
        const uint8_t c = (uint8_t)*name;
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            c == '_' || c == '-' || c == '.' || c == ' ') {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    out[n] = '\0';
    return n;
}

void lathe_door_headers(const lathe_door *door, const lathe_door_visit *visit, char *buf,
                        size_t size) {
    char line[LATHE_DOOR_HEADERS] = "lathe-flags: ";
    size_t len = strlen(line);
    bool any = false;
    for (int rule = 0; visit->fired && rule < LATHE_RULE_COUNT; rule++) {
        const int64_t rows = visit->report.rows[rule][LATHE_ACTION_FLAG];
        const int64_t column = visit->report.first[rule][LATHE_ACTION_FLAG].column;
        if (rows == 0)
            continue;
        len += (size_t)snprintf(line + len, sizeof line - len, "%s%s=%lld", any ? ", " : "",
                                lathe_rule_names[rule], (long long)rows);
        any = true;
        if (column < 0)
            continue;
        char name[80];
        put_name(door->raw->columns[column].name, name, sizeof name);
        len += (size_t)snprintf(line + len, sizeof line - len, ";column=\"%s\"", name);
    }
    const size_t used = strlen(buf);
    if (any && used + len + 3 <= size)
        snprintf(buf + used, size - used, "%s\r\n", line);
}

/* data/profile_alerts.c: what a person should look at in a profile. */
#include "data/profile_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define MISSING_SHARE 0.2
#define DOMINANT_SHARE 0.95
#define ZERO_SHARE 0.5
#define SKEWNESS 5.0
#define CATEGORIES 100
#define RELATED 0.95
#define LEAK 0.99
#define CLASS_RATIO 10.0
#define CLASS_ROWS 10

typedef struct alert_list {
    cJSON *all; /* the root's */
    cJSON *own; /* the column's; NULL: of the table */
    const char *column;
    bool failed;
} alert_list;

static void put(cJSON *list, const char *kind, const char *column, bool with_column,
                const char *message, bool *failed) {
    cJSON *alert = cJSON_CreateObject();
    bool good = alert != NULL && cJSON_AddStringToObject(alert, "kind", kind) != NULL;
    if (good && with_column)
        good = (column != NULL ? cJSON_AddStringToObject(alert, "column", column)
                               : cJSON_AddNullToObject(alert, "column")) != NULL;
    good = good && cJSON_AddStringToObject(alert, "message", message) != NULL &&
           cJSON_AddItemToArray(list, alert);
    if (!good) {
        cJSON_Delete(alert);
        *failed = true;
    }
}

static void add(alert_list *a, const char *kind, const char *fmt, ...) LATHE_PRINTF(3, 4);

static void add(alert_list *a, const char *kind, const char *fmt, ...) {
    char message[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (a->own != NULL)
        put(a->own, kind, NULL, false, message, &a->failed);
    put(a->all, kind, a->column, true, message, &a->failed);
}

static void number_alerts(alert_list *a, const lathe_numeric_stats *s, int64_t count) {
    if (s->infinite > 0)
        add(a, "infinite", "%lld infinite values", (long long)s->infinite);
    if (s->distinct > 1 && (double)s->zeros >= ZERO_SHARE * (double)count)
        add(a, "zeros", "%.1f %% of the values are zero", 100 * (double)s->zeros / (double)count);
    if (fabs(s->skewness) >= SKEWNESS)
        add(a, "skewed",
            "the distribution is far from symmetric (skewness %.1f); log1p or clip may help",
            s->skewness);
}

static void text_alerts(alert_list *a, const lathe_text_stats *s, int64_t count) {
    double top = s->n_top > 0 ? (double)s->top[0].count : 0;
    if (s->distinct == count && count > 20)
        add(a, "unique", "every value occurs once: an identifier is no feature");
    else if (s->distinct > CATEGORIES)
        add(a, "high_cardinality", "%lld different values", (long long)s->distinct);
    if (s->distinct > 1 && top >= DOMINANT_SHARE * (double)count)
        add(a, "imbalanced", "one value has %.1f %% of the rows", 100 * top / (double)count);
}

static void target_alerts(alert_list *a, const lathe_text_stats *s) {
    if (s->distinct < 2 || s->distinct > LATHE_STATS_TOP)
        return;
    double most = (double)s->top[0].count, least = (double)s->top[s->n_top - 1].count;
    if (most / least >= CLASS_RATIO)
        add(a, "imbalanced_target",
            "the largest class is %.0f times the smallest; prefer auc or f1 over accuracy, or "
            "weight classes",
            most / least);
    if (least < CLASS_ROWS)
        add(a, "few_of_a_class", "the smallest class has %.0f rows", least);
}

static void column_alerts(alert_list *a, const profile_job *job, int64_t column) {
    const column_profile *p = &job->columns[column];
    int64_t rows = job->table->n_rows, missing = profile_missing(p), count = rows - missing;
    if (rows == 0)
        return;
    if (count == 0) {
        add(a, "all_missing", "every value is missing; drop the column");
        return;
    }
    if ((double)missing > MISSING_SHARE * (double)rows)
        add(a, "missing", "%.1f %% of the values are missing",
            100 * (double)missing / (double)rows);
    if (profile_distinct(p) == 1 && count > 1)
        add(a, "constant", "all values are the same; drop the column");
    if (p->numeric)
        number_alerts(a, &p->numbers, count);
    else if (column == job->target)
        target_alerts(a, &p->texts);
    else
        text_alerts(a, &p->texts, count);
    /* Categories that hardly repeat tell any target by themselves, and mean nothing. */
    bool repeats = p->numeric || profile_distinct(p) * 10 <= count;
    if (p->measure != NULL && fabs(p->association) >= LEAK && job->n_rows > 10 && repeats)
        add(a, "leak",
            "the column tells the target almost by itself (%.3f): is it known when predicting?",
            fabs(p->association));
}

static void pair_alerts(alert_list *a, const profile_job *job) {
    int64_t k = job->n_correlated;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = i + 1; j < k; j++) {
            double r = job->pearson[i * k + j];
            if (job->correlated[i] == job->target || job->correlated[j] == job->target)
                continue;
            if (fabs(r) >= RELATED && job->n_rows > 10) {
                a->column = job->table->columns[job->correlated[j]].name;
                add(a, "correlated", "moves with '%.80s' (correlation %.3f)",
                    job->table->columns[job->correlated[i]].name, r);
            }
        }
    }
    a->column = NULL;
}

bool profile_alerts(const profile_job *job, cJSON *root, cJSON *features) {
    alert_list a = {.all = cJSON_CreateArray()};
    if (a.all == NULL || !cJSON_AddItemToObject(root, "alerts", a.all)) {
        cJSON_Delete(a.all);
        return false;
    }
    cJSON *feature = features->child;
    for (int64_t c = 0; c < job->table->n_columns && !a.failed; c++, feature = feature->next) {
        a.own = cJSON_AddArrayToObject(feature, "alerts");
        a.column = job->table->columns[c].name;
        a.failed = a.own == NULL;
        if (!a.failed)
            column_alerts(&a, job, c);
    }
    a.own = NULL;
    pair_alerts(&a, job);
    if (job->duplicates > 0)
        add(&a, "duplicates", "%lld rows repeat an earlier one in every column",
            (long long)job->duplicates);
    return !a.failed;
}

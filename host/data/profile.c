/* data/profile.c: statistics of all columns, as one cJSON object. See profile.h. */
#include "data/profile.h"

#include "base/utf8.h"
#include "data/frame.h"
#include "data/memory.h"
#include "data/profile_internal.h"
#include "data/schema.h"
#include "data/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SHOWN 120 /* bytes */

int64_t profile_missing(const column_profile *p) {
    return p->numeric ? p->numbers.missing : p->texts.missing;
}

int64_t profile_distinct(const column_profile *p) {
    return p->numeric ? p->numbers.distinct : p->texts.distinct;
}

/* ---- JSON pieces ---- */

bool profile_number(cJSON *object, const char *key, double x) {
    return (isfinite(x) ? cJSON_AddNumberToObject(object, key, x)
                        : cJSON_AddNullToObject(object, key)) != NULL;
}

/* Well-formed sequences as they are, U+FFFD for other bytes and NUL, an ellipsis where it is cut.
 * */
bool profile_text(cJSON *object, const char *key, lathe_str text) {
    char shown[TEXT_SHOWN * 3 + 8];
    size_t n = 0;
    for (int64_t i = 0; i < text.len;) {
        size_t len = lathe_utf8_length(text.ptr + i, (size_t)(text.len - i));
        if (i + (int64_t)(len > 0 ? len : 1) > TEXT_SHOWN) {
            memcpy(shown + n, "\xe2\x80\xa6", 3);
            n += 3;
            break;
        }
        bool plain = len > 0 && text.ptr[i] != 0;
        memcpy(shown + n, plain ? text.ptr + i : "\xef\xbf\xbd", plain ? len : 3);
        n += plain ? len : 3;
        i += (int64_t)(len > 0 ? len : 1);
    }
    shown[n] = 0;
    return cJSON_AddStringToObject(object, key, shown) != NULL;
}

/* A value of the column: a time as text for timestamps. */
static bool add_value(cJSON *object, const char *key, const lathe_column *c, double x) {
    char text[LATHE_CELL_TEXT];
    if (c->type != LATHE_COLUMN_TIMESTAMP || !isfinite(x))
        return profile_number(object, key, x);
    lathe_print_time((int64_t)x, text);
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

static bool add_histogram(cJSON *object, const lathe_column *c, const lathe_numeric_stats *s) {
    cJSON *h = cJSON_AddObjectToObject(object, "histogram");
    if (h == NULL || !add_value(h, "low", c, s->n_bars > 0 ? s->low : (double)NAN) ||
        !add_value(h, "high", c, s->n_bars > 0 ? s->high : (double)NAN))
        return false;
    cJSON *counts = cJSON_AddArrayToObject(h, "counts");
    for (int32_t b = 0; counts != NULL && b < s->n_bars; b++) {
        cJSON *item = cJSON_CreateNumber((double)s->bars[b]);
        if (item == NULL || !cJSON_AddItemToArray(counts, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return counts != NULL;
}

static bool add_quantiles(cJSON *object, const lathe_column *c, const lathe_numeric_stats *s) {
    cJSON *quantiles = cJSON_AddObjectToObject(object, "quantiles");
    bool good = quantiles != NULL;
    for (int q = 0; good && q < LATHE_STATS_QUANTILES; q++) {
        char key[16];
        snprintf(key, sizeof key, "%g", lathe_stats_levels[q]);
        good = add_value(quantiles, key, c, s->quantiles[q]);
    }
    return good;
}

static bool add_numbers(cJSON *o, const lathe_column *c, const lathe_numeric_stats *s) {
    bool time = c->type == LATHE_COLUMN_TIMESTAMP;
    bool good = add_value(o, "min", c, s->min) && add_value(o, "max", c, s->max) &&
                add_value(o, "mean", c, s->mean) && add_quantiles(o, c, s) &&
                add_histogram(o, c, s);
    if (good && !time)
        good = profile_number(o, "std", s->std) && profile_number(o, "skewness", s->skewness) &&
               profile_number(o, "kurtosis", s->kurtosis) && profile_number(o, "sum", s->sum) &&
               profile_number(o, "zeros", (double)s->zeros) &&
               profile_number(o, "negative", (double)s->negative) &&
               profile_number(o, "infinite", (double)s->infinite) &&
               cJSON_AddBoolToObject(o, "integers", s->integers) != NULL;
    cJSON *frequent = good ? cJSON_AddObjectToObject(o, "most_frequent") : NULL;
    return frequent != NULL && add_value(frequent, "value", c, s->top_value) &&
           profile_number(frequent, "count", (double)s->top_count);
}

/* [{"value", "count", "share"}]. */
static bool add_top(cJSON *object, const char *key, const lathe_text_stats *s, bool shares) {
    cJSON *top = cJSON_AddArrayToObject(object, key);
    double total = (double)(s->n - s->missing - s->unseen);
    for (int32_t k = 0; top != NULL && k < s->n_top; k++) {
        cJSON *item = cJSON_CreateObject();
        if (item == NULL || !cJSON_AddItemToArray(top, item)) {
            cJSON_Delete(item);
            return false;
        }
        if (!profile_text(item, "value", s->top[k].text) ||
            !profile_number(item, "count", (double)s->top[k].count) ||
            (shares && !profile_number(item, "share", (double)s->top[k].count / total)))
            return false;
    }
    return top != NULL;
}

static double other_rows(const lathe_text_stats *s) {
    int64_t other = s->n - s->missing - s->unseen;
    for (int32_t k = 0; k < s->n_top; k++)
        other -= s->top[k].count;
    return (double)other;
}

static bool add_texts(cJSON *o, const lathe_text_stats *s) {
    bool good = add_top(o, "top", s, false) && profile_number(o, "other", other_rows(s)) &&
                profile_number(o, "unseen", (double)s->unseen) &&
                profile_number(o, "empty", (double)s->empty) &&
                profile_number(o, "entropy", s->entropy);
    cJSON *length = good ? cJSON_AddObjectToObject(o, "length") : NULL;
    return length != NULL && profile_number(length, "min", (double)s->min_len) &&
           profile_number(length, "max", (double)s->max_len) &&
           profile_number(length, "mean", s->mean_len);
}

static bool add_feature(cJSON *list, const profile_job *job, int64_t column) {
    const lathe_column *c = &job->table->columns[column];
    const column_profile *p = &job->columns[column];
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddItemToArray(list, o)) {
        cJSON_Delete(o);
        return false;
    }
    if (cJSON_AddStringToObject(o, "name", c->name) == NULL ||
        cJSON_AddStringToObject(o, "type", lathe_type_name(c->type)) == NULL ||
        cJSON_AddStringToObject(o, "role", column == job->target ? "target" : "feature") == NULL ||
        !profile_number(o, "count", (double)(job->table->n_rows - profile_missing(p))) ||
        !profile_number(o, "missing", (double)profile_missing(p)) ||
        !profile_number(o, "distinct", (double)profile_distinct(p)))
        return false;
    if (cJSON_AddBoolToObject(o, "distinct_estimated", p->numeric && !p->numbers.distinct_exact) ==
            NULL ||
        !(p->numeric ? add_numbers(o, c, &p->numbers) : add_texts(o, &p->texts)))
        return false;
    if (p->measure == NULL)
        return true;
    cJSON *with = cJSON_AddObjectToObject(o, "with_target");
    return with != NULL && cJSON_AddStringToObject(with, "measure", p->measure) != NULL &&
           profile_number(with, "value", p->association);
}

static bool add_target(cJSON *root, const profile_job *job) {
    if (job->target < 0)
        return cJSON_AddNullToObject(root, "target_distribution") != NULL;
    const column_profile *p = &job->columns[job->target];
    cJSON *o = cJSON_AddObjectToObject(root, "target_distribution");
    if (o == NULL)
        return false;
    return p->numeric ? add_numbers(o, &job->table->columns[job->target], &p->numbers)
                      : add_top(o, "classes", &p->texts, true) &&
                            profile_number(o, "other", other_rows(&p->texts));
}

static bool add_matrix(cJSON *object, const char *key, const double *matrix, int64_t k) {
    cJSON *rows = cJSON_AddArrayToObject(object, key);
    for (int64_t i = 0; rows != NULL && i < k; i++) {
        cJSON *row = cJSON_CreateArray();
        if (row == NULL || !cJSON_AddItemToArray(rows, row)) {
            cJSON_Delete(row);
            return false;
        }
        for (int64_t j = 0; j < k; j++) {
            double r = matrix[i * k + j];
            cJSON *cell = isfinite(r) ? cJSON_CreateNumber(r) : cJSON_CreateNull();
            if (cell == NULL || !cJSON_AddItemToArray(row, cell)) {
                cJSON_Delete(cell);
                return false;
            }
        }
    }
    return rows != NULL;
}

static bool add_correlations(cJSON *root, const profile_job *job) {
    cJSON *o = cJSON_AddObjectToObject(root, "correlations");
    cJSON *names = o != NULL ? cJSON_AddArrayToObject(o, "names") : NULL;
    for (int64_t k = 0; names != NULL && k < job->n_correlated; k++) {
        cJSON *name = cJSON_CreateString(job->table->columns[job->correlated[k]].name);
        if (name == NULL || !cJSON_AddItemToArray(names, name)) {
            cJSON_Delete(name);
            return false;
        }
    }
    return names != NULL && add_matrix(o, "pearson", job->pearson, job->n_correlated) &&
           add_matrix(o, "spearman", job->spearman, job->n_correlated);
}

/* ---- making ---- */

static int32_t describe_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    profile_job *job = user;
    for (int64_t c = begin; c < end; c++) {
        column_profile *p = &job->columns[c];
        const lathe_column *column = &job->table->columns[c];
        p->numeric = lathe_is_numeric(column) || column->type == LATHE_COLUMN_TIMESTAMP;
        p->code = p->numeric
                      ? lathe_stats_numeric(NULL, column, job->table->n_rows, &p->numbers, &p->err)
                      : lathe_stats_text(column, job->table->n_rows, &p->texts, &p->err);
        if (p->code != LATHE_OK)
            return p->code;
    }
    return LATHE_OK;
}

static int32_t describe(lathe_pool *pool, profile_job *job, lathe_error *err) {
    int64_t n = job->table->n_columns;
    job->columns = calloc((size_t)n + 1, sizeof *job->columns);
    if (job->columns == NULL)
        return lathe_fail_memory(err, "profile", "the statistics");
    int32_t code = lathe_pool_run(pool, n, 1, describe_chunk, job);
    for (int64_t c = 0; code != LATHE_OK && c < n; c++) {
        if (job->columns[c].code != LATHE_OK) {
            if (err != NULL)
                *err = job->columns[c].err;
            return job->columns[c].code;
        }
    }
    if (code == LATHE_OK)
        code = lathe_duplicate_rows(pool, job->table, &job->duplicates, err);
    return code == LATHE_OK ? profile_pairs(pool, job, err) : code;
}

static double table_bytes(const lathe_table *t) {
    double bytes = 0;
    for (int64_t c = 0; c < t->n_columns; c++)
        bytes += (double)t->n_rows * (double)lathe_value_size(t->columns[c].type);
    return bytes;
}

static bool write_profile(const profile_job *job, const char *target, cJSON *root) {
    const lathe_table *t = job->table;
    double missing = 0;
    for (int64_t c = 0; c < t->n_columns; c++)
        missing += (double)profile_missing(&job->columns[c]);
    if (!profile_number(root, "rows", (double)t->n_rows) ||
        !profile_number(root, "columns", (double)t->n_columns) ||
        !profile_number(root, "bytes", table_bytes(t)) ||
        !profile_number(root, "missing_cells", missing) ||
        !profile_number(root, "duplicate_rows", (double)job->duplicates) ||
        (target != NULL ? cJSON_AddStringToObject(root, "target", target)
                        : cJSON_AddNullToObject(root, "target")) == NULL)
        return false;
    cJSON *features = cJSON_AddArrayToObject(root, "features");
    for (int64_t c = 0; features != NULL && c < t->n_columns; c++) {
        if (!add_feature(features, job, c))
            return false;
    }
    return features != NULL && add_target(root, job) && add_correlations(root, job) &&
           profile_alerts(job, root, features);
}

int32_t lathe_profile_table(lathe_pool *pool, const lathe_table *table, const char *target,
                            cJSON **profile, lathe_error *err) {
    profile_job job = {.table = table, .target = -1};
    int32_t code = LATHE_OK;
    *profile = NULL;
    for (int64_t c = 0; code == LATHE_OK && c < table->n_columns; c++) {
        if (lathe_type_name(table->columns[c].type) == NULL ||
            (table->n_rows > 0 && table->columns[c].values == NULL))
            code = lathe_fail(err, LATHE_E_INVALID, table->columns[c].name,
                              "the column has an unknown type or no values");
    }
    if (code == LATHE_OK && target != NULL)
        code = lathe_table_need(table, target, "the target", &job.target, err);
    if (code == LATHE_OK)
        code = describe(pool, &job, err);
    cJSON *root = code == LATHE_OK ? cJSON_CreateObject() : NULL;
    if (code == LATHE_OK && (root == NULL || !write_profile(&job, target, root)))
        code = lathe_fail_memory(err, "profile", "the profile");
    free(job.columns);
    free(job.rows);
    free(job.values);
    free(job.ranks);
    free(job.pearson);
    free(job.spearman);
    if (code != LATHE_OK) {
        cJSON_Delete(root);
        return code;
    }
    *profile = root;
    return LATHE_OK;
}

/* data/profile_pairs.c: correlations, and each column's association with the target. */
#include "base/rng.h"
#include "base/size.h"
#include "data/memory.h"
#include "data/profile_internal.h"

#include <math.h>
#include <stdlib.h>

#define SAMPLE_KEY UINT64_C(0x6c617468652d7072)

static int32_t choose_rows(profile_job *job, lathe_error *err) {
    int64_t n = job->table->n_rows;
    job->n_rows = n;
    if (n <= LATHE_PROFILE_ROWS)
        return LATHE_OK;
    uint64_t bound = UINT64_MAX / (uint64_t)n * LATHE_PROFILE_ROWS;
    int64_t room = LATHE_PROFILE_ROWS + LATHE_PROFILE_ROWS / 20; /* fifteen standard deviations */
    job->rows = lathe_aligned_new(room, sizeof *job->rows);
    if (job->rows == NULL)
        return lathe_fail_memory(err, "profile", "the correlations");
    job->n_rows = 0;
    for (int64_t i = 0; i < n && job->n_rows < room; i++) {
        uint64_t u;
        lathe_rng_u64(SAMPLE_KEY, (uint64_t)i, &u, 1);
        if (u < bound)
            job->rows[job->n_rows++] = i;
    }
    return LATHE_OK;
}

/* Finite values of the chosen rows, others NaN. */
static void take_values(const profile_job *job, int64_t column, double *out) {
    for (int64_t i = 0; i < job->n_rows; i++) {
        double x = lathe_number_at(&job->table->columns[column],
                                   job->rows != NULL ? job->rows[i] : i, (double)NAN);
        out[i] = isfinite(x) ? x : (double)NAN;
    }
}

static void take_codes(const profile_job *job, int64_t column, int32_t *out) {
    const int32_t *codes = job->table->columns[column].values;
    for (int64_t i = 0; i < job->n_rows; i++)
        out[i] = codes[job->rows != NULL ? job->rows[i] : i];
}

/* Ranks among the values that are there; the others NaN. scratch: [4 n_rows]. */
static void rank_values(const double *values, int64_t n, double *scratch, double *ranks) {
    int64_t m = 0, at = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(values[i]))
            scratch[m++] = values[i];
    }
    lathe_ranks(scratch, m, scratch + n, scratch + 2 * n, scratch + 3 * n);
    for (int64_t i = 0; i < n; i++)
        ranks[i] = isnan(values[i]) ? (double)NAN : scratch[3 * n + at++];
}

static int32_t column_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    profile_job *job = user;
    int64_t n = job->n_rows;
    double *scratch = lathe_aligned_new(n, 4 * sizeof *scratch);
    if (scratch == NULL)
        return LATHE_E_MEMORY;
    for (int64_t k = begin; k < end; k++) {
        take_values(job, job->correlated[k], job->values + k * n);
        rank_values(job->values + k * n, n, scratch, job->ranks + k * n);
    }
    free(scratch);
    return LATHE_OK;
}

/* Row a of both matrices, from the diagonal on; the rest by symmetry. */
static int32_t pair_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    profile_job *job = user;
    int64_t n = job->n_rows, k = job->n_correlated;
    for (int64_t a = begin; a < end; a++) {
        for (int64_t b = a; b < k; b++) {
            double p = lathe_correlation(job->values + a * n, job->values + b * n, n);
            double s = lathe_correlation(job->ranks + a * n, job->ranks + b * n, n);
            job->pearson[a * k + b] = job->pearson[b * k + a] = p;
            job->spearman[a * k + b] = job->spearman[b * k + a] = s;
        }
    }
    return LATHE_OK;
}

static int32_t correlate(lathe_pool *pool, profile_job *job, lathe_error *err) {
    for (int64_t c = 0; c < job->table->n_columns && job->n_correlated < LATHE_PROFILE_CORRELATED;
         c++) {
        if (lathe_is_numeric(&job->table->columns[c]))
            job->correlated[job->n_correlated++] = c;
    }
    int64_t k = job->n_correlated, cells;
    if (!lathe_mul_i64(k, job->n_rows, &cells))
        return lathe_fail_memory(err, "profile", "the correlations");
    job->values = lathe_aligned_new(cells, sizeof(double));
    job->ranks = lathe_aligned_new(cells, sizeof(double));
    job->pearson = lathe_aligned_new(k * k, sizeof(double));
    job->spearman = lathe_aligned_new(k * k, sizeof(double));
    if (job->values == NULL || job->ranks == NULL || job->pearson == NULL || job->spearman == NULL)
        return lathe_fail_memory(err, "profile", "the correlations");
    int32_t code = lathe_pool_run(pool, k, 1, column_chunk, job);
    if (code == LATHE_OK)
        code = lathe_pool_run(pool, k, 1, pair_chunk, job);
    return code == LATHE_OK ? LATHE_OK : lathe_fail_memory(err, "profile", "the correlations");
}

/* ---- the target ---- */

typedef struct target_job {
    profile_job *job;
    int32_t *codes; /* of a category target */
    double *values; /* of a numeric one */
} target_job;

static int32_t associate(const target_job *t, int64_t column, double *numbers, int32_t *codes,
                         lathe_error *err) {
    profile_job *job = t->job;
    column_profile *p = &job->columns[column];
    const lathe_column *c = &job->table->columns[column];
    int64_t classes = job->table->columns[job->target].dict_size, n = job->n_rows;
    bool category = c->type == LATHE_COLUMN_CATEGORY;
    if (column == job->target || (!category && !lathe_is_numeric(c)))
        return LATHE_OK;
    if (category)
        take_codes(job, column, codes);
    else
        take_values(job, column, numbers);
    if (category && t->codes != NULL) {
        p->measure = "cramers_v";
        return lathe_cramers_v(codes, c->dict_size, t->codes, classes, n, &p->association, err);
    }
    if (category || t->codes != NULL) {
        p->measure = "correlation_ratio";
        return category
                   ? lathe_correlation_ratio(codes, c->dict_size, t->values, n, &p->association,
                                             err)
                   : lathe_correlation_ratio(t->codes, classes, numbers, n, &p->association, err);
    }
    p->measure = "pearson";
    p->association = lathe_correlation(numbers, t->values, n);
    return LATHE_OK;
}

static int32_t target_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    target_job *t = user;
    double *numbers = lathe_aligned_new(t->job->n_rows, sizeof *numbers);
    int32_t *codes = lathe_aligned_new(t->job->n_rows, sizeof *codes);
    int32_t code = numbers != NULL && codes != NULL ? LATHE_OK : LATHE_E_MEMORY;
    for (int64_t c = begin; code == LATHE_OK && c < end; c++)
        code = associate(t, c, numbers, codes, NULL);
    free(numbers);
    free(codes);
    return code;
}

int32_t profile_pairs(lathe_pool *pool, profile_job *job, lathe_error *err) {
    int32_t code = choose_rows(job, err);
    if (code == LATHE_OK)
        code = correlate(pool, job, err);
    if (code != LATHE_OK || job->target < 0)
        return code;
    const lathe_column *target = &job->table->columns[job->target];
    bool category = target->type == LATHE_COLUMN_CATEGORY;
    if (!category && !lathe_is_numeric(target))
        return LATHE_OK;
    target_job t = {.job = job};
    if (category && (t.codes = lathe_aligned_new(job->n_rows, sizeof *t.codes)) != NULL)
        take_codes(job, job->target, t.codes);
    if (!category && (t.values = lathe_aligned_new(job->n_rows, sizeof *t.values)) != NULL)
        take_values(job, job->target, t.values);
    code = t.codes != NULL || t.values != NULL ? LATHE_OK : LATHE_E_MEMORY;
    if (code == LATHE_OK)
        code = lathe_pool_run(pool, job->table->n_columns, 1, target_chunk, &t);
    free(t.codes);
    free(t.values);
    return code == LATHE_OK ? LATHE_OK
                            : lathe_fail_memory(err, "profile", "the association with the target");
}

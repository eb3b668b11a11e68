/* data/stats_pairs.c: association of two columns, and repeated rows. See stats.h. */
#include "base/size.h"
#include "data/bins.h"
#include "data/memory.h"
#include "data/stats.h"
#include "data/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MOST (INT64_C(1) << 24)
#define CHUNK 16384

double lathe_correlation(const double *x, const double *y, int64_t n) {
    double mx = 0, my = 0, sxx = 0, syy = 0, sxy = 0;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(y[i])) {
            m++;
            mx += (x[i] - mx) / (double)m;
            my += (y[i] - my) / (double)m;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(y[i])) {
            double a = x[i] - mx, b = y[i] - my;
            sxx += a * a;
            syy += b * b;
            sxy += a * b;
        }
    }
    if (m < 2 || !(sxx > 0) || !(syy > 0))
        return (double)NAN;
    double r = sxy / sqrt(sxx) / sqrt(syy);
    return r > 1 ? 1 : r < -1 ? -1 : r;
}

/* Ties share the mean of their places in the sorted order: found there by two binary searches. */
void lathe_ranks(const double *values, int64_t n, double *scratch, double *scratch2,
                 double *ranks) {
    if (n == 0)
        return;
    memcpy(scratch, values, (size_t)n * sizeof *scratch);
    lathe_doubles_sort(scratch, scratch2, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t first = 0, end = n, last;
        while (first < end) {
            int64_t middle = (first + end) / 2;
            if (scratch[middle] < values[i])
                first = middle + 1;
            else
                end = middle;
        }
        for (last = first, end = n; last < end;) {
            int64_t middle = (last + end) / 2;
            if (scratch[middle] <= values[i])
                last = middle + 1;
            else
                end = middle;
        }
        ranks[i] = 0.5 * (double)(first + 1 + last); /* places first + 1 … last */
    }
}

static double chi_square(const double *cells, int64_t n_a, int64_t n_b, const double *sum_a,
                         const double *sum_b, double total) {
    double chi2 = 0;
    for (int64_t a = 0; a < n_a; a++) {
        for (int64_t b = 0; b < n_b; b++) {
            double expected = sum_a[a] * sum_b[b] / total, d = cells[a * n_b + b] - expected;
            if (expected > 0)
                chi2 += d * d / expected;
        }
    }
    return chi2;
}

int32_t lathe_cramers_v(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b, int64_t n,
                        double *v, lathe_error *err) {
    int64_t n_cells;
    *v = (double)NAN;
    if (!lathe_mul_i64(n_a, n_b, &n_cells) || n_cells > CELLS_MOST || n_cells == 0)
        return LATHE_OK;
    double *cells = lathe_aligned_zeroed(n_cells + n_a + n_b, sizeof *cells);
    if (cells == NULL)
        return lathe_fail_memory(err, "association", "the table of counts");
    double *sum_a = cells + n_cells, *sum_b = sum_a + n_a, total = 0;
    for (int64_t i = 0; i < n; i++) {
        if (a[i] < 0 || b[i] < 0 || a[i] >= n_a || b[i] >= n_b)
            continue;
        cells[a[i] * n_b + b[i]]++;
        sum_a[a[i]]++;
        sum_b[b[i]]++;
        total++;
    }
    int64_t rows = 0, columns = 0;
    for (int64_t k = 0; k < n_a; k++)
        rows += sum_a[k] > 0;
    for (int64_t k = 0; k < n_b; k++)
        columns += sum_b[k] > 0;
    int64_t least = rows < columns ? rows : columns;
    if (least > 1) {
        double r =
            sqrt(chi_square(cells, n_a, n_b, sum_a, sum_b, total) / (total * (double)(least - 1)));
        *v = r > 1 ? 1 : r;
    }
    free(cells);
    return LATHE_OK;
}

int32_t lathe_correlation_ratio(const int32_t *group, int64_t n_groups, const double *values,
                                int64_t n, double *eta, lathe_error *err) {
    *eta = (double)NAN;
    double *mean = lathe_aligned_zeroed(n_groups, 2 * sizeof *mean), all = 0, total = 0, within = 0;
    if (mean == NULL)
        return lathe_fail_memory(err, "association", "the groups");
    double *count = mean + n_groups;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t g = group[i];
        if (g < 0 || g >= n_groups || !isfinite(values[i]))
            continue;
        m++;
        count[g]++;
        all += (values[i] - all) / (double)m;
        mean[g] += (values[i] - mean[g]) / count[g];
    }
    for (int64_t i = 0; i < n; i++) {
        int32_t g = group[i];
        if (g < 0 || g >= n_groups || !isfinite(values[i]))
            continue;
        double a = values[i] - all, b = values[i] - mean[g];
        total += a * a;
        within += b * b;
    }
    if (total > 0)
        *eta = within < total ? sqrt((total - within) / total) : 0;
    free(mean);
    return LATHE_OK;
}

/* ---- repeated rows ---- */

typedef struct row_hash {
    uint64_t a, b;
} row_hash;

typedef struct hash_job {
    const lathe_table *table;
    row_hash *rows;
} hash_job;

static void hash_cells(const lathe_column *c, int64_t begin, int64_t end, row_hash *rows) {
    for (int64_t i = begin; i < end; i++) {
        uint64_t cell = 0, more = 0;
        if (c->type == LATHE_COLUMN_STRING) {
            lathe_str s = ((const lathe_str *)c->values)[i];
            cell = s.ptr != NULL ? lathe_hash_bytes(s.ptr, s.len, 1) : 1;
            more = s.ptr != NULL ? lathe_hash_bytes(s.ptr, s.len, 2) : 2;
        } else if (c->type == LATHE_COLUMN_CATEGORY) {
            cell = more = (uint64_t)(int64_t)((const int32_t *)c->values)[i];
        } else if (c->type == LATHE_COLUMN_FLOAT64) {
            double x = ((const double *)c->values)[i] + 0.0;
            if (isnan(x))
                x = (double)NAN; /* one NaN for all */
            memcpy(&cell, &x, sizeof cell);
            more = cell;
        } else {
            cell = more = (uint64_t)((const int64_t *)c->values)[i];
        }
        rows[i].a = lathe_hash_mix(rows[i].a ^ cell) + UINT64_C(0x9e3779b97f4a7c15);
        rows[i].b = lathe_hash_mix(rows[i].b + more) ^ UINT64_C(0xd1b54a32d192ed03);
    }
}

static int32_t hash_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    hash_job *job = user;
    for (int64_t i = begin; i < end; i++)
        job->rows[i] = (row_hash){0, UINT64_C(0x2545f4914f6cdd1d)};
    for (int64_t c = 0; c < job->table->n_columns; c++)
        hash_cells(&job->table->columns[c], begin, end, job->rows);
    return LATHE_OK;
}

/* Counts hashes seen before; a free slot is one whose number is 0. */
static bool count_repeats(const row_hash *rows, int64_t n, int64_t *repeats) {
    int64_t size = 64;
    while (size < 2 * n)
        size *= 2;
    int64_t *slots = lathe_aligned_zeroed(size, sizeof *slots);
    if (slots == NULL)
        return false;
    *repeats = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = rows[i].a & (uint64_t)(size - 1);
        while (slots[at] != 0 &&
               (rows[slots[at] - 1].a != rows[i].a || rows[slots[at] - 1].b != rows[i].b))
            at = (at + 1) & (uint64_t)(size - 1);
        *repeats += slots[at] != 0;
        slots[at] = i + 1;
    }
    free(slots);
    return true;
}

int32_t lathe_duplicate_rows(lathe_pool *pool, const lathe_table *table, int64_t *duplicates,
                             lathe_error *err) {
    hash_job job = {table, lathe_aligned_new(table->n_rows, sizeof(row_hash))};
    *duplicates = 0;
    if (job.rows == NULL)
        return lathe_fail_memory(err, "duplicates", "the rows' hashes");
    int32_t code = lathe_pool_run(pool, table->n_rows, CHUNK, hash_chunk, &job);
    bool good = code == LATHE_OK && count_repeats(job.rows, table->n_rows, duplicates);
    free(job.rows);
    return good ? LATHE_OK : lathe_fail_memory(err, "duplicates", "the rows' hashes");
}

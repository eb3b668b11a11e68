/* strata.h: the strata of a stratified choice: classes, or for numbers bins of equal counts. */
#ifndef LATHE_SPLITS_STRATA_H
#define LATHE_SPLITS_STRATA_H

#include "split.h"

static inline int split_compare_value(const void *a, const void *b) {
    const double *x = *(const double *const *)a, *y = *(const double *const *)b;
    if (*x != *y)
        return *x < *y ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* major = bin of the target among `bins` of equal counts; equal targets share a bin: that of the first. */
static inline int32_t split_bin_target(const split_self *s, const lathe_split_input *in,
                                       int64_t bins, split_row *rows, lathe_error *err) {
    int64_t n = in->table->n_rows;
    const double *value = in->target->values;
    const double **order = s->host->alloc(s->host, (uint64_t)n * sizeof *order);
    int64_t bin = 0;
    if (order == NULL)
        return split_fail(err, LATHE_E_MEMORY, "split", "no memory to order %lld rows",
                          (long long)n);
    for (int64_t i = 0; i < n; i++)
        order[i] = value + i;
    qsort(order, (size_t)n, sizeof *order, split_compare_value);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || *order[i] != *order[i - 1])
            bin = (int64_t)((double)i * (double)bins / (double)n);
        rows[order[i] - value].major = bin;
    }
    s->host->free(s->host, (void *)order);
    return LATHE_OK;
}

/* Sets major of each row and sorts by (major, key). */
static inline int32_t split_stratify(const split_self *s, const lathe_split_input *in, int64_t bins,
                                     split_row *rows, lathe_error *err) {
    int64_t n = in->table->n_rows;
    if (in->target == NULL)
        return split_fail(err, LATHE_E_INVALID, "split",
                          "a stratified split needs a target; use \"random\"");
    if (in->target->type != LATHE_COLUMN_CATEGORY && in->target->type != LATHE_COLUMN_FLOAT64)
        return split_fail(err, LATHE_E_UNSUPPORTED, "split",
                          "the target is neither classes nor numbers; use \"random\"");
    for (int64_t i = 0; i < n; i++)
        if (lathe_is_missing(in->target, i))
            return split_fail(err, LATHE_E_DATA, "split", "row %lld has no target",
                              (long long)(in->row_id != NULL ? in->row_id[i] : i));
    if (in->target->type == LATHE_COLUMN_FLOAT64) {
        int32_t rc = split_bin_target(s, in, bins, rows, err);
        if (rc != LATHE_OK)
            return rc;
    } else {
        for (int64_t i = 0; i < n; i++)
            rows[i].major = ((const int32_t *)in->target->values)[i];
    }
    qsort(rows, (size_t)n, sizeof *rows, split_compare);
    return LATHE_OK;
}

/* The end of the stratum that begins at `begin`, in sorted rows. */
static inline int64_t split_stratum_end(const split_row *rows, int64_t n, int64_t begin) {
    int64_t end = begin + 1;
    while (end < n && rows[end].major == rows[begin].major)
        end++;
    return end;
}

static inline int64_t split_count_strata(const split_row *rows, int64_t n) {
    int64_t strata = 0;
    for (int64_t i = 0; i < n; i = split_stratum_end(rows, n, i))
        strata++;
    return strata;
}

#endif

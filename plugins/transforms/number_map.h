/* number_map.h: transforms that replace each chosen column of numbers, in its place, by a function of its value
 * and of two numbers that fit found: standardize, min_max, robust, clip, log1p. Missing stays missing.
 */
#ifndef LATHE_TRANSFORMS_NUMBER_MAP_H
#define LATHE_TRANSFORMS_NUMBER_MAP_H

#include "step.h"

typedef struct number_map {
    step base;
    const double *pairs; /* [n_chosen, 2] */
} number_map;

/* Finds the two numbers of a column from its values (sorted where asked), n > 0. */
typedef int32_t (*number_map_fit_fn)(const void *config, const char *name, step_value *values,
                                     int64_t n, int weighted, double *pair, lathe_error *err);

static inline int32_t number_map_fit(number_map *m, const lathe_selector *columns, const char *what,
                                     number_map_fit_fn find, const lathe_transform_fit *in,
                                     lathe_error *err) {
    step *s = &m->base;
    double *pairs;
    int64_t k = 0, n;
    int32_t rc = step_begin(s, columns, in, err);
    if (rc != LATHE_OK || (rc = step_need_numbers(s, in->table, what, err)) != LATHE_OK)
        return rc;
    step_value *values = s->host->alloc(s->host, (uint64_t)in->table->n_rows * sizeof *values);
    pairs = step_take(s, s->n_chosen > 0 ? s->n_chosen : 1, 2 * sizeof *pairs);
    rc = values == NULL || pairs == NULL ? step_no_memory(err) : LATHE_OK;
    for (int64_t i = 0; i < s->n_in && rc == LATHE_OK; i++) {
        const lathe_column *c = &in->table->columns[i];
        if (k == s->n_chosen || s->chosen[k] != i) {
            rc = step_pass(s, in->table, i, err);
            continue;
        }
        step_gather(in, c, values, &n);
        rc = n == 0 ? step_no_values(err, c->name)
                    : find(s->config, c->name, values, n, in->weight != NULL, pairs + 2 * k, err);
        if (rc == LATHE_OK)
            rc = step_add_field(s, c->name, LATHE_COLUMN_FLOAT64, -1, NULL, 0, err);
        k++;
    }
    s->host->free(s->host, values);
    m->pairs = pairs;
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static inline int32_t number_map_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const number_map *m = self;
    int32_t rc = step_save(&m->base, w, err);
    if (rc != LATHE_OK)
        return rc;
    return lathe_write_array(w, "pairs", LATHE_FLOAT, 64, m->pairs, m->base.n_chosen * 2, err);
}

static inline int32_t number_map_load(void *self, const lathe_reader *r, lathe_error *err) {
    number_map *m = self;
    const void *pairs;
    int32_t rc = step_load(&m->base, r, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_read_array(r, "pairs", LATHE_FLOAT, 64, m->base.n_chosen * 2, &pairs, NULL, err);
    if (rc != LATHE_OK)
        return rc;
    m->pairs = pairs;
    if (m->base.n_out != m->base.n_in || step_count_made(&m->base) != m->base.n_chosen)
        return step_corrupt(err, "another number of columns goes out than comes in");
    for (int64_t k = 0; k < m->base.n_chosen; k++) {
        int32_t at = m->base.chosen[k];
        int32_t type = m->base.in_types[at];
        if ((type != LATHE_COLUMN_FLOAT64 && type != LATHE_COLUMN_INT64) ||
            m->base.fields[at].source >= 0 || m->base.fields[at].type != LATHE_COLUMN_FLOAT64)
            return step_corrupt(err, "a chosen column is not one of numbers");
    }
    m->base.fitted = 1;
    return LATHE_OK;
}

/* Defines `apply` as the loops of all columns over EXPRESSION in x, a, b. */
#define NUMBER_MAP_APPLY(EXPRESSION)                                                               \
    static int32_t apply(const void *self, const lathe_table *in, lathe_table *out,                \
                         lathe_error *err) {                                                       \
        const number_map *m = self;                                                                \
        int32_t rc = step_check_input(&m->base, in, err);                                          \
        for (int64_t k = 0; rc == LATHE_OK && k < m->base.n_chosen; k++) {                         \
            int32_t at = m->base.chosen[k];                                                        \
            double *y = out->columns[at].values;                                                   \
            const double a = m->pairs[2 * k], b = m->pairs[2 * k + 1];                             \
            for (int64_t i = 0; i < in->n_rows; i++) {                                             \
                double x = lathe_number_at(&in->columns[at], i, NAN);                              \
                y[i] = isnan(x) ? x : (EXPRESSION);                                                \
            }                                                                                      \
        }                                                                                          \
        return rc;                                                                                 \
    }

/* Defines the method table around fit and apply. */
#define NUMBER_MAP_INTERFACE                                                                       \
    static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),         \
                                              .fit = fit,                                          \
                                              .schema = step_schema,                               \
                                              .apply = apply,                                      \
                                              .save = number_map_save,                             \
                                              .load = number_map_load};

#endif

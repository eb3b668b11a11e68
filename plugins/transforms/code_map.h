/* code_map.h: transforms that replace each chosen column of categories by `width` columns of numbers looked up by
 * code: ordinal, target_encode.
 *
 *     table of a column   [dict_size + 2, width]: one line a code, then missing, then unseen
 */
#ifndef LATHE_TRANSFORMS_CODE_MAP_H
#define LATHE_TRANSFORMS_CODE_MAP_H

#include "step.h"

typedef struct code_map {
    step base;
    int64_t width;
    const int64_t *first;   /* [n_chosen] the first output column of each */
    const int64_t *offsets; /* [n_chosen + 1] of each column's table, in lines */
    const double *table;    /* [offsets[n_chosen], width] */
} code_map;

/* The line of a column's table that a code means; codes the dictionary does not hold are unseen. */
static inline int64_t code_map_line(const code_map *m, int64_t k, int32_t code) {
    int64_t n = m->offsets[k + 1] - m->offsets[k] - 2;
    int64_t line = code >= 0 && code < n ? code : code == LATHE_CODE_MISSING ? n : n + 1;
    return m->offsets[k] + line;
}

static inline int32_t code_map_apply(const void *self, const lathe_table *in, lathe_table *out,
                                     lathe_error *err) {
    const code_map *m = self;
    int32_t rc = step_check_input(&m->base, in, err);
    for (int64_t k = 0; rc == LATHE_OK && k < m->base.n_chosen; k++) {
        const int32_t *codes = in->columns[m->base.chosen[k]].values;
        for (int64_t j = 0; j < m->width; j++) {
            double *y = out->columns[m->first[k] + j].values;
            for (int64_t i = 0; i < in->n_rows; i++)
                y[i] = m->table[code_map_line(m, k, codes[i]) * m->width + j];
        }
    }
    return rc;
}

/* Makes first, offsets and the zeroed table; the lines are the caller's to fill. */
static inline int32_t code_map_reserve(code_map *m, const lathe_table *table, int64_t width,
                                       double **lines, lathe_error *err) {
    step *s = &m->base;
    int64_t *first = step_take(s, s->n_chosen + 1, sizeof *first);
    int64_t *offsets = step_take(s, s->n_chosen + 1, sizeof *offsets);
    if (first == NULL || offsets == NULL)
        return step_no_memory(err);
    for (int64_t k = 0; k < s->n_chosen; k++) {
        first[k] = s->chosen[k] + k * (width - 1);
        offsets[k + 1] = offsets[k] + table->columns[s->chosen[k]].dict_size + 2;
    }
    *lines = step_take(s, offsets[s->n_chosen] > 0 ? offsets[s->n_chosen] : 1,
                       (uint64_t)width * sizeof **lines);
    if (*lines == NULL)
        return step_no_memory(err);
    m->width = width;
    m->first = first;
    m->offsets = offsets;
    m->table = *lines;
    return LATHE_OK;
}

static inline int32_t code_map_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const code_map *m = self;
    int64_t n = m->base.n_chosen;
    int32_t rc;
    if ((rc = step_save(&m->base, w, err)) != LATHE_OK ||
        (rc = w->integer(w, "width", m->width, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "offsets", LATHE_INT, 64, m->offsets, n + 1, err)) != LATHE_OK)
        return rc;
    return lathe_write_array(w, "table", LATHE_FLOAT, 64, m->table, m->offsets[n] * m->width, err);
}

static inline int32_t code_map_load(void *self, const lathe_reader *r, lathe_error *err) {
    code_map *m = self;
    step *s = &m->base;
    const void *offsets, *table;
    int32_t rc;
    if ((rc = step_load(s, r, err)) != LATHE_OK ||
        (rc = r->integer(r, "width", 1, STEP_MAX_COLUMNS, &m->width, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "offsets", LATHE_INT, 64, s->n_chosen + 1, &offsets, NULL,
                               err)) != LATHE_OK)
        return rc;
    m->offsets = offsets;
    int64_t *first = step_take(s, s->n_chosen + 1, sizeof *first);
    if (first == NULL)
        return step_no_memory(err);
    if (m->offsets[0] != 0)
        return step_corrupt(err, "a table that does not begin at 0");
    for (int64_t k = 0; k < s->n_chosen; k++) {
        int64_t lines = m->offsets[k + 1] - m->offsets[k];
        first[k] = s->chosen[k] + k * (m->width - 1);
        if (m->offsets[k + 1] < 0 || m->offsets[k + 1] > INT64_MAX / 16 / m->width || lines < 2 ||
            lines > INT32_MAX)
            return step_corrupt(err, "a table of impossible length");
        if (s->in_types[s->chosen[k]] != LATHE_COLUMN_CATEGORY || first[k] + m->width > s->n_out)
            return step_corrupt(err, "a chosen column is not one of categories");
        for (int64_t j = 0; j < m->width; j++)
            if (s->fields[first[k] + j].source >= 0 ||
                s->fields[first[k] + j].type != LATHE_COLUMN_FLOAT64)
                return step_corrupt(err, "an output column is not one of numbers");
    }
    if (step_count_made(s) != s->n_chosen * m->width)
        return step_corrupt(err, "a column that nothing fills");
    rc = lathe_read_array(r, "table", LATHE_FLOAT, 64, m->offsets[s->n_chosen] * m->width, &table,
                          NULL, err);
    if (rc != LATHE_OK)
        return rc;
    m->first = first;
    m->table = table;
    s->fitted = 1;
    return LATHE_OK;
}

#endif

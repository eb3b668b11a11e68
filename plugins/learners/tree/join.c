/* join.c: features of few bins that share a column.
 *
 * Two features of sixteen bins each have 256 pairs of bins: one byte tells both. A histogram of such joined columns takes
 * fewer additions a row, and the sums of either feature are those of the pairs summed over the other: of integers, so
 * they are what they would have been, bit for bit. The summing costs some hundred additions a column whatever the rows,
 * so nodes of few rows are added as ever (tree_joins_pay).
 *
 * Only bins that occur in the training rows are told apart (digits): a category's bin of the rare ones is often empty. Which features
 * share a column: best fit, the features of most bins first. Columns are made where they spare a fifth at least, of sets
 * of few rows, which have bins by columns anyhow: there the second copy of the rows is little memory.
 */
#include "packed.h"

#include <stdio.h>
#include <string.h>

enum {
    LEAST_SPARED = 2,
    FIFTHS = 5,
    MOST_FEATURES = 256,
    PAYS = 2048, /* additions spared that pay for the summing */
    GRAIN = 4096
};

void tree_joins_free(const lathe_host *host, tree_joins *j) {
    if (!j)
        return;
    host->free(host, j->rows);
    host->free(host, j->part);
    host->free(host, j->column);
    host->free(host, j);
}

int tree_joins_pay(const tree_context *c, int64_t n) {
    return c->joined && n * (c->joins->n_parts - c->joins->n_columns) >= PAYS;
}

/* Bins that occur become digits, in order. */
static void find_digits(const tree_context *c, tree_join *p, int32_t feature) {
    const uint8_t *column = tree_column(c, feature);
    uint8_t seen[PACKED_BINS] = {0};
    p->feature = feature;
    p->n = 0;
    for (int64_t i = 0; i < c->n_rows; i++)
        seen[column[i]] = 1;
    for (int b = 0; b < PACKED_BINS; b++)
        if (seen[b])
            p->bin[p->n++] = (uint8_t)b;
}

/* By digits, falling; few, so by insertion. */
static void sort_parts(tree_join *part, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        tree_join p = part[i];
        int64_t at = i;
        for (; at > 0 && part[at - 1].n < p.n; at--)
            part[at] = part[at - 1];
        part[at] = p;
    }
}

/* The column that the feature fills best; a new one where it fits into none. */
static int32_t choose_column(tree_joins *j, int32_t digits) {
    int32_t best = -1;
    for (int32_t k = 0; k < j->n_columns; k++)
        if (j->column[k].n_cells * digits <= PACKED_BINS &&
            (best < 0 || j->column[k].n_cells > j->column[best].n_cells))
            best = k;
    if (best < 0) {
        best = (int32_t)j->n_columns++;
        j->column[best] = (tree_join_column){.n_cells = 1};
    }
    return best;
}

/* Parts by column, in the order of their weights. */
static int place_parts(const tree_context *c, tree_joins *j) {
    for (int64_t i = 0; i < c->n_fit_features; i++)
        find_digits(c, &j->part[j->n_parts++], c->feature[i]);
    sort_parts(j->part, j->n_parts);
    for (int64_t i = 0; i < j->n_parts; i++) {
        tree_join *p = &j->part[i];
        p->column = choose_column(j, p->n);
        p->weight = j->column[p->column].n_cells;
        j->column[p->column].n_cells *= p->n;
        j->column[p->column].n_parts++;
    }
    for (int64_t i = 1; i < j->n_parts; i++) { /* stable */
        tree_join p = j->part[i];
        int64_t at = i;
        for (; at > 0 && j->part[at - 1].column > p.column; at--)
            j->part[at] = j->part[at - 1];
        j->part[at] = p;
    }
    for (int32_t k = 0, first = 0; k < j->n_columns; first += j->column[k++].n_parts)
        j->column[k].first = first;
    return j->n_parts - j->n_columns >= LEAST_SPARED &&
           FIFTHS * (j->n_parts - j->n_columns) >= j->n_parts;
}

typedef struct filling {
    const tree_context *c;
    tree_joins *j;
} filling;

static int32_t fill_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const filling *f = user;
    tree_joins *j = f->j;
    for (int64_t i = 0; i < j->n_parts; i++) {
        const tree_join *p = &j->part[i];
        const uint8_t *bins = tree_column(f->c, p->feature);
        uint8_t *to = j->rows + p->column, value[PACKED_BINS] = {0};
        for (int d = 0; d < p->n; d++)
            value[p->bin[d]] = (uint8_t)(d * p->weight);
        for (int64_t r = begin; r < end; r++)
            to[r * j->stride] = (uint8_t)(to[r * j->stride] + value[bins[r]]);
    }
    return LATHE_OK;
}

static int make(const tree_context *c, tree_joins *j) {
    const lathe_host *host = c->host;
    uint64_t n = (uint64_t)c->n_fit_features;
    j->part = host->alloc(host, n * sizeof *j->part);
    j->column = host->alloc(host, n * sizeof *j->column);
    if (!j->part || !j->column || !place_parts(c, j))
        return 0;
    j->stride = j->n_columns > 8 ? (j->n_columns + 15) / 16 * 16 : 8;
    j->rows = host->alloc(host, (uint64_t)(c->n_rows * j->stride));
    filling f = {c, j};
    return j->rows && host->parallel_for(host, c->n_rows, GRAIN, fill_chunk, &f) == LATHE_OK;
}

/* Can two of the features share a column? */
static int looks_worth(const tree_context *c) {
    int64_t n = 0;
    for (int64_t i = 0; i < c->n_fit_features; i++)
        n += lathe_bin_feature_at(c->bins, c->feature[i])->n_bins <= PACKED_BINS / 2;
    return FIFTHS * n > c->n_fit_features && c->n_fit_features <= MOST_FEATURES;
}

void tree_joins_make(tree_context *c) {
    const lathe_host *host = c->host;
    c->tried_joins = 1;
    if (!c->bins->columns || !looks_worth(c))
        return;
    tree_joins *j = host->alloc(host, sizeof *j);
    if (!j)
        return;
    if (!make(c, j)) {
        tree_joins_free(host, j); /* without them all is as before, only slower */
        return;
    }
    c->joins = j;
    char text[96];
    snprintf(text, sizeof text, "tree joins: %lld features are added in %lld columns",
             (long long)j->n_parts, (long long)j->n_columns);
    host->log(host, LATHE_LOG_DEBUG, text);
}

/* ---- a feature's sums ------------------------------------------------------------------------ */

/* Adds the sums of one feature's digits to its cells. */
static void add_digits(const tree_context *c, const tree_join *p, const int64_t *sums, int64_t *to,
                       int to_is_narrow) {
    int64_t at = (int64_t)p->feature * PACKED_BINS;
    if (c->is_tight) {
        const uint32_t *tight = (const uint32_t *)(const void *)sums;
        uint32_t *cell = (uint32_t *)(void *)to + at;
        for (int d = 0; d < p->n; d++)
            if (to_is_narrow)
                cell[p->bin[d]] += tight[d];
            else
                to[at + p->bin[d]] += packed_loosen(tight[d]);
        return;
    }
    tree_cell *wide = (tree_cell *)(void *)to + at;
    for (int d = 0; d < p->n; d++)
        if (to_is_narrow) {
            to[at + p->bin[d]] += sums[d];
        } else {
            tree_cell cell = packed_widen(c, sums[d]);
            wide[p->bin[d]].g += cell.g;
            wide[p->bin[d]].hc += cell.hc;
        }
}

void tree_joins_flush(const tree_context *c, int64_t *from, int64_t *to, int to_is_narrow) {
    const tree_joins *j = c->joins;
    int64_t words = PACKED_BINS * packed_cell_bytes(c, 1) / (int64_t)sizeof *from;
    for (int64_t k = 0; k < j->n_columns; k++) {
        int64_t *cells = from + k * words, sums[PACKED_BINS];
        const tree_join *part = j->part + j->column[k].first;
        for (int32_t i = j->column[k].n_parts - 1; i > 0; i--) {
            c->kernels->collapse(cells, part[i].weight, part[i].n, c->is_tight, sums);
            add_digits(c, &part[i], sums, to, to_is_narrow);
        }
        add_digits(c, &part[0], cells, to, to_is_narrow);
    }
}

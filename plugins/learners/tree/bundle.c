/* bundle.c: sparse features that never have a value in the same row, as one column.
 *
 * The columns of a category's one-hot code, of words, of flags are at their most frequent bin in nearly every row. Some
 * of them, no two of which leave that bin in the same row, become a bundle (G. Ke et al., "LightGBM", 2017, section 4,
 * exclusive feature bundling): a byte a row that is 0 where all are at their most frequent bin, else tells which feature
 * left it for which bin. Histograms are made of bundles: for a thousand one-hot columns that is a few bytes a row
 * instead of a thousand, and cells that stay in the first-level cache. A feature's own histogram is cut out of its
 * bundle's, and its most frequent bin gets what the node has besides. No conflict is tolerated, sums are of integers: so
 * the trees are those without bundles, bit for bit.
 *
 * Which bundle: first fit, the features with most rows first (there, algorithm 3: greedy colouring of the graph of
 * conflicts). Bundles are made where they spare a quarter of the columns at least, for packed sums of trees that look
 * at all features.
 */
#include "packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST_SPARED = 8,
    SAMPLE_ROWS = 1024,
    MOST_TRIED = 128,    /* bundles that a feature is tried in */
    EARLY_BUNDLES = 256, /* so many bundles of few features each: given up */
    TRANSPOSED_ROWS = 4096
};

/* A feature that may go into a bundle. */
typedef struct candidate {
    int32_t feature;
    int32_t usual;  /* its most frequent bin */
    int64_t n_rows; /* that are not in it */
} candidate;

typedef struct making {
    const tree_context *c;
    tree_bundles *b;
    candidate *candidate; /* [n_features] */
    int64_t n_candidates;
    int32_t *rows;    /* [n_rows / 2 + 1] of one feature */
    uint8_t **column; /* [n_features] of the bundles */
    int64_t n_bundles;
} making;

static int n_bins_of(const tree_context *c, int64_t f) {
    return lathe_bin_feature_at(c->bins, f)->n_bins;
}

void tree_bundles_free(const lathe_host *host, tree_bundles *b) {
    if (!b)
        return;
    host->free(host, b->rows);
    host->free(host, b->n_bins);
    host->free(host, b->place);
    host->free(host, b->flag);
    host->free(host, b->n_flags);
    host->free(host, b->is_flag);
    host->free(host, b);
}

/* ---- which features -------------------------------------------------------------------------- */

static int32_t most_frequent(const int64_t *counts) {
    int32_t best = 0;
    for (int32_t b = 1; b < PACKED_BINS; b++)
        best = counts[b] > counts[best] ? b : best;
    return best;
}

/* A look at some rows: most features of dense data end here. */
static int looks_sparse(const tree_context *c, int32_t f) {
    const uint8_t *column = c->bins->rows + f;
    int64_t counts[PACKED_BINS] = {0}, n = c->n_rows < SAMPLE_ROWS ? c->n_rows : SAMPLE_ROWS;
    for (int64_t i = 0; i < n; i++)
        counts[column[i * c->n_rows / n * c->bins->row_stride]]++;
    return 5 * counts[most_frequent(counts)] >= 2 * n;
}

/* May there be enough of them? */
static int looks_worth(const tree_context *c) {
    int64_t n = 0;
    for (int32_t f = 0; f < c->n_features && n <= LEAST_SPARED; f++)
        n += n_bins_of(c, f) > 1 && looks_sparse(c, f);
    return n > LEAST_SPARED;
}

static void find_candidates(making *m) {
    const tree_context *c = m->c;
    int64_t found = 0;
    for (int32_t f = 0; f < c->n_features; f++)
        if (n_bins_of(c, f) > 1 && looks_sparse(c, f))
            m->candidate[found++].feature = f;
    for (int64_t k = 0; k < found && found > LEAST_SPARED; k++) {
        int64_t counts[PACKED_BINS] = {0};
        int32_t f = m->candidate[k].feature;
        const uint8_t *column = tree_column(c, f);
        for (int64_t i = 0; i < c->n_rows; i++)
            counts[column[i]]++;
        int32_t usual = most_frequent(counts);
        if (2 * counts[usual] >= c->n_rows)
            m->candidate[m->n_candidates++] = (candidate){f, usual, c->n_rows - counts[usual]};
    }
}

static int by_rows_falling(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->n_rows != y->n_rows)
        return x->n_rows > y->n_rows ? -1 : 1;
    return (x->feature > y->feature) - (x->feature < y->feature);
}

/* ---- first fit ------------------------------------------------------------------------------- */

/* The rows of the feature that are not in its most frequent bin: eight are looked at in one word. */
static int64_t find_rows(making *m, const candidate *f) {
    const uint8_t *column = tree_column(m->c, f->feature);
    const uint64_t usual = 0x0101010101010101u * (uint64_t)f->usual;
    int64_t n = 0;
    for (int64_t i = 0; i < m->c->n_rows; i += 8) {
        uint64_t word;
        memcpy(&word, column + i, 8); /* columns are padded to 64 */
        if (word == usual)
            continue;
        for (int64_t k = i; k < i + 8 && k < m->c->n_rows; k++)
            if (column[k] != f->usual)
                m->rows[n++] = (int32_t)k;
    }
    return n;
}

static int is_free(const uint8_t *column, const int32_t *rows, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (column[rows[i]])
            return 0;
    return 1;
}

/* The bundle that takes the feature; a new one, or -1: no memory. */
static int64_t find_bundle(making *m, int64_t n, int32_t bins) {
    const lathe_host *host = m->c->host;
    int64_t from = m->n_bundles > MOST_TRIED ? m->n_bundles - MOST_TRIED : 0;
    for (int64_t k = from; k < m->n_bundles; k++)
        if (m->b->n_bins[k] + bins - 1 <= PACKED_BINS && is_free(m->column[k], m->rows, n))
            return k;
    m->column[m->n_bundles] = host->alloc(host, (uint64_t)m->c->n_rows);
    if (!m->column[m->n_bundles])
        return -1;
    m->b->n_bins[m->n_bundles] = 1;
    return m->n_bundles++;
}

/* 0: not worth it, or no memory. */
static int place_candidates(making *m) {
    for (int64_t i = 0; i < m->n_candidates; i++) {
        const candidate *f = &m->candidate[i];
        const uint8_t *from = tree_column(m->c, f->feature);
        int32_t bins = n_bins_of(m->c, f->feature);
        int64_t n = find_rows(m, f), k = find_bundle(m, n, bins);
        if (k < 0 || (m->n_bundles >= EARLY_BUNDLES && 4 * m->n_bundles > 3 * (i + 1)))
            return 0;
        tree_place *place = &m->b->place[f->feature];
        *place = (tree_place){(int32_t)k, m->b->n_bins[k], f->usual};
        for (int64_t r = 0; r < n; r++) {
            int32_t bin = from[m->rows[r]];
            m->column[k][m->rows[r]] = (uint8_t)(place->first + bin - (bin > f->usual));
        }
        m->b->n_bins[k] += bins - 1;
    }
    return 1;
}

/* ---- the columns by rows --------------------------------------------------------------------- */

/* The other features get columns of their own, behind the bundles. */
static void place_others(making *m) {
    tree_bundles *b = m->b;
    b->n_columns = m->n_bundles;
    for (int32_t f = 0; f < m->c->n_features; f++) {
        if (b->place[f].first > 0 || n_bins_of(m->c, f) < 2)
            continue;
        b->n_bins[b->n_columns] = n_bins_of(m->c, f);
        b->place[f] = (tree_place){(int32_t)b->n_columns++, 0, 0};
    }
}

static int64_t usable_features(const tree_context *c) {
    int64_t n = 0;
    for (int64_t f = 0; f < c->n_features; f++)
        n += n_bins_of(c, f) > 1;
    return n;
}

static int make_rows(making *m) {
    const tree_context *c = m->c;
    tree_bundles *b = m->b;
    b->stride = (b->n_columns + 15) / 16 * 16;
    b->rows = c->host->alloc(c->host, (uint64_t)(c->n_rows * b->stride));
    if (!b->rows)
        return 0;
    for (int64_t begin = 0; begin < c->n_rows; begin += TRANSPOSED_ROWS) {
        int64_t end = begin + TRANSPOSED_ROWS < c->n_rows ? begin + TRANSPOSED_ROWS : c->n_rows;
        for (int64_t k = 0; k < m->n_bundles; k++)
            for (int64_t i = begin; i < end; i++)
                b->rows[i * b->stride + k] = m->column[k][i];
        for (int32_t f = 0; f < c->n_features; f++) {
            const uint8_t *column = tree_column(c, f);
            if (b->place[f].first > 0 || n_bins_of(c, f) < 2)
                continue;
            for (int64_t i = begin; i < end; i++)
                b->rows[i * b->stride + b->place[f].column] = column[i];
        }
    }
    return 1;
}

/* The features that have but one cell: of all of a column the best cut is found in one go. */
static int list_flags(making *m) {
    const tree_context *c = m->c;
    tree_bundles *b = m->b;
    uint64_t columns = (uint64_t)b->n_columns;
    b->flag = c->host->alloc(c->host, columns * PACKED_BINS * sizeof *b->flag);
    b->n_flags = c->host->alloc(c->host, columns * sizeof *b->n_flags);
    b->is_flag = c->host->alloc(c->host, (uint64_t)c->n_features);
    if (!b->flag || !b->n_flags || !b->is_flag)
        return 0;
    for (int32_t f = 0; f < c->n_features; f++) {
        const lathe_bin_feature *feature = lathe_bin_feature_at(c->bins, f);
        int64_t k = b->place[f].column;
        if (b->place[f].first == 0 || feature->n_bins != 2 || feature->missing_bin >= 0 ||
            feature->type != LATHE_FEATURE_NUMERIC)
            continue;
        b->flag[k * PACKED_BINS + b->n_flags[k]++] = f;
        b->is_flag[f] = 1;
    }
    return 1;
}

static int make(making *m) {
    const lathe_host *host = m->c->host;
    uint64_t n = (uint64_t)m->c->n_features + 1;
    m->b->place = host->alloc(host, n * sizeof *m->b->place);
    m->b->n_bins = host->alloc(host, n * sizeof *m->b->n_bins);
    m->candidate = host->alloc(host, n * sizeof *m->candidate);
    m->column = host->alloc(host, n * sizeof *m->column);
    m->rows = host->alloc(host, ((uint64_t)m->c->n_rows / 2 + 1) * sizeof *m->rows);
    if (!m->b->place || !m->b->n_bins || !m->candidate || !m->column || !m->rows)
        return 0;
    find_candidates(m);
    if (m->n_candidates <= LEAST_SPARED)
        return 0;
    qsort(m->candidate, (size_t)m->n_candidates, sizeof *m->candidate, by_rows_falling);
    if (!place_candidates(m))
        return 0;
    place_others(m);
    int64_t all = m->b->n_usable = usable_features(m->c);
    return all - m->b->n_columns >= LEAST_SPARED && 4 * m->b->n_columns <= 3 * all &&
           make_rows(m) && list_flags(m);
}

void tree_bundles_make(tree_context *c) {
    const lathe_host *host = c->host;
    c->tried_bundles = 1;
    if (!looks_worth(c) || tree_context_columns(c, NULL) != LATHE_OK)
        return;
    making m = {.c = c, .b = host->alloc(host, sizeof *m.b)};
    if (!m.b)
        return;
    int made = make(&m);
    for (int64_t k = 0; k < m.n_bundles; k++)
        host->free(host, m.column[k]);
    host->free(host, m.column);
    host->free(host, m.candidate);
    host->free(host, m.rows);
    if (!made) {
        tree_bundles_free(host, m.b); /* without them all is as before, only slower */
        return;
    }
    c->bundles = m.b;
    char text[96];
    snprintf(text, sizeof text, "tree: %lld columns are looked at as %lld",
             (long long)usable_features(c), (long long)m.b->n_columns);
    host->log(host, LATHE_LOG_DEBUG, text);
}

/* ---- a feature's histogram ------------------------------------------------------------------- */

const int64_t *tree_bundles_cells(const tree_context *c, const tree_item *item, int32_t feature,
                                  const int64_t *histogram, int narrow, int64_t *scratch) {
    const tree_place *p = &c->bundles->place[feature];
    int64_t at = (int64_t)p->column * PACKED_BINS + p->first;
    int n = n_bins_of(c, feature), usual = p->usual;
    if (p->first == 0)
        return histogram + at * (narrow ? 1 : 2);
    if (narrow) {
        const int64_t *from = histogram + at;
        int64_t rest = packed_narrow(c, item->sum);
        for (int b = 0; b < n; b++) {
            scratch[b] = b == usual ? 0 : *from++;
            rest -= scratch[b];
        }
        scratch[usual] = rest;
        return scratch;
    }
    const tree_cell *from = (const tree_cell *)(const void *)histogram + at;
    tree_cell *to = (tree_cell *)(void *)scratch, rest = item->sum;
    for (int b = 0; b < n; b++) {
        to[b] = b == usual ? (tree_cell){0, 0} : *from++;
        rest.g -= to[b].g;
        rest.hc -= to[b].hc;
    }
    to[usual] = rest;
    return scratch;
}

int tree_bundles_flags(const tree_context *c, const tree_item *item, int64_t column,
                       const int64_t *histogram, const int32_t **features, int64_t *left) {
    const tree_bundles *b = c->bundles;
    int64_t all = packed_narrow(c, item->sum);
    int n = b->n_flags[column];
    *features = b->flag + column * PACKED_BINS;
    for (int i = 0; i < n; i++) {
        const tree_place *p = &b->place[(*features)[i]];
        int64_t cell = histogram[column * PACKED_BINS + p->first];
        left[i] = p->usual == 0 ? all - cell : cell;
    }
    return n;
}

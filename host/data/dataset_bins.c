/* data/dataset_bins.c: the lazily made parts of a dataset: a view's matrix, and bins.
 *
 * Bins of a root are made in two phases: edges or codes, a feature an item; then encoding, a block
 * of rows an item, which reads the matrix once. A view gathers from the root's bins. Columns are
 * made of the rows, when somebody first asks for them.
 */
#include "base/rng.h"
#include "base/size.h"
#include "data/bins.h"
#include "data/dataset_internal.h"
#include "data/memory.h"

#include <stdlib.h>
#include <string.h>

#define MOST_CHUNK_ROWS 4096                    /* see dataset_chunk_rows */
#define WIDE 64                                 /* features that are looked at in groups */
#define GROUP 16                                /* floats of a cache line */
#define SAMPLE_KEY UINT64_C(0x6c617468652d6269) /* fixed: edges depend on the data alone */

/* What a thread finds the edges of a feature with. */
typedef struct bins_scratch {
    struct bins_scratch *next;
    float *values;   /* [group, n_sample] */
    float *distinct; /* [n_sample] and for sorting */
    int64_t *counts; /* [n_sample] */
} bins_scratch;

static void free_scratch(dataset_slot *s) {
    pthread_mutex_lock(&s->scratch_lock);
    while (s->scratch != NULL) {
        bins_scratch *one = s->scratch;
        s->scratch = one->next;
        lathe_pages_free(one);
    }
    lathe_pages_free(s->sample);
    s->sample = NULL;
    pthread_mutex_unlock(&s->scratch_lock);
}

void dataset_slots_free(dataset_slot *slots) {
    while (slots != NULL) {
        dataset_slot *next = slots->next;
        lathe_joint_destroy(&slots->joint);
        lathe_joint_destroy(&slots->transposing);
        free(slots->matrix);
        free(slots->features);
        free(slots->edges);
        free(slots->codes);
        free(slots->tables);
        free(slots->code_bins);
        free(slots->code_begin);
        free_scratch(slots);
        pthread_mutex_destroy(&slots->scratch_lock);
        free(slots->rows);
        free(slots->columns);
        free(slots);
        slots = next;
    }
}

/* The slot that is made or in the making; not one that failed. Called with the lock held. */
static dataset_slot *find_slot(lathe_dataset *d, int32_t max_bins) {
    for (dataset_slot *s = d->slots; s != NULL; s = s->next) {
        if (s->max_bins == max_bins && atomic_load(&s->joint.status) == LATHE_OK)
            return s;
    }
    return NULL;
}

static dataset_slot *new_slot(lathe_dataset *d, int32_t max_bins) {
    dataset_slot *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    lathe_joint_init(&s->joint, s);
    lathe_joint_init(&s->transposing, s);
    pthread_mutex_init(&s->scratch_lock, NULL);
    s->data = d;
    s->max_bins = max_bins;
    s->chunk_rows = dataset_chunk_rows(d->stride);
    return s;
}

static int64_t row_items(const dataset_slot *s) {
    return (s->data->n_rows + s->chunk_rows - 1) / s->chunk_rows;
}

static int64_t item_end(const dataset_slot *s, int64_t item) {
    int64_t end = (item + 1) * s->chunk_rows;
    return end < s->data->n_rows ? end : s->data->n_rows;
}

/* ---- matrix of a view ---- */

static int32_t gather_matrix(void *user, int64_t item) {
    dataset_slot *s = user;
    const lathe_dataset *d = s->data;
    size_t bytes = (size_t)d->stride * sizeof(float);
    for (int64_t i = item * s->chunk_rows; i < item_end(s, item); i++)
        memcpy(s->matrix + i * d->stride, d->root->matrix + d->rows[i] * d->stride, bytes);
    return LATHE_OK;
}

static dataset_slot *new_matrix_slot(lathe_dataset *d) {
    dataset_slot *s = new_slot(d, 0);
    if (s == NULL)
        return NULL;
    /* No overflow: the root's matrix, with this stride, has fewer than 2^31 rows too. */
    s->matrix = lathe_aligned_new(d->n_rows, (size_t)d->stride * sizeof(float));
    if (s->matrix == NULL) {
        dataset_slots_free(s);
        return NULL;
    }
    s->bytes = d->n_rows * d->stride * 4;
    lathe_joint_add(&s->joint, gather_matrix, row_items(s));
    return s;
}

int32_t dataset_matrix(lathe_dataset *d, const float **matrix, lathe_error *err) {
    if (d->root == d) {
        *matrix = d->matrix;
        return LATHE_OK;
    }
    pthread_mutex_lock(&d->lock);
    dataset_slot *s = find_slot(d, 0);
    bool starter = s == NULL;
    if (starter && (s = new_matrix_slot(d)) != NULL) {
        s->next = d->slots;
        d->slots = s;
    }
    pthread_mutex_unlock(&d->lock);
    if (s == NULL || lathe_joint_finish(&s->joint, d->pool, starter) != LATHE_OK)
        return lathe_fail_memory(err, "dataset view", "the matrix of a view");
    *matrix = s->matrix;
    return LATHE_OK;
}

/* ---- bins of a root ---- */

/* Rows for the edges: those whose random number, a function of row_id, is small enough: adding rows
 * or threads moves no other row's number. */
static bool choose_sample(dataset_slot *s) {
    const lathe_dataset *d = s->data;
    s->n_sample = d->n_rows;
    if (d->n_rows <= LATHE_BINS_SAMPLE)
        return true;
    uint64_t bound = UINT64_MAX / (uint64_t)d->n_rows * LATHE_BINS_SAMPLE;
    /* Row numbers may repeat, so the size is only expected to be near LATHE_BINS_SAMPLE: count
     * first. */
    int64_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        n = 0;
        for (int64_t i = 0; i < d->n_rows; i++) {
            uint64_t u;
            lathe_rng_u64(SAMPLE_KEY, (uint64_t)d->row_id[i], &u, 1);
            if (u < bound) {
                if (s->sample != NULL)
                    s->sample[n] = i;
                n++;
            }
        }
        if (pass == 0 && (s->sample = lathe_pages_new(n, sizeof *s->sample)) == NULL)
            return false;
    }
    if (n == 0) { /* all rows share one unlucky number */
        lathe_pages_free(s->sample);
        s->sample = NULL;
        n = d->n_rows;
    }
    s->n_sample = n;
    return true;
}

/* Features that one item of phase 1 describes: where they are many, all of a line of the matrix. */
static int64_t group_of(const dataset_slot *s) {
    return s->data->n_features >= WIDE ? GROUP : 1;
}

/* One that a thread is done with, or a new one. */
static bins_scratch *take_scratch(dataset_slot *s) {
    pthread_mutex_lock(&s->scratch_lock);
    bins_scratch *one = s->scratch;
    if (one != NULL)
        s->scratch = one->next;
    pthread_mutex_unlock(&s->scratch_lock);
    if (one != NULL)
        return one;
    /* a few values more leave room for the head */
    size_t values = (size_t)group_of(s) + 1;
    one = lathe_pages_new(s->n_sample + (int64_t)sizeof *one,
                          values * sizeof *one->values + sizeof *one->counts);
    if (one == NULL)
        return NULL;
    one->counts = (int64_t *)(void *)(one + 1);
    one->values = (float *)(void *)(one->counts + s->n_sample);
    one->distinct = one->values + group_of(s) * s->n_sample;
    return one;
}

static void give_scratch(dataset_slot *s, bins_scratch *one) {
    pthread_mutex_lock(&s->scratch_lock);
    one->next = s->scratch;
    s->scratch = one;
    pthread_mutex_unlock(&s->scratch_lock);
}

/* The values of some features in the sample, of each one after the other, NaN left out: a line of the matrix is fetched
 * once for all of them. */
static void gather_values(const dataset_slot *s, int64_t begin, int64_t end, float *values,
                          int64_t *n) {
    const lathe_dataset *d = s->data;
    for (int64_t f = begin; f < end; f++)
        n[f - begin] = 0;
    for (int64_t i = 0; i < s->n_sample; i++) {
        const float *row = d->matrix + (s->sample != NULL ? s->sample[i] : i) * d->stride;
        for (int64_t k = 0; k < end - begin; k++) {
            float x = row[begin + k];
            values[k * s->n_sample + n[k]] = x;
            n[k] += x == x;
        }
    }
}

static void numeric_edges(dataset_slot *s, int64_t f, const bins_scratch *scratch, float *values,
                          int64_t n) {
    float *edges = s->edges + f * (s->max_bins - 1);
    int32_t m = lathe_bin_edges_of_few(values, n, s->max_bins, edges);
    if (m < 0) {
        lathe_floats_sort(values, scratch->distinct, n);
        m = lathe_bin_edges(values, n, s->max_bins, scratch->distinct, scratch->counts, edges);
    }
    lathe_bin_table(edges, m, s->tables + f * LATHE_BINS_TABLE);
    s->features[f].edges = edges;
    s->features[f].n_edges = m;
    s->features[f].n_bins = m + 1;
}

static int32_t category_codes(dataset_slot *s, int64_t f) {
    const lathe_dataset *d = s->data;
    int32_t n_categories = d->features[f].n_categories;
    int32_t *codes = s->codes + f * (s->max_bins - 1);
    uint8_t *bins = s->code_bins + s->code_begin[f];
    int64_t *counts = lathe_aligned_zeroed(n_categories, sizeof *counts);
    if (counts == NULL)
        return LATHE_E_MEMORY;
    for (int64_t i = 0; i < d->n_rows; i++) {
        float x = d->matrix[i * d->stride + f];
        if (x >= 0)
            counts[(int32_t)x]++;
    }
    int32_t m = lathe_bin_codes(counts, n_categories, s->max_bins - 1, codes);
    free(counts);
    if (m < 0)
        return LATHE_E_MEMORY;
    memset(bins, m, (size_t)n_categories);
    for (int32_t b = 0; b < m; b++)
        bins[codes[b]] = (uint8_t)b;
    s->features[f].codes = codes;
    s->features[f].n_codes = m;
    s->features[f].n_bins = m + 1;
    return LATHE_OK;
}

/* Phase 1: edges or codes of a group of features, and their missing bins. */
static int32_t describe_features(void *user, int64_t item) {
    dataset_slot *s = user;
    const lathe_dataset *d = s->data;
    int64_t begin = item * group_of(s), end = begin + group_of(s), n[GROUP];
    end = end < d->n_features ? end : d->n_features;
    bins_scratch *scratch = take_scratch(s);
    if (scratch == NULL)
        return LATHE_E_MEMORY;
    gather_values(s, begin, end, scratch->values, n);
    int32_t code = LATHE_OK;
    for (int64_t k = begin; code == LATHE_OK && k < end; k++) {
        lathe_bin_feature *f = &s->features[k];
        f->struct_size = LATHE_SIZED(lathe_bin_feature);
        f->type = d->features[k].type;
        f->missing_bin = -1;
        if (f->type == LATHE_FEATURE_CATEGORY)
            code = category_codes(s, k);
        else
            numeric_edges(s, k, scratch, scratch->values + (k - begin) * s->n_sample, n[k - begin]);
        if (code == LATHE_OK && atomic_load(&d->missing[k]))
            f->missing_bin = f->n_bins++;
    }
    give_scratch(s, scratch);
    return code;
}

static void encode_codes(const dataset_slot *s, int64_t f, int64_t begin, int64_t end,
                         uint8_t *bins) {
    const lathe_dataset *d = s->data;
    const uint8_t *code_bins = s->code_bins + s->code_begin[f];
    uint8_t other = (uint8_t)s->features[f].n_codes;
    uint8_t missing = s->features[f].missing_bin >= 0 ? (uint8_t)s->features[f].missing_bin : other;
    for (int64_t i = begin; i < end; i++) {
        float x = d->matrix[i * d->stride + f];
        *bins++ = x >= 0 ? code_bins[(int32_t)x] : x == x ? other : missing;
    }
}

/* Phase 2: a block of rows, all features. */
static int32_t encode_rows(void *user, int64_t item) {
    dataset_slot *s = user;
    const lathe_dataset *d = s->data;
    int64_t begin = item * s->chunk_rows, end = item_end(s, item), stride = s->bins.row_stride;
    uint8_t column[MOST_CHUNK_ROWS];
    for (int64_t f = 0; f < d->n_features; f++) {
        if (s->features[f].type == LATHE_FEATURE_CATEGORY)
            encode_codes(s, f, begin, end, column);
        else
            lathe_bin_encode(s->tables + f * LATHE_BINS_TABLE, s->features[f].n_edges,
                             s->features[f].missing_bin, d->matrix + begin * d->stride + f,
                             d->stride, end - begin, column);
        uint8_t *row = s->rows + begin * stride + f;
        for (int64_t i = begin; i < end; i++, row += stride)
            *row = column[i - begin];
    }
    for (int64_t i = begin; i < end; i++)
        memset(s->rows + i * stride + d->n_features, 0, (size_t)(stride - d->n_features));
    return LATHE_OK;
}

/* The bytes and the public struct. */
static bool alloc_encoding(dataset_slot *s) {
    const lathe_dataset *d = s->data;
    int64_t unit = d->n_features > 8 ? 16 : 8;
    int64_t stride = (d->n_features + unit - 1) / unit * unit;
    s->bins = (lathe_bins){
        .struct_size = LATHE_SIZED(lathe_bins),
        .max_bins = s->max_bins,
        .n_rows = d->n_rows,
        .n_features = d->n_features,
        .row_stride = stride > 0 ? stride : unit,
        .column_stride = (d->n_rows + 63) / 64 * 64,
        .feature_size = sizeof(lathe_bin_feature),
    };
    s->rows = lathe_aligned_new(d->n_rows, (size_t)s->bins.row_stride);
    s->bins.rows = s->rows;
    s->bytes = d->n_rows * s->bins.row_stride;
    return s->rows != NULL;
}

static bool alloc_edges(dataset_slot *s) {
    const lathe_dataset *d = s->data;
    int64_t n = d->n_features, codes = 0;
    s->code_begin = lathe_aligned_new(n, sizeof *s->code_begin);
    s->features = lathe_aligned_zeroed(n, sizeof *s->features);
    s->edges = lathe_aligned_zeroed(n, (size_t)(s->max_bins - 1) * sizeof *s->edges);
    s->codes = lathe_aligned_zeroed(n, (size_t)(s->max_bins - 1) * sizeof *s->codes);
    s->tables = lathe_aligned_new(n, LATHE_BINS_TABLE * sizeof *s->tables);
    if (s->code_begin == NULL)
        return false;
    for (int64_t f = 0; f < n; f++) {
        s->code_begin[f] = codes;
        if (!lathe_add_i64(codes, d->features[f].n_categories, &codes))
            return false;
    }
    s->code_bins = lathe_aligned_new(codes, 1);
    s->bins.features = s->features;
    return s->features != NULL && s->edges != NULL && s->codes != NULL && s->tables != NULL &&
           s->code_bins != NULL && choose_sample(s);
}

/* ---- bins of a view ---- */

static int32_t gather_bins(void *user, int64_t item) {
    dataset_slot *s = user;
    const lathe_dataset *d = s->data;
    int64_t begin = item * s->chunk_rows, end = item_end(s, item), stride = s->bins.row_stride;
    for (int64_t i = begin; i < end; i++)
        memcpy(s->rows + i * stride, s->parent->rows + d->rows[i] * stride, (size_t)stride);
    return LATHE_OK;
}

static dataset_slot *new_bins_slot(lathe_dataset *d, int32_t max_bins, const dataset_slot *parent) {
    dataset_slot *s = new_slot(d, max_bins);
    if (s == NULL)
        return NULL;
    s->parent = parent;
    if (!alloc_encoding(s) || (parent == NULL && !alloc_edges(s))) {
        dataset_slots_free(s);
        return NULL;
    }
    if (parent != NULL) {
        s->bins.features = parent->features;
        lathe_joint_add(&s->joint, gather_bins, row_items(s));
    } else {
        lathe_joint_add(&s->joint, describe_features,
                        (d->n_features + group_of(s) - 1) / group_of(s));
        lathe_joint_add(&s->joint, encode_rows, row_items(s));
    }
    return s;
}

/* ---- columns ---- */

static int32_t transpose_rows(void *user, int64_t item) {
    dataset_slot *s = user;
    int64_t begin = item * s->chunk_rows, end = item_end(s, item), stride = s->bins.row_stride;
    for (int64_t f = 0; f < s->data->n_features; f++) {
        const uint8_t *row = s->rows + begin * stride + f;
        uint8_t *column = s->columns + f * s->bins.column_stride;
        for (int64_t i = begin; i < end; i++, row += stride)
            column[i] = *row;
    }
    return LATHE_OK;
}

/* The bins of a slot with columns. */
static int32_t add_columns(lathe_dataset *d, dataset_slot *s, const lathe_bins **bins) {
    pthread_mutex_lock(&d->lock);
    bool starter = s->columns == NULL;
    if (starter) {
        s->columns = lathe_aligned_zeroed(d->n_features, (size_t)s->bins.column_stride);
        if (s->columns != NULL) {
            s->both = s->bins;
            s->both.columns = s->columns;
            s->bytes += d->n_features * s->bins.column_stride;
            lathe_joint_add(&s->transposing, transpose_rows, row_items(s));
        }
    }
    pthread_mutex_unlock(&d->lock);
    *bins = &s->both;
    return s->columns == NULL ? LATHE_E_MEMORY
                              : lathe_joint_finish(&s->transposing, d->pool, starter);
}

static int32_t bins_slot(lathe_dataset *d, int32_t max_bins, dataset_slot **slot,
                         lathe_error *err) {
    dataset_slot *parent = NULL;
    if (d->root != d) {
        int32_t code = bins_slot(d->root, max_bins, &parent, err);
        if (code != LATHE_OK)
            return code;
    }
    pthread_mutex_lock(&d->lock);
    dataset_slot *s = find_slot(d, max_bins);
    bool starter = s == NULL;
    if (starter && (s = new_bins_slot(d, max_bins, parent)) != NULL) {
        s->next = d->slots;
        d->slots = s;
    }
    pthread_mutex_unlock(&d->lock);
    int32_t code = s == NULL ? LATHE_E_MEMORY : lathe_joint_finish(&s->joint, d->pool, starter);
    if (s != NULL)
        free_scratch(s);
    if (code != LATHE_OK)
        return lathe_fail_memory(err, "dataset", "the bins");
    *slot = s;
    return LATHE_OK;
}

int32_t dataset_bins(lathe_dataset *d, int32_t max_bins, bool columns, const lathe_bins **bins,
                     lathe_error *err) {
    if (max_bins < LATHE_BINS_MIN || max_bins > LATHE_BINS_MAX)
        return lathe_fail(err, LATHE_E_INVALID, "dataset", "max_bins is %d; it can be %d to %d",
                          (int)max_bins, LATHE_BINS_MIN, LATHE_BINS_MAX);
    dataset_slot *slot;
    int32_t code = bins_slot(d, max_bins, &slot, err);
    if (code != LATHE_OK)
        return code;
    *bins = &slot->bins;
    if (columns && add_columns(d, slot, bins) != LATHE_OK)
        return lathe_fail_memory(err, "dataset", "the bins by columns");
    return LATHE_OK;
}

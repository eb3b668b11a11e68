/* context.c: what is prepared once for a dataset: its bins, and room for rows, histograms and the
 * growing tree. */
#include "packed.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
    MAX_SLOT_BYTES = 96 << 20,
    MIN_SLOTS = 4,
    MAX_SLOTS = 4096,
    MAX_WIDE_SLOTS = 1024,
    MAX_PARTIAL = 31,
    COLUMN_ROWS = 1 << 16 /* at most, for bins by columns beside those by rows */
};

static void free_slots(const lathe_host *host, tree_slots *s) {
    for (int32_t i = 0; i < s->n_made; i++)
        host->free(host, s->slot[i]);
    host->free(host, s->slot);
    host->free(host, s->is_free);
    memset(s, 0, sizeof *s);
}

void tree_close(void *self, void *context) {
    (void)self;
    tree_context *c = context;
    if (!c)
        return;
    const lathe_host *host = c->host;
    free_slots(host, &c->slots);
    free_slots(host, &c->wide_slots);
    host->free(host, c->partial);
    host->free(host, c->entry);
    host->free(host, c->entry_spare);
    host->free(host, c->packed_scratch);
    tree_bundles_free(host, c->bundles);
    tree_columns_free(host, c->columns);
    tree_joins_free(host, c->joins);
    tree_subtree_free(host, c->subtree);
    tree_values_free(host, c->subtree_values);
    host->free(host, c->sub_leaf);
    host->free(host, c->record);
    host->free(host, c->rows);
    host->free(host, c->spare);
    host->free(host, c->leaf);
    host->free(host, c->feature);
    host->free(host, c->order);
    host->free(host, c->offset);
    host->free(host, c->bin_scratch);
    host->free(host, c->class_scratch);
    host->free(host, c->item);
    host->free(host, c->heap);
    host->free(host, c->node);
    host->free(host, c->gain);
    host->free(host, c->left_bins);
    host->free(host, c->words);
    host->free(host, c->monotone);
    host->free(host, c);
}

static int32_t check_open(const tree_context *c, const lathe_open *open,
                          const lathe_dataset_info *info, lathe_error *err) {
    if (info->n_rows < 1)
        return tree_fail(err, LATHE_E_DATA, "tree", "the dataset has no rows");
    if (info->n_rows > INT32_MAX || info->n_features > (int64_t)TREE_FEATURE_MASK)
        return tree_fail(
            err, LATHE_E_MEMORY, "tree",
            "the dataset has %lld rows and %lld features; a tree takes at most 2^31 - 1 rows "
            "and 2^28 - 1 features",
            (long long)info->n_rows, (long long)info->n_features);
    if (open->task == LATHE_TASK_REGRESSION)
        return LATHE_OK;
    if (open->task != LATHE_TASK_BINARY && open->task != LATHE_TASK_MULTICLASS)
        return tree_fail(err, LATHE_E_INVALID, "tree", "unknown task %d", (int)open->task);
    if (open->n_classes < 1 || open->n_classes > 65536 ||
        (open->task == LATHE_TASK_BINARY && open->n_classes > 2))
        return tree_fail(err, LATHE_E_DATA, "tree", "%lld classes do not fit the task",
                         (long long)open->n_classes);
    (void)c;
    return LATHE_OK;
}

/* Rows alone, where the host knows how. */
static int32_t get_bins(tree_context *c, lathe_error *err) {
    const lathe_datasets *d = c->datasets;
    int32_t max_bins = (int32_t)c->config->max_bins;
    int knows = d->struct_size >= offsetof(lathe_datasets, row_bins) + sizeof d->row_bins;
    return knows && d->row_bins ? d->row_bins(c->data, max_bins, &c->bins, err)
                                : d->bins(c->data, max_bins, &c->bins, err);
}

int32_t tree_context_columns(tree_context *c, lathe_error *err) {
    return c->bins->columns
               ? LATHE_OK
               : c->datasets->bins(c->data, (int32_t)c->config->max_bins, &c->bins, err);
}

int32_t tree_open(void *self, const lathe_open *open, void **context, lathe_error *err) {
    const tree *t = self;
    const lathe_host *host = t->host;
    *context = NULL;
    tree_context *c = host->alloc(host, sizeof *c);
    if (!c)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    c->host = host;
    c->config = t->config;
    c->data = open->data;
    c->task = open->task;
    c->n_classes = open->task == LATHE_TASK_BINARY ? 2 : open->n_classes;
    c->datasets = host->get(host, LATHE_HOST_DATASETS);
    int32_t rc = LATHE_E_UNSUPPORTED;
    if (!c->datasets) {
        tree_fail(err, rc, "tree", "this host has no datasets service");
        goto fail;
    }
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    rc = c->datasets->info(open->data, &info);
    if (rc != LATHE_OK) {
        tree_fail(err, rc, "tree", "the dataset does not describe itself");
        goto fail;
    }
    rc = check_open(c, open, &info, err);
    if (rc != LATHE_OK)
        goto fail;
    c->n_rows = info.n_rows;
    c->n_features = info.n_features;
    rc = tree_monotone_open(c, err);
    if (rc != LATHE_OK)
        goto fail;
    rc = get_bins(c, err);
    if (rc != LATHE_OK)
        goto fail;
    c->n_workers = host->n_workers(host);
    uint64_t f = (uint64_t)info.n_features + 1;
    c->kernels = packed_kernels_choose(host);
    c->feature = host->alloc(host, f * sizeof *c->feature);
    c->order = host->alloc(host, (uint64_t)c->n_workers * f * sizeof *c->order);
    c->offset = host->alloc(host, f * sizeof *c->offset);
    if (!c->feature || !c->order || !c->offset) {
        rc = tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld features",
                       (long long)info.n_features);
        goto fail;
    }
    *context = c;
    return LATHE_OK;
fail:
    tree_close(self, c);
    return rc;
}

int32_t tree_context_exact(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    uint64_t n = (uint64_t)c->n_rows;
    int32_t rc = tree_context_columns(c, err);
    if (rc != LATHE_OK)
        return rc;
    if (!c->record)
        c->record = host->alloc(host, n * sizeof *c->record);
    if (!c->rows)
        c->rows = host->alloc(host, n * sizeof *c->rows);
    if (!c->spare)
        c->spare = host->alloc(host, 2 * n * sizeof *c->spare);
    return c->record && c->rows && c->spare
               ? LATHE_OK
               : tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld rows",
                           (long long)c->n_rows);
}

int32_t tree_context_packed(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    uint64_t n = (uint64_t)c->n_rows;
    /* a column of few rows stays in the first level of cache while a node is divided by it */
    if (c->n_rows <= COLUMN_ROWS && tree_context_columns(c, err) != LATHE_OK)
        return err->code;
    int32_t bytes = (int32_t)packed_entry_bytes(c->is_short);
    if (c->entry_bytes < bytes) {
        host->free(host, c->entry);
        host->free(host, c->entry_spare);
        c->entry = c->entry_spare = NULL;
        c->entry_bytes = bytes;
    }
    if (!c->entry)
        c->entry = host->alloc(host, n * (uint64_t)c->entry_bytes);
    if (!c->entry_spare)
        c->entry_spare = host->alloc(host, n * (uint64_t)c->entry_bytes);
    return c->entry && c->entry_spare ? LATHE_OK
                                      : tree_fail(err, LATHE_E_MEMORY, "tree",
                                                  "no memory for %lld rows", (long long)c->n_rows);
}

static int64_t features_per_split(const tree_config *config, int64_t n) {
    int64_t m = n;
    switch (config->features_per_split.choice) {
    case TREE_FEATURES_SQRT:
        m = (int64_t)sqrt((double)n);
        break;
    case TREE_FEATURES_LOG2:
        for (m = 0; (n >> (m + 1)) > 0; m++) {
        }
        break;
    case TREE_FEATURES_THIRD:
        m = n / 3;
        break;
    case TREE_FEATURES_ALL:
        break;
    default:
        m = config->features_per_split.value;
    }
    m = m < n ? m : n;
    return m > 1 ? m : 1;
}

/* What a row adds to in packed mode: bundles, or features. */
static void choose_columns(tree_context *c, int all) {
    int bundles = c->config->bundle && c->per_split == c->n_fit_features && c->n_fit_features > 0;
    if (bundles && !c->tried_bundles)
        tree_bundles_make(c);
    c->bundled = bundles && c->bundles;
    c->packed_bins = c->bins->rows;
    c->packed_stride = c->bins->row_stride;
    c->packed_features = c->n_fit_features > 0 ? c->feature[c->n_fit_features - 1] + 1 : 0;
    if (c->bundled) {
        c->packed_bins = c->bundles->rows;
        c->packed_stride = c->bundles->stride;
        c->packed_features = c->bundles->n_columns;
    }
    c->is_tight = c->is_short && !c->bundled && !c->monotone;
    for (int64_t j = 0; j < c->n_fit_features; j++)
        c->is_tight &= lathe_bin_feature_at(c->bins, c->feature[j])->type == LATHE_FEATURE_NUMERIC;
    if (c->is_tight)
        c->narrow_count = c->block_rows = c->tight_count;
    int joins = !c->bundled && c->per_split == c->n_fit_features;
    if (joins && all && !c->tried_joins)
        tree_joins_make(c);
    c->joined = joins && c->joins && c->joins->n_parts == c->n_fit_features;
    c->slot_words =
        c->packed_features * PACKED_BINS * packed_cell_bytes(c, 1) / (int64_t)sizeof(int64_t);
}

static int32_t choose_features(tree_context *c, const lathe_fit *fit, lathe_error *err) {
    int64_t n = fit->features ? fit->n_features_used : c->n_features;
    uint64_t cells = 0;
    c->n_fit_features = 0;
    c->is_tight = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t f = fit->features ? fit->features[i] : i;
        if (f < 0 || f >= c->n_features || (i > 0 && fit->features && f <= fit->features[i - 1]))
            return tree_fail(err, LATHE_E_SHAPE, "tree",
                             "feature %lld of the subset is out of order or not among the %lld",
                             (long long)f, (long long)c->n_features);
        int32_t bins = lathe_bin_feature_at(c->bins, f)->n_bins;
        if (bins < 2)
            continue;
        c->feature[c->n_fit_features] = (int32_t)f;
        c->offset[c->n_fit_features++] = (uint32_t)cells;
        cells += (uint64_t)bins;
        if (cells > UINT32_MAX)
            return tree_fail(err, LATHE_E_MEMORY, "tree", "too many bins in %lld features",
                             (long long)n);
    }
    c->width = c->mode == TREE_MODE_CLASSES ? c->n_classes : 2;
    c->n_cells = (int64_t)cells;
    c->slot_words = (int64_t)cells * c->width;
    c->per_split = features_per_split(c->config, n);
    if (c->per_split > c->n_fit_features)
        c->per_split = c->n_fit_features;
    c->ties_drawn = c->per_split < c->n_fit_features || fit->gradient == NULL;
    if (c->packed)
        choose_columns(c, !fit->features);
    if (c->packed && c->n_used == c->n_rows)
        tree_columns_choose(c);
    return LATHE_OK;
}

static int32_t prepare_scratch(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    if (c->scratch_width >= c->width && c->bin_scratch)
        return LATHE_OK;
    host->free(host, c->bin_scratch);
    host->free(host, c->class_scratch);
    uint64_t width = (uint64_t)c->width, workers = (uint64_t)c->n_workers;
    uint64_t words = width > 3 * PACKED_DRAWN ? width : 3 * PACKED_DRAWN;
    c->bin_scratch = host->alloc(host, workers * 256 * words * sizeof(int64_t));
    c->class_scratch = host->alloc(host, workers * 4 * width * sizeof(double));
    if (!c->bin_scratch || !c->class_scratch)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for the histogram of a feature");
    c->scratch_width = c->width;
    return LATHE_OK;
}

static int32_t make_slots(const lathe_host *host, tree_slots *s, int64_t words, int64_t most,
                          lathe_error *err) {
    if (s->slot && s->words >= words && s->words <= 2 * words)
        return LATHE_OK;
    free_slots(host, s);
    int64_t n = MAX_SLOT_BYTES / (words * (int64_t)sizeof(int64_t));
    n = n < MIN_SLOTS ? MIN_SLOTS : n > most ? most : n;
    s->slot = host->alloc(host, (uint64_t)n * sizeof *s->slot);
    s->is_free = host->alloc(host, (uint64_t)n * sizeof *s->is_free);
    if (!s->slot || !s->is_free)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    s->n_slots = (int32_t)n;
    s->words = words;
    return LATHE_OK;
}

static int32_t prepare_slots(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    if (c->per_split < c->n_fit_features || c->slot_words == 0)
        return LATHE_OK;
    int64_t had = c->slots.words;
    int32_t rc = make_slots(host, &c->slots, c->slot_words, MAX_SLOTS, err);
    if (rc == LATHE_OK && c->packed && c->n_rows > c->narrow_count / 2)
        rc = make_slots(host, &c->wide_slots, 2 * c->slot_words, MAX_WIDE_SLOTS, err);
    if (rc != LATHE_OK ||
        (c->slots.words == had && (c->packed ? !!c->packed_scratch : c->n_partial)))
        return rc;
    host->free(host, c->partial);
    host->free(host, c->packed_scratch);
    c->partial = c->packed_scratch = NULL;
    c->n_partial = 0;
    uint64_t bytes = (uint64_t)c->slots.words * sizeof(int64_t);
    if (c->packed) {
        c->packed_scratch = host->alloc(host, (uint64_t)c->n_workers * bytes);
        return c->packed_scratch ? LATHE_OK
                                 : tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    }
    int64_t chunks = c->n_workers - 1 < MAX_PARTIAL ? c->n_workers - 1 : MAX_PARTIAL;
    if (chunks > 0 && c->n_rows * c->n_fit_features >= (1 << 17)) {
        c->partial = host->alloc(host, (uint64_t)chunks * bytes);
        c->n_partial =
            c->partial ? chunks : 0; /* without it one thread builds: slower, the same bits */
    }
    return LATHE_OK;
}

int32_t tree_context_prepare(tree_context *c, const lathe_fit *fit, lathe_error *err) {
    int32_t rc = choose_features(c, fit, err);
    if (rc == LATHE_OK)
        rc = prepare_scratch(c, err);
    if (rc == LATHE_OK)
        rc = prepare_slots(c, err);
    if (rc == LATHE_OK)
        rc = tree_subtree_prepare(c, err);
    return rc;
}

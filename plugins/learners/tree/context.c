/* context.c: what is prepared once for a dataset: its bins, and room for rows, histograms and the
 * growing tree. */
#include "tree.h"

#include <math.h>
#include <string.h>

enum { MAX_SLOT_BYTES = 96 << 20, MIN_SLOTS = 4, MAX_SLOTS = 4096, MAX_PARTIAL = 31 };

static void free_slots(tree_context *c) {
    for (int32_t i = 0; i < c->n_made; i++)
        c->host->free(c->host, c->slot[i]);
    c->host->free(c->host, c->slot);
    c->host->free(c->host, c->slot_free);
    c->host->free(c->host, c->partial);
    c->slot = NULL;
    c->slot_free = NULL;
    c->partial = NULL;
    c->n_made = c->n_free = c->n_slots = 0;
    c->n_partial = 0;
    c->slot_capacity = 0;
}

void tree_close(void *self, void *context) {
    (void)self;
    tree_context *c = context;
    if (!c)
        return;
    const lathe_host *host = c->host;
    free_slots(c);
    host->free(host, c->record);
    host->free(host, c->rows);
    host->free(host, c->spare);
    host->free(host, c->leaf);
    host->free(host, c->feature);
    host->free(host, c->order);
    host->free(host, c->offset);
    host->free(host, c->bin_scratch);
    host->free(host, c->class_scratch);
    host->free(host, c->found);
    host->free(host, c->item);
    host->free(host, c->heap);
    host->free(host, c->node);
    host->free(host, c->gain);
    host->free(host, c->left_bins);
    host->free(host, c->words);
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
    rc = c->datasets->bins(open->data, (int32_t)c->config->max_bins, &c->bins, err);
    if (rc != LATHE_OK)
        goto fail;
    c->n_workers = host->n_workers(host);
    uint64_t n = (uint64_t)info.n_rows, f = (uint64_t)info.n_features + 1;
    c->record = host->alloc(host, n * sizeof *c->record);
    c->rows = host->alloc(host, n * sizeof *c->rows);
    c->spare = host->alloc(host, 2 * n * sizeof *c->spare);
    c->leaf = host->alloc(host, n * sizeof *c->leaf);
    c->feature = host->alloc(host, f * sizeof *c->feature);
    c->order = host->alloc(host, f * sizeof *c->order);
    c->offset = host->alloc(host, f * sizeof *c->offset);
    c->found = host->alloc(host, f * sizeof *c->found);
    if (!c->record || !c->rows || !c->spare || !c->leaf || !c->feature || !c->order || !c->offset ||
        !c->found) {
        rc = tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for %lld rows",
                       (long long)info.n_rows);
        goto fail;
    }
    *context = c;
    return LATHE_OK;
fail:
    tree_close(self, c);
    return rc;
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

static int32_t choose_features(tree_context *c, const lathe_fit *fit, lathe_error *err) {
    int64_t n = fit->features ? fit->n_features_used : c->n_features;
    uint64_t cells = 0;
    c->n_fit_features = 0;
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
    c->slot_words = (int64_t)cells * c->width;
    c->per_split = features_per_split(c->config, n);
    if (c->per_split > c->n_fit_features)
        c->per_split = c->n_fit_features;
    return LATHE_OK;
}

static int32_t prepare_scratch(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    if (c->scratch_width >= c->width && c->bin_scratch)
        return LATHE_OK;
    host->free(host, c->bin_scratch);
    host->free(host, c->class_scratch);
    uint64_t width = (uint64_t)c->width, workers = (uint64_t)c->n_workers;
    c->bin_scratch = host->alloc(host, workers * 256 * width * sizeof(int64_t));
    c->class_scratch = host->alloc(host, (workers + 1) * 2 * width * sizeof(double));
    if (!c->bin_scratch || !c->class_scratch)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "no memory for the histogram of a feature");
    c->scratch_width = c->width;
    return LATHE_OK;
}

static int32_t prepare_slots(tree_context *c, lathe_error *err) {
    const lathe_host *host = c->host;
    if (c->per_split < c->n_fit_features || c->slot_words == 0 ||
        (c->slot_capacity >= c->slot_words && c->slot))
        return LATHE_OK;
    free_slots(c);
    int64_t bytes = c->slot_words * (int64_t)sizeof(int64_t), n = MAX_SLOT_BYTES / bytes;
    n = n < MIN_SLOTS ? MIN_SLOTS : n > MAX_SLOTS ? MAX_SLOTS : n;
    c->slot = host->alloc(host, (uint64_t)n * sizeof *c->slot);
    c->slot_free = host->alloc(host, (uint64_t)n * sizeof *c->slot_free);
    if (!c->slot || !c->slot_free)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    c->n_slots = (int32_t)n;
    c->slot_capacity = c->slot_words;
    int64_t chunks = c->n_workers - 1 < MAX_PARTIAL ? c->n_workers - 1 : MAX_PARTIAL;
    if (chunks > 0 && c->n_rows * c->n_fit_features >= (1 << 17)) {
        c->partial = host->alloc(host, (uint64_t)(chunks * bytes));
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
    return rc;
}

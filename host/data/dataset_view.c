/* data/dataset_view.c: views, derived datasets, references, and the service table of
 * lathe/dataset.h. */
#include "data/dataset_internal.h"
#include "data/memory.h"

#include <stdlib.h>
#include <string.h>

static lathe_pool *_Atomic service_pool;

/* Lazily made parts hang on a dataset that callers see as const: they change nothing that can be
 * observed. */
static lathe_dataset *writable(const lathe_dataset *data) {
    return (lathe_dataset *)(uintptr_t)data;
}

lathe_dataset *lathe_dataset_ref(lathe_dataset *data) {
    if (data != NULL)
        atomic_fetch_add_explicit(&data->refs, 1, memory_order_relaxed);
    return data;
}

void lathe_dataset_release(lathe_dataset *data) {
    while (data != NULL) {
        if (atomic_fetch_sub_explicit(&data->refs, 1, memory_order_acq_rel) != 1)
            return;
        lathe_dataset *parent = data->parent;
        dataset_derived_free(data->derived);
        dataset_slots_free(data->slots);
        pthread_cond_destroy(&data->changed);
        pthread_mutex_destroy(&data->lock);
        free(data->features);
        free(data->names);
        free(data->missing);
        free(data->matrix);
        free(data->rows);
        free(data->target);
        free(data->weight);
        free(data->row_id);
        free(data);
        data = parent;
    }
}

/* ---- views ---- */

static lathe_dataset *view_alloc(const lathe_dataset *of, int64_t n) {
    lathe_dataset *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    atomic_init(&v->refs, 1);
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->changed, NULL);
    v->rows = lathe_aligned_new(n, sizeof *v->rows);
    v->row_id = lathe_aligned_new(n, sizeof *v->row_id);
    if (of->target != NULL)
        v->target = lathe_aligned_new(n, sizeof *v->target);
    if (of->weight != NULL)
        v->weight = lathe_aligned_new(n, sizeof *v->weight);
    if (v->rows == NULL || v->row_id == NULL || (of->target != NULL && v->target == NULL) ||
        (of->weight != NULL && v->weight == NULL)) {
        lathe_dataset_release(v);
        return NULL;
    }
    v->bytes = n * (12 + (of->target != NULL ? 4 : 0) + (of->weight != NULL ? 4 : 0));
    return v;
}

int32_t lathe_dataset_view(const lathe_dataset *data, const int32_t *rows, int64_t n,
                           lathe_dataset **view, lathe_error *err) {
    *view = NULL;
    if (n < 0 || n > INT32_MAX || (n > 0 && rows == NULL))
        return lathe_fail(err, LATHE_E_INVALID, "dataset view", "%lld rows are not possible",
                          (long long)n);
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < 0 || rows[i] >= data->n_rows)
            return lathe_fail(err, LATHE_E_INVALID, "dataset view",
                              "row %d is not in the dataset's 0 to %lld", (int)rows[i],
                              (long long)data->n_rows - 1);
    }
    lathe_dataset *v = view_alloc(data, n);
    if (v == NULL)
        return lathe_fail_memory(err, "dataset view", "a view");
    for (int64_t i = 0; i < n; i++) {
        int32_t r = rows[i];
        v->rows[i] = data->rows != NULL ? data->rows[r] : r;
        v->row_id[i] = data->row_id[r];
        if (v->target != NULL)
            v->target[i] = data->target[r];
        if (v->weight != NULL)
            v->weight[i] = data->weight[r];
    }
    v->root = data->root;
    v->parent = lathe_dataset_ref(writable(data));
    v->pool = data->pool;
    v->flags = data->flags;
    v->task = data->task;
    v->n_rows = n;
    v->n_features = data->n_features;
    v->n_classes = data->n_classes;
    v->stride = data->stride;
    v->shape[0] = n;
    v->shape[1] = data->n_features;
    v->strides[0] = data->stride;
    v->strides[1] = 1;
    *view = v;
    return LATHE_OK;
}

/* ---- derived ---- */

void dataset_derived_free(dataset_derived *derived) {
    while (derived != NULL) {
        dataset_derived *next = derived->next;
        lathe_dataset_release(derived->result);
        free(derived->key);
        free(derived);
        derived = next;
    }
}

static dataset_derived *find_derived(lathe_dataset *d, const char *key) {
    for (dataset_derived *e = d->derived; e != NULL; e = e->next) {
        if (strcmp(e->key, key) == 0)
            return e;
    }
    return NULL;
}

static void remove_derived(lathe_dataset *d, dataset_derived *entry) {
    dataset_derived **at = &d->derived;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    entry->next = NULL;
    dataset_derived_free(entry);
}

/* Is `d` the dataset `of` or a view on it, however long the chain? */
static bool is_view_of(const lathe_dataset *d, const lathe_dataset *of) {
    for (; d != NULL; d = d->parent) {
        if (d == of)
            return true;
    }
    return false;
}

/* Runs build outside of the lock, then publishes or removes the entry. A build that fails is not
 * remembered: whoever waits tries for itself. */
static int32_t build_derived(lathe_dataset *d, dataset_derived *entry,
                             int32_t (*build)(void *, lathe_dataset **, lathe_error *), void *user,
                             const lathe_dataset **derived, lathe_error *err) {
    lathe_dataset *made = NULL;
    int32_t code = build(user, &made, err);
    if (code == LATHE_OK && made == NULL)
        code = lathe_fail(err, LATHE_E_INTERNAL, entry->key,
                          "the build of the derived dataset gave none and no error");
    if (code == LATHE_OK && is_view_of(made, d)) {
        /* It would keep the dataset alive that keeps it alive. */
        lathe_dataset_release(made);
        code = lathe_fail(
            err, LATHE_E_INVALID, entry->key,
            "a derived dataset cannot be a view of the dataset itself; make it with make, or "
            "keep the view yourself");
    }
    pthread_mutex_lock(&d->lock);
    if (code == LATHE_OK) {
        entry->result = made;
        *derived = made;
    } else {
        remove_derived(d, entry);
    }
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return code;
}

int32_t dataset_derive(lathe_dataset *d, const char *key,
                       int32_t (*build)(void *user, lathe_dataset **derived, lathe_error *err),
                       void *user, const lathe_dataset **derived, lathe_error *err) {
    *derived = NULL;
    if (key == NULL || build == NULL)
        return lathe_fail(err, LATHE_E_INVALID, "derive", "a key and a build function are needed");
    pthread_mutex_lock(&d->lock);
    for (dataset_derived *e; (e = find_derived(d, key)) != NULL;) {
        if (e->result != NULL) {
            *derived = e->result;
            pthread_mutex_unlock(&d->lock);
            return LATHE_OK;
        }
        if (pthread_equal(e->builder, pthread_self())) {
            pthread_mutex_unlock(&d->lock);
            return lathe_fail(err, LATHE_E_STATE, key,
                              "the build of this derived dataset asks for itself");
        }
        pthread_cond_wait(&d->changed, &d->lock);
    }
    dataset_derived *entry = calloc(1, sizeof *entry);
    char *copy = strdup(key);
    if (entry == NULL || copy == NULL) {
        pthread_mutex_unlock(&d->lock);
        free(entry);
        free(copy);
        return lathe_fail_memory(err, "derive", "a derived dataset");
    }
    entry->key = copy;
    entry->builder = pthread_self();
    entry->next = d->derived;
    d->derived = entry;
    pthread_mutex_unlock(&d->lock);
    return build_derived(d, entry, build, user, derived, err);
}

/* ---- access ---- */

int64_t lathe_dataset_rows(const lathe_dataset *data) {
    return data->n_rows;
}

int64_t lathe_dataset_features(const lathe_dataset *data) {
    return data->n_features;
}

int32_t lathe_dataset_task(const lathe_dataset *data) {
    return data->task;
}

int64_t lathe_dataset_classes(const lathe_dataset *data) {
    return data->n_classes;
}

int64_t lathe_dataset_bytes(const lathe_dataset *data) {
    lathe_dataset *d = writable(data);
    int64_t bytes = d->bytes;
    pthread_mutex_lock(&d->lock);
    for (dataset_slot *s = d->slots; s != NULL; s = s->next)
        bytes += s->bytes;
    pthread_mutex_unlock(&d->lock);
    return bytes;
}

/* ---- the service ---- */

static int32_t service_info(const lathe_dataset *data, lathe_dataset_info *info) {
    lathe_dataset_info full = {.struct_size = LATHE_SIZED(lathe_dataset_info),
                               .flags = data->flags,
                               .task = data->task,
                               .n_rows = data->n_rows,
                               .n_features = data->n_features,
                               .n_classes = data->n_classes};
    uint32_t size = info->struct_size;
    if (size < sizeof size)
        return LATHE_E_INVALID;
    memcpy(info, &full, size < sizeof full ? size : sizeof full);
    info->struct_size = size;
    return LATHE_OK;
}

static const lathe_feature *service_features(const lathe_dataset *data) {
    return data->root->features;
}

static int32_t service_matrix(const lathe_dataset *data, lathe_tensor *matrix, lathe_error *err) {
    const float *values;
    int32_t code = dataset_matrix(writable(data), &values, err);
    if (code != LATHE_OK)
        return code;
    *matrix = (lathe_tensor){.data = (void *)(uintptr_t)values,
                             .device_type = LATHE_DEVICE_CPU,
                             .ndim = 2,
                             .dtype = LATHE_FLOAT,
                             .bits = 32,
                             .lanes = 1,
                             .shape = data->shape,
                             .strides = data->strides};
    return LATHE_OK;
}

static int32_t service_bins(const lathe_dataset *data, int32_t max_bins, const lathe_bins **bins,
                            lathe_error *err) {
    return dataset_bins(writable(data), max_bins, true, bins, err);
}

static int32_t service_row_bins(const lathe_dataset *data, int32_t max_bins,
                                const lathe_bins **bins, lathe_error *err) {
    return dataset_bins(writable(data), max_bins, false, bins, err);
}

static const float *service_target(const lathe_dataset *data) {
    return data->target;
}

static const float *service_weight(const lathe_dataset *data) {
    return data->weight;
}

static const int64_t *service_row_id(const lathe_dataset *data) {
    return data->row_id;
}

static int32_t service_make(const lathe_host *host, const lathe_dataset_spec *spec,
                            lathe_dataset **data, lathe_error *err) {
    (void)host;
    return lathe_dataset_make(atomic_load(&service_pool), spec, data, err);
}

static int32_t service_derive(const lathe_dataset *data, const char *key,
                              int32_t (*build)(void *user, lathe_dataset **derived,
                                               lathe_error *err),
                              void *user, const lathe_dataset **derived, lathe_error *err) {
    return dataset_derive(writable(data), key, build, user, derived, err);
}

static const lathe_datasets service = {
    .struct_size = LATHE_SIZED(lathe_datasets),
    .info = service_info,
    .features = service_features,
    .matrix = service_matrix,
    .bins = service_bins,
    .target = service_target,
    .weight = service_weight,
    .row_id = service_row_id,
    .make = service_make,
    .view = lathe_dataset_view,
    .derive = service_derive,
    .release = lathe_dataset_release,
    .row_bins = service_row_bins,
};

const lathe_datasets *lathe_datasets_service(void) {
    return &service;
}

void lathe_datasets_set_pool(lathe_pool *pool) {
    atomic_store(&service_pool, pool);
}

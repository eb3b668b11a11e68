#include "data/dataset.h"
#include "plugin/runtime_internal.h"

#include <stdlib.h>

int32_t lathe_runtime_new(const lathe_runtime_options *options, lathe_runtime **out,
                          lathe_error *err) {
    *out = NULL;
    if (options->catalogue == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "a runtime needs a catalogue of plugins");
    lathe_runtime *rt = calloc(1, sizeof *rt);
    lathe_impl *self = calloc(1, sizeof *self);
    if (rt == NULL || self == NULL || pthread_mutex_init(&self->lock, NULL) != 0) {
        free(rt);
        free(self);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    rt->options = *options;
    rt->self = self;
    self->runtime = rt;
    self->id = "lathe";
    self->crumb = -1;
    self->depth = -1;
    self->blocks.next = self->blocks.prev = &self->blocks;
    lathe_host_fill(self);
    lathe_datasets_set_pool(options->pool);
    if (options->crumbs != NULL)
        lathe_catalogue_on_load(options->catalogue, lathe_crumbs_loaded, options->crumbs);
    *out = rt;
    return LATHE_OK;
}

void lathe_runtime_free(lathe_runtime *rt) {
    if (rt == NULL)
        return;
    int64_t bytes;
    lathe_impl_free_all(rt->self, &bytes);
    while (rt->self->made != NULL) {
        lathe_made *made = rt->self->made;
        rt->self->made = made->next;
        lathe_component_free(made->component);
        free(made);
    }
    if (rt->options.crumbs != NULL)
        lathe_catalogue_on_load(rt->options.catalogue, NULL, NULL);
    lathe_datasets_set_pool(NULL);
    pthread_mutex_destroy(&rt->self->lock);
    free(rt->self);
    free(rt);
}

lathe_catalogue *lathe_runtime_catalogue(const lathe_runtime *rt) {
    return rt->options.catalogue;
}

lathe_pool *lathe_runtime_pool(const lathe_runtime *rt) {
    return rt->options.pool;
}

const lathe_host *lathe_runtime_host(lathe_runtime *rt) {
    return &rt->self->host;
}

void lathe_runtime_request_stop(lathe_runtime *rt) {
    atomic_store(&rt->own_stop, 1);
}

bool lathe_runtime_stopped(const lathe_runtime *rt) {
    const atomic_int *stop = rt->options.stop;
    return atomic_load_explicit(&rt->own_stop, memory_order_relaxed) != 0 ||
           (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed) != 0);
}

int64_t lathe_runtime_memory(const lathe_runtime *rt) {
    return atomic_load(&rt->memory);
}

int64_t lathe_runtime_memory_peak(const lathe_runtime *rt) {
    return atomic_load(&rt->peak);
}

int64_t lathe_runtime_leaks(const lathe_runtime *rt) {
    return atomic_load(&rt->leaks);
}

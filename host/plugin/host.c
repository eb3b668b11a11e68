#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "plugin/runtime_internal.h"
#include "plugin/selector.h"
#include "plugin/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS 100000000 /* at most ten a second */
#define MAX_MESSAGE 4096

static lathe_impl *impl_of(const lathe_host *host) {
    return host->impl;
}

/* ---- memory ---- */

static void *host_alloc(const lathe_host *host, uint64_t bytes) {
    return lathe_impl_alloc(impl_of(host), bytes);
}

static void host_free(const lathe_host *host, void *memory) {
    lathe_impl_free(impl_of(host), memory);
}

/* ---- events ---- */

static void send(lathe_impl *impl, lathe_event *event) {
    const lathe_runtime_options *o = &impl->runtime->options;
    char scope[sizeof impl->scope];
    pthread_mutex_lock(&impl->lock);
    memcpy(scope, impl->scope, sizeof scope);
    pthread_mutex_unlock(&impl->lock);
    event->scope = scope;
    event->plugin = impl->id;
    event->depth = impl->depth;
    if (o->on_event != NULL)
        o->on_event(o->user, event);
    else if (event->type == LATHE_EVENT_LOG)
        lathe_log((lathe_log_level)event->level, impl->id, "%s", event->text);
}

void lathe_impl_log(lathe_impl *impl, int32_t level, const char *message) {
    char text[MAX_MESSAGE];
    lathe_text_clean(message, MAX_MESSAGE, text, sizeof text);
    if (level < LATHE_LOG_DEBUG || level > LATHE_LOG_ERROR)
        level = LATHE_LOG_INFO;
    lathe_event event = {.type = LATHE_EVENT_LOG, .level = level, .text = text};
    send(impl, &event);
}

static void host_log(const lathe_host *host, int32_t level, const char *message) {
    lathe_impl_log(impl_of(host), level, message);
}

static int32_t host_stopped(const lathe_host *host) {
    return lathe_runtime_stopped(impl_of(host)->runtime);
}

/* One of several threads that come at the same time wins the right to send. */
static bool is_due(lathe_impl *impl) {
    long long now = lathe_now_ns();
    long long last = atomic_load_explicit(&impl->progress_ns, memory_order_relaxed);
    return now - last >= PROGRESS_NS &&
           atomic_compare_exchange_strong(&impl->progress_ns, &last, now);
}

static void host_progress(const lathe_host *host, double fraction, const char *message) {
    lathe_impl *impl = impl_of(host);
    if (!(fraction >= 0)) /* NaN too */
        fraction = 0;
    if (fraction > 1)
        fraction = 1;
    if (fraction < 1 && !is_due(impl))
        return;
    char text[512];
    lathe_text_clean(message, sizeof text, text, sizeof text);
    lathe_event event = {.type = LATHE_EVENT_PROGRESS, .text = text, .value = fraction};
    send(impl, &event);
}

static void host_metric(const lathe_host *host, const char *name, int64_t step, double value) {
    char text[128];
    lathe_text_clean(name, sizeof text, text, sizeof text);
    lathe_event event = {.type = LATHE_EVENT_METRIC, .text = text, .value = value, .step = step};
    send(impl_of(host), &event);
}

/* ---- parallel loops ---- */

typedef struct loop {
    lathe_impl *impl;
    lathe_chunk_fn fn;
    void *user;
} loop;

/* The chunk may run on a thread that does not know yet whom it works for. */
static int32_t run_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const loop *l = user;
    lathe_crumbs *crumbs = l->impl->runtime->options.crumbs;
    lathe_crumb crumb = {l->impl->crumb, "parallel_for", l->impl->scope};
    lathe_crumb_saved saved;
    lathe_crumbs_enter(crumbs, &crumb, &saved);
    int32_t rc = l->fn(l->user, begin, end, worker);
    lathe_crumbs_leave(crumbs, &saved);
    return rc;
}

static int32_t host_parallel_for(const lathe_host *host, int64_t n, int64_t grain,
                                 lathe_chunk_fn fn, void *user) {
    lathe_impl *impl = impl_of(host);
    const lathe_runtime_options *o = &impl->runtime->options;
    /* on one thread where the chunks may call a child that bears one call at a time */
    lathe_pool *pool = impl->children_concurrency == LATHE_CONCURRENCY_CONST ? o->pool : NULL;
    if (o->crumbs == NULL)
        return lathe_pool_run(pool, n, grain, fn, user);
    if (fn == NULL)
        return LATHE_E_INVALID;
    loop l = {impl, fn, user};
    return lathe_pool_run(pool, n, grain, run_chunk, &l);
}

static int32_t host_n_workers(const lathe_host *host) {
    return lathe_pool_workers(impl_of(host)->runtime->options.pool);
}

/* ---- numbers ---- */

static uint64_t host_random_key(const lathe_host *host, uint64_t key, uint64_t index) {
    (void)host;
    return lathe_rng_key(key, "plugin", index);
}

static void host_random_u64(const lathe_host *host, uint64_t key, uint64_t counter, uint64_t *out,
                            int64_t n) {
    (void)host;
    lathe_rng_u64(key, counter, out, n);
}

static void host_random_uniform(const lathe_host *host, uint64_t key, uint64_t counter, float *out,
                                int64_t n) {
    (void)host;
    lathe_rng_f32(key, counter, out, n);
}

static void host_random_normal(const lathe_host *host, uint64_t key, uint64_t counter, float *out,
                               int64_t n) {
    (void)host;
    lathe_rng_normal_f32(key, counter, out, n);
}

static int32_t host_gemm_f32(const lathe_host *host, int32_t trans_a, int32_t trans_b, int64_t m,
                             int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                             const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    return lathe_gemm_f32(impl_of(host)->runtime->options.pool, trans_a, trans_b, m, n, k, alpha, a,
                          lda, b, ldb, beta, c, ldc);
}

static int32_t host_gemm_f64(const lathe_host *host, int32_t trans_a, int32_t trans_b, int64_t m,
                             int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
                             const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
    return lathe_gemm_f64(impl_of(host)->runtime->options.pool, trans_a, trans_b, m, n, k, alpha, a,
                          lda, b, ldb, beta, c, ldc);
}

/* ---- children ---- */

static const lathe_descriptor *components_descriptor(const lathe_host *host,
                                                     const lathe_component *component) {
    const lathe_descriptor *d;
    (void)host;
    if (component == NULL)
        return NULL;
    if (lathe_catalogue_load(component->plugin, &d, NULL) == LATHE_OK)
        return d;
    return component->descriptor;
}

static int32_t components_create(const lathe_host *host, const lathe_component *component,
                                 uint32_t needs, const lathe_dataset *data, lathe_instance *child,
                                 lathe_error *err) {
    lathe_impl *impl = impl_of(host);
    /* The adapter makes what it wraps: it would be wrapped again, and so on. */
    bool wrap = impl->id == NULL || strcmp(impl->id, LATHE_ADAPTER_ID) != 0;
    return lathe_impl_create(impl->runtime, impl, component, needs, data, wrap, child, err);
}

static void components_destroy(const lathe_host *host, lathe_instance *child) {
    (void)host;
    lathe_instance_destroy(child);
}

static int32_t components_make(const lathe_host *host, const char *kind, const char *name,
                               const char *params, const lathe_component **component,
                               lathe_error *err) {
    lathe_impl *impl = impl_of(host);
    lathe_binder binder = {.catalogue = impl->runtime->options.catalogue,
                           .task = impl->component != NULL ? impl->component->task : 0,
                           .load = true};
    *component = NULL;
    if (kind == NULL || name == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "make() needs a kind and a name");
    lathe_made *made = calloc(1, sizeof *made);
    if (made == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = lathe_bind_text(&binder, kind, name, params, &made->component, err);
    if (rc != LATHE_OK) {
        free(made);
        return rc;
    }
    pthread_mutex_lock(&impl->lock);
    made->next = impl->made;
    impl->made = made;
    pthread_mutex_unlock(&impl->lock);
    *component = made->component;
    return LATHE_OK;
}

static const lathe_components components = {
    .struct_size = LATHE_SIZED(lathe_components),
    .descriptor = components_descriptor,
    .create = components_create,
    .destroy = components_destroy,
    .make = components_make,
};

static int32_t tables_select(const lathe_host *host, const lathe_selector *selector,
                             const lathe_table *table, int32_t *columns, int64_t capacity,
                             int64_t *n, lathe_error *err) {
    (void)host;
    return lathe_selector_resolve(selector, table, columns, capacity, n, err);
}

static const lathe_tables tables = {
    .struct_size = LATHE_SIZED(lathe_tables),
    .select = tables_select,
};

static pthread_once_t cpu_once = PTHREAD_ONCE_INIT;
static lathe_cpu cpu = {.struct_size = LATHE_SIZED(lathe_cpu)};

static void find_cpu(void) {
    cpu.level = lathe_cpu_level();
}

static const void *host_get(const lathe_host *host, const char *id) {
    (void)host;
    if (id == NULL)
        return NULL;
    if (strcmp(id, LATHE_HOST_COMPONENTS) == 0)
        return &components;
    if (strcmp(id, LATHE_HOST_DATASETS) == 0)
        return lathe_datasets_service();
    if (strcmp(id, LATHE_HOST_TABLES) == 0)
        return &tables;
    if (strcmp(id, LATHE_HOST_CPU) == 0) {
        pthread_once(&cpu_once, find_cpu);
        return &cpu;
    }
    return NULL;
}

void lathe_host_fill(lathe_impl *impl) {
    impl->host = (lathe_host){
        .struct_size = LATHE_SIZED(lathe_host),
        .abi_minor = LATHE_ABI_MINOR,
        .impl = impl,
        .alloc = host_alloc,
        .free = host_free,
        .log = host_log,
        .stopped = host_stopped,
        .progress = host_progress,
        .metric = host_metric,
        .parallel_for = host_parallel_for,
        .n_workers = host_n_workers,
        .random_key = host_random_key,
        .random_u64 = host_random_u64,
        .random_uniform = host_random_uniform,
        .random_normal = host_random_normal,
        .gemm_f32 = host_gemm_f32,
        .gemm_f64 = host_gemm_f64,
        .get = host_get,
    };
}

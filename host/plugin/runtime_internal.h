/* plugin/runtime_internal.h: an instance as the host sees it. For host/plugin only. */
#ifndef LATHE_PLUGIN_RUNTIME_INTERNAL_H
#define LATHE_PLUGIN_RUNTIME_INTERNAL_H

#include "plugin/runtime.h"

#include <pthread.h>

#define LATHE_ADAPTER_ID "lathe.ensemble.adapt"
#define LATHE_ZONE 64 /* bytes of red zone on each side */
#define LATHE_ZONE_BYTE 0xA5

typedef struct lathe_impl lathe_impl;

/* Head of a block that a plugin allocated. In memory: head, zone, the plugin's bytes, zone. */
typedef struct lathe_block {
    uint64_t magic;
    struct lathe_block *prev, *next;
    lathe_impl *owner;
    uint64_t bytes;
    void *raw; /* to free */
} lathe_block;

/* A component that a plugin made by lathe_components.make. */
typedef struct lathe_made {
    lathe_component *component;
    struct lathe_made *next;
} lathe_made;

struct lathe_impl {
    lathe_host host; /* what the plugin gets; host.impl points here */
    lathe_runtime *runtime;
    const lathe_component *component; /* retained; NULL: the process itself */
    const lathe_descriptor *descriptor;
    const char *id;
    void *self;
    int32_t crumb; /* the plugin's number in the page, or -1 */
    int32_t depth;
    uint32_t concurrency;          /* the strictest of the plugin's own and its children's */
    uint32_t children_concurrency; /* of its children, and theirs */
    char scope[128];
    pthread_mutex_t lock; /* blocks, made, damage, scope */
    lathe_block blocks;   /* ring */
    int64_t bytes;
    lathe_made *made;
    char damage[256];      /* what a free() found; "" */
    pthread_mutex_t calls; /* for LATHE_CONCURRENCY_SERIAL */
    atomic_llong progress_ns;
    int64_t open_rows;             /* of the dataset last opened through call.h */
    void (*keep_free)(void *keep); /* what must live as long */
    void *keep;
};

struct lathe_runtime {
    lathe_runtime_options options;
    atomic_int own_stop;
    atomic_llong memory, peak, leaks;
    atomic_int instances;
    lathe_impl *self; /* the process itself */
};

static inline lathe_impl *lathe_impl_of(const lathe_instance *instance) {
    return instance->impl;
}

/* host.c */
void lathe_host_fill(lathe_impl *impl);
void lathe_impl_log(lathe_impl *impl, int32_t level, const char *message);

/* memory.c */
void *lathe_impl_alloc(lathe_impl *impl, uint64_t bytes);
void lathe_impl_free(lathe_impl *impl, void *memory);
/* Frees what is left; returns how many blocks, and their bytes. */
int64_t lathe_impl_free_all(lathe_impl *impl, int64_t *bytes);
int32_t lathe_impl_check_zones(lathe_impl *impl, lathe_error *err);

/* gemm.c */
int32_t lathe_gemm_f32(lathe_pool *pool, int32_t trans_a, int32_t trans_b, int64_t m, int64_t n,
                       int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                       int64_t ldb, float beta, float *c, int64_t ldc);
int32_t lathe_gemm_f64(lathe_pool *pool, int32_t trans_a, int32_t trans_b, int64_t m, int64_t n,
                       int64_t k, double alpha, const double *a, int64_t lda, const double *b,
                       int64_t ldb, double beta, double *c, int64_t ldc);

/* instance.c: creating under a parent (NULL: the host). wrap: the adapter may be put around. */
int32_t lathe_impl_create(lathe_runtime *runtime, lathe_impl *parent,
                          const lathe_component *component, uint32_t needs,
                          const lathe_dataset *data, bool wrap, lathe_instance *out,
                          lathe_error *err);

/* state.c: the node's plugin under a parent. */
struct lathe_state;
int32_t lathe_state_load_under(lathe_runtime *runtime, lathe_impl *parent, struct lathe_state *node,
                               uint32_t needs, lathe_instance *out, lathe_error *err);

/* call.c: around every call: breadcrumb, the plugin's concurrency rule; after it: error, zones. */
typedef struct lathe_call {
    lathe_impl *impl;
    const char *function;
    unsigned float_mode; /* before the call */
    bool mode_changed;
    bool zones_later; /* the caller looks at the zones once, after many calls */
    lathe_crumb_saved saved;
} lathe_call;
void lathe_call_begin(lathe_call *call, lathe_impl *impl, const char *function);
void lathe_call_end(lathe_call *call);
/* lathe_call_end, then makes code and message fit to be shown, and checks the instance's zones. */
int32_t lathe_call_finish(lathe_call *call, int32_t rc, const lathe_error *theirs,
                          lathe_error *err);

#endif

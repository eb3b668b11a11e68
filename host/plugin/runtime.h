/* plugin/runtime.h: what is common to all running plugins of a process, and making instances of
 * them.
 *
 * One runtime a worker process: compute pool, catalogue, stop flag, where events go, accounts of
 * memory, the page of breadcrumbs. Each instance gets a lathe_host of its own, so that what it
 * allocates, logs and leaks is known by its name. lathe_instance (<lathe/component.h>) is the
 * handle of an instance, for plugins and host alike; calls that the host makes go through
 * plugin/call.h.
 *
 *     lathe_runtime_options opt = {.catalogue = cat, .pool = pool, .on_event = draw, .user = me};
 *     lathe_runtime *rt;
 *     lathe_runtime_new(&opt, &rt, &err);
 *     lathe_instance net;
 *     rc = lathe_instance_create(rt, component, 0, dataset, &net, &err);
 *     …
 *     lathe_instance_destroy(&net);
 *     lathe_runtime_free(rt);
 */
#ifndef LATHE_PLUGIN_RUNTIME_H
#define LATHE_PLUGIN_RUNTIME_H

#include "base/pool.h"
#include "plugin/bind.h"
#include "plugin/crumbs.h"

#include <lathe/lathe.h>
#include <stdatomic.h>

typedef struct lathe_runtime lathe_runtime;

enum { LATHE_EVENT_LOG = 1, LATHE_EVENT_PROGRESS = 2, LATHE_EVENT_METRIC = 3 };

/* Something a plugin said. Everything is valid during the call only; texts are valid UTF-8, one
 * line. */
typedef struct lathe_event {
    int32_t type;       /* LATHE_EVENT_… */
    int32_t level;      /* LOG: LATHE_LOG_… */
    const char *scope;  /* what the caller set by lathe_instance_set_scope; "" where nothing */
    const char *plugin; /* id */
    int32_t depth;      /* 0: made by the host; 1: its child; … */
    const char *text;   /* LOG, PROGRESS: the message (may be ""); METRIC: the curve's name */
    double value;       /* PROGRESS: share done, 0 … 1; METRIC: the value (may be NaN) */
    int64_t step;       /* METRIC */
} lathe_event;

typedef struct lathe_runtime_options {
    lathe_catalogue *catalogue;
    lathe_pool *pool; /* NULL: everything runs in the caller */
    /* [any thread, several at once] NULL: log lines go to base/log.h, the rest nowhere. Progress
     * comes at most ten times a second an instance, and at 1. */
    void (*on_event)(void *user, const lathe_event *event);
    void *user;
    const atomic_int
        *stop; /* not zero: stopped() is true. NULL: the runtime's own, see request_stop */
    int64_t
        memory_limit; /* bytes of all instances together; 0: none. Beyond it alloc() gives NULL */
    lathe_crumbs *crumbs; /* NULL: none */
} lathe_runtime_options;

int32_t lathe_runtime_new(const lathe_runtime_options *options, lathe_runtime **out,
                          lathe_error *err);
/* Every instance must be destroyed before. NULL is fine. */
void lathe_runtime_free(lathe_runtime *runtime);

lathe_catalogue *lathe_runtime_catalogue(const lathe_runtime *runtime);
lathe_pool *lathe_runtime_pool(const lathe_runtime *runtime);
/* Services of the process itself, as if it were a plugin "lathe": for making datasets. Lives as
 * long as the runtime. */
const lathe_host *lathe_runtime_host(lathe_runtime *runtime);

void lathe_runtime_request_stop(lathe_runtime *runtime); /* [any], also in signal handlers */
bool lathe_runtime_stopped(const lathe_runtime *runtime);

/* Bytes that instances hold now, and held at most; blocks that were leaked so far. [any] */
int64_t lathe_runtime_memory(const lathe_runtime *runtime);
int64_t lathe_runtime_memory_peak(const lathe_runtime *runtime);
int64_t lathe_runtime_leaks(const lathe_runtime *runtime);

/* Makes an instance, loading the plugin where needed. `needs` and `data` as in
 * lathe_components.create: for learners the host puts "lathe.ensemble.adapt" around where the
 * plugin lacks a needed LATHE_LEARNER_TAKES_…, or takes not what `data` holds, or wants it
 * scaled. Retains the component. On error *out is zeroed. A task that the plugin does not serve:
 * LATHE_E_UNSUPPORTED. [any] */
int32_t lathe_instance_create(lathe_runtime *runtime, const lathe_component *component,
                              uint32_t needs, const lathe_dataset *data, lathe_instance *out,
                              lathe_error *err);
/* Destroys it, reports leaks, zeroes the struct. A zeroed one is fine. */
void lathe_instance_destroy(lathe_instance *instance);

/* Names what the instance works for ("candidates/net"): in its events and those of children made
 * later. Copied; cut at 127 bytes. */
void lathe_instance_set_scope(const lathe_instance *instance, const char *scope);

/* What an instance was made of (the adapter's component where one was put around), and where it
 * runs. */
const lathe_component *lathe_instance_component(const lathe_instance *instance);
lathe_runtime *lathe_instance_runtime(const lathe_instance *instance);
/* LATHE_CONCURRENCY_…: the strictest of the plugin's own and of all below it. */
uint32_t lathe_instance_concurrency(const lathe_instance *instance);
int64_t lathe_instance_memory(
    const lathe_instance *instance); /* bytes it holds, children not counted */

/* Has the instance written beyond a block of its own? LATHE_OK, or LATHE_E_CORRUPT with a
 * sentence that names the plugin, the block's size and the side. [any] */
int32_t lathe_runtime_check_zones(const lathe_instance *instance, lathe_error *err);

#endif

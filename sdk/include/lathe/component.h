/* lathe/component.h: children. An ensemble makes its base learners, a network its loss and optimizer, from
 * the component parameters of its config; it calls them directly through their tables.
 *
 *     const lathe_components *kids = host->get(host, LATHE_HOST_COMPONENTS);
 *     lathe_instance loss;
 *     rc = kids->create(host, config->loss, 0, &loss, err);
 *     ((const lathe_loss *)loss.interface)->gradient(loss.self, n, k, score, target, g, h, err);
 *     kids->destroy(host, &loss);
 */
#ifndef LATHE_COMPONENT_H
#define LATHE_COMPONENT_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lathe_dataset;

/* A child. Frozen. `interface` is the kind's table as this host knows it: members that the child's older table
 * lacks are NULL. Filled by the host whatever it held; passed on whole. Destroy every child before your own
 * destroy() returns. Calls to its table are yours to serialise as lathe/abi.h says; where a child's descriptor
 * asks for more (LATHE_CONCURRENCY_…), the host runs the parent's loops on one thread. */
typedef struct lathe_instance {
    uint32_t struct_size;
    uint32_t reserved0;
    const lathe_descriptor *descriptor;
    const void *interface;
    void *self;
    void *impl; /* the host's own */
} lathe_instance;

typedef struct lathe_components {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] Which plugin a component names; NULL for a NULL component. */
    const lathe_descriptor *(*descriptor)(const lathe_host *host, const lathe_component *component);
    /* [any] Makes an instance. `needs`, for learners: LATHE_LEARNER_TAKES_… bits that the parent will use;
     * where the plugin lacks one, or lacks what `data` (may be NULL) holds, such as missing values or
     * categories, the host puts the plugin "lathe.ensemble.adapt" around it. Independent of threads:
     * children may be made and used on several threads at once. */
    int32_t (*create)(const lathe_host *host, const lathe_component *component, uint32_t needs,
                      const struct lathe_dataset *data, lathe_instance *child, lathe_error *err);
    /* [any] Destroys it and zeroes `child`; a zeroed one is fine. */
    void (*destroy)(const lathe_host *host, lathe_instance *child);
    /* [any] Makes a component of a built-in or installed plugin from its id (or short name) and kind and
     * its parameters as JSON text ("{}"), for defaults that are not parameters. Valid as long as `host`. */
    int32_t (*make)(const lathe_host *host, const char *kind, const char *name, const char *params,
                    const lathe_component **component, lathe_error *err);
} lathe_components;

#ifdef __cplusplus
}
#endif
#endif

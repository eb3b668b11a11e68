/* plugin/bind.h: from JSON to a plugin with its config, by the plugin's parameter table.
 *
 * A component is a plugin use, bound: which plugin, the config struct with every value in place,
 * its nested components, and its full parameters as JSON. Binding needs no plugin code: it works
 * on the tables that the catalogue rebuilt, in processes that load nothing. Every fault goes
 * into the list of diagnostics, all at once, with position, what was found, what was expected
 * and the nearest name.
 *
 *     lathe_binder b = {.catalogue = cat, .task = LATHE_TASK_BINARY, .candidates = candidates};
 *     lathe_component *c = lathe_bind(&b, doc, node, LATHE_KIND_LEARNER, &diags);
 *     …
 *     lathe_component_free(c);
 */
#ifndef LATHE_PLUGIN_BIND_H
#define LATHE_PLUGIN_BIND_H

#include "base/json.h"
#include "plugin/catalogue.h"

#include <lathe/component.h>

/* Turns a path as written into one to open: *resolved is malloc'ed. On error err->message says
 * why. */
typedef int32_t (*lathe_path_resolver)(void *user, const char *path, char **resolved,
                                       lathe_error *err);

typedef struct lathe_binder {
    const lathe_catalogue *catalogue;
    int32_t task; /* LATHE_TASK_…: chooses defaults; 0: not known, the general default */
    const cJSON
        *candidates; /* object name → plugin use, in the same document, for {"candidate": "x"};
                              * NULL: such references are an error */
    lathe_path_resolver resolve_path; /* NULL: paths stay as they are */
    void *path_user;
    bool load; /* load the plugins and run their check_config; [worker] processes only */
} lathe_binder;

/* A file that a parameter names. */
typedef struct lathe_bound_path {
    const char *pointer;  /* of the parameter within the component: "/csv/path" */
    const char *given;    /* as written */
    const char *resolved; /* what is in the config */
} lathe_bound_path;

/* Read-only. `resolved` is the whole use with every default as JSON text, {"lathe.learner.mlp":
 * {…}}: with full ids, parameters in the table's order, references to candidates replaced by
 * what they stand for, paths as written. Binding it again gives the same config. */
struct lathe_component {
    const lathe_plugin *plugin;
    const lathe_descriptor *descriptor; /* == plugin->descriptor: data only */
    const void *config;                 /* descriptor->config_size bytes; NULL where that is 0 */
    const char *resolved;
    const char *candidate; /* the candidate's name where it came by {"candidate": …}; else NULL */
    int32_t task;
    const lathe_component *const *children; /* the nested components, in the order of `resolved` */
    size_t n_children;
    const lathe_bound_path *paths; /* of it and all below it, on the outermost component only */
    size_t n_paths;
    struct lathe_component_root *root; /* shared memory, count of users */
};

/* Binds a node. kinds as in plugin/kinds.h. NULL: at least one diagnostic was added. [any] */
lathe_component *lathe_bind(const lathe_binder *binder, const lathe_json *doc, const cJSON *node,
                            const char *kinds, lathe_diags *diags);

/* The same from texts: plugin `name` (id or short) with parameters as JSON text, NULL or "" for
 * {}. The first fault fills err (LATHE_E_INVALID, LATHE_E_NOT_FOUND for the plugin). */
int32_t lathe_bind_text(const lathe_binder *binder, const char *kinds, const char *name,
                        const char *params, lathe_component **out, lathe_error *err);
/* And from a whole use as text: "\"relu\"", "{\"leaky_relu\": {\"alpha\": 0.1}}". */
int32_t lathe_bind_use(const lathe_binder *binder, const char *kinds, const char *use,
                       lathe_component **out, lathe_error *err);

/* One more user of the tree that `c` belongs to. [any] */
const lathe_component *lathe_component_retain(const lathe_component *c);
/* One user less; the last frees the tree. NULL is fine. [any] */
void lathe_component_free(const lathe_component *c);

/* `resolved` as a new cJSON tree (cJSON_Delete it); NULL: out of memory. */
cJSON *lathe_component_tree(const lathe_component *c);

#endif

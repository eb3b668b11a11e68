/* plugin/bind_internal.h: what the files of binding share. For host/plugin only. */
#ifndef LATHE_PLUGIN_BIND_INTERNAL_H
#define LATHE_PLUGIN_BIND_INTERNAL_H

#include "base/arena.h"
#include "base/jsonw.h"
#include "plugin/bind.h"

#include <pthread.h>
#include <stdatomic.h>

#define LATHE_BIND_MAX_DEPTH 12 /* of components in components */

/* A component that was put around another by the host, kept with it. */
typedef struct lathe_wrapping {
    const lathe_component *inner;
    const lathe_component *outer;
    struct lathe_wrapping *next;
} lathe_wrapping;

/* The memory of one bound tree. */
typedef struct lathe_component_root {
    atomic_int users;
    lathe_arena *arena;
    lathe_component *top;
    pthread_mutex_t lock;      /* for wrappings */
    lathe_wrapping *wrappings; /* malloc'ed */
} lathe_component_root;

/* Where a value stands. A default's value has a document of its own, but its faults are shown
 * where the author could have written it. */
typedef struct lathe_site {
    const lathe_json *doc;
    const cJSON *node;
    const lathe_json *at_doc;
    const cJSON *at;
    bool is_default;
} lathe_site;

typedef struct lathe_child_link {
    const lathe_component *component;
    struct lathe_child_link *next;
} lathe_child_link;

/* Candidates that are being substituted, innermost first. */
typedef struct lathe_reference {
    const char *name;
    const struct lathe_reference *outer;
} lathe_reference;

/* One binding in progress. */
typedef struct lathe_binding {
    const lathe_binder *binder; /* catalogue NULL: components are checked for their form alone */
    const lathe_json *doc;      /* the author's */
    lathe_component_root *root;
    lathe_arena *arena;
    lathe_diags *diags;
    lathe_buf text; /* resolved */
    lathe_jsonw w;
    lathe_buf where; /* pointer into `resolved` */
    lathe_bound_path *paths;
    size_t n_paths, paths_cap;
    lathe_child_link **children_end; /* of the component being bound */
    size_t n_children;
    const lathe_reference *references;
    int depth;
    int errors;
    bool no_memory;
    lathe_json **defaults; /* documents of default texts, kept until the end */
    size_t n_defaults, defaults_cap;
} lathe_binding;

/* Notes a fault at a site. */
void lathe_bind_complain(lathe_binding *b, const lathe_site *site, const char *fmt, ...)
    LATHE_PRINTF(3, 4);

/* One parameter's value, null, list and map included. Writes it to the resolved text too. */
void lathe_bind_value(lathe_binding *b, const lathe_param *p, const lathe_site *s, void *dest);

/* The site of a node below `outer`. */
lathe_site lathe_bind_inner(const lathe_site *outer, const cJSON *node);
/* Goes down one step of the pointer `where`: to a member, or to an element where name is NULL.
 * Go up again with what it returned. */
size_t lathe_bind_down(lathe_binding *b, const char *name, int index);
void lathe_bind_up(lathe_binding *b, size_t len);

/* All of a table's values into `dest`, from an object (site->node NULL: an empty one). Writes
 * the resolved object. `owner` is for messages: the plugin's or record's name. */
void lathe_bind_fields(lathe_binding *b, const lathe_param *params, uint32_t n,
                       const lathe_site *object, const char *owner, void *dest);

/* One component; *out is NULL after a fault (and where there is no catalogue). */
void lathe_bind_component(lathe_binding *b, const lathe_site *site, const char *kinds,
                          const lathe_component **out);

/* Does a default's text fit its own parameter? Needs no catalogue. */
int32_t lathe_bind_check_default(const lathe_param *p, const char *text, lathe_error *err);

/* What a parameter takes, in words: "an integer from 1 to 1000 rows". Returns `buf`. element: of
 * one element of a list or map. */
const char *lathe_bind_expected(const lathe_param *p, bool element, char *buf, size_t size);

#endif

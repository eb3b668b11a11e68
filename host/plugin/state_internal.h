/* plugin/state_internal.h: a node. For host/plugin only. */
#ifndef LATHE_PLUGIN_STATE_INTERNAL_H
#define LATHE_PLUGIN_STATE_INTERNAL_H

#include "base/arena.h"
#include "plugin/state.h"

#define LATHE_STATE_MAX_NAME 128
#define LATHE_STATE_MAX_DEPTH 32 /* of children in children */

typedef struct lathe_state_child {
    const char *name;
    lathe_state *node;
} lathe_state_child;

/* The three lists are sorted by name at all times; no name is in two of them. Elements are in
 * the arena and do not move, so that a reader's shape pointers hold. */
struct lathe_state {
    atomic_int users;
    lathe_arena *arena;
    lathe_state_identity who;
    lathe_state_tensor **tensors;
    size_t n_tensors, tensors_cap;
    lathe_state_attribute **attributes;
    size_t n_attributes, attributes_cap;
    lathe_state_child **children;
    size_t n_children, children_cap;
    void (*on_free)(void *user);
    void *on_free_user;
};

const lathe_state_tensor *lathe_state_find_tensor(const lathe_state *s, const char *name);
const lathe_state_attribute *lathe_state_find_attribute(const lathe_state *s, const char *name);
lathe_state *lathe_state_find_child(const lathe_state *s, const char *name);

#endif

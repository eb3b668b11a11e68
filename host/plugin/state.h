/* plugin/state.h: a fitted plugin's state as a tree in memory.
 *
 * A node holds who it is (plugin id, version, file digest, state version, the resolved
 * parameters) and what it knows: tensors, attributes and children, by name ([a-z0-9_.]+, at most
 * 128 bytes, unique in the node). Everything comes out sorted by name, so equal states give
 * equal bytes. lathe_state_save fills a tree from an instance, lathe_state_load makes an
 * instance of a tree; a model file writes the tree out, and builds it again from pointers into
 * the mapped file, without copying.
 *
 * Nodes are counted: an instance that was loaded keeps its node alive, because its tensors are
 * not copied. One thread at a time while a tree is built; afterwards [any].
 */
#ifndef LATHE_PLUGIN_STATE_H
#define LATHE_PLUGIN_STATE_H

#include "plugin/runtime.h"

typedef struct lathe_state lathe_state;

typedef struct lathe_state_identity {
    const char *plugin;  /* id */
    const char *version; /* of the plugin */
    const char *digest;  /* SHA-256 of its file */
    uint32_t state_version;
    int32_t task;
    const char *config; /* resolved use, JSON text: {"lathe.learner.mlp": {…}} */
} lathe_state_identity;

typedef struct lathe_state_tensor {
    const char *name;
    uint8_t dtype; /* LATHE_FLOAT, … */
    uint8_t bits;
    int32_t ndim;
    int64_t shape[LATHE_MAX_DIMS];
    const void *data; /* compact, row-major */
    size_t bytes;
} lathe_state_tensor;

enum {
    LATHE_STATE_INTEGER = 1,
    LATHE_STATE_NUMBER = 2,
    LATHE_STATE_STRING = 3,
    LATHE_STATE_STRINGS = 4
};

typedef struct lathe_state_attribute {
    const char *name;
    int32_t type; /* LATHE_STATE_… */
    int64_t integer;
    double number;
    const lathe_str *strings; /* STRING: one; STRINGS: n */
    int64_t n;
} lathe_state_attribute;

/* Saves a fitted learner, ensemble or transform. A plugin with state_version 0 gives a node without
 * content. *out: lathe_state_free. [worker] */
int32_t lathe_state_save(const lathe_instance *instance, lathe_state **out, lathe_error *err);

/* Makes the instance of a node: finds the plugin by id, binds the saved parameters, creates,
 * loads. `needs` is checked only: a learner that lacks one is LATHE_E_UNSUPPORTED. Refused with
 * a sentence: a plugin that is not installed (LATHE_E_NOT_FOUND), a state version out of its
 * range (LATHE_E_VERSION), parameters it does not take, content it does not accept
 * (LATHE_E_CORRUPT). [worker] */
int32_t lathe_state_load(lathe_runtime *runtime, lathe_state *node, uint32_t needs,
                         lathe_instance *out, lathe_error *err);

/* ---- building ---- */

/* A new empty node; texts are copied. LATHE_E_CORRUPT where one is not what it should be. */
int32_t lathe_state_new(const lathe_state_identity *identity, lathe_state **out, lathe_error *err);
lathe_state *lathe_state_retain(lathe_state *node);
void lathe_state_free(lathe_state *node); /* one user less. NULL is fine */
/* Called when the node goes, once its content is not needed: unmap the file. One a node. */
void lathe_state_on_free(lathe_state *node, void (*fn)(void *user), void *user);

/* Each: LATHE_E_INVALID for a bad name, LATHE_E_EXISTS for one that is taken, LATHE_E_SHAPE for
 * a tensor that is not compact or too large. copy false: `data` stays the caller's, valid as
 * long as the node. */
int32_t lathe_state_add_tensor(lathe_state *node, const char *name, const lathe_tensor *tensor,
                               bool copy, lathe_error *err);
int32_t lathe_state_add_integer(lathe_state *node, const char *name, int64_t value,
                                lathe_error *err);
int32_t lathe_state_add_number(lathe_state *node, const char *name, double value, lathe_error *err);
int32_t lathe_state_add_string(lathe_state *node, const char *name, lathe_str value,
                               lathe_error *err);
int32_t lathe_state_add_strings(lathe_state *node, const char *name, const lathe_str *values,
                                int64_t n, lathe_error *err);
/* Takes `child` over on success. */
int32_t lathe_state_add_child(lathe_state *node, const char *name, lathe_state *child,
                              lathe_error *err);

/* ---- reading, sorted by name ---- */
const lathe_state_identity *lathe_state_who(const lathe_state *node);
size_t lathe_state_tensor_count(const lathe_state *node);
const lathe_state_tensor *lathe_state_tensor_at(const lathe_state *node, size_t i);
size_t lathe_state_attribute_count(const lathe_state *node);
const lathe_state_attribute *lathe_state_attribute_at(const lathe_state *node, size_t i);
size_t lathe_state_child_count(const lathe_state *node);
lathe_state *lathe_state_child_at(const lathe_state *node, size_t i, const char **name);

/* Is it a name for a tensor, attribute or child? */
bool lathe_state_name_ok(const char *name);

#endif

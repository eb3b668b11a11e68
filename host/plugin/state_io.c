/* Between instances and state trees: the writer and the reader that plugins get. */
#include "plugin/kinds.h"
#include "plugin/runtime_internal.h"
#include "plugin/state_internal.h"
#include "plugin/text.h"

#include <string.h>

/* ---- saving ---- */

typedef struct writing {
    lathe_writer writer; /* what the plugin gets; its impl points here */
    lathe_state *node;
    int depth;
} writing;

static int32_t save_at(const lathe_instance *instance, int depth, lathe_state **out,
                       lathe_error *err);

static writing *of_writer(const lathe_writer *w) {
    return w->impl;
}

static int32_t write_tensor(const lathe_writer *w, const char *name, const lathe_tensor *tensor,
                            lathe_error *err) {
    return lathe_state_add_tensor(of_writer(w)->node, name, tensor, true, err);
}

static int32_t write_integer(const lathe_writer *w, const char *name, int64_t value,
                             lathe_error *err) {
    return lathe_state_add_integer(of_writer(w)->node, name, value, err);
}

static int32_t write_number(const lathe_writer *w, const char *name, double value,
                            lathe_error *err) {
    return lathe_state_add_number(of_writer(w)->node, name, value, err);
}

static int32_t write_string(const lathe_writer *w, const char *name, lathe_str value,
                            lathe_error *err) {
    return lathe_state_add_string(of_writer(w)->node, name, value, err);
}

static int32_t write_strings(const lathe_writer *w, const char *name, const lathe_str *values,
                             int64_t n, lathe_error *err) {
    return lathe_state_add_strings(of_writer(w)->node, name, values, n, err);
}

static int32_t write_child(const lathe_writer *w, const char *name, const lathe_instance *child,
                           lathe_error *err) {
    lathe_state *node;
    if (child == NULL || child->impl == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "child \"%s\" was not made by the host",
                          name != NULL ? name : "?");
    int32_t rc = save_at(child, of_writer(w)->depth + 1, &node, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_state_add_child(of_writer(w)->node, name, node, err);
    if (rc != LATHE_OK)
        lathe_state_free(node);
    return rc;
}

typedef int32_t (*save_fn)(const void *self, const lathe_writer *writer, lathe_error *err);
typedef int32_t (*load_fn)(void *self, const lathe_reader *reader, lathe_error *err);

/* The kind's functions, or NULL where instances of it are not saved. */
static save_fn save_of(const lathe_descriptor *d) {
    if (lathe_kind_in(d->kind, LATHE_KIND_LEARNER))
        return ((const lathe_learner *)d->interface)->save;
    if (strcmp(d->kind, LATHE_KIND_TRANSFORM) == 0)
        return ((const lathe_transform *)d->interface)->save;
    return NULL;
}

static load_fn load_of(const lathe_descriptor *d) {
    if (lathe_kind_in(d->kind, LATHE_KIND_LEARNER))
        return ((const lathe_learner *)d->interface)->load;
    if (strcmp(d->kind, LATHE_KIND_TRANSFORM) == 0)
        return ((const lathe_transform *)d->interface)->load;
    return NULL;
}

static int32_t save_at(const lathe_instance *instance, int depth, lathe_state **out,
                       lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(instance);
    const lathe_descriptor *d = impl->descriptor;
    *out = NULL;
    if (depth >= LATHE_STATE_MAX_DEPTH)
        return lathe_fail(err, LATHE_E_UNSUPPORTED, d->id, "children are nested more than %d deep",
                          LATHE_STATE_MAX_DEPTH);
    lathe_state_identity who = {.plugin = d->id,
                                .version = d->version,
                                .digest = impl->component->plugin->file->digest,
                                .state_version = d->state_version,
                                .task = impl->component->task,
                                .config = impl->component->resolved};
    writing w = {.writer = {.struct_size = LATHE_SIZED(lathe_writer),
                            .impl = &w,
                            .tensor = write_tensor,
                            .integer = write_integer,
                            .number = write_number,
                            .string = write_string,
                            .strings = write_strings,
                            .child = write_child},
                 .depth = depth};
    int32_t rc = lathe_state_new(&who, &w.node, err);
    if (rc != LATHE_OK)
        return rc;
    if (d->state_version > 0 && save_of(d) != NULL) {
        lathe_error theirs = {0};
        lathe_call call;
        lathe_call_begin(&call, impl, "save");
        rc = save_of(d)(impl->self, &w.writer, &theirs);
        rc = lathe_call_finish(&call, rc, &theirs, err);
    }
    if (rc == LATHE_OK)
        *out = w.node;
    else
        lathe_state_free(w.node);
    return rc;
}

int32_t lathe_state_save(const lathe_instance *instance, lathe_state **out, lathe_error *err) {
    return save_at(instance, 0, out, err);
}

/* ---- loading ---- */

typedef struct reading {
    lathe_reader reader; /* what the plugin gets; its impl points here */
    lathe_state *node;
    lathe_impl *impl; /* whose state it is: parent of the children */
} reading;

static reading *of_reader(const lathe_reader *r) {
    return r->impl;
}

static const char *shown(const char *name, char *buf, size_t size) {
    return lathe_text_clean(name, size, buf, size);
}

static int32_t fail_missing(const char *what, const char *name, lathe_error *err) {
    char text[LATHE_STATE_MAX_NAME + 1];
    return lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "the saved state has no %s \"%s\"", what,
                      shown(name, text, sizeof text));
}

static int32_t read_tensor(const lathe_reader *r, const char *name, uint8_t dtype, uint8_t bits,
                           int32_t ndim, const int64_t *shape, lathe_tensor *tensor,
                           lathe_error *err) {
    const lathe_state_tensor *t = lathe_state_find_tensor(of_reader(r)->node, name);
    if (t == NULL)
        return fail_missing("tensor", name, err);
    if (t->dtype != dtype || t->bits != bits || t->ndim != ndim)
        return lathe_fail(err, LATHE_E_CORRUPT, NULL,
                          "tensor \"%s\" is of type %d with %d bits and %d dimensions; expected "
                          "type %d with %d bits and %d",
                          t->name, t->dtype, t->bits, (int)t->ndim, dtype, bits, (int)ndim);
    for (int32_t i = 0; i < ndim; i++)
        if (shape[i] >= 0 && shape[i] != t->shape[i])
            return lathe_fail(err, LATHE_E_CORRUPT, NULL,
                              "tensor \"%s\" has length %lld in dimension %d; expected %lld",
                              t->name, (long long)t->shape[i], (int)i, (long long)shape[i]);
    *tensor = (lathe_tensor){.data = (void *)(uintptr_t)t->data,
                             .device_type = LATHE_DEVICE_CPU,
                             .ndim = t->ndim,
                             .dtype = t->dtype,
                             .bits = t->bits,
                             .lanes = 1,
                             .shape = t->shape};
    return LATHE_OK;
}

static int32_t find_attribute(const lathe_reader *r, const char *name, int32_t type,
                              const lathe_state_attribute **out, lathe_error *err) {
    static const char *const types[] = {"?", "integer", "number", "text", "list of texts"};
    *out = lathe_state_find_attribute(of_reader(r)->node, name);
    if (*out == NULL)
        return fail_missing(types[type], name, err);
    if ((*out)->type != type)
        return lathe_fail(err, LATHE_E_CORRUPT, NULL, "\"%s\" is of type %s; expected %s",
                          (*out)->name, types[(*out)->type], types[type]);
    return LATHE_OK;
}

static int32_t read_integer(const lathe_reader *r, const char *name, int64_t min, int64_t max,
                            int64_t *value, lathe_error *err) {
    const lathe_state_attribute *a;
    int32_t rc = find_attribute(r, name, LATHE_STATE_INTEGER, &a, err);
    if (rc != LATHE_OK)
        return rc;
    if (a->integer < min || a->integer > max)
        return lathe_fail(err, LATHE_E_CORRUPT, NULL,
                          "\"%s\" is %lld; expected an integer from %lld to %lld", a->name,
                          (long long)a->integer, (long long)min, (long long)max);
    *value = a->integer;
    return LATHE_OK;
}

static int32_t read_number(const lathe_reader *r, const char *name, double *value,
                           lathe_error *err) {
    const lathe_state_attribute *a;
    int32_t rc = find_attribute(r, name, LATHE_STATE_NUMBER, &a, err);
    if (rc == LATHE_OK)
        *value = a->number;
    return rc;
}

static int32_t read_string(const lathe_reader *r, const char *name, lathe_str *value,
                           lathe_error *err) {
    const lathe_state_attribute *a;
    int32_t rc = find_attribute(r, name, LATHE_STATE_STRING, &a, err);
    if (rc == LATHE_OK)
        *value = a->strings[0];
    return rc;
}

static int32_t read_strings(const lathe_reader *r, const char *name, const lathe_str **values,
                            int64_t *n, lathe_error *err) {
    const lathe_state_attribute *a;
    int32_t rc = find_attribute(r, name, LATHE_STATE_STRINGS, &a, err);
    if (rc == LATHE_OK) {
        *values = a->strings;
        *n = a->n;
    }
    return rc;
}

static int32_t read_child(const lathe_reader *r, const char *name, lathe_instance *child,
                          lathe_error *err) {
    reading *in = of_reader(r);
    lathe_state *node = lathe_state_find_child(in->node, name);
    memset(child, 0, sizeof *child);
    if (node == NULL)
        return fail_missing("child", name, err);
    return lathe_state_load_under(in->impl->runtime, in->impl, node, 0, child, err);
}

static void drop_node(void *node) {
    lathe_state_free(node);
}

/* Does the saved use name the node's own plugin? The binding finds it by that name. */
static int32_t bind_saved(lathe_runtime *rt, const lathe_state_identity *who,
                          const lathe_plugin *plugin, lathe_component **out, lathe_error *err) {
    lathe_binder binder = {.catalogue = rt->options.catalogue, .task = who->task, .load = true};
    int32_t rc = lathe_bind_use(&binder, plugin->descriptor->kind, who->config, out, err);
    if (rc != LATHE_OK) {
        lathe_error_wrap(err, who->plugin);
        return rc == LATHE_E_MEMORY ? rc : LATHE_E_CORRUPT;
    }
    if ((*out)->plugin == plugin)
        return LATHE_OK;
    lathe_component_free(*out);
    *out = NULL;
    return lathe_fail(err, LATHE_E_CORRUPT, who->plugin, "the saved parameters are not those of %s",
                      who->plugin);
}

static int32_t check_identity(lathe_runtime *rt, const lathe_state_identity *who, uint32_t needs,
                              const lathe_plugin **plugin, lathe_error *err) {
    *plugin = lathe_catalogue_find_id(rt->options.catalogue, who->plugin);
    if (*plugin == NULL)
        return lathe_fail(err, LATHE_E_NOT_FOUND, who->plugin,
                          "the model needs plugin %s (it was saved with version %s), which is not "
                          "installed here; install it, and see `lathe plugins list`",
                          who->plugin, who->version);
    const lathe_descriptor *d = (*plugin)->descriptor;
    if (d->state_version != who->state_version &&
        (who->state_version < d->state_version_min || who->state_version > d->state_version))
        return lathe_fail(err, LATHE_E_VERSION, who->plugin,
                          "the state was saved in version %u by %s %s, and the installed %s takes "
                          "versions %u to %u; install a %s plugin",
                          (unsigned)who->state_version, who->plugin, who->version, d->version,
                          (unsigned)d->state_version_min, (unsigned)d->state_version,
                          who->state_version > d->state_version ? "newer" : "older");
    if ((needs & ~d->flags) != 0)
        return lathe_fail(err, LATHE_E_UNSUPPORTED, who->plugin,
                          "%s lacks what is needed of it (flags 0x%x)", who->plugin,
                          (unsigned)(needs & ~d->flags));
    return LATHE_OK;
}

/* The plugin's own load. What it misses or finds wrong in the state is the state's fault. */
static int32_t run_load(lathe_impl *impl, load_fn load, lathe_state *node, lathe_error *err) {
    lathe_error theirs = {0};
    lathe_call call;
    reading r = {.reader = {.struct_size = LATHE_SIZED(lathe_reader),
                            .state_version = node->who.state_version,
                            .impl = &r,
                            .tensor = read_tensor,
                            .integer = read_integer,
                            .number = read_number,
                            .string = read_string,
                            .strings = read_strings,
                            .child = read_child},
                 .node = node,
                 .impl = impl};
    lathe_call_begin(&call, impl, "load");
    int32_t rc = load(impl->self, &r.reader, &theirs);
    if (rc == LATHE_E_NOT_FOUND || rc == LATHE_E_INVALID || rc == LATHE_E_SHAPE)
        rc = LATHE_E_CORRUPT;
    return lathe_call_finish(&call, rc, &theirs, err);
}

int32_t lathe_state_load_under(lathe_runtime *rt, lathe_impl *parent, lathe_state *node,
                               uint32_t needs, lathe_instance *out, lathe_error *err) {
    const lathe_state_identity *who = &node->who;
    const lathe_plugin *plugin;
    lathe_component *component;
    memset(out, 0, sizeof *out);
    if (parent != NULL && parent->depth >= LATHE_STATE_MAX_DEPTH)
        return lathe_fail(err, LATHE_E_CORRUPT, who->plugin,
                          "children are nested more than %d deep", LATHE_STATE_MAX_DEPTH);
    int32_t rc = check_identity(rt, who, needs, &plugin, err);
    if (rc != LATHE_OK || (rc = bind_saved(rt, who, plugin, &component, err)) != LATHE_OK)
        return rc;
    rc = lathe_impl_create(rt, parent, component, 0, NULL, false, out, err);
    lathe_component_free(component);
    if (rc != LATHE_OK)
        return rc;
    lathe_impl *impl = lathe_impl_of(out);
    impl->keep = lathe_state_retain(node);
    impl->keep_free = drop_node;
    load_fn load = load_of(impl->descriptor);
    if (impl->descriptor->state_version > 0 && load != NULL &&
        (rc = run_load(impl, load, node, err)) != LATHE_OK)
        lathe_instance_destroy(out);
    return rc;
}

int32_t lathe_state_load(lathe_runtime *rt, lathe_state *node, uint32_t needs, lathe_instance *out,
                         lathe_error *err) {
    return lathe_state_load_under(rt, NULL, node, needs, out, err);
}

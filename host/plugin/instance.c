#include "plugin/bind_internal.h"
#include "plugin/kinds.h"
#include "plugin/runtime_internal.h"

#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAKES_ALL                                                                                  \
    (LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |                                \
     LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_ROWS |      \
     LATHE_LEARNER_TAKES_FEATURES | LATHE_LEARNER_TAKES_MULTICLASS)

/* ---- the adapter ---- */

static lathe_dataset_info info_of(const lathe_dataset *data) {
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_datasets_service()->info(data, &info);
    return info;
}

/* The TAKES_ bits that are wanted of a learner and that it lacks, and WANTS_SCALED where it
 * does. */
static uint32_t what_lacks(const lathe_descriptor *d, uint32_t needs, const lathe_dataset *data) {
    uint32_t wanted = needs & TAKES_ALL;
    if (data == NULL)
        return wanted & ~d->flags;
    lathe_dataset_info info = info_of(data);
    if (info.flags & LATHE_DATA_HAS_MISSING)
        wanted |= LATHE_LEARNER_TAKES_MISSING;
    if (info.flags & LATHE_DATA_HAS_CATEGORIES)
        wanted |= LATHE_LEARNER_TAKES_CATEGORIES;
    if (info.flags & LATHE_DATA_HAS_WEIGHTS)
        wanted |= LATHE_LEARNER_TAKES_WEIGHTS;
    /* one value a row is fitted to gradients, whatever the task */
    if (info.task == LATHE_TASK_MULTICLASS && !(needs & LATHE_LEARNER_TAKES_GRADIENTS))
        wanted |= LATHE_LEARNER_TAKES_MULTICLASS;
    return (wanted & ~d->flags) | (d->flags & LATHE_LEARNER_WANTS_SCALED);
}

static const lathe_component *known_wrapping(lathe_component_root *root,
                                             const lathe_component *inner) {
    for (lathe_wrapping *w = root->wrappings; w != NULL; w = w->next)
        if (w->inner == inner)
            return w->outer;
    return NULL;
}

/* The adapter's component around `inner`, made once and kept with inner's tree. */
static int32_t wrap_component(lathe_runtime *rt, const lathe_component *inner,
                              const lathe_component **outer, lathe_error *err) {
    lathe_component_root *root = inner->root;
    lathe_binder binder = {.catalogue = rt->options.catalogue, .task = inner->task, .load = true};
    lathe_buf params = {0};
    lathe_component *made = NULL;
    int32_t rc = LATHE_OK;
    pthread_mutex_lock(&root->lock);
    *outer = known_wrapping(root, inner);
    if (*outer == NULL) {
        lathe_wrapping *w = calloc(1, sizeof *w);
        lathe_buf_printf(&params, "{\"base\": %s}", inner->resolved);
        if (w == NULL || params.failed)
            rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
        else
            rc = lathe_bind_text(&binder, LATHE_KIND_LEARNER, LATHE_ADAPTER_ID,
                                 lathe_buf_str(&params), &made, err);
        if (rc == LATHE_OK) {
            *w = (lathe_wrapping){inner, made, root->wrappings};
            root->wrappings = w;
            *outer = made;
        } else {
            free(w);
        }
    }
    pthread_mutex_unlock(&root->lock);
    lathe_buf_free(&params);
    return rc;
}

static void name_flags(uint32_t flags, char *text, size_t size) {
    const lathe_kind *kind = lathe_kind_find(LATHE_KIND_LEARNER);
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < kind->n_flags; i++) {
        if (!(flags & kind->flags[i].bit) || len >= size)
            continue;
        int n = snprintf(text + len, size - len, "%s%s", len ? ", " : "", kind->flags[i].name);
        len += n > 0 ? (size_t)n : 0;
    }
}

/* Puts the adapter around the component where the learner cannot do what is asked. */
static int32_t choose_component(lathe_runtime *rt, const lathe_component **component,
                                uint32_t needs, const lathe_dataset *data, lathe_error *err) {
    const lathe_descriptor *d = (*component)->descriptor;
    if (!lathe_kind_in(d->kind, LATHE_KIND_LEARNER) || strcmp(d->id, LATHE_ADAPTER_ID) == 0)
        return LATHE_OK;
    uint32_t lacks = what_lacks(d, needs, data);
    if (lacks == 0)
        return LATHE_OK;
    if (lathe_catalogue_find_id(rt->options.catalogue, LATHE_ADAPTER_ID) == NULL) {
        char text[200];
        name_flags(lacks, text, sizeof text);
        return lathe_fail(err, LATHE_E_UNSUPPORTED, d->id,
                          "%s needs an adapter here (%s), and the plugin " LATHE_ADAPTER_ID
                          " is not installed; install it, or prepare the data so that it is not "
                          "needed",
                          d->id, text);
    }
    return wrap_component(rt, *component, component, err);
}

/* Whether the plugin serves the data's task. The adapter answers for what it wraps. */
static int32_t check_task(const lathe_descriptor *d, uint32_t needs, const lathe_dataset *data,
                          const lathe_component *c, lathe_error *err) {
    int32_t task = data != NULL ? lathe_dataset_task(data) : c->task;
    bool learner = lathe_kind_in(d->kind, LATHE_KIND_LEARNER);
    if (learner && (data == NULL || (needs & LATHE_LEARNER_TAKES_GRADIENTS)))
        return LATHE_OK; /* open() tells it the task */
    if (task == 0 || d->tasks == 0 || (d->tasks & LATHE_TASK_BIT(task)))
        return LATHE_OK;
    char words[128];
    return lathe_fail(err, LATHE_E_UNSUPPORTED, d->id, "%s serves %s, and the task is %s", d->id,
                      lathe_task_words(d->tasks, words, sizeof words), lathe_task_name(task));
}

/* ---- creating ---- */

/* A parent calls its children's tables without the host: where one of them may not be called concurrently, the
 * parent may not either. The constants are ordered by strictness. */
static uint32_t strictest_child(const lathe_component *component) {
    uint32_t most = LATHE_CONCURRENCY_CONST;
    for (size_t i = 0; component != NULL && i < component->n_children; i++) {
        const lathe_component *child = component->children[i];
        uint32_t own = child->descriptor->concurrency, below = strictest_child(child);
        most = own > most ? own : most;
        most = below > most ? below : most;
    }
    return most;
}

static lathe_impl *new_impl(lathe_runtime *rt, lathe_impl *parent, const lathe_component *component,
                            const lathe_descriptor *d) {
    lathe_impl *impl = calloc(1, sizeof *impl);
    if (impl == NULL)
        return NULL;
    if (pthread_mutex_init(&impl->lock, NULL) != 0) {
        free(impl);
        return NULL;
    }
    if (pthread_mutex_init(&impl->calls, NULL) != 0) {
        pthread_mutex_destroy(&impl->lock);
        free(impl);
        return NULL;
    }
    impl->runtime = rt;
    impl->component = lathe_component_retain(component);
    impl->descriptor = d;
    impl->id = d->id;
    impl->crumb = rt->options.crumbs != NULL ? lathe_crumbs_plugin(rt->options.crumbs, d->id) : -1;
    impl->children_concurrency = strictest_child(component);
    impl->concurrency =
        d->concurrency > impl->children_concurrency ? d->concurrency : impl->children_concurrency;
    impl->blocks.next = impl->blocks.prev = &impl->blocks;
    if (parent != NULL && parent != rt->self) {
        impl->depth = parent->depth + 1;
        pthread_mutex_lock(&parent->lock);
        memcpy(impl->scope, parent->scope, sizeof impl->scope);
        pthread_mutex_unlock(&parent->lock);
    }
    lathe_host_fill(impl);
    atomic_fetch_add(&rt->instances, 1);
    return impl;
}

static void report_leaks(lathe_impl *impl) {
    int64_t bytes, n = lathe_impl_free_all(impl, &bytes);
    if (n == 0)
        return;
    char text[200];
    snprintf(text, sizeof text, "%s leaked %lld block%s of %lld bytes; they were freed", impl->id,
             (long long)n, n == 1 ? "" : "s", (long long)bytes);
    atomic_fetch_add(&impl->runtime->leaks, n);
    lathe_impl_log(impl, LATHE_LOG_WARN, text);
}

static void free_impl(lathe_impl *impl) {
    while (impl->made != NULL) {
        lathe_made *made = impl->made;
        impl->made = made->next;
        lathe_component_free(made->component);
        free(made);
    }
    report_leaks(impl);
    if (impl->keep_free != NULL)
        impl->keep_free(impl->keep);
    lathe_component_free(impl->component);
    atomic_fetch_sub(&impl->runtime->instances, 1);
    pthread_mutex_destroy(&impl->calls);
    pthread_mutex_destroy(&impl->lock);
    free(impl);
}

/* A self for plugins without state and without parameters: they may not tell NULL from "none". */
static const uint64_t nothing = 0;

int32_t lathe_impl_create(lathe_runtime *rt, lathe_impl *parent, const lathe_component *component,
                          uint32_t needs, const lathe_dataset *data, bool wrap, lathe_instance *out,
                          lathe_error *err) {
    const lathe_descriptor *d;
    memset(out, 0, sizeof *out);
    if (component == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "there is no component to make");
    int32_t rc = wrap ? choose_component(rt, &component, needs, data, err) : LATHE_OK;
    if (rc != LATHE_OK || (rc = lathe_catalogue_load(component->plugin, &d, err)) != LATHE_OK ||
        (rc = check_task(d, needs, data, component, err)) != LATHE_OK)
        return rc;
    lathe_impl *impl = new_impl(rt, parent, component, d);
    if (impl == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, d->id, "out of memory");
    impl->self = component->config != NULL ? (void *)(uintptr_t)component->config
                                           : (void *)(uintptr_t)&nothing;
    if (d->create != NULL) {
        lathe_error theirs = {0};
        lathe_call call;
        impl->self = NULL;
        lathe_call_begin(&call, impl, "create");
        rc = d->create(&impl->host, component->config, &impl->self, &theirs);
        if (rc == LATHE_OK && impl->self == NULL) {
            rc = LATHE_E_INTERNAL;
            lathe_fail(&theirs, rc, NULL, "create() succeeded but gave no instance");
        }
        rc = lathe_call_finish(&call, rc, &theirs, err);
        if (rc != LATHE_OK) {
            if (impl->self != NULL)
                d->destroy(impl->self);
            free_impl(impl);
            return rc;
        }
    }
    *out = (lathe_instance){.struct_size = LATHE_SIZED(lathe_instance),
                            .descriptor = d,
                            .interface = d->interface,
                            .self = impl->self,
                            .impl = impl};
    return LATHE_OK;
}

int32_t lathe_instance_create(lathe_runtime *rt, const lathe_component *component, uint32_t needs,
                              const lathe_dataset *data, lathe_instance *out, lathe_error *err) {
    return lathe_impl_create(rt, NULL, component, needs, data, true, out, err);
}

void lathe_instance_destroy(lathe_instance *instance) {
    if (instance == NULL || instance->impl == NULL)
        return;
    lathe_impl *impl = lathe_impl_of(instance);
    lathe_error err = {0};
    if (impl->descriptor->destroy != NULL) {
        lathe_call call;
        lathe_call_begin(&call, impl, "destroy");
        impl->descriptor->destroy(impl->self);
        lathe_call_end(&call);
    }
    if (impl->damage[0] == '\0' && lathe_impl_check_zones(impl, &err) != LATHE_OK)
        lathe_impl_log(impl, LATHE_LOG_ERROR, err.message);
    free_impl(impl);
    memset(instance, 0, sizeof *instance);
}

/* ---- looking at one ---- */

void lathe_instance_set_scope(const lathe_instance *instance, const char *scope) {
    lathe_impl *impl = lathe_impl_of(instance);
    pthread_mutex_lock(&impl->lock);
    snprintf(impl->scope, sizeof impl->scope, "%s", scope != NULL ? scope : "");
    pthread_mutex_unlock(&impl->lock);
}

const lathe_component *lathe_instance_component(const lathe_instance *instance) {
    return lathe_impl_of(instance)->component;
}

lathe_runtime *lathe_instance_runtime(const lathe_instance *instance) {
    return lathe_impl_of(instance)->runtime;
}

uint32_t lathe_instance_concurrency(const lathe_instance *instance) {
    return lathe_impl_of(instance)->concurrency;
}

int64_t lathe_instance_memory(const lathe_instance *instance) {
    lathe_impl *impl = lathe_impl_of(instance);
    pthread_mutex_lock(&impl->lock);
    int64_t bytes = impl->bytes;
    pthread_mutex_unlock(&impl->lock);
    return bytes;
}

int32_t lathe_runtime_check_zones(const lathe_instance *instance, lathe_error *err) {
    return lathe_impl_check_zones(lathe_impl_of(instance), err);
}

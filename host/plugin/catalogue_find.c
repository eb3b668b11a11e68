#include "base/nearest.h"
#include "plugin/catalogue_internal.h"
#include "plugin/kinds.h"
#include "plugin/load.h"
#include "plugin/wire.h"

#include <stdlib.h>
#include <string.h>

size_t lathe_catalogue_count(const lathe_catalogue *c) {
    return c->n_plugins;
}

const lathe_plugin *lathe_catalogue_at(const lathe_catalogue *c, size_t i) {
    return i < c->n_plugins ? &c->plugins[i]->plugin : NULL;
}

size_t lathe_catalogue_file_count(const lathe_catalogue *c) {
    return c->n_files;
}

const lathe_plugin_file *lathe_catalogue_file_at(const lathe_catalogue *c, size_t i) {
    return i < c->n_files ? &c->files[i].file : NULL;
}

size_t lathe_catalogue_note_count(const lathe_catalogue *c) {
    return c->n_notes;
}

const char *lathe_catalogue_note_at(const lathe_catalogue *c, size_t i) {
    return i < c->n_notes ? c->notes[i] : NULL;
}

/* ---- finding ---- */

/* Ids have a dot, short names have none. */
static bool is_id(const char *name) {
    return strchr(name, '.') != NULL;
}

static bool answers_to(const lathe_plugin *p, const char *name) {
    if (p->hidden != NULL)
        return false;
    if (is_id(name))
        return strcmp(p->descriptor->id, name) == 0;
    return p->name_lost == NULL && strcmp(p->descriptor->name, name) == 0;
}

static const char *nearest_in(const lathe_catalogue *c, const char *kinds, const char *name) {
    const char **names = calloc(c->n_plugins + 1, sizeof *names);
    const char *near = NULL;
    size_t n = 0;
    for (size_t i = 0; names != NULL && i < c->n_plugins; i++) {
        const lathe_plugin *p = &c->plugins[i]->plugin;
        if (p->hidden == NULL && lathe_kind_in(p->descriptor->kind, kinds))
            names[n++] =
                is_id(name) || p->name_lost != NULL ? p->descriptor->id : p->descriptor->name;
    }
    if (names != NULL)
        near = lathe_nearest(name, names, n);
    free(names);
    return near;
}

const lathe_plugin *lathe_catalogue_find(const lathe_catalogue *c, const char *kinds,
                                         const char *name, const char **nearest) {
    for (size_t i = 0; i < c->n_plugins; i++) {
        const lathe_plugin *p = &c->plugins[i]->plugin;
        if (lathe_kind_in(p->descriptor->kind, kinds) && answers_to(p, name)) {
            if (nearest != NULL)
                *nearest = NULL;
            return p;
        }
    }
    if (nearest != NULL)
        *nearest = nearest_in(c, kinds, name);
    return NULL;
}

const lathe_plugin *lathe_catalogue_find_id(const lathe_catalogue *c, const char *id) {
    return is_id(id) ? lathe_catalogue_find(c, NULL, id, NULL) : NULL;
}

int32_t lathe_catalogue_unknown(const lathe_catalogue *c, const char *kinds, const char *name,
                                lathe_error *err) {
    char words[128];
    lathe_kind_words(kinds, words, sizeof words);
    const lathe_plugin *other = lathe_catalogue_find(c, NULL, name, NULL);
    if (other != NULL)
        return lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "\"%.100s\" is %s, and %s is expected here",
                          name, lathe_kind_find(other->descriptor->kind)->article, words);
    for (size_t i = 0; i < c->n_plugins; i++) {
        const lathe_plugin *p = &c->plugins[i]->plugin;
        if (p->hidden != NULL &&
            (strcmp(p->descriptor->id, name) == 0 || strcmp(p->descriptor->name, name) == 0))
            return lathe_fail(err, LATHE_E_UNSUPPORTED, NULL, "plugin \"%.100s\" is not in use: %s",
                              name, p->hidden);
    }
    const char *near = nearest_in(c, kinds, name);
    size_t refused = 0;
    for (size_t i = 0; i < c->n_files; i++)
        refused += c->files[i].file.status != LATHE_FILE_READY;
    if (near != NULL)
        return lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                          "there is no plugin \"%.100s\" that is %s; did you mean \"%s\"?", name,
                          words, near);
    if (refused > 0)
        return lathe_fail(
            err, LATHE_E_NOT_FOUND, NULL,
            "there is no plugin \"%.100s\" that is %s, but %zu plugin file%s refused; "
            "see `lathe plugins list`",
            name, words, refused, refused == 1 ? " was" : "s were");
    return lathe_fail(err, LATHE_E_NOT_FOUND, NULL,
                      "there is no plugin \"%.100s\" that is %s; see `lathe plugins list`", name,
                      words);
}

/* ---- loading ---- */

void lathe_catalogue_on_load(lathe_catalogue *c, lathe_load_hook hook, void *user) {
    pthread_mutex_lock(&c->lock);
    c->hook = hook;
    c->hook_user = user;
    pthread_mutex_unlock(&c->lock);
}

static bool same_descriptor(const lathe_descriptor *a, const lathe_descriptor *b) {
    lathe_buf one = {0}, other = {0};
    lathe_jsonw w = lathe_jsonw_to(&one);
    lathe_wire_write(a, &w);
    w = lathe_jsonw_to(&other);
    lathe_wire_write(b, &w);
    bool same =
        !one.failed && !other.failed && strcmp(lathe_buf_str(&one), lathe_buf_str(&other)) == 0;
    lathe_buf_free(&other);
    lathe_buf_free(&one);
    return same;
}

/* Does the loaded file say of itself what it said when it was scanned? */
static bool same_description(const lathe_catalogue *c, const lathe_file_record *r) {
    if (r->loaded.n != r->file.n_plugins)
        return false;
    for (size_t i = 0; i < c->n_plugins; i++) {
        const lathe_plugin_record *p = c->plugins[i];
        if (p->record == r &&
            !same_descriptor(p->plugin.descriptor, r->loaded.descriptors[p->plugin.index]))
            return false;
    }
    return true;
}

static int32_t load_record(lathe_catalogue *c, lathe_file_record *r, lathe_error *err) {
    char digest[LATHE_SHA256_HEX];
    lathe_loaded_file file;
    int32_t rc = lathe_sha256_file(r->file.path, digest, NULL, err);
    if (rc != LATHE_OK)
        return rc;
    if (strcmp(digest, r->file.digest) != 0)
        return lathe_fail(err, LATHE_E_STATE, NULL,
                          "%s has changed since it was scanned; start again, or run `lathe plugins "
                          "rescan`",
                          r->file.path);
    if ((rc = lathe_load_file(r->file.path, c->load_arena, &file, err)) != LATHE_OK)
        return rc;
    r->loaded = file.checked;
    if (!same_description(c, r))
        return lathe_fail(err, LATHE_E_STATE, NULL,
                          "%s describes itself differently than when it was scanned; run `lathe "
                          "plugins rescan`, and ask its author where that does not help",
                          r->file.path);
    if (c->hook != NULL)
        c->hook(c->hook_user, r->file.path, file.begin, file.end);
    return LATHE_OK;
}

int32_t lathe_catalogue_load(const lathe_plugin *plugin, const lathe_descriptor **loaded,
                             lathe_error *err) {
    lathe_plugin_record *p = plugin->impl;
    lathe_catalogue *c = p->catalogue;
    lathe_file_record *r = p->record;
    *loaded = atomic_load_explicit(&p->loaded, memory_order_acquire);
    if (*loaded != NULL)
        return LATHE_OK;
    pthread_mutex_lock(&c->lock);
    if (!r->load_tried) {
        lathe_error e = {0};
        r->load_tried = true;
        r->load_code = load_record(c, r, &e);
        if (r->load_code != LATHE_OK)
            r->load_error = lathe_arena_strdup(c->load_arena, e.message);
    }
    int32_t rc = r->load_code;
    if (rc == LATHE_OK) {
        *loaded = r->loaded.descriptors[plugin->index];
        atomic_store_explicit(&p->loaded, *loaded, memory_order_release);
    } else {
        lathe_fail(err, rc, NULL, "%s", r->load_error != NULL ? r->load_error : "out of memory");
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

const lathe_descriptor *lathe_plugin_loaded(const lathe_plugin *plugin) {
    const lathe_plugin_record *p = plugin->impl;
    return atomic_load_explicit(&p->loaded, memory_order_acquire);
}

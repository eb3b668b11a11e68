#include "plugin/catalogue.h"

#include "base/cpu.h"
#include "base/fs.h"
#include "plugin/catalogue_internal.h"
#include "plugin/kinds.h"
#include "plugin/scan.h"
#include "plugin/wire.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 10000

/* ---- notes ---- */

static bool add_note(lathe_catalogue *c, const char *text) {
    if (c->n_notes == c->notes_cap) {
        size_t cap = c->notes_cap ? 2 * c->notes_cap : 16;
        const char **grown = realloc(c->notes, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        c->notes = grown;
        c->notes_cap = cap;
    }
    if (text != NULL)
        c->notes[c->n_notes++] = text;
    return text != NULL;
}

/* ---- listing folders ---- */

typedef struct listing {
    lathe_catalogue *c;
    lathe_file_record *files; /* malloc'ed */
    size_t n, cap;
    bool no_memory;
} listing;

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_plugin_name(const char *name) {
    size_t n = strlen(name);
    return name[0] != '.' && n > 3 && strcmp(name + n - 3, ".so") == 0;
}

/* A note: nothing is left out silently. */
LATHE_PRINTF(2, 3) static void tell(listing *l, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    l->no_memory |= !add_note(l->c, lathe_arena_vprintf(l->c->arena, fmt, ap));
    va_end(ap);
}

/* Adds one file unless it is listed already (one folder given twice) or is no regular file. */
static void add_file(listing *l, const char *path, bool builtin) {
    struct stat st;
    if (stat(path, &st) != 0) {
        tell(l, "the plugin %s cannot be examined, so it is not in use: %s", path, strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode))
        return;
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->files[i].file.path, path) == 0)
            return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 128;
        lathe_file_record *grown = realloc(l->files, cap * sizeof *grown);
        if (grown == NULL) {
            l->no_memory = true;
            return;
        }
        l->files = grown;
        l->cap = cap;
    }
    lathe_file_record *r = &l->files[l->n];
    memset(r, 0, sizeof *r);
    r->file.path = lathe_arena_strdup(l->c->arena, path);
    r->file.size = st.st_size;
    r->file.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    r->file.inode = st.st_ino;
    r->file.builtin = builtin;
    if (r->file.path == NULL)
        l->no_memory = true;
    else
        l->n++;
}

/* The paths of the plugins in an open folder, in the order of their names; malloc'ed. */
static char **read_folder(listing *l, DIR *d, const char *real, size_t *count) {
    char **names = NULL;
    size_t n = 0, cap = 0;
    for (struct dirent *e; (errno = 0, e = readdir(d)) != NULL;) {
        if (!is_plugin_name(e->d_name))
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            char **grown = realloc(names, cap * sizeof *grown);
            if (grown == NULL)
                break;
            names = grown;
        }
        names[n] = lathe_path_join(real, e->d_name);
        if (names[n] == NULL)
            break;
        n++;
    }
    if (errno != 0)
        tell(l, "the plugin folder %s cannot be read whole: %s", real, strerror(errno));
    if (n > 0)
        qsort(names, n, sizeof *names, by_text);
    *count = n;
    return names;
}

static void list_folder(listing *l, const char *dir, bool builtin) {
    lathe_error err = {0};
    char *real = NULL;
    size_t n = 0;
    DIR *d = lathe_path_real(dir, &real, &err) == LATHE_OK ? opendir(real) : NULL;
    if (d == NULL) {
        tell(l, "the plugin folder %s cannot be read: %s", dir,
             real != NULL ? strerror(errno) : err.message);
        free(real);
        return;
    }
    char **names = read_folder(l, d, real, &n);
    closedir(d);
    if (n > MAX_FILES)
        tell(l, "the plugin folder %s holds %zu plugins; those after the first %d are not in use",
             real, n, MAX_FILES);
    for (size_t i = 0; i < n; i++) {
        if (i < MAX_FILES)
            add_file(l, names[i], builtin);
        free(names[i]);
    }
    free(names);
    free(real);
}

static void list_default_folder(listing *l) {
    char *self = lathe_path_self();
    char *dir = self != NULL ? lathe_path_dir(self) : NULL;
    char *plugins = dir != NULL ? lathe_path_join(dir, "../lib/lathe/plugins") : NULL;
    if (plugins != NULL)
        list_folder(l, plugins, true);
    else
        l->no_memory = true;
    free(plugins);
    free(dir);
    free(self);
}

static void list_all(listing *l, const lathe_catalogue_options *o) {
    if (o->builtin_dir != NULL)
        list_folder(l, o->builtin_dir, true);
    else
        list_default_folder(l);
    const char *path = o->no_environment ? NULL : getenv("LATHE_PLUGIN_PATH");
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        char *dir = strndup(path, len);
        if (dir == NULL)
            l->no_memory = true;
        else if (len > 0)
            list_folder(l, dir, false);
        free(dir);
        path += len + (path[len] == ':');
    }
    for (size_t i = 0; i < o->n_dirs; i++)
        list_folder(l, o->dirs[i], false);
}

/* ---- scanning ---- */

static int32_t take_result(lathe_catalogue *c, lathe_file_record *r, const lathe_scan_result *s) {
    char *text = lathe_arena_strdup(c->arena, s->text);
    if (text == NULL)
        return LATHE_E_MEMORY;
    r->file.status = s->status;
    r->unsettled = s->unsettled;
    if (s->status == LATHE_FILE_READY) {
        r->plugins = text;
        r->file.sdk_version = lathe_arena_strdup(c->arena, s->sdk_version);
        return r->file.sdk_version != NULL ? LATHE_OK : LATHE_E_MEMORY;
    }
    r->file.reason = text;
    return LATHE_OK;
}

/* Looks at the files that the cache did not know. */
static int32_t scan_new(lathe_catalogue *c, const lathe_catalogue_options *o, lathe_error *err) {
    const char **paths = calloc(c->n_files + 1, sizeof *paths);
    size_t *which = calloc(c->n_files + 1, sizeof *which), n = 0;
    lathe_scan_result *results = calloc(c->n_files + 1, sizeof *results);
    int32_t rc = LATHE_OK;
    if (paths == NULL || which == NULL || results == NULL) {
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
        goto done;
    }
    for (size_t i = 0; i < c->n_files; i++) {
        lathe_plugin_file *f = &c->files[i].file;
        lathe_error e = {0};
        if (f->cached)
            continue;
        if (lathe_sha256_file(f->path, f->digest, NULL, &e) != LATHE_OK) {
            f->status = LATHE_FILE_REFUSED;
            f->reason = lathe_arena_printf(c->arena, "%s cannot be used: it cannot be read: %s",
                                           f->path, e.message);
            f->digest[0] = '\0';
            c->files[i].unsettled = true; /* its permissions may change, and it does not */
            continue;
        }
        paths[n] = f->path;
        which[n++] = i;
    }
    rc = lathe_scan_files(o->scanner, o->timeout_ms, paths, n, results, err);
    for (size_t k = 0; rc == LATHE_OK && k < n; k++)
        rc = take_result(c, &c->files[which[k]], &results[k]);
    if (rc == LATHE_E_MEMORY)
        lathe_fail(err, rc, NULL, "out of memory");
done:
    for (size_t k = 0; results != NULL && k < n; k++) {
        free(results[k].text);
        free(results[k].sdk_version);
    }
    free(results);
    free(which);
    free(paths);
    return rc;
}

/* ---- plugins ---- */

static int32_t add_plugin(lathe_catalogue *c, lathe_file_record *r, size_t index,
                          const lathe_descriptor *d, size_t *cap) {
    if (c->n_plugins == *cap) {
        size_t more = *cap ? 2 * *cap : 128;
        lathe_plugin_record **grown = realloc(c->plugins, more * sizeof(*grown));
        if (grown == NULL)
            return LATHE_E_MEMORY;
        c->plugins = grown;
        *cap = more;
    }
    lathe_plugin_record *p = lathe_arena_alloc(c->arena, sizeof *p);
    if (p == NULL)
        return LATHE_E_MEMORY;
    p->plugin.descriptor = d;
    p->plugin.file = &r->file;
    p->plugin.index = index;
    p->plugin.impl = p;
    p->catalogue = c;
    p->record = r;
    atomic_init(&p->loaded, NULL);
    c->plugins[c->n_plugins++] = p;
    return LATHE_OK;
}

/* Rebuilds the descriptors of one file; a description that does not hold makes it refused. */
static int32_t rebuild(lathe_catalogue *c, lathe_file_record *r, size_t *cap) {
    lathe_json_limits limits = {.no_places = true};
    lathe_error err = {0};
    if (r->file.status != LATHE_FILE_READY)
        return LATHE_OK;
    lathe_json *doc = lathe_json_read(r->plugins, strlen(r->plugins), NULL, &limits, &err);
    int32_t rc = doc == NULL ? err.code : LATHE_OK;
    size_t before = c->n_plugins, index = 0;
    const cJSON *item = doc != NULL ? lathe_json_root(doc)->child : NULL;
    for (; item != NULL && rc == LATHE_OK; item = item->next, index++) {
        const lathe_descriptor *d = NULL;
        rc = lathe_wire_read(c->arena, doc, item, &d, &err);
        if (rc == LATHE_OK)
            rc = add_plugin(c, r, index, d, cap);
    }
    lathe_json_free(doc);
    r->file.n_plugins = c->n_plugins - before;
    if (rc == LATHE_OK || rc == LATHE_E_MEMORY)
        return rc;
    c->n_plugins = before;
    r->file.n_plugins = 0;
    r->file.status = LATHE_FILE_REFUSED;
    r->file.reason =
        lathe_arena_printf(c->arena, "%s cannot be used: %s", r->file.path, err.message);
    return LATHE_OK;
}

static int bits(uint32_t v) {
    int n = 0;
    for (; v != 0; v &= v - 1)
        n++;
    return n;
}

/* Who of two plugins of one id is in use: variants by demand, else the earlier (a). */
static bool later_wins(const lathe_descriptor *a, const lathe_descriptor *b) {
    return strcmp(a->kind, b->kind) == 0 && bits(b->cpu_required) > bits(a->cpu_required);
}

static void hide_unfit(lathe_catalogue *c) {
    uint32_t cpu = lathe_cpu_level();
    for (size_t i = 0; i < c->n_plugins; i++) {
        lathe_plugin *p = &c->plugins[i]->plugin;
        if ((p->descriptor->cpu_required & ~cpu) != 0)
            p->hidden = lathe_arena_printf(
                c->arena, "it needs processor features (%s) that this processor lacks",
                lathe_cpu_level_name(p->descriptor->cpu_required));
    }
}

static bool hide_duplicates(lathe_catalogue *c) {
    for (size_t i = 0; i < c->n_plugins; i++) {
        for (size_t k = 0; k < i; k++) {
            lathe_plugin *a = &c->plugins[k]->plugin, *b = &c->plugins[i]->plugin;
            if (a->hidden != NULL || b->hidden != NULL ||
                strcmp(a->descriptor->id, b->descriptor->id) != 0)
                continue;
            bool later = later_wins(a->descriptor, b->descriptor);
            lathe_plugin *winner = later ? b : a, *loser = later ? a : b;
            bool variants = a->descriptor->cpu_required != b->descriptor->cpu_required;
            loser->hidden = lathe_arena_printf(
                c->arena,
                variants ? "%s in %s is the variant for this processor"
                         : "the id \"%s\" is taken by %s, which comes first; give it "
                           "another id or remove one of the files",
                loser->descriptor->id, winner->file->path);
            if (loser->hidden == NULL)
                return false;
            if (!variants &&
                !add_note(c, lathe_arena_printf(c->arena, "plugin \"%s\" of %s is not in use: %s",
                                                loser->descriptor->id, loser->file->path,
                                                loser->hidden)))
                return false;
        }
    }
    return true;
}

static bool same_names(const lathe_descriptor *a, const lathe_descriptor *b) {
    return strcmp(a->name, b->name) == 0 && strcmp(a->id, b->id) != 0 &&
           (lathe_kind_in(a->kind, b->kind) || lathe_kind_in(b->kind, a->kind));
}

static bool settle_names(lathe_catalogue *c) {
    for (size_t i = 0; i < c->n_plugins; i++) {
        lathe_plugin *b = &c->plugins[i]->plugin;
        for (size_t k = 0; k < i && b->name_lost == NULL && b->hidden == NULL; k++) {
            lathe_plugin *a = &c->plugins[k]->plugin;
            if (a->hidden != NULL || a->name_lost != NULL ||
                !same_names(a->descriptor, b->descriptor))
                continue;
            b->name_lost = lathe_arena_printf(c->arena, "the short name \"%s\" is that of \"%s\"",
                                              b->descriptor->name, a->descriptor->id);
            if (b->name_lost == NULL ||
                !add_note(c, lathe_arena_printf(c->arena,
                                                "plugin \"%s\" of %s is reached by its "
                                                "full id only: %s",
                                                b->descriptor->id, b->file->path, b->name_lost)))
                return false;
        }
    }
    return true;
}

static size_t kind_order(const char *id) {
    size_t i = 0;
    while (i < lathe_kind_count() && strcmp(lathe_kind_at(i)->id, id) != 0)
        i++;
    return i;
}

static int by_kind_and_name(const void *x, const void *y) {
    const lathe_plugin_record *a = *(lathe_plugin_record *const *)x;
    const lathe_plugin_record *b = *(lathe_plugin_record *const *)y;
    const lathe_descriptor *d = a->plugin.descriptor, *e = b->plugin.descriptor;
    size_t ka = kind_order(d->kind), kb = kind_order(e->kind);
    if (ka != kb)
        return ka < kb ? -1 : 1;
    bool ha = a->plugin.hidden != NULL, hb = b->plugin.hidden != NULL;
    if (ha != hb)
        return ha ? 1 : -1;
    int order = strcmp(d->name, e->name);
    if (order == 0)
        order = strcmp(d->id, e->id);
    if (order == 0)
        order = strcmp(a->plugin.file->path, b->plugin.file->path);
    return order;
}

static int32_t build(lathe_catalogue *c, lathe_error *err) {
    size_t cap = 0;
    bool good = true;
    for (size_t i = 0; i < c->n_files && good; i++)
        good = rebuild(c, &c->files[i], &cap) == LATHE_OK;
    for (size_t i = 0; i < c->n_files && good; i++)
        if (c->files[i].file.status != LATHE_FILE_READY)
            good = add_note(c, c->files[i].file.reason);
    if (good)
        hide_unfit(c);
    if (!good || !hide_duplicates(c) || !settle_names(c))
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (c->n_plugins > 0)
        qsort(c->plugins, c->n_plugins, sizeof(*c->plugins), by_kind_and_name);
    return LATHE_OK;
}

/* ---- opening ---- */

static int32_t find_files(lathe_catalogue *c, const lathe_catalogue_options *o, lathe_error *err) {
    listing l = {.c = c};
    list_all(&l, o);
    c->files = l.files;
    c->n_files = l.n;
    return l.no_memory ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory") : LATHE_OK;
}

bool lathe_catalogue_is_warm(const lathe_catalogue_options *options) {
    lathe_catalogue c = {.arena = lathe_arena_new()};
    const bool warm = c.arena != NULL && options->cache_file != NULL && !options->rescan &&
                      find_files(&c, options, NULL) == LATHE_OK &&
                      lathe_cache_is_warm(options->cache_file, c.files, c.n_files);
    free(c.files);
    free(c.notes);
    lathe_arena_free(c.arena);
    return warm;
}

int32_t lathe_catalogue_open(const lathe_catalogue_options *options, lathe_catalogue **out,
                             lathe_error *err) {
    static const lathe_catalogue_options defaults = {0};
    const lathe_catalogue_options *o = options != NULL ? options : &defaults;
    lathe_error cache_error = {0};
    int32_t rc = LATHE_OK;
    *out = NULL;
    lathe_catalogue *c = calloc(1, sizeof *c);
    if (c == NULL || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    c->arena = lathe_arena_new();
    c->load_arena = lathe_arena_new();
    if (c->arena == NULL || c->load_arena == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    size_t known = 0;
    if (rc == LATHE_OK)
        rc = find_files(c, o, err);
    if (rc == LATHE_OK && o->cache_file != NULL && !o->rescan)
        known = lathe_cache_read(o->cache_file, c->arena, c->files, c->n_files);
    if (rc == LATHE_OK && known < c->n_files)
        rc = scan_new(c, o, err);
    if (rc == LATHE_OK)
        rc = build(c, err);
    /* A cache that cannot be written costs time, nothing else: said, not failed. */
    if (rc == LATHE_OK && o->cache_file != NULL && known < c->n_files &&
        lathe_cache_write(o->cache_file, c->files, c->n_files, &cache_error) != LATHE_OK)
        add_note(c, lathe_arena_printf(c->arena, "the cache of plugins cannot be written: %s: %s",
                                       cache_error.where, cache_error.message));
    if (rc == LATHE_OK)
        *out = c;
    else
        lathe_catalogue_close(c);
    return rc;
}

void lathe_catalogue_close(lathe_catalogue *c) {
    if (c == NULL)
        return;
    free(c->plugins);
    free(c->files);
    free(c->notes);
    pthread_mutex_destroy(&c->lock);
    lathe_arena_free(c->load_arena);
    lathe_arena_free(c->arena);
    free(c);
}

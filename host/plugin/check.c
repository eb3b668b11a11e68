#include "plugin/check.h"

#include "plugin/kinds.h"
#include "plugin/text.h"

#include <stdio.h>
#include <string.h>

/* What version 1.0 of each struct held: nothing may be shorter. */
#define ENTRY_1_0 (offsetof(lathe_entry, descriptors) + sizeof(void *))
#define DESCRIPTOR_1_0 (offsetof(lathe_descriptor, get_interface) + sizeof(void *))
#define PARAM_1_0 (offsetof(lathe_param, alias) + sizeof(char *))
#define LARGEST_STRUCT                                                                             \
    4096 /* no table or descriptor will ever be longer; a larger size is rubbish */

/* Not NULL, not empty, not too long, valid UTF-8 without control characters. */
static bool text_ok(const char *text) {
    return lathe_text_is_usable(text, LATHE_MAX_PLUGIN_TEXT);
}

static bool version_ok(const char *v) {
    int parts = 0;
    for (const char *p = v; parts < 3; parts++) {
        size_t digits = 0;
        while (p[digits] >= '0' && p[digits] <= '9' && digits < 7)
            digits++;
        if (digits == 0 || digits == 7)
            return false;
        p += digits;
        if (parts == 2)
            return *p == '\0';
        if (*p++ != '.')
            return false;
    }
    return false;
}

/* Dotted lower-case words with at least one dot. */
static bool id_ok(const char *id) {
    bool dot = false, in_word = false;
    for (size_t i = 0; id[i] != '\0'; i++) {
        char c = id[i];
        if (i >= LATHE_MAX_PLUGIN_ID)
            return false;
        if (c == '.') {
            if (!in_word)
                return false;
            dot = true;
            in_word = false;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-') {
            in_word = true;
        } else {
            return false;
        }
    }
    return dot && in_word;
}

/* ---- descriptors ---- */

static int32_t LATHE_PRINTF(3, 4)
    refuse(lathe_error *err, const lathe_descriptor *d, const char *fmt, ...) {
    char what[360];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return lathe_fail(err, LATHE_E_INVALID, NULL, "plugin \"%s\" %s", text_ok(d->id) ? d->id : "?",
                      what);
}

static int32_t check_texts(const lathe_descriptor *d, lathe_error *err) {
    if (!text_ok(d->id) || !id_ok(d->id))
        return refuse(err, d,
                      "has an id that is not dotted lower-case words (\"org.example.rff\") of at "
                      "most %d bytes; give it one",
                      LATHE_MAX_PLUGIN_ID);
    if (!text_ok(d->kind) || lathe_kind_find(d->kind) == NULL ||
        strcmp(lathe_kind_find(d->kind)->id, d->kind) != 0)
        return refuse(err, d,
                      "is of kind \"%.60s\", which this host does not know; use a newer Lathe, or "
                      "one of the LATHE_KIND_… of this one",
                      text_ok(d->kind) ? d->kind : "?");
    if (!lathe_is_snake_case(d->name))
        return refuse(err, d, "has a short name that is not snake_case; give it one");
    if (!text_ok(d->version) || !version_ok(d->version))
        return refuse(err, d, "has a version that is not of the form 1.2.3; give it one");
    if (!text_ok(d->doc))
        return refuse(err, d, "has no doc; write one sentence");
    if (!text_ok(d->license))
        return refuse(err, d, "names no license; give an SPDX expression");
    if (d->url != NULL && !text_ok(d->url))
        return refuse(err, d, "has a url that is no text; correct it or leave it NULL");
    return LATHE_OK;
}

static int32_t check_bits(const lathe_descriptor *d, const lathe_kind *kind, lathe_error *err) {
    uint32_t known = 0;
    for (size_t i = 0; i < kind->n_flags; i++)
        known |= kind->flags[i].bit;
    if (d->flags & ~known)
        return refuse(err, d, "has flags (0x%x) that %s does not have; use those of its header",
                      (unsigned)(d->flags & ~known), kind->article);
    if (d->concurrency > LATHE_CONCURRENCY_GLOBAL)
        return refuse(err, d, "has concurrency %u; use one of LATHE_CONCURRENCY_…",
                      (unsigned)d->concurrency);
    if (d->cpu_required & ~(uint32_t)(LATHE_CPU_AVX2_FMA | LATHE_CPU_AVX512))
        return refuse(err, d, "needs processor features (0x%x) that this host does not know",
                      (unsigned)d->cpu_required);
    if (d->tasks & ~LATHE_TASKS_ALL)
        return refuse(err, d,
                      "serves tasks (0x%x) that this host does not know; use "
                      "LATHE_TASK_BIT(…)",
                      (unsigned)d->tasks);
    if (d->state_version_min > d->state_version ||
        (d->state_version > 0 && d->state_version_min == 0))
        return refuse(err, d,
                      "writes state version %u and loads from version %u on; the oldest "
                      "must be from 1 to the newest",
                      (unsigned)d->state_version, (unsigned)d->state_version_min);
    bool learner = lathe_kind_in(kind->id, LATHE_KIND_LEARNER);
    if (learner && d->state_version == 0)
        return refuse(err, d, "is %s without a state version; a model could not be saved",
                      kind->article);
    return LATHE_OK;
}

int32_t lathe_check_descriptor(const lathe_descriptor *d, lathe_error *err) {
    int32_t rc = check_texts(d, err);
    if (rc != LATHE_OK)
        return rc;
    if ((rc = check_bits(d, lathe_kind_find(d->kind), err)) != LATHE_OK)
        return rc;
    if (d->config_size > LATHE_MAX_CONFIG)
        return refuse(err, d, "has a config of %u bytes; at most %d are allowed",
                      (unsigned)d->config_size, LATHE_MAX_CONFIG);
    if (d->n_params > LATHE_MAX_PARAMS)
        return refuse(err, d, "has %u parameters; at most %d are allowed", (unsigned)d->n_params,
                      LATHE_MAX_PARAMS);
    if (d->n_params > 0 && (d->params == NULL || d->config_size == 0))
        return refuse(err, d, "says it has %u parameters but has no table or no config",
                      (unsigned)d->n_params);
    return lathe_check_params(d, err);
}

/* ---- copying from foreign sizes ---- */

static bool all_zero(const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* n foreign params of `stride` bytes as ours, fields too. NULL with *rc set: refused. */
static const lathe_param *copy_params(const lathe_descriptor *d, const void *params, uint32_t n,
                                      int depth, lathe_arena *arena, int32_t *rc,
                                      lathe_error *err) {
    size_t stride = d->param_size;
    if (n > LATHE_MAX_PARAMS || depth > LATHE_MAX_PARAM_DEPTH) {
        *rc = refuse(err, d,
                     "has a record with %u fields, nested %d deep; at most %d and %d are "
                     "allowed",
                     (unsigned)n, depth, LATHE_MAX_PARAMS, LATHE_MAX_PARAM_DEPTH);
        return NULL;
    }
    lathe_param *copy = lathe_arena_array(arena, n, sizeof *copy);
    if (copy == NULL) {
        *rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "no memory for a parameter table");
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *src = (const char *)params + i * stride;
        memcpy(&copy[i], src, stride < sizeof *copy ? stride : sizeof *copy);
        if (stride > sizeof *copy && !all_zero(src + sizeof *copy, stride - sizeof *copy)) {
            *rc = refuse(err, d,
                         "has parameters with members that this host (ABI %d.%d) does not "
                         "know; use a newer Lathe",
                         LATHE_ABI_MAJOR, LATHE_ABI_MINOR);
            return NULL;
        }
        if (copy[i].type == LATHE_PARAM_RECORD && copy[i].fields != NULL) {
            copy[i].fields =
                copy_params(d, copy[i].fields, copy[i].n_fields, depth + 1, arena, rc, err);
            if (copy[i].fields == NULL)
                return NULL;
        }
    }
    return copy;
}

/* The method table in this host's size; every mandatory function must be there. */
static int32_t copy_table(lathe_descriptor *d, lathe_arena *arena, lathe_error *err) {
    const lathe_kind *kind = lathe_kind_find(d->kind);
    if (d->interface == NULL)
        return refuse(err, d, "has no method table; set .interface to %s's", kind->article);
    uint32_t size = *(const uint32_t *)d->interface;
    if (size < sizeof(uint32_t) * 2 || size > LARGEST_STRUCT)
        return refuse(err, d,
                      "has a method table of struct_size %u, which cannot be; use "
                      "LATHE_SIZED(…)",
                      (unsigned)size);
    char *table = lathe_arena_alloc(arena, kind->table_size);
    if (table == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "no memory for a method table");
    memcpy(table, d->interface, size < kind->table_size ? size : kind->table_size);
    uint32_t ours = (uint32_t)kind->table_size;
    memcpy(table, &ours, sizeof ours);
    for (size_t i = 0; i < kind->n_functions; i++) {
        const lathe_kind_function *f = &kind->functions[i];
        bool due = f->required && (d->flags & f->when_set) == f->when_set &&
                   (d->flags & f->when_clear) == 0;
        void *fn;
        memcpy(&fn, table + f->offset, sizeof fn);
        if (due && fn == NULL)
            return refuse(err, d,
                          "lacks the function %s(), which %s%s must have; add it to its "
                          "table",
                          f->name, kind->article, f->when_set ? " with these flags" : "");
    }
    d->interface = table;
    return LATHE_OK;
}

/* One foreign descriptor as ours. */
static int32_t copy_descriptor(const lathe_descriptor *src, lathe_arena *arena, lathe_descriptor *d,
                               lathe_error *err) {
    uint32_t size = src->struct_size;
    if (size < DESCRIPTOR_1_0 || size > LARGEST_STRUCT)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "it has a descriptor of struct_size %u, but %zu is the least; use "
                          "LATHE_SIZED(lathe_descriptor)",
                          (unsigned)size, DESCRIPTOR_1_0);
    memset(d, 0, sizeof *d);
    memcpy(d, src, size < sizeof *d ? size : sizeof *d);
    d->struct_size = LATHE_SIZED(lathe_descriptor);
    int32_t rc = check_texts(d, err);
    if (rc != LATHE_OK)
        return rc;
    if (size > sizeof *d && !all_zero((const char *)src + sizeof *d, size - sizeof *d))
        return refuse(err, d,
                      "uses descriptor members that this host (ABI %d.%d) does not know; "
                      "use a newer Lathe",
                      LATHE_ABI_MAJOR, LATHE_ABI_MINOR);
    if ((d->create == NULL) != (d->destroy == NULL))
        return refuse(err, d, "has one of create() and destroy() without the other; give both");
    if (d->n_params > 0 && d->params != NULL) {
        if (d->param_size < PARAM_1_0 || d->param_size > LARGEST_STRUCT || d->param_size % 8 != 0)
            return refuse(err, d,
                          "has a param_size of %u, but %zu is the least; use "
                          "sizeof(lathe_param)",
                          (unsigned)d->param_size, PARAM_1_0);
        d->params = copy_params(d, d->params, d->n_params, 0, arena, &rc, err);
        if (d->params == NULL)
            return rc;
    }
    d->param_size = sizeof(lathe_param);
    if ((rc = lathe_check_descriptor(d, err)) != LATHE_OK)
        return rc;
    return copy_table(d, arena, err);
}

static int32_t check_versions(const lathe_entry *e, lathe_error *err) {
    if (e->magic != LATHE_ENTRY_MAGIC)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "its entry begins with 0x%08x and not with the magic 0x%08x: it is no "
                          "Lathe plugin; make the entry with LATHE_PLUGIN(…)",
                          (unsigned)e->magic, LATHE_ENTRY_MAGIC);
    if (e->abi_major != LATHE_ABI_MAJOR)
        return lathe_fail(err, LATHE_E_VERSION, NULL,
                          "it is built for plugin ABI %u, and this host has ABI %d.%d; %s",
                          (unsigned)e->abi_major, LATHE_ABI_MAJOR, LATHE_ABI_MINOR,
                          e->abi_major > LATHE_ABI_MAJOR
                              ? "use a newer Lathe"
                              : "build it again with this Lathe's headers");
    if (e->abi_min_minor > LATHE_ABI_MINOR)
        return lathe_fail(err, LATHE_E_VERSION, NULL,
                          "it needs plugin ABI %d.%u, and this host has ABI %d.%d; use a newer "
                          "Lathe, or build the plugin with a lower LATHE_TARGET_MINOR",
                          LATHE_ABI_MAJOR, (unsigned)e->abi_min_minor, LATHE_ABI_MAJOR,
                          LATHE_ABI_MINOR);
    if (e->struct_size < ENTRY_1_0 || e->struct_size > LARGEST_STRUCT)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "its entry has struct_size %u, but %zu is the least; make it with "
                          "LATHE_PLUGIN(…)",
                          (unsigned)e->struct_size, ENTRY_1_0);
    if (e->struct_size > sizeof *e &&
        !all_zero((const char *)e + sizeof *e, e->struct_size - sizeof *e))
        return lathe_fail(err, LATHE_E_VERSION, NULL,
                          "its entry has members that this host (ABI %d.%d) does not know; use a "
                          "newer Lathe",
                          LATHE_ABI_MAJOR, LATHE_ABI_MINOR);
    if (!text_ok(e->sdk_version))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "its entry names no SDK version; make it with LATHE_PLUGIN(…)");
    return LATHE_OK;
}

int32_t lathe_check_entry(const lathe_entry *entry, lathe_arena *arena, lathe_checked *out,
                          lathe_error *err) {
    memset(out, 0, sizeof *out);
    if (entry == NULL)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "its " LATHE_ENTRY_SYMBOL "() returns NULL; make it with "
                          "LATHE_PLUGIN(…)");
    int32_t rc = check_versions(entry, err);
    if (rc != LATHE_OK)
        return rc;
    size_t n = 0;
    while (entry->descriptors != NULL && n <= LATHE_MAX_PLUGINS_A_FILE &&
           entry->descriptors[n] != NULL)
        n++;
    if (n == 0 || n > LATHE_MAX_PLUGINS_A_FILE)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "it lists %s; list from 1 to %d descriptors in LATHE_PLUGIN(…)",
                          n == 0 ? "no plugin" : "too many plugins", LATHE_MAX_PLUGINS_A_FILE);
    lathe_descriptor *copies = lathe_arena_array(arena, n, sizeof *copies);
    const lathe_descriptor **list = lathe_arena_array(arena, n, sizeof *list);
    if (copies == NULL || list == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "no memory for %zu descriptors", n);
    for (size_t i = 0; i < n; i++) {
        if ((rc = copy_descriptor(entry->descriptors[i], arena, &copies[i], err)) != LATHE_OK)
            return rc;
        list[i] = &copies[i];
        for (size_t k = 0; k < i; k++)
            if (strcmp(copies[k].id, copies[i].id) == 0 &&
                copies[k].cpu_required == copies[i].cpu_required)
                return refuse(err, &copies[i], "is listed twice; list it once");
    }
    *out = (lathe_checked){entry->sdk_version, n, list};
    return LATHE_OK;
}

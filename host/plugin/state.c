#include "plugin/state.h"

#include "base/size.h"
#include "base/utf8.h"
#include "plugin/state_internal.h"
#include "plugin/text.h"

#include <stdlib.h>
#include <string.h>

bool lathe_state_name_ok(const char *name) {
    size_t n = 0;
    for (; name != NULL && name[n] != '\0'; n++) {
        char c = name[n];
        if (n >= LATHE_STATE_MAX_NAME ||
            !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.'))
            return false;
    }
    return n > 0;
}

/* ---- life ---- */

int32_t lathe_state_new(const lathe_state_identity *who, lathe_state **out, lathe_error *err) {
    *out = NULL;
    if (!lathe_text_is_usable(who->plugin, 200) || !lathe_text_is_usable(who->version, 64) ||
        !lathe_text_is_usable(who->config, 1 << 24) ||
        (who->digest != NULL && who->digest[0] != '\0' && !lathe_text_is_usable(who->digest, 64)))
        return lathe_fail(err, LATHE_E_CORRUPT, NULL,
                          "a saved plugin lacks its id, version, digest or parameters");
    lathe_state *s = calloc(1, sizeof *s);
    if (s == NULL || (s->arena = lathe_arena_new()) == NULL) {
        free(s);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    atomic_init(&s->users, 1);
    s->who = *who;
    s->who.plugin = lathe_arena_strdup(s->arena, who->plugin);
    s->who.version = lathe_arena_strdup(s->arena, who->version);
    s->who.digest = lathe_arena_strdup(s->arena, who->digest != NULL ? who->digest : "");
    s->who.config = lathe_arena_strdup(s->arena, who->config);
    if (s->who.plugin == NULL || s->who.version == NULL || s->who.digest == NULL ||
        s->who.config == NULL) {
        lathe_state_free(s);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    *out = s;
    return LATHE_OK;
}

lathe_state *lathe_state_retain(lathe_state *s) {
    if (s != NULL)
        atomic_fetch_add_explicit(&s->users, 1, memory_order_relaxed);
    return s;
}

void lathe_state_free(lathe_state *s) {
    if (s == NULL || atomic_fetch_sub_explicit(&s->users, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->n_children; i++)
        lathe_state_free(s->children[i]->node);
    void (*fn)(void *) = s->on_free;
    void *user = s->on_free_user;
    free(s->children);
    free(s->attributes);
    free(s->tensors);
    lathe_arena_free(s->arena);
    free(s);
    if (fn != NULL)
        fn(user);
}

void lathe_state_on_free(lathe_state *s, void (*fn)(void *user), void *user) {
    s->on_free = fn;
    s->on_free_user = user;
}

/* ---- sorted lists; each element begins with its name ---- */

static const char *name_at(void *const *list, size_t i) {
    return *(const char *const *)list[i];
}

/* Where the name is, or would be. */
static bool search(void *const *list, size_t n, const char *name, size_t *at) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(name_at(list, mid), name);
        if (order == 0) {
            *at = mid;
            return true;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = lo;
    return false;
}

#define FIND(s, list, name, at) search((void *const *)(s)->list, (s)->n_##list, name, at)

const lathe_state_tensor *lathe_state_find_tensor(const lathe_state *s, const char *name) {
    size_t at;
    return FIND(s, tensors, name, &at) ? s->tensors[at] : NULL;
}

const lathe_state_attribute *lathe_state_find_attribute(const lathe_state *s, const char *name) {
    size_t at;
    return FIND(s, attributes, name, &at) ? s->attributes[at] : NULL;
}

lathe_state *lathe_state_find_child(const lathe_state *s, const char *name) {
    size_t at;
    return FIND(s, children, name, &at) ? s->children[at]->node : NULL;
}

static int32_t check_name(const lathe_state *s, const char *name, lathe_error *err) {
    size_t at;
    if (!lathe_state_name_ok(name)) {
        char text[64];
        return lathe_fail(err, LATHE_E_INVALID, s->who.plugin,
                          "\"%s\" is no name for a piece of state; use [a-z0-9_.]+ of at most %d "
                          "bytes",
                          lathe_text_clean(name, 60, text, sizeof text), LATHE_STATE_MAX_NAME);
    }
    if (FIND(s, tensors, name, &at) || FIND(s, attributes, name, &at) ||
        FIND(s, children, name, &at))
        return lathe_fail(err, LATHE_E_EXISTS, s->who.plugin,
                          "the piece of state \"%s\" is there already; give each its own name",
                          name);
    return LATHE_OK;
}

static int32_t no_memory(const lathe_state *s, lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, s->who.plugin, "no memory for the state");
}

/* Makes room and puts `item` in its place. */
static bool insert(void ***list, size_t *n, size_t *cap, void *item) {
    size_t at;
    if (*n == *cap) {
        size_t more = *cap ? 2 * *cap : 8;
        void **grown = realloc(*list, more * sizeof *grown);
        if (grown == NULL)
            return false;
        *list = grown;
        *cap = more;
    }
    search(*list, *n, *(const char *const *)item, &at);
    memmove(*list + at + 1, *list + at, (*n - at) * sizeof **list);
    (*list)[at] = item;
    (*n)++;
    return true;
}

/* ---- tensors ---- */

/* Bytes of a compact tensor; false: it is none that can be kept. */
static bool tensor_bytes(const lathe_tensor *t, size_t *bytes) {
    bool bits = t->bits == 8 || t->bits == 16 || t->bits == 32 || t->bits == 64;
    bool type = t->dtype == LATHE_INT || t->dtype == LATHE_UINT ||
                (t->dtype == LATHE_FLOAT && t->bits >= 16) ||
                (t->dtype == LATHE_BFLOAT && t->bits == 16) ||
                (t->dtype == LATHE_BOOL && t->bits == 8);
    if (!bits || !type || t->lanes != 1 || t->device_type != LATHE_DEVICE_CPU || t->ndim < 0 ||
        t->ndim > LATHE_MAX_DIMS || (t->ndim > 0 && t->shape == NULL))
        return false;
    size_t n = t->bits / 8;
    for (int32_t i = 0; i < t->ndim; i++)
        if (t->shape[i] < 0 || !lathe_mul_size(n, (size_t)t->shape[i], &n))
            return false;
    int64_t stride = 1;
    for (int32_t i = t->ndim - 1; t->strides != NULL && i >= 0; i--) {
        if (t->shape[i] > 1 && t->strides[i] != stride)
            return false;
        stride *= t->shape[i];
    }
    *bytes = n;
    return n == 0 || t->data != NULL;
}

int32_t lathe_state_add_tensor(lathe_state *s, const char *name, const lathe_tensor *t, bool copy,
                               lathe_error *err) {
    size_t bytes;
    int32_t rc = check_name(s, name, err);
    if (rc != LATHE_OK)
        return rc;
    if (!tensor_bytes(t, &bytes))
        return lathe_fail(
            err, LATHE_E_SHAPE, s->who.plugin,
            "tensor \"%s\" cannot be kept: it must be compact, on the CPU, of 0 to %d "
            "dimensions and of a known type",
            name, LATHE_MAX_DIMS);
    lathe_state_tensor *own = lathe_arena_alloc(s->arena, sizeof *own);
    const char *data = (const char *)t->data + t->byte_offset;
    if (bytes == 0)
        data = "";
    else if (copy) {
        void *memory = lathe_arena_alloc_aligned(s->arena, bytes, 64);
        if (memory != NULL)
            memcpy(memory, data, bytes);
        data = memory;
    }
    if (own == NULL || data == NULL || (own->name = lathe_arena_strdup(s->arena, name)) == NULL)
        return no_memory(s, err);
    own->dtype = t->dtype;
    own->bits = t->bits;
    own->ndim = t->ndim;
    for (int32_t i = 0; i < t->ndim; i++)
        own->shape[i] = t->shape[i];
    own->data = data;
    own->bytes = bytes;
    if (!insert((void ***)&s->tensors, &s->n_tensors, &s->tensors_cap, own))
        return no_memory(s, err);
    return LATHE_OK;
}

/* ---- attributes ---- */

static int32_t add_attribute(lathe_state *s, const char *name, const lathe_state_attribute *a,
                             lathe_error *err) {
    int32_t rc = check_name(s, name, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_state_attribute *own = lathe_arena_memdup(s->arena, a, sizeof *a);
    if (own == NULL || (own->name = lathe_arena_strdup(s->arena, name)) == NULL)
        return no_memory(s, err);
    if (!insert((void ***)&s->attributes, &s->n_attributes, &s->attributes_cap, own))
        return no_memory(s, err);
    return LATHE_OK;
}

int32_t lathe_state_add_integer(lathe_state *s, const char *name, int64_t value, lathe_error *err) {
    lathe_state_attribute a = {.type = LATHE_STATE_INTEGER, .integer = value};
    return add_attribute(s, name, &a, err);
}

int32_t lathe_state_add_number(lathe_state *s, const char *name, double value, lathe_error *err) {
    lathe_state_attribute a = {.type = LATHE_STATE_NUMBER, .number = value};
    return add_attribute(s, name, &a, err);
}

/* Data's own texts, so control characters are fine; a file keeps them as JSON strings. */
static bool text_ok(const lathe_str *text) {
    size_t len = (size_t)text->len;
    return len == 0 ||
           (lathe_utf8_valid(text->ptr, len, NULL) && memchr(text->ptr, '\0', len) == NULL);
}

static int32_t add_texts(lathe_state *s, const char *name, int32_t type, const lathe_str *values,
                         int64_t n, lathe_error *err) {
    size_t bytes;
    if (!lathe_count_bytes(n, sizeof(lathe_str), &bytes))
        return lathe_fail(err, LATHE_E_SHAPE, s->who.plugin, "\"%s\" has %lld texts", name,
                          (long long)n);
    lathe_str *own = lathe_arena_alloc(s->arena, bytes);
    if (own == NULL)
        return no_memory(s, err);
    for (int64_t i = 0; i < n; i++) {
        if (values[i].len < 0 || (values[i].len > 0 && values[i].ptr == NULL) ||
            !text_ok(&values[i]))
            return lathe_fail(err, LATHE_E_INVALID, s->who.plugin,
                              "text %lld of \"%s\" is not UTF-8 or holds a NUL", (long long)i,
                              name);
        /* one byte more: a NUL, for whoever prints it; a missing text stays missing */
        char *copy = lathe_arena_alloc(s->arena, (size_t)values[i].len + 1);
        if (copy == NULL)
            return no_memory(s, err);
        if (values[i].len > 0)
            memcpy(copy, values[i].ptr, (size_t)values[i].len);
        own[i] = (lathe_str){values[i].ptr != NULL ? copy : NULL, values[i].len};
    }
    lathe_state_attribute a = {.type = type, .strings = own, .n = n};
    return add_attribute(s, name, &a, err);
}

int32_t lathe_state_add_string(lathe_state *s, const char *name, lathe_str value,
                               lathe_error *err) {
    return add_texts(s, name, LATHE_STATE_STRING, &value, 1, err);
}

int32_t lathe_state_add_strings(lathe_state *s, const char *name, const lathe_str *values,
                                int64_t n, lathe_error *err) {
    return add_texts(s, name, LATHE_STATE_STRINGS, values, n, err);
}

int32_t lathe_state_add_child(lathe_state *s, const char *name, lathe_state *child,
                              lathe_error *err) {
    int32_t rc = check_name(s, name, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_state_child *own = lathe_arena_alloc(s->arena, sizeof *own);
    if (own == NULL || (own->name = lathe_arena_strdup(s->arena, name)) == NULL)
        return no_memory(s, err);
    own->node = child;
    if (!insert((void ***)&s->children, &s->n_children, &s->children_cap, own))
        return no_memory(s, err);
    return LATHE_OK;
}

/* ---- reading ---- */

const lathe_state_identity *lathe_state_who(const lathe_state *s) {
    return &s->who;
}

size_t lathe_state_tensor_count(const lathe_state *s) {
    return s->n_tensors;
}

const lathe_state_tensor *lathe_state_tensor_at(const lathe_state *s, size_t i) {
    return i < s->n_tensors ? s->tensors[i] : NULL;
}

size_t lathe_state_attribute_count(const lathe_state *s) {
    return s->n_attributes;
}

const lathe_state_attribute *lathe_state_attribute_at(const lathe_state *s, size_t i) {
    return i < s->n_attributes ? s->attributes[i] : NULL;
}

size_t lathe_state_child_count(const lathe_state *s) {
    return s->n_children;
}

lathe_state *lathe_state_child_at(const lathe_state *s, size_t i, const char **name) {
    if (i >= s->n_children)
        return NULL;
    if (name != NULL)
        *name = s->children[i]->name;
    return s->children[i]->node;
}

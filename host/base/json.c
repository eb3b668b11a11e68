/* The document object and its nodes; reading is in json_read.c, writing in json_write.c. */
#include "base/json.h"

#include "base/json_place.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST_POINTER 1024

/* ---- the table of places ---- */

static size_t hash_node(const cJSON *node) {
    uint64_t x = (uint64_t)(uintptr_t)node;
    return (size_t)((x >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20);
}

static json_place *slot_of(json_place *places, size_t capacity, const cJSON *node) {
    size_t i = hash_node(node) & (capacity - 1);
    while (places[i].node != NULL && places[i].node != node)
        i = (i + 1) & (capacity - 1);
    return &places[i];
}

json_place *lathe_json_find(const lathe_json *doc, const cJSON *node) {
    if (doc == NULL || node == NULL || doc->capacity == 0)
        return NULL;
    json_place *place = slot_of(doc->places, doc->capacity, node);
    return place->node != NULL ? place : NULL;
}

static bool grow(lathe_json *doc) {
    size_t capacity = doc->capacity == 0 ? 64 : doc->capacity * 2;
    json_place *places = calloc(capacity, sizeof *places);
    if (places == NULL)
        return false;
    for (size_t i = 0; i < doc->capacity; i++) {
        if (doc->places[i].node != NULL)
            *slot_of(places, capacity, doc->places[i].node) = doc->places[i];
    }
    free(doc->places);
    doc->places = places;
    doc->capacity = capacity;
    return true;
}

void lathe_json_expect(lathe_json *doc, size_t nodes) {
    size_t capacity = 64;
    while (capacity * 2 < nodes * 3)
        capacity *= 2;
    if (doc->capacity == 0 && (doc->places = calloc(capacity, sizeof *doc->places)) != NULL)
        doc->capacity = capacity;
}

bool lathe_json_put(lathe_json *doc, const json_place *place) {
    if (doc->no_places && !(place->exact && (place->integer > INT64_C(1) << 53 ||
                                             place->integer < -(INT64_C(1) << 53))))
        return true;
    if (doc->used * 3 >= doc->capacity * 2 && !grow(doc))
        return false;
    json_place *slot = slot_of(doc->places, doc->capacity, place->node);
    if (slot->node == NULL)
        doc->used++;
    *slot = *place;
    return true;
}

/* Removes an entry and closes the gap: what was pushed past it moves back, so that no search ends early. */
static void forget(lathe_json *doc, const cJSON *node) {
    json_place *gap = lathe_json_find(doc, node);
    if (gap == NULL)
        return;
    size_t mask = doc->capacity - 1;
    size_t hole = (size_t)(gap - doc->places);
    for (size_t i = (hole + 1) & mask; doc->places[i].node != NULL; i = (i + 1) & mask) {
        size_t home = hash_node(doc->places[i].node) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* home is not between hole and i */
            doc->places[hole] = doc->places[i];
            hole = i;
        }
    }
    doc->places[hole] = (json_place){0};
    doc->used--;
}

static void forget_tree(lathe_json *doc, const cJSON *node) {
    for (const cJSON *child = node->child; child != NULL; child = child->next)
        forget_tree(doc, child);
    forget(doc, node);
}

void lathe_json_drop(lathe_json *doc, cJSON *tree) {
    forget_tree(doc, tree);
    cJSON_Delete(tree);
}

/* ---- the document ---- */

lathe_json *lathe_json_new(const char *file) {
    lathe_json *doc = calloc(1, sizeof *doc);
    if (doc == NULL)
        return NULL;
    doc->arena = lathe_arena_new();
    if (doc->arena != NULL)
        doc->file = lathe_arena_strdup(doc->arena, file != NULL ? file : "");
    if (doc->file == NULL) {
        lathe_json_free(doc);
        return NULL;
    }
    return doc;
}

void lathe_json_free(lathe_json *doc) {
    if (doc == NULL)
        return;
    cJSON_Delete(doc->root);
    free(doc->places);
    lathe_arena_free(doc->arena);
    free(doc);
}

cJSON *lathe_json_take(lathe_json *doc) {
    cJSON *root = lathe_json_root(doc);
    if (doc != NULL)
        doc->root = NULL;
    lathe_json_free(doc);
    return root;
}

cJSON *lathe_json_root(const lathe_json *doc) {
    return doc != NULL ? doc->root : NULL;
}

const char *lathe_json_file(const lathe_json *doc) {
    return doc != NULL ? doc->file : "";
}

/* ---- giving places to nodes that were not read from text ---- */

/* Records `node` at `where` (of which node, exact and integer are its own), and its children below it. `src` walks
 * along in the document `from` and lends the exact integers; NULL: none. */
static bool place_tree(lathe_json *doc, const cJSON *node, const json_place *where,
                       const lathe_json *from, const cJSON *src) {
    json_place place = *where;
    const json_place *origin = lathe_json_find(from, src);
    place.node = node;
    place.exact = origin != NULL && origin->exact && cJSON_IsNumber(node);
    place.integer = place.exact ? origin->integer : 0;
    if (!lathe_json_put(doc, &place))
        return false;
    int64_t index = 0;
    const cJSON *src_child = src != NULL ? src->child : NULL;
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
        json_place below = {.parent = node, .line = where->line, .column = where->column};
        below.index = index++;
        if (child->string != NULL) {
            below.key = lathe_arena_strdup(doc->arena, child->string);
            below.key_line = where->line;
            below.key_column = where->column;
            if (below.key == NULL)
                return false;
        }
        if (!place_tree(doc, child, &below, from, src_child))
            return false;
        src_child = src_child != NULL ? src_child->next : NULL;
    }
    return true;
}

static json_place place_like(const lathe_json *doc, const cJSON *like) {
    const json_place *place = lathe_json_find(doc, like);
    return place != NULL ? *place : (json_place){0};
}

bool lathe_json_adopt(lathe_json *doc, cJSON *node, const cJSON *like) {
    const json_place where = place_like(doc, like);
    return place_tree(doc, node, &where, NULL, NULL);
}

/* Gives a node the key of another (NULL: none). */
static bool set_key(cJSON *node, const char *key) {
    char *copy = NULL;
    if (key != NULL) {
        size_t bytes = strlen(key) + 1;
        copy = cJSON_malloc(bytes);
        if (copy == NULL)
            return false;
        memcpy(copy, key, bytes);
    }
    if (node->string != NULL && !(node->type & cJSON_StringIsConst))
        cJSON_free(node->string);
    node->type &= ~cJSON_StringIsConst;
    node->string = copy;
    return true;
}

cJSON *lathe_json_graft(lathe_json *doc, const lathe_json *from, const cJSON *src,
                        const cJSON *like) {
    cJSON *node = cJSON_Duplicate(src, 1);
    if (node == NULL)
        return NULL;
    const json_place where = place_like(doc, like);
    if (!set_key(node, like != NULL ? like->string : NULL) ||
        !place_tree(doc, node, &where, from, src)) {
        cJSON_Delete(node);
        return NULL;
    }
    return node;
}

bool lathe_json_replace(lathe_json *doc, cJSON *old, cJSON *node) {
    if (old == node)
        return true;
    if (old == doc->root) {
        doc->root = node;
        lathe_json_drop(doc, old);
        return true;
    }
    const json_place *place = lathe_json_find(doc, old);
    if (place == NULL || place->parent == NULL)
        return false;
    cJSON *parent = (cJSON *)(uintptr_t)place->parent;
    if (!set_key(node, old->string))
        return false;
    forget_tree(doc, old);
    return cJSON_ReplaceItemViaPointer(parent, old, node);
}

lathe_json *lathe_json_from_tree(cJSON *tree, const char *file) {
    lathe_json *doc = tree != NULL ? lathe_json_new(file) : NULL;
    if (doc == NULL) {
        cJSON_Delete(tree);
        return NULL;
    }
    doc->root = tree;
    const json_place where = {0};
    if (!place_tree(doc, tree, &where, NULL, NULL)) {
        lathe_json_free(doc);
        return NULL;
    }
    return doc;
}

/* ---- asking ---- */

bool lathe_json_where(const lathe_json *doc, const cJSON *node, int *line, int *column) {
    const json_place *place = lathe_json_find(doc, node);
    *line = place != NULL ? place->line : 0;
    *column = place != NULL ? place->column : 0;
    return *line > 0;
}

bool lathe_json_key_where(const lathe_json *doc, const cJSON *node, int *line, int *column) {
    const json_place *place = lathe_json_find(doc, node);
    *line = place != NULL ? place->key_line : 0;
    *column = place != NULL ? place->key_column : 0;
    return *line > 0;
}

/* RFC 6901: '~' is written "~0" and '/' is written "~1". */
static void append_part(lathe_buf *out, const json_place *place) {
    lathe_buf_append_char(out, '/');
    if (place->key == NULL) {
        lathe_buf_printf(out, "%lld", (long long)place->index);
        return;
    }
    for (const char *c = place->key; *c != '\0'; c++) {
        if (*c == '~' || *c == '/')
            lathe_buf_append_str(out, *c == '~' ? "~0" : "~1");
        else
            lathe_buf_append_char(out, *c);
    }
}

const char *lathe_json_pointer(const lathe_json *doc, const cJSON *node, char *buf, size_t size) {
    if (size == 0)
        return "";
    const json_place *chain[DEEPEST_POINTER];
    int n = 0;
    const json_place *place = lathe_json_find(doc, node);
    for (; place != NULL && place->parent != NULL && n < DEEPEST_POINTER;
         place = lathe_json_find(doc, place->parent))
        chain[n++] = place;
    lathe_buf text = {0};
    while (n > 0)
        append_part(&text, chain[--n]);
    size_t len = text.len < size ? text.len : size - 1;
    memcpy(buf, lathe_buf_str(&text), len);
    buf[len] = '\0';
    lathe_buf_free(&text);
    return buf;
}

bool lathe_json_int64(const lathe_json *doc, const cJSON *node, int64_t *value) {
    if (!cJSON_IsNumber(node))
        return false;
    const json_place *place = lathe_json_find(doc, node);
    /* the comparison guards against a node that was changed, or made, behind the document's back */
    if (place != NULL && place->exact && (double)place->integer == node->valuedouble) {
        *value = place->integer;
        return true;
    }
    double v = node->valuedouble;
    if (!(v >= -0x1p53 && v <= 0x1p53) || v != floor(v))
        return false;
    *value = (int64_t)v;
    return true;
}

cJSON *lathe_json_get(const cJSON *object, const char *key) {
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *lathe_json_type_name(const cJSON *node) {
    switch (node != NULL ? node->type & 0xFF : cJSON_Invalid) {
    case cJSON_Object:
        return "an object";
    case cJSON_Array:
        return "a list";
    case cJSON_String:
        return "a string";
    case cJSON_Number:
        return "a number";
    case cJSON_True:
    case cJSON_False:
        return "true or false";
    case cJSON_NULL:
        return "null";
    default:
        return "nothing";
    }
}

void lathe_json_add_text(cJSON *object, const char *key, const char *text) {
    cJSON *tree = text != NULL ? cJSON_Parse(text) : NULL;
    if (tree != NULL)
        cJSON_AddItemToObject(object, key, tree);
}

/* The reader: RFC 8259 by recursive descent, one function a rule, straight into cJSON nodes with their places.
 * A container is put into its parent before it is filled, so that an error inside knows its JSON Pointer. */
#include "base/fs.h"
#include "base/json_reader.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST_ALLOWED 512 /* what the stack surely bears */

/* Keys seen in one object: an open hash table of the nodes' own strings. */
typedef struct key_set {
    const char **slots;
    size_t capacity, used;
} key_set;

static bool read_value(json_reader *r, cJSON *parent, const json_place *at);

/* ---- containers ---- */

static bool attach(json_reader *r, cJSON *parent, cJSON *node, const json_place *at) {
    bool ok = node != NULL;
    if (ok && parent == NULL)
        r->doc->root = node;
    else if (ok)
        ok = at->key != NULL ? cJSON_AddItemToObject(parent, at->key, node)
                             : cJSON_AddItemToArray(parent, node);
    if (!ok) {
        cJSON_Delete(node);
        return lathe_jsonr_fail_memory(r);
    }
    json_place place = *at;
    place.node = node;
    place.parent = parent;
    return lathe_json_put(r->doc, &place) ? true : lathe_jsonr_fail_memory(r);
}

static bool enter(json_reader *r, const cJSON *container) {
    if (r->depth >= r->max_depth)
        return lathe_jsonr_fail(r, r->p, "the document is nested more than %d levels deep",
                                r->max_depth);
    r->depth++;
    r->inside = container;
    return true;
}

static void leave(json_reader *r, const cJSON *outer) {
    r->depth--;
    r->inside = outer;
}

/* After an element: true with *more set at ',' or the closing mark. */
static bool read_separator(json_reader *r, char closing, bool *more) {
    char text[48];
    lathe_jsonr_skip_blanks(r);
    if (lathe_jsonr_at(r, closing)) {
        r->p++;
        *more = false;
        return true;
    }
    if (lathe_jsonr_at(r, ',')) {
        const char *comma = r->p, *counted = r->counted;
        const int line = r->line, column = r->column;
        r->p++;
        lathe_jsonr_skip_blanks(r);
        *more = true;
        if (!lathe_jsonr_at(r, closing))
            return true;
        r->line = line; /* the comma is what has to go */
        r->column = column;
        r->counted = counted;
        return lathe_jsonr_fail(r, comma, "a comma stands before the closing '%c'; remove it",
                                closing);
    }
    return lathe_jsonr_fail(r, r->p, "found %s; expected ',' or '%c'",
                            lathe_jsonr_found(r, r->p, text), closing);
}

static bool read_array(json_reader *r, cJSON *array) {
    const cJSON *outer = r->inside;
    if (!enter(r, array))
        return false;
    r->p++;
    lathe_jsonr_skip_blanks(r);
    bool more = !lathe_jsonr_at(r, ']');
    if (!more)
        r->p++;
    for (int64_t index = 0; more; index++) {
        lathe_jsonr_skip_blanks(r);
        const json_place at = {.index = index};
        if (!read_value(r, array, &at) || !read_separator(r, ']', &more))
            return false;
    }
    leave(r, outer);
    return true;
}

static uint64_t hash_key(const char *key) {
    uint64_t h = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (; *key != '\0'; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001B3);
    return h ^ h >> 29;
}

static const char **key_slot(const char **slots, size_t capacity, const char *key) {
    size_t i = (size_t)hash_key(key) & (capacity - 1);
    while (slots[i] != NULL && strcmp(slots[i], key) != 0)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static bool grow_keys(key_set *set) {
    size_t capacity = set->capacity == 0 ? 16 : set->capacity * 2;
    const char **slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] != NULL)
            *key_slot(slots, capacity, set->slots[i]) = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return true;
}

/* Reads `"key":`. at->key is a copy in the arena; *repeated: it was there before. */
static bool read_key(json_reader *r, key_set *keys, json_place *at, bool *repeated) {
    char text[48];
    lathe_jsonr_skip_blanks(r);
    if (!lathe_jsonr_at(r, '"')) {
        int word = lathe_jsonr_word_length(r, r->p);
        if (word > 0)
            return lathe_jsonr_fail(r, r->p, "the key %.*s needs double quotes", word, r->p);
        if (lathe_jsonr_at(r, '\''))
            return lathe_jsonr_fail(r, r->p, "found ': a key needs double quotes (\")");
        if (lathe_jsonr_at(r, '/') || lathe_jsonr_at(r, '#'))
            return lathe_jsonr_fail(r, r->p, "found %s: JSON has no comments; remove it",
                                    lathe_jsonr_found(r, r->p, text));
        return lathe_jsonr_fail(r, r->p, "found %s; expected a key in double quotes or '}'",
                                lathe_jsonr_found(r, r->p, text));
    }
    at->key_line = r->line;
    at->key_column = r->doc->no_places ? 0 : lathe_jsonr_column(r, r->p);
    if (!lathe_jsonr_scan_string(r))
        return false;
    at->key = lathe_arena_strdup(r->doc->arena, lathe_buf_str(&r->scratch));
    if (at->key == NULL || (keys->used * 3 >= keys->capacity * 2 && !grow_keys(keys)))
        return lathe_jsonr_fail_memory(r);
    const char **slot = key_slot(keys->slots, keys->capacity, at->key);
    *repeated = *slot != NULL;
    if (!*repeated) {
        *slot = at->key;
        keys->used++;
    }
    lathe_jsonr_skip_blanks(r);
    if (!lathe_jsonr_at(r, ':'))
        return lathe_jsonr_fail(r, r->p, "found %s; expected ':' after the key \"%.60s\"",
                                lathe_jsonr_found(r, r->p, text), at->key);
    r->p++;
    lathe_jsonr_skip_blanks(r);
    return true;
}

static void note_repeated(json_reader *r, const cJSON *object, const json_place *at) {
    char pointer[1024];
    int line = 0, column = 0;
    const cJSON *first = lathe_json_get(object, at->key);
    lathe_json_key_where(r->doc, first, &line, &column);
    lathe_json_pointer(r->doc, first, pointer, sizeof pointer);
    lathe_diag_add_at(r->diags, r->doc->file, at->key_line, at->key_column, pointer,
                      "the key \"%.60s\" is given twice; the first is in line %d; remove one",
                      at->key, line);
}

static bool read_members(json_reader *r, cJSON *object, key_set *keys) {
    bool more = !lathe_jsonr_at(r, '}');
    if (!more)
        r->p++;
    while (more) {
        json_place at = {0};
        bool repeated = false;
        if (!read_key(r, keys, &at, &repeated))
            return false;
        if (repeated)
            note_repeated(r, object, &at);
        if (!read_value(r, object, &at))
            return false;
        if (repeated) /* it was read for its own errors; the first stays */
            lathe_json_drop(r->doc, cJSON_DetachItemViaPointer(object, object->child->prev));
        if (!read_separator(r, '}', &more))
            return false;
    }
    return true;
}

static bool read_object(json_reader *r, cJSON *object) {
    const cJSON *outer = r->inside;
    if (!enter(r, object))
        return false;
    r->p++;
    lathe_jsonr_skip_blanks(r);
    key_set keys = {0};
    bool ok = read_members(r, object, &keys);
    free(keys.slots);
    if (ok)
        leave(r, outer);
    return ok;
}

/* p at the first character of a value. `at` holds parent's view of it: key, index, key position. */
static bool read_value(json_reader *r, cJSON *parent, const json_place *at) {
    json_place place = *at;
    place.line = r->line;
    place.column = r->doc->no_places ? 0 : lathe_jsonr_column(r, r->p);
    cJSON *node = NULL;
    char c = r->p < r->end ? *r->p : '\0';
    if (c == '{') {
        node = cJSON_CreateObject();
        return attach(r, parent, node, &place) && read_object(r, node);
    }
    if (c == '[') {
        node = cJSON_CreateArray();
        return attach(r, parent, node, &place) && read_array(r, node);
    }
    if (c == '"') {
        if (!lathe_jsonr_scan_string(r))
            return false;
        node = cJSON_CreateString(lathe_buf_str(&r->scratch));
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        double value = 0;
        if (!lathe_jsonr_scan_number(r, &value, &place))
            return false;
        node = cJSON_CreateNumber(value);
    } else if (lathe_jsonr_word_is(r, "true") || lathe_jsonr_word_is(r, "false")) {
        node = cJSON_CreateBool(c == 't');
        r->p += c == 't' ? 4 : 5;
    } else if (lathe_jsonr_word_is(r, "null")) {
        node = cJSON_CreateNull();
        r->p += 4;
    } else {
        return lathe_jsonr_fail_word(r);
    }
    return attach(r, parent, node, &place);
}

/* ---- the whole ---- */

/* Points the reader at an offset, counting the lines before it. */
static void go_to(json_reader *r, const char *p) {
    for (; r->p < p; r->p++) {
        if (*r->p == '\n') {
            r->line++;
            r->counted = r->p + 1;
            r->column = 1;
        }
    }
}

static bool read_document(json_reader *r) {
    size_t bad;
    if (!lathe_utf8_valid(r->p, (size_t)(r->end - r->p), &bad)) {
        const char *at = r->text + bad;
        go_to(r, at);
        return lathe_jsonr_fail(r, at, "the byte 0x%02X is not valid UTF-8; save the file as UTF-8",
                                (unsigned char)*at);
    }
    lathe_jsonr_skip_blanks(r);
    if (r->p == r->end)
        return lathe_jsonr_fail(r, r->p, "the document is empty; expected a value");
    const json_place at = {0};
    if (!read_value(r, NULL, &at))
        return false;
    lathe_jsonr_skip_blanks(r);
    if (r->p < r->end) {
        char text[48];
        return lathe_jsonr_fail(r, r->p, "found %s after the end of the document",
                                lathe_jsonr_found(r, r->p, text));
    }
    return true;
}

lathe_json *lathe_json_parse_limited(const char *text, size_t len, const char *file,
                                     const lathe_json_limits *limits, lathe_diags *diags) {
    size_t max_bytes =
        limits != NULL && limits->max_bytes > 0 ? limits->max_bytes : LATHE_JSON_MAX_BYTES;
    int max_depth =
        limits != NULL && limits->max_depth > 0 ? limits->max_depth : LATHE_JSON_MAX_DEPTH;
    lathe_json *doc = lathe_json_new(file);
    if (doc == NULL || !lathe_jsonr_scan_prepare()) {
        if (diags != NULL)
            diags->no_memory = true;
        lathe_diag_add_at(diags, file, 0, 0, NULL, "out of memory while reading the document");
        lathe_json_free(doc);
        return NULL;
    }
    if (len > max_bytes) {
        lathe_diag_add_at(diags, file, 0, 0, NULL,
                          "the document has %zu bytes; the limit is %zu bytes", len, max_bytes);
        lathe_json_free(doc);
        return NULL;
    }
    doc->no_places = limits != NULL && limits->no_places;
    if (!doc->no_places)
        lathe_json_expect(doc, len / 16); /* nodes, roughly */
    if (len >= 3 &&
        memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* RFC 8259, 8.1 lets a reader skip it */
        text += 3;
        len -= 3;
    }
    json_reader r = {.text = text,
                     .p = text,
                     .end = text + len,
                     .line = 1,
                     .counted = text,
                     .column = 1,
                     .doc = doc,
                     .diags = diags};
    r.max_depth = max_depth < DEEPEST_ALLOWED ? max_depth : DEEPEST_ALLOWED;
    bool ok = read_document(&r);
    lathe_buf_free(&r.scratch);
    if (!ok) {
        lathe_json_free(doc);
        return NULL;
    }
    return doc;
}

lathe_json *lathe_json_parse(const char *text, size_t len, const char *file, lathe_diags *diags) {
    return lathe_json_parse_limited(text, len, file, NULL, diags);
}

lathe_json *lathe_json_load(const char *path, lathe_diags *diags) {
    char *text;
    size_t len;
    lathe_error err = {0};
    if (lathe_read_file(path, LATHE_JSON_MAX_BYTES, &text, &len, &err) != LATHE_OK) {
        lathe_diag_add_at(diags, path, 0, 0, NULL, "%s", err.message);
        return NULL;
    }
    lathe_json *doc = lathe_json_parse(text, len, path, diags);
    free(text);
    return doc;
}

lathe_json *lathe_json_read(const char *text, size_t len, const char *file,
                            const lathe_json_limits *limits, lathe_error *err) {
    lathe_diags diags = {0};
    lathe_json *doc = lathe_json_parse_limited(text, len, file, limits, &diags);
    if (lathe_diags_any(&diags)) {
        lathe_diags_error(&diags, LATHE_E_INVALID, err);
        lathe_json_free(doc);
        doc = NULL;
    }
    lathe_diags_free(&diags);
    return doc;
}

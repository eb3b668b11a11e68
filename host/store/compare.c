/* What differs between two runs: both runs' JSON is flattened to (part, pointer, text) leaves in order, and the two
 * lists are merged. An empty object or list is a leaf, too. Leaves of one run only have no counterpart.
 */
#include "base/buf.h"
#include "base/json.h"
#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const parts[] = {"run", "document", "result", "data", "plugins", "machine"};

typedef struct leaf {
    int part;
    const char *pointer;
    const char *text;
} leaf;

typedef struct leaves {
    leaf *items;
    size_t count, cap;
    lathe_arena *arena;
    bool failed;
} leaves;

static void add(leaves *out, int part, const char *pointer, const char *text) {
    if (out->count == out->cap) {
        size_t cap = out->cap == 0 ? 64 : out->cap * 2;
        leaf *p = cap > SIZE_MAX / sizeof *p ? NULL : realloc(out->items, cap * sizeof *p);
        if (p == NULL) {
            out->failed = true;
            return;
        }
        out->items = p;
        out->cap = cap;
    }
    leaf *l = &out->items[out->count];
    *l =
        (leaf){part, lathe_arena_strdup(out->arena, pointer), lathe_arena_strdup(out->arena, text)};
    if (l->pointer == NULL || l->text == NULL)
        out->failed = true;
    else
        out->count++;
}

/* RFC 6901: '~' is "~0", '/' is "~1". */
static void append_key(lathe_buf *pointer, const char *key) {
    lathe_buf_append_char(pointer, '/');
    for (; *key != '\0'; key++) {
        if (*key == '~')
            lathe_buf_append_str(pointer, "~0");
        else if (*key == '/')
            lathe_buf_append_str(pointer, "~1");
        else
            lathe_buf_append_char(pointer, *key);
    }
}

static void cut(lathe_buf *pointer, size_t len) {
    if (pointer->data != NULL && pointer->len > len) {
        pointer->len = len;
        pointer->data[len] = '\0';
    }
}

/* The reader bounds the depth, so recursion is bounded too. */
static void flatten(leaves *out, int part, const lathe_json *doc, const cJSON *node,
                    lathe_buf *pointer) {
    if ((cJSON_IsObject(node) || cJSON_IsArray(node)) && node->child != NULL) {
        size_t len = pointer->len;
        int64_t i = 0;
        const cJSON *child;
        cJSON_ArrayForEach(child, node) {
            if (child->string != NULL)
                append_key(pointer, child->string);
            else
                lathe_buf_printf(pointer, "/%lld", (long long)i++);
            flatten(out, part, doc, child, pointer);
            cut(pointer, len);
        }
        return;
    }
    lathe_buf text = {0};
    lathe_json_canonical_of(doc, node, &text);
    if (text.failed || pointer->failed)
        out->failed = true;
    else
        add(out, part, lathe_buf_str(pointer), lathe_buf_str(&text));
    lathe_buf_free(&text);
}

static int32_t flatten_text(leaves *out, int part, const char *text, lathe_error *err) {
    lathe_buf pointer = {0};
    lathe_json *doc = lathe_json_read(text, strlen(text), parts[part], NULL, err);
    if (doc == NULL)
        return err != NULL ? err->code : LATHE_E_CORRUPT;
    flatten(out, part, doc, lathe_json_root(doc), &pointer);
    lathe_buf_free(&pointer);
    lathe_json_free(doc);
    return LATHE_OK;
}

static void flatten_facts(leaves *out, const lathe_run_record *run) {
    struct {
        const char *pointer, *text;
    } facts[] = {{"/pipeline", run->pipeline},
                 {"/project", run->project},
                 {"/status", run->status},
                 {"/reason", run->reason},
                 {"/version", run->version}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        lathe_buf text = {0};
        cJSON value = {.type = cJSON_String, .valuestring = (char *)facts[i].text};
        lathe_json_canonical(&value, &text);
        if (text.failed)
            out->failed = true;
        else
            add(out, 0, facts[i].pointer, lathe_buf_str(&text));
        lathe_buf_free(&text);
    }
    char seed[32];
    snprintf(seed, sizeof seed, "%lld", (long long)run->seed);
    add(out, 0, "/seed", seed);
}

static int by_place(const void *pa, const void *pb) {
    const leaf *a = pa, *b = pb;
    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    return strcmp(a->pointer, b->pointer);
}

static int32_t flatten_run(leaves *out, const lathe_run_record *run, lathe_error *err) {
    const char *texts[] = {NULL, run->document, run->result, run->data, run->plugins, run->machine};
    int32_t rc = LATHE_OK;
    flatten_facts(out, run);
    for (int part = 1; rc == LATHE_OK && part < (int)(sizeof parts / sizeof *parts); part++)
        rc = flatten_text(out, part, texts[part], err);
    if (rc == LATHE_OK && out->failed)
        rc = lathe_fail(err, LATHE_E_MEMORY, run->id, "out of memory");
    if (rc == LATHE_OK)
        qsort(out->items, out->count, sizeof *out->items, by_place);
    return rc;
}

static size_t merge(const leaves *a, const leaves *b, lathe_run_difference *out) {
    size_t i = 0, j = 0, n = 0;
    while (i < a->count || j < b->count) {
        int order = i == a->count ? 1 : j == b->count ? -1 : by_place(&a->items[i], &b->items[j]);
        const leaf *la = order <= 0 ? &a->items[i++] : NULL;
        const leaf *lb = order >= 0 ? &b->items[j++] : NULL;
        if (la != NULL && lb != NULL && strcmp(la->text, lb->text) == 0)
            continue;
        const leaf *any = la != NULL ? la : lb;
        if (out != NULL)
            out[n] =
                (lathe_run_difference){parts[any->part], any->pointer, la != NULL ? la->text : NULL,
                                       lb != NULL ? lb->text : NULL};
        n++;
    }
    return n;
}

int32_t lathe_store_runs_compare(lathe_store *store, const char *a, const char *b,
                                 lathe_arena *arena, lathe_run_comparison *out, lathe_error *err) {
    leaves la = {.arena = arena}, lb = {.arena = arena};
    memset(out, 0, sizeof *out);
    int32_t rc = lathe_store_run(store, a, arena, &out->a, err);
    if (rc == LATHE_OK)
        rc = lathe_store_run(store, b, arena, &out->b, err);
    if (rc == LATHE_OK)
        rc = flatten_run(&la, &out->a, err);
    if (rc == LATHE_OK)
        rc = flatten_run(&lb, &out->b, err);
    if (rc == LATHE_OK) {
        out->count = merge(&la, &lb, NULL);
        out->items = lathe_arena_array(arena, out->count, sizeof *out->items);
        if (out->items == NULL)
            rc = lathe_db_oom(store, err);
        else
            merge(&la, &lb, out->items);
    }
    free(la.items);
    free(lb.items);
    return rc;
}

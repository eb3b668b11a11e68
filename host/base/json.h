/* base/json.h: JSON documents that know where everything stands.
 *
 * A lathe_json is a cJSON tree (read it with cJSON's own functions: cJSON_ArrayForEach,
 * cJSON_GetObjectItemCaseSensitive, cJSON_IsString …) together with the line and column of every key and
 * value, the exact integers and the JSON Pointer of each node. The reader is strict RFC 8259: no
 * comments, trailing commas, NaN, or text after the document; UTF-8 must be valid; "\u0000" is refused,
 * since texts are C strings. Keys of an object are looked up case-sensitively.
 *
 * Errors go into a lathe_diags, all of them at once: repeated keys and numbers out of range are noted
 * and the reading goes on (the first of two equal keys stays in the tree, the later is dropped); broken
 * syntax ends it.
 *
 *     lathe_diags diags = {0};
 *     lathe_json *doc = lathe_json_load(path, &diags);
 *     if (doc != NULL)
 *         validate(doc, lathe_json_root(doc), &diags);      // adds its own by lathe_diag_add
 *     if (diags.count > 0) { lathe_diags_print(&diags, stderr); exit code 2; }
 *
 * Change the tree through lathe_json_replace, graft and adopt: a node that is deleted by cJSON's own functions
 * leaves its place behind for whatever node gets the same address.
 *
 * A document and a list of diagnostics belong to one thread at a time; reading an unchanged document is [any].
 */
#ifndef LATHE_BASE_JSON_H
#define LATHE_BASE_JSON_H

#include "base/buf.h"
#include "base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- diagnostics ---- */

typedef struct lathe_diag {
    char *file;    /* as given to the reader; "" where there is none */
    int line;      /* from 1; 0: no position */
    int column;    /* from 1, in characters (code points) */
    char *pointer; /* JSON Pointer (RFC 6901): "/train/candidates/net"; "" is the whole document */
    char *message; /* a sentence: what was found, what was expected, what to do */
} lathe_diag;

/* Begin with {0}; end with lathe_diags_free. At most LATHE_DIAGS_MAX are kept; `more` counts the rest (and
 * those for which memory was out). */
typedef struct lathe_diags {
    lathe_diag *items;
    size_t count;
    size_t cap;
    size_t more;
    bool no_memory; /* one of them is that memory was out, whatever the document is like */
} lathe_diags;

#define LATHE_DIAGS_MAX 200

typedef struct lathe_json lathe_json;

/* Adds one at the position of a value. node NULL (or unknown): at the document's begin. doc NULL: no
 * position. diags NULL: does nothing. */
void lathe_diag_add(lathe_diags *diags, const lathe_json *doc, const cJSON *node, const char *fmt,
                    ...) LATHE_PRINTF(4, 5);
/* The same at the position of the node's KEY: for unknown keys. */
void lathe_diag_add_key(lathe_diags *diags, const lathe_json *doc, const cJSON *node,
                        const char *fmt, ...) LATHE_PRINTF(4, 5);
/* At a place of the caller's. file and pointer may be NULL. */
void lathe_diag_add_at(lathe_diags *diags, const char *file, int line, int column,
                       const char *pointer, const char *fmt, ...) LATHE_PRINTF(6, 7);

/* Any at all, kept or not? */
bool lathe_diags_any(const lathe_diags *diags);

/* Sorts by file (in the order of first appearance), line, column; stable. */
void lathe_diags_sort(lathe_diags *diags);

/* Of those after the first `n`, drops the ones at the place of one of the first: what follows from a fault that is
 * told already. */
void lathe_diags_drop_echoes(lathe_diags *diags, size_t n);

/* Lines "file:line:column: message (at /pointer)", and "… and 12 more". */
void lathe_diags_format(const lathe_diags *diags, lathe_buf *out);
void lathe_diags_print(const lathe_diags *diags, FILE *stream);
/* [{"file", "line", "column", "pointer", "message"}, …]; NULL: out of memory. */
cJSON *lathe_diags_json(const lathe_diags *diags);
/* Adds those of such a list; what is none of them is left out. False: it is no list. */
bool lathe_diags_from_json(lathe_diags *diags, const cJSON *list);

/* The first as an error: where "file:line:column", the sentence, and how many more. Returns `code`, or
 * LATHE_OK where there are none. */
int32_t lathe_diags_error(const lathe_diags *diags, int32_t code, lathe_error *err);

void lathe_diags_free(lathe_diags *diags);

/* ---- documents ---- */

typedef struct lathe_json_limits {
    size_t max_bytes; /* of text; 0: LATHE_JSON_MAX_BYTES */
    int max_depth;    /* of nested arrays and objects; 0: LATHE_JSON_MAX_DEPTH */
    bool
        no_places; /* of machine-made texts nobody asks where things stand: half the time and memory */
} lathe_json_limits;

#define LATHE_JSON_MAX_BYTES ((size_t)64 << 20)
#define LATHE_JSON_MAX_DEPTH 64

/* Reads `len` bytes (no NUL needed; not kept). `file` is for messages, NULL: none. Returns the document, or
 * NULL where there is no tree to look at; then at least one diagnostic was added. A document that is
 * returned may have added some too (repeated keys, numbers out of range). */
lathe_json *lathe_json_parse(const char *text, size_t len, const char *file, lathe_diags *diags);
lathe_json *lathe_json_parse_limited(const char *text, size_t len, const char *file,
                                     const lathe_json_limits *limits, lathe_diags *diags);
/* The same from a file. */
lathe_json *lathe_json_load(const char *path, lathe_diags *diags);

/* For machine-made texts (events, a model's header): any defect at all is NULL and fills err
 * (LATHE_E_INVALID), with the first one. limits may be NULL. */
lathe_json *lathe_json_read(const char *text, size_t len, const char *file,
                            const lathe_json_limits *limits, lathe_error *err);

/* A document around a tree that was not read from text; it takes the tree over. Its nodes have no position
 * (line 0). NULL: out of memory, and the tree is deleted. */
lathe_json *lathe_json_from_tree(cJSON *tree, const char *file);

void lathe_json_free(lathe_json *doc);
/* Frees the document and gives its tree, the caller's from now on. NULL is fine. */
cJSON *lathe_json_take(lathe_json *doc);

cJSON *lathe_json_root(const lathe_json *doc);
const char *lathe_json_file(const lathe_json *doc); /* "" where there is none */

/* ---- nodes ---- */

/* Position of a value, of its key. False (and 0, 0): not a node of the document, or no key. */
bool lathe_json_where(const lathe_json *doc, const cJSON *node, int *line, int *column);
bool lathe_json_key_where(const lathe_json *doc, const cJSON *node, int *line, int *column);

/* JSON Pointer of a node, cut at `size`; "" for the root and for unknown nodes. Returns `buf`. */
const char *lathe_json_pointer(const lathe_json *doc, const cJSON *node, char *buf, size_t size);

/* A number that is an integer and fits, exactly, also beyond 2^53. 1.0 and 1e3 are integers; 1.5 and
 * 1e30 give false, and so does a node that is no number. doc may be NULL: then only up to 2^53. */
bool lathe_json_int64(const lathe_json *doc, const cJSON *node, int64_t *value);

/* Makes a node that was put into the tree later inherit position, key and parent of `like`; its children
 * get the position of `like` and pointers of their own. False: out of memory. */
bool lathe_json_adopt(lathe_json *doc, cJSON *node, const cJSON *like);

/* A deep copy of `src` (a node of `from`, which may be `doc` or NULL) with its exact integers, for putting in
 * place of `like`: it inherits as in adopt. The caller puts it into the tree. NULL: out of memory. */
cJSON *lathe_json_graft(lathe_json *doc, const lathe_json *from, const cJSON *src,
                        const cJSON *like);

/* Puts `node` (from graft, or adopted) in place of `old`, which is deleted; also at the root. False: `old`
 * is not in the document; nothing changes. */
bool lathe_json_replace(lathe_json *doc, cJSON *old, cJSON *node);

/* Child of an object by name, case-sensitive; NULL where `object` is NULL or no object or has none. */
cJSON *lathe_json_get(const cJSON *object, const char *key);

/* "an object", "a list", "a string", "a number", "true or false", "null": for messages. */
const char *lathe_json_type_name(const cJSON *node);

/* A value as short text for messages: `"leaky"`, `12`, `{…}`, `[…]`; cut at `size`. Returns `buf`. */
const char *lathe_json_brief(const cJSON *node, char *buf, size_t size);

/* ---- writing ---- */

/* Canonical text, for hashing: no blanks, keys sorted by their bytes, shortest numbers that read back
 * equal, -0 as 0. Equal documents give equal bytes. With `doc`, integers beyond 2^53 are exact. */
void lathe_json_canonical(const cJSON *node, lathe_buf *out);
void lathe_json_canonical_of(const lathe_json *doc, const cJSON *node, lathe_buf *out);

/* The same with the keys in their own order: for events, the store, the model file. */
void lathe_json_print(const lathe_json *doc, const cJSON *node, lathe_buf *out);

/* Adds JSON text as a member; text that is none, or NULL, is left out. */
void lathe_json_add_text(cJSON *object, const char *key, const char *text);

/* ---- memory ---- */

/* Once, before the first tree of the process, and before its second thread. */
void lathe_json_watch_memory(void);
/* How often cJSON got no memory in this thread since: a tree made between two equal numbers is whole. */
uint64_t lathe_json_refused(void);

#endif

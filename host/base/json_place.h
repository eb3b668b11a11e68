/* base/json_place.h: inside a lathe_json. Only the json_*.c files include this. */
#ifndef LATHE_BASE_JSON_PLACE_H
#define LATHE_BASE_JSON_PLACE_H

#include "base/arena.h"
#include "base/json.h"

/* What is known of one node beyond cJSON. */
typedef struct json_place {
    const cJSON *node;   /* NULL: an empty slot of the table */
    const cJSON *parent; /* NULL: the root */
    const char *key;     /* of the arena; NULL: in a list, or the root */
    int64_t index;       /* in a list */
    int line, column;
    int key_line, key_column; /* 0: no key */
    bool exact;               /* `integer` is the value to the last digit */
    int64_t integer;
} json_place;

/* The places form an open hash table by the node's address. */
struct lathe_json {
    cJSON *root;
    lathe_arena *arena;
    const char *file; /* of the arena, "" where there is none */
    json_place *places;
    size_t capacity; /* a power of two, or 0 */
    size_t used;
    bool no_places; /* but of integers that a double cannot hold */
};

lathe_json *lathe_json_new(const char *file);

/* The place of a node, or NULL. */
json_place *lathe_json_find(const lathe_json *doc, const cJSON *node);

/* Records a place, or overwrites it. False: out of memory. */
/* Makes room for about so many nodes of a document that has none yet. */
void lathe_json_expect(lathe_json *doc, size_t nodes);
bool lathe_json_put(lathe_json *doc, const json_place *place);

/* Deletes a tree that hangs in nothing any more, and what is recorded of its nodes. */
void lathe_json_drop(lathe_json *doc, cJSON *tree);

#endif

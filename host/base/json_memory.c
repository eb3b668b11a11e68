/* Trees are built by cJSON, whose functions that add a member leave it out where memory is out. Nobody asks each of them; who
 * sends a tree out asks once, whether anything was refused since. */
#include "base/json.h"

#include <stdlib.h>

static _Thread_local uint64_t refused;

static void *allocate(size_t size) {
    void *p = malloc(size);
    refused += p == NULL;
    return p;
}

void lathe_json_watch_memory(void) {
    cJSON_Hooks hooks = {allocate, free};
    cJSON_InitHooks(&hooks);
}

uint64_t lathe_json_refused(void) {
    return refused;
}

/* plugin/wire.h: a descriptor with its whole parameter table as JSON, and back. The form is
 * between this program's own processes and its cache; what comes back is checked as if it came
 * from an enemy. */
#ifndef LATHE_PLUGIN_WIRE_H
#define LATHE_PLUGIN_WIRE_H

#include "base/arena.h"
#include "base/json.h"
#include "base/jsonw.h"

#include <lathe/abi.h>

/* One descriptor as an object. Equal descriptors give equal bytes. */
void lathe_wire_write(const lathe_descriptor *d, lathe_jsonw *w);

/* A descriptor of that object, all in the arena, every function and `interface` NULL. It has passed
 * lathe_check_descriptor. */
int32_t lathe_wire_read(lathe_arena *arena, const lathe_json *doc, const cJSON *node,
                        const lathe_descriptor **out, lathe_error *err);

#endif

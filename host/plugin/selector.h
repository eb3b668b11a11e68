/* plugin/selector.h: which columns of a table a parameter of type COLUMNS means.
 *
 * Forms: "all", "numeric", "categorical", "text", "time"; a column's name; a pattern with * and
 * ?; a list of forms (their union); {"except": form}; {"names": ["numeric"]} for columns that
 * are called like a form or hold * or ?. Columns come out in the table's order. A name that the
 * table lacks, and a pattern that fits none, is an error; "numeric" and its like may fit none.
 */
#ifndef LATHE_PLUGIN_SELECTOR_H
#define LATHE_PLUGIN_SELECTOR_H

#include "base/arena.h"
#include "base/json.h"

#include <lathe/transform.h>

/* Reads one; faults go to diags at the position of their node. NULL: a fault or no memory. */
const lathe_selector *lathe_selector_parse(lathe_arena *arena, const lathe_json *doc,
                                           const cJSON *node, lathe_diags *diags);

/* As lathe_tables.select. [any] */
int32_t lathe_selector_resolve(const lathe_selector *selector, const lathe_table *table,
                               int32_t *columns, int64_t capacity, int64_t *n, lathe_error *err);

#endif

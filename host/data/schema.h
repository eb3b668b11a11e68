/* data/schema.h: the columns a model was made for, and fitting any raw table to them.
 *
 * A schema owns names, types and dictionaries. It never changes: all reading functions are [any].
 * The order of a dictionary is that of the codes.
 */
#ifndef LATHE_DATA_SCHEMA_H
#define LATHE_DATA_SCHEMA_H

#include "data/frame.h"

#include <cjson/cJSON.h>

typedef struct lathe_schema lathe_schema;

/* Copies the columns' names, types and dictionaries. An unknown type, an empty or repeated name, a
 * repeated dictionary value: LATHE_E_INVALID. */
int32_t lathe_schema_from_table(const lathe_table *table, lathe_schema **schema, lathe_error *err);
void lathe_schema_free(lathe_schema *schema); /* NULL is fine */

/* As a table of no rows; lives as long as the schema. */
const lathe_table *lathe_schema_table(const lathe_schema *schema);
/* Same columns in the same order with the same dictionaries? NULL equals NULL. */
bool lathe_schema_equal(const lathe_schema *a, const lathe_schema *b);

/* [serve] Code of a value in CATEGORY column `column`: LATHE_CODE_MISSING for ptr NULL,
 * LATHE_CODE_UNSEEN for one that the dictionary lacks. */
int32_t lathe_schema_code(const lathe_schema *schema, int64_t column, lathe_str value);

/* Fits the rows of `table` to the schema: its columns, order, types and codes. Columns are found by
 * name; others are ignored. Per column of the schema, what the table may have instead:
 *   FLOAT64    INT64; CATEGORY or STRING whose values all read as numbers ("" and blanks: missing)
 *   INT64      FLOAT64 of whole numbers; CATEGORY or STRING of integers
 *   TIMESTAMP  INT64 (microseconds); CATEGORY or STRING in ISO 8601 (date, or date and time)
 *   CATEGORY   STRING; numbers, in their printed form ("3", "0.25")
 *   STRING     CATEGORY; numbers, in their printed form
 * A column that the table lacks: LATHE_E_NOT_FOUND with the nearest name. A value that does not
 * fit: LATHE_E_DATA with row (row_id + 1), column and value. row_id NULL: 0 …. */
int32_t lathe_schema_recode(const lathe_schema *schema, const lathe_table *table,
                            const int64_t *row_id, lathe_frame **frame, lathe_error *err);

/* [{"name": "age", "type": "float64"}, {"name": "sex", "type": "category", "values": ["Female",
 * "Male"]}]. A dictionary value that is not a JSON-safe text (invalid UTF-8, a NUL byte) is {"hex":
 * "…"}. NULL: out of memory. */
cJSON *lathe_schema_to_json(const lathe_schema *schema);
/* Reads it back; whatever is wrong: LATHE_E_CORRUPT, with the position in `where`. */
int32_t lathe_schema_from_json(const cJSON *json, lathe_schema **schema, lathe_error *err);

/* "float64", "int64", "timestamp", "category", "string"; NULL for an unknown type. */
const char *lathe_type_name(int32_t type);
/* Reads such a name; 0: none of them. */
int32_t lathe_type_parse(const char *name);

#endif

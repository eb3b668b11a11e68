/* data/frame.h: tables that the host owns.
 *
 * A frame is a list of named, typed columns of equal length (lathe/table.h) and the source's number
 * of each row. Columns are reference-counted and never change once made: taking, dropping, renaming
 * and cloning share memory, and a frame may be read from any thread while nobody changes its column
 * list. Values are 64-byte aligned. Dictionaries of CATEGORY columns that were read from a source
 * are sorted by their bytes.
 *
 * Reading a source:
 *
 *     lathe_frame *f = NULL;
 *     lathe_frame_begin(schema, &f, err);                // schema: the source's, n_rows 0
 *     while (source->next(stream, 65536, &block, err) == LATHE_OK && block.n_rows > 0)
 *         lathe_frame_append(f, &block, err);            // copies; dictionaries are merged
 *     lathe_frame_finish(f, err);                        // sorts dictionaries, closes the columns
 *     const lathe_table *t = lathe_frame_table(f);
 *     lathe_frame_free(f);
 *
 * Errors. LATHE_E_DATA: values that break a rule, with column and row; LATHE_E_SHAPE: columns that
 * do not fit together; LATHE_E_NOT_FOUND: a column that is not there, with the nearest name;
 * LATHE_E_STATE: a frame not finished (or finished already); LATHE_E_MEMORY. After an error in
 * append the frame is as it was before. All functions are [any], one thread at a time per frame
 * unless the frame is only read.
 */
#ifndef LATHE_DATA_FRAME_H
#define LATHE_DATA_FRAME_H

#include "base/error.h"

#include <lathe/table.h>
#include <lathe/transform.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct lathe_frame lathe_frame;

/* ---- making ---- */

/* A frame that grows by append; `schema` names the columns and their types (values are not looked
 * at). */
int32_t lathe_frame_begin(const lathe_table *schema, lathe_frame **frame, lathe_error *err);
/* Adds the rows of a block with the same columns, by position. Category values are matched by their
 * bytes, whatever their codes in the block; LATHE_CODE_UNSEEN stays. Rows get the next source
 * numbers. */
int32_t lathe_frame_append(lathe_frame *frame, const lathe_table *block, lathe_error *err);
/* Ends the growing. Call it once; without it the table is not available. */
int32_t lathe_frame_finish(lathe_frame *frame, lathe_error *err);

/* A finished frame of n_rows rows and no columns. row_id NULL: 0 … n_rows-1. */
int32_t lathe_frame_new(int64_t n_rows, const int64_t *row_id, lathe_frame **frame,
                        lathe_error *err);
/* A finished deep copy, columns and dictionaries (their order and codes kept). row_id NULL: 0 …. */
int32_t lathe_frame_copy_table(const lathe_table *table, const int64_t *row_id, lathe_frame **frame,
                               lathe_error *err);
/* A frame for a transform's output on `in`: columns with source >= 0 share those of `in` (under the
 * field's name), the others are fresh, zeroed and writable through the table's `values` until
 * somebody else shares them. Row numbers are those of `in`. Call lathe_frame_own_strings after the
 * writing. */
int32_t lathe_frame_for_fields(const lathe_frame *in, const lathe_field *fields, int64_t n_fields,
                               lathe_frame **frame, lathe_error *err);
/* Copies the bytes of fresh STRING columns, which a transform may have left pointing into others.
 * */
int32_t lathe_frame_own_strings(lathe_frame *frame, lathe_error *err);

void lathe_frame_free(lathe_frame *frame); /* NULL is fine */

/* ---- reading (finished frames) ---- */

/* The table. Valid until the column list changes or the frame is freed; NULL: not finished. */
const lathe_table *lathe_frame_table(const lathe_frame *frame);
int64_t lathe_frame_rows(const lathe_frame *frame);
int64_t lathe_frame_columns(const lathe_frame *frame);
/* [n_rows] numbers of the rows in the source. */
const int64_t *lathe_frame_row_id(const lathe_frame *frame);
/* Position of a column by name, -1: none. */
int64_t lathe_frame_find(const lathe_frame *frame, const char *name);
/* The same in any table. */
int64_t lathe_table_find(const lathe_table *table, const char *name);
/* The same, with an error that names the nearest column; `what` ("the target", "column") begins the
 * message. */
int32_t lathe_table_need(const lathe_table *table, const char *name, const char *what,
                         int64_t *column, lathe_error *err);
/* Bytes of memory it holds, what it shares with others included. */
int64_t lathe_frame_bytes(const lathe_frame *frame);

/* ---- frames from frames: nothing is copied that can be shared ---- */

int32_t lathe_frame_clone(const lathe_frame *frame, lathe_frame **out, lathe_error *err);
/* Rows rows[0 … n-1], repeats allowed, with their row numbers. Out of range: LATHE_E_INVALID. */
int32_t lathe_frame_take(const lathe_frame *frame, const int64_t *rows, int64_t n,
                         lathe_frame **out, lathe_error *err);
/* The rows of all frames, one after the other; the columns must agree in name and type.
 * Dictionaries are merged and sorted where they differ. */
int32_t lathe_frame_concat(const lathe_frame *const *frames, int64_t n, lathe_frame **out,
                           lathe_error *err);
/* Columns columns[0 … n-1] (no repeats), in this order. */
int32_t lathe_frame_select(const lathe_frame *frame, const int64_t *columns, int64_t n,
                           lathe_frame **out, lathe_error *err);
/* The rows where `column` is not missing; *dropped (may be NULL) is how many are gone. */
int32_t lathe_frame_drop_missing(const lathe_frame *frame, int64_t column, lathe_frame **out,
                                 int64_t *dropped, lathe_error *err);

/* ---- changing the column list ---- */

/* Copies a column (values for as many rows as the frame has, dictionary, bytes of strings) to the
 * end. A name that is there already: LATHE_E_EXISTS. */
int32_t lathe_frame_add_column(lathe_frame *frame, const lathe_column *column, lathe_error *err);
/* Shares column `column` of `from` (same number of rows) under `name` (NULL: its own). */
int32_t lathe_frame_share_column(lathe_frame *frame, const lathe_frame *from, int64_t column,
                                 const char *name, lathe_error *err);
int32_t lathe_frame_drop_column(lathe_frame *frame, int64_t column, lathe_error *err);

/* Makes the column CATEGORY: integers are written as integers, other numbers with the fewest digits
 * that read back equal, timestamps as ISO 8601; the dictionary is sorted by its bytes. Strings are
 * taken as they are. A CATEGORY column stays. */
int32_t lathe_frame_to_category(lathe_frame *frame, int64_t column, lathe_error *err);
/* Makes the column FLOAT64. A category or string that is no number: LATHE_E_DATA with row and text.
 * A TIMESTAMP: LATHE_E_INVALID. */
int32_t lathe_frame_to_float64(lathe_frame *frame, int64_t column, lathe_error *err);
/* Keeps of the column's dictionary only the values that occur in rows[0 … n-1] (NULL: all rows), in
 * the same order; a value that is left out becomes LATHE_CODE_UNSEEN. Not CATEGORY:
 * LATHE_E_INVALID. */
int32_t lathe_frame_freeze(lathe_frame *frame, int64_t column, const int64_t *rows, int64_t n,
                           lathe_error *err);
/* The same for every CATEGORY column. */
int32_t lathe_frame_freeze_all(lathe_frame *frame, const int64_t *rows, int64_t n,
                               lathe_error *err);

#endif

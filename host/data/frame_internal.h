/* data/frame_internal.h: what the files frame*.c and schema_recode.c share. Nobody else includes
 * it. */
#ifndef LATHE_DATA_FRAME_INTERNAL_H
#define LATHE_DATA_FRAME_INTERNAL_H

#include "data/frame.h"
#include "data/memory.h"
#include "data/text.h"

#include <stdatomic.h>

/* Bytes of strings: chunks that never move. Shared by all columns whose strings point into it. */
typedef struct string_heap {
    atomic_int refs;
    char **chunks;
    int64_t n_chunks;
    int64_t used; /* of the last chunk */
    int64_t size; /* of the last chunk */
    int64_t bytes;
} string_heap;

/* The values of one column: never changed while shared. */
typedef struct column_data {
    atomic_int refs;
    int32_t type;
    lathe_blob *values;
    lathe_blob *dict; /* lathe_str [dict_size], then their bytes; NULL: no dictionary */
    int64_t dict_size;
    string_heap *heap; /* STRING; may be NULL where all are missing or borrowed */
    bool borrowed;     /* STRING made for a transform: its texts may lie elsewhere */
} column_data;

/* A column in the making. */
typedef struct column_builder {
    int64_t cap; /* rows that data->values has room for */
    lathe_text_map map;
    string_heap *heap; /* bytes of the map's keys */
    int32_t *codes;    /* [n_codes] code of each of the block's codes, as in the block before */
    int64_t n_codes;
} column_builder;

typedef struct frame_column {
    char *name;
    column_data *data;
} frame_column;

struct lathe_frame {
    bool finished;
    int64_t n_rows;
    lathe_blob *row_id; /* int64_t [n_rows] */
    frame_column *columns;
    int64_t n_columns;
    column_builder *builders; /* [n_columns] until finished */
    int64_t row_cap;
    lathe_column *view; /* [n_columns] */
    lathe_table table;
};

string_heap *heap_new(void);
string_heap *heap_ref(string_heap *heap);
void heap_unref(string_heap *heap);
/* A copy of the bytes (ptr is not NULL, also for ""); ptr NULL: out of memory. */
lathe_str heap_copy(string_heap *heap, lathe_str text);

/* Fresh data with one reference and room for n_rows values (not zeroed). NULL: out of memory. */
column_data *column_new(int32_t type, int64_t n_rows);
void column_unref(column_data *data);
/* One blob of n texts and their bytes; NULL: out of memory. */
lathe_blob *dict_blob(const lathe_str *values, int64_t n);
/* Copies values (checked), dictionary and strings of a column. where of the errors: its name. */
int32_t column_copy(const lathe_column *from, int64_t n_rows, column_data **out, lathe_error *err);

/* One value as text; ptr NULL: missing, or a code that is not in the dictionary. `buf` holds a
 * number's. */
lathe_str cell_text(const lathe_column *column, int64_t row, char buf[LATHE_CELL_TEXT]);

/* A frame of n_rows rows with its own references to row_id (NULL: made, 0 …). */
int32_t frame_alloc(int64_t n_rows, lathe_blob *row_id, int64_t room, lathe_frame **frame,
                    lathe_error *err);
/* Adds `data`, whose reference it takes over, also in failure. */
int32_t frame_push(lathe_frame *frame, const char *name, column_data *data, lathe_error *err);
/* Puts `data` (reference taken over) in place of a column's. */
void frame_replace(lathe_frame *frame, int64_t column, column_data *data);
/* Finished and `column` in range? */
int32_t frame_check(const lathe_frame *frame, int64_t column, lathe_error *err);

void frame_builders_free(lathe_frame *frame);

#endif

/* stream.h: an open csv file: its configuration, its columns and where it stands. */
#ifndef LATHE_SOURCES_CSV_STREAM_H
#define LATHE_SOURCES_CSV_STREAM_H

#include "csv.h"

typedef struct csv_config {
    const char *path;
    const char *delimiter;
    const char *quote;
    lathe_scalar header;
    lathe_list names;   /* const char * */
    lathe_list columns; /* const char * */
    lathe_map types;    /* int32_t */
    lathe_list missing; /* const char * */
    int32_t trim;
    int32_t on_error;
    int64_t skip;
    int64_t limit;
} csv_config;

enum { CSV_FAIL, CSV_SKIP }; /* on_error */

typedef struct csv_column {
    int64_t field; /* its place in the file's records */
    int32_t kind;  /* CSV_… */
    int32_t declared;
    int64_t range_line; /* first line with a number beyond a double */
    void *values;       /* [rows_capacity] */
    csv_dict dict;
} csv_column;

typedef struct csv_stream {
    const lathe_host *host;
    const csv_config *config;
    csv_reader reader;
    locale_t c_locale;
    csv_missing missing;
    int32_t has_header;
    char **names; /* [n_fields], of all the file's columns */
    int64_t n_fields;
    csv_column *columns; /* [n_columns], those read */
    int64_t n_columns;
    lathe_column *out; /* [n_columns] */
    lathe_table schema;
    int64_t rows_capacity;
    int64_t rows;
    int32_t began; /* the rows to skip are behind */
    int64_t skipped;
    csv_arena texts; /* names and dictionaries */
    csv_arena block; /* text of the current block */
    char note[96];
} csv_stream;

/* From the first record, which the reader holds: the names of the file's columns, checked. */
int32_t csv_stream_take_names(csv_stream *s, lathe_error *err);
/* Which columns are read, and what is declared about them. */
int32_t csv_stream_choose_columns(csv_stream *s, lathe_error *err);
/* The next record with the right number of fields; bad ones are skipped where that is allowed. */
int32_t csv_stream_next_record(csv_stream *s, int32_t *got, lathe_error *err);
/* Passes over the first `skip` records below the header. */
int32_t csv_stream_skip_records(csv_stream *s, lathe_error *err);
/* Reads all rows that will be read, and decides the types of the columns that are not declared. */
int32_t csv_stream_detect_types(csv_stream *s, lathe_error *err);
/* The error of a field that its column's kind refuses; found: CSV_NO or CSV_OUT_OF_RANGE. */
int32_t csv_stream_fail_value(const csv_stream *s, const csv_column *c, const csv_field *f,
                              int found, lathe_error *err);

#endif

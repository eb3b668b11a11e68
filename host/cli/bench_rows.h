/* cli/bench_rows.h: bodies of inference requests, a row each: one named input a raw column. */
#ifndef LATHE_CLI_BENCH_ROWS_H
#define LATHE_CLI_BENCH_ROWS_H

#include "base/buf.h"
#include "base/error.h"

#include <cjson/cJSON.h>
#include <stddef.h>

#define BENCH_MAX_ROWS ((size_t)10000)

typedef struct bench_rows {
    lathe_buf *bodies; /* JSON */
    size_t n;
} bench_rows;

/* One row for a model with these metadata (of GET /v2/models/M): numbers 0, texts "", truths false. LATHE_E_DATA: they are no
 * metadata. */
int32_t bench_rows_make(const cJSON *metadata, bench_rows *rows, lathe_error *err);

/* The first BENCH_MAX_ROWS rows of a CSV file with a head line, of which the model's inputs are taken by name. An empty cell, and one
 * that is `missing` (NULL: none), is sent as null. LATHE_E_DATA: the file does not fit, with its line. */
int32_t bench_rows_read(const cJSON *metadata, const char *path, const char *missing,
                        bench_rows *rows, lathe_error *err);

void bench_rows_free(bench_rows *rows);

/* ---- for those who make rows ---- */

/* The list of inputs, each with name and datatype; NULL: these are no metadata, LATHE_E_DATA. */
const cJSON *bench_rows_inputs(const cJSON *metadata, lathe_error *err);
/* One value for an input of a row; taken over. */
void bench_rows_add_input(cJSON *inputs, const cJSON *input, cJSON *value);
/* 0, false or "". */
cJSON *bench_rows_zero(const char *type);
/* A row of these inputs, which are taken over; rows->bodies has room. */
int32_t bench_rows_add(bench_rows *rows, cJSON *inputs, lathe_error *err);

#endif

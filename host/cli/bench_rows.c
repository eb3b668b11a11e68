#include "cli/bench_rows.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/utf8.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)256 << 20)
#define MAX_COLUMNS 100000

/* A file's text, cell by cell, in place (RFC 4180; LF or CRLF). */
typedef struct csv_text {
    const char *path;
    char *at, *end;
    size_t line;
} csv_text;

typedef struct csv_record {
    char **cells;
    size_t n, cap, line;
} csv_record;

/* ---- CSV ---- */

static int32_t fail_at(const csv_text *text, size_t line, lathe_error *err, const char *what,
                       const char *cell) {
    char where[300];
    snprintf(where, sizeof where, "%.250s:%zu", text->path, line);
    return lathe_fail(err, LATHE_E_DATA, where, what, cell);
}

/* The cell at text->at, which moves on to what ended it: ',', a line's end or the text's. NULL: a quote is not closed. */
static char *take_cell(csv_text *text) {
    char *begin = text->at, *to = begin;
    if (*begin != '"') {
        text->at += strcspn(begin, ",\r\n");
        return begin;
    }
    for (char *at = begin + 1; at < text->end; at++) {
        if (*at == '"' && at[1] != '"') {
            *to = 0;
            text->at = at + 1;
            return begin;
        }
        at += *at == '"';
        text->line += *at == '\n';
        *to++ = *at;
    }
    return NULL;
}

/* The next record that is no blank line; n 0: the end. */
static int32_t next_record(csv_text *text, csv_record *r, lathe_error *err) {
    while (text->at < text->end && (*text->at == '\n' || *text->at == '\r'))
        text->line += *text->at++ == '\n';
    r->n = 0;
    r->line = text->line;
    for (bool more = text->at < text->end; more;) {
        if (r->n == r->cap) {
            const size_t cap = r->cap ? r->cap * 2 : 32;
            char **cells = realloc(r->cells, cap * sizeof *cells);
            if (cells == NULL)
                return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
            r->cells = cells;
            r->cap = cap;
        }
        if ((r->cells[r->n++] = take_cell(text)) == NULL)
            return fail_at(text, r->line, err, "a quote is not closed%s; add the closing '\"'", "");
        char *stop = text->at;
        if (*stop != ',' && *stop != '\r' && *stop != '\n' && *stop != 0)
            return fail_at(text, text->line, err,
                           "after a closing quote comes \"%.20s\"; expected ',' or the line's end",
                           stop);
        if (r->n > MAX_COLUMNS)
            return fail_at(text, r->line, err, "more than 100000 columns%s", "");
        more = *stop == ',';
        text->line += *stop == '\n';
        text->at += stop < text->end;
        *stop = 0;
    }
    return LATHE_OK;
}

static int32_t open_text(const char *path, char **data, csv_text *text, lathe_error *err) {
    size_t len = 0, bad;
    int32_t rc = lathe_read_file(path, MAX_FILE, data, &len, err);
    if (rc != LATHE_OK)
        return rc;
    *text = (csv_text){.path = path, .at = *data, .end = *data + len, .line = 1};
    if (len > 1 && memcmp(*data, "\x1f\x8b", 2) == 0)
        return lathe_fail(err, LATHE_E_DATA, path, "it is compressed; unpack it first (gunzip)");
    if (!lathe_utf8_valid(*data, len, &bad) || memchr(*data, 0, len) != NULL)
        return lathe_fail(err, LATHE_E_DATA, path, "it is no UTF-8 text; expected a CSV file");
    if (len > 2 && memcmp(*data, "\xef\xbb\xbf", 3) == 0)
        text->at += 3;
    return LATHE_OK;
}

/* ---- bodies ---- */

int32_t bench_rows_add(bench_rows *rows, cJSON *inputs, lathe_error *err) {
    cJSON *body = cJSON_CreateObject();
    cJSON_AddItemToObject(body, "inputs", inputs);
    lathe_json_print(NULL, body, &rows->bodies[rows->n]);
    cJSON_Delete(body);
    return rows->bodies[rows->n++].failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                                          : LATHE_OK;
}

void bench_rows_add_input(cJSON *inputs, const cJSON *input, cJSON *value) {
    static const int shape[] = {1, 1};
    cJSON *item = cJSON_CreateObject(), *data;
    cJSON_AddStringToObject(item, "name", cJSON_GetStringValue(lathe_json_get(input, "name")));
    cJSON_AddItemToObject(item, "shape", cJSON_CreateIntArray(shape, 2));
    cJSON_AddStringToObject(item, "datatype",
                            cJSON_GetStringValue(lathe_json_get(input, "datatype")));
    data = cJSON_AddArrayToObject(item, "data");
    cJSON_AddItemToArray(data, value);
    cJSON_AddItemToArray(inputs, item);
}

static const char *type_of(const cJSON *input) {
    return cJSON_GetStringValue(lathe_json_get(input, "datatype"));
}

const cJSON *bench_rows_inputs(const cJSON *metadata, lathe_error *err) {
    const cJSON *inputs = lathe_json_get(metadata, "inputs"), *input;
    bool good = cJSON_IsArray(inputs) && inputs->child != NULL;
    cJSON_ArrayForEach(input, inputs) good =
        good && cJSON_IsString(lathe_json_get(input, "name")) && type_of(input) != NULL;
    if (good)
        return inputs;
    lathe_fail(
        err, LATHE_E_DATA, NULL,
        "the service's answer is no metadata of a model; expected \"inputs\", each with name "
        "and datatype");
    return NULL;
}

cJSON *bench_rows_zero(const char *type) {
    return strcmp(type, "BYTES") == 0  ? cJSON_CreateString("")
           : strcmp(type, "BOOL") == 0 ? cJSON_CreateFalse()
                                       : cJSON_CreateNumber(0);
}

int32_t bench_rows_make(const cJSON *metadata, bench_rows *rows, lathe_error *err) {
    const cJSON *list = bench_rows_inputs(metadata, err), *input;
    if (list == NULL)
        return LATHE_E_DATA;
    cJSON *inputs = cJSON_CreateArray();
    rows->bodies = calloc(1, sizeof *rows->bodies);
    if (rows->bodies == NULL || inputs == NULL) {
        cJSON_Delete(inputs);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    cJSON_ArrayForEach(input, list) {
        bench_rows_add_input(inputs, input, bench_rows_zero(type_of(input)));
    }
    return bench_rows_add(rows, inputs, err);
}

/* A cell as the input's type; NULL: it is none. */
static cJSON *value_of(const char *cell, const char *type, const char *missing) {
    char *end;
    if (cell[0] == 0 || (missing != NULL && strcmp(cell, missing) == 0))
        return cJSON_CreateNull();
    if (strcmp(type, "BYTES") == 0)
        return cJSON_CreateString(cell);
    if (strcmp(type, "BOOL") == 0 && (strcasecmp(cell, "true") == 0 || strcmp(cell, "1") == 0))
        return cJSON_CreateTrue();
    if (strcmp(type, "BOOL") == 0)
        return strcasecmp(cell, "false") == 0 || strcmp(cell, "0") == 0 ? cJSON_CreateFalse()
                                                                        : NULL;
    const double number = strtod(cell, &end);
    return *end == 0 && isfinite(number) ? cJSON_CreateNumber(number) : NULL;
}

/* Where each input stands in the head; `at` has room for all. */
static int32_t find_columns(const csv_text *text, const csv_record *head, const cJSON *list,
                            size_t *at, lathe_error *err) {
    const cJSON *input;
    size_t i = 0;
    cJSON_ArrayForEach(input, list) {
        const char *name = cJSON_GetStringValue(lathe_json_get(input, "name"));
        size_t c = 0;
        while (c < head->n && strcmp(head->cells[c], name) != 0)
            c++;
        if (c == head->n)
            return fail_at(text, head->line, err,
                           "there is no column \"%.100s\", which the model takes; name it in the "
                           "head line",
                           name);
        at[i++] = c;
    }
    return LATHE_OK;
}

static int32_t read_row(const csv_text *text, const csv_record *r, const cJSON *list,
                        const size_t *at, const char *missing, bench_rows *rows, lathe_error *err) {
    cJSON *inputs = cJSON_CreateArray();
    const cJSON *input;
    size_t i = 0;
    cJSON_ArrayForEach(input, list) {
        const char *cell = r->cells[at[i++]];
        cJSON *value = value_of(cell, type_of(input), missing);
        if (value == NULL) {
            cJSON_Delete(inputs);
            return fail_at(text, r->line, err,
                           "\"%.60s\" does not fit its column, which the model takes as numbers or "
                           "truths; where it stands for a missing value, add --missing",
                           cell);
        }
        bench_rows_add_input(inputs, input, value);
    }
    return bench_rows_add(rows, inputs, err);
}

static int32_t read_rows(csv_text *text, const cJSON *list, const char *missing, bench_rows *rows,
                         lathe_error *err) {
    csv_record r = {0};
    size_t *at = calloc((size_t)cJSON_GetArraySize(list), sizeof *at);
    rows->bodies = calloc(BENCH_MAX_ROWS, sizeof *rows->bodies);
    int32_t rc = at != NULL && rows->bodies != NULL
                     ? next_record(text, &r, err)
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    const size_t width = r.n;
    if (rc == LATHE_OK)
        rc = find_columns(text, &r, list, at, err);
    while (rc == LATHE_OK && rows->n < BENCH_MAX_ROWS) {
        rc = next_record(text, &r, err);
        if (rc != LATHE_OK || r.n == 0)
            break;
        rc = r.n == width
                 ? read_row(text, &r, list, at, missing, rows, err)
                 : fail_at(text, r.line, err, "it has not as many cells as the head line%s", "");
    }
    if (rc == LATHE_OK && rows->n == 0)
        rc = lathe_fail(err, LATHE_E_DATA, text->path, "it has no rows; add some");
    free(r.cells);
    free(at);
    return rc;
}

int32_t bench_rows_read(const cJSON *metadata, const char *path, const char *missing,
                        bench_rows *rows, lathe_error *err) {
    const cJSON *list = bench_rows_inputs(metadata, err);
    csv_text text = {0};
    char *data = NULL;
    if (list == NULL)
        return LATHE_E_DATA;
    int32_t rc = open_text(path, &data, &text, err);
    if (rc == LATHE_OK)
        rc = read_rows(&text, list, missing, rows, err);
    free(data);
    return rc;
}

void bench_rows_free(bench_rows *rows) {
    for (size_t i = 0; i < rows->n; i++)
        lathe_buf_free(&rows->bodies[i]);
    free(rows->bodies);
    *rows = (bench_rows){0};
}

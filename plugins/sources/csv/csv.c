/* csv.c: tables from comma-separated text, plain or gzip. RFC 4180, with the extensions that reader.c names.
 *
 * A stream reads the file twice: once to find out the types of all values (detect.c says how) and to find every
 * fault before anything is computed from the data, once to make the blocks. Where `types` declares every column
 * that is read, the first pass is left out.
 *
 * Numbers are correctly rounded and do not depend on the locale. A number beyond a double ("1e999") is an error,
 * "inf" and "nan" are text. Leading zeros do not make text of a number: declare a column of codes such as "007"
 * a category. An empty cell is always missing, quoted or not; so is one that equals a string of `missing`.
 */
#include "csv.h"

#include <stdlib.h>

#define BLOCK_ROWS 65536
#define BLOCK_BYTES (64 << 20)

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

static const char *const type_choices[] = {"number",    "integer", "category", "text",
                                           "timestamp", "ignore",  NULL};
enum { ON_ERROR_FAIL, ON_ERROR_SKIP };
static const char *const on_error_choices[] = {"fail", "skip", NULL};

static const lathe_param csv_params[] = {
    LATHE_P_STRING(csv_config, path, LATHE_PARAM_REQUIRED | LATHE_PARAM_PATH, NULL,
                   "The file, plain or gzip (told by its content)."),
    LATHE_P_STRING(
        csv_config, delimiter, LATHE_PARAM_NULLABLE, "null",
        "The character between fields; null: the one among comma, semicolon, tab and bar that the "
        "first 100 lines agree on."),
    LATHE_P_STRING(csv_config, quote, LATHE_PARAM_NULLABLE, "\"\\\"\"",
                   "The character around fields that hold delimiters or line breaks; null: none."),
    LATHE_P_SCALAR(
        csv_config, header, 0, "\"auto\"",
        "Is the first line one of column names: true, false, or \"auto\" (yes, unless it holds a "
        "number or a date)."),
    LATHE_P_STRING(
        csv_config, names, LATHE_PARAM_LIST | LATHE_PARAM_NULLABLE, "null",
        "Column names in the file's order, instead of those of the header; null: the header's, or "
        "column_1, column_2, … without one."),
    LATHE_P_STRING(csv_config, columns, LATHE_PARAM_LIST | LATHE_PARAM_NULLABLE, "null",
                   "Read these columns alone, in the file's order; null: all."),
    LATHE_P_ENUM(csv_config, types, LATHE_PARAM_MAP, "{}", type_choices,
                 "Column types; those not named are found by looking at every value."),
    LATHE_P_STRING(csv_config, missing, LATHE_PARAM_LIST,
                   "[\"NA\", \"N/A\", \"NaN\", \"nan\", \"NULL\", \"null\"]",
                   "Cells that count as missing, besides empty ones."),
    LATHE_P_BOOL(csv_config, trim, 0, "true", "Drop blanks and tabs around fields outside quotes."),
    LATHE_P_ENUM(csv_config, on_error, 0, "\"fail\"", on_error_choices,
                 "What a bad line does: fail the run, or be left out and counted."),
    LATHE_P_INT(csv_config, skip, 0, "0", 0, 1e12,
                "Pass over so many rows below the header first: with limit, one file serves as "
                "training data "
                "and as later data.",
                .unit = "rows"),
    LATHE_P_INT(csv_config, limit, LATHE_PARAM_NULLABLE, "null", 1, 1e12,
                "Read at most so many rows; null: all.", .unit = "rows"),
};

typedef struct csv_source {
    const lathe_host *host;
    const csv_config *config;
} csv_source;

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

/* ---- names and declared types ---------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
    return strcmp(**(char **const *)a, **(char **const *)b);
}

static int32_t check_name(const csv_stream *s, int64_t i, int64_t line, lathe_error *err) {
    const char *name = s->names[i];
    size_t n = strlen(name);
    if (n == 0)
        return bytes_fail(
            err, LATHE_E_DATA, s->config->path, line,
            "column %lld of %lld has no name in the header; name the columns with \"names\"",
            (long long)i + 1, (long long)s->n_fields);
    if (n > CSV_MAX_NAME)
        return bytes_fail(
            err, LATHE_E_DATA, s->config->path, line,
            "the name of column %lld has %lld bytes, %d are allowed; is the first line a header?",
            (long long)i + 1, (long long)n, CSV_MAX_NAME);
    for (const char *p = name; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return bytes_fail(
                err, LATHE_E_DATA, s->config->path, line,
                "the name of column %lld holds the control character 0x%02X; name the columns "
                "with \"names\"",
                (long long)i + 1, (unsigned char)*p);
    return LATHE_OK;
}

static int32_t check_names(csv_stream *s, int64_t line, lathe_error *err) {
    char ***sorted = s->host->alloc(s->host, (uint64_t)s->n_fields * sizeof *sorted);
    int32_t rc = LATHE_OK;
    if (sorted == NULL)
        return bytes_no_memory(err, s->config->path);
    for (int64_t i = 0; i < s->n_fields; i++)
        sorted[i] = &s->names[i];
    for (int64_t i = 0; i < s->n_fields && rc == LATHE_OK; i++)
        rc = check_name(s, i, line, err);
    qsort(sorted, (size_t)s->n_fields, sizeof *sorted, compare_names);
    for (int64_t i = 1; i < s->n_fields && rc == LATHE_OK; i++)
        if (strcmp(*sorted[i - 1], *sorted[i]) == 0) {
            long long a = sorted[i - 1] - s->names + 1, b = sorted[i] - s->names + 1;
            rc = bytes_fail(err, LATHE_E_DATA, s->config->path, line,
                            "columns %lld and %lld are both called '%.100s'; name the columns with "
                            "\"names\"",
                            a < b ? a : b, a < b ? b : a, *sorted[i]);
        }
    s->host->free(s->host, sorted);
    return rc;
}

/* Names from "names", the header's fields, or column_1 … */
static int32_t take_names(csv_stream *s, lathe_error *err) {
    const csv_config *c = s->config;
    const csv_reader *r = &s->reader;
    s->n_fields = r->n_fields;
    if (c->names.count >= 0 && c->names.count != s->n_fields)
        return bytes_fail(err, LATHE_E_INVALID, c->path, r->record_line,
                          "\"names\" gives %lld names, the file has %lld columns (delimiter '%c')",
                          (long long)c->names.count, (long long)s->n_fields, r->delimiter);
    s->names = csv_arena_take(&s->texts, s->host, s->n_fields * (int64_t)sizeof *s->names);
    if (s->names == NULL)
        return bytes_no_memory(err, c->path);
    for (int64_t i = 0; i < s->n_fields; i++) {
        char made[32];
        const char *text = made;
        int64_t n = snprintf(made, sizeof made, "column_%lld", (long long)i + 1);
        if (c->names.count >= 0) {
            text = ((const char *const *)c->names.items)[i];
            n = (int64_t)strlen(text);
        } else if (s->has_header) {
            text = r->fields[i].text;
            n = r->fields[i].length;
        }
        s->names[i] = csv_arena_copy(&s->texts, s->host, text, n);
        if (s->names[i] == NULL)
            return bytes_no_memory(err, c->path);
    }
    return check_names(s, s->has_header && c->names.count < 0 ? r->record_line : 0, err);
}

static int64_t find_name(const csv_stream *s, const char *name) {
    for (int64_t i = 0; i < s->n_fields; i++)
        if (strcmp(s->names[i], name) == 0)
            return i;
    return -1;
}

static int32_t fail_unknown_column(const csv_stream *s, const char *param, const char *name,
                                   lathe_error *err) {
    char list[160] = "";
    size_t used = 0;
    int64_t i = 0;
    for (; i < s->n_fields && used + 40 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.36s", i > 0 ? ", " : "",
                                 s->names[i]);
    return bytes_fail(err, LATHE_E_NOT_FOUND, s->config->path, 0,
                      "\"%s\" names the column '%.80s', which the file does not have; it has %s%s",
                      param, name, list, i < s->n_fields ? ", …" : "");
}

/* Which columns are read, and what is declared about them. */
static int32_t choose_columns(csv_stream *s, lathe_error *err) {
    const csv_config *c = s->config;
    const char *const *wanted = c->columns.items;
    int32_t *kinds = csv_arena_take(&s->texts, s->host, s->n_fields * (int64_t)sizeof *kinds);
    if (kinds == NULL)
        return bytes_no_memory(err, c->path);
    for (int64_t i = 0; i < s->n_fields; i++)
        kinds[i] = c->columns.count >= 0 ? CSV_IGNORE : CSV_UNKNOWN;
    for (int64_t i = 0; i < c->columns.count; i++) {
        int64_t at = find_name(s, wanted[i]);
        if (at < 0)
            return fail_unknown_column(s, "columns", wanted[i], err);
        kinds[at] = CSV_UNKNOWN;
    }
    for (int64_t i = 0; i < c->types.count; i++) {
        int64_t at = find_name(s, c->types.keys[i]);
        if (at < 0)
            return fail_unknown_column(s, "types", c->types.keys[i], err);
        if (kinds[at] != CSV_IGNORE)
            kinds[at] = ((const int32_t *)c->types.values)[i];
    }
    s->columns = s->host->alloc(s->host, (uint64_t)s->n_fields * sizeof *s->columns);
    s->out = s->host->alloc(s->host, (uint64_t)s->n_fields * sizeof *s->out);
    if (s->columns == NULL || s->out == NULL)
        return bytes_no_memory(err, c->path);
    for (int64_t i = 0; i < s->n_fields; i++)
        if (kinds[i] != CSV_IGNORE)
            s->columns[s->n_columns++] =
                (csv_column){.field = i, .kind = kinds[i], .declared = kinds[i] != CSV_UNKNOWN};
    if (s->n_columns == 0)
        return bytes_fail(
            err, LATHE_E_INVALID, c->path, 0,
            "no column is left to read: \"columns\" is empty, or \"types\" ignores all");
    return LATHE_OK;
}

/* ---- values ---------------------------------------------------------------------------------------- */

static int32_t fail_value(const csv_stream *s, const csv_column *c, const csv_field *f, int found,
                          lathe_error *err) {
    static const char *const expected[] = {
        "a number such as -12.5 or 3e8", "an integer such as -12", "", "",
        "a date or time in ISO 8601, such as 2024-05-31 or 2024-05-31T10:20:30Z"};
    const char *name = s->names[c->field];
    int shown = f->length < 60 ? f->length : 60;
    if (found == CSV_OUT_OF_RANGE)
        return bytes_fail(
            err, LATHE_E_DATA, s->config->path, s->reader.record_line,
            "column '%.80s' holds '%.*s', which is beyond the range of %s; correct it, or "
            "declare the column a category in \"types\"",
            name, shown, f->text, c->kind == CSV_INTEGER ? "a 64-bit integer" : "a 64-bit float");
    return bytes_fail(
        err, LATHE_E_DATA, s->config->path, s->reader.record_line,
        "column '%.80s' holds '%.*s'; expected %s. Correct it, add it to \"missing\", or "
        "declare another type in \"types\"",
        name, shown, f->text, expected[c->kind]);
}

static int32_t fail_ragged(const csv_stream *s, lathe_error *err) {
    return bytes_fail(err, LATHE_E_DATA, s->config->path, s->reader.record_line,
                      "expected %lld fields, found %lld (delimiter %s%c%s)", (long long)s->n_fields,
                      (long long)s->reader.n_fields, s->reader.delimiter == '\t' ? "tab" : "'",
                      s->reader.delimiter == '\t' ? ' ' : s->reader.delimiter,
                      s->reader.delimiter == '\t' ? "" : "'");
}

/* Does the field fit the column's declared kind? */
static int fits(const csv_stream *s, const csv_column *c, const csv_field *f) {
    double number;
    int64_t integer;
    switch (c->kind) {
    case CSV_NUMBER:
        return csv_parse_number(f->text, f->length, s->c_locale, &number);
    case CSV_INTEGER:
        return csv_parse_integer(f->text, f->length, &integer);
    case CSV_TIMESTAMP:
        return csv_parse_timestamp(f->text, f->length, &integer);
    default:
        return CSV_YES;
    }
}

/* The next record with the right number of fields; bad ones are skipped where that is allowed. */
static int32_t next_record(csv_stream *s, int32_t *got, lathe_error *err) {
    for (;;) {
        int32_t rc = csv_reader_next(&s->reader, got, err);
        if (rc == LATHE_OK && *got && s->reader.n_fields != s->n_fields) {
            rc = fail_ragged(s, err);
            s->reader.recoverable = 1;
        }
        if (rc == LATHE_OK)
            return rc;
        if (s->config->on_error != ON_ERROR_SKIP || !s->reader.recoverable)
            return rc;
        s->skipped++;
    }
}

/* ---- first pass ------------------------------------------------------------------------------------ */

/* Looks at one record: a value that its column's declared type refuses makes *bad, else the undeclared kinds are
 * refined. */
static int32_t look_at_record(csv_stream *s, int *bad, lathe_error *err) {
    *bad = 0;
    for (int64_t i = 0; i < s->n_columns; i++) {
        csv_column *c = &s->columns[i];
        const csv_field *f = &s->reader.fields[c->field];
        int found;
        if (!c->declared || csv_is_missing(&s->missing, f) || (found = fits(s, c, f)) == CSV_YES)
            continue;
        *bad = 1;
        return s->config->on_error == ON_ERROR_SKIP ? LATHE_OK : fail_value(s, c, f, found, err);
    }
    for (int64_t i = 0; i < s->n_columns; i++) {
        csv_column *c = &s->columns[i];
        const csv_field *f = &s->reader.fields[c->field];
        int out_of_range = 0;
        if (c->declared || c->kind == CSV_CATEGORY || csv_is_missing(&s->missing, f))
            continue;
        c->kind = csv_refine_kind(c->kind, f, s->c_locale, &out_of_range);
        if (out_of_range && c->range_line == 0)
            c->range_line = s->reader.record_line;
    }
    return LATHE_OK;
}

/* Passes over the first `skip` records below the header. */
static int32_t skip_records(csv_stream *s, lathe_error *err) {
    int32_t got = 1, rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && got && i < s->config->skip; i++) {
        rc = next_record(s, &got, err);
        if ((i & 65535) == 65535 && s->host->stopped(s->host))
            return bytes_fail(err, LATHE_E_CANCELLED, s->config->path, 0, "stopped while reading");
    }
    return rc;
}

static int32_t detect_types(csv_stream *s, lathe_error *err) {
    int64_t limit = s->config->limit == LATHE_INT_NULL ? INT64_MAX : s->config->limit, rows = 0;
    int32_t got = 1, rc = skip_records(s, err);
    if (rc != LATHE_OK)
        return rc;
    while (rows < limit) {
        int bad;
        rc = next_record(s, &got, err);
        if (rc != LATHE_OK)
            return rc;
        if (!got)
            break;
        rc = look_at_record(s, &bad, err);
        if (rc != LATHE_OK)
            return rc;
        rows += !bad;
        if ((rows & 65535) == 0 && s->host->stopped(s->host))
            return bytes_fail(err, LATHE_E_CANCELLED, s->config->path, 0, "stopped while reading");
    }
    if (rows == 0)
        return bytes_fail(err, LATHE_E_DATA, s->config->path, 0,
                          s->config->skip > 0 ? "no row is left after skipping %lld"
                          : s->skipped > 0 ? "all %lld lines below the header are bad; none is left"
                                           : "the file has a header and no rows below it",
                          (long long)(s->config->skip > 0 ? s->config->skip : s->skipped));
    for (int64_t i = 0; i < s->n_columns; i++) {
        csv_column *c = &s->columns[i];
        if (c->kind == CSV_UNKNOWN)
            c->kind = CSV_NUMBER;
        if (c->kind == CSV_NUMBER && c->range_line > 0 && s->config->on_error == ON_ERROR_FAIL)
            return bytes_fail(
                err, LATHE_E_DATA, s->config->path, c->range_line,
                "column '%.80s' holds a number beyond the range of a 64-bit float "
                "(1.8e308); correct it, or declare the column a category in \"types\"",
                s->names[c->field]);
    }
    return LATHE_OK;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static int32_t read_header(csv_stream *s, lathe_error *err) {
    const csv_config *c = s->config;
    int32_t got, rc;
    s->reader.quote = c->quote != NULL ? c->quote[0] : 0;
    s->reader.trim = c->trim;
    s->reader.delimiter =
        c->delimiter != NULL
            ? c->delimiter[0]
            : csv_detect_delimiter(s->reader.window + s->reader.begin,
                                   s->reader.end - s->reader.begin, s->reader.quote);
    rc = csv_reader_next(&s->reader, &got, err);
    if (rc != LATHE_OK)
        return rc;
    if (!got)
        return bytes_fail(err, LATHE_E_DATA, c->path, 0, "the file has nothing but blank lines");
    s->has_header = c->header.type == LATHE_SCALAR_BOOL
                        ? c->header.boolean
                        : csv_looks_like_header(s->reader.fields, s->reader.n_fields, s->c_locale);
    return take_names(s, err);
}

/* Back to the first row. */
static int32_t go_to_rows(csv_stream *s, lathe_error *err) {
    int32_t got, rc = csv_reader_rewind(&s->reader, err);
    if (rc == LATHE_OK && s->has_header)
        rc = csv_reader_next(&s->reader, &got, err);
    return rc;
}

static int all_declared(const csv_stream *s) {
    for (int64_t i = 0; i < s->n_columns; i++)
        if (!s->columns[i].declared)
            return 0;
    return 1;
}

static void make_schema(csv_stream *s) {
    static const int32_t types[] = {LATHE_COLUMN_FLOAT64, LATHE_COLUMN_INT64, LATHE_COLUMN_CATEGORY,
                                    LATHE_COLUMN_STRING, LATHE_COLUMN_TIMESTAMP};
    for (int64_t i = 0; i < s->n_columns; i++)
        s->out[i] = (lathe_column){.name = s->names[s->columns[i].field],
                                   .type = types[s->columns[i].kind]};
    s->schema = (lathe_table){0, s->n_columns, s->out};
    snprintf(s->note, sizeof s->note, "delimiter %s%.1s%s, %s%s",
             s->reader.delimiter == '\t' ? "tab" : "'",
             s->reader.delimiter == '\t' ? "" : &s->reader.delimiter,
             s->reader.delimiter == '\t' ? "" : "'",
             s->has_header ? "header line" : "no header line", s->reader.file.gzip ? ", gzip" : "");
}

static void csv_close(void *stream) {
    csv_stream *s = stream;
    if (s == NULL)
        return;
    csv_reader_close(&s->reader);
    for (int64_t i = 0; i < s->n_columns; i++) {
        s->host->free(s->host, s->columns[i].values);
        csv_dict_free(&s->columns[i].dict, s->host);
    }
    s->host->free(s->host, s->columns);
    s->host->free(s->host, s->out);
    csv_arena_free(&s->texts, s->host);
    csv_arena_free(&s->block, s->host);
    if (s->c_locale != (locale_t)0)
        freelocale(s->c_locale);
    s->host->free(s->host, s);
}

static int32_t csv_open(void *self, void **stream, lathe_error *err) {
    const csv_source *source = self;
    csv_stream *s = source->host->alloc(source->host, sizeof *s);
    int32_t rc;
    *stream = NULL;
    if (s == NULL)
        return bytes_no_memory(err, source->config->path);
    s->host = source->host;
    s->config = source->config;
    s->reader.file.fd = -1;
    csv_missing_init(&s->missing, &s->config->missing);
    s->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (s->c_locale == (locale_t)0) {
        rc = bytes_no_memory(err, s->config->path);
        goto fail;
    }
    if ((rc = csv_reader_open(&s->reader, s->host, s->config->path, err)) != LATHE_OK ||
        (rc = read_header(s, err)) != LATHE_OK || (rc = choose_columns(s, err)) != LATHE_OK)
        goto fail;
    if (!all_declared(s)) {
        if ((rc = go_to_rows(s, err)) != LATHE_OK || (rc = detect_types(s, err)) != LATHE_OK)
            goto fail;
        s->skipped = 0; /* the second pass counts them again */
    }
    if ((rc = go_to_rows(s, err)) != LATHE_OK)
        goto fail;
    make_schema(s);
    *stream = s;
    return LATHE_OK;
fail:
    csv_close(s);
    return rc;
}

static int32_t csv_schema(void *stream, const lathe_table **schema, lathe_error *err) {
    (void)err;
    *schema = &((csv_stream *)stream)->schema;
    return LATHE_OK;
}

/* ---- second pass ----------------------------------------------------------------------------------- */

/* Rows a block may hold: bounded by bytes, so that a table of 100 000 columns needs no gigabytes. */
static int32_t make_room(csv_stream *s, int64_t max_rows, int64_t *rows, lathe_error *err) {
    int64_t most = BLOCK_BYTES / 16 / s->n_columns;
    *rows = max_rows < BLOCK_ROWS ? max_rows : BLOCK_ROWS;
    *rows = *rows < most ? *rows : most > 0 ? most : 1;
    if (*rows <= s->rows_capacity)
        return LATHE_OK;
    for (int64_t i = 0; i < s->n_columns; i++) {
        s->host->free(s->host, s->columns[i].values);
        int64_t size = lathe_value_size(s->out[i].type);
        s->columns[i].values = s->host->alloc(s->host, (uint64_t)(*rows * size));
        if (s->columns[i].values == NULL) {
            s->rows_capacity = 0;
            return bytes_no_memory(err, s->config->path);
        }
        s->out[i].values = s->columns[i].values;
    }
    s->rows_capacity = *rows;
    return LATHE_OK;
}

static int put_value(csv_stream *s, csv_column *c, const csv_field *f, int64_t row) {
    switch (c->kind) {
    case CSV_NUMBER:
        return csv_parse_number(f->text, f->length, s->c_locale, (double *)c->values + row);
    case CSV_INTEGER:
        return csv_parse_integer(f->text, f->length, (int64_t *)c->values + row);
    case CSV_TIMESTAMP:
        return csv_parse_timestamp(f->text, f->length, (int64_t *)c->values + row);
    case CSV_CATEGORY: {
        int32_t code = csv_dict_code(&c->dict, &s->texts, s->host, f->text, f->length);
        ((int32_t *)c->values)[row] = code;
        return code >= 0 ? CSV_YES : -1;
    }
    default: {
        char *copy = csv_arena_copy(&s->block, s->host, f->text, f->length);
        ((lathe_str *)c->values)[row] = (lathe_str){copy, f->length};
        return copy != NULL ? CSV_YES : -1;
    }
    }
}

static void put_missing(csv_column *c, int64_t row) {
    switch (c->kind) {
    case CSV_NUMBER:
        ((uint64_t *)c->values)[row] = 0x7FF8000000000000ull; /* NaN */
        break;
    case CSV_INTEGER:
    case CSV_TIMESTAMP:
        ((int64_t *)c->values)[row] = LATHE_MISSING_INT;
        break;
    case CSV_CATEGORY:
        ((int32_t *)c->values)[row] = LATHE_CODE_MISSING;
        break;
    default:
        ((lathe_str *)c->values)[row] = (lathe_str){NULL, 0};
    }
}

/* The current record as row `row`; *bad where it cannot be one and may be skipped. */
static int32_t put_record(csv_stream *s, int64_t row, int *bad, lathe_error *err) {
    *bad = 0;
    for (int64_t i = 0; i < s->n_columns; i++) {
        csv_column *c = &s->columns[i];
        const csv_field *f = &s->reader.fields[c->field];
        if (csv_is_missing(&s->missing, f)) {
            put_missing(c, row);
            continue;
        }
        int found = put_value(s, c, f, row);
        if (found == CSV_YES)
            continue;
        if (found < 0)
            return bytes_no_memory(err, s->config->path);
        *bad = 1;
        return s->config->on_error == ON_ERROR_SKIP ? LATHE_OK : fail_value(s, c, f, found, err);
    }
    return LATHE_OK;
}

static int32_t csv_next(void *stream, int64_t max_rows, lathe_table *block, lathe_error *err) {
    csv_stream *s = stream;
    int64_t room, n = 0;
    *block = (lathe_table){0, s->n_columns, s->out};
    if (max_rows < 1)
        return bytes_fail(err, LATHE_E_INVALID, s->config->path, 0,
                          "a block of %lld rows was asked for", (long long)max_rows);
    if (s->config->limit != LATHE_INT_NULL && s->config->limit - s->rows < max_rows)
        max_rows = s->config->limit - s->rows;
    if (max_rows == 0)
        return LATHE_OK;
    int32_t rc = make_room(s, max_rows, &room, err);
    if (rc != LATHE_OK)
        return rc;
    csv_arena_reset(&s->block, s->host);
    if (!s->began) {
        rc = skip_records(s, err);
        if (rc != LATHE_OK)
            return rc;
        s->began = 1;
    }
    while (n < room) {
        int32_t got;
        int bad;
        rc = next_record(s, &got, err);
        if (rc != LATHE_OK)
            return rc;
        if (!got)
            break;
        rc = put_record(s, n, &bad, err);
        if (rc != LATHE_OK)
            return rc;
        s->skipped += bad;
        n += !bad;
    }
    for (int64_t i = 0; i < s->n_columns; i++) {
        s->out[i].dict = s->columns[i].dict.values;
        s->out[i].dict_size = s->columns[i].dict.n;
    }
    s->rows += n;
    block->n_rows = n;
    return LATHE_OK;
}

static int32_t csv_note(void *stream, lathe_source_note *note) {
    csv_stream *s = stream;
    lathe_source_note full = {.struct_size = note->struct_size,
                              .bytes_read = s->reader.file.bytes_read,
                              .rows_read = s->rows,
                              .rows_skipped = s->skipped,
                              .text = s->note};
    size_t size = note->struct_size < sizeof full ? note->struct_size : sizeof full;
    memcpy(note, &full, size);
    return LATHE_OK;
}

/* ---- the plugin ------------------------------------------------------------------------------------ */

static int32_t refuse(lathe_error *err, const char *where, const char *message) {
    err->code = LATHE_E_INVALID;
    snprintf(err->where, sizeof err->where, "%s", where);
    snprintf(err->message, sizeof err->message, "%s", message);
    return err->code;
}

static int one_mark(const char *text) {
    return text[0] != '\0' && text[1] == '\0' && text[0] != '\n' && text[0] != '\r' &&
           (text[0] & 0x80) == 0;
}

static int32_t csv_check(const void *config, lathe_error *err) {
    const csv_config *c = config;
    if (c->delimiter != NULL && !one_mark(c->delimiter))
        return refuse(err, "delimiter", "expected one ASCII character, such as \",\" or \"\\t\"");
    if (c->quote != NULL && !one_mark(c->quote))
        return refuse(err, "quote", "expected one ASCII character, or null for none");
    if (c->quote != NULL && c->delimiter != NULL && c->quote[0] == c->delimiter[0])
        return refuse(err, "quote", "the quote is also the delimiter; they must differ");
    if (c->header.type != LATHE_SCALAR_BOOL &&
        (c->header.type != LATHE_SCALAR_STRING || strcmp(c->header.string, "auto") != 0))
        return refuse(err, "header", "expected true, false or \"auto\"");
    return LATHE_OK;
}

static int32_t csv_create(const lathe_host *host, const void *config, void **self,
                          lathe_error *err) {
    csv_source *s = host->alloc(host, sizeof *s);
    if (s == NULL)
        return bytes_no_memory(err, ((const csv_config *)config)->path);
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static void csv_destroy(void *self) {
    csv_source *s = self;
    s->host->free(s->host, s);
}

static const lathe_source csv_interface = {.struct_size = LATHE_SIZED(lathe_source),
                                           .open = csv_open,
                                           .schema = csv_schema,
                                           .next = csv_next,
                                           .note = csv_note,
                                           .close = csv_close};

static const lathe_descriptor csv_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.source.csv",
    .kind = LATHE_KIND_SOURCE,
    .name = "csv",
    .version = "1.0.0",
    .doc =
        "Comma-separated text, plain or gzip, with delimiter, header and types found or declared.",
    .license = "Apache-2.0",
    LATHE_PARAMS(csv_params, csv_config),
    .interface = &csv_interface,
    .check_config = csv_check,
    .create = csv_create,
    .destroy = csv_destroy,
};

LATHE_PLUGIN(&csv_descriptor)

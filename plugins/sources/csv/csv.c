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
#include "stream.h"

#define BLOCK_ROWS 65536
#define BLOCK_BYTES (64 << 20)

static const char *const type_choices[] = {"number",    "integer", "category", "text",
                                           "timestamp", "ignore",  NULL};
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
    return csv_stream_take_names(s, err);
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
        (rc = read_header(s, err)) != LATHE_OK ||
        (rc = csv_stream_choose_columns(s, err)) != LATHE_OK)
        goto fail;
    if (!all_declared(s)) {
        if ((rc = go_to_rows(s, err)) != LATHE_OK ||
            (rc = csv_stream_detect_types(s, err)) != LATHE_OK)
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
        return s->config->on_error == CSV_SKIP ? LATHE_OK
                                               : csv_stream_fail_value(s, c, f, found, err);
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
        rc = csv_stream_skip_records(s, err);
        if (rc != LATHE_OK)
            return rc;
        s->began = 1;
    }
    while (n < room) {
        int32_t got;
        int bad;
        rc = csv_stream_next_record(s, &got, err);
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

/* schema.c: the columns of a csv file: their names, which are read, and their types, found by a pass over all values.
 */
#include "stream.h"

#include <stdlib.h>

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
int32_t csv_stream_take_names(csv_stream *s, lathe_error *err) {
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
int32_t csv_stream_choose_columns(csv_stream *s, lathe_error *err) {
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

int32_t csv_stream_fail_value(const csv_stream *s, const csv_column *c, const csv_field *f,
                              int found, lathe_error *err) {
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
int32_t csv_stream_next_record(csv_stream *s, int32_t *got, lathe_error *err) {
    for (;;) {
        int32_t rc = csv_reader_next(&s->reader, got, err);
        if (rc == LATHE_OK && *got && s->reader.n_fields != s->n_fields) {
            rc = fail_ragged(s, err);
            s->reader.recoverable = 1;
        }
        if (rc == LATHE_OK)
            return rc;
        if (s->config->on_error != CSV_SKIP || !s->reader.recoverable)
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
        return s->config->on_error == CSV_SKIP ? LATHE_OK
                                               : csv_stream_fail_value(s, c, f, found, err);
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
int32_t csv_stream_skip_records(csv_stream *s, lathe_error *err) {
    int32_t got = 1, rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && got && i < s->config->skip; i++) {
        rc = csv_stream_next_record(s, &got, err);
        if ((i & 65535) == 65535 && s->host->stopped(s->host))
            return bytes_fail(err, LATHE_E_CANCELLED, s->config->path, 0, "stopped while reading");
    }
    return rc;
}

int32_t csv_stream_detect_types(csv_stream *s, lathe_error *err) {
    int64_t limit = s->config->limit == LATHE_INT_NULL ? INT64_MAX : s->config->limit, rows = 0;
    int32_t got = 1, rc = csv_stream_skip_records(s, err);
    if (rc != LATHE_OK)
        return rc;
    while (rows < limit) {
        int bad;
        rc = csv_stream_next_record(s, &got, err);
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
        if (c->kind == CSV_NUMBER && c->range_line > 0 && s->config->on_error == CSV_FAIL)
            return bytes_fail(
                err, LATHE_E_DATA, s->config->path, c->range_line,
                "column '%.80s' holds a number beyond the range of a 64-bit float "
                "(1.8e308); correct it, or declare the column a category in \"types\"",
                s->names[c->field]);
    }
    return LATHE_OK;
}

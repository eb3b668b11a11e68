/* detect.c: which byte separates the fields, whether the first record is a header, what a column's values are.
 *
 * Types are exact, not sampled: every value of the rows to be read is looked at before the first block. A column is
 * of integers where all values are, else of numbers where all are, else of timestamps where all are, else of
 * categories. An integer beyond int64 makes a column of numbers. A column without a value is one of numbers.
 */
#include "csv.h"

#define SAMPLE_RECORDS 100

void csv_missing_init(csv_missing *m, const lathe_list *markers) {
    memset(m, 0, sizeof *m);
    m->markers = markers->items;
    m->n = markers->count > 0 ? markers->count : 0;
    for (int64_t i = 0; i < m->n; i++)
        m->first[(uint8_t)m->markers[i][0]] = 1;
}

/* How many of the first records have as many fields as the first one; *n_fields: how many that are. */
static int64_t count_agreeing(const char *text, int64_t n, char delimiter, char quote,
                              int64_t *n_fields) {
    int64_t records = 0, agreeing = 0, fields = 1, length = 0;
    int in_quotes = 0, at_start = 1;
    *n_fields = 0;
    for (int64_t i = 0; i <= n && records < SAMPLE_RECORDS; i++) {
        char c = i < n ? text[i] : '\n';
        if (in_quotes && i < n) {
            in_quotes = c != quote; /* a doubled quote ends and begins again */
        } else if (c == '\n' || c == '\r') {
            if (length > 0) {
                *n_fields = records == 0 ? fields : *n_fields;
                agreeing += fields == *n_fields;
                records++;
            }
            fields = 1;
            length = 0;
            at_start = 1;
            continue;
        } else if (c == delimiter) {
            fields++;
            at_start = 1;
            length++;
            continue;
        } else if (c == quote && quote != 0 && (at_start || (i > 0 && text[i - 1] == quote))) {
            in_quotes = 1;
        }
        at_start = at_start && c == ' ';
        length++;
    }
    return agreeing;
}

char csv_detect_delimiter(const char *text, int64_t n, char quote) {
    static const char candidates[] = {',', ';', '\t', '|'};
    char best = ',';
    int64_t best_agreeing = 0, best_fields = 0;
    n = n < 262144 ? n : 262144;
    for (size_t i = 0; i < sizeof candidates; i++) {
        int64_t fields;
        int64_t agreeing = count_agreeing(text, n, candidates[i], quote, &fields);
        if (fields > 1 &&
            (agreeing > best_agreeing || (agreeing == best_agreeing && fields > best_fields))) {
            best = candidates[i];
            best_agreeing = agreeing;
            best_fields = fields;
        }
    }
    return best;
}

int csv_looks_like_header(const csv_field *fields, int64_t n, locale_t c_locale) {
    double number;
    int64_t time;
    for (int64_t i = 0; i < n; i++)
        if (csv_parse_number(fields[i].text, fields[i].length, c_locale, &number) != CSV_NO ||
            csv_parse_timestamp(fields[i].text, fields[i].length, &time) != CSV_NO)
            return 0;
    return 1;
}

int32_t csv_refine_kind(int32_t kind, const csv_field *f, locale_t c_locale, int *out_of_range) {
    int64_t integer;
    double number;
    int found;
    if (kind == CSV_CATEGORY)
        return kind;
    if (kind == CSV_INTEGER || kind == CSV_UNKNOWN) {
        if (csv_parse_integer(f->text, f->length, &integer) == CSV_YES)
            return CSV_INTEGER;
    }
    if (kind == CSV_INTEGER || kind == CSV_UNKNOWN || kind == CSV_NUMBER) {
        found = csv_parse_number(f->text, f->length, c_locale, &number);
        *out_of_range |= found == CSV_OUT_OF_RANGE;
        if (found != CSV_NO)
            return CSV_NUMBER;
    }
    if (kind == CSV_TIMESTAMP || kind == CSV_UNKNOWN) {
        if (csv_parse_timestamp(f->text, f->length, &integer) == CSV_YES)
            return CSV_TIMESTAMP;
    }
    return CSV_CATEGORY;
}

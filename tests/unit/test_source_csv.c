/* test_source_csv.c: what the csv source reads, what it finds out, and what it says about files that are broken. */
#include "plugin_fixture.h"

#include <math.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static fixture fx;
static char folder[64];
static char path[128];

static void setup(void) {
    fixture_open(&fx, 1);
    snprintf(folder, sizeof folder, "/tmp/lathe-csv-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/t.csv", folder);
}

static void teardown(void) {
    unlink(path);
    rmdir(folder);
    fixture_close(&fx);
}

/* ---- reading a whole file ---------------------------------------------------------------------------- */

static void write_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* One gzip member of text; returns its length. */
static size_t gzip_member(const void *text, size_t n, uint8_t *out, size_t capacity) {
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)capacity;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return capacity - z.avail_out;
}

typedef struct opened {
    lathe_instance instance;
    const lathe_source *source;
    void *stream;
} opened;

/* Opens `path` with more parameters (", \"trim\": false", or ""). */
static int32_t open_source(opened *o, const char *more, lathe_error *err) {
    char use[1024];
    snprintf(use, sizeof use, "{\"csv\": {\"path\": \"%s\"%s}}", path, more);
    memset(err, 0, sizeof *err);
    fixture_create(&fx, LATHE_KIND_SOURCE, use, LATHE_TASK_REGRESSION, &o->instance);
    o->source = o->instance.interface;
    o->stream = NULL;
    return o->source->open(o->instance.self, &o->stream, err);
}

static void close_source(opened *o) {
    if (o->stream != NULL)
        o->source->close(o->stream);
    lathe_instance_destroy(&o->instance);
}

static size_t put(char *out, size_t used, size_t capacity, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + used, capacity - used, format, args);
    va_end(args);
    ck_assert(n >= 0 && used + (size_t)n < capacity);
    return used + (size_t)n;
}

static size_t put_value(char *out, size_t used, size_t capacity, const lathe_column *c,
                        int64_t row) {
    if (lathe_is_missing(c, row))
        return put(out, used, capacity, "-");
    if (c->type == LATHE_COLUMN_FLOAT64)
        return put(out, used, capacity, "%.17g", ((const double *)c->values)[row]);
    if (c->type == LATHE_COLUMN_INT64 || c->type == LATHE_COLUMN_TIMESTAMP)
        return put(out, used, capacity, "%lld", (long long)((const int64_t *)c->values)[row]);
    lathe_str s = c->type == LATHE_COLUMN_STRING ? ((const lathe_str *)c->values)[row]
                                                 : c->dict[((const int32_t *)c->values)[row]];
    return put(out, used, capacity, "%.*s", (int)s.len, s.ptr);
}

/* The whole file as text: "name:type …" (f, i, t, c, s), then a line a row with | between the values. */
static void dump(const char *more, int64_t block_rows, char *out, size_t capacity) {
    static const char letters[] = "?fitcs";
    opened o;
    lathe_error err;
    const lathe_table *schema;
    lathe_table block;
    size_t used = 0;
    fixture_ok(open_source(&o, more, &err), &err, "open");
    fixture_ok(o.source->schema(o.stream, &schema, &err), &err, "schema");
    for (int64_t j = 0; j < schema->n_columns; j++)
        used = put(out, used, capacity, "%s%s:%c", j > 0 ? " " : "", schema->columns[j].name,
                   letters[schema->columns[j].type]);
    for (;;) {
        fixture_ok(o.source->next(o.stream, block_rows, &block, &err), &err, "next");
        if (block.n_rows == 0)
            break;
        ck_assert_int_le(block.n_rows, block_rows);
        for (int64_t i = 0; i < block.n_rows; i++) {
            used = put(out, used, capacity, "\n");
            for (int64_t j = 0; j < block.n_columns; j++) {
                used = put(out, used, capacity, "%s", j > 0 ? "|" : "");
                used = put_value(out, used, capacity, &block.columns[j], i);
            }
        }
    }
    close_source(&o);
}

static void expect_dump(const char *more, const char *expected) {
    static const int64_t blocks[] = {1, 2, 3, 1000};
    char out[8192];
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        dump(more, blocks[i], out, sizeof out);
        ck_assert_str_eq(out, expected);
    }
}

static void expect(const char *text, const char *more, const char *expected) {
    write_bytes(text, strlen(text));
    expect_dump(more, expected);
}

/* ---- good files -------------------------------------------------------------------------------------- */

START_TEST(types_are_found) {
    expect("i,f,t,c,x\n1,1,2024-05-31,a,\n-2,2.5,2024-05-31T10:00:00Z,b,NA\n", "",
           "i:i f:f t:t c:c x:f\n1|1|1717113600000000|a|-\n-2|2.5|1717149600000000|b|-");
    /* contradictions late in the file, in each direction */
    expect("a,b,c,d\n1,1,2024-01-01,2024-01-01\n2,x,5,2024-01-01\n3.5,3,2024-01-02,2024-13-01\n",
           "",
           "a:f b:c c:c "
           "d:c\n1|1|2024-01-01|2024-01-01\n2|x|5|2024-01-01\n3.5|3|2024-01-02|2024-13-01");
    /* beyond int64 a number; its smallest value stands for missing, so it is one too */
    expect("a,b,c\n9223372036854775807,9223372036854775808,-9223372036854775808\n", "",
           "a:i b:f c:f\n9223372036854775807|9.2233720368547758e+18|-9.2233720368547758e+18");
    expect("a\n007\n+5\n-0\n", "", "a:i\n7\n5\n0");
    expect("a\ninf\n1\n", "", "a:c\ninf\n1");
}
END_TEST

START_TEST(timestamps) {
    expect("t\n1970-01\n1969-12-31T23:59:59.5Z\n2000-02-29 "
           "12:30\n2024-01-01T00:00:00.123456789+02:00\n"
           "0001-01-01\n9999-12-31T23:59:59-0130\n",
           "",
           "t:t\n0\n-500000\n951827400000000\n1704060000123456\n-"
           "62135596800000000\n253402306199000000");
    /* one that is not in the calendar makes text of the column */
    expect("t\n2023-02-29\n2023-03-01\n", "", "t:c\n2023-02-29\n2023-03-01");
    expect("t\n2023-02-28T24:00\n", "", "t:c\n2023-02-28T24:00");
    expect("t\n2023-02-28T10:61\n", "", "t:c\n2023-02-28T10:61");
    expect("t\n2023-02-28T10:00+\n", "", "t:c\n2023-02-28T10:00+");
    expect("t\n2023-02-28T\n", "", "t:c\n2023-02-28T");
}
END_TEST

START_TEST(quotes) {
    expect("a,b\n\"x, y\",1\n\"say \"\"hi\"\"\",2\n\"two\nlines\",3\n\"\"\"\",4\n", "",
           "a:c b:i\nx, y|1\nsay \"hi\"|2\ntwo\nlines|3\n\"|4");
    expect("a,b\n5\" pipe,1\nx\"\"y,2\n", "", "a:c b:i\n5\" pipe|1\nx\"\"y|2");
    expect("a,b\n \"x\" ,1\n\" y \",2\n", "", "a:c b:i\nx|1\n y |2");
    expect("a;b\n'x;1';2\n", ",\"quote\":\"'\"", "a:c b:i\nx;1|2");
    expect("a,b\n\"x,2\n", ",\"quote\":null", "a:c b:i\n\"x|2");
    expect("a,b\n\"\",\"\"\n\"NA\",1\n", "", "a:f b:i\n-|-\n-|1");
    expect("a\n\"\r\n\"\n\"\r\"\n", "", "a:c\n\r\n\n\r");
}
END_TEST

START_TEST(line_ends_and_marks) {
    expect("\xEF\xBB\xBF"
           "a,b\r\n1,2\r\n3,4\r\n",
           "", "a:i b:i\n1|2\n3|4");
    expect("a,b\r1,2\r3,4", "", "a:i b:i\n1|2\n3|4");
    expect("a,b\n1,2\n3,4", "", "a:i b:i\n1|2\n3|4");
    expect("\n\na,b\n\n1,2\n  \n\r\n3,4\n\n", "", "a:i b:i\n1|2\n3|4");
    expect("a,b\n1,", "", "a:i b:f\n1|-");
    expect("a,b\n1,\"x\"", "", "a:i b:c\n1|x");
    expect("x\xC3\xA9,b\n\xE2\x82\xAC,\xF0\x9F\x98\x80\n", "",
           "x\xC3\xA9:c b:c\n\xE2\x82\xAC|\xF0\x9F\x98\x80");
}
END_TEST

START_TEST(delimiters) {
    expect("a;b\n1,5;2\n2,5;3\n", "", "a:c b:i\n1,5|2\n2,5|3");
    expect("a\tb\n1\t\n2\tx y\n", "", "a:i b:c\n1|-\n2|x y");
    expect("a|b\n1|2\n", "", "a:i b:i\n1|2");
    expect("a,b;c,d\n1,2;3,4\n", "", "a:i b;c:c d:i\n1|2;3|4");
    expect("\"a;b;c\",d\n\"x;y;z\",1\n", "", "a;b;c:c d:i\nx;y;z|1");
    expect("one\n1\n2\n", "", "one:i\n1\n2");
    expect("a b\n1 2\n", ",\"delimiter\":\" \",\"trim\":false", "a:i b:i\n1|2");
    expect("a:b\n1:2\n", ",\"delimiter\":\":\"", "a:i b:i\n1|2");
}
END_TEST

START_TEST(headers_and_columns) {
    expect("1,x\n2,y\n", "", "column_1:i column_2:c\n1|x\n2|y");
    expect("x,y\nz,w\n", ",\"header\":false", "column_1:c column_2:c\nx|y\nz|w");
    expect("2010,2011\n1,2\n", ",\"header\":true", "2010:i 2011:i\n1|2");
    expect(",a\n0,5\n", ",\"names\":[\"id\",\"v\"]", "id:i v:i\n0|5");
    expect("a,b,c\n1,2,3\n", ",\"columns\":[\"c\",\"a\"]", "a:i c:i\n1|3");
    expect("a,b,c\n1,2,x\n", ",\"types\":{\"a\":\"category\",\"b\":\"ignore\",\"c\":\"text\"}",
           "a:c c:s\n1|x");
    expect("a,b\n1,2\n3,4\n5,6\n", ",\"limit\":2", "a:i b:i\n1|2\n3|4");
    expect("a,b\n1,x\n3,4\n5,6\n7,8\n", ",\"skip\":1,\"limit\":2", "a:i b:i\n3|4\n5|6");
    expect("a,b\n1,2\n3,4\n", ",\"skip\":1,\"types\":{\"a\":\"text\",\"b\":\"number\"}",
           "a:s b:f\n3|4");
    expect("a,b\n1,2\n3,oops\n", ",\"limit\":1", "a:i b:i\n1|2");
    expect("a,b\n1,007\n", ",\"types\":{\"a\":\"number\",\"b\":\"category\"}", "a:f b:c\n1|007");
    expect("t,s\n2024-01-01,\n2024-01-02,z\n", ",\"types\":{\"t\":\"timestamp\",\"s\":\"text\"}",
           "t:t s:s\n1704067200000000|-\n1704153600000000|z");
}
END_TEST

START_TEST(missing_markers) {
    expect("a,b\n?,NA\n1,x\n", ",\"missing\":[\"?\"]", "a:i b:c\n-|NA\n1|x");
    expect("a,b\n ? ,\n1,x\n", ",\"missing\":[\"?\"]", "a:i b:c\n-|-\n1|x");
    expect("a\n1\nnan\nNULL\nn/a\n", "", "a:c\n1\n-\n-\nn/a");
    expect("a,b\n-999,1\n2,2\n", ",\"missing\":[\"-999\"]", "a:i b:i\n-|1\n2|2");
}
END_TEST

START_TEST(bad_lines_are_skipped) {
    char out[256];
    lathe_error err;
    opened o;
    const char *text = "a,b\n1,2\n3\n4,5,6\n\"x\"y,7\n8,\xFF\n9,10\n11,1e999\n";
    write_bytes(text, strlen(text));
    dump(",\"on_error\":\"skip\"", 2, out, sizeof out);
    ck_assert_str_eq(out, "a:i b:f\n1|2\n9|10");
    fixture_ok(open_source(&o,
                           ",\"on_error\":\"skip\",\"types\":{\"a\":\"integer\",\"b\":\"integer\"}",
                           &err),
               &err, "open");
    lathe_table block;
    fixture_ok(o.source->next(o.stream, 100, &block, &err), &err, "next");
    ck_assert_int_eq(block.n_rows, 2);
    lathe_source_note note = {.struct_size = LATHE_SIZED(lathe_source_note)};
    ck_assert_int_eq(o.source->note(o.stream, &note), LATHE_OK);
    ck_assert_int_eq(note.rows_read, 2);
    ck_assert_int_eq(note.rows_skipped, 5);
    ck_assert_int_eq(note.bytes_read, (int64_t)strlen(text));
    ck_assert_str_eq(note.text, "delimiter ',', header line");
    close_source(&o);
}
END_TEST

START_TEST(gzip) {
    uint8_t packed[1024];
    size_t n = gzip_member("a,b\n1,x\n2", 9, packed, sizeof packed);
    n += gzip_member("3,y\n4,z\n", 8, packed + n, sizeof packed - n);
    write_bytes(packed, n);
    expect_dump("", "a:i b:c\n1|x\n23|y\n4|z");
    memset(packed + n, 0, 100); /* padding, as tar leaves it */
    write_bytes(packed, n + 100);
    expect_dump("", "a:i b:c\n1|x\n23|y\n4|z");
}
END_TEST

/* Records of all lengths across the window's edge: 3 MB, and one field of 2 MB. */
START_TEST(large_records) {
    size_t n = 0, capacity = 6 << 20;
    char *text = malloc(capacity), expected[64];
    lathe_error err;
    opened o;
    lathe_table block;
    int64_t rows = 0, sum = 0;
    ck_assert_ptr_nonnull(text);
    n += (size_t)sprintf(text + n, "i,s\n");
    for (int i = 0; i < 60000; i++)
        n += (size_t)sprintf(
            text + n, i % 3 ? "%d,\"%.*s\"\r\n" : "%d,%.*s\r\n", i, i % 97,
            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
            "abcdefghijklmnopqrstuvwxyz");
    n += (size_t)sprintf(text + n, "60000,\"");
    for (int i = 0; i < 1 << 20; i++, n += 2)
        memcpy(text + n, i % 1000 ? "\"\"" : "\n\n", 2);
    n += (size_t)sprintf(text + n, "\"\n60001,end\n");
    write_bytes(text, n);
    free(text);
    fixture_ok(open_source(&o, ",\"types\":{\"s\":\"text\"}", &err), &err, "open");
    for (;;) {
        fixture_ok(o.source->next(o.stream, 7777, &block, &err), &err, "next");
        if (block.n_rows == 0)
            break;
        for (int64_t i = 0; i < block.n_rows; i++, rows++) {
            lathe_str s = ((const lathe_str *)block.columns[1].values)[i];
            ck_assert_int_eq(((const int64_t *)block.columns[0].values)[i], rows);
            if (rows < 60000)
                ck_assert_int_eq(s.len, rows % 97);
            sum += s.len;
        }
    }
    snprintf(expected, sizeof expected, "%lld", (long long)rows);
    ck_assert_str_eq(expected, "60002");
    ck_assert_int_gt(sum, 1 << 20);
    close_source(&o);
}
END_TEST

/* Decimal to binary against strtod, in a locale that writes 1,5. */
START_TEST(numbers_are_correctly_rounded) {
    enum { N = 20000 };
    static char text[N * 41 + 8];
    static char cells[N][40];
    uint64_t state = 88172645463325252ull;
    size_t n = (size_t)sprintf(text, "x\n");
    opened o;
    lathe_error err;
    lathe_table block;
    int64_t row = 0;
    for (int i = 0; i < N; i++) {
        double v;
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        memcpy(&v, &state, 8);
        if (!isfinite(v) || i % 5 == 1)
            v = (double)(int64_t)(state >> 20) / 1e6;
        snprintf(cells[i], sizeof cells[i],
                 i % 5 == 2   ? "%.8f"
                 : i % 5 == 3 ? "%.6g"
                              : "%.17g",
                 i % 5 == 2 ? fmod(v, 1000) : v);
        n += (size_t)sprintf(text + n, "%.39s\n", cells[i]);
    }
    write_bytes(text, n);
    fixture_ok(open_source(&o, "", &err), &err, "open");
    for (;;) {
        fixture_ok(o.source->next(o.stream, 4096, &block, &err), &err, "next");
        if (block.n_rows == 0)
            break;
        for (int64_t i = 0; i < block.n_rows; i++, row++) {
            double expected = strtod(cells[row], NULL),
                   v = ((const double *)block.columns[0].values)[i];
            ck_assert_msg(memcmp(&v, &expected, 8) == 0, "%s: %a, expected %a", cells[row], v,
                          expected);
        }
    }
    ck_assert_int_eq(row, N);
    close_source(&o);
}
END_TEST

/* Parallel streams of one instance do not know of each other. */
START_TEST(two_streams) {
    opened o;
    lathe_error err;
    lathe_table a, b;
    void *second = NULL;
    write_bytes("x\np\nq\n", 6);
    fixture_ok(open_source(&o, "", &err), &err, "open");
    fixture_ok(o.source->open(o.instance.self, &second, &err), &err, "open again");
    fixture_ok(o.source->next(o.stream, 1, &a, &err), &err, "next");
    fixture_ok(o.source->next(second, 2, &b, &err), &err, "next");
    ck_assert_int_eq(a.n_rows, 1);
    ck_assert_int_eq(b.n_rows, 2);
    ck_assert_int_eq(b.columns[0].dict_size, 2);
    o.source->close(second);
    close_source(&o);
}
END_TEST

/* ---- broken files ------------------------------------------------------------------------------------ */

typedef struct broken {
    const char *bytes;
    int32_t length; /* 0: strlen */
    int32_t code;
    const char *more;    /* parameters */
    const char *where;   /* "t.csv:LINE" */
    const char *message; /* part of it */
} broken;

static const broken broken_files[] = {
    {"\n\n  \n", 0, LATHE_E_DATA, "", "t.csv", "blank lines"},
    {"\xEF\xBB\xBF", 0, LATHE_E_DATA, "", "t.csv", "blank lines"},
    {"a,b\n", 0, LATHE_E_DATA, "", "t.csv", "no rows"},
    {"a,b", 0, LATHE_E_DATA, "", "t.csv", "no rows"},
    {"a\n1\n", 0, LATHE_E_DATA, ",\"skip\":1", "t.csv", "no row is left after skipping 1"},
    {"a,b\n1,2\n3\n", 0, LATHE_E_DATA, "", "t.csv:3", "expected 2 fields, found 1"},
    {"a,b\n1,2\n3,4,5\n", 0, LATHE_E_DATA, "", "t.csv:3",
     "expected 2 fields, found 3 (delimiter ',')"},
    {"a\tb\n1\t2\t\n", 0, LATHE_E_DATA, ",\"delimiter\":\"\\t\"", "t.csv:2", "(delimiter tab )"},
    {"a,b\n\"x\n\ny\",2\n3\n", 0, LATHE_E_DATA, "", "t.csv:5", "expected 2 fields, found 1"},
    {"a,b\n1,\"x\n2,y\n", 0, LATHE_E_DATA, "", "t.csv:2",
     "quote opened at column 3 is never closed"},
    {"a,b\n\"x\n\ny\",\"z", 0, LATHE_E_DATA, "", "t.csv:4",
     "quote opened at column 4 is never closed"},
    {"a,b\n\"x\"y,2\n", 0, LATHE_E_DATA, "", "t.csv:2", "text at column 4 follows a closing quote"},
    {"a,b\n1,\"p\nq\" r\n", 0, LATHE_E_DATA, "", "t.csv:3", "text at column 4 follows"},
    {"a,b\n1,x\0y\n", 10, LATHE_E_DATA, "", "t.csv:2", "NUL byte at column 4"},
    {"a,b\n1,caf\xE9\n", 0, LATHE_E_DATA, "", "t.csv:2", "byte 0xE9 at column 6 is not UTF-8"},
    {"a,b\n1,\"x\ny\xC3(\"\n", 0, LATHE_E_DATA, "", "t.csv:3", "byte 0xC3 at column 2"},
    {"a,b\n1,\xED\xA0\x80\n", 0, LATHE_E_DATA, "", "t.csv:2", "byte 0xED at column 3"},
    {"a,b\n1,\xC0\xAF\n", 0, LATHE_E_DATA, "", "t.csv:2", "byte 0xC0 at column 3"},
    {"a,b\n1,\xF0\x9F\x98", 0, LATHE_E_DATA, "", "t.csv:2", "byte 0xF0 at column 3"},
    {"\xFF\xFE"
     "a\0,\0b\0",
     8, LATHE_E_DATA, "", "t.csv:1", "UTF-16"},
    {"a,b,a\n1,2,3\n", 0, LATHE_E_DATA, "", "t.csv:1", "columns 1 and 3 are both called 'a'"},
    {"a,,c\n1,2,3\n", 0, LATHE_E_DATA, "", "t.csv:1", "column 2 of 3 has no name"},
    {"a,\"b\tc\"\n1,2\n", 0, LATHE_E_DATA, "", "t.csv:1",
     "column 2 holds the control character 0x09"},
    {"a,b,\n1,2,\n", 0, LATHE_E_DATA, "", "t.csv:1", "column 3 of 3 has no name"},
    {"a,b\n1,1e999\n", 0, LATHE_E_DATA, "", "t.csv:2",
     "column 'b' holds a number beyond the range"},
    {"a,b\n1,2\n2,1e999\n", 0, LATHE_E_DATA, ",\"types\":{\"b\":\"number\"}", "t.csv:3", "'1e999'"},
    {"a,b\n1,x\n", 0, LATHE_E_DATA, ",\"types\":{\"b\":\"number\"}", "t.csv:2",
     "column 'b' holds 'x'; expected a number"},
    {"a,b\n1,nil\n", 0, LATHE_E_DATA, ",\"types\":{\"a\":\"integer\",\"b\":\"number\"}", "t.csv:2",
     "column 'b' holds 'nil'"},
    {"a\n1.5\n", 0, LATHE_E_DATA, ",\"types\":{\"a\":\"integer\"}", "t.csv:2",
     "expected an integer"},
    {"a\n99999999999999999999\n", 0, LATHE_E_DATA, ",\"types\":{\"a\":\"integer\"}", "t.csv:2",
     "beyond the range of a 64-bit integer"},
    {"t\n31.12.2024\n", 0, LATHE_E_DATA, ",\"types\":{\"t\":\"timestamp\"}", "t.csv:2", "ISO 8601"},
    {"a,b\n1,2\n", 0, LATHE_E_NOT_FOUND, ",\"columns\":[\"c\"]", "t.csv",
     "'c', which the file does not have"},
    {"a,b\n1,2\n", 0, LATHE_E_NOT_FOUND, ",\"types\":{\"z\":\"number\"}", "t.csv", "it has a, b"},
    {"a,b\n1,2\n", 0, LATHE_E_INVALID, ",\"names\":[\"x\"]", "t.csv:1",
     "gives 1 names, the file has 2"},
    {"a,b\n1,2\n", 0, LATHE_E_DATA, ",\"names\":[\"x\",\"x\"]", "t.csv", "both called 'x'"},
    {"a\n1\n", 0, LATHE_E_INVALID, ",\"types\":{\"a\":\"ignore\"}", "t.csv", "no column is left"},
    {"a,b\n1\n2\n", 0, LATHE_E_DATA, ",\"on_error\":\"skip\"", "t.csv",
     "all 2 lines below the header are bad"},
    {"a,b\n1,\"x\n", 0, LATHE_E_DATA, ",\"on_error\":\"skip\"", "t.csv:2", "never closed"},
};

/* Told by the first bytes of the file itself: not the same through gzip. */
static const broken broken_formats[] = {
    {"", 0, LATHE_E_DATA, "", "t.csv", "empty (0 bytes)"},
    {"PK\x03\x04 zip", 0, LATHE_E_DATA, "", "t.csv", "zip archive"},
    {"BZh91AY", 0, LATHE_E_DATA, "", "t.csv", "bzip2"},
    {"\xFD"
     "7zXZ\0..",
     8, LATHE_E_DATA, "", "t.csv", "xz"},
    {"\x28\xB5\x2F\xFD....", 0, LATHE_E_DATA, "", "t.csv", "zstd"},
    {"PAR1....", 0, LATHE_E_DATA, "", "t.csv", "Parquet"},
    {"SQLite format 3", 16, LATHE_E_DATA, "", "t.csv", "SQLite"},
    {"\x1F\x8B", 0, LATHE_E_CORRUPT, "", "t.csv", "cut short"},
    {"\x1F\x8B\x07nonsense", 0, LATHE_E_CORRUPT, "", "t.csv", "damaged near byte"},
};

/* Opens, and reads to the end where that works; the error of either. */
static int32_t read_all(const char *more, lathe_error *err) {
    opened o;
    lathe_table block;
    int32_t rc = open_source(&o, more, err);
    while (rc == LATHE_OK) {
        rc = o.source->next(o.stream, 2, &block, err);
        if (block.n_rows == 0)
            break;
    }
    close_source(&o);
    return rc;
}

static void check_error(int32_t rc, const lathe_error *err, const broken *b, int index) {
    ck_assert_msg(rc == b->code && err->code == b->code, "file %d: code %d, expected %d: %s", index,
                  rc, b->code, err->message);
    ck_assert_msg(strcmp(err->where, b->where) == 0, "file %d: where is %s, expected %s: %s", index,
                  err->where, b->where, err->message);
    ck_assert_msg(strstr(err->message, b->message) != NULL, "file %d: \"%s\" lacks \"%s\"", index,
                  err->message, b->message);
}

static size_t write_broken(const broken *b) {
    size_t n = b->length > 0 ? (size_t)b->length : strlen(b->bytes);
    write_bytes(b->bytes, n);
    return n;
}

START_TEST(broken_files_are_explained) {
    const broken *b = &broken_files[_i];
    uint8_t packed[4096];
    lathe_error err;
    size_t n = write_broken(b);
    check_error(read_all(b->more, &err), &err, b, _i);
    write_bytes(packed, gzip_member(b->bytes, n, packed, sizeof packed));
    check_error(read_all(b->more, &err), &err, b, _i);
}
END_TEST

START_TEST(broken_formats_are_named) {
    lathe_error err;
    write_broken(&broken_formats[_i]);
    check_error(read_all("", &err), &err, &broken_formats[_i], _i);
}
END_TEST

START_TEST(paths_that_are_no_files) {
    lathe_error err;
    char kept[128];
    snprintf(kept, sizeof kept, "%s", path);
    ck_assert_int_eq(read_all("", &err), LATHE_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "No such file"));
    snprintf(path, sizeof path, "%s", folder);
    ck_assert_int_eq(read_all("", &err), LATHE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "is a folder"));
    snprintf(path, sizeof path, "/dev/null");
    ck_assert_int_eq(read_all("", &err), LATHE_E_IO);
    ck_assert_ptr_nonnull(strstr(err.message, "not a regular file"));
    snprintf(path, sizeof path, "%s", kept);
    write_bytes("a\n1\n", 4);
    ck_assert_int_eq(chmod(path, 0), 0);
    if (access(path, R_OK) != 0) { /* root may read anything */
        ck_assert_int_eq(read_all("", &err), LATHE_E_IO);
        ck_assert_ptr_nonnull(strstr(err.message, "Permission denied"));
    }
}
END_TEST

/* Every truncation and many flipped bits of a gzip file: an error or the same text, never something else. */
START_TEST(damaged_gzip) {
    char text[4096], whole[8192];
    uint8_t packed[4096], copy[4096];
    size_t n = (size_t)sprintf(text, "a,b\n");
    lathe_error err;
    for (int i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, "%d,word%d\n", i * 7919 % 1000, i % 13);
    size_t size = gzip_member(text, n, packed, sizeof packed);
    write_bytes(packed, size);
    dump("", 64, whole, sizeof whole);
    for (size_t cut = 2; cut < size; cut += cut < 20 || cut + 20 > size ? 1 : 17) {
        write_bytes(packed, cut);
        ck_assert_int_eq(read_all("", &err), LATHE_E_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err.message, "cut short"));
    }
    for (size_t at = 10; at < size; at += 5) {
        memcpy(copy, packed, size);
        copy[at] ^= (uint8_t)(1 << (at % 8));
        write_bytes(copy, size);
        ck_assert_int_ne(read_all("", &err), LATHE_OK);
    }
    memcpy(copy, packed, size);
    memcpy(copy + size, "garbage", 7);
    write_bytes(copy, size + 7);
    ck_assert_int_eq(read_all("", &err), LATHE_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.message, "not gzip follows"));
}
END_TEST

START_TEST(too_long_and_too_wide) {
    size_t n = (17 << 20) + 10;
    char *text = malloc(n);
    lathe_error err;
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', n);
    memcpy(text, "a\n", 2);
    write_bytes(text, n);
    ck_assert_int_eq(read_all("", &err), LATHE_E_DATA);
    ck_assert_str_eq(err.where, "t.csv:2");
    ck_assert_ptr_nonnull(strstr(err.message, "longer than 16 MiB"));
    memcpy(text, "a\nb\n\"", 5);
    write_bytes(text, n);
    ck_assert_int_eq(read_all("", &err), LATHE_E_DATA);
    ck_assert_str_eq(err.where, "t.csv:3");
    ck_assert_ptr_nonnull(strstr(err.message, "not closed within 16 MiB"));
    memset(text, 'n', 1001);
    memcpy(text + 1001, "\n1\n", 3);
    write_bytes(text, 1004);
    ck_assert_int_eq(read_all("", &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "has 1001 bytes"));
    memset(text, ',', 100001);
    write_bytes(text, 100001);
    ck_assert_int_eq(read_all("", &err), LATHE_E_DATA);
    ck_assert_ptr_nonnull(strstr(err.message, "more than 100000 fields"));
    free(text);
}
END_TEST

START_TEST(wide_table) {
    size_t n = 0, capacity = 1 << 20;
    char *text = malloc(capacity);
    opened o;
    lathe_error err;
    lathe_table block;
    int64_t rows = 0;
    ck_assert_ptr_nonnull(text);
    for (int line = 0; line < 4; line++)
        for (int j = 0; j < 20000; j++)
            n += (size_t)sprintf(text + n, line == 0 ? "c%d%c" : "%d%c", j, j < 19999 ? ',' : '\n');
    write_bytes(text, n);
    free(text);
    fixture_ok(open_source(&o, "", &err), &err, "open");
    do {
        fixture_ok(o.source->next(o.stream, 1000, &block, &err), &err, "next");
        for (int64_t i = 0; i < block.n_rows; i++)
            ck_assert_int_eq(((const int64_t *)block.columns[19999].values)[i], 19999);
        rows += block.n_rows;
    } while (block.n_rows > 0);
    ck_assert_int_eq(rows, 3);
    close_source(&o);
}
END_TEST

START_TEST(parameters_that_cannot_be) {
    static const char *const refused[][2] = {
        {"{\"csv\": {}}", "path"},
        {"{\"csv\": {\"path\": \"x\", \"delimiter\": \";;\"}}", "one ASCII character"},
        {"{\"csv\": {\"path\": \"x\", \"delimiter\": \"\"}}", "one ASCII character"},
        {"{\"csv\": {\"path\": \"x\", \"quote\": \"\\n\"}}", "one ASCII character"},
        {"{\"csv\": {\"path\": \"x\", \"delimiter\": \"'\", \"quote\": \"'\"}}", "must differ"},
        {"{\"csv\": {\"path\": \"x\", \"header\": \"yes\"}}", "auto"},
        {"{\"csv\": {\"path\": \"x\", \"types\": {\"a\": \"float\"}}}", "float"},
        {"{\"csv\": {\"path\": \"x\", \"limit\": 0}}", "limit"},
        {"{\"csv\": {\"path\": \"x\", \"separator\": \";\"}}", "separator"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        fixture_refused(&fx, LATHE_KIND_SOURCE, refused[i][0], LATHE_TASK_REGRESSION,
                        refused[i][1]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("source_csv");
    TCase *good = tcase_create("good"), *bad = tcase_create("broken");
    tcase_add_checked_fixture(good, setup, teardown);
    tcase_add_checked_fixture(bad, setup, teardown);
    tcase_add_test(good, types_are_found);
    tcase_add_test(good, timestamps);
    tcase_add_test(good, quotes);
    tcase_add_test(good, line_ends_and_marks);
    tcase_add_test(good, delimiters);
    tcase_add_test(good, headers_and_columns);
    tcase_add_test(good, missing_markers);
    tcase_add_test(good, bad_lines_are_skipped);
    tcase_add_test(good, gzip);
    tcase_add_test(good, large_records);
    tcase_add_test(good, numbers_are_correctly_rounded);
    tcase_add_test(good, two_streams);
    tcase_add_test(good, wide_table);
    tcase_add_loop_test(bad, broken_files_are_explained, 0,
                        (int)(sizeof broken_files / sizeof broken_files[0]));
    tcase_add_loop_test(bad, broken_formats_are_named, 0,
                        (int)(sizeof broken_formats / sizeof broken_formats[0]));
    tcase_add_test(bad, paths_that_are_no_files);
    tcase_add_test(bad, damaged_gzip);
    tcase_add_test(bad, too_long_and_too_wide);
    tcase_add_test(bad, parameters_that_cannot_be);
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

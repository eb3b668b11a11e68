/* The container: what is written is read back, byte for byte reproducible and readable by others;
 * what is damaged in any way is refused; a state tree survives it exactly. */
#include "base/hash.h"
#include "base/rng.h"
#include "model/safetensors.h"
#include "model/state_file.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[96];
static lathe_error err;

static void set_up(void) {
    strcpy(dir, "/tmp/lathe-st-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    lathe_error_clear(&err);
}

static void tear_down(void) {
    lathe_remove_tree(dir, NULL);
}

#define ck_ok(call)                                                                                \
    do {                                                                                           \
        int32_t rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == LATHE_OK, "%s: %s: %s", #call, err.where, err.message);               \
    } while (0)

#define ck_fails(call, want, text)                                                                 \
    do {                                                                                           \
        lathe_error_clear(&err);                                                                   \
        int32_t rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == (want), "%s: code %d (%s)", #call, rc_, err.message);                 \
        ck_assert_msg(strstr(err.message, (text)) != NULL, "%s: %s", #call, err.message);          \
    } while (0)

/* ---- writing and reading ---- */

static const float weights[6] = {1, -2, 0.5f, NAN, INFINITY, -0.0f};
static const int32_t codes[3] = {-1, 0, INT32_MAX};
static const uint8_t bytes[5] = {0, 1, 2, 254, 255};
static const double one = 0.1;

static lathe_st_writer *make_writer(void) {
    lathe_st_writer *w = lathe_st_writer_new();
    ck_assert_ptr_nonnull(w);
    ck_ok(lathe_st_add(w, "weights", LATHE_FLOAT, 32, 2, (int64_t[]){2, 3}, weights, &err));
    ck_ok(lathe_st_add(w, "codes", LATHE_INT, 32, 1, (int64_t[]){3}, codes, &err));
    ck_ok(lathe_st_add(w, "bytes", LATHE_UINT, 8, 1, (int64_t[]){5}, bytes, &err));
    ck_ok(lathe_st_add(w, "scalar", LATHE_FLOAT, 64, 0, NULL, &one, &err));
    ck_ok(lathe_st_add(w, "none", LATHE_FLOAT, 64, 2, (int64_t[]){0, 7}, NULL, &err));
    ck_ok(lathe_st_meta(w, "z", "last", &err));
    ck_ok(lathe_st_meta(w, "a", "quotes \" and \\ and \n line, é and 漢", &err));
    ck_ok(lathe_st_meta(w, "empty", "", &err));
    return w;
}

static void write_good(char sha256[65], int64_t *size) {
    lathe_st_writer *w = make_writer();
    ck_ok(lathe_st_write(w, path, sha256, size, &err));
    lathe_st_writer_free(w);
}

static void check_tensor(const lathe_st_file *file, const char *name, uint8_t dtype, uint8_t bits,
                         int32_t ndim, const void *data, int64_t n_bytes) {
    const lathe_st_tensor *t = lathe_st_find(file, name);
    ck_assert_msg(t != NULL, "%s is not there", name);
    ck_assert_str_eq(t->name, name);
    ck_assert_uint_eq(t->dtype, dtype);
    ck_assert_uint_eq(t->bits, bits);
    ck_assert_int_eq(t->ndim, ndim);
    ck_assert_int_eq(t->bytes, n_bytes);
    ck_assert(n_bytes == 0 || memcmp(t->data, data, (size_t)n_bytes) == 0);
    ck_assert_uint_eq((uintptr_t)t->data % 64, 0);
    ck_assert(t->has_crc);
    ck_ok(lathe_st_check(t, &err));
}

START_TEST(what_is_written_is_read) {
    char sha256[65], again[65], *text;
    int64_t size;
    size_t len;
    write_good(sha256, &size);
    ck_ok(lathe_read_file(path, 1 << 20, &text, &len, &err));
    ck_assert_int_eq((int64_t)len, size);
    ck_assert(lathe_sha256_hex(text, len, again));
    ck_assert_str_eq(sha256, again);
    free(text);
    lathe_st_file *file;
    ck_ok(lathe_st_open(path, &file, &err));
    check_tensor(file, "weights", LATHE_FLOAT, 32, 2, weights, sizeof weights);
    check_tensor(file, "codes", LATHE_INT, 32, 1, codes, sizeof codes);
    check_tensor(file, "bytes", LATHE_UINT, 8, 1, bytes, sizeof bytes);
    check_tensor(file, "scalar", LATHE_FLOAT, 64, 0, &one, sizeof one);
    check_tensor(file, "none", LATHE_FLOAT, 64, 2, NULL, 0);
    ck_assert_int_eq(lathe_st_find(file, "weights")->shape[0], 2);
    ck_assert_int_eq(lathe_st_find(file, "weights")->shape[1], 3);
    ck_assert_int_eq(lathe_st_find(file, "none")->shape[1], 7);
    ck_assert_ptr_null(lathe_st_find(file, "weight"));
    ck_assert_ptr_null(lathe_st_at(file, lathe_st_count(file)));
    ck_assert_str_eq(lathe_st_get_meta(file, "a"), "quotes \" and \\ and \n line, é and 漢");
    ck_assert_str_eq(lathe_st_get_meta(file, "empty"), "");
    ck_assert_ptr_null(lathe_st_get_meta(file, "b"));
    /* the mapping lives as long as its last user */
    lathe_st_file *second = lathe_st_retain(file);
    lathe_st_close(file);
    check_tensor(second, "weights", LATHE_FLOAT, 32, 2, weights, sizeof weights);
    lathe_st_close(second);
    lathe_st_close(NULL);
}
END_TEST

START_TEST(equal_contents_are_equal_bytes) {
    char first[65], second[65];
    int64_t size;
    write_good(first, &size);
    lathe_st_writer *w = lathe_st_writer_new();
    ck_ok(lathe_st_meta(w, "empty", "", &err)); /* metadata in another order */
    ck_ok(lathe_st_meta(w, "a", "quotes \" and \\ and \n line, é and 漢", &err));
    ck_ok(lathe_st_add(w, "weights", LATHE_FLOAT, 32, 2, (int64_t[]){2, 3}, weights, &err));
    ck_ok(lathe_st_add(w, "codes", LATHE_INT, 32, 1, (int64_t[]){3}, codes, &err));
    ck_ok(lathe_st_add(w, "bytes", LATHE_UINT, 8, 1, (int64_t[]){5}, bytes, &err));
    ck_ok(lathe_st_meta(w, "z", "last", &err));
    ck_ok(lathe_st_add(w, "scalar", LATHE_FLOAT, 64, 0, NULL, &one, &err));
    ck_ok(lathe_st_add(w, "none", LATHE_FLOAT, 64, 2, (int64_t[]){0, 7}, NULL, &err));
    ck_ok(lathe_st_write(w, path, second, &size, &err));
    ck_assert_str_eq(first, second);
    lathe_st_writer_free(w);
}
END_TEST

START_TEST(what_cannot_be_written_is_refused) {
    char sha256[65];
    int64_t size;
    lathe_st_writer *w = make_writer();
    ck_fails(lathe_st_add(w, "x", LATHE_FLOAT, 31, 1, (int64_t[]){1}, &one, &err),
             LATHE_E_UNSUPPORTED, "31 bits");
    ck_fails(lathe_st_add(w, "x", LATHE_FLOAT, 64, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, &one,
                          &err),
             LATHE_E_UNSUPPORTED, "9 dimensions");
    ck_fails(lathe_st_add(w, "x", LATHE_FLOAT, 64, 1, (int64_t[]){-1}, &one, &err), LATHE_E_SHAPE,
             "negative");
    ck_fails(lathe_st_add(w, "x", LATHE_FLOAT, 64, 2, (int64_t[]){INT64_MAX, 3}, &one, &err),
             LATHE_E_SHAPE, "too large");
    ck_fails(lathe_st_add(w, "x", LATHE_FLOAT, 64, 1, (int64_t[]){INT64_MAX / 2}, &one, &err),
             LATHE_E_SHAPE, "too large");
    ck_fails(lathe_st_write(w, "/nowhere/at/all", sha256, &size, &err), LATHE_E_NOT_FOUND,
             "cannot be written");
    lathe_st_writer_free(w);
    w = make_writer();
    ck_ok(lathe_st_add(w, "codes", LATHE_INT, 32, 1, (int64_t[]){3}, codes, &err));
    ck_fails(lathe_st_write(w, path, sha256, &size, &err), LATHE_E_EXISTS, "two tensors");
    lathe_st_writer_free(w);
    w = make_writer();
    ck_ok(lathe_st_meta(w, "z", "again", &err));
    ck_fails(lathe_st_write(w, path, sha256, &size, &err), LATHE_E_EXISTS, "two metadata");
    lathe_st_writer_free(w);
}
END_TEST

/* ---- others' files, and damaged ones ---- */

/* Without a sync: thousands are written. */
static int32_t write_bytes(const void *data, size_t len, lathe_error *e) {
    FILE *file = fopen(path, "wb");
    const bool good = file != NULL && fwrite(data, 1, len, file) == len;
    if (file == NULL || fclose(file) != 0 || !good)
        return lathe_fail(e, LATHE_E_IO, path, "cannot be written");
    return LATHE_OK;
}

static void write_raw(const char *header, size_t header_len, const void *data, size_t len) {
    uint64_t size = header_len;
    char *all = malloc(8 + header_len + len + 1);
    memcpy(all, &size, 8);
    memcpy(all + 8, header, header_len);
    if (len > 0)
        memcpy(all + 8 + header_len, data, len);
    ck_ok(write_bytes(all, 8 + header_len + len, &err));
    free(all);
}

/* A file of another writer: no sums, no alignment, no metadata, blanks, keys in any order. */
START_TEST(files_of_others_are_read) {
    static const char header[] =
        " {\"b\": {\"shape\": [3], \"data_offsets\": [4, 10], \"dtype\": \"BF16\"},\n"
        "  \"a\": {\"data_offsets\": [0, 4], \"dtype\": \"F32\", \"shape\": []},"
        "  \"c\": {\"dtype\": \"BOOL\", \"shape\": [0], \"data_offsets\": [10, 10]}}   ";
    const uint8_t data[10] = {0, 0, 128, 63, 1, 2, 3, 4, 5, 6};
    write_raw(header, sizeof header - 1, data, sizeof data);
    lathe_st_file *file;
    ck_ok(lathe_st_open(path, &file, &err));
    ck_assert_uint_eq(lathe_st_count(file), 3);
    ck_assert_str_eq(lathe_st_at(file, 0)->name, "a");
    ck_assert(!lathe_st_find(file, "a")->has_crc);
    ck_assert(memcmp(lathe_st_find(file, "b")->data, data + 4, 6) == 0);
    ck_assert_ptr_null(lathe_st_get_meta(file, "x"));
    ck_assert_ptr_null(lathe_st_metadata(file));
    ck_ok(lathe_st_check(lathe_st_find(file, "b"), &err));
    lathe_st_close(file);
    write_raw("{}", 2, NULL, 0);
    ck_ok(lathe_st_open(path, &file, &err));
    ck_assert_uint_eq(lathe_st_count(file), 0);
    lathe_st_close(file);
}
END_TEST

static const struct {
    const char *header;
    size_t data; /* bytes after it */
    const char *says;
} broken[] = {
    {"", 0, "no JSON object"},
    {"[]", 0, "no JSON object"},
    {"{\"a\":1}", 0, "\"a\" has a bad"},
    {"{\"a\":{}}", 0, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,4]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "\"a\" has a bad"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "does not fill"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "does not fill"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,4]}}", 4,
     "\"a\""},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,4]}}", 4,
     "\"a\""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "does not end"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "holes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "no JSON object"},
    {"{\"__metadata__\":{\"crc32\":\"{\"}}", 0, "no JSON"},
    {"{\"__metadata__\":{\"crc32\":\"{\\\"a\\\":\\\"00000000\\\"}\"}}", 0, "not there"},
    {"{\"__metadata__\":{\"crc32\":\"{\\\"__metadata__\\\":\\\"00000001\\\"}\"}}", 0,
     "does not match"},
    {"{\"__metadata__\":{\"crc32\":\"{}\"},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":["
     "0,0]}}",
     0, "not in the list"},
};

START_TEST(broken_headers_are_refused) {
    const uint8_t zeroes[16] = {0};
    lathe_st_file *file;
    write_raw(broken[_i].header, strlen(broken[_i].header), zeroes, broken[_i].data);
    ck_fails(lathe_st_open(path, &file, &err), LATHE_E_CORRUPT, broken[_i].says);
    ck_assert_ptr_null(file);
}
END_TEST

START_TEST(no_file_is_an_error) {
    lathe_st_file *file;
    ck_assert_int_ne(lathe_st_open("/nowhere/x", &file, &err), LATHE_OK);
    ck_assert_int_ne(lathe_st_open(dir, &file, &err), LATHE_OK);
    ck_assert_int_ne(lathe_st_open("/dev/null", &file, &err), LATHE_OK);
}
END_TEST

/* Opens and checks all sums, as `models verify` does; a model without sums is refused. */
static int32_t verify(void) {
    lathe_st_file *file;
    int32_t rc = lathe_st_open(path, &file, &err);
    if (rc != LATHE_OK)
        return rc;
    for (size_t i = 0; rc == LATHE_OK && i < lathe_st_count(file); i++)
        rc = lathe_st_check(lathe_st_at(file, i), &err);
    if (rc == LATHE_OK)
        rc = lathe_st_check_padding(file, &err);
    if (rc == LATHE_OK && lathe_st_get_meta(file, "crc32") == NULL)
        rc = LATHE_E_CORRUPT;
    lathe_st_close(file);
    return rc;
}

/* Every prefix, and every bit flipped, is noticed. */
START_TEST(every_damage_is_noticed) {
    char sha256[65], *text;
    int64_t size;
    size_t len;
    write_good(sha256, &size);
    ck_ok(verify());
    ck_ok(lathe_read_file(path, 1 << 20, &text, &len, &err));
    for (size_t n = 0; n < len; n++) {
        ck_ok(write_bytes(text, n, &err));
        ck_assert_msg(verify() == LATHE_E_CORRUPT, "cut at %zu of %zu", n, len);
    }
    for (size_t at = 0; at < len; at++) {
        const int bit = (int)(at * 5 % 8);
        text[at] = (char)(text[at] ^ (1 << bit));
        ck_ok(write_bytes(text, len, &err));
        ck_assert_msg(verify() == LATHE_E_CORRUPT, "bit %d of byte %zu of %zu: '%c'", bit, at, len,
                      text[at]);
        text[at] = (char)(text[at] ^ (1 << bit));
    }
    text = realloc(text, len + 1);
    text[len] = 0;
    ck_ok(write_bytes(text, len + 1, &err));
    ck_assert_int_eq(verify(), LATHE_E_CORRUPT);
    free(text);
}
END_TEST

/* ---- state trees ---- */

static lathe_state *new_node(const char *plugin) {
    char digest[65];
    memset(digest, 'a', 64);
    digest[64] = 0;
    const lathe_state_identity who = {.plugin = plugin,
                                      .version = "1.2.3",
                                      .digest = digest,
                                      .state_version = 7,
                                      .task = 2,
                                      .config = "{\"x\": {\"y\": \"\\\"é\"}}"};
    lathe_state *node;
    ck_ok(lathe_state_new(&who, &node, &err));
    return node;
}

static const int64_t integers[] = {0, -1, 1, INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1};
static const double numbers[] = {0.0,    -0.0,     0.1,      DBL_MAX,   DBL_MIN,
                                 5e-324, -1.0 / 3, INFINITY, -INFINITY, NAN};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static lathe_state *make_tree(void) {
    lathe_state *node = new_node("org.test.outer"), *inner = new_node("org.test.inner");
    char name[32];
    for (size_t i = 0; i < COUNT(integers); i++) {
        snprintf(name, sizeof name, "i%zu", i);
        ck_ok(lathe_state_add_integer(node, name, integers[i], &err));
    }
    for (size_t i = 0; i < COUNT(numbers); i++) {
        snprintf(name, sizeof name, "n%zu", i);
        ck_ok(lathe_state_add_number(node, name, numbers[i], &err));
    }
    const lathe_str texts[] = {{"", 0}, {"plain", 5}, {"\xc3\xa9\"\\\n", 5}, {NULL, 0}};
    ck_ok(lathe_state_add_string(node, "text", texts[2], &err));
    ck_ok(lathe_state_add_strings(node, "texts", texts, 4, &err));
    ck_ok(lathe_state_add_strings(node, "no.texts", NULL, 0, &err));
    const int64_t shape[] = {2, 3};
    const lathe_tensor t = {.data = (void *)(uintptr_t)weights,
                            .device_type = LATHE_DEVICE_CPU,
                            .ndim = 2,
                            .dtype = LATHE_FLOAT,
                            .bits = 32,
                            .lanes = 1,
                            .shape = shape};
    ck_ok(lathe_state_add_tensor(node, "w", &t, true, &err));
    ck_ok(lathe_state_add_tensor(inner, "w", &t, true, &err));
    ck_ok(lathe_state_add_child(node, "base.0", inner, &err));
    return node;
}

static void compare(const lathe_state *a, const lathe_state *b) {
    const lathe_state_identity *x = lathe_state_who(a), *y = lathe_state_who(b);
    ck_assert_str_eq(x->plugin, y->plugin);
    ck_assert_str_eq(x->version, y->version);
    ck_assert_str_eq(x->digest, y->digest);
    ck_assert_str_eq(x->config, y->config);
    ck_assert_uint_eq(x->state_version, y->state_version);
    ck_assert_int_eq(x->task, y->task);
    ck_assert_uint_eq(lathe_state_tensor_count(a), lathe_state_tensor_count(b));
    for (size_t i = 0; i < lathe_state_tensor_count(a); i++) {
        const lathe_state_tensor *s = lathe_state_tensor_at(a, i), *t = lathe_state_tensor_at(b, i);
        ck_assert_str_eq(s->name, t->name);
        ck_assert_uint_eq(s->bytes, t->bytes);
        ck_assert_int_eq(s->ndim, t->ndim);
        ck_assert(memcmp(s->data, t->data, s->bytes) == 0);
    }
    ck_assert_uint_eq(lathe_state_attribute_count(a), lathe_state_attribute_count(b));
    for (size_t i = 0; i < lathe_state_attribute_count(a); i++) {
        const lathe_state_attribute *s = lathe_state_attribute_at(a, i),
                                    *t = lathe_state_attribute_at(b, i);
        ck_assert_str_eq(s->name, t->name);
        ck_assert_int_eq(s->type, t->type);
        ck_assert_int_eq(s->integer, t->integer);
        ck_assert(memcmp(&s->number, &t->number, sizeof s->number) == 0 ||
                  (isnan(s->number) && isnan(t->number)));
        ck_assert_int_eq(s->n, t->n);
        for (int64_t k = 0; s->type >= LATHE_STATE_STRING && k < s->n; k++) {
            ck_assert_int_eq(s->strings[k].len, t->strings[k].len);
            ck_assert((s->strings[k].ptr == NULL) == (t->strings[k].ptr == NULL));
            ck_assert(s->strings[k].len == 0 ||
                      memcmp(s->strings[k].ptr, t->strings[k].ptr, (size_t)s->strings[k].len) == 0);
        }
    }
    ck_assert_uint_eq(lathe_state_child_count(a), lathe_state_child_count(b));
    for (size_t i = 0; i < lathe_state_child_count(a); i++) {
        const char *s, *t;
        const lathe_state *m = lathe_state_child_at(a, i, &s), *n = lathe_state_child_at(b, i, &t);
        ck_assert_str_eq(s, t);
        compare(m, n);
    }
}

START_TEST(states_survive_exactly) {
    char sha256[65];
    int64_t size;
    lathe_state *tree = make_tree(), *back;
    lathe_st_writer *w = lathe_st_writer_new();
    ck_ok(lathe_state_put(w, "learner", tree, &err));
    ck_ok(lathe_st_write(w, path, sha256, &size, &err));
    lathe_st_writer_free(w);
    lathe_st_file *file;
    ck_ok(lathe_st_open(path, &file, &err));
    ck_ok(lathe_state_get(file, "learner", &back, &err));
    lathe_st_close(file); /* the tree holds it */
    compare(tree, back);
    lathe_state_free(back);
    ck_ok(lathe_st_open(path, &file, &err));
    ck_fails(lathe_state_get(file, "learn", &back, &err), LATHE_E_CORRUPT, "not in the file");
    ck_fails(lathe_state_get(file, "learner/base", &back, &err), LATHE_E_CORRUPT,
             "not in the file");
    lathe_st_close(file);
    lathe_state_free(tree);
}
END_TEST

START_TEST(deep_trees_are_refused) {
    lathe_state *tree = new_node("org.test.leaf");
    for (int i = 0; i < 40; i++) {
        lathe_state *outer = new_node("org.test.level");
        ck_ok(lathe_state_add_child(outer, "c", tree, &err));
        tree = outer;
    }
    lathe_st_writer *w = lathe_st_writer_new();
    ck_fails(lathe_state_put(w, "learner", tree, &err), LATHE_E_UNSUPPORTED, "too deeply");
    lathe_st_writer_free(w);
    lathe_state_free(tree);
}
END_TEST

/* Descriptions of nodes that are none. */
static const char *const nodes[] = {
    "",
    "{",
    "[]",
    "1",
    "{}",
    "{\"plugin\":1,\"version\":\"1.0.0\",\"digest\":\"\",\"config\":\"{}\",\"state_version\":1,"
    "\"task\":1}",
    "{\"plugin\":\"a\",\"version\":\"1.0.0\",\"digest\":\"\",\"config\":\"{}\",\"state_version\":-"
    "1,\"task\":1}",
    "{\"plugin\":\"a\",\"version\":\"1.0.0\",\"digest\":\"\",\"config\":\"{}\",\"state_version\":1,"
    "\"task\":1e9}",
    "{\"plugin\":\"\",\"version\":\"\",\"digest\":\"\",\"config\":\"\",\"state_version\":1,"
    "\"task\":1,"
    "\"attributes\":{\"Bad Name\":{\"i\":\"1\"}}}",
};

START_TEST(bad_nodes_are_refused) {
    char sha256[65];
    int64_t size;
    lathe_state *back = NULL;
    lathe_st_file *file;
    lathe_st_writer *w = lathe_st_writer_new();
    ck_ok(lathe_st_meta(w, "node:learner", nodes[_i], &err));
    ck_ok(lathe_st_write(w, path, sha256, &size, &err));
    lathe_st_writer_free(w);
    ck_ok(lathe_st_open(path, &file, &err));
    ck_assert_int_ne(lathe_state_get(file, "learner", &back, &err), LATHE_OK);
    ck_assert_ptr_null(back);
    ck_assert(err.message[0] != 0);
    lathe_st_close(file);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("safetensors");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, what_is_written_is_read);
    tcase_add_test(tc, equal_contents_are_equal_bytes);
    tcase_add_test(tc, what_cannot_be_written_is_refused);
    tcase_add_test(tc, files_of_others_are_read);
    tcase_add_loop_test(tc, broken_headers_are_refused, 0, (int)COUNT(broken));
    tcase_add_test(tc, no_file_is_an_error);
    tcase_add_test(tc, every_damage_is_noticed);
    tcase_add_test(tc, states_survive_exactly);
    tcase_add_test(tc, deep_trees_are_refused);
    tcase_add_loop_test(tc, bad_nodes_are_refused, 0, (int)COUNT(nodes));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

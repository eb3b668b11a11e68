/* test_source_idx.c: idx images and labels; Fashion-MNIST where Debian's package is installed. */
#include "plugin_fixture.h"

#include <unistd.h>

#define FASHION "/usr/share/datasets/fashion-mnist/"

static fixture fx;
static char folder[64];

static void setup(void) {
    fixture_open(&fx, 1);
    snprintf(folder, sizeof folder, "/tmp/lathe-idx-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void) {
    static const char *const names[] = {"i", "l", "ti", "tl"};
    char path[96];
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
    fixture_close(&fx);
}

static void write_file(const char *name, const void *bytes, size_t n) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* Two images of 1 x 3 pixels, labels 7 and 10. */
static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0,   0, 0,
                                 1, 0, 0, 0, 3, 1, 2, 3, 255, 0, 9};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 10, 7};
static const uint8_t test_images[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 4, 5, 6};
static const uint8_t test_labels[] = {0, 0, 8, 1, 0, 0, 0, 1, 9};

static void write_parts(void) {
    write_file("i", images, sizeof images);
    write_file("l", labels, sizeof labels);
    write_file("ti", test_images, sizeof test_images);
    write_file("tl", test_labels, sizeof test_labels);
}

static void make(const char *more, lathe_instance *out) {
    char use[512];
    snprintf(use, sizeof use, "{\"idx\": {\"images\": \"%s/i\", \"labels\": \"%s/l\"%s}}", folder,
             folder, more);
    fixture_create(&fx, LATHE_KIND_SOURCE, use, LATHE_TASK_MULTICLASS, out);
}

static const char *with_test(void) {
    static char text[256];
    snprintf(text, sizeof text, ", \"test_images\": \"%s/ti\", \"test_labels\": \"%s/tl\"", folder,
             folder);
    return text;
}

static int64_t pixel(const lathe_table *t, int64_t column, int64_t row) {
    return ((const int64_t *)t->columns[column].values)[row];
}

static void expect_category(const lathe_column *c, int64_t row, const char *text) {
    lathe_str s = c->dict[((const int32_t *)c->values)[row]];
    ck_assert_msg((size_t)s.len == strlen(text) && memcmp(s.ptr, text, (size_t)s.len) == 0,
                  "row %d is %.*s, expected %s", (int)row, (int)s.len, s.ptr, text);
}

START_TEST(reads_both_parts) {
    lathe_instance source;
    lathe_error err = {0};
    void *stream;
    const lathe_table *schema;
    lathe_table t;
    write_parts();
    make(with_test(), &source);
    const lathe_source *s = source.interface;
    fixture_ok(s->open(source.self, &stream, &err), &err, "open");
    fixture_ok(s->schema(stream, &schema, &err), &err, "schema");
    ck_assert_int_eq(schema->n_columns, 5);
    ck_assert_str_eq(schema->columns[2].name, "pixel2");
    ck_assert_str_eq(schema->columns[3].name, "label");
    ck_assert_str_eq(schema->columns[4].name, "part");
    fixture_ok(s->next(stream, 100, &t, &err), &err, "next");
    ck_assert_int_eq(t.n_rows, 3);
    ck_assert_int_eq(pixel(&t, 0, 1), 255);
    ck_assert_int_eq(pixel(&t, 2, 1), 9);
    ck_assert_int_eq(pixel(&t, 1, 2), 5);
    ck_assert_int_eq(t.columns[3].dict_size, 3); /* "10", "7", "9": by their bytes */
    expect_category(&t.columns[3], 0, "10");
    expect_category(&t.columns[3], 1, "7");
    expect_category(&t.columns[3], 2, "9");
    ck_assert_int_eq(((const int32_t *)t.columns[3].values)[2], 2);
    expect_category(&t.columns[4], 1, "train");
    expect_category(&t.columns[4], 2, "test");
    fixture_ok(s->next(stream, 100, &t, &err), &err, "next");
    ck_assert_int_eq(t.n_rows, 0);
    s->close(stream);
    lathe_instance_destroy(&source);
}
END_TEST

START_TEST(blocks_and_limit) {
    lathe_instance source;
    lathe_error err = {0};
    void *stream;
    lathe_table t;
    write_parts();
    make(", \"limit\": 1, \"label\": \"digit\"", &source);
    const lathe_source *s = source.interface;
    fixture_ok(s->open(source.self, &stream, &err), &err, "open");
    fixture_ok(s->next(stream, 1, &t, &err), &err, "next");
    ck_assert_int_eq(t.n_columns, 4);
    ck_assert_str_eq(t.columns[3].name, "digit");
    ck_assert_int_eq(t.n_rows, 1);
    ck_assert_int_eq(t.columns[3].dict_size, 1);
    fixture_ok(s->next(stream, 1, &t, &err), &err, "next");
    ck_assert_int_eq(t.n_rows, 0);
    s->close(stream);
    lathe_instance_destroy(&source);
}
END_TEST

/* Reads all; the error. */
static int32_t read_all(const char *more, lathe_error *err) {
    lathe_instance source;
    void *stream;
    lathe_table t;
    memset(err, 0, sizeof *err);
    make(more, &source);
    const lathe_source *s = source.interface;
    int32_t rc = s->open(source.self, &stream, err);
    if (rc == LATHE_OK) {
        do
            rc = s->next(stream, 1, &t, err);
        while (rc == LATHE_OK && t.n_rows > 0);
        s->close(stream);
    }
    lathe_instance_destroy(&source);
    return rc;
}

static void expect_error(int32_t code, const char *message) {
    lathe_error err;
    ck_assert_int_eq(read_all("", &err), code);
    ck_assert_msg(strstr(err.message, message) != NULL, "\"%s\" lacks \"%s\"", err.message,
                  message);
}

START_TEST(broken_files) {
    uint8_t bad[64];
    write_parts();
    write_file("i", labels, sizeof labels);
    expect_error(LATHE_E_CORRUPT, "header");
    memcpy(bad, labels, sizeof labels);
    memset(bad + sizeof labels, 0, 20);
    write_file("i", bad, 30);
    expect_error(LATHE_E_CORRUPT, "are the two swapped?");
    memcpy(bad, images, sizeof images);
    bad[3] = 99;
    write_file("i", bad, sizeof images);
    expect_error(LATHE_E_CORRUPT, "expected idx images");
    memcpy(bad, images, sizeof images);
    bad[8] = 0x7F; /* 2130706433 rows of pixels */
    write_file("i", bad, sizeof images);
    expect_error(LATHE_E_CORRUPT, "pixels");
    memcpy(bad, images, sizeof images);
    bad[7] = 3;
    write_file("i", bad, sizeof images);
    expect_error(LATHE_E_SHAPE, "2 labels for the 3 images");
    bad[7] = 0;
    write_file("i", bad, sizeof images);
    expect_error(LATHE_E_DATA, "no image");
    write_file("i", images, sizeof images - 1);
    expect_error(LATHE_E_CORRUPT, "ends inside the images: 2 of 3 bytes");
    memcpy(bad, images, sizeof images);
    write_file("i", bad, sizeof images + 1);
    expect_error(LATHE_E_CORRUPT, "goes on behind");
    write_file("i", images, sizeof images);
    write_file("l", labels, sizeof labels - 1);
    expect_error(LATHE_E_CORRUPT, "ends inside the labels");
    write_file("l", "", 0);
    expect_error(LATHE_E_DATA, "empty");
    write_file("l", labels, sizeof labels);
    lathe_error err;
    memcpy(bad, test_images, sizeof test_images);
    bad[15] = 2;
    write_file("ti", bad, sizeof test_images - 1);
    ck_assert_int_eq(read_all(with_test(), &err), LATHE_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.message, "2 pixels, training images 3"));
    fixture_refused(&fx, LATHE_KIND_SOURCE,
                    "{\"idx\": {\"images\": \"a\", \"labels\": \"b\", \"test_images\": \"c\"}}",
                    LATHE_TASK_MULTICLASS, "go together");
}
END_TEST

START_TEST(fashion_mnist) {
    lathe_instance source;
    lathe_error err = {0};
    void *stream;
    lathe_table t;
    int64_t rows = 0, sum = 0, test_rows = 0, of_class[10] = {0};
    if (access(FASHION "train-images-idx3-ubyte.gz", R_OK) != 0)
        return; /* the package dataset-fashion-mnist is not installed */
    fixture_create(
        &fx, LATHE_KIND_SOURCE,
        "{\"idx\": {\"images\": \"" FASHION "train-images-idx3-ubyte.gz\", \"labels\": \"" FASHION
        "train-labels-idx1-ubyte.gz\", \"test_images\": \"" FASHION
        "t10k-images-idx3-ubyte.gz\", \"test_labels\": \"" FASHION "t10k-labels-idx1-ubyte.gz\"}}",
        LATHE_TASK_MULTICLASS, &source);
    const lathe_source *s = source.interface;
    fixture_ok(s->open(source.self, &stream, &err), &err, "open");
    for (;;) {
        fixture_ok(s->next(stream, 4096, &t, &err), &err, "next");
        if (t.n_rows == 0)
            break;
        for (int64_t i = 0; i < t.n_rows; i++) {
            sum += pixel(&t, 400, i);
            of_class[((const int32_t *)t.columns[784].values)[i]]++;
            test_rows += ((const int32_t *)t.columns[785].values)[i] == 0;
        }
        rows += t.n_rows;
    }
    ck_assert_int_eq(rows, 70000);
    ck_assert_int_eq(test_rows, 10000);
    ck_assert_int_gt(sum, 0);
    for (int k = 0; k < 10; k++)
        ck_assert_int_eq(of_class[k], 7000);
    s->close(stream);
    lathe_instance_destroy(&source);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("source_idx");
    TCase *cases = tcase_create("idx");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, reads_both_parts);
    tcase_add_test(cases, blocks_and_limit);
    tcase_add_test(cases, broken_files);
    tcase_add_test(cases, fashion_mnist);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

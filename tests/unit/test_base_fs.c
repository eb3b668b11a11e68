/* base: files, paths, hashes. */
#include "base/fs.h"
#include "base/hash.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void make_folder(void) {
    strcpy(folder, "/tmp/lathe-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
    lathe_error err = {0};
    ck_assert_msg(lathe_remove_tree(folder, &err) == LATHE_OK, "%s", err.message);
    ck_assert(!lathe_is_dir(folder));
}

static const char *in_folder(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

START_TEST(files_are_written_and_read) {
    lathe_error err = {0};
    const char *path = in_folder("a.bin");
    ck_assert_int_eq(lathe_write_file_atomic(path, "one\0two", 7, &err), LATHE_OK);
    char *data;
    size_t len;
    ck_assert_int_eq(lathe_read_file(path, 7, &data, &len, &err), LATHE_OK);
    ck_assert_uint_eq(len, 7);
    ck_assert_mem_eq(data, "one\0two", 8);
    free(data);
    ck_assert_int_eq(lathe_write_file_atomic(path, "", 0, &err), LATHE_OK);
    ck_assert_int_eq(lathe_read_file(path, 7, &data, &len, &err), LATHE_OK);
    ck_assert_uint_eq(len, 0);
    ck_assert_str_eq(data, "");
    free(data);
}
END_TEST

START_TEST(reading_has_a_limit_and_clear_errors) {
    lathe_error err = {0};
    char *data;
    size_t len;
    const char *path = in_folder("a.bin");
    lathe_write_file_atomic(path, "12345678", 8, NULL);
    ck_assert_int_eq(lathe_read_file(path, 7, &data, &len, &err), LATHE_E_MEMORY);
    ck_assert_str_eq(err.where, path);
    ck_assert_ptr_nonnull(strstr(err.message, "8 bytes"));
    ck_assert_ptr_null(data);
    ck_assert_int_eq(lathe_read_file(in_folder("none"), 7, &data, &len, &err), LATHE_E_NOT_FOUND);
    ck_assert_int_eq(lathe_read_file(folder, 7, &data, &len, &err), LATHE_E_IO);
    ck_assert_int_eq(lathe_read_file("/dev/zero", 1000, &data, &len, &err), LATHE_E_MEMORY);
    ck_assert_int_eq(lathe_read_file("/proc/self/status", 1 << 20, &data, &len, &err), LATHE_OK);
    ck_assert_uint_gt(len, 100); /* of a file whose size is told as 0 */
    free(data);
}
END_TEST

START_TEST(failed_write_keeps_the_old_file) {
    lathe_error err = {0};
    const char *dir = in_folder("target");
    ck_assert_int_eq(lathe_mkdirs(dir, &err), LATHE_OK);
    /* a folder cannot be replaced by a file */
    ck_assert_int_ne(lathe_write_file_atomic(dir, "x", 1, &err), LATHE_OK);
    ck_assert(lathe_is_dir(dir));
    ck_assert_int_eq(lathe_write_file_atomic(in_folder("no/such"), "x", 1, &err),
                     LATHE_E_NOT_FOUND);
    /* and no temporary file is left over */
    char command[256];
    snprintf(command, sizeof command, "ls %s | grep -c tmp- > /dev/null", folder);
    ck_assert_int_ne(system(command), 0);
}
END_TEST

START_TEST(folders_are_made_with_their_parents) {
    lathe_error err = {0};
    const char *deep = in_folder("a/b//c/d/");
    ck_assert_int_eq(lathe_mkdirs(deep, &err), LATHE_OK);
    ck_assert_int_eq(lathe_mkdirs(deep, &err), LATHE_OK);
    ck_assert(lathe_is_dir(in_folder("a/b/c/d")));
    lathe_write_file_atomic(in_folder("a/file"), "x", 1, NULL);
    ck_assert(lathe_is_file(in_folder("a/file")));
    ck_assert_int_eq(lathe_mkdirs(in_folder("a/file"), &err), LATHE_E_EXISTS);
    ck_assert_int_ne(lathe_mkdirs(in_folder("a/file/x"), &err), LATHE_OK);
    ck_assert_int_eq(lathe_rename_durable(in_folder("a/file"), in_folder("a/b/file"), &err),
                     LATHE_OK);
    ck_assert(lathe_is_file(in_folder("a/b/file")));
    ck_assert_int_eq(lathe_remove_tree(in_folder("none"), &err), LATHE_OK);
}
END_TEST

START_TEST(removing_does_not_follow_links) {
    lathe_mkdirs(in_folder("kept"), NULL);
    lathe_write_file_atomic(in_folder("kept/f"), "x", 1, NULL);
    lathe_mkdirs(in_folder("gone"), NULL);
    ck_assert_int_eq(symlink(in_folder("kept"), in_folder("gone/link")), 0);
    ck_assert_int_eq(lathe_remove_tree(in_folder("gone"), NULL), LATHE_OK);
    ck_assert(lathe_is_file(in_folder("kept/f")));
}
END_TEST

static void check_text(char *got, const char *expected) {
    ck_assert_str_eq(got, expected);
    free(got);
}

START_TEST(paths_are_taken_apart) {
    check_text(lathe_path_join("a", "b"), "a/b");
    check_text(lathe_path_join("a/", "b"), "a/b");
    check_text(lathe_path_join("", "b"), "b");
    check_text(lathe_path_join(NULL, "b"), "b");
    check_text(lathe_path_join("a", "/b"), "/b");
    check_text(lathe_path_dir("a/b/c"), "a/b");
    check_text(lathe_path_dir("a//c"), "a");
    check_text(lathe_path_dir("c"), ".");
    check_text(lathe_path_dir("/c"), "/");
    ck_assert_str_eq(lathe_path_base("a/b/c.csv"), "c.csv");
    ck_assert_str_eq(lathe_path_base("c.csv"), "c.csv");
    char *self = lathe_path_self();
    ck_assert_ptr_nonnull(self);
    ck_assert(lathe_is_file(self));
    free(self);
    char *real;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_path_real(in_folder("none"), &real, &err), LATHE_E_NOT_FOUND);
}
END_TEST

START_TEST(containment_sees_through_links_and_dots) {
    lathe_mkdirs(in_folder("root/sub"), NULL);
    lathe_mkdirs(in_folder("root2"), NULL);
    lathe_write_file_atomic(in_folder("root2/secret"), "x", 1, NULL);
    ck_assert_int_eq(symlink("../root2", in_folder("root/out")), 0);
    ck_assert_int_eq(symlink("../root2/none", in_folder("root/dangling")), 0);
    char root[256];
    snprintf(root, sizeof root, "%s/root", folder);
    ck_assert(lathe_path_inside(root, root));
    ck_assert(lathe_path_inside(root, in_folder("root/sub")));
    ck_assert(lathe_path_inside(root, in_folder("root/sub/../sub")));
    ck_assert(lathe_path_inside(root, in_folder("root/new/file")));
    ck_assert(lathe_path_inside("/", root));
    ck_assert(!lathe_path_inside(root, in_folder("root2"))); /* a longer name is not inside */
    ck_assert(!lathe_path_inside(root, in_folder("root/../root2/secret")));
    ck_assert(!lathe_path_inside(root, in_folder("root/out/secret")));
    ck_assert(!lathe_path_inside(root, in_folder("root/out/new")));
    ck_assert(!lathe_path_inside(root, in_folder("root/dangling")));
    ck_assert(!lathe_path_inside(root, in_folder("root/new/../../root2/secret")));
    ck_assert(!lathe_path_inside(in_folder("none"), root));
    ck_assert_int_eq(chdir(root), 0);
    ck_assert(lathe_path_inside(root, "new/file"));
    ck_assert(lathe_path_inside(".", "sub"));
    ck_assert(!lathe_path_inside(root, "../root2/secret"));
    ck_assert(!lathe_path_inside(root, "new/../../root2/secret"));
    ck_assert(!lathe_path_inside(root, "/etc/passwd"));
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(files_are_mapped) {
    lathe_error err = {0};
    lathe_map_file map;
    lathe_write_file_atomic(in_folder("m"), "mapped", 6, NULL);
    ck_assert_int_eq(lathe_map_open(in_folder("m"), &map, &err), LATHE_OK);
    ck_assert_uint_eq(map.size, 6);
    ck_assert_mem_eq(map.data, "mapped", 6);
    lathe_map_close(&map);
    lathe_map_close(&map);
    lathe_write_file_atomic(in_folder("m"), "", 0, NULL);
    ck_assert_int_eq(lathe_map_open(in_folder("m"), &map, &err), LATHE_OK);
    ck_assert_ptr_null(map.data);
    ck_assert_int_eq(lathe_map_open(folder, &map, &err), LATHE_E_IO);
    ck_assert_int_eq(lathe_map_open(in_folder("none"), &map, &err), LATHE_E_NOT_FOUND);
}
END_TEST

/* FIPS 180-4's examples. */
START_TEST(sha256_gives_the_published_answers) {
    char hex[LATHE_SHA256_HEX];
    ck_assert(lathe_sha256_hex("abc", 3, hex));
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(lathe_sha256_hex("", 0, hex));
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    char *a = malloc(1000000);
    memset(a, 'a', 1000000);
    const char *million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    lathe_sha256 *h = lathe_sha256_new();
    for (int i = 0; i < 1000; i++)
        lathe_sha256_update(h, a, 1000);
    uint8_t digest[LATHE_SHA256_BYTES];
    ck_assert(lathe_sha256_final(h, digest));
    lathe_sha256_free(h);
    lathe_hex(digest, sizeof digest, hex);
    ck_assert_str_eq(hex, million);
    lathe_write_file_atomic(in_folder("million"), a, 1000000, NULL);
    int64_t bytes = 0;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_sha256_file(in_folder("million"), hex, &bytes, &err), LATHE_OK);
    ck_assert_str_eq(hex, million);
    ck_assert_int_eq(bytes, 1000000);
    ck_assert_int_eq(lathe_sha256_file(in_folder("none"), hex, &bytes, &err), LATHE_E_NOT_FOUND);
    free(a);
}
END_TEST

START_TEST(crc32_gives_the_published_answer) {
    ck_assert_uint_eq(lathe_crc32(0, "123456789", 9), 0xCBF43926u);
    ck_assert_uint_eq(lathe_crc32(lathe_crc32(0, "1234", 4), "56789", 5), 0xCBF43926u);
    ck_assert_uint_eq(lathe_crc32(0xCBF43926u, NULL, 0), 0xCBF43926u);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base files");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_add_test(tc, files_are_written_and_read);
    tcase_add_test(tc, reading_has_a_limit_and_clear_errors);
    tcase_add_test(tc, failed_write_keeps_the_old_file);
    tcase_add_test(tc, folders_are_made_with_their_parents);
    tcase_add_test(tc, removing_does_not_follow_links);
    tcase_add_test(tc, paths_are_taken_apart);
    tcase_add_test(tc, containment_sees_through_links_and_dots);
    tcase_add_test(tc, files_are_mapped);
    tcase_add_test(tc, sha256_gives_the_published_answers);
    tcase_add_test(tc, crc32_gives_the_published_answer);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* What a plugin's scan says, and the cache of it: entries of the cache's list, and the descriptors in them. What is taken over
 * is whole: written again it reads the same. */
#include "fuzz.h"
#include "plugin/catalogue_internal.h"
#include "plugin/wire.h"

/* The cache as this program writes it without files, cut where its list of files is empty: "…[" and "]…". */
static char *head, *tail;

static void prepare(void) {
    char path[] = "/tmp/lathe-fuzz-XXXXXX";
    size_t len;
    const int fd = mkstemp(path);
    FUZZ_CHECK(fd >= 0 && close(fd) == 0);
    FUZZ_CHECK(lathe_cache_write(path, NULL, 0, NULL) == LATHE_OK);
    FUZZ_CHECK(lathe_read_file(path, 1 << 20, &head, &len, NULL) == LATHE_OK);
    unlink(path);
    char *list = strstr(head, "[]");
    FUZZ_CHECK(list != NULL);
    tail = list + 1;
}

/* Descriptors as a scan gives them. */
static void read_descriptors(const char *text, size_t len) {
    lathe_json *doc = lathe_json_read(text, len, "scan", NULL, NULL);
    lathe_arena *arena = lathe_arena_new();
    const cJSON *root = doc ? lathe_json_root(doc) : NULL, *item;
    cJSON_ArrayForEach(item, root) {
        const lathe_descriptor *d, *again;
        lathe_error err = {0};
        if (lathe_wire_read(arena, doc, item, &d, &err) != LATHE_OK) {
            FUZZ_CHECK(err.message[0] != 0);
            continue;
        }
        lathe_buf once = {0}, twice = {0};
        lathe_jsonw w = lathe_jsonw_to(&once);
        lathe_wire_write(d, &w);
        lathe_json *copy = lathe_json_read(once.data, once.len, "again", NULL, &err);
        FUZZ_CHECK(copy != NULL);
        FUZZ_CHECK(lathe_wire_read(arena, copy, lathe_json_root(copy), &again, &err) == LATHE_OK);
        w = lathe_jsonw_to(&twice);
        lathe_wire_write(again, &w);
        FUZZ_CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
        lathe_json_free(copy);
        lathe_buf_free(&once);
        lathe_buf_free(&twice);
    }
    lathe_json_free(doc);
    lathe_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lathe_buf text = {0};
    lathe_file_record file = {.file = {.path = "/p/a.so", .size = 1, .mtime_ns = 2, .inode = 3}};
    lathe_arena *arena = lathe_arena_new();
    if (head == NULL)
        prepare();
    FUZZ_CHECK(arena != NULL);
    lathe_buf_append(&text, head, (size_t)(tail - head));
    lathe_buf_append(&text, data, size);
    lathe_buf_append_str(&text, tail);
    if (lathe_cache_read(fuzz_file(0, (const uint8_t *)text.data, text.len), arena, &file, 1) > 0) {
        FUZZ_CHECK(file.file.status == LATHE_FILE_READY ? file.plugins != NULL
                                                        : file.file.reason != NULL);
        if (file.plugins != NULL)
            read_descriptors(file.plugins, strlen(file.plugins));
    }
    read_descriptors((const char *)data, size);
    lathe_buf_free(&text);
    lathe_arena_free(arena);
    return 0;
}

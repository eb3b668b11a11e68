#include "support_store.h"

#include "base/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char scratch[64];
char home[96];
lathe_arena *arena;
lathe_error err;

void set_up(void) {
    set_up_in("/tmp");
}

void set_up_in(const char *folder) {
    snprintf(scratch, sizeof scratch, "%s/lathe-store-XXXXXX", folder);
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    snprintf(home, sizeof home, "%s/home", scratch);
    arena = lathe_arena_new();
    ck_assert_ptr_nonnull(arena);
    lathe_error_clear(&err);
}

void tear_down(void) {
    lathe_arena_free(arena);
    lathe_remove_tree(scratch, NULL);
}

const char *in_scratch(const char *name) {
    static char paths[8][320];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

const char *in_home(const char *name) {
    char inner[200];
    snprintf(inner, sizeof inner, "home/%s", name);
    return in_scratch(inner);
}

void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    ck_assert_msg(f != NULL, "%s cannot be written", path);
    ck_assert(fwrite(text, 1, strlen(text), f) == strlen(text));
    ck_assert(fclose(f) == 0);
}

void flip_bit(const char *path, long offset) {
    ck_assert_msg(chmod(path, 0644) == 0, "%s", path);
    FILE *f = fopen(path, "r+b");
    ck_assert_msg(f != NULL, "%s", path);
    ck_assert(fseek(f, offset, offset < 0 ? SEEK_END : SEEK_SET) == 0);
    int c = fgetc(f);
    ck_assert(c != EOF && fseek(f, -1, SEEK_CUR) == 0);
    ck_assert(fputc(c ^ 0x10, f) != EOF && fclose(f) == 0);
}

lathe_store *open_own(void) {
    lathe_store *store = NULL;
    ck_ok(lathe_store_open(home, LATHE_STORE_OWN, &store, &err));
    return store;
}

void commit_text(lathe_store *store, const char *text, char sha[LATHE_SHA256_HEX]) {
    const char *staging;
    char path[400];
    ck_ok(lathe_store_staging(store, "r1", arena, &staging, &err));
    snprintf(path, sizeof path, "%s/file", staging);
    write_text(path, text);
    ck_ok(lathe_store_artifact_commit(store, path, NULL, "test", sha, NULL, &err));
    ck_assert(rmdir(staging) == 0); // the staged file has gone
}

int64_t register_text(lathe_store *store, const char *model, const char *text, const char *alias,
                      const char *endpoint) {
    char sha[LATHE_SHA256_HEX];
    int64_t version = 0;
    commit_text(store, text, sha);
    lathe_version_new info = {.model = model, .sha256 = sha, .alias = alias, .endpoint = endpoint};
    ck_ok(lathe_store_version_register(store, &info, &version, &err));
    return version;
}

const char *artifact_file(const char *sha) {
    char path[160];
    snprintf(path, sizeof path, "artifacts/sha256/%.2s/%s", sha, sha);
    return in_home(path);
}

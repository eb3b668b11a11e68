/* Helpers of the store's tests: a home in a temporary folder, files with content, failing system calls. */
#ifndef LATHE_TEST_SUPPORT_STORE_H
#define LATHE_TEST_SUPPORT_STORE_H

#include "store/store.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* A fresh folder and, in it, paths for a home and other things; removed by tear_down. */
extern char scratch[64];
extern char home[96];
extern lathe_arena *arena;
extern lathe_error err;

void set_up(void);
void set_up_in(const char *folder);
void tear_down(void);

/* scratch/name; valid until eight further calls. */
const char *in_scratch(const char *name);
const char *in_home(const char *name);

void write_text(const char *path, const char *text);
/* Flips one bit at `offset` (negative: from the end), whatever the permissions. */
void flip_bit(const char *path, long offset);

lathe_store *open_own(void);
/* Stages `text` and commits it; sha gets its digest. */
void commit_text(lathe_store *store, const char *text, char sha[LATHE_SHA256_HEX]);
/* Registers a version with `text` as its file, alias and endpoint as given. */
int64_t register_text(lathe_store *store, const char *model, const char *text, const char *alias,
                      const char *endpoint);
/* home/artifacts/sha256/ab/… */
const char *artifact_file(const char *sha);

#define ck_ok(call)                                                                                \
    do {                                                                                           \
        int32_t rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == LATHE_OK, "%s: %s: %s", #call, err.where, err.message);               \
    } while (0)

/* The call fails with this code, and the message holds this text. */
#define ck_fails(call, want, text)                                                                 \
    do {                                                                                           \
        lathe_error_clear(&err);                                                                   \
        int32_t rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == (want) && err.code == (want), "%s: code %d (%s)", #call, rc_,         \
                      err.message);                                                                \
        ck_assert_msg(strstr(err.message, (text)) != NULL, "%s: message: %s", #call, err.message); \
    } while (0)

#endif

/* Tokens: made, rotated, revoked, audited; their secrets are nowhere in the home or in the log. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "store/db.h"
#include "store/usage.h"
#include "support_store.h"

#include <dirent.h>
#include <stdlib.h>

static lathe_store *store;
static char secret[LATHE_TOKEN_TEXT];

static void set_up_store(void) {
    set_up();
    store = open_own();
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

static void make(const char *name, lathe_role role) {
    const lathe_token_new info = {.name = name, .role = role};
    ck_ok(lathe_store_token_create(store, &info, secret, &err));
}

static lathe_token_record token(size_t i) {
    lathe_token_list list;
    ck_ok(lathe_store_tokens(store, arena, &list, &err));
    ck_assert_uint_lt(i, list.count);
    return list.items[i];
}

static lathe_audit_list audit(void) {
    lathe_audit_list list;
    ck_ok(lathe_store_audit(store, 0, 0, arena, &list, &err));
    return list;
}

static const lathe_quota none;

START_TEST(a_secret_is_shown_once_and_its_digest_kept) {
    char sha[LATHE_SHA256_HEX];
    const int64_t expires = lathe_wall_us() + 1000000000;
    const lathe_token_new info = {.name = "ci",
                                  .role = LATHE_ROLE_OPERATE,
                                  .project = "credit",
                                  .expires = expires,
                                  .rate = 2.5};
    ck_ok(lathe_store_project_set(store, "credit", &none, true, &err));
    ck_ok(lathe_store_token_create(store, &info, secret, &err));
    ck_assert_uint_eq(strlen(secret), LATHE_TOKEN_TEXT - 1);
    ck_assert_int_eq(strncmp(secret, "lathe_", 6), 0);
    ck_assert_uint_eq(strspn(secret + 6, "0123456789abcdef"), 64);
    ck_assert(lathe_sha256_hex(secret, strlen(secret), sha));
    const lathe_token_record t = token(0);
    ck_assert_str_eq(t.sha256, sha);
    ck_assert_str_eq(t.name, "ci");
    ck_assert_int_eq(t.role, LATHE_ROLE_OPERATE);
    ck_assert_str_eq(t.project, "credit");
    ck_assert_double_eq(t.rate, 2.5);
    ck_assert_int_eq(t.expires, expires);
    ck_assert_int_eq(t.revoked, 0);
    ck_assert_int_eq(t.used, 0);
    ck_assert_str_eq(t.previous, "");
    char first[LATHE_TOKEN_TEXT];
    memcpy(first, secret, sizeof first);
    make("other", LATHE_ROLE_INFER);
    ck_assert_str_ne(first, secret);
    ck_assert_int_eq(token(1).expires, 0);
    ck_assert_double_eq(token(1).rate, 0);
    ck_assert_str_eq(token(1).project, "");
}
END_TEST

START_TEST(a_project_must_be_there) {
    lathe_token_new info = {.name = "ci", .role = LATHE_ROLE_READ, .project = "credi"};
    ck_ok(lathe_store_project_set(store, "credit", &none, true, &err));
    ck_fails(lathe_store_token_create(store, &info, secret, &err), LATHE_E_NOT_FOUND,
             "did you mean 'credit'");
    ck_assert_str_eq(secret, "");
    info.project = "default"; /* nothing was trained yet */
    ck_ok(lathe_store_token_create(store, &info, secret, &err));
    ck_assert_str_eq(token(0).project, "default");
}
END_TEST

START_TEST(what_makes_no_sense_is_refused_and_leaves_nothing) {
    lathe_token_list list;
    const lathe_token_new bad[] = {
        {.name = "", .role = LATHE_ROLE_READ},
        {.name = "../x", .role = LATHE_ROLE_READ},
        {.name = NULL, .role = LATHE_ROLE_READ},
        {.name = "a", .role = LATHE_ROLE_NONE},
        {.name = "a", .role = (lathe_role)5},
        {.name = "a", .role = LATHE_ROLE_READ, .rate = -1},
        {.name = "a", .role = LATHE_ROLE_READ, .rate = 1.0 / 0.0},
        {.name = "a", .role = LATHE_ROLE_READ, .rate = 0.0 / 0.0},
        {.name = "a", .role = LATHE_ROLE_READ, .expires = 1},
        {.name = "a", .role = LATHE_ROLE_READ, .expires = -1},
        {.name = "a", .role = LATHE_ROLE_READ, .project = "no/such"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(secret, 'x', sizeof secret);
        ck_fails(lathe_store_token_create(store, &bad[i], secret, &err), LATHE_E_INVALID, "");
        ck_assert_str_eq(secret, "");
    }
    ck_ok(lathe_store_tokens(store, arena, &list, &err));
    ck_assert_uint_eq(list.count, 0);
    ck_assert_uint_eq(audit().count, 0);
    make("ci", LATHE_ROLE_READ);
    const lathe_token_new again = {.name = "ci", .role = LATHE_ROLE_ADMIN};
    ck_fails(lathe_store_token_create(store, &again, secret, &err), LATHE_E_EXISTS, "rotate");
    ck_assert_str_eq(secret, "");
    ck_ok(lathe_store_token_revoke(store, "ci", NULL, &err));
    ck_fails(lathe_store_token_create(store, &again, secret, &err), LATHE_E_EXISTS, "was revoked");
    ck_fails(lathe_store_token_revoke(store, "cj", NULL, &err), LATHE_E_NOT_FOUND,
             "did you mean 'ci'");
    ck_fails(lathe_store_token_rotate(store, "zzzzzz", 0, secret, &err), LATHE_E_NOT_FOUND,
             "no token");
    ck_fails(lathe_store_token_rotate(store, "ci", -1, secret, &err), LATHE_E_INVALID, "grace");
}
END_TEST

START_TEST(rotation_keeps_the_secret_before_for_its_grace) {
    make("ci", LATHE_ROLE_READ);
    const lathe_token_record before = token(0);
    const int64_t now = lathe_wall_us();
    ck_ok(lathe_store_token_rotate(store, "ci", 60000000, secret, &err));
    lathe_token_record t = token(0);
    ck_assert_int_eq(t.id, before.id);
    ck_assert_str_ne(t.sha256, before.sha256);
    ck_assert_str_eq(t.previous, before.sha256);
    ck_assert_int_ge(t.previous_until, now + 60000000);
    ck_assert_int_le(t.previous_until, lathe_wall_us() + 60000000);
    ck_assert_int_eq(t.role, LATHE_ROLE_READ);
    ck_ok(lathe_store_token_rotate(store, "ci", 0, secret, &err));
    t = token(0);
    ck_assert_str_eq(t.previous, "");
    ck_assert_int_eq(t.previous_until, 0);
    ck_ok(lathe_store_token_revoke(store, "ci", "left", &err));
    ck_fails(lathe_store_token_rotate(store, "ci", 0, secret, &err), LATHE_E_STATE, "revoked");
    ck_assert_str_eq(secret, "");
}
END_TEST

START_TEST(an_expired_token_is_not_rotated) {
    make("ci", LATHE_ROLE_READ);
    ck_ok(lathe_db_run(store, NULL, &err, "UPDATE tokens SET expires = 5", ""));
    ck_fails(lathe_store_token_rotate(store, "ci", 0, secret, &err), LATHE_E_STATE, "expired");
}
END_TEST

START_TEST(revoking_is_for_ever_and_told_once) {
    make("ci", LATHE_ROLE_READ);
    ck_ok(lathe_store_token_revoke(store, "ci", "laptop stolen", &err));
    const int64_t revoked = token(0).revoked;
    ck_assert_int_gt(revoked, 0);
    ck_ok(lathe_store_token_revoke(store, "ci", NULL, &err));
    ck_assert_int_eq(token(0).revoked, revoked);
    ck_assert_uint_eq(audit().count, 2);
}
END_TEST

START_TEST(every_change_is_audited_with_its_actor) {
    static const char *const actions[] = {"token.create", "token.rotate", "token.revoke"};
    ck_ok(lathe_store_set_actor(store, "token:root", &err));
    ck_assert_str_eq(lathe_store_get_actor(store), "token:root");
    const lathe_token_new info = {.name = "ci", .role = LATHE_ROLE_INFER, .rate = 10};
    ck_ok(lathe_store_token_create(store, &info, secret, &err));
    ck_ok(lathe_store_token_rotate(store, "ci", 3600000000, secret, &err));
    ck_ok(lathe_store_token_revoke(store, "ci", "done", &err));
    const lathe_audit_list list = audit();
    ck_assert_uint_eq(list.count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(list.items[i].action, actions[i]);
        ck_assert_str_eq(list.items[i].subject, "ci");
        ck_assert_str_eq(list.items[i].actor, "token:root");
        ck_assert_ptr_null(strstr(list.items[i].detail, token(0).sha256));
    }
    ck_assert_str_eq(list.items[0].detail, "{\"role\":\"infer\",\"project\":\"\",\"rate\":10}");
    ck_assert_str_eq(list.items[1].detail, "{\"grace_seconds\":3600}");
    ck_assert_str_eq(list.items[2].detail, "{\"reason\":\"done\"}");
    ck_ok(lathe_store_audit_verify(store, NULL, NULL, &err));
}
END_TEST

START_TEST(the_audit_log_stands_against_tampering) {
    int64_t rows = 0;
    make("ci", LATHE_ROLE_ADMIN);
    ck_ok(lathe_store_token_revoke(store, "ci", NULL, &err));
    ck_assert_int_ne(lathe_db_run(store, NULL, &err, "UPDATE audit SET actor = 'nobody'", ""),
                     LATHE_OK);
    ck_assert_int_ne(lathe_db_run(store, NULL, &err, "DELETE FROM audit", ""), LATHE_OK);
    ck_ok(lathe_store_audit_verify(store, &rows, NULL, &err));
    ck_assert_int_eq(rows, 2);
    ck_ok(lathe_db_script(store, "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;",
                          &err));
    ck_ok(lathe_db_script(store, "UPDATE audit SET actor = 'nobody' WHERE seq = 1", &err));
    ck_fails(lathe_store_audit_verify(store, NULL, NULL, &err), LATHE_E_CORRUPT,
             "audit row 1 (token.create ci)");
}
END_TEST

START_TEST(a_cut_audit_log_is_found) {
    make("ci", LATHE_ROLE_ADMIN);
    ck_ok(lathe_store_token_revoke(store, "ci", NULL, &err));
    ck_ok(lathe_db_script(store, "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq = 2",
                          &err));
    ck_fails(lathe_store_audit_verify(store, NULL, NULL, &err), LATHE_E_CORRUPT, "cut");
}
END_TEST

START_TEST(last_use_is_coarse_and_only_grows) {
    make("ci", LATHE_ROLE_READ);
    ck_ok(lathe_store_token_used(store, token(0).id, 125000000, &err));
    ck_assert_int_eq(token(0).used, 120000000);
    ck_ok(lathe_store_token_used(store, token(0).id, 65000000, &err));
    ck_assert_int_eq(token(0).used, 120000000);
    ck_assert_uint_eq(audit().count, 1);
}
END_TEST

START_TEST(an_unknown_role_in_the_database_gives_no_rights) {
    make("ci", LATHE_ROLE_READ);
    ck_ok(lathe_db_script(store, "UPDATE tokens SET role = 'root', scope = '[1]'", &err));
    ck_assert_int_eq(token(0).role, LATHE_ROLE_NONE);
    ck_assert_str_eq(token(0).project, "");
}
END_TEST

/* ---- secrets ---- */

static char logged[8192];

static void keep_log(void *user, lathe_log_level level, const char *component,
                     const char *message) {
    (void)user, (void)level, (void)component;
    strncat(logged, message, sizeof logged - strlen(logged) - 1);
}

static bool folder_holds(const char *folder, const char *text) {
    bool found = false;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_type == DT_DIR) {
            found = found || (e->d_name[0] != '.' && folder_holds(path, text));
            continue;
        }
        FILE *f = fopen(path, "rb");
        static char bytes[4 << 20];
        ck_assert_ptr_nonnull(f);
        const size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        found = found || memmem(bytes, n, text, strlen(text)) != NULL;
    }
    closedir(dir);
    return found;
}

START_TEST(no_secret_reaches_the_home_or_the_log) {
    char first[LATHE_TOKEN_TEXT];
    lathe_log_set_sink(keep_log, NULL);
    lathe_log_set_level(LATHE_LEVEL_DEBUG);
    make("ci", LATHE_ROLE_ADMIN);
    memcpy(first, secret, sizeof first);
    ck_ok(lathe_store_token_rotate(store, "ci", 60000000, secret, &err));
    ck_assert(folder_holds(home, token(0).sha256)); // the search finds what is there
    ck_assert(!folder_holds(home, first + 6));
    ck_assert(!folder_holds(home, secret + 6));
    lathe_store_close(store);
    store = open_own(); // the log of the database has been merged
    ck_assert(folder_holds(home, token(0).sha256));
    ck_assert(!folder_holds(home, first + 6));
    ck_assert(!folder_holds(home, secret + 6));
    ck_assert_ptr_null(strstr(logged, first + 6));
    ck_assert_ptr_null(strstr(logged, secret + 6));
    lathe_log_set_sink(NULL, NULL);
}
END_TEST

START_TEST(a_reader_cannot_write_tokens) {
    lathe_store *reader;
    make("ci", LATHE_ROLE_READ);
    ck_ok(lathe_store_open(home, LATHE_STORE_READ, &reader, &err));
    const lathe_token_new info = {.name = "x", .role = LATHE_ROLE_READ};
    ck_fails(lathe_store_token_create(reader, &info, secret, &err), LATHE_E_STATE, "");
    ck_assert_str_eq(secret, "");
    ck_fails(lathe_store_token_revoke(reader, "ci", NULL, &err), LATHE_E_STATE, "");
    lathe_store_close(reader);
}
END_TEST

START_TEST(roles_have_names_and_an_order) {
    ck_assert_int_lt(LATHE_ROLE_INFER, LATHE_ROLE_READ);
    ck_assert_int_lt(LATHE_ROLE_READ, LATHE_ROLE_OPERATE);
    ck_assert_int_lt(LATHE_ROLE_OPERATE, LATHE_ROLE_ADMIN);
    for (int r = LATHE_ROLE_INFER; r <= LATHE_ROLE_ADMIN; r++)
        ck_assert_int_eq(lathe_role_parse(lathe_role_name((lathe_role)r)), r);
    ck_assert_int_eq(lathe_role_parse("none"), LATHE_ROLE_NONE);
    ck_assert_int_eq(lathe_role_parse("Admin"), LATHE_ROLE_NONE);
    ck_assert_int_eq(lathe_role_parse(NULL), LATHE_ROLE_NONE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_tokens");
    TCase *t = tcase_create("tokens");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_add_test(t, a_secret_is_shown_once_and_its_digest_kept);
    tcase_add_test(t, a_project_must_be_there);
    tcase_add_test(t, what_makes_no_sense_is_refused_and_leaves_nothing);
    tcase_add_test(t, rotation_keeps_the_secret_before_for_its_grace);
    tcase_add_test(t, an_expired_token_is_not_rotated);
    tcase_add_test(t, revoking_is_for_ever_and_told_once);
    tcase_add_test(t, every_change_is_audited_with_its_actor);
    tcase_add_test(t, the_audit_log_stands_against_tampering);
    tcase_add_test(t, a_cut_audit_log_is_found);
    tcase_add_test(t, last_use_is_coarse_and_only_grows);
    tcase_add_test(t, an_unknown_role_in_the_database_gives_no_rights);
    tcase_add_test(t, no_secret_reaches_the_home_or_the_log);
    tcase_add_test(t, a_reader_cannot_write_tokens);
    tcase_add_test(t, roles_have_names_and_an_order);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

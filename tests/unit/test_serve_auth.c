/* Who may ask for what: roles, expiry, revocation, rotation, rates, headers, origins. */
#include "base/clock.h"
#include "base/json.h"
#include "serve/auth/auth.h"
#include "store/db.h"
#include "support_store.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static lathe_store *store;
static lathe_auth *auth;
static lathe_auth_verdict verdict;
static int compared; /* calls of the constant-time comparison */
static int64_t now_us, now_ns;

/* Takes the place of the library's, to count. */
int CRYPTO_memcmp(const void *a, const void *b, size_t n) {
    const volatile unsigned char *x = a, *y = b;
    unsigned char different = 0;
    compared++;
    for (size_t i = 0; i < n; i++)
        different |= x[i] ^ y[i];
    return different;
}

static void set_up_auth(void) {
    set_up();
    store = open_own();
    auth = lathe_auth_new();
    ck_assert_ptr_nonnull(auth);
    now_us = lathe_wall_us();
    now_ns = (int64_t)5e12;
}

static void tear_down_auth(void) {
    lathe_auth_free(auth);
    lathe_store_close(store);
    tear_down();
}

typedef struct secret_text {
    char text[LATHE_TOKEN_TEXT];
} secret_text;

static secret_text make(const char *name, lathe_role role, double rate) {
    secret_text s;
    const lathe_token_new info = {.name = name, .role = role, .rate = rate};
    ck_ok(lathe_store_token_create(store, &info, s.text, &err));
    return s;
}

static lathe_http_text text(const char *value) {
    return (lathe_http_text){value, value ? strlen(value) : 0};
}

static int check_in(lathe_auth *table, const char *authorization, const char *key,
                    lathe_role need) {
    lathe_auth_check(table, text(authorization), text(key), need, now_us, now_ns, &verdict);
    return verdict.status;
}

static int check(const char *authorization, lathe_role need) {
    return check_in(auth, authorization, NULL, need);
}

static int ask(const char *secret, lathe_role need) {
    char header[200];
    snprintf(header, sizeof header, "Bearer %s", secret);
    return check(header, need);
}

static void load(void) {
    ck_ok(lathe_auth_load(auth, store, &err));
}

/* The table of a worker, by way of the text that goes through the pipe. */
static lathe_auth *worker_table(void) {
    lathe_buf line = {0};
    cJSON *message = lathe_auth_message(auth);
    ck_assert_ptr_nonnull(message);
    lathe_json_print(NULL, message, &line);
    cJSON_Delete(message);
    message = cJSON_Parse(lathe_buf_str(&line));
    lathe_buf_free(&line);
    lathe_auth *worker = lathe_auth_new();
    ck_ok(lathe_auth_read(worker, message, &err));
    cJSON_Delete(message);
    return worker;
}

START_TEST(without_tokens_all_is_open_and_before_a_table_nothing_is) {
    ck_assert(lathe_auth_required(auth));
    ck_assert_int_eq(check(NULL, LATHE_ROLE_INFER), 401);
    ck_assert_int_eq(check(NULL, LATHE_ROLE_NONE), 200);
    load();
    ck_assert(!lathe_auth_required(auth));
    ck_assert_int_eq(check(NULL, LATHE_ROLE_ADMIN), 200);
    ck_assert_int_eq(verdict.who.role, LATHE_ROLE_ADMIN);
    ck_assert_str_eq(verdict.who.actor, "");
    make("ci", LATHE_ROLE_ADMIN, 0);
    load();
    ck_assert(lathe_auth_required(auth));
    ck_assert_int_eq(check(NULL, LATHE_ROLE_INFER), 401);
    ck_assert_int_eq(check("Bearer nonsense=", LATHE_ROLE_NONE), 200);
    ck_assert_int_eq(verdict.who.role, LATHE_ROLE_NONE);
    ck_ok(lathe_store_token_revoke(store, "ci", NULL, &err));
    load(); // revoking the last one does not open the door
    ck_assert(lathe_auth_required(auth));
    ck_assert_int_eq(check(NULL, LATHE_ROLE_INFER), 401);
}
END_TEST

START_TEST(each_role_may_what_those_before_it_may) {
    secret_text s[5];
    for (int r = LATHE_ROLE_INFER; r <= LATHE_ROLE_ADMIN; r++)
        s[r] = make(lathe_role_name((lathe_role)r), (lathe_role)r, 0);
    load();
    lathe_auth *worker = worker_table();
    for (int r = LATHE_ROLE_INFER; r <= LATHE_ROLE_ADMIN; r++)
        for (int need = LATHE_ROLE_INFER; need <= LATHE_ROLE_ADMIN; need++) {
            char header[100], actor[40];
            ck_assert_int_eq(ask(s[r].text, (lathe_role)need), r >= need ? 200 : 403);
            if (r < need)
                ck_assert_ptr_nonnull(strstr(verdict.headers, "insufficient_scope"));
            snprintf(header, sizeof header, "Bearer %s", s[r].text);
            ck_assert_int_eq(check_in(worker, header, NULL, (lathe_role)need),
                             r >= need ? 200 : 403);
            lathe_auth_check_secret(auth, s[r].text, (lathe_role)need, now_us, &verdict);
            ck_assert_int_eq(verdict.status, r >= need ? 200 : 403);
            snprintf(actor, sizeof actor, "token:%s", lathe_role_name((lathe_role)r));
            ck_assert_str_eq(verdict.who.actor, r >= need ? actor : "");
        }
    lathe_auth_check_secret(auth, NULL, LATHE_ROLE_INFER, now_us, &verdict);
    ck_assert_int_eq(verdict.status, 401);
    lathe_auth_check_secret(auth, "", LATHE_ROLE_INFER, now_us, &verdict);
    ck_assert_int_eq(verdict.status, 401);
    lathe_auth_free(worker);
}
END_TEST

START_TEST(a_token_ends_at_its_expiry) {
    secret_text s;
    const lathe_token_new info = {
        .name = "ci", .role = LATHE_ROLE_READ, .expires = now_us + 1000000000};
    ck_ok(lathe_store_token_create(store, &info, s.text, &err));
    load();
    lathe_auth *worker = worker_table();
    char header[100];
    snprintf(header, sizeof header, "Bearer %s", s.text);
    now_us = info.expires - 1;
    ck_assert_int_eq(check(header, LATHE_ROLE_READ), 200);
    ck_assert_int_eq(check_in(worker, header, NULL, LATHE_ROLE_READ), 200);
    now_us = info.expires;
    ck_assert_int_eq(check(header, LATHE_ROLE_READ), 401);
    ck_assert_ptr_nonnull(strstr(verdict.message, "expired"));
    ck_assert_ptr_nonnull(strstr(verdict.headers, "invalid_token"));
    ck_assert_int_eq(check_in(worker, header, NULL, LATHE_ROLE_READ), 401);
    lathe_auth_free(worker);
}
END_TEST

START_TEST(a_revoked_token_is_refused_at_once) {
    const secret_text a = make("a", LATHE_ROLE_READ, 0), b = make("b", LATHE_ROLE_READ, 0);
    load();
    ck_assert_int_eq(ask(a.text, LATHE_ROLE_READ), 200);
    ck_ok(lathe_store_token_revoke(store, "a", NULL, &err));
    load();
    ck_assert_int_eq(ask(a.text, LATHE_ROLE_READ), 401);
    ck_assert_ptr_nonnull(strstr(verdict.message, "revoked"));
    ck_assert_int_eq(ask(b.text, LATHE_ROLE_READ), 200);
    lathe_auth *worker = worker_table();
    char header[100];
    snprintf(header, sizeof header, "Bearer %s", a.text);
    ck_assert_int_eq(check_in(worker, header, NULL, LATHE_ROLE_READ), 401);
    lathe_auth_free(worker);
}
END_TEST

START_TEST(after_a_rotation_both_secrets_hold_for_the_grace) {
    const secret_text first = make("ci", LATHE_ROLE_READ, 0);
    secret_text second, third;
    ck_ok(lathe_store_token_rotate(store, "ci", 60000000, second.text, &err));
    load();
    lathe_auth *worker = worker_table();
    char header[100];
    snprintf(header, sizeof header, "Bearer %s", first.text);
    ck_assert_int_eq(ask(first.text, LATHE_ROLE_READ), 200);
    ck_assert_str_eq(verdict.who.actor, "token:ci");
    ck_assert_int_eq(check_in(worker, header, NULL, LATHE_ROLE_READ), 200);
    ck_assert_int_eq(ask(second.text, LATHE_ROLE_READ), 200);
    now_us += 120000000;
    ck_assert_int_eq(ask(first.text, LATHE_ROLE_READ), 401);
    ck_assert_ptr_nonnull(strstr(verdict.message, "new secret"));
    ck_assert_int_eq(check_in(worker, header, NULL, LATHE_ROLE_READ), 401);
    ck_assert_int_eq(ask(second.text, LATHE_ROLE_READ), 200);
    now_us -= 120000000;
    ck_ok(lathe_store_token_rotate(store, "ci", 0, third.text, &err));
    load();
    ck_assert_int_eq(ask(first.text, LATHE_ROLE_READ), 401);
    ck_assert_int_eq(ask(second.text, LATHE_ROLE_READ), 401);
    ck_assert_int_eq(ask(third.text, LATHE_ROLE_READ), 200);
    lathe_auth_free(worker);
}
END_TEST

/* Requests granted of many at one moment. */
static int granted(const char *secret, int n) {
    int count = 0;
    for (int i = 0; i < n; i++)
        count += ask(secret, LATHE_ROLE_INFER) == 200;
    return count;
}

START_TEST(a_rate_grants_a_second_of_requests_and_then_evenly) {
    const secret_text fast = make("fast", LATHE_ROLE_INFER, 10),
                      slow = make("slow", LATHE_ROLE_INFER, 0.25),
                      free_one = make("free", LATHE_ROLE_INFER, 0);
    load();
    ck_assert_int_eq(granted(fast.text, 100), 10);
    ck_assert_int_eq(verdict.status, 429);
    ck_assert_str_eq(verdict.headers, "retry-after: 1\r\n");
    now_ns += 100000000;
    ck_assert_int_eq(granted(fast.text, 100), 1);
    now_ns += 350000000;
    ck_assert_int_eq(granted(fast.text, 100), 3);
    int count = 0; // over 20 s of trying all the time: the burst and ten a second
    now_ns += (int64_t)10e9;
    for (int i = 0; i < 2000; i++, now_ns += 10000000)
        count += ask(fast.text, LATHE_ROLE_INFER) == 200;
    ck_assert_int_ge(count, 209);
    ck_assert_int_le(count, 210);
    ck_assert_int_eq(granted(slow.text, 5), 1);
    ck_assert_str_eq(verdict.headers, "retry-after: 4\r\n");
    ck_assert_int_eq(granted(free_one.text, 1000), 1000);
    ck_assert_int_eq(ask(slow.text, LATHE_ROLE_READ),
                     403); // what a token may not do is not counted
}
END_TEST

START_TEST(workers_share_a_rate_and_garbage_in_it_locks_nobody_out) {
    static _Atomic uint64_t shared[4];
    const secret_text s = make("ci", LATHE_ROLE_INFER, 10);
    load();
    lathe_auth *a = worker_table(), *b = worker_table();
    char header[100];
    int count = 0;
    lathe_auth_share(a, shared, 4);
    lathe_auth_share(b, shared, 4);
    snprintf(header, sizeof header, "Bearer %s", s.text);
    for (int i = 0; i < 50; i++)
        count += check_in(i % 2 ? a : b, header, NULL, LATHE_ROLE_INFER) == 200;
    ck_assert_int_eq(count, 10);
    atomic_store(&shared[0], UINT64_MAX);
    ck_assert_int_eq(check_in(a, header, NULL, LATHE_ROLE_INFER), 200);
    lathe_auth_free(a);
    lathe_auth_free(b);
}
END_TEST

START_TEST(a_rate_survives_a_change_of_the_table) {
    const secret_text s = make("ci", LATHE_ROLE_INFER, 5);
    load();
    ck_assert_int_eq(granted(s.text, 20), 5);
    make("other", LATHE_ROLE_INFER, 1);
    load();
    ck_assert_int_eq(granted(s.text, 20), 0);
}
END_TEST

START_TEST(malformed_headers_are_refused) {
    const secret_text s = make("ci", LATHE_ROLE_ADMIN, 0);
    char good[200], header[400];
    load();
    snprintf(good, sizeof good, "bEaReR   %s \t", s.text);
    ck_assert_int_eq(check(good, LATHE_ROLE_ADMIN), 200);
    static const struct {
        const char *format;
        int status;
    } cases[] = {
        {"", 401},
        {"%s", 401},
        {"Basic %s", 401},
        {"Bearer%s", 401},
        {"Bearer", 400},
        {"Bearer ", 400},
        {"Bearer %s x", 400},
        {"Bearer %s, Bearer x", 400},
        {"Bearer \"%s\"", 400},
        {"Bearer %s\x01", 400},
        {"Bearer x%s", 401},
        {"Bearer %s0", 401},
        {"Bearer %s==", 401},
        {"Bearer =", 400},
        {"Bearer a=b", 400},
        {"Bearer lathe_", 401},
        {"Bearer\t%s", 401},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(header, sizeof header, cases[i].format, s.text);
#pragma GCC diagnostic pop
        ck_assert_msg(check(header, LATHE_ROLE_INFER) == cases[i].status, "%s: %d", header,
                      verdict.status);
        ck_assert_ptr_nonnull(strstr(verdict.headers, "www-authenticate: Bearer realm=\"lathe\""));
        ck_assert_ptr_null(strstr(verdict.message, s.text));
        ck_assert_str_eq(verdict.who.actor, "");
    }
    char *cut = strdup(s.text); // each shorter secret is another one
    for (size_t n = strlen(cut) - 1; n > 0; n--) {
        cut[n] = 0;
        ck_assert_int_eq(ask(cut, LATHE_ROLE_INFER), 401);
    }
    free(cut);
    lathe_auth_check(auth, (lathe_http_text){"Bearer a\0b", 10}, text(NULL), LATHE_ROLE_INFER,
                     now_us, now_ns, &verdict);
    ck_assert_int_eq(verdict.status, 400);
    ck_assert_int_eq(check_in(auth, NULL, s.text, LATHE_ROLE_ADMIN), 200);
    ck_assert_int_eq(check_in(auth, NULL, "", LATHE_ROLE_ADMIN), 400);
    ck_assert_int_eq(check_in(auth, NULL, "x", LATHE_ROLE_ADMIN), 401);
    ck_assert_int_eq(check_in(auth, good, s.text, LATHE_ROLE_ADMIN), 400);
}
END_TEST

START_TEST(every_digest_is_compared_in_constant_time) {
    secret_text s[7];
    for (int i = 0; i < 7; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        s[i] = make(name, LATHE_ROLE_READ, 0);
    }
    load();
    for (int i = 0; i < 7; i++) {
        compared = 0;
        ck_assert_int_eq(ask(s[i].text, LATHE_ROLE_READ), 200);
        ck_assert_int_eq(compared, 14);
    }
    compared = 0;
    ck_assert_int_eq(ask("lathe_0", LATHE_ROLE_READ), 401);
    ck_assert_int_eq(compared, 14);
}
END_TEST

START_TEST(the_message_holds_digests_alone_and_a_broken_one_changes_nothing) {
    const secret_text s = make("ci", LATHE_ROLE_READ, 100);
    load();
    lathe_buf line = {0};
    cJSON *message = lathe_auth_message(auth);
    lathe_json_print(NULL, message, &line);
    cJSON_Delete(message);
    ck_assert_ptr_null(strstr(lathe_buf_str(&line), s.text + 6));
    lathe_buf_free(&line);
    static const char *const broken[] = {
        "{}",
        "{\"auth\":{}}",
        "{\"auth\":{\"required\":false}}",
        "{\"auth\":{\"tokens\":[]}}",
        "{\"auth\":{\"required\":false,\"tokens\":{}}}",
        "{\"auth\":{\"required\":false,\"tokens\":[{}]}}",
        "{\"auth\":{\"required\":false,\"tokens\":[{\"name\":\"a\",\"sha256\":\"12\",\"role\":"
        "\"read\","
        "\"project\":\"\",\"bucket\":0}]}}",
        "{\"auth\":{\"required\":false,\"tokens\":[{\"name\":\"a\",\"sha256\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\",\"role\":\"root\","
        "\"project\":\"\",\"bucket\":0}]}}",
        "{\"auth\":{\"required\":false,\"tokens\":[{\"name\":\"a\",\"sha256\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\",\"role\":\"read\","
        "\"project\":\"\",\"bucket\":-1}]}}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        message = cJSON_Parse(broken[i]);
        ck_assert_msg(message != NULL, "%s", broken[i]);
        ck_fails(lathe_auth_read(auth, message, &err), LATHE_E_INVALID, "");
        cJSON_Delete(message);
        ck_assert(lathe_auth_required(auth));
        ck_assert_int_eq(ask(s.text, LATHE_ROLE_READ), 200);
    }
}
END_TEST

START_TEST(more_tokens_than_shared_buckets_have_their_own) {
    static _Atomic uint64_t shared[1];
    const secret_text a = make("a", LATHE_ROLE_INFER, 2), b = make("b", LATHE_ROLE_INFER, 3);
    lathe_auth_share(auth, shared, 1);
    load();
    ck_assert_int_eq(granted(a.text, 20), 2);
    ck_assert_int_eq(granted(b.text, 20), 3);
    make("c", LATHE_ROLE_INFER, 3);
    load();
    ck_assert_int_eq(granted(b.text, 20), 0);
    ck_assert(atomic_load(&shared[0]) > (uint64_t)now_ns);
}
END_TEST

START_TEST(last_use_is_noted) {
    lathe_token_list list;
    const secret_text s = make("ci", LATHE_ROLE_READ, 0);
    make("idle", LATHE_ROLE_READ, 0);
    load();
    now_ns = lathe_now_ns();
    ck_assert_int_eq(ask(s.text, LATHE_ROLE_READ), 200);
    ck_ok(lathe_auth_save_used(auth, store, &err));
    ck_ok(lathe_store_tokens(store, arena, &list, &err));
    ck_assert_int_gt(list.items[0].used, now_us - 120000000);
    ck_assert_int_le(list.items[0].used, now_us);
    ck_assert_int_eq(list.items[1].used, 0);
}
END_TEST

START_TEST(a_token_without_a_known_role_may_nothing) {
    const secret_text s = make("ci", LATHE_ROLE_ADMIN, 0);
    ck_ok(lathe_db_script(store, "UPDATE tokens SET role = 'superuser'", &err));
    load();
    ck_assert_int_eq(ask(s.text, LATHE_ROLE_INFER), 403);
    lathe_auth *worker = worker_table();
    ck_assert(lathe_auth_required(worker));
    lathe_auth_free(worker);
}
END_TEST

START_TEST(paths_of_the_inference_port_need_roles) {
    static const struct {
        const char *method, *path;
        lathe_role role;
    } cases[] = {
        {"GET", "/v2/health/live", LATHE_ROLE_NONE},
        {"GET", "/v2/health/ready", LATHE_ROLE_NONE},
        {"GET", "/v2", LATHE_ROLE_INFER},
        {"GET", "/v2/healthy", LATHE_ROLE_INFER},
        {"GET", "/v2/models/income", LATHE_ROLE_INFER},
        {"GET", "/v2/models/income/ready", LATHE_ROLE_INFER},
        {"GET", "/v2/models/income/config", LATHE_ROLE_INFER},
        {"GET", "/v2/models/income/stats", LATHE_ROLE_READ},
        {"GET", "/v2/models/stats", LATHE_ROLE_READ},
        {"POST", "/v2/models/income/infer", LATHE_ROLE_INFER},
        {"POST", "/v2/models/income/versions/3/infer", LATHE_ROLE_INFER},
        {"POST", "/v2/repository/index", LATHE_ROLE_READ},
        {"POST", "/v2/repository/models/income/load", LATHE_ROLE_OPERATE},
        {"POST", "/v2/repository/models/income/unload", LATHE_ROLE_OPERATE},
        {"GET", "/v2/logging", LATHE_ROLE_READ},
        {"POST", "/v2/logging", LATHE_ROLE_OPERATE},
        {"POST", "/v2/models/income/trace/setting", LATHE_ROLE_OPERATE},
        {"POST", "/v2/systemsharedmemory/region/a/register", LATHE_ROLE_OPERATE},
        {"GET", "/v2/cudasharedmemory/status", LATHE_ROLE_READ},
        {"GET", "/", LATHE_ROLE_INFER},
        {"GET", "", LATHE_ROLE_INFER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(lathe_auth_inference_role(cases[i].method, cases[i].path) == cases[i].role,
                      "%s", cases[i].path);
}
END_TEST

START_TEST(pages_of_others_are_foreign) {
    static const struct {
        const char *host, *origin;
        bool any_host, foreign;
    } cases[] = {
        {NULL, NULL, false, false},
        {"127.0.0.1:8080", NULL, false, false},
        {"localhost", NULL, false, false},
        {"LocalHost:8080", "http://localhost:8080", false, false},
        {"[::1]:8080", "http://[::1]:8080", false, false},
        {"10.1.2.3", NULL, false, false},
        {"evil.example:8080", NULL, false, true},
        {"evil.example:8080", NULL, true, false},
        {"evil.example:8080", "http://evil.example:8080", true, false},
        {"evil.example:8080", "http://evil.example:8080", false, true},
        {"127.0.0.1.evil.example", NULL, false, true},
        {"localhost.evil.example", NULL, false, true},
        {"", NULL, false, true},
        {"[", NULL, false, true},
        {"[]", NULL, false, true},
        {"127.0.0.1:8080", "http://evil.example", false, true},
        {"127.0.0.1:8080", "http://127.0.0.1:9090", false, true},
        {"127.0.0.1:8080", "null", false, true},
        {"127.0.0.1:8080", "", false, true},
        {"127.0.0.1:8080", "http://", false, true},
        {NULL, "http://evil.example", true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(lathe_auth_is_foreign(text(cases[i].host), text(cases[i].origin),
                                            cases[i].any_host) == cases[i].foreign,
                      "case %zu", i);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_auth");
    TCase *t = tcase_create("auth");
    tcase_add_checked_fixture(t, set_up_auth, tear_down_auth);
    tcase_add_test(t, without_tokens_all_is_open_and_before_a_table_nothing_is);
    tcase_add_test(t, each_role_may_what_those_before_it_may);
    tcase_add_test(t, a_token_ends_at_its_expiry);
    tcase_add_test(t, a_revoked_token_is_refused_at_once);
    tcase_add_test(t, after_a_rotation_both_secrets_hold_for_the_grace);
    tcase_add_test(t, a_rate_grants_a_second_of_requests_and_then_evenly);
    tcase_add_test(t, workers_share_a_rate_and_garbage_in_it_locks_nobody_out);
    tcase_add_test(t, a_rate_survives_a_change_of_the_table);
    tcase_add_test(t, malformed_headers_are_refused);
    tcase_add_test(t, every_digest_is_compared_in_constant_time);
    tcase_add_test(t, the_message_holds_digests_alone_and_a_broken_one_changes_nothing);
    tcase_add_test(t, more_tokens_than_shared_buckets_have_their_own);
    tcase_add_test(t, last_use_is_noted);
    tcase_add_test(t, a_token_without_a_known_role_may_nothing);
    tcase_add_test(t, paths_of_the_inference_port_need_roles);
    tcase_add_test(t, pages_of_others_are_foreign);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

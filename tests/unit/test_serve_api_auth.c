/* The control plane behind tokens: which role each route needs, who is noted as having done what. The HTTP layer is
 * taken out: exchanges are made here. */
#include "base/log.h"
#include "serve/supervisor/internal.h"
#include "support_store.h"

#include <stdarg.h>
#include <stdlib.h>

struct lathe_exchange {
    lathe_http_request request;
    const char *authorization, *host, *origin;
    int status; /* 0: not answered yet */
    char headers[300], body[4096];
};

/* ---- the HTTP layer's functions ---- */

int32_t lathe_http_start(uv_loop_t *loop, int socket, const lathe_http_options *options,
                         lathe_http **server, lathe_error *e) {
    (void)loop, (void)socket, (void)options, (void)server;
    return lathe_fail(e, LATHE_E_UNSUPPORTED, NULL, "no sockets in this test");
}

void lathe_http_stop(lathe_http *server, uint64_t grace_ms, void (*on_stopped)(void *user),
                     void *user) {
    (void)server, (void)grace_ms, (void)on_stopped, (void)user;
}

void lathe_http_set_limits(lathe_http *server, const lathe_http_limits *limits) {
    (void)server, (void)limits;
}

const lathe_http_request *lathe_http_get(const lathe_exchange *x) {
    return &x->request;
}

lathe_http_text lathe_http_header_of(const lathe_exchange *x, const char *name, size_t len) {
    (void)len;
    const char *value = strcmp(name, "authorization") == 0 ? x->authorization
                        : strcmp(name, "host") == 0        ? x->host
                        : strcmp(name, "origin") == 0      ? x->origin
                                                           : NULL;
    return (lathe_http_text){value, value ? strlen(value) : 0};
}

const char *lathe_http_query(const lathe_exchange *x, const char *name, char *buf, size_t size) {
    (void)x, (void)name, (void)buf, (void)size;
    return NULL;
}

const char *lathe_http_peer(const lathe_exchange *x) {
    (void)x;
    return "127.0.0.1:1";
}

void lathe_http_on_gone(lathe_exchange *x, void (*on_gone)(void *user), void *user) {
    (void)x, (void)on_gone, (void)user;
}

void lathe_http_reply(lathe_exchange *x, int status, const char *type, const char *headers,
                      const void *body, size_t len) {
    (void)type;
    ck_assert_int_eq(x->status, 0); // one answer a request
    x->status = status;
    snprintf(x->headers, sizeof x->headers, "%s", headers ? headers : "");
    snprintf(x->body, sizeof x->body, "%.*s", (int)len, (const char *)body);
}

void lathe_http_fail(lathe_exchange *x, int status, const char *headers, const char *fmt, ...) {
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    lathe_http_reply(x, status, "application/json", headers, message, strlen(message));
}

void lathe_http_stream_begin(lathe_exchange *x, int status, const char *type) {
    lathe_http_reply(x, status, type, NULL, "", 0);
}

bool lathe_http_stream_write(lathe_exchange *x, const void *data, size_t len) {
    (void)x, (void)data, (void)len;
    return false;
}

void lathe_http_stream_end(lathe_exchange *x) {
    (void)x;
}

/* ---- a supervisor without workers ---- */

static lathe_supervisor s;
static lathe_exchange last;
static char logged[65536];

static void keep_log(void *user, lathe_log_level level, const char *component,
                     const char *message) {
    (void)user, (void)level, (void)component;
    strncat(logged, message, sizeof logged - strlen(logged) - 1);
}

static void set_up_service(void) {
    set_up();
    lathe_log_set_sink(keep_log, NULL);
    memset(&s, 0, sizeof s);
    lathe_serve_config_init(&s.config);
    ck_assert_int_eq(uv_loop_init(&s.loop), 0);
    s.arena = lathe_arena_new();
    s.store = open_own();
    s.own_actor = "service";
    s.unloaded = cJSON_CreateObject();
    s.auth = lathe_auth_new();
    ck_ok(lathe_auth_load(s.auth, s.store, &err));
    register_text(s.store, "income", "one", "live", NULL);
    register_text(s.store, "income", "two", "live", "income-api");
}

static void tear_down_service(void) {
    lathe_log_set_sink(NULL, NULL);
    uv_run(&s.loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(uv_loop_close(&s.loop), 0);
    lathe_auth_free(s.auth);
    lathe_api_close(&s);
    cJSON_Delete(s.unloaded);
    cJSON_Delete(s.table);
    lathe_store_close(s.store);
    lathe_arena_free(s.arena);
    tear_down();
}

/* One request, answered; secret NULL: without a token. */
static int request(const char *secret, const char *method, const char *path, const char *body) {
    static char header[200];
    snprintf(header, sizeof header, "Bearer %s", secret ? secret : "");
    last = (lathe_exchange){.request = {.method = method,
                                        .path = path,
                                        .query = "",
                                        .body = (const uint8_t *)body,
                                        .body_len = body ? strlen(body) : 0},
                            .authorization = secret ? header : NULL,
                            .host = last.host,
                            .origin = last.origin};
    lathe_api_request(&s, &last);
    while (last.status == 0 && uv_loop_alive(&s.loop)) {
        uv_run(&s.loop, UV_RUN_ONCE);
        lathe_supervisor_reached(&s); // no worker is behind
    }
    uv_run(&s.loop, UV_RUN_NOWAIT);
    ck_assert_msg(last.status != 0, "%s %s is not answered", method, path);
    return last.status;
}

typedef struct secret_text {
    char text[LATHE_TOKEN_TEXT];
} secret_text;

static secret_text make(const char *name, lathe_role role) {
    secret_text t;
    const lathe_token_new info = {.name = name, .role = role};
    ck_ok(lathe_store_token_create(s.store, &info, t.text, &err));
    ck_ok(lathe_auth_load(s.auth, s.store, &err));
    return t;
}

static lathe_audit_record newest_audit(void) {
    lathe_audit_list list;
    ck_ok(lathe_store_audit(s.store, 0, 0, arena, &list, &err));
    ck_assert_uint_gt(list.count, 0);
    return list.items[list.count - 1];
}

START_TEST(each_route_needs_its_role) {
    static const struct {
        const char *method, *path;
        lathe_role role;
    } routes[] = {
        {"GET", "/api/v1/health", LATHE_ROLE_NONE},
        {"GET", "/metrics", LATHE_ROLE_READ},
        {"GET", "/api/v1/models", LATHE_ROLE_READ},
        {"GET", "/api/v1/models/income", LATHE_ROLE_READ},
        {"GET", "/api/v1/endpoints", LATHE_ROLE_READ},
        {"GET", "/api/v1/runs", LATHE_ROLE_READ},
        {"GET", "/api/v1/runs/x", LATHE_ROLE_READ},
        {"GET", "/api/v1/runs/x/events", LATHE_ROLE_READ},
        {"GET", "/api/v1/alerts", LATHE_ROLE_READ},
        {"POST", "/api/v1/models/nosuch/promote", LATHE_ROLE_OPERATE},
        {"POST", "/api/v1/models/nosuch/rollback", LATHE_ROLE_OPERATE},
        {"POST", "/api/v1/endpoints/nosuch/rollback", LATHE_ROLE_OPERATE},
        {"POST", "/api/v1/runs/x/cancel", LATHE_ROLE_OPERATE},
        {"GET", "/api/v1/tokens", LATHE_ROLE_ADMIN},
        {"POST", "/api/v1/tokens", LATHE_ROLE_ADMIN},
        {"POST", "/api/v1/tokens/nosuch/rotate", LATHE_ROLE_ADMIN},
        {"POST", "/api/v1/tokens/nosuch/revoke", LATHE_ROLE_ADMIN},
        {"GET", "/api/v1/nothing", LATHE_ROLE_INFER},
        {"PUT", "/api/v1/models", LATHE_ROLE_INFER},
        {"GET", "/", LATHE_ROLE_INFER},
        {"GET", "/api/v1/a/b/c/d/e", LATHE_ROLE_INFER},
    };
    secret_text t[5];
    for (int r = LATHE_ROLE_INFER; r <= LATHE_ROLE_ADMIN; r++)
        t[r] = make(lathe_role_name((lathe_role)r), (lathe_role)r);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        int status = request(NULL, routes[i].method, routes[i].path, NULL);
        ck_assert_msg((status == 401) == (routes[i].role != LATHE_ROLE_NONE), "%s: %d",
                      routes[i].path, status);
        ck_assert(status != 401 || strstr(last.headers, "www-authenticate: Bearer") != NULL);
        for (int r = LATHE_ROLE_INFER; r <= LATHE_ROLE_ADMIN; r++) {
            status = request(t[r].text, routes[i].method, routes[i].path, NULL);
            ck_assert_msg((status == 403) == (r < (int)routes[i].role), "%s as %s: %d",
                          routes[i].path, lathe_role_name((lathe_role)r), status);
            ck_assert_int_ne(status, 401);
        }
    }
}
END_TEST

START_TEST(who_did_what_is_in_the_audit_log) {
    const secret_text ci = make("ci", LATHE_ROLE_OPERATE), reader = make("reader", LATHE_ROLE_READ);
    ck_assert_int_eq(
        request(reader.text, "POST", "/api/v1/models/income/promote", "{\"version\":1}"), 403);
    ck_assert_str_eq(newest_audit().action, "token.create");
    ck_assert_int_eq(request(ci.text, "POST", "/api/v1/models/income/promote", "{\"version\":1}"),
                     200);
    ck_assert_str_eq(last.body, "{\"version\":1}");
    ck_assert_str_eq(newest_audit().actor, "token:ci");
    ck_assert_int_eq(request(ci.text, "POST", "/api/v1/models/income/rollback", NULL), 200);
    ck_assert_str_eq(newest_audit().actor, "token:ci");
    const lathe_auth_who who = {
        .actor = "token:ci", .project = "default", .role = LATHE_ROLE_OPERATE};
    const lathe_auth_who other = {
        .actor = "token:ot", .project = "other", .role = LATHE_ROLE_OPERATE};
    ck_assert_int_eq(lathe_supervisor_admin(&s, "unload", "income", &other, NULL, NULL, &err),
                     LATHE_E_NOT_FOUND);
    ck_ok(lathe_supervisor_admin(&s, "unload", "income", &who, NULL, NULL, &err));
    ck_assert_str_eq(newest_audit().action, "serve.unload");
    ck_assert_str_eq(newest_audit().actor, "token:ci");
    ck_assert_str_eq(lathe_store_get_actor(s.store), "service");
    ck_ok(lathe_store_audit_verify(s.store, NULL, NULL, &err));
}
END_TEST

/* The token in the last answer. */
static secret_text answered(void) {
    secret_text t = {""};
    cJSON *tree = cJSON_Parse(last.body);
    const char *text = cJSON_GetStringValue(lathe_json_get(tree, "token"));
    ck_assert_msg(text != NULL, "%s", last.body);
    snprintf(t.text, sizeof t.text, "%s", text);
    cJSON_Delete(tree);
    return t;
}

START_TEST(tokens_are_administered_over_the_control_plane) {
    ck_assert_int_eq(
        request(NULL, "POST", "/api/v1/tokens", "{\"name\":\"root\",\"role\":\"admin\"}"), 201);
    const secret_text root = answered(); // the first one closes the door
    ck_assert_int_eq(request(NULL, "GET", "/api/v1/models", NULL), 401);
    ck_assert_int_eq(
        request(root.text, "POST", "/api/v1/tokens",
                "{\"name\":\"app\",\"role\":\"read\",\"rate\":50,\"expires_seconds\":3600}"),
        201);
    const secret_text app = answered();
    ck_assert_str_eq(newest_audit().actor, "token:root");
    ck_assert_int_eq(request(app.text, "GET", "/api/v1/models", NULL), 200);
    ck_assert_int_eq(
        request(root.text, "POST", "/api/v1/tokens/app/rotate", "{\"grace_seconds\":60}"), 200);
    const secret_text next = answered();
    ck_assert_int_eq(request(app.text, "GET", "/api/v1/models", NULL), 200);
    ck_assert_int_eq(request(next.text, "GET", "/api/v1/models", NULL), 200);
    ck_assert_int_eq(request(root.text, "GET", "/api/v1/tokens", NULL), 200);
    ck_assert_ptr_nonnull(strstr(last.body, "\"name\":\"app\""));
    ck_assert_ptr_null(strstr(last.body, "sha256"));
    ck_assert_ptr_null(strstr(last.body, "lathe_"));
    ck_assert_int_eq(
        request(root.text, "POST", "/api/v1/tokens/app/revoke", "{\"reason\":\"test\"}"), 200);
    ck_assert_int_eq(request(next.text, "GET", "/api/v1/models", NULL), 401);
    ck_assert_int_eq(request(app.text, "GET", "/api/v1/models", NULL), 401);
    ck_assert_ptr_null(strstr(logged, root.text + 6));
    ck_assert_ptr_null(strstr(logged, app.text + 6));
    ck_assert_ptr_null(strstr(logged, next.text + 6));
    ck_assert_ptr_nonnull(strstr(logged, "token \"app\": revoke by token:root"));
}
END_TEST

START_TEST(bad_bodies_make_no_token) {
    static const char *const bodies[] = {
        "{",
        "[]",
        "{}",
        "{\"name\":\"a\"}",
        "{\"name\":\"a\",\"role\":\"root\"}",
        "{\"name\":3,\"role\":\"read\"}",
        "{\"name\":\"a/b\",\"role\":\"read\"}",
        "{\"name\":\"a\",\"role\":\"read\",\"rate\":-1}",
        "{\"name\":\"a\",\"role\":\"read\",\"rate\":1e300}",
        "{\"name\":\"a\",\"role\":\"read\",\"expires_seconds\":1e300}",
        "{\"name\":\"a\",\"role\":\"read\",\"expires_seconds\":\"1d\"}",
        "{\"name\":\"a\",\"role\":\"read\",\"secret\":\"x\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        ck_assert_msg(request(NULL, "POST", "/api/v1/tokens", bodies[i]) == 400, "%s: %d",
                      bodies[i], last.status);
    ck_assert(!lathe_auth_required(s.auth));
    ck_assert_int_eq(request(NULL, "POST", "/api/v1/tokens/nosuch/revoke", NULL), 404);
}
END_TEST

START_TEST(pages_of_others_cannot_ask_where_no_token_is_needed) {
    last.host = "127.0.0.1:8080";
    last.origin = "http://evil.example";
    ck_assert_int_eq(request(NULL, "POST", "/api/v1/models/income/promote", "{\"version\":1}"),
                     403);
    ck_assert_int_eq(request(NULL, "GET", "/api/v1/models", NULL), 403);
    last.origin = "http://127.0.0.1:8080";
    ck_assert_int_eq(request(NULL, "GET", "/api/v1/models", NULL), 200);
    last.origin = NULL;
    last.host = "rebound.example:8080";
    ck_assert_int_eq(request(NULL, "GET", "/api/v1/models", NULL), 403);
    const secret_text t =
        make("app", LATHE_ROLE_READ); // a token says enough: a page does not have it
    ck_assert_int_eq(request(t.text, "GET", "/api/v1/models", NULL), 200);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_api_auth");
    TCase *t = tcase_create("api");
    tcase_add_checked_fixture(t, set_up_service, tear_down_service);
    tcase_add_test(t, each_route_needs_its_role);
    tcase_add_test(t, who_did_what_is_in_the_audit_log);
    tcase_add_test(t, tokens_are_administered_over_the_control_plane);
    tcase_add_test(t, bad_bodies_make_no_token);
    tcase_add_test(t, pages_of_others_cannot_ask_where_no_token_is_needed);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

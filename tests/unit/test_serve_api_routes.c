/* The table of routes: whole, without doubles; what fits which path; queries and bodies by their fields; and the OpenAPI
 * document that is made from it. */
#include "base/json.h"
#include "serve/api/api.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lathe_error err;

/* ---- finding ---- */

static char allow[200];
static bool known;

static const char *find(const char *method, const char *path) {
    static char copy[300];
    char *part[API_PARTS], *save = NULL;
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = strtok_r(copy, "/", &save); p != NULL; p = strtok_r(NULL, "/", &save))
        part[n++] = p;
    const api_route *r = api_find(method, part, n, &known, allow, sizeof allow);
    return r ? r->path : NULL;
}

START_TEST(paths_find_their_route) {
    ck_assert_str_eq(find("GET", "/api/v1/models"), "/api/v1/models");
    ck_assert_str_eq(find("HEAD", "/api/v1/models"), "/api/v1/models");
    ck_assert_str_eq(find("GET", "/api/v1/models/a"), "/api/v1/models/{model}");
    ck_assert_str_eq(find("POST", "/api/v1/models/a/promote"), "/api/v1/models/{model}/promote");
    ck_assert_str_eq(find("GET", "/api/v1/models/a/versions/3/file"),
                     "/api/v1/models/{model}/versions/{version}/file");
    ck_assert_str_eq(find("GET", "/metrics"), "/metrics");
    /* what is written out comes before what stands for anything */
    ck_assert_str_eq(find("GET", "/api/v1/runs/compare"), "/api/v1/runs/compare");
    ck_assert_str_eq(find("GET", "/api/v1/runs/latest"), "/api/v1/runs/{run}");
    ck_assert_ptr_null(find("GET", "/api/v1/plugins/rescan"));
    ck_assert(known);
    ck_assert_str_eq(allow, "POST");
}
END_TEST

START_TEST(what_a_path_takes_is_told) {
    ck_assert_ptr_null(find("DELETE", "/api/v1/runs"));
    ck_assert(known);
    ck_assert_str_eq(allow, "GET, HEAD, POST");
    static const char *const nowhere[] = {"/",
                                          "/api",
                                          "/api/v1",
                                          "/api/v2/models",
                                          "/api/v1/nothing",
                                          "/api/v1/models/a/b/c/d/e",
                                          "/metrics/x",
                                          "/api/v1/Models"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        ck_assert_msg(find("GET", nowhere[i]) == NULL, "%s", nowhere[i]);
        ck_assert_msg(!known, "%s", nowhere[i]);
    }
}
END_TEST

/* ---- the tables and their description ---- */

/* Every "$ref" of a tree leads somewhere. */
static void check_references(const cJSON *node, const cJSON *schemas) {
    static const char prefix[] = "#/components/schemas/";
    const cJSON *child;
    cJSON_ArrayForEach(child, node) {
        if (child->string != NULL && strcmp(child->string, "$ref") == 0) {
            ck_assert(cJSON_IsString(child));
            ck_assert_msg(strncmp(child->valuestring, prefix, sizeof prefix - 1) == 0 &&
                              lathe_json_get(schemas, child->valuestring + sizeof prefix - 1) !=
                                  NULL,
                          "%s leads nowhere", child->valuestring);
        }
        check_references(child, schemas);
    }
}

static void check_fields(const api_route *r, const api_field *fields) {
    for (const api_field *f = fields; f != NULL && f->type != API_END; f++) {
        ck_assert_msg(f->name != NULL && f->doc != NULL, "%s: a field without name or text",
                      r->path);
        ck_assert_msg(f->type != API_CHOICE || f->choices != NULL, "%s: %s", r->path, f->name);
        ck_assert_msg(f->min <= f->max, "%s: %s", r->path, f->name);
        for (const api_field *other = fields; other != f; other++)
            ck_assert_msg(strcmp(other->name, f->name) != 0, "%s: %s twice", r->path, f->name);
    }
}

START_TEST(every_route_is_described) {
    cJSON *doc = api_openapi();
    ck_assert_ptr_nonnull(doc);
    const cJSON *paths = lathe_json_get(doc, "paths");
    const cJSON *schemas = lathe_json_get(lathe_json_get(doc, "components"), "schemas");
    ck_assert_str_eq(lathe_json_get(doc, "openapi")->valuestring, "3.1.0");
    size_t routes = 0, described = 0;
    for (size_t t = 0; api_tables[t] != NULL; t++) {
        for (const api_route *r = api_tables[t]; r->method != NULL; r++, routes++) {
            char method[12] = "";
            for (size_t i = 0; r->method[i] != 0 && i < sizeof method - 1; i++)
                method[i] = (char)(r->method[i] | 0x20);
            const cJSON *operation = lathe_json_get(lathe_json_get(paths, r->path), method);
            ck_assert_msg(operation != NULL, "%s %s is not described", r->method, r->path);
            ck_assert_msg(r->run != NULL && r->summary != NULL, "%s", r->path);
            ck_assert_msg(strncmp(r->path, "/api/v1/", 8) == 0 || strcmp(r->path, "/metrics") == 0,
                          "%s", r->path);
            ck_assert_msg(r->body == NULL || r->body_schema == NULL, "%s has two bodies", r->path);
            ck_assert_msg(r->role != LATHE_ROLE_NONE || strcmp(r->path, "/api/v1/health") == 0,
                          "%s needs no token", r->path);
            ck_assert_msg(r->scope != API_UNSCOPED, "%s %s does not say whose it is", r->method,
                          r->path);
            check_fields(r, r->query);
            check_fields(r, r->body);
        }
    }
    const cJSON *path, *operation;
    cJSON_ArrayForEach(path, paths) cJSON_ArrayForEach(operation, path) described++;
    ck_assert_uint_eq(routes, described); /* none hides another */
    check_references(doc, schemas);
    cJSON_Delete(doc);
}
END_TEST

/* ---- queries and bodies ---- */

static const api_field fields[] = {{"limit", API_INT, false, 1, 1000, NULL, "x", NULL},
                                   {"share", API_NUMBER, false, 0, 1, NULL, "x", NULL},
                                   {"open", API_BOOL, false, 0, 0, NULL, "x", NULL},
                                   {"state", API_CHOICE, false, 0, 0, "on|off", "x", NULL},
                                   {"name", API_NAME, true, 0, 0, NULL, "x", NULL},
                                   {"alias", API_ALIAS, false, 0, 0, NULL, "x", NULL},
                                   {"cursor", API_DIGITS, false, 1, 200, NULL, "x", NULL},
                                   {"text", API_TEXT, false, 0, 5, NULL, "x", NULL},
                                   {"tags", API_TEXTS, false, 0, 0, NULL, "x", NULL},
                                   {0}};

START_TEST(queries_by_their_fields) {
    static const char *const good[] = {"name=a",
                                       "name=a&limit=1000",
                                       "name=a&limit=1",
                                       "name=a&share=0.5&open=true&state=off",
                                       "name=a&&open=false&",
                                       "name=a%2e_b-1",
                                       "name=a&text=%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4",
                                       "name=a&text=a+b",
                                       "name=a&tags=1&tags=2",
                                       "name=a&cursor=000",
                                       "name=a&alias=_1",
                                       "name=a&text="};
    static const char *const bad[] = {"",
                                      "limit=1",
                                      "name=",
                                      "name=a&name=b",
                                      "name=a&limit=0",
                                      "name=a&limit=1001",
                                      "name=a&limit=1.5",
                                      "name=a&limit=x",
                                      "name=a&limit=",
                                      "name=a&limit=+1",
                                      "name=a&limit=0x1",
                                      "name=a&limit=1e1x",
                                      "name=a&limit=nan",
                                      "name=a&limit= 1",
                                      "name=a&share=1.1",
                                      "name=a&share=inf",
                                      "name=a&open=1",
                                      "name=a&open=True",
                                      "name=a&state=o",
                                      "name=a&state=on%7Coff",
                                      "name=a/b",
                                      "name=-a",
                                      "name=a%00",
                                      "name=a%",
                                      "name=a%zz",
                                      "name=a&text=123456",
                                      "name=a&text=%01",
                                      "name=a&nam=b",
                                      "name=a&=1",
                                      "name=a&cursor=-1",
                                      "name=a&cursor=1a",
                                      "name=a&alias=1",
                                      "name=a&cursor=1234567890123456789"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cJSON *out = NULL;
        ck_assert_msg(api_read_query(good[i], fields, &out, &err) == LATHE_OK, "%s: %s", good[i],
                      err.message);
        cJSON_Delete(out);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *out = NULL;
        ck_assert_msg(api_read_query(bad[i], fields, &out, &err) == LATHE_E_INVALID, "%s", bad[i]);
        cJSON_Delete(out);
    }
}
END_TEST

START_TEST(bodies_by_their_fields) {
    static const char *const good[] = {
        "{\"name\":\"a\"}", "{\"name\":\"a\",\"limit\":1e3,\"open\":false}",
        "{\"name\":\"a\",\"tags\":[]}", "{\"name\":\"a\",\"tags\":[\"x\"]}"};
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "null",
                                      "1",
                                      "{}",
                                      "{\"name\":1}",
                                      "{\"name\":null}",
                                      "{\"name\":\"a\",\"name\":\"b\"}",
                                      "{\"name\":\"a\",\"x\":1}",
                                      "{\"name\":\"a\",\"limit\":\"1\"}",
                                      "{\"name\":\"a\",\"limit\":1.5}",
                                      "{\"name\":\"a\",\"open\":0}",
                                      "{\"name\":\"a\",\"tags\":\"x\"}",
                                      "{\"name\":\"a\",\"tags\":[1]}",
                                      "{\"name\":\"a\",\"tags\":[\"\\u0001\"]}",
                                      "{\"name\":\"a\"} x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cJSON *out = NULL;
        ck_assert_msg(api_read_body(good[i], strlen(good[i]), fields, &out, &err) == LATHE_OK,
                      "%s: %s", good[i], err.message);
        cJSON_Delete(out);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cJSON *out = NULL;
        ck_assert_msg(api_read_body(bad[i], strlen(bad[i]), fields, &out, &err) == LATHE_E_INVALID,
                      "%s", bad[i]);
        cJSON_Delete(out);
    }
    cJSON *out = NULL; /* without fields: nothing, or {} */
    ck_assert_int_eq(api_read_body("", 0, NULL, &out, &err), LATHE_OK);
    cJSON_Delete(out);
    ck_assert_int_eq(api_read_body("{\"a\":1}", 7, NULL, &out, &err), LATHE_E_INVALID);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_api_routes");
    TCase *t = tcase_create("routes");
    tcase_add_test(t, paths_find_their_route);
    tcase_add_test(t, what_a_path_takes_is_told);
    tcase_add_test(t, every_route_is_described);
    tcase_add_test(t, queries_by_their_fields);
    tcase_add_test(t, bodies_by_their_fields);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

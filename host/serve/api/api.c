/* The control API: from a request to its route's function, and back to an answer.
 *
 *     loop: find the route, admit, copy what the client sent   (the exchange goes where the client leaves)
 *     pool: read query and body, run the function, print the answer
 *     loop: what must follow (tokens, routes, the function's `then`), then the answer
 *
 * A call that runs on the loop goes through the same three steps at once. */
#include "serve/api/api.h"

#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

int api_status_of(int32_t code) {
    switch (code) {
    case LATHE_E_NOT_FOUND:
        return 404;
    case LATHE_E_INVALID:
        return 400;
    case LATHE_E_DATA:
        return 422;
    case LATHE_E_STATE:
    case LATHE_E_EXISTS:
        return 409;
    case LATHE_E_MEMORY:
    case LATHE_E_TIMEOUT:
        return 503;
    default:
        return 500;
    }
}

static void reply_error(api_call *c) {
    const int status = c->status != 0 ? c->status : api_status_of(c->err.code);
    lathe_http_fail(c->exchange, status, c->headers[0] ? c->headers : NULL, "%s",
                    c->err.message[0] ? c->err.message : lathe_status_name(c->err.code));
}

/* ---- connections to the store ---- */

/* One that no call uses, NULL: none; then the call opens its own. */
static lathe_store *take_store(lathe_supervisor *s) {
    return s->n_idle_stores > 0 ? s->idle_stores[--s->n_idle_stores] : NULL;
}

static void give_store(lathe_supervisor *s, lathe_store *store) {
    if (store != NULL && s->n_idle_stores < (int)(sizeof s->idle_stores / sizeof *s->idle_stores))
        s->idle_stores[s->n_idle_stores++] = store;
    else
        lathe_store_close(store);
}

static void free_call(api_call *c);

void lathe_api_close(lathe_supervisor *s) {
    for (int lane = 0; lane < API_LANES; lane++)
        while (s->lane_first[lane] != NULL) {
            api_call *c = s->lane_first[lane];
            s->lane_first[lane] = c->next;
            free_call(c);
        }
    while (s->n_idle_stores > 0)
        lathe_store_close(s->idle_stores[--s->n_idle_stores]);
}

/* ---- the end of a call ---- */

static void free_call(api_call *c) {
    cJSON_Delete(c->query);
    cJSON_Delete(c->body);
    lathe_buf_free(&c->out);
    lathe_arena_free(c->arena); /* the call itself lives there */
}

static void reply(api_call *c) {
    const int ok = c->route->status != 0 ? c->route->status : 200;
    const char *type = c->type                 ? c->type
                       : c->route->answer_type ? c->route->answer_type
                                               : "application/json";
    if (c->gone) {
        /* nobody waits */
    } else if (c->out.failed) {
        lathe_http_fail(c->exchange, 503, NULL, "out of memory");
    } else if (c->rc != LATHE_OK && c->out.len == 0) {
        reply_error(c);
    } else {
        if (c->out.len == 0 && ok != 204)
            lathe_buf_append_str(&c->out, "{}");
        lathe_http_reply(c->exchange, c->status != 0 ? c->status : ok, type,
                         c->headers[0] ? c->headers : NULL, lathe_buf_str(&c->out), c->out.len);
    }
    free_call(c);
}

static void on_reached(void *user, bool reached) {
    api_call *c = user;
    if (!reached && (c->after & API_ANYWAY) == 0) {
        c->rc = lathe_fail(&c->err, LATHE_E_TIMEOUT, NULL,
                           "the change is stored, but not every worker has loaded it yet");
        snprintf(c->headers, sizeof c->headers, "retry-after: 5\r\n");
        lathe_buf_clear(&c->out);
    }
    reply(c);
}

static void start(api_call *c);

/* [loop] The function has returned. */
static void finish(api_call *c) {
    if (c->rc == LATHE_OK && (c->after & API_REAUTH) != 0)
        c->rc = lathe_supervisor_reauth(c->s, &c->err);
    if (c->rc == LATHE_OK && c->then != NULL)
        c->then(c);
    if (c->rc == LATHE_OK && c->again != NULL) {
        c->then = NULL;
        start(c);
        return;
    }
    if (c->rc == LATHE_OK && (c->after & API_REROUTE) != 0) {
        c->rc = lathe_supervisor_reroute(c->s, on_reached, c, &c->err);
        if (c->rc == LATHE_OK)
            return;
        lathe_buf_clear(&c->out);
    }
    reply(c);
}

/* ---- the function ---- */

/* Query and body by their fields, then the function. */
static int32_t run(api_call *c, const char *query) {
    const api_route *r = c->route;
    int32_t rc = api_read_query(query, r->query, &c->query, &c->err);
    if (rc == LATHE_OK && r->body_schema == NULL)
        rc = api_read_body(c->text, c->len, r->body, &c->body, &c->err);
    if (rc != LATHE_OK)
        return rc;
    const uint64_t refused = lathe_json_refused();
    rc = (c->streams ? r->stream : r->run)(c);
    if (lathe_json_refused() != refused) /* the answer lacks members */
        c->out.failed = true;
    /* what the fields allow and a rule beyond them does not */
    if (rc == LATHE_E_INVALID && c->status == 0)
        c->status = 422;
    return rc;
}

/* [pool] */
static void on_work(uv_work_t *work) {
    api_call *c = work->data;
    c->rc = LATHE_OK;
    if (c->route->place == API_STORE && c->store == NULL)
        c->rc = lathe_store_open_beside(c->s->store, &c->store, &c->err);
    if (c->route->place == API_STORE && c->rc == LATHE_OK)
        c->rc = lathe_store_set_actor(
            c->store, c->who.actor[0] != 0 ? c->who.actor : c->s->own_actor, &c->err);
    if (c->route->place == API_STORE && c->rc == LATHE_OK)
        c->rc = lathe_store_set_scope(c->store, c->who.project, &c->err);
    if (c->rc == LATHE_OK)
        c->rc = c->again != NULL ? c->again(c) : run(c, c->user);
    c->again = NULL;
}

/* ---- lanes ---- */

_Static_assert(API_LANES == sizeof((lathe_supervisor *)0)->lane_first / sizeof(api_call *),
               "the supervisor has a place for each lane");

static void on_worked(uv_work_t *work, int status);

static void start(api_call *c) {
    c->s->lane_running[c->route->lane]++;
    if (c->route->place == API_STORE)
        c->store = take_store(c->s);
    uv_queue_work(&c->s->loop, &c->work, on_work, on_worked);
}

/* The next that waits and whose client is still there. */
static void start_next(lathe_supervisor *s, api_lane lane) {
    while (s->lane_first[lane] != NULL) {
        api_call *c = s->lane_first[lane];
        s->lane_first[lane] = c->next;
        s->lane_waiting[lane]--;
        if (!c->gone) {
            start(c);
            return;
        }
        free_call(c);
    }
}

static void on_worked(uv_work_t *work, int status) {
    api_call *c = work->data;
    lathe_supervisor *s = c->s;
    const api_lane lane = c->route->lane;
    (void)status;
    give_store(s, c->store);
    c->store = NULL;
    s->lane_running[lane]--;
    finish(c);
    if (lane == API_SECONDS)
        start_next(s, lane);
}

/* False: the lane is full. */
static bool has_room(const lathe_supervisor *s, api_lane lane) {
    return lane == API_FAST || (lane == API_MINUTES && s->lane_running[lane] < 2) ||
           (lane == API_SECONDS && s->lane_waiting[lane] < API_WAITING);
}

static void start_in_turn(api_call *c) {
    lathe_supervisor *s = c->s;
    const api_lane lane = c->route->lane;
    if (lane != API_SECONDS || s->lane_running[lane] == 0) {
        start(c);
        return;
    }
    api_call **last = &s->lane_first[lane];
    while (*last != NULL)
        last = &(*last)->next;
    *last = c;
    s->lane_waiting[lane]++;
}

static void on_gone(void *user) {
    ((api_call *)user)->gone = true;
}

static void run_on_loop(api_call *c, const char *query) {
    c->rc = lathe_supervisor_act_as(c->s, c->who.actor, &c->err);
    if (c->rc == LATHE_OK)
        c->rc = run(c, query);
    lathe_supervisor_act_as(c->s, NULL, NULL);
    if (c->taken)
        free_call(c);
    else
        finish(c);
}

/* Copies what the client sent: the exchange may go while a thread reads it. */
static void run_in_pool(api_call *c, const lathe_http_request *request) {
    char *body = lathe_arena_alloc(c->arena, c->len + 1);
    char *query = lathe_arena_strdup(c->arena, request->query);
    if (body == NULL || query == NULL) {
        lathe_http_fail(c->exchange, 503, NULL, "out of memory");
        free_call(c);
        return;
    }
    if (c->len > 0)
        memcpy(body, c->text, c->len);
    body[c->len] = 0;
    c->text = body;
    c->user = query;
    c->work.data = c;
    lathe_http_on_gone(c->exchange, on_gone, c);
    start_in_turn(c);
}

/* ---- the request ---- */

/* Cuts the path into pieces. False: there are more than any route has, or an empty one. */
static bool split_path(api_call *c, const char *path) {
    char *rest = lathe_arena_strdup(c->arena, path), *save = NULL;
    const size_t len = strlen(path);
    if (rest == NULL || (len > 1 && path[len - 1] == '/'))
        return false;
    for (char *piece = strtok_r(rest, "/", &save); piece != NULL;
         piece = strtok_r(NULL, "/", &save)) {
        if (c->n_parts == API_PARTS)
            return false;
        c->part[c->n_parts++] = piece;
    }
    return true;
}

static bool wants_stream(const api_call *c) {
    static const char type[] = "text/event-stream";
    const lathe_http_text accept = lathe_http_header(c->exchange, "accept");
    return c->route->stream != NULL && accept.ptr != NULL &&
           memmem(accept.ptr, accept.len, type, sizeof type - 1) != NULL;
}

/* Who has no token does not learn which paths there are, either. */
static bool admit(api_call *c) {
    const lathe_role need = c->route ? c->route->role : LATHE_ROLE_INFER;
    if (c->local) { /* the socket's permissions have let them in */
        c->who = (lathe_auth_who){.role = LATHE_ROLE_ADMIN};
        return true;
    }
    if (!lathe_auth_admit(c->s->auth, c->exchange, need, &c->who))
        return false;
    if (c->who.project[0] == 0 || c->route == NULL || c->route->scope == API_PROJECT ||
        c->route->scope == API_SHARED)
        return true;
    lathe_http_fail(c->exchange, 403, NULL,
                    "this is about the service as a whole, and the token is of the project "
                    "\"%.100s\" alone",
                    c->who.project);
    return false;
}

/* NULL: it is answered. */
static api_call *new_call(lathe_supervisor *s, lathe_exchange *exchange, bool local) {
    const lathe_http_request *request = lathe_http_get(exchange);
    lathe_arena *arena = lathe_arena_new();
    api_call *c = arena ? lathe_arena_alloc(arena, sizeof *c) : NULL;
    if (c == NULL) {
        lathe_arena_free(arena);
        lathe_http_fail(exchange, 503, NULL, "out of memory");
        return NULL;
    }
    *c = (api_call){.s = s,
                    .exchange = exchange,
                    .arena = arena,
                    .config = s->config,
                    .queue = s->queue,
                    .executable = s->executable,
                    .home = lathe_store_home(s->store),
                    .text = (const char *)request->body,
                    .len = request->body_len,
                    .local = local,
                    .head = strcmp(request->method, "HEAD") == 0};
    return c;
}

static void take(lathe_supervisor *s, lathe_exchange *exchange, bool local) {
    const lathe_http_request *request = lathe_http_get(exchange);
    api_call *c = new_call(s, exchange, local);
    char allow[120], headers[160];
    bool known = false;
    if (c == NULL)
        return;
    if (split_path(c, request->path))
        c->route = api_find(request->method, c->part, c->n_parts, &known, allow, sizeof allow);
    if (!admit(c)) {
        free_call(c);
    } else if (c->route == NULL && known) {
        snprintf(headers, sizeof headers, "allow: %s\r\n", allow);
        lathe_http_fail(exchange, 405, headers, "this path does not take %s, but %s",
                        request->method, allow);
        free_call(c);
    } else if (c->route == NULL) {
        lathe_http_fail(exchange, 404, NULL,
                        "there is nothing at this path; see /api/v1/openapi.json");
        free_call(c);
    } else if (c->route->place == API_LOOP || (c->streams = wants_stream(c))) {
        run_on_loop(c, request->query);
    } else if (!has_room(s, c->route->lane)) {
        lathe_http_fail(exchange, 503, "retry-after: 10\r\n",
                        "%d requests that take long are under way; try again later",
                        s->lane_running[c->route->lane] + s->lane_waiting[c->route->lane]);
        free_call(c);
    } else {
        run_in_pool(c, request);
    }
}

void lathe_api_request(void *user, lathe_exchange *exchange) {
    take(user, exchange, false);
}

void lathe_api_request_local(void *user, lathe_exchange *exchange) {
    take(user, exchange, true);
}

/* ---- for the functions ---- */

const char *api_part(const api_call *c, const char *name) {
    const size_t len = strlen(name);
    size_t i = 0;
    for (const char *at = c->route->path; *at == '/' && i < c->n_parts; i++) {
        const size_t n = strcspn(++at, "/");
        if (n == len + 2 && at[0] == '{' && memcmp(at + 1, name, len) == 0)
            return c->part[i];
        at += n;
    }
    return "";
}

int32_t api_answer(api_call *c, cJSON *tree) {
    if (tree == NULL)
        return lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
    lathe_json_print(NULL, tree, &c->out);
    cJSON_Delete(tree);
    return LATHE_OK;
}

const char *api_text(const cJSON *from, const char *name, const char *def) {
    const cJSON *node = lathe_json_get(from, name);
    return cJSON_IsString(node) ? node->valuestring : def;
}

double api_number(const cJSON *from, const char *name, double def) {
    const cJSON *node = lathe_json_get(from, name);
    return cJSON_IsNumber(node) ? node->valuedouble : def;
}

int64_t api_int(const cJSON *from, const char *name, int64_t def) {
    const cJSON *node = lathe_json_get(from, name);
    return cJSON_IsNumber(node) ? (int64_t)node->valuedouble : def;
}

bool api_bool(const cJSON *from, const char *name, bool def) {
    const cJSON *node = lathe_json_get(from, name);
    return cJSON_IsBool(node) ? cJSON_IsTrue(node) : def;
}

void api_add_time(cJSON *object, const char *key, int64_t time) {
    if (time != 0)
        cJSON_AddNumberToObject(object, key, (double)time);
}

int64_t api_limit(const api_call *c) {
    return api_int(c->query, "limit", API_PAGE_LIMIT);
}

int64_t api_int_cursor(const api_call *c, int64_t def) {
    const char *text = api_text(c->query, "cursor", NULL);
    return text ? strtoll(text, NULL, 10) : def;
}

void api_add_next(cJSON *object, int64_t cursor) {
    char next[24];
    snprintf(next, sizeof next, "%lld", (long long)cursor);
    cJSON_AddStringToObject(object, "next", next);
}

bool api_after_cursor(const api_call *c, const char *name) {
    const char *cursor = api_text(c->query, "cursor", NULL);
    return cursor == NULL || strcmp(name, cursor) > 0;
}

cJSON *api_diags_json(const lathe_diags *diags) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "error", "the document is not valid");
    cJSON_AddItemToObject(out, "errors", lathe_diags_json(diags));
    return out;
}

/* serve/api/api.h: INTERNAL to host/serve: the control API: one row a route, one function a row.
 *
 * A row of a route table says everything that is known about a route before its function runs: method, path, role,
 * query parameters, body, answer. From the tables come dispatch, 404 and 405, access control, the checks of query and body,
 * and the OpenAPI document (api/openapi.c); so none of them is written twice. To add a route: a row in the table of a file
 * serve/api and its function; the schema of its answer in schemas.json. A new file's table joins the list in
 * api/routes.c.
 *
 *     static int32_t get_model(api_call *c) {
 *         lathe_version_list list;
 *         int32_t rc = lathe_store_versions(c->store, api_part(c, "model"), c->arena, &list, &c->err);
 *         return rc == LATHE_OK ? api_answer(c, make_tree(&list)) : rc;
 *     }
 *
 * A function returns LATHE_OK after it has set the answer, else an error's code with the sentence in c->err; the code gives
 * the HTTP status (api_status_of), unless c->status has one. LATHE_E_INVALID from a function is 422: what its fields do not
 * allow has been refused with 400 before.
 */
#ifndef LATHE_SERVE_API_H
#define LATHE_SERVE_API_H

#include "plugin/catalogue.h"
#include "serve/supervisor/internal.h"

#include <cjson/cJSON.h>

#define API_WAITING 64 /* calls that wait in a lane */
#define API_PARTS 8    /* pieces of a path after /api/v1 */

typedef struct api_call api_call;
typedef struct api_route api_route;

/* Where a route's function runs. */
typedef enum api_place {
    /* On a thread of the pool, with a connection to the store of its own (c->store), which acts as who asks. It may wait
     * for the disk. It must not touch c->s and c->exchange: the loop goes on meanwhile. */
    API_STORE = 0,
    /* On a thread of the pool, without a store. */
    API_POOL,
    /* On the loop: memory only, no waiting. It may touch c->s. */
    API_LOOP
} api_place;

/* Whose a route is: what a token of one project may do there. */
typedef enum api_scope {
    API_UNSCOPED = 0, /* no route is: somebody forgot to say */
    /* The rows of the store: c->store sees the project's alone (lathe_store_set_scope), so that what belongs to another is
     * 404, and lists leave it out. A function of the loop, or a stream, sees to it by itself. */
    API_PROJECT,
    API_SERVICE, /* the service as a whole: 403 */
    API_SHARED   /* the same for all: health, plugins, the description */
} api_scope;

/* The pool has four threads, and some calls take long: those of a lane go a few at a time, so that threads stay free. */
typedef enum api_lane {
    API_FAST = 0, /* as they come */
    API_SECONDS,  /* one at a time, the others wait; 503 where API_WAITING do */
    API_MINUTES,  /* two at a time; 503 for the others */
    API_LANES
} api_lane;

/* What the loop does after an API_STORE function that returned LATHE_OK, before the answer goes out. */
enum {
    API_REAUTH = 1 << 0,  /* tokens have changed: read them anew and send them to the workers */
    API_REROUTE = 1 << 1, /* what is served may have changed: wait until every worker serves it */
    API_ANYWAY =
        1 << 2, /* the answer goes out also where a worker lags: it cannot be asked for again */
};

/* A member of a body, or a query parameter. */
typedef enum api_type {
    API_END = 0,
    API_TEXT,   /* min to max bytes (0, 0: 1 to 1000), no control characters */
    API_NAME,   /* as lathe_store_check_name has it */
    API_ALIAS,  /* likewise, beginning with a letter or '_' */
    API_DIGITS, /* 1 to 18 digits as a text */
    API_INT,    /* min to max (0, 0: any that a double holds) */
    API_NUMBER, /* likewise */
    API_BOOL,
    API_CHOICE, /* one of `choices` */
    API_OBJECT, /* bodies only: any object; its handler checks it */
    API_TEXTS,  /* bodies: a list of texts; query: may be repeated */
    API_ANY     /* bodies only: any value */
} api_type;

typedef struct api_field {
    const char *name;
    api_type type;
    bool required;
    double min, max;
    const char *choices; /* "text|json" */
    const char *doc;
    const char *
        schema; /* API_OBJECT, API_ANY: name in api_schemas.json, for the description; NULL: none */
} api_field;

struct api_route {
    const char *method; /* NULL ends a table */
    const char *path;   /* "/api/v1/models/{model}/promote" */
    lathe_role role;    /* that it needs at least */
    api_scope scope;
    const char *summary;
    int32_t (*run)(api_call *c);
    api_place place;
    int32_t (*stream)(
        api_call *c);       /* [loop] instead, for "Accept: text/event-stream"; NULL: none */
    const api_field *query; /* each ends with API_END; NULL: none */
    const api_field *body;
    const char
        *body_schema; /* instead of `body`: the handler reads c->text; name in api_schemas.json */
    const char *body_type;   /* of such a body; NULL: application/json */
    const char *answer;      /* name in api_schemas.json; NULL: an empty object */
    const char *answer_type; /* NULL: application/json */
    int status;              /* of success; 0: 200 */
    api_lane lane;
};

struct api_call {
    /* for the function */
    lathe_arena *arena;
    lathe_store *store;        /* API_STORE only */
    lathe_serve_config config; /* as it was when the request came */
    lathe_queue *queue;        /* for lathe_queue_pause */
    const char *executable, *home;
    const char *text; /* the body as it was sent */
    size_t len;
    cJSON *query, *body; /* checked by the route's fields; objects, never NULL */
    lathe_auth_who who;
    bool local; /* over the home's own socket: who asks may read and write the home anyway */
    const api_route *route;
    bool head; /* HEAD: the answer's body is not sent */
    /* from the function */
    lathe_error err;
    int status;                    /* 0: by the route, or by the error's code */
    lathe_buf out;                 /* the answer's body */
    const char *type;              /* of it; NULL: by the route */
    char headers[200];             /* further header lines, "name: value\r\n" */
    unsigned after;                /* API_REAUTH … */
    void (*then)(api_call *c);     /* [loop] after success, before the answer; may be NULL */
    int32_t (*again)(api_call *c); /* [pool] after `then`, as the function was; may set `then` */
    void *user;                    /* of the function, for those two */
    bool streams;                  /* `stream` is called instead of `run` */
    bool taken;                    /* API_LOOP: the function keeps the exchange and answers later */
    /* the dispatcher's */
    lathe_supervisor *s;
    lathe_exchange *exchange;
    bool gone; /* the client has left */
    char *part[API_PARTS];
    size_t n_parts;
    int32_t rc;
    uv_work_t work;
    api_call *next; /* in its lane */
};

/* ---- for functions ---- */

/* A piece of the path by its name in the route's pattern. */
const char *api_part(const api_call *c, const char *name);

/* Sets the answer, and deletes the tree. LATHE_E_MEMORY where tree is NULL or memory is out. */
int32_t api_answer(api_call *c, cJSON *tree);

/* A text or number of query or body; def where it is absent. */
const char *api_text(const cJSON *from, const char *name, const char *def);
int64_t api_int(const cJSON *from, const char *name, int64_t def);
double api_number(const cJSON *from, const char *name, double def);
bool api_bool(const cJSON *from, const char *name, bool def);

/* Adds a time (µs since 1970) unless it is 0: "key": µs. */
void api_add_time(cJSON *object, const char *key, int64_t time);

/* Lists are pages: query parameters API_PAGE, answers {"<name>": […], "next": "cursor of the following page"}, without
 * "next" on the last page. */
#define API_PAGE_LIMIT 100
#define API_PAGE_MAX 1000
#define API_PAGE_OF(type)                                                                          \
    {"limit", API_INT, false, 1, API_PAGE_MAX, NULL, "at most so many; default 100", NULL}, {      \
        "cursor", type, false, 1, 200, NULL, "\"next\" of the page before", NULL                   \
    }
#define API_PAGE API_PAGE_OF(API_TEXT)            /* the cursor is a name */
#define API_PAGE_NUMBERED API_PAGE_OF(API_DIGITS) /* a number */
int64_t api_limit(const api_call *c);
/* The cursor of API_PAGE_NUMBERED; `def` where none is given. */
int64_t api_int_cursor(const api_call *c, int64_t def);
/* "next": an integer cursor. */
void api_add_next(cJSON *object, int64_t cursor);
/* Of names in the order of their bytes: does this one come after the cursor? */
bool api_after_cursor(const api_call *c, const char *name);

/* {"error", "errors": […]} */
cJSON *api_diags_json(const lathe_diags *diags);

/* ---- api/submit.c ---- */

int32_t api_submit(api_call *c);
int32_t api_validate(api_call *c);
/* The plugins as the service knows them; it may wait for a scan. Close it. [pool] */
int32_t api_open_catalogue(api_call *c, bool rescan, lathe_catalogue **catalogue);

/* ---- api/endpoints.c: for verbs with gates (serve/endpoint_verbs.h) ---- */

/* 403 where the body asks for "force" and who asks is no admin. */
int32_t api_check_force(api_call *c);
/* Takes over a verb's answer: what is served, or 409 with the checks that refuse. */
int32_t api_answer_verb(api_call *c, int32_t rc, cJSON *answer);

/* ---- the parts of the API: tables, each ended by a row without method ---- */

extern const api_route api_model_routes[], api_endpoint_routes[], api_run_routes[],
    api_token_routes[], api_service_routes[], api_admin_routes[], api_feature_routes[],
    api_project_routes[], api_version_routes[], api_drift_routes[], api_label_routes[];

/* ---- api/models.c ---- */

/* A version as it stands in lists. */
cJSON *api_version_json(const lathe_version_record *version);

/* ---- api/versions.c ---- */

/* The version of the path: {model}, and {version}: a number, an alias, or "newest". */
int32_t api_find_version(api_call *c, lathe_version_record *version);

/* ---- api/routes.c ---- */

/* The tables, NULL at the end. */
extern const api_route *const api_tables[];
/* Finds the route of method and path, whose pieces go to part. *known: another method fits; then allow gets the methods that do. */
const api_route *api_find(const char *method, char *const *part, size_t n_parts, bool *known,
                          char *allow, size_t size);

/* ---- api/fields.c ---- */

/* Reads a query string by its fields into *out. LATHE_E_INVALID. */
int32_t api_read_query(const char *query, const api_field *fields, cJSON **out, lathe_error *err);
/* Reads a body by its fields. An empty one is {}. */
int32_t api_read_body(const char *text, size_t len, const api_field *fields, cJSON **out,
                      lathe_error *err);

/* ---- api/openapi.c ---- */

/* The OpenAPI 3.1 document of all tables; NULL: out of memory. */
cJSON *api_openapi(void);

int api_status_of(int32_t code);

#endif

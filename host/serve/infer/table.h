/* serve/infer/table.h: what an inference worker serves: names, versions, models.
 *
 * A table never changes once it is made, but for the plans and measurements of its models, and for routes whose model comes
 * with its first request, which the serving thread alone touches. Models are shared between tables by their SHA-256 and counted. */
#ifndef LATHE_SERVE_INFER_TABLE_H
#define LATHE_SERVE_INFER_TABLE_H

#include "data/text.h"
#include "plugin/runtime.h"
#include "serve/infer/door.h"
#include "serve/oip/oip.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>

/* Rows that a model's own plan holds; more go to a plan of their own on another thread. */
#define INFER_INLINE_ROWS 256

#define INFER_SPARE_PLANS 2
#define INFER_SPARE_ROWS 4096 /* larger ones are not kept */
#define INFER_BATCH_ROWS 1024 /* of a batch of several requests, at most */

/* A model's header. */
enum { INFER_HEAD_UNREAD, INFER_HEAD_READ, INFER_HEAD_BROKEN };

typedef struct infer_model {
    _Atomic int refs;
    char sha256[LATHE_SHA256_HEX];
    char *path;
    lathe_runtime *runtime;
    _Atomic int head;
    char reason[512];                     /* of a broken header */
    lathe_model *model;                   /* NULL while the header is not read */
    lathe_plan *plan;                     /* of INFER_INLINE_ROWS; the serving thread's */
    lathe_plan *spare[INFER_SPARE_PLANS]; /* for requests on other threads; the serving thread's */
    int n_spare;
    int64_t ns_per_row; /* measured; the serving thread's */
    int32_t crumb;      /* number of its learner's plugin */
    pthread_mutex_t lock;
    _Atomic bool loaded; /* else plan and crumb are not there */
} infer_model;

/* [any] A model whose header has not been read. NULL: out of memory. */
infer_model *infer_model_new(lathe_runtime *runtime, const char *path, const char *sha256,
                             lathe_error *err);
/* [worker] Reads the header; again is nothing. */
int32_t infer_model_read(infer_model *model, lathe_error *err);
/* [worker] The same, loads plugins and state, and runs the model once; again is nothing. */
int32_t infer_model_load(infer_model *model, lathe_crumbs *crumbs, lathe_error *err);
/* [worker] The validation of a model that is loaded, as a name shows it. What is odd with it is logged. */
int32_t infer_open_door(const infer_model *model, const cJSON *validation, const char *name,
                        const char *step, lathe_door **door, lathe_error *err);
void infer_model_retain(infer_model *model);
void infer_model_release(infer_model *model);

/* A version that predicts copies of a route's requests (infer/shadow.c). Counted, since copies wait in a queue. */
typedef struct infer_shadow {
    _Atomic int refs;
    infer_model *model;
    lathe_oip_model *shown;
    char *step;
    lathe_plan *plan; /* of INFER_INLINE_ROWS; the shadow thread's */
    int slot;         /* of the shadows' counters */
} infer_shadow;

void infer_shadow_retain(infer_shadow *shadow);
void infer_shadow_release(infer_shadow *shadow); /* [worker]; NULL is fine */

/* Requests of a route that are predicted together (infer/batch.c). */
typedef struct infer_batch infer_batch;

/* A version under a name. */
typedef struct infer_route {
    char *name, *version, *step; /* step: "model@version", for breadcrumbs */
    infer_model *model;          /* NULL: it could not be loaded, see error */
    lathe_oip_model *shown;      /* NULL: nobody has asked since the model's header was read */
    lathe_door *door;            /* NULL: the model waits for its first request (infer/warm.c) */
    cJSON *validation;           /* the endpoint's settings; NULL: the model's own */
    char *error;
    char *project; /* whose it is */
    double weight;
    int rank;          /* order in which the routes of a name share the line of keys */
    int slot;          /* of the counters */
    uint64_t recalled; /* of its name, for keys of answers (serve/recall.h) */
    int arm;           /* of the counters of a rollout; -1: none */
    int64_t batch_rows, batch_delay_us; /* rows below 2: each request is predicted alone */
    infer_batch *batch;                 /* NULL where that is so */
    infer_shadow *shadow;               /* NULL: none */
    char *shadow_error;                 /* why there is none though there should be; else NULL */
    char *sticky; /* "id", "header:NAME" in lower case, or NULL: the usual header alone */
} infer_route;

/* All routes of a name: routes[first … first + count). */
typedef struct infer_group {
    size_t first, count;
    double weight;      /* sum */
    const char *sticky; /* of its first route that has one */
    uint64_t seed;      /* of its keys */
} infer_group;

typedef struct infer_table {
    uint64_t generation;
    infer_route *routes;
    size_t n_routes;
    infer_group *groups;
    lathe_text_map names;                /* name → group */
    int64_t timeout_us, max_queued_rows; /* 0: none, no bound */
    cJSON *unloaded; /* names that were unloaded: {"name": "its project"}; may be NULL */
} infer_table;

/* [worker] Makes a table of {"generation", "routes"}; models that `old` (may be NULL) has are shared. A route whose model
 * cannot be loaded keeps what `old` has under its name, else is there without a model. Without an old table no file
 * is opened: headers are read afterwards (infer/heads.c), the rest comes with the first request. NULL: out of memory, or no such message. */
infer_table *infer_table_new(lathe_runtime *runtime, lathe_crumbs *crumbs, const cJSON *message,
                             const infer_table *old);
void infer_table_free(infer_table *table); /* [worker] NULL is fine */

/* infer/batch.c, [worker]: a batch of at most max_rows that waits for delay_us. On an error it is there still, to be freed. The
 * route must stay where it is. */
int32_t infer_batch_new(infer_route *route, int64_t max_rows, int64_t delay_us, infer_batch **out,
                        lathe_error *err);
void infer_batch_free(infer_batch *batch); /* NULL is fine */

/* [serve] Makes route->shown where it is missing. LATHE_E_NOT_FOUND: the model's header was not read yet. */
int32_t infer_route_show(infer_route *route, lathe_error *err);
/* [serve] NULL: no such name. */
const infer_group *infer_table_find(const infer_table *table, const char *name, size_t len);
/* The project of a name that was unloaded; NULL: it is none. */
const char *infer_table_unloaded(const infer_table *table, const char *name, size_t len);
/* [serve] The answer to GET of a model: what a route of the group takes and gives. */
void infer_table_metadata(const infer_table *table, const infer_group *group,
                          const infer_route *route, lathe_buf *out);
/* [serve] The route of a version; version NULL: by weight, the point `key` of 2^64. Each route takes a piece of that line as
 * long as its weight, in the order of their ranks: a canary (rank 0) that grows keeps the keys it has. NULL: no such version. */
infer_route *infer_table_pick(const infer_table *table, const infer_group *group,
                              const char *version, size_t version_len, uint64_t key);

#endif

/* @NAME@: rows of its own making: a number and its half. Put in its place where your rows come from; a path as a parameter is of
 * the flag LATHE_PARAM_PATH, and is resolved for you.
 */
#include <lathe/lathe.h>

#include <stdio.h>

typedef struct config {
    int64_t rows;
} config;

static const lathe_param params[] = {
    LATHE_P_INT(config, rows, 0, "100", 0, 1e9, "How many there are.", .unit = "rows"),
};

typedef struct source {
    const lathe_host *host;
    const config *config;
} source;

#define BLOCK 1000

typedef struct stream {
    const source *source;
    int64_t at; /* rows given so far */
    int64_t number[BLOCK];
    double half[BLOCK];
    lathe_column columns[2];
    lathe_table schema;
} stream;

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    err->code = code;
    snprintf(err->message, sizeof err->message, "%s", message);
    return code;
}

static int32_t open_stream(void *self, void **out, lathe_error *err) {
    const source *s = self;
    stream *t = s->host->alloc(s->host, sizeof *t);
    if (t == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    t->source = s;
    t->columns[0] = (lathe_column){.name = "number", .type = LATHE_COLUMN_INT64};
    t->columns[1] = (lathe_column){.name = "half", .type = LATHE_COLUMN_FLOAT64};
    t->schema = (lathe_table){0, 2, t->columns};
    *out = t;
    return LATHE_OK;
}

static int32_t schema(void *opened, const lathe_table **out, lathe_error *err) {
    stream *t = opened;
    (void)err;
    *out = &t->schema;
    return LATHE_OK;
}

/* At most max_rows; 0 at the end. They stay until the next call. */
static int32_t next(void *opened, int64_t max_rows, lathe_table *block, lathe_error *err) {
    stream *t = opened;
    int64_t n = t->source->config->rows - t->at;
    (void)err;
    n = n < max_rows ? n : max_rows;
    n = n < BLOCK ? n : BLOCK;
    for (int64_t i = 0; i < n; i++) {
        t->number[i] = t->at + i;
        t->half[i] = (double)(t->at + i) / 2;
    }
    t->at += n;
    t->columns[0].values = t->number;
    t->columns[1].values = t->half;
    *block = (lathe_table){n, 2, t->columns};
    return LATHE_OK;
}

static void close_stream(void *opened) {
    stream *t = opened;
    t->source->host->free(t->source->host, t);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    source *s = host->alloc(host, sizeof *s);
    if (s == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static void destroy(void *self) {
    source *s = self;
    s->host->free(s->host, s);
}

static const lathe_source interface = {
    .struct_size = LATHE_SIZED(lathe_source),
    .open = open_stream,
    .schema = schema,
    .next = next,
    .close = close_stream,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "@ID@",
    .kind = LATHE_KIND_SOURCE,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Numbers and their halves.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

/* @NAME@: numbers divided by the largest absolute value that training has in their column; other columns pass. Put your own in its
 * place: what is learned in fit, what becomes of a value in apply.
 */
#include <lathe/lathe.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct model {
    const lathe_host *host;
    int64_t n; /* columns */
    lathe_field *fields;
    double *scale; /* [n]; 0: passes through */
    char *names;   /* of the columns, end to end */
} model;

static int32_t fail(lathe_error *err, int32_t code, const char *message) {
    err->code = code;
    snprintf(err->message, sizeof err->message, "%s", message);
    return code;
}

static int32_t reserve(model *m, int64_t n, size_t name_bytes, lathe_error *err) {
    m->n = n;
    m->fields = m->host->alloc(m->host, (uint64_t)n * sizeof *m->fields);
    m->scale = m->host->alloc(m->host, (uint64_t)n * sizeof *m->scale);
    m->names = m->host->alloc(m->host, name_bytes);
    return m->fields && m->scale && m->names ? LATHE_OK
                                             : fail(err, LATHE_E_MEMORY, "There is no memory.");
}

/* The k-th output column: made here where it has a scale, else the input's own. */
static void describe(model *m, int64_t k, const char *name) {
    m->fields[k] = (lathe_field){
        .name = name, .type = LATHE_COLUMN_FLOAT64, .source = m->scale[k] > 0 ? -1 : (int32_t)k};
}

static double number_at(const lathe_column *c, int64_t row) {
    if (lathe_is_missing(c, row))
        return NAN;
    return c->type == LATHE_COLUMN_FLOAT64 ? ((const double *)c->values)[row]
                                           : (double)((const int64_t *)c->values)[row];
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    model *m = self;
    const lathe_table *t = in->table;
    size_t bytes = 1;
    for (int64_t k = 0; k < t->n_columns; k++)
        bytes += strlen(t->columns[k].name) + 1;
    int32_t rc = reserve(m, t->n_columns, bytes, err);
    char *name = m->names;
    for (int64_t k = 0; rc == LATHE_OK && k < t->n_columns; k++) {
        const lathe_column *c = &t->columns[k];
        for (int64_t i = 0; lathe_is_numeric(c) && i < t->n_rows; i++) {
            const double v = fabs(number_at(c, i));
            if (v > m->scale[k] && v <= 1e300)
                m->scale[k] = v;
        }
        strcpy(name, c->name);
        describe(m, k, name);
        m->fields[k].type = m->scale[k] > 0 ? LATHE_COLUMN_FLOAT64 : c->type;
        name += strlen(name) + 1;
    }
    return rc;
}

static int32_t schema(const void *self, const lathe_field **fields, int64_t *n, lathe_error *err) {
    const model *m = self;
    (void)err;
    *fields = m->fields;
    *n = m->n;
    return LATHE_OK;
}

/* Row by row; what passes through is there already. */
static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    const model *m = self;
    (void)err;
    for (int64_t k = 0; k < m->n; k++)
        for (int64_t i = 0; m->scale[k] > 0 && i < in->n_rows; i++)
            ((double *)out->columns[k].values)[i] = number_at(&in->columns[k], i) / m->scale[k];
    return LATHE_OK;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const model *m = self;
    int32_t rc = lathe_write_array(w, "scale", LATHE_FLOAT, 64, m->scale, m->n, err);
    for (int64_t k = 0; rc == LATHE_OK && k < m->n; k++) {
        char key[32];
        const lathe_str name = {m->fields[k].name, (int64_t)strlen(m->fields[k].name)};
        snprintf(key, sizeof key, "name.%lld", (long long)k);
        rc = w->string(w, key, name, err);
        snprintf(key, sizeof key, "type.%lld", (long long)k);
        if (rc == LATHE_OK)
            rc = w->integer(w, key, m->fields[k].type, err);
    }
    return rc;
}

static int32_t read_field(model *m, const lathe_reader *r, int64_t k, char **name,
                          lathe_error *err) {
    char key[32];
    lathe_str text;
    int64_t type = 0;
    snprintf(key, sizeof key, "name.%lld", (long long)k);
    int32_t rc = r->string(r, key, &text, err);
    snprintf(key, sizeof key, "type.%lld", (long long)k);
    if (rc == LATHE_OK)
        rc = r->integer(r, key, LATHE_COLUMN_FLOAT64, LATHE_COLUMN_STRING, &type, err);
    if (rc != LATHE_OK)
        return rc;
    if (name != NULL) {
        memcpy(*name, text.ptr, (size_t)text.len);
        (*name)[text.len] = 0;
        describe(m, k, *name);
        m->fields[k].type = (int32_t)type;
        *name += text.len + 1;
    }
    return LATHE_OK;
}

/* The file may lie: what makes no sense is refused. */
static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    model *m = self;
    const void *scale;
    int64_t n = 0;
    size_t bytes = 1;
    int32_t rc = lathe_read_array(r, "scale", LATHE_FLOAT, 64, -1, &scale, &n, err);
    for (int64_t k = 0; rc == LATHE_OK && k < n; k++) {
        char key[32];
        lathe_str text = {NULL, 0};
        snprintf(key, sizeof key, "name.%lld", (long long)k);
        rc = r->string(r, key, &text, err);
        bytes += (size_t)text.len + 1;
    }
    if (rc == LATHE_OK)
        rc = reserve(m, n, bytes, err);
    if (rc == LATHE_OK)
        memcpy(m->scale, scale, (size_t)n * sizeof *m->scale);
    char *name = m->names;
    for (int64_t k = 0; rc == LATHE_OK && k < n; k++)
        rc = read_field(m, r, k, &name, err);
    return rc;
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    model *m = host->alloc(host, sizeof *m);
    (void)config;
    if (m == NULL)
        return fail(err, LATHE_E_MEMORY, "There is no memory.");
    m->host = host;
    *self = m;
    return LATHE_OK;
}

static void destroy(void *self) {
    model *m = self;
    const lathe_host *host = m->host;
    host->free(host, m->fields);
    host->free(host, m->scale);
    host->free(host, m->names);
    host->free(host, m);
}

static const lathe_transform interface = {
    .struct_size = LATHE_SIZED(lathe_transform),
    .fit = fit,
    .schema = schema,
    .apply = apply,
    .save = save,
    .load = load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "@ID@",
    .kind = LATHE_KIND_TRANSFORM,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Divides numbers by the largest absolute value of training.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

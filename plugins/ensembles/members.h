/* members.h: the children of an ensemble: making, fitting, summing, saving. For random_forest, gbdt
 * and adaboost.
 *
 * An ensemble is generic over its children. Where the child's plugin can combine, the fitted
 * children become one instance that predicts their sum, and the children are dropped; else they are
 * kept.
 */
#ifndef LATHE_ENSEMBLE_MEMBERS_H
#define LATHE_ENSEMBLE_MEMBERS_H

#include <lathe/learner.h>
#include <lathe/math.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MEMBERS_BLOCK = 256, MEMBERS_PREDICT_GRAIN = 2048, MEMBERS_RANDOM_BLOCK = 16 };

typedef struct members {
    const lathe_host *host;
    const lathe_components *kids;
    const lathe_datasets *datasets;
    const lathe_component *component;
    lathe_instance *child; /* [capacity] */
    int64_t capacity;
    int64_t n;          /* children in use; also after they have become a sum */
    lathe_instance sum; /* of all children, where has_sum */
    int32_t has_sum;
} members;

static inline int32_t members_fail(lathe_error *err, int32_t code, const char *where,
                                   const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        snprintf(err->where, sizeof err->where, "%s", where);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

static inline int32_t members_no_memory(lathe_error *err, const char *where) {
    return members_fail(err, LATHE_E_MEMORY, where, "out of memory");
}

/* size > 0, n >= 0; n * size may not overflow for what this header is used for: n is a number of
 * rows. */
static inline void *members_alloc(const lathe_host *host, int64_t n, uint64_t size) {
    if (n < 0 || (uint64_t)n > (UINT64_MAX >> 8) / size)
        return NULL;
    return host->alloc(host, n > 0 ? (uint64_t)n * size : size);
}

static inline int32_t members_init(members *m, const lathe_host *host,
                                   const lathe_component *component, lathe_error *err) {
    memset(m, 0, sizeof *m);
    m->host = host;
    m->component = component;
    m->kids = host->get(host, LATHE_HOST_COMPONENTS);
    m->datasets = host->get(host, LATHE_HOST_DATASETS);
    if (!m->kids || !m->datasets)
        return members_fail(err, LATHE_E_UNSUPPORTED, "base",
                            "this host has no components or no datasets service");
    return LATHE_OK;
}

static inline const lathe_learner *member_table(const lathe_instance *child) {
    return (const lathe_learner *)child->interface;
}

static inline void members_clear(members *m) {
    for (int64_t i = 0; i < m->capacity; i++)
        m->kids->destroy(m->host, &m->child[i]);
    if (m->has_sum)
        m->kids->destroy(m->host, &m->sum);
    m->host->free(m->host, m->child);
    m->child = NULL;
    m->capacity = m->n = 0;
    m->has_sum = 0;
}

/* Room for `capacity` children, all empty. */
static inline int32_t members_reset(members *m, int64_t capacity, lathe_error *err) {
    members_clear(m);
    m->child = members_alloc(m->host, capacity, sizeof *m->child);
    if (!m->child)
        return members_no_memory(err, "base");
    m->capacity = capacity;
    return LATHE_OK;
}

/* ---- contexts of the children ---------------------------------------------------------------- */

/* One context of the child's a worker, each opened when first used, by an instance of its own that
 * lives until it is closed. */
typedef struct members_contexts {
    const lathe_host *host;
    const lathe_components *kids;
    const lathe_component *component;
    lathe_open open;
    uint32_t needs;
    int32_t n; /* workers */
    lathe_instance *owner;
    void **context;
} members_contexts;

static inline void members_contexts_close(members_contexts *c) {
    for (int32_t i = 0; i < c->n; i++) {
        if (c->context && c->context[i])
            member_table(&c->owner[i])->close(c->owner[i].self, c->context[i]);
        if (c->context)
            c->context[i] = NULL;
        if (c->owner)
            c->kids->destroy(c->host, &c->owner[i]);
    }
}

static inline void members_contexts_free(members_contexts *c) {
    members_contexts_close(c);
    c->host->free(c->host, c->owner);
    c->host->free(c->host, c->context);
    c->owner = NULL;
    c->context = NULL;
    c->n = 0;
}

/* After an error members_contexts_free() is fine too. */
static inline int32_t members_contexts_init(members_contexts *c, const members *m,
                                            const lathe_open *open, int32_t n, lathe_error *err) {
    c->host = m->host;
    c->kids = m->kids;
    c->component = m->component;
    c->open = *open;
    c->open.struct_size = LATHE_SIZED(lathe_open);
    c->owner = members_alloc(m->host, n, sizeof *c->owner);
    c->context = members_alloc(m->host, n, sizeof *c->context);
    c->n = c->owner && c->context ? n : 0;
    return c->n == n ? LATHE_OK : members_no_memory(err, "base");
}

/* What the children must take from now on; contexts made for other needs are closed. */
static inline void members_contexts_need(members_contexts *c, uint32_t needs) {
    if (needs != c->needs)
        members_contexts_close(c);
    c->needs = needs;
}

/* The context of this worker. */
static inline int32_t members_context(members_contexts *c, int32_t worker, void **context,
                                      lathe_error *err) {
    lathe_instance *owner = &c->owner[worker];
    int32_t rc = LATHE_OK;
    if (!c->context[worker]) {
        c->kids->destroy(c->host, owner);
        owner->struct_size = LATHE_SIZED(lathe_instance);
        rc = c->kids->create(c->host, c->component, c->needs, c->open.data, owner, err);
        if (rc == LATHE_OK)
            rc = member_table(owner)->open(owner->self, &c->open, &c->context[worker], err);
    }
    *context = c->context[worker];
    return rc;
}

/* ---- the training rows' matrix --------------------------------------------------------------- */

typedef struct members_matrix {
    const float *x;
    int64_t stride;
    int64_t n_rows;
} members_matrix;

static inline int32_t members_get_matrix(const members *m, const lathe_dataset *data,
                                         members_matrix *x, lathe_error *err) {
    lathe_tensor t;
    int32_t rc = m->datasets->matrix(data, &t, err);
    if (rc != LATHE_OK)
        return rc;
    x->x = (const float *)(const void *)((const char *)t.data + t.byte_offset);
    x->n_rows = t.shape[0];
    x->stride = t.strides ? t.strides[0] : t.shape[1];
    return LATHE_OK;
}

typedef struct members_prediction {
    const lathe_host *host;
    const lathe_learner *table;
    const void *self;
    members_matrix x;
    float *out;
    int64_t width;
    int64_t stride; /* of out; width: compact */
} members_prediction;

static inline int32_t members_predict_chunk(void *user, int64_t begin, int64_t end,
                                            int32_t worker) {
    (void)worker;
    const members_prediction *p = (const members_prediction *)user;
    int64_t n = end - begin, bytes = p->table->scratch ? p->table->scratch(p->self, n) : 0;
    lathe_error err = {0};
    void *scratch = members_alloc(p->host, bytes, 1);
    float *compact = members_alloc(p->host, n * p->width, sizeof(float));
    int32_t rc = LATHE_E_MEMORY;
    if (scratch && compact)
        rc = p->table->predict(p->self, n, p->x.x + begin * p->x.stride, p->x.stride, compact,
                               scratch, &err);
    if (rc == LATHE_OK)
        for (int64_t i = 0; i < n; i++)
            memcpy(p->out + (begin + i) * p->stride, compact + i * p->width,
                   (size_t)p->width * sizeof(float));
    p->host->free(p->host, compact);
    p->host->free(p->host, scratch);
    return rc;
}

/* Predictions of all rows of x by a fitted learner, in parallel. */
static inline int32_t members_predict_all(const lathe_host *host, const lathe_learner *table,
                                          const void *self, const members_matrix *x, float *out,
                                          int64_t width, int64_t stride, lathe_error *err) {
    members_prediction p = {host, table, self, *x, out, width, stride};
    int32_t rc =
        host->parallel_for(host, x->n_rows, MEMBERS_PREDICT_GRAIN, members_predict_chunk, &p);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "base", "predicting the training rows failed");
    return LATHE_OK;
}

/* Fits a child and fills fit->fitted also where the child itself does not. `width`: the outputs
 * that are expected of it; 0: any. */
static inline int32_t member_fit(const members *m, lathe_instance *child, void *context,
                                 const lathe_fit *fit, const lathe_dataset *data, int64_t width,
                                 lathe_error *err) {
    const lathe_learner *table = member_table(child);
    int gives = (child->descriptor->flags & LATHE_LEARNER_GIVES_FITTED) != 0;
    lathe_fit f = *fit;
    if (!gives)
        f.fitted = NULL;
    int32_t rc = table->fit(child->self, context, &f, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_output o = {.struct_size = LATHE_SIZED(lathe_output)};
    rc = table->output(child->self, &o);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "base",
                            "the fitted base learner does not describe its output");
    if (width > 0 && o.n_outputs != width)
        return members_fail(err, LATHE_E_SHAPE, "base",
                            "the base learner %s gives %lld outputs, expected %lld",
                            child->descriptor->id, (long long)o.n_outputs, (long long)width);
    if (gives || !fit->fitted)
        return LATHE_OK;
    members_matrix x;
    rc = members_get_matrix(m, data, &x, err);
    if (rc == LATHE_OK)
        rc = members_predict_all(m->host, table, child->self, &x, fit->fitted, o.n_outputs,
                                 fit->fitted_stride, err);
    return rc;
}

/* ---- the sum of the children ----------------------------------------------------------------- */

/* Makes the sum of the first n children where their plugin combines, and drops them; else keeps
 * them. The arrays are as in lathe_combine. */
static inline int32_t members_combine(members *m, int64_t n, int32_t type, int64_t n_outputs,
                                      const double *bias, const double *scale,
                                      const int32_t *column, lathe_error *err) {
    const lathe_host *host = m->host;
    for (int64_t i = n; i < m->capacity; i++)
        m->kids->destroy(host, &m->child[i]);
    m->n = n;
    const lathe_descriptor *d = n > 0 ? m->child[0].descriptor : NULL;
    if (!d || !(d->flags & LATHE_LEARNER_COMBINES) || !member_table(&m->child[0])->combine ||
        d != m->kids->descriptor(host, m->component))
        return LATHE_OK;
    const void **selfs = members_alloc(host, n, sizeof *selfs);
    if (!selfs)
        return members_no_memory(err, "base");
    for (int64_t i = 0; i < n; i++)
        selfs[i] = m->child[i].self;
    lathe_combine c = {.struct_size = LATHE_SIZED(lathe_combine),
                       .type = type,
                       .n_outputs = n_outputs,
                       .bias = bias,
                       .n_children = n,
                       .children = selfs,
                       .scale = scale,
                       .column = column};
    m->sum.struct_size = LATHE_SIZED(lathe_instance);
    int32_t rc = m->kids->create(host, m->component, 0, NULL, &m->sum, err);
    if (rc == LATHE_OK) {
        rc = member_table(&m->sum)->combine(m->sum.self, &c, err);
        if (rc != LATHE_OK)
            m->kids->destroy(host, &m->sum);
    }
    host->free(host, selfs);
    if (rc == LATHE_E_UNSUPPORTED) { /* it may decline: the children stay */
        if (err)
            memset(err, 0, sizeof *err);
        return LATHE_OK;
    }
    if (rc != LATHE_OK)
        return rc;
    m->has_sum = 1;
    for (int64_t i = 0; i < m->capacity; i++)
        m->kids->destroy(host, &m->child[i]);
    return LATHE_OK;
}

static inline int64_t members_align(int64_t bytes) {
    return (bytes + 63) & ~(int64_t)63;
}

/* Scratch for one child's prediction of `rows` rows of `width` outputs, the greatest over the
 * children. */
static inline int64_t members_child_scratch(const members *m, int64_t rows) {
    int64_t most = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const lathe_learner *table = member_table(&m->child[i]);
        int64_t bytes = table->scratch ? table->scratch(m->child[i].self, rows) : 0;
        most = bytes > most ? bytes : most;
    }
    return members_align(most);
}

/* A score is made a probability in place; other outputs stay. [n, width] */
static inline void members_to_probability(int32_t type, int64_t n, int64_t width, float *out) {
    if (type != LATHE_OUTPUT_SCORE)
        return;
    for (int64_t i = 0; i < n; i++) {
        float *row = out + i * width;
        if (width == 1) {
            row[0] = (float)lathe_sigmoid(row[0]);
            continue;
        }
        double most = row[0], sum = 0;
        for (int64_t k = 1; k < width; k++)
            most = row[k] > most ? row[k] : most;
        for (int64_t k = 0; k < width; k++)
            sum += lathe_exp(row[k] - most);
        for (int64_t k = 0; k < width; k++)
            row[k] = (float)(lathe_exp(row[k] - most) / sum);
    }
}

/* ---- random numbers by row ------------------------------------------------------------------- */

/* out[i] = the random number of the row with this source row number: the same whatever rows are
 * around it. */
static inline void members_random_rows(const lathe_host *host, uint64_t key, const int64_t *row_id,
                                       int64_t n, uint64_t *out) {
    if (!row_id) {
        host->random_u64(host, key, 0, out, n);
        return;
    }
    uint64_t block[MEMBERS_RANDOM_BLOCK], base = UINT64_MAX;
    for (int64_t i = 0; i < n; i++) {
        uint64_t id = (uint64_t)row_id[i], start = id - id % MEMBERS_RANDOM_BLOCK;
        if (start != base)
            host->random_u64(host, key, start, block, MEMBERS_RANDOM_BLOCK);
        base = start;
        out[i] = block[id - start];
    }
}

/* ---- saving ---------------------------------------------------------------------------------- */

static inline void members_name(char *name, size_t size, int64_t i) {
    snprintf(name, size, "member.%06lld", (long long)i);
}

static inline int32_t members_save(const members *m, const lathe_writer *w, lathe_error *err) {
    int32_t rc = w->integer(w, "members", m->n, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "is_sum", m->has_sum, err);
    if (rc == LATHE_OK && m->has_sum)
        return w->child(w, "sum", &m->sum, err);
    for (int64_t i = 0; rc == LATHE_OK && i < m->n; i++) {
        char name[32];
        members_name(name, sizeof name, i);
        rc = w->child(w, name, &m->child[i], err);
    }
    return rc;
}

/* Is the loaded child a learner that reads n_features (<= 0: any) and gives `width` outputs (<= 0:
 * any)? */
static inline int32_t members_check_child(const lathe_instance *child, int64_t n_features,
                                          int64_t width, lathe_output *o, lathe_error *err) {
    memset(o, 0, sizeof *o);
    o->struct_size = LATHE_SIZED(lathe_output);
    if (member_table(child)->output(child->self, o) != LATHE_OK || o->n_features > n_features ||
        o->n_outputs != width)
        return members_fail(
            err, LATHE_E_CORRUPT, "base",
            "a member reads %lld features and gives %lld outputs; expected at most %lld "
            "and %lld",
            (long long)o->n_features, (long long)o->n_outputs, (long long)n_features,
            (long long)width);
    return LATHE_OK;
}

/* `sum_width`, `child_width`: outputs that the sum, or a child, must have. After an error
 * members_clear() frees what there is. */
static inline int32_t members_load(members *m, const lathe_reader *r, int64_t n_features,
                                   int64_t sum_width, int64_t child_width, lathe_error *err) {
    int64_t n = 0, is_sum = 0;
    lathe_output o;
    int32_t rc = r->integer(r, "members", 1, 1 << 24, &n, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "is_sum", 0, 1, &is_sum, err);
    if (rc != LATHE_OK)
        return rc;
    if (is_sum) {
        members_clear(m);
        rc = r->child(r, "sum", &m->sum, err);
        if (rc != LATHE_OK)
            return rc;
        m->has_sum = 1;
        m->n = n;
        return members_check_child(&m->sum, n_features, sum_width, &o, err);
    }
    rc = members_reset(m, n, err);
    if (rc != LATHE_OK)
        return rc;
    m->n = n;
    for (int64_t i = 0; i < n; i++) {
        char name[32];
        members_name(name, sizeof name, i);
        rc = r->child(r, name, &m->child[i], err);
        if (rc == LATHE_OK)
            rc = members_check_child(&m->child[i], n_features, child_width, &o, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* Adds up the children's importances; a sum gives its own. */
static inline int32_t members_importance(const members *m, int32_t type, int64_t n_features,
                                         double *importance, lathe_error *err) {
    const lathe_instance *one = m->has_sum ? &m->sum : m->child;
    int64_t n = m->has_sum ? 1 : m->n;
    memset(importance, 0, (size_t)n_features * sizeof(double));
    double *add = members_alloc(m->host, n_features, sizeof *add);
    if (!add)
        return members_no_memory(err, "base");
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        if (!(one[i].descriptor->flags & LATHE_LEARNER_GIVES_IMPORTANCE) ||
            !member_table(&one[i])->importance)
            rc = members_fail(err, LATHE_E_UNSUPPORTED, "base",
                              "%s knows no importance of features", one[i].descriptor->id);
        else
            rc = member_table(&one[i])->importance(one[i].self, type, n_features, add, err);
        for (int64_t f = 0; rc == LATHE_OK && f < n_features; f++)
            importance[f] += add[f];
    }
    m->host->free(m->host, add);
    return rc;
}

#endif

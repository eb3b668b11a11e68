/* committee.h: several fitted learners whose predictions are averaged: the model of bagging and
 * voting.
 *
 *     value:        sum_c weight_c v_c / sum_c weight_c                      (soft, in double, in
 *     order) probability:  the same of the probabilities, or (hard) the weighted share of the votes
 *     for each class
 */
#ifndef LATHE_ENSEMBLES_COMMITTEE_H
#define LATHE_ENSEMBLES_COMMITTEE_H

#include "children.h"

typedef struct committee {
    const lathe_host *host;
    int64_t n;
    lathe_instance *child; /* [n] */
    lathe_output *gives;   /* [n] */
    double *weight;        /* [n] */
    int32_t hard;
    int32_t fitted;
    lathe_output output;
    int64_t scratch; /* the most that a child needs */
} committee;

static inline void committee_forget(committee *m) {
    const lathe_host *host = m->host;
    const lathe_components *kids = get_components(host);
    for (int64_t i = 0; m->child != NULL && i < m->n; i++)
        kids->destroy(host, &m->child[i]);
    host->free(host, m->child);
    host->free(host, m->gives);
    host->free(host, m->weight);
    m->child = NULL;
    m->gives = NULL;
    m->weight = NULL;
    m->n = 0;
    m->fitted = 0;
}

/* Room for n children of weight 1. */
static inline int32_t committee_make(committee *m, int64_t n, lathe_error *err) {
    committee_forget(m);
    m->child = alloc_array(m->host, n, sizeof *m->child);
    m->gives = alloc_array(m->host, n, sizeof *m->gives);
    m->weight = alloc_array(m->host, n, sizeof *m->weight);
    m->n = n;
    if (m->child == NULL || m->gives == NULL || m->weight == NULL) {
        committee_forget(m);
        return fail_memory(err, "the children", n * (int64_t)sizeof *m->child);
    }
    for (int64_t i = 0; i < n; i++)
        m->weight[i] = 1.0;
    return LATHE_OK;
}

/* All children are there: what do they give together? `code` is the error of a mismatch. */
static inline int32_t committee_finish(committee *m, int32_t code, lathe_error *err) {
    m->scratch = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const lathe_learner *learner = m->child[i].interface;
        int32_t rc = child_output(&m->child[i], &m->gives[i], err);
        if (rc != LATHE_OK)
            return rc;
        int32_t value = m->gives[i].type == LATHE_OUTPUT_VALUE;
        int64_t bytes = learner->scratch(m->child[i].self, CHILD_BLOCK);
        if (bytes < 0)
            return fail(err, LATHE_E_INTERNAL, "The learner \"%s\" asks for %lld bytes of scratch.",
                        m->child[i].descriptor->name, (long long)bytes);
        if (bytes > m->scratch)
            m->scratch = bytes;
        if (i == 0) {
            m->output = m->gives[0];
            m->output.type = value ? LATHE_OUTPUT_VALUE : LATHE_OUTPUT_PROBABILITY;
        } else if (value != (m->output.type == LATHE_OUTPUT_VALUE) ||
                   m->gives[i].n_outputs != m->output.n_outputs ||
                   m->gives[i].n_features != m->output.n_features) {
            return fail(err, code,
                        "Learner %lld (\"%s\") gives %lld outputs from %lld features, the first "
                        "%lld from %lld; they cannot be averaged.",
                        (long long)i, m->child[i].descriptor->name,
                        (long long)m->gives[i].n_outputs, (long long)m->gives[i].n_features,
                        (long long)m->output.n_outputs, (long long)m->output.n_features);
        }
    }
    m->fitted = 1;
    return LATHE_OK;
}

static inline int32_t committee_output(const void *self, lathe_output *output) {
    const committee *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    output->type = m->output.type;
    output->n_outputs = m->output.n_outputs;
    output->n_features = m->output.n_features;
    return LATHE_OK;
}

static inline int64_t committee_scratch(const void *self, int64_t rows) {
    const committee *m = self;
    uint64_t cells = (uint64_t)(CHILD_BLOCK * m->output.n_outputs);
    (void)rows;
    return (int64_t)(align64(cells * sizeof(double)) + align64(cells * sizeof(float))) + m->scratch;
}

/* Adds weight to the class that each row votes for. */
static inline void committee_vote(int64_t n, int64_t k, const float *p, double weight,
                                  double *sum) {
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < k; c++)
            if (p[i * k + c] > p[i * k + best])
                best = c;
        if (k > 1 || p[i] >= 0.5f)
            sum[i * k + best] += weight;
    }
}

static inline int32_t committee_predict(const void *self, int64_t n, const float *x, int64_t stride,
                                        float *out, void *scratch, lathe_error *err) {
    const committee *m = self;
    int64_t k = m->output.n_outputs;
    double total = 0, *sum = scratch;
    float *one;
    void *own;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The ensemble is not fitted.");
    one = (float *)((char *)scratch + align64((uint64_t)(CHILD_BLOCK * k) * sizeof(double)));
    own = (char *)one + align64((uint64_t)(CHILD_BLOCK * k) * sizeof(float));
    for (int64_t c = 0; c < m->n; c++)
        total += m->weight[c];
    for (int64_t first = 0; first < n; first += CHILD_BLOCK) {
        int64_t rows = n - first < CHILD_BLOCK ? n - first : CHILD_BLOCK;
        memset(sum, 0, (size_t)(rows * k) * sizeof *sum);
        for (int64_t c = 0; c < m->n; c++) {
            int32_t rc = child_predict(&m->child[c], &m->gives[c], rows, x + first * stride, stride,
                                       one, own, err);
            if (rc != LATHE_OK)
                return rc;
            if (m->hard)
                committee_vote(rows, k, one, m->weight[c], sum);
            else
                for (int64_t i = 0; i < rows * k; i++)
                    sum[i] += m->weight[c] * (double)one[i];
        }
        for (int64_t i = 0; i < rows * k; i++)
            out[first * k + i] = (float)(sum[i] / total);
    }
    return LATHE_OK;
}

/* The sum over the children; all of them must know it. */
static inline int32_t committee_importance(const void *self, int32_t type, int64_t n_features,
                                           double *importance, lathe_error *err) {
    const committee *m = self;
    double *one = alloc_array(m->host, n_features, sizeof *one);
    int32_t rc = one != NULL ? LATHE_OK : fail_memory(err, "the importance", n_features * 8);
    memset(importance, 0, (size_t)n_features * sizeof *importance);
    for (int64_t i = 0; rc == LATHE_OK && i < m->n; i++) {
        const lathe_learner *learner = m->child[i].interface;
        if (!(m->child[i].descriptor->flags & LATHE_LEARNER_GIVES_IMPORTANCE) ||
            learner->importance == NULL)
            rc = fail(err, LATHE_E_UNSUPPORTED, "The learner \"%s\" gives no importance.",
                      m->child[i].descriptor->name);
        else
            rc = learner->importance(m->child[i].self, type, n_features, one, err);
        for (int64_t f = 0; rc == LATHE_OK && f < n_features; f++)
            importance[f] += one[f];
    }
    m->host->free(m->host, one);
    return rc;
}

static inline int32_t committee_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const committee *m = self;
    int32_t rc;
    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The ensemble is not fitted.");
    rc = lathe_write_array(w, "weights", LATHE_FLOAT, 64, m->weight, m->n, err);
    if (rc == LATHE_OK)
        rc = w->integer(w, "votes", m->hard, err);
    return rc != LATHE_OK ? rc : children_save(w, "child", m->child, m->n, err);
}

static inline int32_t committee_load(void *self, const lathe_reader *r, lathe_error *err) {
    committee *m = self;
    const void *weight;
    int64_t n, hard;
    double total = 0;
    int32_t rc = lathe_read_array(r, "weights", LATHE_FLOAT, 64, -1, &weight, &n, err);

    if (rc == LATHE_OK)
        rc = r->integer(r, "votes", 0, 1, &hard, err);
    if (rc != LATHE_OK)
        return rc;
    if (n < 1 || n > 1000000)
        return fail(err, LATHE_E_CORRUPT, "\"weights\" is of %lld children.", (long long)n);
    if ((rc = committee_make(m, n, err)) != LATHE_OK)
        return rc;
    memcpy(m->weight, weight, (size_t)n * sizeof *m->weight);
    m->hard = (int32_t)hard;
    for (int64_t i = 0; i < n; i++) {
        if (!(m->weight[i] >= 0) || isinf(m->weight[i]))
            rc = fail(err, LATHE_E_CORRUPT, "The weight of child %lld is %g.", (long long)i,
                      m->weight[i]);
        total += m->weight[i];
    }
    if (rc == LATHE_OK && !(total > 0))
        rc = fail(err, LATHE_E_CORRUPT, "The weights of the children sum to %g.", total);
    if (rc == LATHE_OK)
        rc = children_load(r, "child", m->child, n, err);
    if (rc == LATHE_OK)
        rc = committee_finish(m, LATHE_E_CORRUPT, err);
    if (rc != LATHE_OK)
        committee_forget(m);
    return rc;
}

#endif

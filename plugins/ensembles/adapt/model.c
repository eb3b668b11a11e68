/* The fitted adapter: children, predicting, saving, loading. */
#include "adapt.h"

void adapt_forget(adapt *m) {
    const lathe_components *kids = get_components(m->host);
    for (int64_t i = 0; m->child != NULL && i < m->n; i++)
        kids->destroy(m->host, &m->child[i]);
    m->host->free(m->host, m->child);
    m->host->free(m->host, m->narrow);
    encoder_free(&m->encoder, m->host);
    m->child = NULL;
    m->narrow = NULL;
    m->n_narrow = -1;
    m->n = 0;
    m->fitted = 0;
}

int32_t adapt_make_children(adapt *m, int64_t n, lathe_error *err) {
    m->child = alloc_array(m->host, n, sizeof *m->child);
    if (m->child == NULL)
        return fail_memory(err, "the children", n * (int64_t)sizeof *m->child);
    m->n = n;
    return LATHE_OK;
}

int32_t adapt_finish(adapt *m, int32_t code, lathe_error *err) {
    int64_t columns = m->n_narrow >= 0 ? m->n_narrow : m->encoder.n_columns;

    m->scratch = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const lathe_learner *learner = m->child[i].interface;
        lathe_output gives;
        int32_t rc = child_output(&m->child[i], &gives, err);
        if (rc != LATHE_OK)
            return rc;
        if (gives.n_features != columns || (m->rest && gives.n_outputs != 1))
            return fail(err, code, "The base \"%s\" gives %lld outputs from %lld features of %lld.",
                        m->child[i].descriptor->name, (long long)gives.n_outputs,
                        (long long)gives.n_features, (long long)columns);
        int64_t bytes = learner->scratch(m->child[i].self, CHILD_BLOCK);
        if (bytes > m->scratch)
            m->scratch = bytes;
        m->output = gives;
    }
    if (m->rest) {
        m->output.type = LATHE_OUTPUT_PROBABILITY;
        m->output.n_outputs = m->n;
    }
    m->output.n_features = m->encoder.n_features;
    m->fitted = 1;
    return LATHE_OK;
}

int32_t adapt_output(const void *self, lathe_output *output) {
    const adapt *m = self;
    if (!m->fitted)
        return LATHE_E_STATE;
    output->type = m->output.type;
    output->n_outputs = m->output.n_outputs;
    output->n_features = m->output.n_features;
    return LATHE_OK;
}

/* Three parts: the encoded block, its narrow form, one output of a class; then the child's own. */
static uint64_t block_bytes(int64_t columns) {
    return align64((uint64_t)(CHILD_BLOCK * columns) * sizeof(float));
}

int64_t adapt_scratch(const void *self, int64_t rows) {
    const adapt *m = self;
    (void)rows;
    return (int64_t)(block_bytes(m->encoder.n_columns) +
                     block_bytes(m->n_narrow >= 0 ? m->n_narrow : 0) + block_bytes(1)) +
           m->scratch;
}

/* P(class) of each class's own learner, divided by their sum. */
static int32_t predict_rest(const adapt *m, int64_t rows, const float *x, int64_t stride,
                            float *out, float *one, void *own, lathe_error *err) {
    for (int64_t c = 0; c < m->n; c++) {
        lathe_output gives;
        int32_t rc = child_output(&m->child[c], &gives, err);
        if (rc == LATHE_OK)
            rc = child_predict(&m->child[c], &gives, rows, x, stride, one, own, err);
        if (rc != LATHE_OK)
            return rc;
        for (int64_t i = 0; i < rows; i++)
            out[i * m->n + c] = one[i];
    }
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t c = 0; c < m->n; c++)
            sum += (double)out[i * m->n + c];
        for (int64_t c = 0; c < m->n; c++)
            out[i * m->n + c] =
                (float)(sum > 0 ? (double)out[i * m->n + c] / sum : 1.0 / (double)m->n);
    }
    return LATHE_OK;
}

int32_t adapt_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                      void *scratch, lathe_error *err) {
    const adapt *m = self;
    float *encoded = scratch, *narrow, *one;
    void *own;

    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The adapter is not fitted.");
    narrow = (float *)((char *)scratch + block_bytes(m->encoder.n_columns));
    one = (float *)((char *)narrow + block_bytes(m->n_narrow >= 0 ? m->n_narrow : 0));
    own = (char *)one + block_bytes(1);
    for (int64_t first = 0; first < n; first += CHILD_BLOCK) {
        int64_t rows = n - first < CHILD_BLOCK ? n - first : CHILD_BLOCK;
        const float *at = x + first * stride;
        int64_t at_stride = stride;
        float *to = out + first * m->output.n_outputs;
        int32_t rc;
        if (!m->encoder.plain) {
            encoder_apply(&m->encoder, rows, at, stride, encoded);
            at = encoded;
            at_stride = m->encoder.n_columns;
        }
        if (m->n_narrow >= 0) {
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < m->n_narrow; j++)
                    narrow[i * m->n_narrow + j] = at[i * at_stride + m->narrow[j]];
            at = narrow;
            at_stride = m->n_narrow;
        }
        rc = m->rest ? predict_rest(m, rows, at, at_stride, to, one, own, err)
                     : ((const lathe_learner *)m->child[0].interface)
                           ->predict(m->child[0].self, rows, at, at_stride, to, own, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* The importance of a feature is the sum of those of its columns, over all children. */
int32_t adapt_importance(const void *self, int32_t type, int64_t n_features, double *importance,
                         lathe_error *err) {
    const adapt *m = self;
    int64_t columns = m->n_narrow >= 0 ? m->n_narrow : m->encoder.n_columns;
    double *of_columns;
    int32_t rc = LATHE_OK;

    if (!m->fitted || n_features != m->encoder.n_features)
        return fail(err, LATHE_E_SHAPE, "The model is of %lld features, asked for %lld.",
                    (long long)m->encoder.n_features, (long long)n_features);
    if (!(m->base->flags & LATHE_LEARNER_GIVES_IMPORTANCE))
        return fail(err, LATHE_E_UNSUPPORTED, "The base \"%s\" gives no importance.",
                    m->base->name);
    of_columns = alloc_array(m->host, columns, sizeof *of_columns);
    if (of_columns == NULL)
        return fail_memory(err, "the importance", columns * 8);
    memset(importance, 0, (size_t)n_features * sizeof *importance);
    for (int64_t i = 0; rc == LATHE_OK && i < m->n; i++) {
        const lathe_learner *learner = m->child[i].interface;
        rc = learner->importance(m->child[i].self, type, columns, of_columns, err);
        for (int64_t c = 0; rc == LATHE_OK && c < columns; c++)
            importance[encoder_origin(&m->encoder, m->n_narrow >= 0 ? m->narrow[c] : c)] +=
                of_columns[c];
    }
    m->host->free(m->host, of_columns);
    return rc;
}

int32_t adapt_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const adapt *m = self;
    int32_t rc;
    if (!m->fitted)
        return fail(err, LATHE_E_STATE, "The adapter is not fitted.");
    if ((rc = w->integer(w, "scaled", m->encoder.scale, err)) != LATHE_OK ||
        (rc = encoder_save(&m->encoder, w, err)) != LATHE_OK ||
        (rc = w->integer(w, "against_the_rest", m->rest, err)) != LATHE_OK ||
        (rc = w->integer(w, "children", m->n, err)) != LATHE_OK ||
        (rc = w->integer(w, "narrow", m->n_narrow >= 0, err)) != LATHE_OK)
        return rc;
    if (m->n_narrow >= 0 && (rc = lathe_write_array(w, "narrow.columns", LATHE_INT, 32, m->narrow,
                                                    m->n_narrow, err)) != LATHE_OK)
        return rc;
    return children_save(w, "base", m->child, m->n, err);
}

static int32_t load_narrow(adapt *m, const lathe_reader *r, lathe_error *err) {
    const void *read;
    const int32_t *columns;
    int64_t n;
    int32_t rc = lathe_read_array(r, "narrow.columns", LATHE_INT, 32, -1, &read, &n, err);

    if (rc != LATHE_OK)
        return rc;
    columns = read;
    for (int64_t i = 0; i < n; i++)
        if (columns[i] < 0 || columns[i] >= m->encoder.n_columns)
            return fail(err, LATHE_E_CORRUPT,
                        "\"narrow.columns\" holds %d; there are %lld columns.", columns[i],
                        (long long)m->encoder.n_columns);
    m->narrow = alloc_array(m->host, n, sizeof *m->narrow);
    if (m->narrow == NULL)
        return fail_memory(err, "the columns", n * 4);
    memcpy(m->narrow, columns, (size_t)n * sizeof *m->narrow);
    m->n_narrow = n;
    return LATHE_OK;
}

/* Whether numbers are scaled is as it was in training; what the base wants may have changed since. State version
 * 1 did not say it: every base that wants it now did then, and `linear`, which has come to do it itself. */
static int32_t load_scaled(adapt *m, const lathe_reader *r, lathe_error *err) {
    int64_t scaled = m->encoder.scale || strcmp(m->base->id, "lathe.learner.linear") == 0;
    int32_t rc = LATHE_OK;

    if (r->state_version > 1)
        rc = r->integer(r, "scaled", 0, 1, &scaled, err);
    m->encoder.scale = (int32_t)scaled;
    m->encoder.plain = !m->encoder.impute && !m->encoder.scale && !m->encoder.one_hot;
    return rc;
}

int32_t adapt_load(void *self, const lathe_reader *r, lathe_error *err) {
    adapt *m = self;
    int64_t rest, n, narrow;
    int32_t rc;

    adapt_forget(m);
    encoder_choose(&m->encoder, m->base->flags);
    if ((rc = load_scaled(m, r, err)) != LATHE_OK ||
        (rc = encoder_load(&m->encoder, m->host, r, err)) != LATHE_OK ||
        (rc = r->integer(r, "against_the_rest", 0, 1, &rest, err)) != LATHE_OK ||
        (rc = r->integer(r, "children", 1, rest ? 65536 : 1, &n, err)) != LATHE_OK ||
        (rc = r->integer(r, "narrow", 0, 1, &narrow, err)) != LATHE_OK)
        goto fail;
    m->rest = (int32_t)rest;
    if (narrow && (rc = load_narrow(m, r, err)) != LATHE_OK)
        goto fail;
    if (m->encoder.plain && m->encoder.n_columns != m->encoder.n_features) {
        rc = fail(err, LATHE_E_CORRUPT, "There are %lld columns of %lld plain features.",
                  (long long)m->encoder.n_columns, (long long)m->encoder.n_features);
        goto fail;
    }
    if ((rc = adapt_make_children(m, n, err)) != LATHE_OK ||
        (rc = children_load(r, "base", m->child, n, err)) != LATHE_OK ||
        (rc = adapt_finish(m, LATHE_E_CORRUPT, err)) != LATHE_OK)
        goto fail;
    return LATHE_OK;
fail:
    adapt_forget(m);
    return rc;
}

/* The one pass over the rows that every solver makes: value, gradient and Gram matrix, in double,
 * summed in a fixed order whatever the number of threads: the rows are cut into groups by their
 * number alone, a group is one thread's work from begin to end, and the groups' sums are added in
 * order.
 *
 * One score a row: by the kernels of moments.h; without a Gram matrix and with all features in place on the
 * rows as they stand, the coefficients being those of the features as they are. (In double that loses nothing:
 * a float32 feature's mean is at most 2^24 times as large as the deviation that it can show.) Several: scores and gradient as matrix products; the
 * Gram matrix is one of z for each pair of scores, weighted by the loss's second derivatives. */
#include "linear.h"

enum { MOST_GROUPS = 64, MOST_GRAM_BYTES = 32 << 20 };

struct workspace {
    int64_t groups;        /* that the arrays have room for */
    double *values;        /* [groups] */
    double *gradients;     /* [groups, gradient_size] */
    double *grams;         /* [groups, gram_size] or NULL */
    double *theta;         /* [panels of q], padded, k = 1 */
    double begin;          /* direct: the score of a row of zeros */
    int64_t gradient_size; /* whole panels, k = 1; else k q */
    int64_t gram_size;     /* for each pair of scores the blocks of moments.h */
    char *chunk;           /* [workers, chunk_bytes] */
    uint64_t chunk_bytes;
    lathe_error *errors; /* [workers] */
    int32_t workers;
    int32_t gram;
};

typedef struct pass {
    const problem *pr;
    const double *theta;
    const int32_t *order;
    int64_t n;
    int64_t group; /* rows a group */
    int64_t groups;
    int32_t gram;
    int32_t gradient;
    int32_t direct; /* rows are read as they stand, theta is of the features as they are */
    struct workspace *work;
} pass;

/* A worker's scratch. */
typedef struct buffers {
    const float **row; /* [CHUNK], direct */
    double *z;         /* panels of q */
    double *rows;      /* [CHUNK, q], k > 1 */
    double *score;     /* [CHUNK, k] */
    double *value;     /* [CHUNK] */
    double *residual;  /* [CHUNK, k] */
    double *weight;    /* [CHUNK] of the rows */
    double *curve;     /* [CHUNK] weights of a Gram matrix */
    double *scaled;    /* [CHUNK, TALL] */
    float *score32;    /* [CHUNK, k] */
    float *gradient;   /* [CHUNK, k] */
    float *hessian;    /* [CHUNK], k = 1; else [CHUNK, k, k] with a Gram matrix */
    float *target;     /* [CHUNK] */
    float *g;          /* [CHUNK] */
    float *h;          /* [CHUNK] */
} buffers;

/* The next part of a block being cut; base NULL only adds up how much that needs. */
static void *cut(char *base, uint64_t *at, int64_t bytes) {
    void *part = base != NULL ? base + *at : NULL;
    *at += align64((uint64_t)bytes);
    return part;
}

static uint64_t buffers_lay(buffers *b, char *base, int64_t q, int64_t k, int32_t gram) {
    uint64_t at = 0;
    b->row = cut(base, &at, k == 1 ? CHUNK * (int64_t)sizeof *b->row : 0);
    b->z = cut(base, &at, panels(q) * LINES * LANES * 8);
    b->rows = cut(base, &at, k > 1 ? CHUNK * q * 8 : 0);
    b->score = cut(base, &at, CHUNK * k * 8);
    b->value = cut(base, &at, CHUNK * 8);
    b->residual = cut(base, &at, CHUNK * k * 8);
    b->weight = cut(base, &at, CHUNK * 8);
    b->curve = cut(base, &at, CHUNK * 8);
    b->scaled = cut(base, &at, CHUNK * TALL * 8);
    b->score32 = cut(base, &at, CHUNK * k * 4);
    b->gradient = cut(base, &at, CHUNK * k * 4);
    b->hessian = cut(base, &at, k == 1 ? CHUNK * 4 : gram ? CHUNK * k * k * 4 : 0);
    b->target = cut(base, &at, CHUNK * 4);
    b->g = cut(base, &at, CHUNK * 4);
    b->h = cut(base, &at, CHUNK * 4);
    return at;
}

static double *panel_at(double *z, int64_t i, int64_t j) {
    return z + (j / LANES * LINES + i) * LANES + j % LANES;
}

/* One standardised row. */
static void fill_row(const problem *pr, const float *x, double one, int64_t i, int32_t want_panels,
                     buffers *b) {
    if (pr->k == 1 && pr->in_place) {
        pr->moments->standardise(pr->p, x, pr->mean, pr->inverse, b->z, i);
        *panel_at(b->z, i, pr->p) = one;
        return;
    }
    double *row = b->rows + i * pr->q;
    for (int64_t j = 0; j < pr->q; j++) {
        double v = j == pr->p ? one : ((double)x[pr->feature[j]] - pr->mean[j]) * pr->inverse[j];
        if (want_panels)
            *panel_at(b->z, i, j) = v;
        if (pr->k > 1)
            row[j] = v;
    }
}

/* Standardised rows, their weights and targets. */
static void fill_rows(const pass *ps, int64_t begin, int64_t m, buffers *b) {
    const problem *pr = ps->pr;
    double one = pr->config->intercept ? 1.0 : 0.0;

    for (int64_t i = 0; i < m; i++) {
        int64_t at = ps->order != NULL ? ps->order[begin + i] : begin + i;
        const float *x = pr->data->x + pr->rows.row[at] * pr->data->stride;
        if (ps->direct)
            b->row[i] = x;
        else
            fill_row(pr, x, one, i, pr->k == 1 || ps->gram, b);
        b->weight[i] = pr->rows.weight[at];
        if (pr->loss.loss != NULL) {
            b->target[i] = pr->loss.target[at];
        } else {
            b->g[i] = pr->loss.g[at];
            b->h[i] = pr->loss.h[at];
        }
    }
}

static void scores(const pass *ps, int64_t m, buffers *b) {
    const problem *pr = ps->pr;
    if (ps->direct)
        pr->moments->raw_scores(m, pr->p, b->row, ps->work->begin, ps->work->theta, b->score);
    else if (pr->k == 1)
        pr->moments->scores(m, pr->q, b->z, ps->work->theta, b->score);
    else
        pr->host->gemm_f64(pr->host, LATHE_NO_TRANS, LATHE_TRANS, m, pr->k, pr->q, 1.0, b->rows,
                           pr->q, ps->theta, pr->q, 0.0, b->score, pr->k);
    for (int64_t i = 0; i < m * pr->k; i++)
        b->score32[i] = (float)b->score[i];
}

/* Adds the chunk's Gram matrices. */
static void add_grams(const problem *pr, int64_t m, buffers *b, double *gram) {
    int64_t k = pr->k, size = gram_doubles(pr->q);

    for (int64_t c = 0; c < k; c++)
        for (int64_t d = c; d < k; d++, gram += size) {
            for (int64_t i = 0; i < m; i++) {
                double h = b->hessian[(i * k + c) * k + d];
                b->curve[i] = b->weight[i] * (k > 1 || h > 0 ? h : 0.0);
            }
            pr->moments->gram(m, pr->q, b->z, b->curve, b->scaled, gram);
        }
}

static void add_gradient(const pass *ps, int64_t m, buffers *b, double *gradient) {
    const problem *pr = ps->pr;
    int64_t k = pr->k, q = pr->q;

    for (int64_t i = 0; i < m; i++)
        for (int64_t c = 0; c < k; c++)
            b->residual[i * k + c] = b->weight[i] * (double)b->gradient[i * k + c];
    if (ps->direct) {
        pr->moments->raw_gradient(m, pr->p, b->row, b->residual, gradient);
        for (int64_t i = 0; i < m; i++)
            gradient[pr->p] += b->residual[i];
    } else if (k == 1) {
        pr->moments->gradient(m, q, b->z, b->residual, gradient);
    } else {
        pr->host->gemm_f64(pr->host, LATHE_TRANS, LATHE_NO_TRANS, k, q, m, 1.0, b->residual, k,
                           b->rows, q, 1.0, gradient, q);
    }
}

static int32_t one_chunk(const pass *ps, int64_t begin, int64_t m, buffers *b, int64_t group,
                         lathe_error *err) {
    const problem *pr = ps->pr;
    struct workspace *w = ps->work;
    int32_t rc;

    fill_rows(ps, begin, m, b);
    scores(ps, m, b);
    rc = objective_value(&pr->loss, m, b->score32, b->target, b->g, b->h, b->value, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < m; i++)
        w->values[group] += b->weight[i] * b->value[i];
    if (!ps->gradient)
        return LATHE_OK;
    rc = objective_gradient(&pr->loss, m, b->score32, b->target, b->g, b->h, b->gradient,
                            ps->gram && pr->k == 1 ? b->hessian : NULL, err);
    if (rc == LATHE_OK && ps->gram && pr->k > 1)
        rc = pr->loss.loss->hessian_block(pr->loss.self, m, pr->k, b->score32, b->target,
                                          b->hessian, err);
    if (rc != LATHE_OK)
        return rc;
    add_gradient(ps, m, b, w->gradients + group * w->gradient_size);
    if (ps->gram)
        add_grams(pr, m, b, w->grams + group * w->gram_size);
    return LATHE_OK;
}

static int32_t group_chunk(void *user, int64_t first, int64_t last, int32_t worker) {
    pass *ps = user;
    const problem *pr = ps->pr;
    buffers b;

    buffers_lay(&b, ps->work->chunk + (uint64_t)worker * ps->work->chunk_bytes, pr->q, pr->k,
                ps->work->gram);
    for (int64_t g = first; g < last; g++) {
        int64_t end = (g + 1) * ps->group < ps->n ? (g + 1) * ps->group : ps->n;
        for (int64_t i = g * ps->group; i < end; i += CHUNK) {
            int64_t m = end - i < CHUNK ? end - i : CHUNK;
            if (pr->host->stopped(pr->host))
                return fail_stopped(&ps->work->errors[worker], "while fitting the linear model");
            int32_t rc = one_chunk(ps, i, m, &b, g, &ps->work->errors[worker]);
            if (rc != LATHE_OK)
                return rc;
        }
    }
    return LATHE_OK;
}

/* Groups by size alone: whole chunks, at most MOST_GROUPS, fewer where their Gram matrices would
 * need much memory. */
static void cut_groups(pass *ps, int64_t gram_bytes) {
    int64_t most = MOST_GROUPS;
    int64_t chunks = (ps->n + CHUNK - 1) / CHUNK;
    if (gram_bytes > 0 && most > MOST_GRAM_BYTES / gram_bytes)
        most = MOST_GRAM_BYTES / gram_bytes < 8 ? 8 : MOST_GRAM_BYTES / gram_bytes;
    int64_t a_group = (chunks + most - 1) / most;
    ps->group = (a_group < 1 ? 1 : a_group) * CHUNK;
    ps->groups = (ps->n + ps->group - 1) / ps->group;
}

/* One pair of scores' blocks into the Gram matrix [k q, k q], wherever they stand in it. */
static void spread_blocks(int64_t q, int64_t k, int64_t c, int64_t d, const double *blocks,
                          double *gram) {
    int64_t np = panels(q), m = k * q;
    for (int64_t at = 0; at < q; at += TALL)
        for (int64_t b = at / LANES; b < np; b++, blocks += TALL * LANES)
            for (int64_t r = 0; r < TALL && at + r < q; r++)
                for (int64_t l = 0; l < LANES && b * LANES + l < q; l++) {
                    int64_t i = at + r, j = b * LANES + l;
                    double v = blocks[r * LANES + l];
                    if (j < i)
                        continue;
                    gram[(c * q + i) * m + d * q + j] = v;
                    gram[(c * q + j) * m + d * q + i] = v;
                    gram[(d * q + j) * m + c * q + i] = v;
                    gram[(d * q + i) * m + c * q + j] = v;
                }
}

/* From theta to the coefficients of the features as they are. */
static void set_direct(pass *ps) {
    const problem *pr = ps->pr;
    struct workspace *w = ps->work;
    w->begin = pr->config->intercept ? ps->theta[pr->p] : 0.0;
    for (int64_t j = 0; j < pr->p; j++) {
        w->theta[j] = ps->theta[j] * pr->inverse[j];
        w->begin -= pr->mean[j] * w->theta[j];
    }
}

/* And from sums over the features as they are to those over z. */
static void from_direct(const problem *pr, double *gradient) {
    double all = gradient[pr->p];
    for (int64_t j = 0; j < pr->p; j++)
        gradient[j] = (gradient[j] - pr->mean[j] * all) * pr->inverse[j];
    if (!pr->config->intercept)
        gradient[pr->p] = 0.0;
}

/* The groups' sums, in order, in those of the first group, and from there to the caller's. */
static void reduce(const pass *ps, pass_sums *sums) {
    const struct workspace *w = ps->work;
    int64_t k = ps->pr->k, q = ps->pr->q, size = w->gram_size;

    sums->value = 0;
    for (int64_t g = 0; g < ps->groups; g++)
        sums->value += w->values[g];
    for (int64_t g = 1; ps->gradient && g < ps->groups; g++)
        for (int64_t j = 0; j < w->gradient_size; j++)
            w->gradients[j] += w->gradients[g * w->gradient_size + j];
    if (ps->direct && ps->gradient)
        from_direct(ps->pr, w->gradients);
    if (sums->gradient != NULL)
        memcpy(sums->gradient, w->gradients, (size_t)(k * q) * sizeof(double));
    if (sums->gram == NULL)
        return;
    for (int64_t g = 1; g < ps->groups; g++)
        for (int64_t j = 0; j < size; j++)
            w->grams[j] += w->grams[g * size + j];
    const double *blocks = w->grams;
    for (int64_t c = 0; c < k; c++)
        for (int64_t d = c; d < k; d++, blocks += gram_doubles(q))
            spread_blocks(q, k, c, d, blocks, sums->gram);
}

void linear_workspace_free(problem *pr) {
    struct workspace *w = pr->work;
    if (w == NULL)
        return;
    pr->host->free(pr->host, w->errors);
    pr->host->free(pr->host, w->chunk);
    pr->host->free(pr->host, w->grams);
    pr->host->free(pr->host, w->gradients);
    pr->host->free(pr->host, w->theta);
    pr->host->free(pr->host, w->values);
    pr->host->free(pr->host, w);
    pr->work = NULL;
}

int32_t linear_workspace_make(problem *pr, int64_t n, int32_t gram, lathe_error *err) {
    const lathe_host *host = pr->host;
    pass plain = {.n = n}, full = {.n = n};
    struct workspace *w = host->alloc(host, sizeof *w);
    buffers b;

    if (w == NULL)
        return fail_memory(err, "fitting", sizeof *w);
    pr->work = w;
    w->gram = gram;
    w->gradient_size = pr->k == 1 ? panels(pr->q) * LANES : pr->k * pr->q;
    w->gram_size = pr->k * (pr->k + 1) / 2 * gram_doubles(pr->q);
    cut_groups(&plain, 0);
    cut_groups(&full, w->gram_size * (int64_t)sizeof(double));
    w->groups = plain.groups;
    w->workers = w->groups == 1 ? 1 : host->n_workers(host);
    w->chunk_bytes = buffers_lay(&b, NULL, pr->q, pr->k, gram);
    w->values = alloc_array(host, w->groups, sizeof(double));
    w->theta = alloc_array(host, panels(pr->q) * LANES, sizeof(double));
    w->gradients = alloc_array(host, w->groups * w->gradient_size, sizeof(double));
    w->grams = gram ? alloc_array(host, full.groups * w->gram_size, sizeof(double)) : NULL;
    w->chunk = alloc_array(host, w->workers, w->chunk_bytes);
    w->errors = alloc_array(host, w->workers, sizeof *w->errors);
    if (w->values == NULL || w->theta == NULL || w->gradients == NULL ||
        (gram && w->grams == NULL) || w->chunk == NULL || w->errors == NULL) {
        int64_t bytes = w->groups * w->gradient_size * 8 + full.groups * w->gram_size * 8;
        linear_workspace_free(pr);
        return fail_memory(err, "fitting", bytes);
    }
    return LATHE_OK;
}

int32_t linear_pass(const problem *pr, const double *theta, const int32_t *order, int64_t n,
                    pass_sums *sums, lathe_error *err) {
    struct workspace *w = pr->work;
    pass ps = {.pr = pr, .theta = theta, .order = order, .n = n, .work = w};
    int32_t rc;

    ps.gradient = sums->gradient != NULL || sums->gram != NULL;
    ps.gram = sums->gram != NULL;
    cut_groups(&ps, ps.gram ? w->gram_size * (int64_t)sizeof(double) : 0);
    ps.direct = pr->k == 1 && pr->in_place && !ps.gram;
    if (ps.direct)
        set_direct(&ps);
    else if (pr->k == 1)
        memcpy(w->theta, theta, (size_t)pr->q * sizeof(double));
    memset(w->values, 0, (size_t)ps.groups * sizeof(double));
    if (ps.gradient)
        memset(w->gradients, 0, (size_t)(ps.groups * w->gradient_size) * sizeof(double));
    if (ps.gram)
        memset(w->grams, 0, (size_t)(ps.groups * w->gram_size) * sizeof(double));
    memset(w->errors, 0, (size_t)w->workers * sizeof *w->errors);
    rc = ps.groups == 1 ? group_chunk(&ps, 0, 1, 0)
                        : pr->host->parallel_for(pr->host, ps.groups, 1, group_chunk, &ps);
    for (int32_t i = 0; rc != LATHE_OK && err != NULL && i < w->workers; i++)
        if (w->errors[i].code != 0)
            *err = w->errors[i];
    if (rc == LATHE_OK)
        reduce(&ps, sums);
    return rc;
}

int32_t linear_evaluate(const problem *pr, const double *theta, pass_sums *sums, lathe_error *err) {
    int32_t part = pr->sample != NULL;
    double by = 1.0 / (part ? pr->sample_total : pr->rows.total);
    int64_t m = pr->k * pr->q;
    int32_t rc = linear_pass(pr, theta, pr->sample, part ? pr->n_sample : pr->rows.n, sums, err);

    if (rc != LATHE_OK)
        return rc;
    sums->value *= by;
    for (int64_t j = 0; sums->gradient != NULL && j < m; j++)
        sums->gradient[j] *= by;
    for (int64_t j = 0; sums->gram != NULL && j < m * m; j++)
        sums->gram[j] *= by;
    for (int64_t c = 0; c < pr->k; c++)
        for (int64_t j = 0; j < pr->p; j++) {
            double t = theta[c * pr->q + j];
            sums->value += 0.5 * pr->l2[j] * t * t;
            if (sums->gradient != NULL)
                sums->gradient[c * pr->q + j] += pr->l2[j] * t;
        }
    for (int64_t i = 0; sums->gram != NULL && i < m; i++)
        sums->gram[i * m + i] += i % pr->q < pr->p ? pr->l2[i % pr->q] : 0.0;
    return LATHE_OK;
}

double linear_l1(const problem *pr, const double *theta) {
    double sum = 0;
    for (int64_t c = 0; pr->penal && c < pr->k; c++)
        for (int64_t j = 0; j < pr->p; j++)
            sum += pr->l1[j] * fabs(theta[c * pr->q + j]);
    return sum;
}

double linear_optimality(const problem *pr, const double *theta, const double *gradient) {
    double most = 0;
    for (int64_t i = 0; i < pr->k * pr->q; i++) {
        int64_t j = i % pr->q;
        double g = gradient[i], l1 = j < pr->p ? pr->l1[j] : 0;
        if (l1 > 0)
            g = theta[i] > 0 ? g + l1 : theta[i] < 0 ? g - l1 : fmax(fabs(g) - l1, 0);
        if (fabs(g) > most)
            most = fabs(g);
    }
    return most;
}

/* The one pass over the rows that every solver makes: value, gradient and Gram matrix, in double,
 * summed in a fixed order whatever the number of threads: the rows are cut into groups by their
 * number alone, a group is one thread's work from begin to end, and the groups' sums are added in
 * order. */
#include "linear.h"

enum { CHUNK = 256, MOST_GROUPS = 64 };

struct workspace {
    int64_t groups;    /* that the arrays have room for */
    double *values;    /* [groups] */
    double *gradients; /* [groups, k * q] */
    double *grams;     /* [groups, q * q] or NULL */
    char *chunk;       /* [workers, chunk_bytes] */
    uint64_t chunk_bytes;
    lathe_error *errors; /* [workers] */
    int32_t workers;
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
    struct workspace *work;
} pass;

/* A worker's scratch. */
typedef struct buffers {
    double *z;        /* [CHUNK, q] */
    double *score;    /* [CHUNK, k] */
    double *value;    /* [CHUNK] */
    double *residual; /* [CHUNK, k] */
    float *score32;   /* [CHUNK, k] */
    float *gradient;  /* [CHUNK, k] */
    float *hessian;   /* [CHUNK, k] */
    float *target;    /* [CHUNK] */
    float *g;         /* [CHUNK] */
    float *h;         /* [CHUNK] */
} buffers;

static uint64_t buffers_bytes(int64_t q, int64_t k) {
    return align64((uint64_t)(CHUNK * (q + 2 * k + 1)) * 8) +
           align64((uint64_t)(CHUNK * (3 * k + 3)) * 4);
}

static void buffers_lay(buffers *b, char *work, int64_t q, int64_t k) {
    b->z = (double *)work;
    b->score = b->z + CHUNK * q;
    b->residual = b->score + CHUNK * k;
    b->value = b->residual + CHUNK * k;
    b->score32 = (float *)(work + align64((uint64_t)(CHUNK * (q + 2 * k + 1)) * 8));
    b->gradient = b->score32 + CHUNK * k;
    b->hessian = b->gradient + CHUNK * k;
    b->target = b->hessian + CHUNK * k;
    b->g = b->target + CHUNK;
    b->h = b->g + CHUNK;
}

/* Standardised rows and their targets. */
static void fill_rows(const pass *ps, int64_t begin, int64_t m, buffers *b) {
    const problem *pr = ps->pr;
    double one = pr->config->intercept ? 1.0 : 0.0;

    for (int64_t i = 0; i < m; i++) {
        int64_t at = ps->order != NULL ? ps->order[begin + i] : begin + i;
        const float *x = pr->data->x + pr->rows.row[at] * pr->data->stride;
        double *z = b->z + i * pr->q;
        for (int64_t j = 0; j < pr->p; j++)
            z[j] = ((double)x[pr->feature[j]] - pr->mean[j]) * pr->inverse[j];
        z[pr->p] = one;
        if (pr->loss.loss != NULL) {
            b->target[i] = pr->loss.target[at];
        } else {
            b->g[i] = pr->loss.g[at];
            b->h[i] = pr->loss.h[at];
        }
    }
}

/* Eight running sums, added in a fixed order. */
static double dot(int64_t n, const double *a, const double *b) {
    double s[8] = {0}, rest = 0;
    int64_t j = 0;
    for (; j + 8 <= n; j += 8)
        for (int64_t l = 0; l < 8; l++)
            s[l] += a[j + l] * b[j + l];
    for (; j < n; j++)
        rest += a[j] * b[j];
    return (((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]))) + rest;
}

static void scores(const pass *ps, int64_t m, buffers *b) {
    const problem *pr = ps->pr;
    if (pr->k == 1) {
        for (int64_t i = 0; i < m; i++)
            b->score[i] = dot(pr->q, b->z + i * pr->q, ps->theta);
    } else {
        pr->host->gemm_f64(pr->host, LATHE_NO_TRANS, LATHE_TRANS, m, pr->k, pr->q, 1.0, b->z, pr->q,
                           ps->theta, pr->q, 0.0, b->score, pr->k);
    }
    for (int64_t i = 0; i < m * pr->k; i++)
        b->score32[i] = (float)b->score[i];
}

/* Adds the chunk's gradient and Gram matrix; spoils b->z. */
static void add_sums(const pass *ps, int64_t begin, int64_t m, buffers *b, double *gradient,
                     double *gram) {
    const problem *pr = ps->pr;
    int64_t k = pr->k, q = pr->q;

    for (int64_t i = 0; i < m; i++) {
        int64_t at = ps->order != NULL ? ps->order[begin + i] : begin + i;
        for (int64_t c = 0; c < k; c++)
            b->residual[i * k + c] = pr->rows.weight[at] * (double)b->gradient[i * k + c];
    }
    if (k > 1) {
        pr->host->gemm_f64(pr->host, LATHE_TRANS, LATHE_NO_TRANS, k, q, m, 1.0, b->residual, k,
                           b->z, q, 1.0, gradient, q);
        return;
    }
    for (int64_t i = 0; i < m; i++) {
        const double *z = b->z + i * q;
        double r = b->residual[i];
        for (int64_t j = 0; j < q; j++)
            gradient[j] += r * z[j];
    }
    if (gram == NULL)
        return;
    for (int64_t i = 0; i < m; i++) {
        int64_t at = ps->order != NULL ? ps->order[begin + i] : begin + i;
        double h = b->hessian[i] > 0 ? b->hessian[i] : 0.0;
        double root = sqrt(pr->rows.weight[at] * h);
        for (int64_t j = 0; j < q; j++)
            b->z[i * q + j] *= root;
    }
    pr->host->gemm_f64(pr->host, LATHE_TRANS, LATHE_NO_TRANS, q, q, m, 1.0, b->z, q, b->z, q, 1.0,
                       gram, q);
}

static int32_t one_chunk(const pass *ps, int64_t begin, int64_t m, buffers *b, int64_t group,
                         lathe_error *err) {
    const problem *pr = ps->pr;
    int32_t rc;

    fill_rows(ps, begin, m, b);
    scores(ps, m, b);
    rc = objective_value(&pr->loss, m, b->score32, b->target, b->g, b->h, b->value, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < m; i++) {
        int64_t at = ps->order != NULL ? ps->order[begin + i] : begin + i;
        ps->work->values[group] += pr->rows.weight[at] * b->value[i];
    }
    if (!ps->gradient)
        return LATHE_OK;
    rc = objective_gradient(&pr->loss, m, b->score32, b->target, b->g, b->h, b->gradient,
                            ps->gram ? b->hessian : NULL, err);
    if (rc != LATHE_OK)
        return rc;
    add_sums(ps, begin, m, b, ps->work->gradients + group * pr->k * pr->q,
             ps->gram ? ps->work->grams + group * pr->q * pr->q : NULL);
    return LATHE_OK;
}

static int32_t group_chunk(void *user, int64_t first, int64_t last, int32_t worker) {
    pass *ps = user;
    const problem *pr = ps->pr;
    buffers b;

    buffers_lay(&b, ps->work->chunk + (uint64_t)worker * ps->work->chunk_bytes, pr->q, pr->k);
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
    if (gram_bytes > 0 && most > (64 << 20) / gram_bytes)
        most = (64 << 20) / gram_bytes < 8 ? 8 : (64 << 20) / gram_bytes;
    int64_t a_group = (chunks + most - 1) / most;
    ps->group = (a_group < 1 ? 1 : a_group) * CHUNK;
    ps->groups = (ps->n + ps->group - 1) / ps->group;
}

static void reduce(const pass *ps, pass_sums *sums) {
    const struct workspace *w = ps->work;
    int64_t kq = ps->pr->k * ps->pr->q, qq = ps->pr->q * ps->pr->q;
    sums->value = 0;
    for (int64_t g = 0; g < ps->groups; g++)
        sums->value += w->values[g];
    if (sums->gradient != NULL) {
        memset(sums->gradient, 0, (size_t)kq * sizeof(double));
        for (int64_t g = 0; g < ps->groups; g++)
            for (int64_t j = 0; j < kq; j++)
                sums->gradient[j] += w->gradients[g * kq + j];
    }
    if (sums->gram != NULL) {
        memset(sums->gram, 0, (size_t)qq * sizeof(double));
        for (int64_t g = 0; g < ps->groups; g++)
            for (int64_t j = 0; j < qq; j++)
                sums->gram[j] += w->grams[g * qq + j];
    }
}

void linear_workspace_free(problem *pr) {
    struct workspace *w = pr->work;
    if (w == NULL)
        return;
    pr->host->free(pr->host, w->errors);
    pr->host->free(pr->host, w->chunk);
    pr->host->free(pr->host, w->grams);
    pr->host->free(pr->host, w->gradients);
    pr->host->free(pr->host, w->values);
    pr->host->free(pr->host, w);
    pr->work = NULL;
}

int32_t linear_workspace_make(problem *pr, int64_t n, int32_t gram, lathe_error *err) {
    const lathe_host *host = pr->host;
    int64_t kq = pr->k * pr->q, qq = pr->q * pr->q;
    pass plain = {.n = n}, full = {.n = n};
    struct workspace *w = host->alloc(host, sizeof *w);

    if (w == NULL)
        return fail_memory(err, "fitting", sizeof *w);
    pr->work = w;
    cut_groups(&plain, 0);
    cut_groups(&full, qq * (int64_t)sizeof(double));
    w->groups = plain.groups;
    w->workers = w->groups == 1 ? 1 : host->n_workers(host);
    w->chunk_bytes = buffers_bytes(pr->q, pr->k);
    w->values = alloc_array(host, w->groups, sizeof(double));
    w->gradients = alloc_array(host, w->groups * kq, sizeof(double));
    w->grams = gram ? alloc_array(host, full.groups * qq, sizeof(double)) : NULL;
    w->chunk = alloc_array(host, w->workers, w->chunk_bytes);
    w->errors = alloc_array(host, w->workers, sizeof *w->errors);
    if (w->values == NULL || w->gradients == NULL || (gram && w->grams == NULL) ||
        w->chunk == NULL || w->errors == NULL) {
        int64_t bytes = w->groups * kq * 8 + full.groups * qq * 8;
        linear_workspace_free(pr);
        return fail_memory(err, "fitting", bytes);
    }
    return LATHE_OK;
}

int32_t linear_pass(const problem *pr, const double *theta, const int32_t *order, int64_t n,
                    pass_sums *sums, lathe_error *err) {
    struct workspace *w = pr->work;
    int64_t kq = pr->k * pr->q, qq = pr->q * pr->q;
    pass ps = {.pr = pr, .theta = theta, .order = order, .n = n, .work = w};
    int32_t rc;

    ps.gradient = sums->gradient != NULL || sums->gram != NULL;
    ps.gram = sums->gram != NULL;
    cut_groups(&ps, ps.gram ? qq * (int64_t)sizeof(double) : 0);
    memset(w->values, 0, (size_t)ps.groups * sizeof(double));
    if (ps.gradient)
        memset(w->gradients, 0, (size_t)(ps.groups * kq) * sizeof(double));
    if (ps.gram)
        memset(w->grams, 0, (size_t)(ps.groups * qq) * sizeof(double));
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
    double by = 1.0 / pr->rows.total;
    int32_t rc = linear_pass(pr, theta, NULL, pr->rows.n, sums, err);

    if (rc != LATHE_OK)
        return rc;
    sums->value *= by;
    for (int64_t j = 0; sums->gradient != NULL && j < pr->k * pr->q; j++)
        sums->gradient[j] *= by;
    for (int64_t j = 0; sums->gram != NULL && j < pr->q * pr->q; j++)
        sums->gram[j] *= by;
    for (int64_t c = 0; c < pr->k; c++)
        for (int64_t j = 0; j < pr->p; j++) {
            double t = theta[c * pr->q + j];
            sums->value += 0.5 * pr->l2[j] * t * t;
            if (sums->gradient != NULL)
                sums->gradient[c * pr->q + j] += pr->l2[j] * t;
        }
    for (int64_t j = 0; sums->gram != NULL && j < pr->p; j++)
        sums->gram[j * pr->q + j] += pr->l2[j];
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

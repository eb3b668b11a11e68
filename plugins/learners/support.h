/* support.h: what the learners and ensembles that sum losses over rows have in common: errors, the
 * rows of a fit, and the objective (a loss, or the quadratic that boosting gives). */
#ifndef LATHE_LEARNERS_SUPPORT_H
#define LATHE_LEARNERS_SUPPORT_H

#include <lathe/lathe.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define SUPPORT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define SUPPORT_PRINTF(f, a)
#endif

/* Fills err (NULL is fine) and returns the code. */
SUPPORT_PRINTF(3, 4)
static inline int32_t fail(lathe_error *err, int32_t code, const char *format, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        err->detail = 0;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

static inline int32_t fail_memory(lathe_error *err, const char *what, int64_t bytes) {
    return fail(err, LATHE_E_MEMORY,
                "There is no memory for %s (%lld bytes). Use fewer rows or features, or a machine "
                "with more memory.",
                what, (long long)bytes);
}

static inline int32_t fail_stopped(lathe_error *err, const char *when) {
    return fail(err, LATHE_E_CANCELLED, "Stopped on request %s.", when);
}

/* n * size zeroed bytes, or NULL (also where the product overflows); never a block of 0 bytes. */
static inline void *alloc_array(const lathe_host *host, int64_t n, uint64_t size) {
    if (n < 0 || (n > 0 && (uint64_t)n > (UINT64_MAX >> 2) / size))
        return NULL;
    return host->alloc(host, n == 0 ? size : (uint64_t)n * size);
}

static inline const lathe_datasets *get_datasets(const lathe_host *host) {
    return (const lathe_datasets *)host->get(host, LATHE_HOST_DATASETS);
}

static inline const lathe_components *get_components(const lathe_host *host) {
    return (const lathe_components *)host->get(host, LATHE_HOST_COMPONENTS);
}

/* The instructions that kernels may use: LATHE_CPU_… bits. */
static inline uint32_t cpu_level(const lathe_host *host) {
    const lathe_cpu *cpu = (const lathe_cpu *)host->get(host, LATHE_HOST_CPU);
    return cpu != NULL ? cpu->level : 0;
}

static inline uint64_t align64(uint64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* ---- the rows of a fit ---- */

/* The rows that a fit really uses, ascending: in the bag and with a positive weight. Row r stands
 * `times` times; with repeat it is listed that often, else its weight is multiplied. */
typedef struct fit_rows {
    int64_t n;
    int32_t *row;   /* [n] */
    double *weight; /* [n] */
    double total;   /* of the weights */
    int64_t bag;    /* rows with their counts */
} fit_rows;

static inline void fit_rows_free(const lathe_host *host, fit_rows *rows) {
    host->free(host, rows->row);
    host->free(host, rows->weight);
    memset(rows, 0, sizeof *rows);
}

static inline int64_t row_count(const lathe_fit *fit, int64_t row) {
    return fit->counts != NULL ? fit->counts[row] : 1;
}

static inline int32_t fit_rows_check(const lathe_fit *fit, int64_t n_rows, const float *weight,
                                     lathe_error *err) {
    if (fit->rows != NULL && fit->counts != NULL)
        return fail(err, LATHE_E_INVALID, "fit has both rows and counts; give one of them.");
    if (fit->rows != NULL && fit->n_rows_used < 0)
        return fail(err, LATHE_E_INVALID, "fit has %lld rows.", (long long)fit->n_rows_used);
    for (int64_t i = 0; fit->rows != NULL && i < fit->n_rows_used; i++)
        if (fit->rows[i] < 0 || fit->rows[i] >= n_rows)
            return fail(err, LATHE_E_INVALID, "Row %d of fit is not in 0 ... %lld.", fit->rows[i],
                        (long long)n_rows - 1);
    for (int64_t r = 0; weight != NULL && r < n_rows; r++)
        if (!(weight[r] >= 0.0f) || isinf(weight[r]))
            return fail(err, LATHE_E_DATA,
                        "The weight of row %lld is %g; weights must be finite and not negative.",
                        (long long)r, (double)weight[r]);
    return LATHE_OK;
}

static inline int32_t fit_rows_collect(const lathe_host *host, const lathe_fit *fit, int64_t n_rows,
                                       const float *weight, int32_t repeat, fit_rows *out,
                                       lathe_error *err) {
    int64_t listed = fit->rows != NULL ? fit->n_rows_used : n_rows;
    int64_t n = 0;
    int32_t rc = fit_rows_check(fit, n_rows, weight, err);

    memset(out, 0, sizeof *out);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < listed; i++) {
        int64_t r = fit->rows != NULL ? fit->rows[i] : i;
        if (weight != NULL && weight[r] == 0.0f)
            continue;
        n += repeat ? row_count(fit, r) : row_count(fit, r) > 0;
    }
    if (n == 0)
        return fail(err, LATHE_E_DATA,
                    "There is no row with a positive weight to fit (%lld rows given).",
                    (long long)listed);
    out->row = alloc_array(host, n, sizeof *out->row);
    out->weight = alloc_array(host, n, sizeof *out->weight);
    if (out->row == NULL || out->weight == NULL) {
        fit_rows_free(host, out);
        return fail_memory(err, "the list of rows", n * 12);
    }
    for (int64_t i = 0; i < listed; i++) {
        int64_t r = fit->rows != NULL ? fit->rows[i] : i;
        int64_t times = row_count(fit, r);
        double w = weight != NULL ? (double)weight[r] : 1.0;
        if (w == 0.0)
            continue;
        out->bag += times;
        for (int64_t t = 0; t < (repeat ? times : times > 0); t++) {
            out->row[out->n] = (int32_t)r;
            out->weight[out->n++] = repeat ? w : w * (double)times;
        }
        out->total += w * (double)times;
    }
    return LATHE_OK;
}

/* ---- shuffling ---- */

/* A position with its random number. */
typedef struct shuffle_item {
    uint64_t number;
    int32_t at;
    int32_t row;
} shuffle_item;

static inline int32_t shuffle_before(const shuffle_item *x, const shuffle_item *y) {
    return x->number != y->number ? x->number < y->number : x->at < y->at;
}

/* Ascending, by insertion: for few. */
static inline void shuffle_insert(shuffle_item *items, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        shuffle_item item = items[i];
        int64_t at = i;
        for (; at > 0 && shuffle_before(&item, &items[at - 1]); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

enum { SHUFFLE_BUCKETS = 1024, SHUFFLE_FEW = 24, SHUFFLE_TOP = 54 };

/* Ascending, by the bits of the numbers from `shift` (SHUFFLE_TOP) down, in place: each item goes to its
 * bucket along the cycles of the permutation (P. M. McIlroy, K. Bostic, M. D. McIlroy, "Engineering radix
 * sort", Computing Systems 6, 1993). */
static inline void shuffle_sort(shuffle_item *items, int64_t n, int32_t shift) {
    int64_t begin[SHUFFLE_BUCKETS + 1] = {0}, next[SHUFFLE_BUCKETS];
    for (int64_t i = 0; i < n; i++)
        begin[(items[i].number >> shift) % SHUFFLE_BUCKETS + 1]++;
    for (int32_t b = 0; b < SHUFFLE_BUCKETS; b++) {
        begin[b + 1] += begin[b];
        next[b] = begin[b];
    }
    for (int32_t b = 0; b < SHUFFLE_BUCKETS; b++)
        while (next[b] < begin[b + 1]) {
            shuffle_item item = items[next[b]];
            int32_t to = (int32_t)((item.number >> shift) % SHUFFLE_BUCKETS);
            while (to != b) {
                shuffle_item other = items[next[to]];
                items[next[to]++] = item;
                item = other;
                to = (int32_t)((item.number >> shift) % SHUFFLE_BUCKETS);
            }
            items[next[b]++] = item;
        }
    for (int32_t b = 0; b < SHUFFLE_BUCKETS; b++) {
        int64_t m = begin[b + 1] - begin[b];
        if (m > SHUFFLE_FEW && shift >= 10)
            shuffle_sort(items + begin[b], m, shift - 10);
        else
            shuffle_insert(items + begin[b], m);
    }
}

enum { SHUFFLE_BULK = 256 };

/* Rows from i on whose numbers follow each other, so that one call gives all their random numbers. */
static inline int64_t shuffle_run(const fit_rows *rows, const int64_t *row_id, int64_t i) {
    int64_t n = 1;
    while (n < SHUFFLE_BULK && i + n < rows->n && rows->row[i + n] == rows->row[i] + n &&
           (row_id == NULL || row_id[rows->row[i + n]] == row_id[rows->row[i]] + n))
        n++;
    return n;
}

/* order[n]: the positions of `rows` in random order. The number of a row depends on (key, row_id,
 * how many times it has come) alone, so rows that are absent do not change the order of the others.
 */
static inline void shuffle_rows(const lathe_host *host, uint64_t key, const fit_rows *rows,
                                const int64_t *row_id, shuffle_item *items, int32_t *order) {
    uint64_t times = 0, numbers[SHUFFLE_BULK];
    int64_t run;
    for (int64_t i = 0; i < rows->n; i += run) {
        int32_t row = rows->row[i];
        uint64_t id = row_id != NULL ? (uint64_t)row_id[row] : (uint64_t)row;
        times = i > 0 && rows->row[i - 1] == row ? times + 1 : 0;
        run = times == 0 ? shuffle_run(rows, row_id, i) : 1;
        host->random_u64(host, times == 0 ? key : host->random_key(host, key, times), id, numbers,
                         run);
        for (int64_t j = 0; j < run; j++)
            items[i + j] = (shuffle_item){numbers[j], (int32_t)(i + j), rows->row[i + j]};
    }
    shuffle_sort(items, rows->n, SHUFFLE_TOP);
    for (int64_t i = 0; i < rows->n; i++)
        order[i] = items[i].at;
}

/* ---- the objective ---- */

/* What is summed over rows: a loss of target, or (loss NULL) g v + h v^2 / 2. Arrays run parallel
 * to fit_rows. */
typedef struct objective {
    const lathe_loss *loss;
    const void *self;
    int64_t k;     /* scores a row */
    float *target; /* [n], with a loss */
    float *g;      /* [n], without */
    float *h;      /* [n] */
} objective;

static inline void objective_free(const lathe_host *host, objective *o) {
    host->free(host, o->target);
    host->free(host, o->g);
    host->free(host, o->h);
    o->target = o->g = o->h = NULL;
}

static inline int32_t gather_target(const fit_rows *rows, const float *target, int32_t task,
                                    int64_t n_classes, float *out, lathe_error *err) {
    for (int64_t i = 0; i < rows->n; i++) {
        float y = target[rows->row[i]];
        if (isnan(y) || isinf(y))
            return fail(err, LATHE_E_NUMERIC,
                        "The target of row %d is %g; a target must be a finite number.",
                        rows->row[i], (double)y);
        if (task != LATHE_TASK_REGRESSION && (y < 0.0f || y >= (float)n_classes || y != floorf(y)))
            return fail(err, LATHE_E_DATA,
                        "The target of row %d is %g; it must be a class number from 0 to %lld.",
                        rows->row[i], (double)y, (long long)n_classes - 1);
        out[i] = y;
    }
    return LATHE_OK;
}

/* Gathers the target (or the gradients) of the rows. `target`: fit's or the dataset's. */
static inline int32_t objective_gather(const lathe_host *host, const lathe_fit *fit,
                                       const fit_rows *rows, const float *target, int32_t task,
                                       int64_t n_classes, objective *o, lathe_error *err) {
    if (fit->gradient == NULL) {
        if (target == NULL)
            return fail(err, LATHE_E_DATA, "There is no target to fit.");
        o->target = alloc_array(host, rows->n, sizeof(float));
        if (o->target == NULL)
            return fail_memory(err, "the target", rows->n * 4);
        return gather_target(rows, target, task, n_classes, o->target, err);
    }
    o->g = alloc_array(host, rows->n, sizeof(float));
    o->h = alloc_array(host, rows->n, sizeof(float));
    if (o->g == NULL || o->h == NULL)
        return fail_memory(err, "the gradients", rows->n * 8);
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t at = rows->row[i] * fit->gradient_stride;
        o->g[i] = fit->gradient[at];
        o->h[i] = fit->hessian != NULL ? fit->hessian[at] : 1.0f;
        if (isnan(o->g[i]) || isinf(o->g[i]) || !(o->h[i] >= 0.0f) || isinf(o->h[i]))
            return fail(err, LATHE_E_NUMERIC,
                        "The gradient of row %d is %g and its hessian %g; they must be finite and "
                        "the hessian not negative.",
                        rows->row[i], (double)o->g[i], (double)o->h[i]);
    }
    return LATHE_OK;
}

/* loss[i], double [n], of the rows first … first + n - 1. */
static inline int32_t objective_value(const objective *o, int64_t n, const float *score,
                                      const float *target, const float *g, const float *h,
                                      double *loss, lathe_error *err) {
    if (o->loss != NULL)
        return o->loss->value(o->self, n, o->k, score, target, loss, err);
    for (int64_t i = 0; i < n; i++) {
        double v = score[i];
        loss[i] = ((double)g[i] + 0.5 * (double)h[i] * v) * v;
    }
    return LATHE_OK;
}

static inline int32_t objective_gradient(const objective *o, int64_t n, const float *score,
                                         const float *target, const float *g, const float *h,
                                         float *gradient, float *hessian, lathe_error *err) {
    if (o->loss != NULL)
        return o->loss->gradient(o->self, n, o->k, score, target, gradient, hessian, err);
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = (float)((double)g[i] + (double)h[i] * (double)score[i]);
        if (hessian != NULL)
            hessian[i] = h[i];
    }
    return LATHE_OK;
}

/* The best constant score[k]. `weight` of the rows is cast to float for the loss. */
static inline int32_t objective_start(const lathe_host *host, const objective *o,
                                      const fit_rows *rows, double *score, lathe_error *err) {
    if (o->loss == NULL) {
        double g = 0, h = 0;
        for (int64_t i = 0; i < rows->n; i++) {
            g += rows->weight[i] * (double)o->g[i];
            h += rows->weight[i] * (double)o->h[i];
        }
        score[0] = h > 0 ? -g / h : 0.0;
        return LATHE_OK;
    }
    float *weight = alloc_array(host, rows->n, sizeof *weight);
    if (weight == NULL)
        return fail_memory(err, "the row weights", rows->n * 4);
    for (int64_t i = 0; i < rows->n; i++)
        weight[i] = (float)rows->weight[i];
    int32_t rc = o->loss->start(o->self, rows->n, o->k, o->target, weight, score, err);
    host->free(host, weight);
    for (int64_t c = 0; rc == LATHE_OK && c < o->k; c++)
        if (isnan(score[c]) || isinf(score[c]))
            rc = fail(err, LATHE_E_NUMERIC, "The loss gave the start score %g.", score[c]);
    return rc;
}

/* ---- a loss and its task ---- */

/* Checks that the loss serves the task and sets *k, its scores a row. */
static inline int32_t loss_scores(const lathe_instance *loss, int32_t task, int64_t n_classes,
                                  int64_t *k, lathe_error *err) {
    const lathe_loss *table = loss->interface;
    uint32_t tasks = loss->descriptor->tasks;
    const char *name = task == LATHE_TASK_REGRESSION ? "regression"
                       : task == LATHE_TASK_BINARY   ? "binary classification"
                                                     : "classification of several classes";
    int64_t want = task == LATHE_TASK_MULTICLASS ? n_classes : 1;
    if (tasks != 0 && !(tasks & LATHE_TASK_BIT(task)))
        return fail(err, LATHE_E_UNSUPPORTED,
                    "The loss \"%s\" does not serve %s; choose another loss.",
                    loss->descriptor->name, name);
    *k = table->n_scores(loss->self, task, n_classes);
    if (*k != want)
        return fail(err, LATHE_E_UNSUPPORTED,
                    "The loss \"%s\" has %lld scores a row for %s, but %lld are needed.",
                    loss->descriptor->name, (long long)*k, name, (long long)want);
    return LATHE_OK;
}

/* ---- predicting every row of a dataset ---- */

typedef struct fitted_job {
    const lathe_host *host;
    const lathe_learner *learner;
    const void *self;
    const float *x;
    int64_t stride;
    int64_t n_outputs;
    float *out;
    int64_t out_stride;
    char *scratch;
    uint64_t scratch_bytes;
    lathe_error *errors; /* [n_workers] */
} fitted_job;

enum { FITTED_ROWS = 256 };

static inline int32_t fitted_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    fitted_job *job = user;
    char *scratch = job->scratch + (uint64_t)worker * job->scratch_bytes;
    int64_t k = job->n_outputs;
    float *out = (float *)scratch;
    void *own = scratch + align64((uint64_t)(FITTED_ROWS * k) * sizeof(float));
    if (job->host->stopped(job->host))
        return fail_stopped(&job->errors[worker], "while predicting the training rows");
    int32_t rc = job->learner->predict(job->self, end - begin, job->x + begin * job->stride,
                                       job->stride, out, own, &job->errors[worker]);
    if (rc == LATHE_OK)
        for (int64_t i = begin; i < end; i++)
            memcpy(job->out + i * job->out_stride, out + (i - begin) * k, (size_t)k * 4);
    return rc;
}

/* Predictions of all n rows into out[i * out_stride], on the pool. */
static inline int32_t predict_all(const lathe_host *host, const lathe_learner *learner,
                                  const void *self, int64_t n, const float *x, int64_t stride,
                                  float *out, int64_t out_stride, lathe_error *err) {
    lathe_output output = {.struct_size = LATHE_SIZED(lathe_output)};
    int32_t workers = host->n_workers(host);
    int32_t rc = learner->output(self, &output);
    if (rc != LATHE_OK)
        return fail(err, rc, "The learner does not say what it gives (code %d).", rc);
    int64_t own = learner->scratch(self, FITTED_ROWS);
    if (own < 0)
        return fail(err, LATHE_E_INTERNAL, "The learner asks for %lld bytes of scratch memory.",
                    (long long)own);
    fitted_job job = {.host = host,
                      .learner = learner,
                      .self = self,
                      .x = x,
                      .stride = stride,
                      .n_outputs = output.n_outputs,
                      .out = out,
                      .out_stride = out_stride};
    job.scratch_bytes = align64((uint64_t)(FITTED_ROWS * output.n_outputs) * sizeof(float)) +
                        align64((uint64_t)own);
    job.scratch = alloc_array(host, workers, job.scratch_bytes);
    job.errors = alloc_array(host, workers, sizeof *job.errors);
    if (job.scratch == NULL || job.errors == NULL)
        rc = fail_memory(err, "predicting", workers * (int64_t)job.scratch_bytes);
    else
        rc = host->parallel_for(host, n, FITTED_ROWS, fitted_chunk, &job);
    for (int32_t w = 0; job.errors != NULL && rc != LATHE_OK && err != NULL && w < workers; w++)
        if (job.errors[w].code != 0)
            *err = job.errors[w];
    host->free(host, job.errors);
    host->free(host, job.scratch);
    return rc;
}

#endif

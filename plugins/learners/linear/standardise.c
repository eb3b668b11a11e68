/* Means and deviations of the features: chunk by chunk mean and squares about it, merged in the order
 * of the rows (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The
 * American Statistician 37, 1983), which reads the rows once and loses no digits. */
#include "linear.h"

enum { ROWS = 256, MOST_PARTS = 64 };

/* Weight, means and sums of squares about them. */
typedef struct spread {
    double total;
    double *mean;   /* [p] */
    double *square; /* [p] */
    double *other;  /* [p] 0: all values so far are 0 or 1 */
} spread;

typedef struct spread_job {
    const problem *pr;
    int64_t part; /* rows a part */
    spread *parts;
    double *scratch; /* [parts, 3 p]: a chunk's */
} spread_job;

static void merge(int64_t p, spread *into, const spread *from) {
    double total = into->total + from->total;
    if (!(total > 0))
        return;
    double share = from->total / total, both = into->total * share;
    for (int64_t j = 0; j < p; j++) {
        double d = from->mean[j] - into->mean[j];
        into->mean[j] += d * share;
        into->square[j] += from->square[j] + d * d * both;
        into->other[j] += from->other[j];
    }
    into->total = total;
}

static double value_at(const problem *pr, const float *x, int64_t j) {
    return pr->in_place ? x[j] : x[pr->feature[j]];
}

static void chunk_spread(const problem *pr, int64_t begin, int64_t end, spread *s) {
    s->total = 0;
    memset(s->mean, 0, (size_t)pr->p * sizeof(double));
    memset(s->square, 0, (size_t)pr->p * sizeof(double));
    memset(s->other, 0, (size_t)pr->p * sizeof(double));
    for (int64_t i = begin; i < end; i++) {
        const float *x = pr->data->x + pr->rows.row[i] * pr->data->stride;
        double w = pr->rows.weight[i];
        s->total += w;
        for (int64_t j = 0; j < pr->p; j++) {
            double v = value_at(pr, x, j);
            s->mean[j] += w * v;
            s->other[j] += fabs(v * (v - 1.0));
        }
    }
    for (int64_t j = 0; j < pr->p; j++)
        s->mean[j] /= s->total;
    for (int64_t i = begin; i < end; i++) {
        const float *x = pr->data->x + pr->rows.row[i] * pr->data->stride;
        double w = pr->rows.weight[i];
        for (int64_t j = 0; j < pr->p; j++) {
            double v = value_at(pr, x, j) - s->mean[j];
            s->square[j] += w * v * v;
        }
    }
}

static int32_t part_spread(void *user, int64_t first, int64_t last, int32_t worker) {
    spread_job *job = user;
    const problem *pr = job->pr;
    (void)worker;
    for (int64_t t = first; t < last; t++) {
        int64_t end = (t + 1) * job->part < pr->rows.n ? (t + 1) * job->part : pr->rows.n;
        double *own = job->scratch + 3 * t * pr->p;
        spread chunk = {0, own, own + pr->p, own + 2 * pr->p};
        for (int64_t i = t * job->part; i < end; i += ROWS) {
            chunk_spread(pr, i, i + ROWS < end ? i + ROWS : end, &chunk);
            merge(pr->p, &job->parts[t], &chunk);
        }
    }
    return LATHE_OK;
}

/* A feature whose deviation is within rounding of its mean is constant. */
static int32_t set_scale(problem *pr, const spread *s, lathe_error *err) {
    const lathe_feature *features = get_datasets(pr->host)->features(pr->data->data);
    for (int64_t j = 0; j < pr->p; j++) {
        double variance = s->square[j] / s->total, mean = s->mean[j];
        if (!isfinite(mean) || !isfinite(variance))
            return fail(err, LATHE_E_DATA,
                        "The feature \"%s\" has a missing or infinite value; impute it, or let "
                        "\"adapt\" do it.",
                        features[pr->feature[j]].name);
        int32_t constant = sqrt(variance) <= 1e-9 * fabs(mean);
        double about = pr->config->intercept ? 0.0 : mean;
        pr->scale[j] = constant && pr->config->intercept ? 0.0 : sqrt(variance + about * about);
        pr->mean[j] = pr->config->intercept ? mean : 0.0;
        pr->typical[j] = mean;
        pr->unit[j] = pr->config->scale && !constant && s->other[j] > 0 ? sqrt(variance) : 1.0;
    }
    return LATHE_OK;
}

int32_t linear_standardise(problem *pr, lathe_error *err) {
    const lathe_host *host = pr->host;
    int64_t n = pr->rows.n, p = pr->p, chunks = (n + ROWS - 1) / ROWS;
    spread_job job = {.pr = pr, .part = (chunks + MOST_PARTS - 1) / MOST_PARTS * ROWS};
    int64_t parts = (n + job.part - 1) / job.part;
    double *sums = alloc_array(host, 6 * parts * p, sizeof(double));
    int32_t rc;

    job.parts = alloc_array(host, parts, sizeof *job.parts);
    if (sums == NULL || job.parts == NULL) {
        host->free(host, sums);
        host->free(host, job.parts);
        return fail_memory(err, "the features' deviations", 6 * parts * p * 8);
    }
    job.scratch = sums + 3 * parts * p;
    for (int64_t t = 0; t < parts; t++)
        job.parts[t] =
            (spread){0, sums + 3 * t * p, sums + (3 * t + 1) * p, sums + (3 * t + 2) * p};
    rc = host->parallel_for(host, parts, 1, part_spread, &job);
    for (int64_t t = 1; t < parts; t++)
        merge(p, &job.parts[0], &job.parts[t]);
    if (rc == LATHE_OK)
        rc = set_scale(pr, &job.parts[0], err);
    host->free(host, job.parts);
    host->free(host, sums);
    return rc;
}

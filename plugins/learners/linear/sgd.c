/* Gradient descent with any optimizer: batch, stochastic or mini-batch by the size of the batch.
 *
 * A regression whose link is the identity is descended in units of its target: theta = unit phi
 * (and the start score added to the intercept), and the objective is divided by its value at the
 * start. Both only rescale the problem, so the solution is the same; but steps of the usual size
 * then suit a target of any unit and any loss. Elsewhere unit and divisor are 1. */
#include "linear.h"

enum { STILL_EPOCHS = 5 }; /* epochs without progress that end the descent */

typedef struct descent {
    problem *pr;
    int64_t m;
    lathe_instance optimizer;
    lathe_instance schedule;
    const lathe_component *plain; /* the optimizer where the document names none */
    lathe_segment *segments;      /* [2 k] */
    int64_t n_segments;
    float *param;    /* [m] */
    float *gradient; /* [m] */
    float *slots;    /* [n_slots, m] */
    double *sums;    /* [m] */
    shuffle_item *items;
    int32_t *order;
    int64_t batch;
    int64_t steps; /* an epoch */
    double unit;   /* theta = unit * param, and `shift` added to the intercepts */
    double shift;
    double divisor; /* of the objective */
} descent;

static void descent_free(descent *d) {
    const lathe_host *host = d->pr->host;
    const lathe_components *kids = get_components(host);
    kids->destroy(host, &d->optimizer);
    kids->destroy(host, &d->schedule);
    host->free(host, d->segments);
    host->free(host, d->param);
    host->free(host, d->gradient);
    host->free(host, d->slots);
    host->free(host, d->sums);
    host->free(host, d->items);
    host->free(host, d->order);
}

static void lay_segments(descent *d) {
    const problem *pr = d->pr;
    for (int64_t c = 0; c < pr->k; c++) {
        if (pr->p > 0)
            d->segments[d->n_segments++] = (lathe_segment){c * pr->q, pr->p, 1, pr->p, 0, 1.0f};
        d->segments[d->n_segments++] =
            (lathe_segment){c * pr->q + pr->p, 1, 1, 1, LATHE_SEGMENT_NO_DECAY, 1.0f};
    }
}

/* The weighted deviation of what is regressed from the start score: the target, or -g / h with
 * weight h; and the mean of h. */
static double deviation(const problem *pr, double start, double *curvature) {
    double sum = 0, total = 0, h = 0;
    for (int64_t i = 0; i < pr->rows.n; i++) {
        double w = pr->rows.weight[i], y;
        if (pr->loss.loss != NULL) {
            y = pr->loss.target[i];
        } else {
            h += w * (double)pr->loss.h[i];
            w *= (double)pr->loss.h[i];
            y = w > 0 ? -(double)pr->loss.g[i] / (double)pr->loss.h[i] : 0.0;
        }
        sum += w * (y - start) * (y - start);
        total += w;
    }
    *curvature = h / pr->rows.total;
    return total > 0 ? sqrt(sum / total) : 0.0;
}

static int32_t identity_link(const problem *pr) {
    static const float probes[4] = {-2.5f, 0.0f, 0.75f, 1000.0f};
    lathe_error ignored;
    float out[4];
    if (pr->loss.loss == NULL)
        return 1;
    return pr->data->task == LATHE_TASK_REGRESSION &&
           pr->loss.loss->link(pr->loss.self, 4, 1, probes, out, &ignored) == LATHE_OK &&
           memcmp(out, probes, sizeof out) == 0;
}

static int32_t choose_units(descent *d, lathe_error *err) {
    const problem *pr = d->pr;
    double start = pr->theta[pr->p], unit, curvature;
    pass_sums sums = {0};
    int32_t rc;

    d->unit = d->divisor = 1.0;
    if (!identity_link(pr))
        return LATHE_OK;
    unit = deviation(pr, start, &curvature);
    rc = linear_pass(pr, pr->theta, NULL, pr->rows.n, &sums, err);
    if (rc != LATHE_OK)
        return rc;
    double value = pr->loss.loss != NULL ? sums.value / pr->rows.total : unit * unit * curvature;
    if (!(unit > 1e-12 * fabs(start)) || !(value > 0) || !isfinite(unit) || !isfinite(value))
        return LATHE_OK;
    d->unit = unit;
    d->shift = start;
    d->divisor = value;
    return LATHE_OK;
}

static int32_t descent_make(descent *d, problem *pr, lathe_error *err) {
    const lathe_host *host = pr->host;
    const lathe_components *kids = get_components(host);
    const linear_config *c = pr->config;
    const lathe_component *use = c->optimizer;
    int64_t n = pr->rows.n, slots;
    int32_t rc = LATHE_OK;

    memset(d, 0, sizeof *d);
    d->pr = pr;
    d->m = pr->k * pr->q;
    d->batch = c->batch.choice == 0 || c->batch.value > n ? n : c->batch.value;
    d->steps = (n + d->batch - 1) / d->batch;
    if (use == NULL)
        rc = kids->make(host, LATHE_KIND_OPTIMIZER, "sgd", "{}", &use, err);
    if (rc == LATHE_OK)
        rc = kids->create(host, use, 0, NULL, &d->optimizer, err);
    if (rc == LATHE_OK)
        rc = kids->create(host, c->schedule, 0, NULL, &d->schedule, err);
    if (rc != LATHE_OK)
        return rc;
    slots = ((const lathe_optimizer *)d->optimizer.interface)->n_slots(d->optimizer.self);
    if (slots < 0 || slots > 64)
        return fail(err, LATHE_E_INTERNAL, "The optimizer \"%s\" asks for %lld slots.",
                    d->optimizer.descriptor->name, (long long)slots);
    d->segments = alloc_array(host, 2 * pr->k, sizeof *d->segments);
    d->param = alloc_array(host, d->m, sizeof(float));
    d->gradient = alloc_array(host, d->m, sizeof(float));
    d->slots = alloc_array(host, slots * d->m, sizeof(float));
    d->sums = alloc_array(host, d->m, sizeof(double));
    d->items = alloc_array(host, n, sizeof *d->items);
    d->order = alloc_array(host, n, sizeof *d->order);
    if (d->segments == NULL || d->param == NULL || d->gradient == NULL || d->slots == NULL ||
        d->sums == NULL || d->items == NULL || d->order == NULL)
        return fail_memory(err, "gradient descent", (slots + 4) * d->m * 4 + n * 20);
    lay_segments(d);
    if ((rc = choose_units(d, err)) != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < d->m; i++)
        d->param[i] = (float)(pr->theta[i] - (i % pr->q == pr->p ? d->shift : 0.0));
    return LATHE_OK;
}

/* theta from the parameters. */
static void set_theta(const descent *d) {
    const problem *pr = d->pr;
    for (int64_t i = 0; i < d->m; i++)
        pr->theta[i] = d->unit * (double)d->param[i] + (i % pr->q == pr->p ? d->shift : 0.0);
}

/* The mean gradient of the batch with the penalty; adds the batch's loss to *loss. A batch is
 * divided by its number of rows and the mean weight of all, so that a row counts by its weight also
 * alone in its batch. */
static int32_t batch_gradient(descent *d, int64_t first, int64_t rows, double *loss, double *norm,
                              lathe_error *err) {
    problem *pr = d->pr;
    double by = (double)pr->rows.n / (pr->rows.total * (double)rows), scale = d->unit / d->divisor;
    pass_sums sums = {.gradient = d->sums};
    int32_t rc;

    set_theta(d);
    rc = linear_pass(pr, pr->theta, d->order + first, rows, &sums, err);
    if (rc != LATHE_OK)
        return rc;
    *loss += sums.value;
    *norm = 0;
    for (int64_t i = 0; i < d->m; i++) {
        double g = d->sums[i] * by;
        if (i % pr->q < pr->p)
            g += pr->l2[i % pr->q] * pr->theta[i];
        else if (!pr->config->intercept)
            g = 0;
        g *= scale;
        d->gradient[i] = (float)g;
        *norm += g * g;
    }
    *norm = sqrt(*norm);
    return LATHE_OK;
}

static int32_t one_step(descent *d, int64_t epoch, int64_t in_epoch, double norm,
                        lathe_error *err) {
    problem *pr = d->pr;
    const lathe_optimizer *optimizer = d->optimizer.interface;
    const lathe_schedule *schedule = d->schedule.interface;
    int64_t at = epoch * d->steps + in_epoch;
    double clip = pr->config->clip;
    lathe_step step = {.struct_size = LATHE_SIZED(lathe_step), .step = at + 1};

    step.rate = schedule->rate(d->schedule.self, optimizer->rate(d->optimizer.self), at,
                               d->steps * pr->config->epochs,
                               (double)epoch + (double)in_epoch / (double)d->steps);
    step.gradient_scale = clip > 0 && norm > clip ? clip / norm : 1.0;
    step.n = step.end = d->m;
    step.segments = d->segments;
    step.n_segments = d->n_segments;
    step.param = d->param;
    step.gradient = d->gradient;
    step.slots = d->slots;
    return optimizer->step(d->optimizer.self, &step, err);
}

static int32_t one_epoch(descent *d, int64_t epoch, double *mean_loss, lathe_error *err) {
    problem *pr = d->pr;
    const lathe_host *host = pr->host;
    double loss = 0;
    int64_t n = pr->rows.n;

    shuffle_rows(host, host->random_key(host, pr->key, (uint64_t)epoch), &pr->rows,
                 get_datasets(host)->row_id(pr->data->data), d->items, d->order);
    for (int64_t s = 0; s < d->steps; s++) {
        int64_t first = s * d->batch, rows = n - first < d->batch ? n - first : d->batch;
        double norm;
        if (host->stopped(host))
            return fail_stopped(err, "while fitting the linear model");
        int32_t rc = batch_gradient(d, first, rows, &loss, &norm, err);
        if (rc == LATHE_OK)
            rc = linear_finite(loss + norm, "epoch", epoch, err);
        if (rc == LATHE_OK)
            rc = one_step(d, epoch, s, norm, err);
        if (rc != LATHE_OK)
            return rc;
    }
    *mean_loss = loss / pr->rows.total;
    return LATHE_OK;
}

int32_t linear_sgd(problem *pr, lathe_error *err) {
    const lathe_host *host = pr->host;
    int64_t still = 0;
    double best = INFINITY, loss = 0;
    descent d;
    int32_t rc = descent_make(&d, pr, err);

    for (int64_t e = 0; rc == LATHE_OK && e < pr->config->epochs && still < STILL_EPOCHS; e++) {
        rc = one_epoch(&d, e, &loss, err);
        if (rc != LATHE_OK)
            break;
        host->metric(host, "train_loss", e, loss);
        host->progress(host, (double)(e + 1) / (double)pr->config->epochs, "gradient descent");
        still =
            pr->config->tolerance > 0 && e > 0 && best - loss <= pr->config->tolerance * fabs(best)
                ? still + 1
                : 0;
        best = fmin(best, loss);
    }
    if (rc == LATHE_OK)
        set_theta(&d);
    for (int64_t i = 0; rc == LATHE_OK && i < d.m; i++)
        rc = linear_finite(pr->theta[i], "epoch", pr->config->epochs - 1, err);
    descent_free(&d);
    return rc;
}

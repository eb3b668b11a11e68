/* The training loop: epochs, curves, convergence, early stopping. */
#include "mlp.h"

/* What decides when to end. */
typedef struct progress {
    double best_train;
    int64_t still; /* epochs in a row without progress */
    double best_validation;
    int64_t best_epoch;
} progress;

static int32_t one_epoch(mlp_descent *d, int64_t epoch, double *mean_loss, lathe_error *err) {
    const mlp *m = d->m;
    const lathe_host *host = m->host;
    double loss = 0;
    char line[64];

    snprintf(line, sizeof line, "epoch %lld of %lld", (long long)epoch + 1,
             (long long)m->config->epochs);
    shuffle_rows(host, host->random_key(host, d->shuffle_key, (uint64_t)epoch), &d->rows,
                 get_datasets(host)->row_id(d->data->data), d->items, d->order);
    for (int64_t s = 0; s < d->steps; s++) {
        if (host->stopped(host))
            return fail_stopped(err, "while training the network");
        int32_t rc = mlp_step(d, epoch, s, &loss, err);
        if (rc != LATHE_OK)
            return rc;
        if ((s & 63) == 63 || s == d->steps - 1)
            host->progress(host,
                           ((double)epoch + (double)(s + 1) / (double)d->steps) /
                               (double)m->config->epochs,
                           line);
    }
    *mean_loss = loss / d->rows.total;
    return LATHE_OK;
}

/* Has the training loss stood still for long enough? */
static int32_t converged(const mlp_config *c, progress *p, int64_t epoch, double loss) {
    if (isnan(c->tolerance))
        return 0;
    if (epoch > 0 && p->best_train - loss <= c->tolerance * fabs(p->best_train))
        p->still++;
    else
        p->still = 0;
    p->best_train = fmin(p->best_train, loss);
    return p->still >= c->tolerance_epochs;
}

/* Validates, keeps the best weights; *done: the patience is over. */
static int32_t validate(mlp_descent *d, progress *p, int64_t epoch, int32_t *done,
                        lathe_error *err) {
    const mlp *m = d->m;
    double loss;
    int32_t rc = mlp_validate(d, &loss, err);

    if (rc != LATHE_OK)
        return rc;
    if (!isfinite(loss))
        return fail(
            err, LATHE_E_NUMERIC,
            "The validation loss of epoch %lld is %g. Use a smaller learning rate, or clip.",
            (long long)epoch + 1, loss);
    m->host->metric(m->host, "validation_loss", epoch, loss);
    if (loss < p->best_validation) {
        p->best_validation = loss;
        p->best_epoch = epoch;
        memcpy(d->best, d->param, (size_t)m->n_params * sizeof *d->best);
    }
    *done = epoch - p->best_epoch >= m->config->early_stopping;
    return LATHE_OK;
}

static int32_t descend(mlp_descent *d, lathe_error *err) {
    const mlp *m = d->m;
    progress p = {.best_train = INFINITY, .best_validation = INFINITY};
    int32_t done = 0;

    for (int64_t e = 0; !done && e < m->config->epochs; e++) {
        double loss = 0;
        int32_t rc = one_epoch(d, e, &loss, err);
        if (rc != LATHE_OK)
            return rc;
        m->host->metric(m->host, "train_loss", e, loss);
        done = converged(m->config, &p, e, loss);
        if (d->best != NULL) {
            int32_t stop = 0;
            if ((rc = validate(d, &p, e, &stop, err)) != LATHE_OK)
                return rc;
            done |= stop;
        }
    }
    if (d->best != NULL)
        memcpy(d->param, d->best, (size_t)m->n_params * sizeof *d->best);
    for (int64_t i = 0; i < m->n_params; i++)
        if (!isfinite(d->param[i]))
            return fail(err, LATHE_E_NUMERIC,
                        "The training diverged: a weight is not finite after the last epoch. Use a "
                        "smaller learning rate, or clip.");
    return LATHE_OK;
}

int32_t mlp_train(mlp *m, const mlp_context *c, const lathe_fit *fit, lathe_error *err) {
    mlp_descent d;
    int32_t rc = mlp_descent_make(&d, m, c, fit, err);

    if (rc == LATHE_OK)
        rc = descend(&d, err);
    if (rc == LATHE_OK) {
        m->task = c->task;
        m->linked = fit->gradient == NULL;
        m->shift = d.shift;
        m->scale = d.scale;
        m->param = d.param;
        d.param = NULL;
        m->fitted = 1;
    }
    mlp_descent_free(&d);
    return rc;
}

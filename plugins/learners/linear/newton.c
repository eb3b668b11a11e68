/* Damped (proximal) Newton steps on the Gram matrix, for one score and few features. */
#include "linear.h"

/* Room for one solve. */
typedef struct newton {
    problem *pr;
    int64_t q;
    double *gradient; /* [q] */
    double *gram;     /* [q, q] */
    double *factor;   /* [q, q] Cholesky, lower */
    double *step;     /* [q] */
    double *trial;    /* [q] */
    double *trial_gradient;
    double *trial_gram;
} newton;

static void newton_free(newton *s) {
    const lathe_host *host = s->pr->host;
    host->free(host, s->gradient);
    host->free(host, s->gram);
    host->free(host, s->factor);
    host->free(host, s->step);
    host->free(host, s->trial);
    host->free(host, s->trial_gradient);
    host->free(host, s->trial_gram);
}

static int32_t newton_make(newton *s, problem *pr, lathe_error *err) {
    const lathe_host *host = pr->host;
    int64_t q = pr->q;

    memset(s, 0, sizeof *s);
    s->pr = pr;
    s->q = q;
    s->gradient = alloc_array(host, q, sizeof(double));
    s->gram = alloc_array(host, q * q, sizeof(double));
    s->factor = alloc_array(host, q * q, sizeof(double));
    s->step = alloc_array(host, q, sizeof(double));
    s->trial = alloc_array(host, q, sizeof(double));
    s->trial_gradient = alloc_array(host, q, sizeof(double));
    s->trial_gram = alloc_array(host, q * q, sizeof(double));
    if (s->gradient == NULL || s->gram == NULL || s->factor == NULL || s->step == NULL ||
        s->trial == NULL || s->trial_gradient == NULL || s->trial_gram == NULL)
        return fail_memory(err, "Newton's method", 3 * q * q * 8);
    return LATHE_OK;
}

/* Lower factor of gram + damping I; 0 where it is not positive definite. */
static int32_t cholesky(int64_t q, const double *gram, double damping, double *l) {
    for (int64_t i = 0; i < q; i++)
        for (int64_t j = 0; j <= i; j++) {
            double s = gram[i * q + j] + (i == j ? damping : 0.0);
            for (int64_t t = 0; t < j; t++)
                s -= l[i * q + t] * l[j * q + t];
            if (i != j)
                l[i * q + j] = s / l[j * q + j];
            else if (s > 0 && !isinf(s))
                l[i * q + i] = sqrt(s);
            else
                return 0;
        }
    return 1;
}

static void cholesky_solve(int64_t q, const double *l, const double *b, double *x) {
    for (int64_t i = 0; i < q; i++) {
        double s = b[i];
        for (int64_t t = 0; t < i; t++)
            s -= l[i * q + t] * x[t];
        x[i] = s / l[i * q + i];
    }
    for (int64_t i = q - 1; i >= 0; i--) {
        double s = x[i];
        for (int64_t t = i + 1; t < q; t++)
            s -= l[t * q + i] * x[t];
        x[i] = s / l[i * q + i];
    }
}

/* step = -(gram + damping)^-1 gradient. The damping is far below what matters in directions that
 * the data determine, and makes the others (collinear features, all dummies of a category) stay
 * where they are. */
static int32_t newton_step(newton *s, lathe_error *err) {
    double most = 0, damping;
    for (int64_t j = 0; j < s->q; j++)
        most = fmax(most, s->gram[j * s->q + j]);
    damping = 1e-10 * most + 1e-300;
    for (int32_t tries = 0; tries < 12; tries++, damping *= 100) {
        if (!cholesky(s->q, s->gram, damping, s->factor))
            continue;
        cholesky_solve(s->q, s->factor, s->gradient, s->step);
        for (int64_t j = 0; j < s->q; j++)
            s->step[j] = -s->step[j];
        return LATHE_OK;
    }
    return fail(err, LATHE_E_NUMERIC,
                "The Gram matrix has no factor even with damping; are there infinite features?");
}

/* step = argmin of gradient'd + d' gram d / 2 + sum l1 |theta + d|, by coordinate descent. `change`
 * keeps gram d. */
static void coordinate_step(newton *s, double accuracy, double *change) {
    const problem *pr = s->pr;
    int64_t q = s->q;

    memset(s->step, 0, (size_t)q * sizeof(double));
    memset(change, 0, (size_t)q * sizeof(double));
    for (int32_t sweep = 0; sweep < 2000; sweep++) {
        double moved = 0;
        for (int64_t j = 0; j < q; j++) {
            double a = s->gram[j * q + j];
            if (!(a > 0))
                continue;
            double l1 = j < pr->p ? pr->l1[j] : 0.0;
            double now = pr->theta[j] + s->step[j];
            double u = a * now - (s->gradient[j] + change[j]);
            double next = u > l1 ? (u - l1) / a : u < -l1 ? (u + l1) / a : 0.0;
            double by = next - now;
            if (by == 0)
                continue;
            s->step[j] += by;
            for (int64_t t = 0; t < q; t++)
                change[t] += by * s->gram[j * q + t];
            moved = fmax(moved, fabs(by) * a);
        }
        if (moved <= accuracy)
            break;
    }
    /* theta + step must be exactly 0 where the soft threshold says so */
    for (int64_t j = 0; j < pr->p; j++)
        if (fabs(pr->theta[j] + s->step[j]) <= 1e-15 * fabs(pr->theta[j]))
            s->step[j] = -pr->theta[j];
}

/* Backtracks along the step until the objective falls enough; evaluates all three at each trial,
 * since the first is nearly always taken. *value is the objective with l1. *took: 0 where no trial
 * lowers it. */
static int32_t line_search(newton *s, double *value, int32_t *took, lathe_error *err) {
    problem *pr = s->pr;
    double slope = 0, t = 1, before = linear_l1(pr, pr->theta);
    int32_t rc;

    for (int64_t j = 0; j < s->q; j++) {
        slope += s->gradient[j] * s->step[j];
        s->trial[j] = pr->theta[j] + s->step[j];
    }
    slope += linear_l1(pr, s->trial) - before;
    *took = 0;
    for (int32_t tries = 0; tries < 40; tries++, t *= 0.5) {
        pass_sums sums = {.gradient = s->trial_gradient, .gram = s->trial_gram};
        for (int64_t j = 0; j < s->q; j++)
            s->trial[j] =
                t == 1 && s->step[j] == -pr->theta[j] ? 0.0 : pr->theta[j] + t * s->step[j];
        rc = linear_evaluate(pr, s->trial, &sums, err);
        if (rc != LATHE_OK)
            return rc;
        double now = sums.value + linear_l1(pr, s->trial);
        /* scores are float32, so the objective is known to about 1e-8 of its size */
        if (isfinite(now) && now <= *value + 1e-4 * t * slope + 1e-9 * fabs(*value)) {
            double *swap = s->gradient;
            s->gradient = s->trial_gradient;
            s->trial_gradient = swap;
            swap = s->gram;
            s->gram = s->trial_gram;
            s->trial_gram = swap;
            memcpy(pr->theta, s->trial, (size_t)s->q * sizeof(double));
            *value = now;
            *took = 1;
            return LATHE_OK;
        }
    }
    return LATHE_OK;
}

static int32_t iterate(newton *s, int32_t coordinate, lathe_error *err) {
    problem *pr = s->pr;
    const lathe_host *host = pr->host;
    pass_sums sums = {.gradient = s->gradient, .gram = s->gram};
    double value, first, now, flat = 0;
    int32_t rc = linear_evaluate(pr, pr->theta, &sums, err);

    if (rc != LATHE_OK)
        return rc;
    value = sums.value + linear_l1(pr, pr->theta);
    first = now = linear_optimality(pr, pr->theta, s->gradient);
    for (int64_t it = 0; it < pr->config->max_iterations; it++) {
        int32_t took;
        double old = value;
        rc = linear_finite(value + now, "iteration", it, err);
        if (rc != LATHE_OK)
            return rc;
        host->metric(host, "train_loss", it, value);
        if (now <= pr->config->tolerance * first)
            return LATHE_OK;
        if (coordinate)
            coordinate_step(s, 0.01 * pr->config->tolerance * first, s->factor);
        else if ((rc = newton_step(s, err)) != LATHE_OK)
            return rc;
        if ((rc = line_search(s, &value, &took, err)) != LATHE_OK)
            return rc;
        now = linear_optimality(pr, pr->theta, s->gradient);
        host->progress(host, (double)(it + 1) / (double)pr->config->max_iterations,
                       "Newton's method");
        /* twice without a fall beyond rounding: the solution, to the precision of the scores */
        flat = old - value <= 1e-10 * fabs(old) ? flat + 1 : 0;
        if (!took || flat >= 2)
            return LATHE_OK;
    }
    if (now > pr->config->tolerance * first)
        linear_not_converged(pr, coordinate ? "coordinate" : "newton", now,
                             pr->config->tolerance * first);
    return LATHE_OK;
}

int32_t linear_newton(problem *pr, int32_t coordinate, lathe_error *err) {
    newton s;
    int32_t rc = newton_make(&s, pr, err);
    if (rc == LATHE_OK)
        rc = iterate(&s, coordinate, err);
    newton_free(&s);
    return rc;
}

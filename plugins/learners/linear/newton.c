/* Damped (proximal) Newton steps on the Gram matrix, for few coefficients.
 *
 * Where there are many more rows than coefficients, every few rows alone are solved first: their solution
 * and their Gram matrix lie within the sampling error of those of all, and L-BFGS preconditioned by that
 * matrix needs few passes over all rows, none of them with a Gram matrix. Else, and with l1, a Gram
 * matrix is kept as long as the steps that it gives shorten the gradient tenfold (the chord method:
 * C. T. Kelley, "Iterative Methods for Linear and Nonlinear Equations", SIAM, 1995, section 5.4). */
#include "linear.h"

/* Of the sample: at most every MOST_APART-th row, at least so many rows, also for a coefficient. */
enum { MOST_APART = 16, SAMPLE_ROWS = 2000, SAMPLE_ROWS_EACH = 5 };
enum {
    SAMPLE_RUN = 32
}; /* rows side by side in it, which memory gives much faster than rows apart */

#define SAMPLE_TOLERANCE 1e-2

/* Room for one solve. */
typedef struct newton {
    problem *pr;
    int64_t m;        /* k q coefficients */
    double *gradient; /* [m] */
    double *gram;     /* [m, m] */
    double *factor;   /* [m, m] Cholesky, lower */
    double *step;     /* [m] */
    double *trial;    /* [m] */
    double *trial_gradient;
    int32_t fresh;    /* the Gram matrix is that at theta */
    int32_t factored; /* `factor` is its */
    int32_t *sample;  /* NULL: none */
} newton;

static void newton_free(newton *s) {
    const lathe_host *host = s->pr->host;
    host->free(host, s->gradient);
    host->free(host, s->gram);
    host->free(host, s->factor);
    host->free(host, s->step);
    host->free(host, s->trial);
    host->free(host, s->trial_gradient);
    host->free(host, s->sample);
}

static int32_t newton_make(newton *s, problem *pr, lathe_error *err) {
    const lathe_host *host = pr->host;
    int64_t m = pr->k * pr->q;

    memset(s, 0, sizeof *s);
    s->pr = pr;
    s->m = m;
    s->gradient = alloc_array(host, m, sizeof(double));
    s->gram = alloc_array(host, m * m, sizeof(double));
    s->factor = alloc_array(host, m * m, sizeof(double));
    s->step = alloc_array(host, m, sizeof(double));
    s->trial = alloc_array(host, m, sizeof(double));
    s->trial_gradient = alloc_array(host, m, sizeof(double));
    if (s->gradient == NULL || s->gram == NULL || s->factor == NULL || s->step == NULL ||
        s->trial == NULL || s->trial_gradient == NULL)
        return fail_memory(err, "Newton's method", 2 * m * m * 8);
    return LATHE_OK;
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

/* Lower factor of gram + damping I; 0 where it is not positive definite. */
static int32_t cholesky(int64_t m, const double *gram, double damping, double *l) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j <= i; j++) {
            double s = gram[i * m + j] + (i == j ? damping : 0.0) - dot(j, l + i * m, l + j * m);
            if (i != j)
                l[i * m + j] = s / l[j * m + j];
            else if (s > 0 && !isinf(s))
                l[i * m + i] = sqrt(s);
            else
                return 0;
        }
    return 1;
}

void linear_cholesky_solve(int64_t q, const double *l, const double *b, double *x) {
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

/* The damping is far below what matters in directions that the data determine, and makes the others
 * (collinear features, all dummies of a category, the sum of a softmax's scores) stay where they are. */
static int32_t factorise(newton *s, lathe_error *err) {
    double most = 0, damping;
    for (int64_t j = 0; j < s->m; j++)
        most = fmax(most, s->gram[j * s->m + j]);
    damping = 1e-10 * most + 1e-300;
    for (int32_t tries = 0; tries < 12; tries++, damping *= 100)
        if (cholesky(s->m, s->gram, damping, s->factor)) {
            s->factored = 1;
            return LATHE_OK;
        }
    return fail(err, LATHE_E_NUMERIC,
                "The Gram matrix has no factor even with damping; are there infinite features?");
}

/* step = -(gram + damping)^-1 gradient */
static int32_t newton_step(newton *s, lathe_error *err) {
    int32_t rc = s->factored ? LATHE_OK : factorise(s, err);
    if (rc != LATHE_OK)
        return rc;
    linear_cholesky_solve(s->m, s->factor, s->gradient, s->step);
    for (int64_t j = 0; j < s->m; j++)
        s->step[j] = -s->step[j];
    return LATHE_OK;
}

/* step = argmin of gradient'd + d' gram d / 2 + sum l1 |theta + d|, by coordinate descent. `change`
 * keeps gram d. */
static void coordinate_step(newton *s, double accuracy, double *change) {
    const problem *pr = s->pr;
    int64_t q = s->m; /* one score */

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

/* Backtracks along the step until the objective falls enough; nearly always the first trial is
 * taken. With `renew` each trial brings its Gram matrix, in the place of the old one. *value is
 * the objective with l1. *took: 0 where no trial lowers it. */
static int32_t line_search(newton *s, int32_t renew, double *value, int32_t *took,
                           lathe_error *err) {
    problem *pr = s->pr;
    double slope = 0, t = 1, before = linear_l1(pr, pr->theta);
    int32_t rc;

    for (int64_t j = 0; j < s->m; j++) {
        slope += s->gradient[j] * s->step[j];
        s->trial[j] = pr->theta[j] + s->step[j];
    }
    slope += linear_l1(pr, s->trial) - before;
    *took = s->fresh = 0;
    for (int32_t tries = 0; tries < 40; tries++, t *= 0.5) {
        pass_sums sums = {.gradient = s->trial_gradient, .gram = renew ? s->gram : NULL};
        for (int64_t j = 0; j < s->m; j++)
            s->trial[j] =
                t == 1 && s->step[j] == -pr->theta[j] ? 0.0 : pr->theta[j] + t * s->step[j];
        rc = linear_evaluate(pr, s->trial, &sums, err);
        if (rc != LATHE_OK)
            return rc;
        if (renew)
            s->factored = 0;
        double now = sums.value + linear_l1(pr, s->trial);
        /* scores are float32, so the objective is known to about 1e-8 of its size */
        if (isfinite(now) && now <= *value + 1e-4 * t * slope + 1e-9 * fabs(*value)) {
            double *swap = s->gradient;
            s->gradient = s->trial_gradient;
            s->trial_gradient = swap;
            memcpy(pr->theta, s->trial, (size_t)s->m * sizeof(double));
            *value = now;
            *took = 1;
            s->fresh = renew;
            return LATHE_OK;
        }
    }
    return LATHE_OK;
}

/* Value, gradient and Gram matrix at theta. */
static int32_t evaluate(newton *s, double *value, lathe_error *err) {
    problem *pr = s->pr;
    pass_sums sums = {.gradient = s->gradient, .gram = s->gram};
    int32_t rc = linear_evaluate(pr, pr->theta, &sums, err);
    *value = rc == LATHE_OK ? sums.value + linear_l1(pr, pr->theta) : NAN;
    s->fresh = 1;
    s->factored = 0;
    return rc;
}

/* Descends until the gradient is below `share` of *first; *first 0: of that at the beginning, which it is
 * set to. `renew`: with a Gram matrix from the first trial on. */
static int32_t descend(newton *s, int32_t coordinate, int32_t renew, double share, double *first,
                       lathe_error *err) {
    problem *pr = s->pr;
    const lathe_host *host = pr->host;
    double value, now, before, flat = 0;
    int32_t rc = evaluate(s, &value, err), took;

    if (rc != LATHE_OK)
        return rc;
    now = linear_optimality(pr, pr->theta, s->gradient);
    if (*first == 0)
        *first = now;
    for (int64_t it = 0; it < pr->config->max_iterations; it++) {
        double old = value;
        if ((rc = linear_finite(value + now, "iteration", it, err)) != LATHE_OK)
            return rc;
        if (pr->sample == NULL)
            host->metric(host, "train_loss", it, value);
        if (now <= share * *first)
            return LATHE_OK;
        if (coordinate)
            coordinate_step(s, 0.01 * share * *first, s->factor);
        else if ((rc = newton_step(s, err)) != LATHE_OK)
            return rc;
        int32_t was_fresh = s->fresh;
        if ((rc = line_search(s, renew, &value, &took, err)) != LATHE_OK)
            return rc;
        before = now;
        now = linear_optimality(pr, pr->theta, s->gradient);
        renew = now > 0.1 * before;
        host->progress(host, (double)(it + 1) / (double)pr->config->max_iterations,
                       "Newton's method");
        /* twice without a fall beyond rounding: the solution, to the precision of the scores */
        flat = old - value <= 1e-10 * fabs(old) ? flat + 1 : 0;
        if (flat >= 2 || (!took && was_fresh))
            return LATHE_OK;
        if ((!took || renew) && !s->fresh && now > share * *first &&
            (rc = evaluate(s, &value, err)) != LATHE_OK)
            return rc;
    }
    if (now > share * *first && pr->sample == NULL)
        linear_not_converged(pr, coordinate ? "coordinate" : "newton", now, share * *first);
    return LATHE_OK;
}

/* ---- the sample ---- */

/* Every how-manieth row is enough to begin with; 1: all. */
static int64_t rows_apart(const newton *s) {
    int64_t apart = 1, n = s->pr->rows.n;
    while (apart < MOST_APART && n / (2 * apart) >= SAMPLE_ROWS &&
           n / (2 * apart) >= SAMPLE_ROWS_EACH * s->m)
        apart *= 2;
    return apart;
}

/* theta from the sample; *first is the gradient's size that it began with. Whatever goes wrong there, the
 * descent over all rows begins where the sample's began. */
static int32_t begin_with_sample(newton *s, int32_t coordinate, double *first, lathe_error *err) {
    problem *pr = s->pr;
    int64_t apart = rows_apart(s), n = 0;
    lathe_error ignored = {0};
    int32_t rc;

    if (apart == 1)
        return LATHE_OK;
    double *start = alloc_array(pr->host, s->m, sizeof *start);
    s->sample = alloc_array(pr->host, pr->rows.n / apart + SAMPLE_RUN, sizeof *s->sample);
    if (start == NULL || s->sample == NULL) {
        pr->host->free(pr->host, start);
        return fail_memory(err, "a sample of the rows", pr->rows.n / apart * 4);
    }
    memcpy(start, pr->theta, (size_t)s->m * sizeof *start);
    pr->sample_total = 0;
    for (int64_t i = 0; i < pr->rows.n; i++) {
        if (i / SAMPLE_RUN % apart != 0)
            continue;
        s->sample[n++] = (int32_t)i;
        pr->sample_total += pr->rows.weight[i];
    }
    pr->sample = s->sample;
    pr->n_sample = n;
    rc = descend(s, coordinate, 1, SAMPLE_TOLERANCE, first, &ignored);
    if (rc == LATHE_OK && !coordinate && !s->factored)
        rc = factorise(s, &ignored);
    pr->sample = NULL;
    if (rc != LATHE_OK) {
        s->factored = 0;
        memcpy(pr->theta, start, (size_t)s->m * sizeof *start);
        *first = 0;
    }
    pr->host->free(pr->host, start);
    if (rc == LATHE_E_CANCELLED)
        return fail_stopped(err, "while fitting the linear model");
    return LATHE_OK;
}

int32_t linear_newton(problem *pr, int32_t coordinate, lathe_error *err) {
    newton s;
    double first = 0;
    int32_t rc = newton_make(&s, pr, err);
    if (rc == LATHE_OK)
        rc = begin_with_sample(&s, coordinate, &first, err);
    if (rc == LATHE_OK && s.sample != NULL && !coordinate && s.factored)
        rc = linear_lbfgs(pr, s.factor, first, err);
    else if (rc == LATHE_OK)
        rc = descend(&s, coordinate, s.sample == NULL, pr->config->tolerance, &first, err);
    newton_free(&s);
    return rc;
}

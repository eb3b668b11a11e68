/* Limited-memory BFGS, preconditioned where a factor is at hand; with an l1 its orthant-wise form. */
#include "linear.h"

enum { MEMORY = 10 };

typedef struct lbfgs {
    problem *pr;
    const double *factor;   /* of the preconditioner, or NULL */
    int64_t m;              /* k * q parameters */
    double *gradient;       /* [m] of the smooth part */
    double *pseudo;         /* [m] the steepest descent's, negated: the smallest subgradient */
    double *direction;      /* [m] */
    double *trial;          /* [m] */
    double *trial_gradient; /* [m] */
    double *s[MEMORY];      /* differences of parameters */
    double *y[MEMORY];      /* differences of gradients */
    double rho[MEMORY];
    int64_t stored;
    double *memory;
} lbfgs;

static int32_t lbfgs_make(lbfgs *b, problem *pr, lathe_error *err) {
    int64_t m = pr->k * pr->q;
    memset(b, 0, sizeof *b);
    b->pr = pr;
    b->m = m;
    b->memory = alloc_array(pr->host, (5 + 2 * MEMORY) * m, sizeof(double));
    if (b->memory == NULL)
        return fail_memory(err, "L-BFGS", (5 + 2 * MEMORY) * m * 8);
    double *at = b->memory;
    double **parts[] = {&b->gradient, &b->pseudo, &b->direction, &b->trial, &b->trial_gradient};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++, at += m)
        *parts[i] = at;
    for (int32_t i = 0; i < MEMORY; i++, at += 2 * m) {
        b->s[i] = at;
        b->y[i] = at + m;
    }
    return LATHE_OK;
}

static double inner(int64_t m, const double *a, const double *b) {
    double s = 0;
    for (int64_t i = 0; i < m; i++)
        s += a[i] * b[i];
    return s;
}

static double penalty(const problem *pr, int64_t i) {
    int64_t j = i % pr->q;
    return pr->penal && j < pr->p ? pr->l1[j] : 0.0;
}

/* The subgradient of smallest size (Andrew and Gao, equation 4). */
static void pseudo_gradient(lbfgs *b, const double *theta) {
    for (int64_t i = 0; i < b->m; i++) {
        double l1 = penalty(b->pr, i), g = b->gradient[i];
        b->pseudo[i] = theta[i] > 0   ? g + l1
                       : theta[i] < 0 ? g - l1
                       : g + l1 < 0   ? g + l1
                       : g - l1 > 0   ? g - l1
                                      : 0.0;
    }
}

/* direction = -H pseudo by the two loops; with l1, components that climb are dropped. */
static void find_direction(lbfgs *b) {
    int64_t kept = b->stored < MEMORY ? b->stored : MEMORY;
    double alpha[MEMORY];
    double *d = b->direction;

    for (int64_t i = 0; i < b->m; i++)
        d[i] = -b->pseudo[i];
    for (int64_t t = 1; t <= kept; t++) {
        int64_t at = (b->stored - t) % MEMORY;
        alpha[at] = b->rho[at] * inner(b->m, b->s[at], d);
        for (int64_t i = 0; i < b->m; i++)
            d[i] -= alpha[at] * b->y[at][i];
    }
    if (b->factor != NULL) {
        linear_cholesky_solve(b->m, b->factor, d, d);
    } else if (kept > 0) {
        int64_t at = (b->stored - 1) % MEMORY;
        double scale = 1.0 / (b->rho[at] * inner(b->m, b->y[at], b->y[at]));
        for (int64_t i = 0; i < b->m; i++)
            d[i] *= scale;
    }
    for (int64_t t = kept; t >= 1; t--) {
        int64_t at = (b->stored - t) % MEMORY;
        double beta = b->rho[at] * inner(b->m, b->y[at], d);
        for (int64_t i = 0; i < b->m; i++)
            d[i] += (alpha[at] - beta) * b->s[at][i];
    }
    if (b->pr->penal)
        for (int64_t i = 0; i < b->m; i++)
            if (d[i] * b->pseudo[i] >= 0)
                d[i] = 0;
}

/* trial = theta + t direction; with l1 it stays in theta's orthant (that of the step where theta is
 * 0). */
static void set_trial(lbfgs *b, double t) {
    const double *theta = b->pr->theta;
    for (int64_t i = 0; i < b->m; i++) {
        b->trial[i] = theta[i] + t * b->direction[i];
        if (penalty(b->pr, i) > 0) {
            double sign = theta[i] != 0 ? theta[i] : -b->pseudo[i];
            if (b->trial[i] * sign <= 0)
                b->trial[i] = 0;
        }
    }
}

/* Bisection for the weak Wolfe conditions, which also serves losses with kinks (Lewis and Overton,
 * "Nonsmooth optimization via quasi-Newton methods", Math. Program. 141, 2013), the first of them by
 * the slope where rounding hides the fall (W. W. Hager, H. Zhang, "A new conjugate gradient method with
 * guaranteed descent", SIAM J. Optim. 16, 2005, section 4); sufficient decrease alone with l1. *took 0: no trial lowers the objective. */
static int32_t line_search(lbfgs *b, double *value, int32_t *took, lathe_error *err) {
    problem *pr = b->pr;
    double slope = inner(b->m, b->pseudo, b->direction), low = 0, high = INFINITY;
    double t = b->stored > 0 || b->factor != NULL
                   ? 1.0
                   : fmin(1.0, 1.0 / sqrt(inner(b->m, b->pseudo, b->pseudo)));

    *took = 0;
    for (int32_t tries = 0; tries < 30; tries++) {
        pass_sums sums = {.gradient = b->trial_gradient};
        set_trial(b, t);
        int32_t rc = linear_evaluate(pr, b->trial, &sums, err);
        if (rc != LATHE_OK)
            return rc;
        double now = sums.value + linear_l1(pr, b->trial), fall = 0;
        for (int64_t i = 0; i < b->m; i++)
            fall += b->pseudo[i] * (b->trial[i] - pr->theta[i]);
        if (!pr->penal)
            fall = t * slope;
        double along = pr->penal ? 0 : inner(b->m, b->trial_gradient, b->direction);
        /* scores are float32, so the objective is known to about 1e-8 of its size: within that the slope
         * alone decides */
        int32_t low_enough =
            now <= *value + 1e-4 * fall + 1e-10 * fabs(*value) ||
            (!pr->penal && now <= *value + 2e-8 * fabs(*value) && along <= (2e-4 - 1) * slope);
        if (!isfinite(now) || !low_enough) {
            high = t;
        } else if (!pr->penal && along < 0.9 * slope) {
            low = t;
        } else {
            *value = now;
            *took = 1;
            return LATHE_OK;
        }
        t = isinf(high) ? 2 * t : 0.5 * (low + high);
    }
    return LATHE_OK;
}

/* Takes the trial and remembers the pair. */
static void accept(lbfgs *b) {
    int64_t at = b->stored % MEMORY;
    double sy = 0, yy = 0;
    for (int64_t i = 0; i < b->m; i++) {
        b->s[at][i] = b->trial[i] - b->pr->theta[i];
        b->y[at][i] = b->trial_gradient[i] - b->gradient[i];
        sy += b->s[at][i] * b->y[at][i];
        yy += b->y[at][i] * b->y[at][i];
        b->pr->theta[i] = b->trial[i];
        b->gradient[i] = b->trial_gradient[i];
    }
    if (sy > 1e-14 * yy && yy > 0) {
        b->rho[at] = 1.0 / sy;
        b->stored++;
    }
}

static int32_t iterate(lbfgs *b, double first, lathe_error *err) {
    problem *pr = b->pr;
    const lathe_host *host = pr->host;
    pass_sums sums = {.gradient = b->gradient};
    double now = 0, value, target;
    int64_t flat = 0;
    int32_t rc = linear_evaluate(pr, pr->theta, &sums, err), took;

    if (rc != LATHE_OK)
        return rc;
    value = sums.value + linear_l1(pr, pr->theta);
    if (first == 0)
        first = linear_optimality(pr, pr->theta, b->gradient);
    target = pr->config->tolerance * first;
    for (int64_t it = 0; it < pr->config->max_iterations; it++) {
        double old = value;
        now = linear_optimality(pr, pr->theta, b->gradient);
        if ((rc = linear_finite(value + now, "iteration", it, err)) != LATHE_OK)
            return rc;
        host->metric(host, "train_loss", it, value);
        if (now <= target)
            return LATHE_OK;
        pseudo_gradient(b, pr->theta);
        find_direction(b);
        if (!(inner(b->m, b->pseudo, b->direction) < 0)) {
            b->stored = 0;
            find_direction(b);
        }
        if ((rc = line_search(b, &value, &took, err)) != LATHE_OK)
            return rc;
        if (!took && b->stored == 0)
            return LATHE_OK; /* steepest descent does not fall either: solved, up to rounding */
        if (!took) {
            b->stored = 0;
            continue;
        }
        accept(b);
        host->progress(host, (double)(it + 1) / (double)pr->config->max_iterations, "L-BFGS");
        /* thrice without a fall beyond rounding: the solution, to the precision of the scores */
        flat = old - value <= 1e-9 * fabs(old) ? flat + 1 : 0;
        if (flat >= 3)
            return LATHE_OK;
    }
    linear_not_converged(pr, "lbfgs", now, target);
    return LATHE_OK;
}

int32_t linear_lbfgs(problem *pr, const double *factor, double first, lathe_error *err) {
    lbfgs b;
    int32_t rc = lbfgs_make(&b, pr, err);
    b.factor = factor;
    if (rc == LATHE_OK)
        rc = iterate(&b, first, err);
    pr->host->free(pr->host, b.memory);
    return rc;
}

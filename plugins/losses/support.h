/* What the losses share: sentences for errors, checks of targets, weighted means, and the two
 * searches that renew a leaf: the weighted quantile and the root of a falling function.
 */
#ifndef LATHE_LOSSES_SUPPORT_H
#define LATHE_LOSSES_SUPPORT_H

#include <lathe/loss.h>
#include <lathe/math.h>

#include <stdarg.h>
#include <stdio.h>

/* The instance of a loss that needs scratch memory; the others are their config. */
typedef struct loss_self {
    const lathe_host *host;
    const void *config;
} loss_self;

static inline int32_t loss_create(const lathe_host *host, const void *config, void **self,
                                  lathe_error *err) {
    loss_self *s = (loss_self *)host->alloc(host, sizeof *s);
    if (s == NULL) {
        err->code = LATHE_E_MEMORY;
        snprintf(err->message, sizeof err->message, "no memory for the loss");
        return LATHE_E_MEMORY;
    }
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static inline void loss_destroy(void *self) {
    if (self != NULL) {
        const lathe_host *host = ((loss_self *)self)->host;
        host->free(host, self);
    }
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline int32_t
loss_fail(lathe_error *err, int32_t code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (err != NULL) {
        err->code = code;
        vsnprintf(err->message, sizeof err->message, format, list);
    }
    va_end(list);
    return code;
}

static inline float weight_of(const float *weight, int64_t i) {
    return weight == NULL ? 1.0f : weight[i];
}

/* A float that is never infinite: what a learner adds up must stay a number. NaN stays NaN. */
static inline float to_float(double x) {
    x = x > 3.4028234663852886e38 ? 3.4028234663852886e38 : x;
    x = x < -3.4028234663852886e38 ? -3.4028234663852886e38 : x;
    return (float)x;
}

/* One score a row. */
static inline int32_t need_one_score(int64_t k, const char *loss, lathe_error *err) {
    if (k == 1) {
        return LATHE_OK;
    }
    return loss_fail(err, LATHE_E_SHAPE, "%s takes one score a row, but was given %lld", loss,
                     (long long)k);
}

/* At least one row, all targets finite and at least `low`, all weights finite and >= 0 with a sum
 * above 0. */
static inline int32_t check_rows(int64_t n, const float *target, const float *weight, double low,
                                 const char *loss, lathe_error *err) {
    if (n <= 0) {
        return loss_fail(err, LATHE_E_DATA, "%s has no rows to learn from", loss);
    }
    double total = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const float w = weight_of(weight, i);
        if (!lathe_isfinitef(target[i])) {
            return loss_fail(
                err, LATHE_E_DATA,
                "the target of row %lld is %s; %s needs a number in every row: remove the "
                "row or fill it in",
                (long long)i, lathe_isnanf(target[i]) ? "missing" : "infinite", loss);
        }
        if ((double)target[i] < low) {
            return loss_fail(err, LATHE_E_DATA,
                             "the target of row %lld is %g, but %s needs targets of at least %g",
                             (long long)i, (double)target[i], loss, low);
        }
        if (!lathe_isfinitef(w) || w < 0.0f) {
            return loss_fail(err, LATHE_E_DATA,
                             "the weight of row %lld is %g; weights are finite and not negative",
                             (long long)i, (double)w);
        }
        total += (double)w;
    }
    if (!(total > 0.0)) {
        return loss_fail(err, LATHE_E_DATA, "all weights are 0: %s has nothing to learn from",
                         loss);
    }
    return LATHE_OK;
}

/* The class of a target in [0, classes), or -1 where it is none. */
static inline int64_t class_of(float target, int64_t classes) {
    if (!(target >= 0.0f && (double)target < (double)classes)) {
        return -1;
    }
    const int64_t c = (int64_t)target;
    return (float)c == target ? c : -1;
}

static inline int32_t refuse_class(float target, int64_t row, int64_t classes, lathe_error *err) {
    return loss_fail(
        err, LATHE_E_DATA,
        "the target of row %lld is %g, but with %lld classes it must be a whole number "
        "from 0 to %lld",
        (long long)row, (double)target, (long long)classes, (long long)classes - 1);
}

/* Every target a class; classes is 2 for one score. */
static inline int32_t check_classes(int64_t n, int64_t classes, const float *target,
                                    lathe_error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (class_of(target[i], classes) < 0) {
            return refuse_class(target[i], i, classes, err);
        }
    }
    return LATHE_OK;
}

static inline double weighted_mean(int64_t n, const float *value, const float *weight) {
    double sum = 0.0;
    double total = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double w = (double)weight_of(weight, i);
        sum += w * (double)value[i];
        total += w;
    }
    return total > 0.0 ? sum / total : 0.0;
}

typedef struct weighted_value {
    double value;
    double weight;
} weighted_value;

/* The q that minimises Σ w ρ(v - q), ρ(r) = α r for r >= 0 and (α - 1) r below: the smallest v at
 * which the weights up to it reach the share α; where they reach it exactly, the middle between
 * it and the next v. By quickselect (C. A. R. Hoare, CACM 4, 1961) with pivots from a fixed
 * generator: linear on average whatever the data. Reorders `a`; total weight 0 gives 0. */
static inline double weighted_quantile(weighted_value *a, int64_t n, double alpha) {
    double total = 0.0;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) { /* rows of weight 0 must not be the answer */
        if (a[i].weight > 0.0) {
            total += a[i].weight;
            a[kept++] = a[i];
        }
    }
    const double want = alpha * total;
    double below = 0.0; /* the weight of what is left of a[lo] */
    int64_t lo = 0;
    int64_t hi = kept;
    double next = LATHE_INFINITY; /* the smallest value right of a[hi - 1] */
    uint64_t seed = 0x9e3779b97f4a7c15u;
    while (lo < hi) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double pivot = a[lo + (int64_t)((seed >> 33) % (uint64_t)(hi - lo))].value;
        int64_t less = lo;
        int64_t more = hi;
        double w_less = 0.0;
        double w_same = 0.0;
        for (int64_t i = lo;
             i < more;) { /* [lo, less) < pivot, [less, i) = pivot, [more, hi) > it */
            const weighted_value v = a[i];
            if (v.value < pivot) {
                w_less += v.weight;
                a[i++] = a[less];
                a[less++] = v;
            } else if (v.value > pivot) {
                a[i] = a[--more];
                a[more] = v;
            } else {
                w_same += v.weight;
                i++;
            }
        }
        if (less > lo && below + w_less >= want) {
            next = pivot;
            hi = less;
            continue;
        }
        if (below + w_less + w_same >= want || more == hi) {
            if (below + w_less + w_same > want || (more == hi && next == LATHE_INFINITY)) {
                return pivot;
            }
            for (int64_t i = more; i < hi; i++) {
                next = a[i].value < next ? a[i].value : next;
            }
            return pivot + 0.5 * (next - pivot);
        }
        below += w_less + w_same;
        lo = more;
    }
    return 0.0;
}

/* The c that minimises Σ w ρ(target - score - c), by weighted_quantile over scratch memory of the
 * host's; score may be NULL: all 0. */
static inline int32_t renew_quantile(const lathe_host *host, int64_t n, const float *score,
                                     const float *target, const float *weight, double alpha,
                                     double *c, lathe_error *err) {
    *c = 0.0;
    if (n <= 0) {
        return LATHE_OK;
    }
    weighted_value *a = NULL;
    if ((uint64_t)n <= UINT64_MAX / sizeof *a) {
        a = (weighted_value *)host->alloc(host, (uint64_t)n * sizeof *a);
    }
    if (a == NULL) {
        return loss_fail(err, LATHE_E_MEMORY, "no memory for the residuals of %lld rows",
                         (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        a[i].value = (double)target[i] - (score == NULL ? 0.0 : (double)score[i]);
        a[i].weight = (double)weight_of(weight, i);
    }
    *c = weighted_quantile(a, n, alpha);
    host->free(host, a);
    return LATHE_OK;
}

/* A function of c that never rises, with its slope (<= 0) there: the derivative of a convex loss,
 * negated. */
typedef double (*falling_fn)(const void *user, double c, double *slope);

/* Its root in [lo, hi], by Newton's method kept inside the bracket by halving: exact after some
 * steps where the function is made of straight pieces. */
static inline double falling_root(falling_fn fn, const void *user, double lo, double hi) {
    double c = lo + 0.5 * (hi - lo);
    for (int round = 0; round < 200; round++) {
        double slope;
        const double value = fn(user, c, &slope);
        if (value == 0.0) {
            return c;
        }
        if (value > 0.0) {
            lo = c;
        } else {
            hi = c;
        }
        double next = slope < 0.0 ? c - value / slope : lo + 0.5 * (hi - lo);
        if (!(next > lo && next < hi)) {
            next = lo + 0.5 * (hi - lo);
        }
        if (next == c || !(lo < hi)) {
            return next;
        }
        c = next;
    }
    return c;
}

#endif

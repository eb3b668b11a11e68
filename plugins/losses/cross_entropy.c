/* cross_entropy: the negative log-likelihood of classes; minimised.
 *
 * One score s (two classes), with p = σ(s) = 1 / (1 + e^-s) and y 0 or 1:
 *     value -y ln p - (1 - y) ln(1 - p) = y ln(1 + e^-s) + (1 - y) ln(1 + e^s);
 *     gradient p - y;  hessian p (1 - p);  start: the log-odds of class 1;  link: p.
 * k scores, with p = softmax(s) and y the class as a unit vector:
 *     value -Σ_j y_j ln p_j;  gradient p - y;  hessian p_j (1 - p_j), in full diag(p) - p pᵀ;
 *     start: the logarithms of the classes' shares, centred;  link: p.
 *
 * D. R. Cox, The Regression Analysis of Binary Sequences, JRSS B 20, 1958; J. S. Bridle, 1990
 * (softmax). Label smoothing ε, y' = (1 - ε) y + ε / k with k = 2 for one score: C. Szegedy et
 * al., Rethinking the Inception Architecture, CVPR 2016, section 7. The diagonal hessian is at
 * least 1e-16, as a Newton step divides by it. Where a class has no rows its share is taken as
 * that of half a row: the minimum is at infinity. Nothing is computed as 1 - p, so that a certain
 * prediction keeps the digits of what is left.
 */
#include "support.h"

#define HESSIAN_FLOOR 1e-16f
#define KEPT                                                                                       \
    64 /* classes whose exponentials are kept on the stack; beyond, they are computed again */

#define FLOAT_MAX 3.4028235e38f
#define LANES 8 /* partial results of a loop over classes */

typedef struct config {
    double label_smoothing;
} config;

static const lathe_param params[] = {
    LATHE_P_FLOAT(config, label_smoothing, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0.0", 0, 1,
                  "Share of the truth that is spread evenly over all classes."),
};

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    return task == LATHE_TASK_MULTICLASS ? n_classes : 1;
}

/* Infinite scores are held at the largest float, where 0 * s is 0. NaN stays. */
static double held(float s) {
    return (double)to_float((double)s);
}

/* ---- one score ---- */

/* ln(1 + z) of z in [0, 1], to 2 ulp: for a third of lathe_log1p's time, which is for any z. Above √2 - 1 as
 * ln 2 + ln(1 + (z - 1) / 2); then ln(1 + f) = 2 artanh s, s = f / (2 + f), whose series in s² <= 0.03 is cut
 * where the rest is below half a unit. */
static inline double log1p_unit(double z) {
    const int upper = z > 0.41421356237309505;
    const double f = upper ? 0.5 * (z - 1.0) : z;
    const double s = f / (2.0 + f);
    const double t = s * s;
    double sum = 1.0 / 21.0;
    sum = sum * t + 1.0 / 19.0;
    sum = sum * t + 1.0 / 17.0;
    sum = sum * t + 1.0 / 15.0;
    sum = sum * t + 1.0 / 13.0;
    sum = sum * t + 1.0 / 11.0;
    sum = sum * t + 1.0 / 9.0;
    sum = sum * t + 1.0 / 7.0;
    sum = sum * t + 1.0 / 5.0;
    sum = sum * t + 1.0 / 3.0;
    const double twice = 2.0 * s;
    return (upper ? 0.6931471805599453 : 0.0) + (twice + twice * t * sum);
}

static void value_binary(double smoothing, int64_t n, const float *score, const float *target,
                         double *loss) {
    for (int64_t i = 0; i < n; i++) {
        const double s = held(score[i]);
        const double y = (double)target[i] * (1.0 - smoothing) + 0.5 * smoothing;
        /* softplus(∓s), with their common part computed once */
        const double rest = log1p_unit(lathe_exp(-lathe_abs(s)));
        loss[i] = y * ((s < 0.0 ? -s : 0.0) + rest) + (1.0 - y) * ((s > 0.0 ? s : 0.0) + rest);
    }
}

/* In float, as what is asked for is: p and q are exact to 4e-7 of themselves. */
static void gradient_binary(double smoothing, int64_t n, const float *restrict score,
                            const float *restrict target, float *restrict gradient,
                            float *restrict hessian) {
    const float share = (float)(1.0 - smoothing);
    const float even = (float)(0.5 * smoothing);
    for (int64_t i = 0; i < n; i++) {
        const float s = score[i];
        const float y = target[i] * share + even;
        const float z = lathe_expf(-lathe_absf(s));
        const float likely = 1.0f / (1.0f + z);
        const float unlikely = z * likely;
        const float p = s < 0.0f ? unlikely : likely;
        const float q = s < 0.0f ? likely : unlikely; /* 1 - p with all its digits */
        gradient[i] = (1.0f - y) * p - y * q;
        if (hessian != NULL) {
            const float h = p * q;
            hessian[i] = h < HESSIAN_FLOOR ? HESSIAN_FLOOR : h;
        }
    }
}

/* ---- k scores: one row at a time ---- */

typedef struct row_sum {
    double top; /* the largest score */
    double sum; /* Σ e^(s_j - top) */
    double e[KEPT];
} row_sum;

/* e[j] = e^(s_j - top) of the first KEPT classes: a loop without a sum, which is vectorised. */
static void exponentials(int64_t k, const float *score, double top, double *e) {
    const int64_t kept = k < KEPT ? k : KEPT;
    for (int64_t j = 0; j < kept; j++) {
        e[j] = lathe_exp(held(score[j]) - top);
    }
}

static void sum_row(int64_t k, const float *score, row_sum *r) {
    r->top = -LATHE_INFINITY;
    for (int64_t j = 0; j < k; j++) {
        const double s = held(score[j]);
        r->top = s > r->top ? s : r->top;
    }
    exponentials(k, score, r->top, r->e);
    r->sum = 0.0;
    for (int64_t j = 0; j < k; j++) {
        r->sum += j < KEPT ? r->e[j] : lathe_exp(held(score[j]) - r->top);
    }
}

/* p_j */
static double share(const row_sum *r, const float *score, int64_t j) {
    return (j < KEPT ? r->e[j] : lathe_exp(held(score[j]) - r->top)) / r->sum;
}

static double value_row(double smoothing, int64_t k, const float *score, int64_t truth) {
    double top = -LATHE_INFINITY;
    double mean = 0.0; /* Σ (top - s_j) / k */
    double rest = 0.0; /* Σ e^(s_j - top) but for one of the largest */
    double e[KEPT];
    int64_t at = 0;
    for (int64_t j = 0; j < k; j++) {
        const double s = held(score[j]);
        at = s > top ? j : at;
        top = s > top ? s : top;
    }
    exponentials(k, score, top, e);
    for (int64_t j = 0; j < k; j++) {
        rest += j == at ? 0.0 : j < KEPT ? e[j] : lathe_exp(held(score[j]) - top);
    }
    for (int64_t j = 0; smoothing > 0.0 && j < k; j++) {
        mean += (top - held(score[j])) / (double)k;
    }
    /* ln Σ e^s - Σ_j y'_j s_j, both relative to the largest score */
    return lathe_log1p(rest) + (1.0 - smoothing) * (top - held(score[truth])) + smoothing * mean;
}

static float heldf(float s) {
    s = s > FLOAT_MAX ? FLOAT_MAX : s;
    return s < -FLOAT_MAX ? -FLOAT_MAX : s;
}

/* The largest score; in lanes, which are vectors. */
static float top_score(int64_t k, const float *score) {
    float lane[LANES];
    float top = -FLOAT_MAX;
    int64_t j = 0;
    for (int l = 0; l < LANES; l++) {
        lane[l] = top;
    }
    for (; j + LANES <= k; j += LANES) {
        for (int l = 0; l < LANES; l++) {
            lane[l] = score[j + l] > lane[l] ? score[j + l] : lane[l];
        }
    }
    for (int l = 0; l < LANES; l++) {
        top = lane[l] > top ? lane[l] : top;
    }
    for (; j < k; j++) {
        top = score[j] > top ? score[j] : top;
    }
    return heldf(top);
}

/* The sum, in an order that does not depend on the processor. */
static float sum_of(int64_t k, const float *e) {
    float lane[LANES] = {0};
    float sum = 0.0f;
    int64_t j = 0;
    for (; j + LANES <= k; j += LANES) {
        for (int l = 0; l < LANES; l++) {
            lane[l] += e[j + l];
        }
    }
    for (; j < k; j++) {
        sum += e[j];
    }
    for (int l = 0; l < LANES; l++) {
        sum += lane[l];
    }
    return sum;
}

/* In float, as what is asked for is. The exponentials lie where the gradient goes. */
static void gradient_row(double smoothing, int64_t k, const float *restrict score, int64_t truth,
                         float *restrict gradient, float *restrict hessian) {
    const float even = (float)(smoothing / (double)k);
    const float top = top_score(k, score);
    for (int64_t j = 0; j < k; j++) {
        gradient[j] = lathe_expf(heldf(score[j]) - top);
    }
    const float true_e = gradient[truth];
    gradient[truth] = 0.0f;
    const float other_e =
        sum_of(k, gradient); /* without the truth, whose 1 - p keeps all its digits */
    const float scale = 1.0f / (other_e + true_e);
    const float others = other_e * scale;
    gradient[truth] = true_e;
    for (int64_t j = 0; j < k; j++) {
        const float p = gradient[j] * scale;
        gradient[j] = p - even;
        if (hessian != NULL) {
            const float h = p * (1.0f - p);
            hessian[j] = h < HESSIAN_FLOOR ? HESSIAN_FLOOR : h;
        }
    }
    gradient[truth] = ((float)smoothing - even) - others;
    if (hessian != NULL) {
        const float h = true_e * scale * others;
        hessian[truth] = h < HESSIAN_FLOOR ? HESSIAN_FLOOR : h;
    }
}

/* ---- the table ---- */

/* score [n, k], target [n] → loss [n] */
static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    const double smoothing = ((const config *)self)->label_smoothing;
    if (k == 1) {
        value_binary(smoothing, n, score, target, loss);
        return LATHE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t truth = class_of(target[i], k);
        if (truth < 0) {
            return refuse_class(target[i], i, k, err);
        }
        loss[i] = value_row(smoothing, k, score + i * k, truth);
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    const double smoothing = ((const config *)self)->label_smoothing;
    if (k == 1) {
        gradient_binary(smoothing, n, score, target, gradient, hessian);
        return LATHE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t truth = class_of(target[i], k);
        if (truth < 0) {
            return refuse_class(target[i], i, k, err);
        }
        gradient_row(smoothing, k, score + i * k, truth, gradient + i * k,
                     hessian == NULL ? NULL : hessian + i * k);
    }
    return LATHE_OK;
}

/* The weights of the classes go to score first, then their logarithms. */
static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    const double smoothing = ((const config *)self)->label_smoothing;
    const int64_t classes = k == 1 ? 2 : k;
    int32_t rc = check_rows(n, target, weight, 0.0, "cross_entropy", err);
    rc = rc != LATHE_OK ? rc : check_classes(n, classes, target, err);
    if (rc != LATHE_OK) {
        return rc;
    }
    const double half_row = 0.5 / (double)n;
    if (k == 1) {
        double p = weighted_mean(n, target, weight) * (1.0 - smoothing) + 0.5 * smoothing;
        p = p > 0.0 ? p : half_row;
        p = p < 1.0 ? p : 1.0 - half_row;
        score[0] = lathe_log(p) - lathe_log1p(-p);
        return LATHE_OK;
    }
    double total = 0.0;
    for (int64_t j = 0; j < k; j++) {
        score[j] = 0.0;
    }
    for (int64_t i = 0; i < n; i++) {
        const double w = (double)weight_of(weight, i);
        score[class_of(target[i], k)] += w;
        total += w;
    }
    double mean = 0.0;
    for (int64_t j = 0; j < k; j++) {
        const double p = score[j] / total * (1.0 - smoothing) + smoothing / (double)k;
        score[j] = lathe_log(p > 0.0 ? p : half_row);
        mean += score[j] / (double)k;
    }
    for (int64_t j = 0; j < k; j++) {
        score[j] -= mean;
    }
    return LATHE_OK;
}

/* score [n, k] → probability [n, k] */
static int32_t link_score(const void *self, int64_t n, int64_t k, const float *score,
                          float *prediction, lathe_error *err) {
    (void)self;
    (void)err;
    if (k == 1) {
        for (int64_t i = 0; i < n; i++) {
            prediction[i] = (float)lathe_sigmoid((double)score[i]);
        }
        return LATHE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        row_sum r;
        sum_row(k, score + i * k, &r);
        for (int64_t j = 0; j < k; j++) { /* share() reads score j before prediction j is written */
            prediction[i * k + j] = (float)share(&r, score + i * k, j);
        }
    }
    return LATHE_OK;
}

/* diag(p) - p pᵀ of each row: [n, k, k]; one score: p (1 - p) */
static int32_t hessian_block(const void *self, int64_t n, int64_t k, const float *score,
                             const float *target, float *block, lathe_error *err) {
    (void)self;
    (void)target;
    (void)err;
    if (k == 1) {
        for (int64_t i = 0; i < n; i++) {
            const double s = (double)score[i];
            block[i] = (float)(lathe_sigmoid(s) * lathe_sigmoid(-s));
        }
        return LATHE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        const float *row = score + i * k;
        row_sum r;
        sum_row(k, row, &r);
        for (int64_t a = 0; a < k; a++) {
            const double p = share(&r, row, a);
            for (int64_t b = 0; b < k; b++) {
                block[(i * k + a) * k + b] =
                    (float)(a == b ? p * (1.0 - p) : -p * share(&r, row, b));
            }
        }
    }
    return LATHE_OK;
}

static const lathe_loss interface = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = value,
    .gradient = gradient,
    .start = start,
    .link = link_score,
    .hessian_block = hessian_block,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.loss.cross_entropy",
    .kind = LATHE_KIND_LOSS,
    .name = "cross_entropy",
    .version = "1.0.0",
    .doc = "Negative log-likelihood of classes: logistic for two, softmax for more.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASKS_CLASSIFICATION,
    LATHE_PARAMS(params, config),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)

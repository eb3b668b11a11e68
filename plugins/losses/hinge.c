/* hinge and squared_hinge: the margin losses of support vector machines.
 *
 * One score s, with t = -1 for class 0 and +1 for class 1: m = max(0, 1 - t s). k scores, of K.
 * Crammer, Y. Singer, JMLR 2, 2001: m = max(0, 1 + max_{j≠y} s_j - s_y), y the class (of equal
 * scores the first counts).
 *     hinge          value m;   gradient where m > 0: -t, or +1 at j and -1 at y
 *     squared_hinge  value m²;  gradient 2 m times that;  hessian 2 where m > 0, else 1e-16
 *
 * C. Cortes, V. Vapnik, Support-Vector Networks, Machine Learning 20, 1995. hinge's second
 * derivative is 0: hessian is given as 1 and a leaf is renewed. With residuals r = t - s row i is
 * active while c < r_i for t = 1 and while c > r_i for t = -1, so the slope of Σ w m in c rises
 * from -W₊ by w at each r: its minimum is the weighted quantile of r at W₊ / W. squared_hinge's
 * derivative is made of straight pieces, and its root is searched. The link is σ(s), or softmax:
 * an order of the classes, not a calibrated probability. start for k scores is 0.
 */
#include "support.h"

#define HESSIAN_FLOOR 1e-16f

static int64_t n_scores(const void *self, int32_t task, int64_t n_classes) {
    (void)self;
    return task == LATHE_TASK_MULTICLASS ? n_classes : 1;
}

static double sign_of(float target) {
    return target > 0.5f ? 1.0 : -1.0;
}

/* m of one row and, for k scores, the class that comes nearest to the truth. */
static double margin(int64_t k, const float *score, int64_t truth, int64_t *rival) {
    *rival = truth == 0 ? 1 : 0;
    for (int64_t j = *rival + 1; j < k; j++) {
        *rival = j != truth && score[j] > score[*rival] ? j : *rival;
    }
    const double m = 1.0 + (double)score[*rival] - (double)score[truth];
    return m < 0.0 ? 0.0 : m;
}

static double margin_binary(float score, float target) {
    const double m = 1.0 - sign_of(target) * (double)score;
    return m < 0.0 ? 0.0 : m;
}

/* score [n, k], target [n] → m [n] */
static int32_t value(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err) {
    (void)self;
    for (int64_t i = 0; i < n; i++) {
        const int64_t truth = class_of(target[i], k == 1 ? 2 : k);
        if (truth < 0) {
            return refuse_class(target[i], i, k == 1 ? 2 : k, err);
        }
        int64_t rival;
        loss[i] =
            k == 1 ? margin_binary(score[i], target[i]) : margin(k, score + i * k, truth, &rival);
    }
    return LATHE_OK;
}

static int32_t squared_value(const void *self, int64_t n, int64_t k, const float *score,
                             const float *target, double *loss, lathe_error *err) {
    const int32_t rc = value(self, n, k, score, target, loss, err);
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        loss[i] *= loss[i];
    }
    return rc;
}

/* Rows [n, k]: gradient 1 or 2 m times m's own, hessian as said above. */
static int32_t slopes(int squared, int64_t n, int64_t k, const float *score, const float *target,
                      float *gradient, float *hessian, lathe_error *err) {
    const float quiet = squared ? HESSIAN_FLOOR : 1.0f;
    const float active = squared ? 2.0f : 1.0f;
    for (int64_t i = 0; i < n; i++) {
        const int64_t truth = class_of(target[i], k == 1 ? 2 : k);
        if (truth < 0) {
            return refuse_class(target[i], i, k == 1 ? 2 : k, err);
        }
        float *g = gradient + i * k;
        float *h = hessian == NULL ? NULL : hessian + i * k;
        int64_t rival = 0;
        const double m =
            k == 1 ? margin_binary(score[i], target[i]) : margin(k, score + i * k, truth, &rival);
        /* a NaN margin must stay one: it is no active row and no quiet one */
        const double size = m == 0.0 ? 0.0 : (squared || m != m ? 2.0 * m : 1.0);
        for (int64_t j = 0; j < k; j++) {
            g[j] = 0.0f;
            if (h != NULL) {
                h[j] = m != 0.0 && (k == 1 || j == truth || j == rival) ? active : quiet;
            }
        }
        if (k == 1) {
            g[0] = to_float(-sign_of(target[i]) * size);
        } else {
            g[rival] = to_float(size);
            g[truth] = to_float(-size);
        }
    }
    return LATHE_OK;
}

static int32_t gradient(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err) {
    (void)self;
    return slopes(0, n, k, score, target, gradient, hessian, err);
}

static int32_t squared_gradient(const void *self, int64_t n, int64_t k, const float *score,
                                const float *target, float *gradient, float *hessian,
                                lathe_error *err) {
    (void)self;
    return slopes(1, n, k, score, target, gradient, hessian, err);
}

/* ---- renewing a leaf of one score ---- */

/* score may be NULL: all 0 */
static int32_t renew(const void *self, int64_t n, const float *score, const float *target,
                     const float *weight, double *c, lathe_error *err) {
    const lathe_host *host = ((const loss_self *)self)->host;
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
    double positive = 0.0;
    double total = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double w = (double)weight_of(weight, i);
        a[i].value = sign_of(target[i]) - (score == NULL ? 0.0 : (double)score[i]);
        a[i].weight = w;
        positive += target[i] > 0.5f ? w : 0.0;
        total += w;
    }
    *c = total > 0.0 ? weighted_quantile(a, n, positive / total) : 0.0;
    host->free(host, a);
    return LATHE_OK;
}

typedef struct leaf_rows {
    int64_t n;
    const float *score;
    const float *target;
    const float *weight;
} leaf_rows;

/* Σ w t max(0, 1 - t (s + c)): falls with c, 0 at the minimum. */
static double pull(const void *user, double c, double *slope) {
    const leaf_rows *rows = (const leaf_rows *)user;
    double sum = 0.0;
    double inside = 0.0;
    for (int64_t i = 0; i < rows->n; i++) {
        const double w = (double)weight_of(rows->weight, i);
        const double t = sign_of(rows->target[i]);
        const double m = 1.0 - t * ((double)rows->score[i] + c);
        sum += m > 0.0 ? w * t * m : 0.0;
        inside += m > 0.0 ? w : 0.0;
    }
    *slope = -inside;
    return sum;
}

static int32_t squared_renew(const void *self, int64_t n, const float *score, const float *target,
                             const float *weight, double *c, lathe_error *err) {
    (void)self;
    (void)err;
    const leaf_rows rows = {n, score, target, weight};
    double lo = LATHE_INFINITY; /* the minimum lies between the residuals t - s */
    double hi = -LATHE_INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (weight_of(weight, i) > 0.0f) {
            const double r = sign_of(target[i]) - (double)score[i];
            lo = r < lo ? r : lo;
            hi = r > hi ? r : hi;
        }
    }
    *c = lo <= hi ? falling_root(pull, &rows, lo, hi) : 0.0;
    return LATHE_OK;
}

/* ---- start and link ---- */

static int32_t check_start(int64_t n, int64_t k, const float *target, const float *weight,
                           double *score, const char *loss, lathe_error *err) {
    for (int64_t j = 0; j < k; j++) {
        score[j] = 0.0;
    }
    const int32_t rc = check_rows(n, target, weight, 0.0, loss, err);
    return rc != LATHE_OK ? rc : check_classes(n, k == 1 ? 2 : k, target, err);
}

static int32_t start(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err) {
    const int32_t rc = check_start(n, k, target, weight, score, "hinge", err);
    return rc != LATHE_OK || k > 1 ? rc : renew(self, n, NULL, target, weight, score, err);
}

/* Σ w (1 - t c)² for |c| <= 1 is least at the mean of t. */
static int32_t squared_start(const void *self, int64_t n, int64_t k, const float *target,
                             const float *weight, double *score, lathe_error *err) {
    (void)self;
    const int32_t rc = check_start(n, k, target, weight, score, "squared_hinge", err);
    if (rc == LATHE_OK && k == 1) {
        score[0] = 2.0 * weighted_mean(n, target, weight) - 1.0;
    }
    return rc;
}

/* score [n, k] → [n, k], rows of k > 1 adding up to 1 */
static int32_t link_score(const void *self, int64_t n, int64_t k, const float *score,
                          float *prediction, lathe_error *err) {
    (void)self;
    (void)err;
    for (int64_t i = 0; k == 1 && i < n; i++) {
        prediction[i] = (float)lathe_sigmoid((double)score[i]);
    }
    for (int64_t i = 0; k > 1 && i < n; i++) {
        const float *s = score + i * k;
        float top = s[0];
        for (int64_t j = 1; j < k; j++) {
            top = s[j] > top ? s[j] : top;
        }
        double sum = 0.0;
        for (int64_t j = 0; j < k; j++) {
            sum += lathe_exp((double)s[j] - (double)top);
        }
        for (int64_t j = 0; j < k;
             j++) { /* s may be the prediction: each is read before it is written */
            prediction[i * k + j] = (float)(lathe_exp((double)s[j] - (double)top) / sum);
        }
    }
    return LATHE_OK;
}

static const lathe_loss hinge = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = value,
    .gradient = gradient,
    .start = start,
    .link = link_score,
    .renew = renew,
};

static const lathe_loss squared_hinge = {
    .struct_size = LATHE_SIZED(lathe_loss),
    .n_scores = n_scores,
    .value = squared_value,
    .gradient = squared_gradient,
    .start = squared_start,
    .link = link_score,
    .renew = squared_renew,
};

static const lathe_descriptor hinge_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LOSS_ZERO_HESSIAN | LATHE_LOSS_UNCALIBRATED,
    .id = "lathe.loss.hinge",
    .kind = LATHE_KIND_LOSS,
    .name = "hinge",
    .version = "1.0.0",
    .doc = "Margin loss max(0, 1 - t s) of support vector machines.",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASKS_CLASSIFICATION,
    .interface = &hinge,
    .create = loss_create,
    .destroy = loss_destroy,
};

static const lathe_descriptor squared_hinge_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LOSS_UNCALIBRATED,
    .id = "lathe.loss.squared_hinge",
    .kind = LATHE_KIND_LOSS,
    .name = "squared_hinge",
    .version = "1.0.0",
    .doc = "Squared margin loss max(0, 1 - t s)².",
    .license = "Apache-2.0",
    .cpu_required = LATHE_CPU_COMPILED,
    .tasks = LATHE_TASKS_CLASSIFICATION,
    .interface = &squared_hinge,
    .create = loss_create,
    .destroy = loss_destroy,
};

LATHE_PLUGIN(&hinge_descriptor, &squared_hinge_descriptor)

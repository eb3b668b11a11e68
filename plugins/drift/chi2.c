/* chi2.c: chi-squared test of homogeneity: are both sides drawn from one distribution over the categories?
 *
 *     χ² = Σ (o − e)² / e over the table of 2 sides × k categories, e = row sum · column sum / N
 *     p  = Q((k − 1) / 2, χ² / 2), the regularized upper incomplete gamma function
 *
 * K. Pearson, Phil. Mag. 50, 1900; no continuity correction. Categories that neither side has are left out. Q by its
 * series and continued fraction (DLMF 8.11.4 and 8.9.2, the latter by Lentz's method), ln Γ by C. Lanczos, SIAM J.
 * Num. Anal. B 1, 1964, with P. Godfrey's coefficients. The threshold of the result is the larger of the χ² at which
 * p is `p_value`, and of the one at which Cramér's V = √(χ² / N) is `effect`: with many values an irrelevant difference
 * must not alert.
 */
#include "drift.h"

typedef struct chi2_config {
    double p_value;
    double effect;
} chi2_config;

static const lathe_param chi2_params[] = {
    LATHE_P_FLOAT(chi2_config, p_value, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_EXCL_MAX, "0.01", 0, 1,
                  "Largest probability of a false alert that is accepted."),
    LATHE_P_FLOAT(chi2_config, effect, 0, "0.05", 0, 1, "Smallest Cramér's V that matters."),
};

/* ln Γ(x), x > 0. */
static double log_gamma(double x) {
    static const double c[] = {
        0.99999999999999709182,    57.156235665862923517,     -59.597960355475491248,
        14.136097974741747174,     -0.49191381609762019978,   .33994649984811888699e-4,
        .46523628927048575665e-4,  -.98374475304879564677e-4, .15808870322491248884e-3,
        -.21026444172410488319e-3, .21743961811521264320e-3,  -.16431810653676389022e-3,
        .84418223983852743293e-4,  -.26190838401581408670e-4, .36899182659531622704e-5};
    double sum = c[0], t = x + 5.24218750000000000; /* 607/128 + 1/2 */
    for (int i = 1; i < 15; i++)
        sum += c[i] / (x + i);
    return (x + 0.5) * lathe_log(t) - t + lathe_log(2.5066282746310005 * sum / x);
}

/* Q(a, x) for a > 0, x >= 0. */
static double upper_gamma(double a, double x) {
    const double tiny = 1e-300;
    if (x <= 0)
        return 1;
    double front = lathe_exp(a * lathe_log(x) - x - log_gamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (int i = 1; i < 100000 && term > sum * 1e-17; i++) {
            term *= x / (a + i);
            sum += term;
        }
        double p = front * sum;
        return p < 1 ? 1 - p : 0;
    }
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, h = d;
    for (int i = 1; i < 100000; i++) {
        double an = -i * (i - a);
        b += 2;
        d = an * d + b;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = b + an / c;
        c = fabs(c) < tiny ? tiny : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-16)
            break;
    }
    return front * h;
}

/* The χ² at which the p-value of `freedom` degrees is p. */
static double critical(double freedom, double p) {
    double low = 0, high = freedom + 10;
    while (upper_gamma(freedom / 2, high / 2) > p && high < 1e300)
        high *= 2;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (upper_gamma(freedom / 2, middle / 2) > p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static int32_t compare(const void *self, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    const chi2_config *config = self;
    double all = r->total + c->total, chi2 = 0;
    int64_t categories = 0;
    int32_t rc = drift_check(r, c, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t b = 0; b < r->n_bins; b++) {
        double column = r->counts[b] + c->counts[b];
        if (column == 0)
            continue;
        double e = column * (r->total / all), f = column * (c->total / all);
        chi2 += (r->counts[b] - e) * (r->counts[b] - e) / e;
        chi2 += (c->counts[b] - f) * (c->counts[b] - f) / f;
        categories++;
    }
    if (categories < 2)
        return drift_give(result, 0, 1, config->effect * config->effect * all);
    double freedom = (double)(categories - 1), chance = critical(freedom, config->p_value);
    double effect = config->effect * config->effect * all;
    return drift_give(result, chi2, upper_gamma(freedom / 2, chi2 / 2),
                      chance > effect ? chance : effect);
}

static const lathe_drift interface = {.struct_size = LATHE_SIZED(lathe_drift), .compare = compare};

DRIFT_DESCRIPTOR(chi2, LATHE_DRIFT_CATEGORICAL | LATHE_DRIFT_GIVES_P_VALUE, interface, chi2_params,
                 chi2_config, "Chi-squared test of the categories' counts.")

/* js.c: Jensen-Shannon distance, base 2, from 0 to 1.
 *
 *     √(½·Σ pᵦ·log₂(pᵦ / mᵦ) + ½·Σ qᵦ·log₂(qᵦ / mᵦ)),  m = (p + q) / 2
 *
 * J. Lin, IEEE Trans. Inf. Theory 37, 1991; its root is a metric: D. M. Endres, J. E. Schindelin, ibid. 49, 2003.
 * Empty bins need no floor.
 */
#include "drift.h"

typedef struct js_config {
    double threshold;
} js_config;

static const lathe_param js_params[] = {
    LATHE_P_FLOAT(js_config, threshold, 0, "0.1", 0, 1, "Above it an alert is raised."),
};

static double part(double p, double m) {
    return p > 0 ? p * lathe_log(p / m) : 0;
}

static int32_t compare(const void *self, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    const js_config *config = self;
    double sum = 0;
    int32_t rc = drift_check(r, c, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t b = 0; b < r->n_bins; b++) {
        double p = r->counts[b] / r->total, q = c->counts[b] / c->total, m = (p + q) / 2;
        sum += part(p, m) + part(q, m);
    }
    double divergence = sum / 2 / 0.6931471805599453; /* ln 2 */
    return drift_give(result, divergence > 0 ? sqrt(divergence) : 0, NAN, config->threshold);
}

static const lathe_drift interface = {.struct_size = LATHE_SIZED(lathe_drift), .compare = compare};

DRIFT_DESCRIPTOR(js, LATHE_DRIFT_NUMERIC | LATHE_DRIFT_CATEGORICAL, interface, js_params, js_config,
                 "Jensen-Shannon distance over the bins, 0 to 1.")

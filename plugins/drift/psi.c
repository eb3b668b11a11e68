/* psi.c: population stability index.
 *
 *     Σ (cᵦ − rᵦ)·ln(cᵦ / rᵦ)
 *
 * over the bins' shares of the current and the reference values: the symmetric divergence of Kullback and Leibler
 * (S. Kullback, R. A. Leibler, Ann. Math. Stat. 22, 1951), known as PSI from N. Siddiqi, "Credit Risk Scorecards",
 * 2006: below 0.1 little, above 0.25 large. A share below `floor` counts as `floor`, so that an empty bin gives a
 * finite value. Expect (bins − 1)·(1/n_r + 1/n_c) without any drift: with few values take few bins.
 */
#include "drift.h"

typedef struct psi_config {
    double threshold;
    double floor;
} psi_config;

static const lathe_param psi_params[] = {
    LATHE_P_FLOAT(psi_config, threshold, 0, "0.2", 0, 100, "Above it an alert is raised."),
    LATHE_P_FLOAT(psi_config, floor, LATHE_PARAM_EXCL_MIN, "0.0001", 0, 0.1,
                  "Share that an empty bin counts as."),
};

static int32_t compare(const void *self, const lathe_distribution *r, const lathe_distribution *c,
                       lathe_drift_result *result, lathe_error *err) {
    const psi_config *config = self;
    double sum = 0;
    int32_t rc = drift_check(r, c, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t b = 0; b < r->n_bins; b++) {
        double p = r->counts[b] / r->total, q = c->counts[b] / c->total;
        if (p == 0 && q == 0)
            continue;
        p = p < config->floor ? config->floor : p;
        q = q < config->floor ? config->floor : q;
        sum += (q - p) * lathe_log(q / p);
    }
    return drift_give(result, sum, NAN, config->threshold);
}

static const lathe_drift interface = {.struct_size = LATHE_SIZED(lathe_drift), .compare = compare};

DRIFT_DESCRIPTOR(psi, LATHE_DRIFT_NUMERIC | LATHE_DRIFT_CATEGORICAL, interface, psi_params,
                 psi_config, "Population stability index over the bins.")

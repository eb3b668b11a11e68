#include "monitor/chance.h"

#include "base/rng.h"
#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>

#define SMALL_MEAN 30 /* below it exactly, by inversion; above it as a rounded normal number */

/* A Poisson number. */
static double draw(double mean, uint64_t key, uint64_t counter) {
    double u, k = 0;
    if (!(mean > 0))
        return 0;
    lathe_rng_f64(key, counter, &u, 1);
    if (mean >= SMALL_MEAN) {
        const double p = u > 0 ? u : 0x1p-54;
        return fmax(0, floor(mean + sqrt(mean) * lathe_normal_quantile(p) + 0.5));
    }
    for (double p = exp(-mean), sum = p; u > sum && k < 200; sum += p)
        p *= mean / ++k;
    return k;
}

/* Counts of one window without drift; false: it has none. */
static bool draw_window(const lathe_distribution *training, double rows, uint64_t key,
                        double *counts, double *total) {
    const int64_t n = training->n_bins;
    double trained = 0;
    *total = 0;
    for (int64_t b = 0; b < n; b++)
        trained += counts[b] = draw(training->counts[b], key, (uint64_t)b);
    for (int64_t b = 0; b < n && trained > 0; b++) {
        counts[b] = draw(rows * counts[b] / trained, key, (uint64_t)(n + b));
        *total += counts[b];
    }
    return *total > 0;
}

int32_t lathe_chance_explains(const lathe_instance *measure, const lathe_distribution *training,
                              const lathe_distribution *window, double statistic, uint64_t key,
                              bool *explains, lathe_error *err) {
    double *counts = calloc((size_t)training->n_bins + 1, sizeof *counts);
    int32_t rc = counts != NULL
                     ? LATHE_OK
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    *explains = false;
    for (uint64_t i = 0; rc == LATHE_OK && !*explains && i < LATHE_CHANCE_DRAWS; i++) {
        lathe_distribution now = *training;
        lathe_drift_result result = {.struct_size = LATHE_SIZED(lathe_drift_result)};
        lathe_error why = {0};
        now.counts = counts;
        now.missing = 0;
        if (!draw_window(training, window->total, lathe_rng_key(key, "window", i), counts,
                         &now.total))
            continue;
        rc = lathe_call_drift(measure, training, &now, &result, &why);
        if (rc == LATHE_E_DATA)
            rc = LATHE_OK; /* a window that cannot be compared is not far away */
        else if (rc != LATHE_OK)
            *err = why;
        else
            *explains = result.statistic >= statistic;
    }
    free(counts);
    return rc;
}

#include "monitor/worse.h"

#include "base/rng.h"
#include "plugin/call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST (LATHE_WORSE_DRAWS / 2) /* draws that have a value */

/* A row that is drawn twice has the weight 2. */
static void draw_rows(uint64_t key, int64_t n, const double *own, double *weights) {
    memset(weights, 0, (size_t)n * sizeof *weights);
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = lathe_rng_below(key, (uint64_t)i, (uint64_t)n);
        weights[at] += own != NULL ? own[at] : 1;
    }
}

/* Sums of the values and of their squares, about the first. */
typedef struct values {
    int64_t n;
    double first, sum, squares;
} values;

static void note(values *v, double value) {
    if (v->n++ == 0)
        v->first = value;
    v->sum += value - v->first;
    v->squares += (value - v->first) * (value - v->first);
}

static double deviation(const values *v) {
    const double n = (double)v->n;
    return v->n >= FEWEST ? sqrt(fmax(0, v->squares - v->sum * v->sum / n) / (n - 1)) : (double)NAN;
}

int32_t lathe_metric_error(const lathe_instance *metric, const lathe_metric_input *input,
                           uint64_t key, double *error, lathe_error *err) {
    lathe_metric_input in = *input;
    values all = {0};
    double *weights = calloc((size_t)(in.n > 0 ? in.n : 0) + 1, sizeof *weights);
    int32_t rc = weights != NULL
                     ? LATHE_OK
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the monitor");
    in.weight = weights;
    for (uint64_t i = 0; rc == LATHE_OK && i < LATHE_WORSE_DRAWS; i++) {
        double value = (double)NAN;
        lathe_error why = {0};
        draw_rows(lathe_rng_key(key, "rows", i), in.n, input->weight, weights);
        rc = lathe_call_metric(metric, &in, &value, &why);
        if (rc == LATHE_E_DATA)
            rc = LATHE_OK; /* undefined for these rows, as a NaN is */
        else if (rc != LATHE_OK)
            *err = why;
        else if (isfinite(value))
            note(&all, value);
    }
    free(weights);
    *error = deviation(&all);
    return rc;
}

double lathe_worse_at_least(double drop, const double errors[2], double confidence, int64_t look) {
    const double pi = 3.14159265358979323846, k = (double)(look > 1 ? look : 1);
    const double alpha = (1 - confidence) * 6 / (pi * pi * k * k);
    return drop -
           lathe_normal_quantile(1 - alpha) * sqrt(errors[0] * errors[0] + errors[1] * errors[1]);
}

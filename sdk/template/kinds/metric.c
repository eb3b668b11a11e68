/* @NAME@: the weighted mean of |prediction - target|. Write your formula and its source here. */
#include <lathe/lathe.h>

#include <math.h>
#include <stdio.h>

static int32_t compute(const void *self, const lathe_metric_input *in, double *value,
                       lathe_error *err) {
    double sum = 0, all = 0;
    (void)self;
    if (in->n < 1) {
        snprintf(err->message, sizeof err->message, "There are no rows.");
        return err->code = LATHE_E_DATA;
    }
    for (int64_t i = 0; i < in->n; i++) {
        const double w = in->weight ? in->weight[i] : 1;
        if (isnan(in->prediction[i])) {
            snprintf(err->message, sizeof err->message, "Row %lld: the prediction is NaN.",
                     (long long)i);
            return err->code = LATHE_E_NUMERIC;
        }
        sum += w * fabs(in->prediction[i] - in->target[i]);
        all += w;
    }
    *value = all > 0 ? sum / all : NAN;
    if (!(all > 0))
        snprintf(err->message, sizeof err->message, "All weights are 0.");
    return LATHE_OK;
}

static const lathe_metric interface = {
    .struct_size = LATHE_SIZED(lathe_metric),
    .compute = compute,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = 0, /* LATHE_METRIC_HIGHER_IS_BETTER, LATHE_METRIC_NEEDS_PROBABILITY */
    .id = "@ID@",
    .kind = LATHE_KIND_METRIC,
    .name = "@NAME@",
    .version = "0.1.0",
    .doc = "Mean absolute error.",
    .license = "Apache-2.0",
    .tasks = LATHE_TASK_BIT(LATHE_TASK_REGRESSION),
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)

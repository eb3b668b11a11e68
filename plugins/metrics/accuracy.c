/* accuracy.c: the share of rows whose class is predicted.
 *
 *     accuracy           Σ w·[p = t] / Σ w
 *     balanced_accuracy  mean over the classes that occur of their recall
 *
 * K. H. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010. A class without
 * weight among the targets is left out of the mean.
 */
#include "confusion.h"

static int32_t accuracy_compute(const void *self, const lathe_metric_input *in, double *value,
                                lathe_error *err) {
    confusion c;
    int32_t rc = confusion_make(self, in, &c, err);
    if (rc == LATHE_OK && c.total > 0)
        *value = c.all_right / c.total;
    else if (rc == LATHE_OK)
        rc = metric_undefined(err, value, METRIC_NO_WEIGHT);
    confusion_free(self, &c);
    return rc;
}

static int32_t balanced_compute(const void *self, const lathe_metric_input *in, double *value,
                                lathe_error *err) {
    confusion c;
    int32_t rc = confusion_make(self, in, &c, err);
    double sum = 0, classes = 0;
    for (int64_t k = 0; k < c.n_classes && rc == LATHE_OK; k++)
        if (c.actual[k] > 0) {
            sum += c.right[k] / c.actual[k];
            classes++;
        }
    if (rc == LATHE_OK && classes > 0)
        *value = sum / classes;
    else if (rc == LATHE_OK)
        rc = metric_undefined(err, value, METRIC_NO_WEIGHT);
    confusion_free(self, &c);
    return rc;
}

static const lathe_metric accuracy_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                                .compute = accuracy_compute};
static const lathe_metric balanced_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                                .compute = balanced_compute};

METRIC_DESCRIPTOR(accuracy, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION,
                  accuracy_interface, "Share of rows whose class is predicted; 1 is perfect.");
METRIC_DESCRIPTOR(balanced_accuracy, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION,
                  balanced_interface, "Mean of the classes' recalls; guessing gives 1 / classes.");

LATHE_PLUGIN(&accuracy_descriptor, &balanced_accuracy_descriptor)

/* f_score.c: precision, recall and their harmonic mean.
 *
 *     precision = right / guessed    recall = right / actual    F1 = 2·precision·recall / (precision + recall)
 *
 * C. J. van Rijsbergen, "Information Retrieval", 2nd ed. 1979, chapter 7. Each 0/0 is 0. Averages:
 *
 *     binary    of the positive class alone
 *     macro     plain mean over the classes that occur among targets or predictions
 *     weighted  mean over them weighted by their weight among the targets
 *     micro     from the sums over all classes
 */
#include "confusion.h"

typedef struct f_score_config {
    int32_t average;
} f_score_config;

enum { AVERAGE_BINARY, AVERAGE_MACRO, AVERAGE_MICRO, AVERAGE_WEIGHTED };
static const char *const average_choices[] = {"binary", "macro", "micro", "weighted", NULL};

static const lathe_task_default average_by_task[] = {
    {LATHE_TASK_BINARY, 0, "\"binary\""}, {LATHE_TASK_MULTICLASS, 0, "\"macro\""}, {0, 0, NULL}};

static const lathe_param f_score_params[] = {
    LATHE_P_ENUM(f_score_config, average, 0, "\"macro\"", average_choices,
                 "Over which classes: binary (the positive one), macro, micro or weighted.",
                 .by_task = average_by_task),
};

typedef struct f_scores {
    double precision;
    double recall;
    double f1;
} f_scores;

static double ratio(double a, double b) {
    return b != 0 ? a / b : 0;
}

static f_scores score_class(double right, double guessed, double actual) {
    f_scores f = {ratio(right, guessed), ratio(right, actual), 0};
    f.f1 = ratio(2 * f.precision * f.recall, f.precision + f.recall);
    return f;
}

static f_scores score_all(const confusion *c, int32_t average, int64_t positive) {
    f_scores sum = {0, 0, 0};
    double weight = 0, right = 0, guessed = 0, actual = 0;
    if (average == AVERAGE_BINARY)
        return score_class(c->right[positive], c->guessed[positive], c->actual[positive]);
    for (int64_t k = 0; k < c->n_classes; k++) {
        if (c->present[k] == 0)
            continue;
        f_scores f = score_class(c->right[k], c->guessed[k], c->actual[k]);
        double w = average == AVERAGE_WEIGHTED ? c->actual[k] : 1;
        sum.precision += w * f.precision;
        sum.recall += w * f.recall;
        sum.f1 += w * f.f1;
        weight += w;
        right += c->right[k];
        guessed += c->guessed[k];
        actual += c->actual[k];
    }
    if (average == AVERAGE_MICRO)
        return score_class(right, guessed, actual);
    return (f_scores){ratio(sum.precision, weight), ratio(sum.recall, weight),
                      ratio(sum.f1, weight)};
}

static int32_t compute(const void *self, const lathe_metric_input *in, f_scores *f,
                       lathe_error *err) {
    const metric_self *s = self;
    const f_score_config *config = s->config;
    confusion c;
    if (config->average == AVERAGE_BINARY && in->n_classes > 2)
        return metric_fail(err, LATHE_E_INVALID,
                           "\"average\" is binary and there are %lld classes; use macro, micro or "
                           "weighted",
                           (long long)in->n_classes);
    int32_t rc = confusion_make(s, in, &c, err);
    if (rc == LATHE_OK)
        *f = score_all(&c, config->average, in->positive == 0 ? 0 : 1);
    confusion_free(s, &c);
    return rc;
}

static int32_t precision_compute(const void *self, const lathe_metric_input *in, double *value,
                                 lathe_error *err) {
    f_scores f = {0, 0, 0};
    int32_t rc = compute(self, in, &f, err);
    *value = f.precision;
    return rc;
}

static int32_t recall_compute(const void *self, const lathe_metric_input *in, double *value,
                              lathe_error *err) {
    f_scores f = {0, 0, 0};
    int32_t rc = compute(self, in, &f, err);
    *value = f.recall;
    return rc;
}

static int32_t f1_compute(const void *self, const lathe_metric_input *in, double *value,
                          lathe_error *err) {
    f_scores f = {0, 0, 0};
    int32_t rc = compute(self, in, &f, err);
    *value = f.f1;
    return rc;
}

static const lathe_metric precision_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                                 .compute = precision_compute};
static const lathe_metric recall_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                              .compute = recall_compute};
static const lathe_metric f1_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                          .compute = f1_compute};

METRIC_DESCRIPTOR(precision, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION,
                  precision_interface, "Share of the rows predicted to be of a class that are.",
                  LATHE_PARAMS(f_score_params, f_score_config));
METRIC_DESCRIPTOR(recall, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION,
                  recall_interface, "Share of the rows of a class that are predicted to be.",
                  LATHE_PARAMS(f_score_params, f_score_config));
METRIC_DESCRIPTOR(f1, LATHE_METRIC_HIGHER_IS_BETTER, LATHE_TASKS_CLASSIFICATION, f1_interface,
                  "Harmonic mean of precision and recall.",
                  LATHE_PARAMS(f_score_params, f_score_config));

LATHE_PLUGIN(&precision_descriptor, &recall_descriptor, &f1_descriptor)

/* monitor/outputs.h: a model's answers as columns, so that they are watched as features are: baseline, counts, drift.
 *
 *     "prediction"    the class, or the value of a regression
 *     "confidence"    of a classification: the probability of the predicted class
 *
 *     double numbers[64];
 *     lathe_outputs view;
 *     lathe_outputs_view(&view, dict, n_classes, &answers, numbers);    // [any] allocates nothing
 *     lathe_live_add_later(waiting, region, &view.table, 0, answers.n);
 */
#ifndef LATHE_MONITOR_OUTPUTS_H
#define LATHE_MONITOR_OUTPUTS_H

#include "data/baseline.h"

typedef struct lathe_answers {
    int64_t n;
    const float *value;       /* [n] of a regression */
    const float *probability; /* [n, n_classes] */
    const int32_t *label;     /* [n] */
} lathe_answers;

typedef struct lathe_outputs {
    lathe_table table;
    lathe_column columns[2];
} lathe_outputs;

/* The names of classes as a dictionary, malloc'ed; their bytes stay the caller's. NULL: out of memory. */
lathe_str *lathe_outputs_dict(const char *const *classes, int64_t n_classes);

/* numbers: [answers->n], filled; the view points to it, to dict and to the labels. n_classes 0: a regression. */
void lathe_outputs_view(lathe_outputs *view, const lathe_str *dict, int64_t n_classes,
                        const lathe_answers *answers, double *numbers);

/* The baseline of a model's answers, to be kept as the member "outputs" of that of its features. */
int32_t lathe_outputs_fit(const char *const *classes, int64_t n_classes,
                          const lathe_answers *answers, cJSON **baseline, lathe_error *err);

#endif

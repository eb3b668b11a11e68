#include "monitor/outputs.h"

#include "data/text.h"

#include <stdlib.h>

lathe_str *lathe_outputs_dict(const char *const *classes, int64_t n_classes) {
    lathe_str *dict = calloc((size_t)n_classes + 1, sizeof *dict);
    for (int64_t i = 0; dict != NULL && i < n_classes; i++)
        dict[i] = lathe_str_of(classes[i]);
    return dict;
}

void lathe_outputs_view(lathe_outputs *view, const lathe_str *dict, int64_t n_classes,
                        const lathe_answers *a, double *numbers) {
    const bool classes = n_classes > 0;
    for (int64_t i = 0; i < a->n; i++)
        numbers[i] =
            classes ? (double)a->probability[i * n_classes + a->label[i]] : (double)a->value[i];
    view->columns[0] =
        classes
            ? (lathe_column){.name = "prediction",
                             .type = LATHE_COLUMN_CATEGORY,
                             .values = (int32_t *)(uintptr_t)a->label,
                             .dict = dict,
                             .dict_size = n_classes}
            : (lathe_column){.name = "prediction", .type = LATHE_COLUMN_FLOAT64, .values = numbers};
    view->columns[1] =
        (lathe_column){.name = "confidence", .type = LATHE_COLUMN_FLOAT64, .values = numbers};
    view->table =
        (lathe_table){.n_rows = a->n, .n_columns = classes ? 2 : 1, .columns = view->columns};
}

int32_t lathe_outputs_fit(const char *const *classes, int64_t n_classes,
                          const lathe_answers *answers, cJSON **out, lathe_error *err) {
    lathe_str *dict = lathe_outputs_dict(classes, n_classes);
    double *numbers = calloc((size_t)answers->n + 1, sizeof *numbers);
    lathe_baseline *baseline = NULL;
    lathe_outputs view;
    int32_t rc = LATHE_OK;
    *out = NULL;
    if (dict == NULL || numbers == NULL) {
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the baseline");
    } else {
        lathe_outputs_view(&view, dict, n_classes, answers, numbers);
        rc = lathe_baseline_fit(&view.table, &baseline, err);
    }
    if (rc == LATHE_OK && (*out = lathe_baseline_to_json(baseline)) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the baseline");
    lathe_baseline_free(baseline);
    free(numbers);
    free(dict);
    return rc;
}

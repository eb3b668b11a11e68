/* From a fitted learner's declared output to predictions: values, probabilities, labels. */
#include "base/size.h"
#include "model/model.h"
#include "plugin/call.h"

#include <lathe/math.h>
#include <stdlib.h>

void lathe_prediction_free(lathe_prediction *p) {
    if (p == NULL)
        return;
    free(p->value);
    free(p->probability);
    free(p->label);
    *p = (lathe_prediction){0};
}

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for predictions");
}

/* malloc'ed float [n, k]; NULL where it does not fit. */
static float *new_floats(int64_t n, int64_t k) {
    int64_t cells;
    size_t bytes;
    if (!lathe_mul_i64(n, k, &cells) || !lathe_count_bytes(cells + 1, sizeof(float), &bytes))
        return NULL;
    return malloc(bytes);
}

/* Softmax of one row of scores, in double, in a fixed order. */
static void softmax_row(const float *score, float *out, int64_t k) {
    double high = score[0], sum = 0;
    for (int64_t c = 1; c < k; c++)
        high = score[c] > high ? score[c] : high;
    for (int64_t c = 0; c < k; c++)
        sum += lathe_exp((double)score[c] - high);
    for (int64_t c = 0; c < k; c++)
        out[c] = (float)(lathe_exp((double)score[c] - high) / sum);
}

void lathe_learner_classes(const lathe_output *output, const float *raw, int64_t n, int64_t k,
                           float *probability, int32_t *label) {
    for (int64_t i = 0; i < n; i++) {
        float *row = probability + i * k;
        const float *in = raw + i * output->n_outputs;
        if (output->n_outputs == 1) { /* binary: P(class 1), or its log-odds */
            row[1] = output->type == LATHE_OUTPUT_SCORE ? (float)lathe_sigmoid(in[0]) : in[0];
            row[0] = 1.0f - row[1];
            label[i] = row[1] >= 0.5f;
            continue;
        }
        if (output->type == LATHE_OUTPUT_SCORE)
            softmax_row(in, row, k);
        else
            for (int64_t c = 0; c < k; c++)
                row[c] = in[c];
        int32_t best = 0;
        for (int64_t c = 1; c < k; c++)
            best = row[c] > row[best] ? (int32_t)c : best;
        label[i] = best;
    }
}

/* Does what the learner declares fit the task? */
static int32_t check_output(const lathe_instance *learner, const lathe_output *output,
                            int64_t n_classes, int64_t stride, lathe_error *err) {
    const char *id = learner->descriptor->id;
    const bool fits = n_classes == 0
                          ? output->n_outputs == 1 && output->type != LATHE_OUTPUT_PROBABILITY
                      : n_classes == 2 ? output->n_outputs == 1 || output->n_outputs == 2
                                       : output->n_outputs == n_classes;
    if (!fits || (n_classes > 0 && output->type == LATHE_OUTPUT_VALUE))
        return lathe_fail(
            err, LATHE_E_SHAPE, id,
            "it declares %lld outputs of type %d, which does not fit a task of %lld classes",
            (long long)output->n_outputs, output->type, (long long)n_classes);
    if (output->n_features < 0 || output->n_features > stride)
        return lathe_fail(err, LATHE_E_SHAPE, id, "it reads %lld features of rows that have %lld",
                          (long long)output->n_features, (long long)stride);
    return LATHE_OK;
}

int32_t lathe_learner_output(const lathe_instance *learner, int64_t n_classes, int64_t stride,
                             lathe_output *output, lathe_error *err) {
    *output = (lathe_output){.struct_size = LATHE_SIZED(lathe_output)};
    int32_t rc = lathe_call_output(learner, output, err);
    return rc == LATHE_OK ? check_output(learner, output, n_classes, stride, err) : rc;
}

int32_t lathe_learner_predict(lathe_runtime *runtime, const lathe_instance *learner, int32_t task,
                              int64_t n_classes, const float *matrix, int64_t n, int64_t stride,
                              lathe_prediction *p, lathe_error *err) {
    (void)runtime;
    (void)task;
    lathe_output output;
    *p = (lathe_prediction){.n = n, .n_classes = n_classes};
    int32_t rc = lathe_learner_output(learner, n_classes, stride, &output, err);
    if (rc != LATHE_OK)
        return rc;
    float *raw = new_floats(n, output.n_outputs);
    if (raw == NULL)
        return no_memory(err);
    rc = lathe_call_predict(learner, n, matrix, stride, raw, err);
    if (rc == LATHE_OK && n_classes == 0) {
        p->value = raw;
        return LATHE_OK;
    }
    if (rc == LATHE_OK) {
        p->probability = new_floats(n, n_classes);
        p->label = malloc(((size_t)n + 1) * sizeof *p->label);
        if (p->probability == NULL || p->label == NULL)
            rc = no_memory(err);
        else
            lathe_learner_classes(&output, raw, n, n_classes, p->probability, p->label);
    }
    free(raw);
    if (rc != LATHE_OK)
        lathe_prediction_free(p);
    return rc;
}

/* children.h: what ensembles share: a context, fitting one child, class probabilities of any child.
 */
#ifndef LATHE_ENSEMBLES_CHILDREN_H
#define LATHE_ENSEMBLES_CHILDREN_H

#include "../learners/support.h"

#include <lathe/math.h>

enum { CHILD_BLOCK = 256 }; /* rows that an ensemble predicts at once */

/* ---- contexts: an ensemble opens its children's at fit ---- */

typedef struct ensemble_context {
    lathe_open open;
    lathe_dataset_info info;
    const float *x;
    int64_t stride;
} ensemble_context;

static inline int32_t ensemble_open(const lathe_host *host, const lathe_open *open, void **context,
                                    lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(host);
    ensemble_context *c = host->alloc(host, sizeof *c);
    lathe_tensor matrix;
    int32_t rc;

    if (c == NULL)
        return fail_memory(err, "a context", sizeof *c);
    c->open = *open;
    c->open.struct_size = LATHE_SIZED(lathe_open);
    c->info.struct_size = LATHE_SIZED(lathe_dataset_info);
    rc = datasets->info(open->data, &c->info);
    if (rc == LATHE_OK)
        rc = datasets->matrix(open->data, &matrix, err);
    if (rc != LATHE_OK) {
        host->free(host, c);
        return rc;
    }
    c->x = (const float *)((const char *)matrix.data + matrix.byte_offset);
    c->stride = matrix.strides != NULL ? matrix.strides[0] : c->info.n_features;
    *context = c;
    return LATHE_OK;
}

/* Outputs of a learner for this task. */
static inline int64_t task_outputs(int32_t task, int64_t n_classes) {
    return task == LATHE_TASK_MULTICLASS ? n_classes : 1;
}

/* ---- one child ---- */

/* What a child must take to be fitted so. */
static inline uint32_t child_needs(const lathe_fit *fit, int32_t task, uint32_t data_flags) {
    uint32_t needs = 0;
    if (fit->rows != NULL || fit->counts != NULL)
        needs |= LATHE_LEARNER_TAKES_ROWS;
    if (fit->features != NULL)
        needs |= LATHE_LEARNER_TAKES_FEATURES;
    if (fit->gradient != NULL)
        needs |= LATHE_LEARNER_TAKES_GRADIENTS;
    else if (fit->weight != NULL || (data_flags & LATHE_DATA_HAS_WEIGHTS))
        needs |= LATHE_LEARNER_TAKES_WEIGHTS;
    if (task == LATHE_TASK_MULTICLASS && fit->gradient == NULL)
        needs |= LATHE_LEARNER_TAKES_MULTICLASS;
    return needs;
}

/* Makes a child, opens the dataset, fits, closes. On an error there is no child. */
static inline int32_t child_fit(const lathe_host *host, const lathe_component *component,
                                uint32_t needs, const lathe_open *open, const lathe_fit *fit,
                                lathe_instance *child, lathe_error *err) {
    const lathe_components *kids = get_components(host);
    const lathe_learner *learner;
    void *context = NULL;
    int32_t rc = kids->create(host, component, needs, open->data, child, err);

    if (rc != LATHE_OK)
        return rc;
    learner = child->interface;
    rc = learner->open(child->self, open, &context, err);
    if (rc == LATHE_OK) {
        rc = learner->fit(child->self, context, fit, err);
        learner->close(child->self, context);
    }
    if (rc != LATHE_OK)
        kids->destroy(host, child);
    return rc;
}

/* What a fitted (or loaded) child gives, checked. */
static inline int32_t child_output(const lathe_instance *child, lathe_output *output,
                                   lathe_error *err) {
    const lathe_learner *learner = child->interface;
    int32_t rc;
    memset(output, 0, sizeof *output);
    output->struct_size = LATHE_SIZED(lathe_output);
    rc = learner->output(child->self, output);
    if (rc != LATHE_OK || output->n_outputs < 1 || output->n_outputs > 65536 ||
        output->type < LATHE_OUTPUT_VALUE || output->type > LATHE_OUTPUT_SCORE)
        return fail(err, rc != LATHE_OK ? rc : LATHE_E_INTERNAL,
                    "The learner \"%s\" does not say what it gives.", child->descriptor->name);
    return LATHE_OK;
}

/* Log-odds to probabilities, in place; k = 1: the sigmoid, else softmax. Row by row. */
static inline void scores_to_probabilities(int64_t n, int64_t k, float *p) {
    for (int64_t i = 0; i < n; i++) {
        float *row = p + i * k;
        double most = row[0], sum = 0;
        if (k == 1) {
            row[0] = (float)lathe_sigmoid((double)row[0]);
            continue;
        }
        for (int64_t c = 1; c < k; c++)
            most = row[c] > most ? row[c] : most;
        for (int64_t c = 0; c < k; c++)
            sum += lathe_exp((double)row[c] - most);
        for (int64_t c = 0; c < k; c++)
            row[c] = (float)(lathe_exp((double)row[c] - most) / sum);
    }
}

/* A child's prediction of n rows as values or probabilities, [n, n_outputs]. */
static inline int32_t child_predict(const lathe_instance *child, const lathe_output *output,
                                    int64_t n, const float *x, int64_t stride, float *out,
                                    void *scratch, lathe_error *err) {
    const lathe_learner *learner = child->interface;
    int32_t rc = learner->predict(child->self, n, x, stride, out, scratch, err);
    if (rc == LATHE_OK && output->type == LATHE_OUTPUT_SCORE)
        scores_to_probabilities(n, output->n_outputs, out);
    return rc;
}

/* ---- children in the state ---- */

static inline void child_name(char *buf, size_t size, const char *what, int64_t i) {
    snprintf(buf, size, "%s.%05lld", what, (long long)i);
}

static inline int32_t children_save(const lathe_writer *w, const char *what,
                                    const lathe_instance *child, int64_t n, lathe_error *err) {
    char name[64];
    for (int64_t i = 0; i < n; i++) {
        child_name(name, sizeof name, what, i);
        int32_t rc = w->child(w, name, &child[i], err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

static inline int32_t children_load(const lathe_reader *r, const char *what, lathe_instance *child,
                                    int64_t n, lathe_error *err) {
    char name[64];
    for (int64_t i = 0; i < n; i++) {
        child_name(name, sizeof name, what, i);
        int32_t rc = r->child(r, name, &child[i], err);
        if (rc != LATHE_OK)
            return rc;
        if (strcmp(child[i].descriptor->kind, LATHE_KIND_LEARNER) != 0 &&
            strcmp(child[i].descriptor->kind, LATHE_KIND_ENSEMBLE) != 0)
            return fail(err, LATHE_E_CORRUPT, "The child \"%s\" is a %s, not a learner.", name,
                        child[i].descriptor->kind);
    }
    return LATHE_OK;
}

#endif

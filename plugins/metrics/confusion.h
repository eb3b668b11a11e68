/* confusion.h: the weighted confusion matrix, reduced to what the metrics of predicted classes need. */
#ifndef LATHE_METRICS_CONFUSION_H
#define LATHE_METRICS_CONFUSION_H

#include "metric.h"

typedef struct confusion {
    int64_t n_classes;
    double *right;    /* [n_classes] weight of rows of this class that were predicted so */
    double *actual;   /* [n_classes] weight of rows of this class */
    double *guessed;  /* [n_classes] weight of rows predicted to be of this class */
    double *present;  /* [n_classes] 1: occurs among targets or predictions, whatever its weight */
    double all_right; /* the sums of right and actual */
    double total;
} confusion;

/* Checks the input and counts. Free with confusion_free. */
static inline int32_t confusion_make(const metric_self *s, const lathe_metric_input *in,
                                     confusion *c, lathe_error *err) {
    memset(c, 0, sizeof *c);
    int32_t rc = metric_check_labels(in, err);
    if (rc != LATHE_OK)
        return rc;
    c->n_classes = in->n_classes;
    c->right = s->host->alloc(s->host, (uint64_t)in->n_classes * 4 * sizeof(double));
    if (c->right == NULL)
        return metric_no_memory(err);
    c->actual = c->right + in->n_classes;
    c->guessed = c->actual + in->n_classes;
    c->present = c->guessed + in->n_classes;
    for (int64_t i = 0; i < in->n; i++) {
        int64_t t = (int64_t)in->target[i], p = (int64_t)in->prediction[i];
        double w = metric_weight(in, i);
        c->actual[t] += w;
        c->guessed[p] += w;
        c->present[t] = c->present[p] = 1;
        if (t == p)
            c->right[t] += w;
    }
    for (int64_t k = 0; k < in->n_classes; k++) {
        c->all_right += c->right[k];
        c->total += c->actual[k];
    }
    return LATHE_OK;
}

static inline void confusion_free(const metric_self *s, confusion *c) {
    s->host->free(s->host, c->right);
}

#endif

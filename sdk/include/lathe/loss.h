/* lathe/loss.h: what training minimises. One loss serves networks, linear models and boosting.
 *
 * Shapes. n rows, k scores a row. score, gradient, hessian: float32 [n, k], row-major. target: float32 [n]:
 * the value for regression; 0 or 1 for a binary task; the class index 0 … k-1 for a multiclass task. A loss is
 * per row and un-normalised; whoever learns multiplies by weights and divides by their sum. It is
 * minimised. Computed in double inside; results must not depend on n (a row alone gives the same bits).
 */
#ifndef LATHE_LOSS_H
#define LATHE_LOSS_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags; descriptor.tasks says which tasks it serves */
enum {
    LATHE_LOSS_ZERO_HESSIAN =
        1u << 0, /* absolute, quantile: hessian() is 1, and a tree's leaves are
                                            * renewed from the residuals by renew() */
    LATHE_LOSS_UNCALIBRATED = 1u << 1, /* link() gives an order, not a probability (hinge) */
    LATHE_LOSS_NON_NEGATIVE_TARGET =
        1u << 2 /* poisson: a negative target is LATHE_E_DATA in start() */
};

typedef struct lathe_loss {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] Scores a row for a task with n_classes classes (0 for regression): 1, or n_classes. */
    int64_t (*n_scores)(const void *self, int32_t task, int64_t n_classes);
    /* [worker] loss[i], double [n]. */
    int32_t (*value)(const void *self, int64_t n, int64_t k, const float *score,
                     const float *target, double *loss, lathe_error *err);
    /* [worker] d loss / d score and, where hessian is not NULL, the diagonal of the second derivative. A
     * convex loss gives hessian >= 0. */
    int32_t (*gradient)(const void *self, int64_t n, int64_t k, const float *score,
                        const float *target, float *gradient, float *hessian, lathe_error *err);
    /* [worker] The constant score[k] (double) that minimises the weighted loss, or a good start; weight may be
     * NULL: all 1. Refuses targets outside the loss's domain with LATHE_E_DATA. */
    int32_t (*start)(const void *self, int64_t n, int64_t k, const float *target,
                     const float *weight, double *score, lathe_error *err);
    /* [worker|serve] Score to prediction: regression: the mean [n, 1]; binary: P(class 1) [n, 1];
     * multiclass: probabilities [n, k]. prediction == score is allowed. */
    int32_t (*link)(const void *self, int64_t n, int64_t k, const float *score, float *prediction,
                    lathe_error *err);
    /* Optional [worker]: the c that minimises sum_i weight[i] * loss(score[i] + c, target[i]) over the n rows
     * of a leaf, k = 1. Mandatory with LATHE_LOSS_ZERO_HESSIAN. weight may be NULL. */
    int32_t (*renew)(const void *self, int64_t n, const float *score, const float *target,
                     const float *weight, double *c, lathe_error *err);
    /* Optional [worker]: the full second derivative, float32 [n, k, k], for losses that couple scores. */
    int32_t (*hessian_block)(const void *self, int64_t n, int64_t k, const float *score,
                             const float *target, float *block, lathe_error *err);
} lathe_loss;

#ifdef __cplusplus
}
#endif
#endif

/* lathe/optimizer.h: a step of gradient descent on one flat vector of parameters.
 *
 * The host (the learner that trains) owns the parameter vector, the gradient and the optimizer's slots:
 * n_slots vectors as long as the parameters, zero before the first step, kept with a checkpoint. The
 * optimizer itself has no state, only its configuration.
 */
#ifndef LATHE_OPTIMIZER_H
#define LATHE_OPTIMIZER_H

#include "host.h"
#include "param.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags */
enum {
    LATHE_OPTIMIZER_ELEMENTWISE =
        1u << 0 /* element i of the result depends on element i alone: the host
                                           * may split the vector over threads with begin and end */
};

enum {
    LATHE_SEGMENT_NO_DECAY = 1u << 0 /* biases: no weight decay */
};

/* A named part of the vector: a weight matrix, a bias. Frozen. */
typedef struct lathe_segment {
    int64_t offset;
    int64_t length; /* rows * cols */
    int64_t rows;
    int64_t cols;
    uint32_t flags;   /* LATHE_SEGMENT_… */
    float rate_scale; /* multiplies the rate, 1 by default */
} lathe_segment;

typedef struct lathe_step {
    uint32_t struct_size;
    uint32_t reserved0;
    int64_t step;          /* 1 for the first step */
    double rate;           /* the learning rate of this step, schedule applied */
    double gradient_scale; /* gradients are multiplied by it first (1 / batch weight, clipping) */
    int64_t n;             /* length of the vector, and the stride of a slot */
    int64_t begin;         /* the elements to step: [begin, end) */
    int64_t end;
    const lathe_segment *segments; /* cover [0, n) in order */
    int64_t n_segments;
    float *param;          /* [n] */
    const float *gradient; /* [n] */
    float *slots;          /* [n_slots, n] */
} lathe_step;

typedef struct lathe_optimizer {
    uint32_t struct_size;
    uint32_t reserved0;
    int64_t (*n_slots)(const void *self); /* [any] */
    double (*rate)(const void *self);     /* [any] the base learning rate of the configuration */
    int32_t (*step)(const void *self, const lathe_step *step, lathe_error *err); /* [worker] */
} lathe_optimizer;

/* lathe.schedule/1: the learning rate over time. */
typedef struct lathe_schedule {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] The rate for a step. step counts from 0; total is the planned number of steps (0: unknown);
     * epoch = step / steps per epoch, fractional. A pure function. */
    double (*rate)(const void *self, double base, int64_t step, int64_t total, double epoch);
} lathe_schedule;

#ifdef __cplusplus
}
#endif
#endif

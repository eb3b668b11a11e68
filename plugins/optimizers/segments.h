/* The walk of an optimizer over its part of the flat parameter vector, segment by segment.
 */
#ifndef LATHE_OPTIMIZERS_SEGMENTS_H
#define LATHE_OPTIMIZERS_SEGMENTS_H

#include <lathe/math.h>
#include <lathe/optimizer.h>

#include <math.h>
#include <stdio.h>

/* What of one segment is to be stepped: n elements that share rate and decay. */
typedef struct stretch {
    int64_t n;
    float *param;          /* [n] */
    const float *gradient; /* [n] */
    float *slots;          /* [n] of slot 0; slot j at slots + j * stride */
    int64_t stride;
    int64_t step;  /* from 1 */
    double rate;   /* with the segment's scale */
    float scale;   /* of the gradients */
    int32_t decay; /* weight decay applies */
} stretch;

typedef void (*stretch_fn)(const void *self, const stretch *s);

/* Calls fn for each segment's share of [begin, end). Refuses a range or segments that do not fit.
 * */
static inline int32_t step_segments(const void *self, const lathe_step *step, stretch_fn fn,
                                    lathe_error *err) {
    if (step->begin < 0 || step->begin > step->end || step->end > step->n || step->step < 1) {
        err->code = LATHE_E_INVALID;
        snprintf(err->message, sizeof err->message,
                 "step %lld of [%lld, %lld) does not fit a vector of %lld parameters; steps count "
                 "from 1",
                 (long long)step->step, (long long)step->begin, (long long)step->end,
                 (long long)step->n);
        return LATHE_E_INVALID;
    }
    int64_t covered = 0; /* segments must follow each other from 0 to n */
    for (int64_t i = 0; i < step->n_segments; i++) {
        const lathe_segment *g = &step->segments[i];
        if (g->offset != covered || g->length < 0 || g->length > step->n - covered) {
            break;
        }
        covered += g->length;
    }
    if (covered != step->n) {
        err->code = LATHE_E_SHAPE;
        snprintf(
            err->message, sizeof err->message,
            "the segments cover %lld of %lld parameters; they must follow each other without gaps",
            (long long)covered, (long long)step->n);
        return LATHE_E_SHAPE;
    }
    for (int64_t i = 0; i < step->n_segments; i++) {
        const lathe_segment *g = &step->segments[i];
        const int64_t lo = g->offset > step->begin ? g->offset : step->begin;
        const int64_t end = g->offset + g->length;
        const int64_t hi = end < step->end ? end : step->end;
        if (lo >= hi) {
            continue;
        }
        const stretch s = {.n = hi - lo,
                           .param = step->param + lo,
                           .gradient = step->gradient + lo,
                           .slots = step->slots == NULL ? NULL : step->slots + lo,
                           .stride = step->n,
                           .step = step->step,
                           .rate = step->rate * (double)g->rate_scale,
                           .scale = (float)step->gradient_scale,
                           .decay = (g->flags & LATHE_SEGMENT_NO_DECAY) == 0};
        fn(self, &s);
    }
    return LATHE_OK;
}

/* The learning rate's row of a parameter table. */
#define PARAM_RATE(type, def)                                                                      \
    LATHE_P_FLOAT(type, learning_rate, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, def, 0, 1e6,    \
                  "Base step size, before the schedule.", .scale = LATHE_SCALE_LOG)
#define PARAM_DECAY(type, def, text)                                                               \
    LATHE_P_FLOAT(type, weight_decay, LATHE_PARAM_TUNABLE, def, 0, 1e6, text)
#define PARAM_EPS(type, def)                                                                       \
    LATHE_P_FLOAT(type, eps, 0, def, 0, 1, "Added to the root that a step is divided by.")

#endif

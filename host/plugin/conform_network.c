/* Checks of what networks are made of: activations, losses, optimizers, schedules. */
#include "plugin/conform_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 5
#define COLS 7
#define CELLS (ROWS * COLS)

/* ---- activations ---- */

/* Values of every size and sign, at no kink such as 0. */
static void fill(float *x) {
    for (int i = 0; i < CELLS; i++)
        x[i] = (float)((i * 37 % CELLS - CELLS / 2) * 0.171 + 0.013);
}

static int32_t forward(const lathe_instance *a, int64_t rows, int64_t cols, const float *x,
                       float *y, lathe_error *err) {
    const lathe_activation *table = a->interface;
    return table->forward(a->self, rows, cols, x, y, err);
}

/* The slope of forward in the direction dy at one cell, by central differences in double. */
static double slope_at(const lathe_instance *a, const float *x, const float *dy, int i,
                       lathe_error *err) {
    _Alignas(64) float moved[CELLS], high[CELLS], low[CELLS];
    const float step = 1e-2f;
    double sum = 0;
    memcpy(moved, x, sizeof moved);
    moved[i] = x[i] + step;
    const float up = moved[i];
    int32_t rc = forward(a, ROWS, COLS, moved, high, err);
    moved[i] = x[i] - step;
    const float down = moved[i];
    if (rc == LATHE_OK)
        rc = forward(a, ROWS, COLS, moved, low, err);
    if (rc != LATHE_OK)
        return NAN;
    for (int k = 0; k < CELLS; k++)
        sum += (double)dy[k] * ((double)high[k] - (double)low[k]);
    return sum / ((double)up - (double)down);
}

static int32_t check_slope(conform *c, const lathe_instance *a, lathe_error *err) {
    _Alignas(64) float x[CELLS], y[CELLS], dy[CELLS], dx[CELLS];
    const lathe_activation *table = a->interface;
    const bool input = (c->d->flags & LATHE_ACTIVATION_NEEDS_INPUT) != 0,
               output = (c->d->flags & LATHE_ACTIVATION_NEEDS_OUTPUT) != 0;
    fill(x);
    for (int i = 0; i < CELLS; i++)
        dy[i] = 1.0f + (float)(i % 3) * 0.5f;
    int32_t rc = forward(a, ROWS, COLS, x, y, err);
    if (rc == LATHE_OK)
        rc = table->backward(a->self, ROWS, COLS, input ? x : NULL, output ? y : NULL, dy, dx, err);
    for (int i = 0; rc == LATHE_OK && i < CELLS; i++) {
        const double slope = slope_at(a, x, dy, i, err);
        if (!(fabs(slope - (double)dx[i]) <= 2e-2 * (1 + fabs(slope))))
            return conform_fault(err, "at x = %g backward gives %g; forward rises by %g there",
                                 (double)x[i], (double)dx[i], slope);
    }
    return rc;
}

/* A tile of one row, and one in place, give the bits of the whole. */
static int32_t check_tiles(conform *c, const lathe_instance *a, lathe_error *err) {
    _Alignas(64) float x[CELLS], y[CELLS], row[COLS], in[COLS];
    fill(x);
    int32_t rc = forward(a, ROWS, COLS, x, y, err);
    for (int r = 0; rc == LATHE_OK && r < ROWS; r++) {
        const bool in_place = (c->d->flags & LATHE_ACTIVATION_INPLACE) != 0 && r % 2 == 1;
        memcpy(in, x + r * COLS, sizeof in);
        rc = forward(a, 1, COLS, in, in_place ? in : row, err);
        for (int k = 0; rc == LATHE_OK && k < COLS; k++)
            if (!conform_same_float((in_place ? in : row)[k], y[r * COLS + k]))
                return conform_fault(err, "x = %g gives %.9g in a tile of %d rows, and %.9g %s",
                                     (double)x[r * COLS + k], (double)y[r * COLS + k], ROWS,
                                     (double)(in_place ? in : row)[k],
                                     in_place ? "in place" : "in a row alone");
    }
    return rc;
}

/* NaN in gives NaN out; no value traps or makes one. */
static int32_t check_extremes(conform *c, const lathe_instance *a, lathe_error *err) {
    static const float extremes[] = {0.0f,    -0.0f,  FLT_MAX, -FLT_MAX,
                                     FLT_MIN, 1e-42f, 100.0f,  -100.0f};
    enum { N = sizeof extremes / sizeof *extremes };
    (void)c;
    _Alignas(64) float x[N], y[N];
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++)
            x[k] = 0.5f;
        x[0] = extremes[i];
        const int32_t rc = forward(a, 1, N, x, y, err);
        if (rc != LATHE_OK)
            return rc;
        if (isnan(y[0]))
            return conform_fault(err, "x = %g gives NaN", (double)extremes[i]);
    }
    x[0] = NAN;
    const int32_t rc = forward(a, 1, N, x, y, err);
    if (rc == LATHE_OK && !isnan(y[0]))
        return conform_fault(err, "NaN gives %g; expected NaN", (double)y[0]);
    return rc;
}

static int32_t with_instance(conform *c,
                             int32_t (*check)(conform *, const lathe_instance *, lathe_error *),
                             lathe_error *err) {
    lathe_instance a;
    int32_t rc = conform_create(c, &a, err);
    if (rc == LATHE_OK)
        rc = check(c, &a, err);
    lathe_instance_destroy(&a);
    return rc;
}

static int32_t slope(conform *c, lathe_error *err) {
    return with_instance(c, check_slope, err);
}

static int32_t tiles(conform *c, lathe_error *err) {
    return with_instance(c, check_tiles, err);
}

static int32_t extremes(conform *c, lathe_error *err) {
    return with_instance(c, check_extremes, err);
}

const conform_check conform_activation[] = {
    {"backward is the slope of forward", slope},
    {"a row gives the same bits alone, among others and in place", tiles},
    {"NaN stays NaN, and no other value becomes one", extremes},
    {0}};

/* ---- losses ---- */

#define N 12

static int64_t scores_of(const conform *c, const lathe_instance *a) {
    const lathe_loss *table = a->interface;
    return table->n_scores(a->self, c->task,
                           c->task == LATHE_TASK_REGRESSION ? 0
                           : c->task == LATHE_TASK_BINARY   ? 2
                                                            : 3);
}

/* Scores between kinks, targets of the task. k <= 3. */
static void fill_rows(const conform *c, int64_t k, float *score, float *target) {
    for (int i = 0; i < N; i++) {
        for (int64_t j = 0; j < k; j++)
            score[i * k + j] = (float)((i * 7 + j * 5) % 11 - 5) * 0.29f + 0.043f;
        target[i] = c->task == LATHE_TASK_REGRESSION ? (float)(i % 4) + 0.25f
                    : c->task == LATHE_TASK_BINARY   ? (float)(i % 2)
                                                     : (float)(i % 3);
    }
}

static int32_t check_gradient(conform *c, const lathe_instance *a, lathe_error *err) {
    const lathe_loss *t = a->interface;
    const int64_t k = scores_of(c, a);
    float score[N * 3], target[N], g[N * 3], h[N * 3];
    if (k < 1 || k > 3)
        return conform_fault(err, "n_scores is %lld; expected 1, or one a class", (long long)k);
    fill_rows(c, k, score, target);
    int32_t rc = t->gradient(a->self, N, k, score, target, g, h, err);
    for (int64_t i = 0; rc == LATHE_OK && i < N * k; i++) {
        double high[N], low[N];
        const float was = score[i], step = 1e-2f;
        score[i] = was + step;
        const float up = score[i];
        rc = t->value(a->self, N, k, score, target, high, err);
        score[i] = was - step;
        const double width = (double)up - (double)score[i];
        if (rc == LATHE_OK)
            rc = t->value(a->self, N, k, score, target, low, err);
        score[i] = was;
        const double rise = (high[i / k] - low[i / k]) / width;
        if (rc == LATHE_OK && !(fabs(rise - (double)g[i]) <= 1e-2 * (1 + fabs(rise))))
            return conform_fault(err,
                                 "at score %g, target %g the gradient is %g; the value rises by %g",
                                 (double)was, (double)target[i / k], (double)g[i], rise);
        if (rc == LATHE_OK && !(h[i] >= 0))
            return conform_fault(err,
                                 "at score %g, target %g the hessian is %g; expected 0 or more",
                                 (double)was, (double)target[i / k], (double)h[i]);
    }
    return rc;
}

static int32_t check_rows_alone(conform *c, const lathe_instance *a, lathe_error *err) {
    const lathe_loss *t = a->interface;
    const int64_t k = scores_of(c, a);
    float score[N * 3], target[N], g[N * 3], alone[3];
    double value[N], one;
    fill_rows(c, k, score, target);
    int32_t rc = t->gradient(a->self, N, k, score, target, g, NULL, err);
    if (rc == LATHE_OK)
        rc = t->value(a->self, N, k, score, target, value, err);
    for (int i = 0; rc == LATHE_OK && i < N; i++) {
        rc = t->gradient(a->self, 1, k, score + i * k, target + i, alone, NULL, err);
        if (rc == LATHE_OK)
            rc = t->value(a->self, 1, k, score + i * k, target + i, &one, err);
        for (int64_t j = 0; rc == LATHE_OK && j < k; j++)
            if (!conform_same_float(alone[j], g[i * k + j]) || !conform_same_double(one, value[i]))
                return conform_fault(err,
                                     "row %d has gradient %.9g and value %.17g among others, "
                                     "%.9g and %.17g alone",
                                     i, (double)g[i * k + j], value[i], (double)alone[j], one);
    }
    return rc;
}

/* start() is no worse than a little more or less; link() gives what the task asks for. */
static int32_t check_start(conform *c, const lathe_instance *a, lathe_error *err) {
    const lathe_loss *t = a->interface;
    const int64_t k = scores_of(c, a);
    float score[N * 3], target[N], link[N * 3];
    double begin[3];
    fill_rows(c, k, score, target);
    int32_t rc = t->start(a->self, N, k, target, NULL, begin, err);
    for (int64_t j = 0; rc == LATHE_OK && j < k; j++)
        if (!isfinite(begin[j]))
            return conform_fault(err, "start gives %g", begin[j]);
    if (rc == LATHE_OK)
        rc = t->link(a->self, N, k, score, link, err);
    for (int64_t i = 0; rc == LATHE_OK && i < N * k; i++)
        if (!isfinite(link[i]) ||
            (c->task != LATHE_TASK_REGRESSION && (link[i] < 0 || link[i] > 1) &&
             (c->d->flags & LATHE_LOSS_UNCALIBRATED) == 0))
            return conform_fault(err, "link gives %g for the score %g; expected %s",
                                 (double)link[i], (double)score[i],
                                 c->task == LATHE_TASK_REGRESSION ? "a number" : "0 to 1");
    for (int i = 0; rc == LATHE_OK && c->task == LATHE_TASK_MULTICLASS && i < N; i++) {
        const double sum = (double)link[i * 3] + (double)link[i * 3 + 1] + (double)link[i * 3 + 2];
        if (k == 3 && fabs(sum - 1) > 1e-4)
            return conform_fault(err, "the probabilities of row %d sum to %g", i, sum);
    }
    return rc;
}

static int32_t gradient(conform *c, lathe_error *err) {
    return with_instance(c, check_gradient, err);
}

static int32_t rows_alone(conform *c, lathe_error *err) {
    return with_instance(c, check_rows_alone, err);
}

static int32_t start(conform *c, lathe_error *err) {
    return with_instance(c, check_start, err);
}

const conform_check conform_loss[] = {
    {"the gradient is the slope of the value, the hessian not negative", gradient},
    {"a row gives the same bits alone and among others", rows_alone},
    {"the start score is a number, and link gives a prediction", start},
    {0}};

/* ---- optimizers ---- */

#define P 24

typedef struct descent {
    float param[P], gradient[P], *slots; /* [n_slots, P] */
    int64_t n_slots;
} descent;

static double bowl(const descent *s) {
    double sum = 0;
    for (int i = 0; i < P; i++)
        sum += (double)s->param[i] * (double)s->param[i] / 2;
    return sum;
}

static bool begin_descent(const lathe_instance *a, descent *s) {
    s->n_slots = ((const lathe_optimizer *)a->interface)->n_slots(a->self);
    if (s->n_slots < 0 || s->n_slots > 1000)
        return false;
    s->slots = calloc((size_t)s->n_slots * P + 1, sizeof *s->slots);
    for (int i = 0; i < P; i++)
        s->param[i] = (float)(i % 7 - 3) * 0.5f + 0.25f;
    return s->slots != NULL;
}

/* One step on the bowl sum(p^2) / 2, over [begin, end). */
static int32_t step_on(const lathe_instance *a, descent *s, int64_t step, int64_t begin,
                       int64_t end, lathe_error *err) {
    static const lathe_segment segments[] = {{0, 16, 4, 4, 0, 1},
                                             {16, 8, 1, 8, LATHE_SEGMENT_NO_DECAY, 1}};
    const lathe_optimizer *t = a->interface;
    const lathe_step call = {.struct_size = LATHE_SIZED(lathe_step),
                             .step = step,
                             .rate = t->rate(a->self),
                             .gradient_scale = 1,
                             .n = P,
                             .begin = begin,
                             .end = end,
                             .segments = segments,
                             .n_segments = 2,
                             .param = s->param,
                             .gradient = s->gradient,
                             .slots = s->slots};
    return t->step(a->self, &call, err);
}

static int32_t check_descent(conform *c, const lathe_instance *a, lathe_error *err) {
    const lathe_optimizer *t = a->interface;
    descent s = {.slots = NULL};
    int32_t rc = LATHE_OK;
    (void)c;
    if (!(t->rate(a->self) > 0))
        return conform_fault(err, "the base rate is %g; expected more than 0", t->rate(a->self));
    if (!begin_descent(a, &s))
        return conform_fault(err, "n_slots is %lld", (long long)s.n_slots);
    const double at_first = bowl(&s);
    for (int64_t step = 1; rc == LATHE_OK && step <= 100; step++) {
        memcpy(s.gradient, s.param, sizeof s.gradient);
        rc = step_on(a, &s, step, 0, P, err);
    }
    if (rc == LATHE_OK && !(bowl(&s) < at_first))
        rc = conform_fault(err, "a hundred steps down a bowl lead from %g to %g", at_first,
                           bowl(&s));
    free(s.slots);
    return rc;
}

/* An elementwise one may be split over threads. */
static int32_t check_split(conform *c, const lathe_instance *a, lathe_error *err) {
    descent whole = {.slots = NULL}, parts = {.slots = NULL};
    int32_t rc = LATHE_OK;
    if ((c->d->flags & LATHE_OPTIMIZER_ELEMENTWISE) == 0)
        return conform_skip(err, "it is not elementwise");
    if (!begin_descent(a, &whole) || !begin_descent(a, &parts)) {
        free(whole.slots);
        return conform_fault(err, "out of memory");
    }
    for (int64_t step = 1; rc == LATHE_OK && step <= 5; step++) {
        memcpy(whole.gradient, whole.param, sizeof whole.gradient);
        memcpy(parts.gradient, parts.param, sizeof parts.gradient);
        rc = step_on(a, &whole, step, 0, P, err);
        for (int64_t at = 0; rc == LATHE_OK && at < P; at += 5)
            rc = step_on(a, &parts, step, at, at + 5 < P ? at + 5 : P, err);
    }
    if (rc == LATHE_OK && memcmp(whole.param, parts.param, sizeof whole.param) != 0)
        rc = conform_fault(err, "steps in pieces give other bits than whole ones");
    free(whole.slots);
    free(parts.slots);
    return rc;
}

static int32_t descends(conform *c, lathe_error *err) {
    return with_instance(c, check_descent, err);
}

static int32_t splits(conform *c, lathe_error *err) {
    return with_instance(c, check_split, err);
}

const conform_check conform_optimizer[] = {
    {"it goes down a bowl", descends},
    {"pieces of the vector give the bits of the whole", splits},
    {0}};

/* ---- schedules ---- */

static int32_t check_rates(conform *c, const lathe_instance *a, lathe_error *err) {
    static const int64_t totals[] = {0, 1, 1000};
    const lathe_schedule *t = a->interface;
    (void)c;
    for (int k = 0; k < 3; k++)
        for (int64_t step = 0; step < 2000; step += 37) {
            const double epoch = (double)step / 100;
            const double rate = t->rate(a->self, 0.1, step, totals[k], epoch);
            if (!(rate >= 0) || !isfinite(rate))
                return conform_fault(err, "the rate of step %lld of %lld is %g", (long long)step,
                                     (long long)totals[k], rate);
            if (!conform_same_double(rate, t->rate(a->self, 0.1, step, totals[k], epoch)))
                return conform_fault(err, "asked again for step %lld it gives another rate",
                                     (long long)step);
        }
    return LATHE_OK;
}

static int32_t rates(conform *c, lathe_error *err) {
    return with_instance(c, check_rates, err);
}

const conform_check conform_schedule[] = {
    {"every step has a rate from 0, the same whenever it is asked for", rates}, {0}};

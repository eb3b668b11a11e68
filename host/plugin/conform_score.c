/* Checks of what judges: metrics and drift scores. */
#include "plugin/conform_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- metrics ---- */

#define N 24

typedef struct answers {
    double target[2 * N], prediction[2 * N], probability[2 * N * 3], weight[2 * N];
    lathe_metric_input in;
} answers;

/* Predictions that are right with a chance of three in four. */
static void make_answers(const conform *c, answers *a) {
    const int k = c->task == LATHE_TASK_REGRESSION ? 0 : c->task == LATHE_TASK_BINARY ? 2 : 3;
    for (int i = 0; i < N; i++) {
        a->target[i] = k > 0 ? i % k : (double)(i % 7) + 1.5;
        a->prediction[i] = i % 4 != 1 ? a->target[i] : k > 0 ? (i + 1) % k : a->target[i] + 0.5;
        a->weight[i] = 1;
        double left = 1;
        for (int j = 0; j < k; j++) {
            const double p = j == (int)a->prediction[i] ? 0.6 + 0.001 * i : 0.4 / (k - 1);
            a->probability[i * k + j] = j + 1 < k ? p : left;
            left -= a->probability[i * k + j];
        }
    }
    a->in = (lathe_metric_input){.struct_size = LATHE_SIZED(lathe_metric_input),
                                 .task = c->task,
                                 .n = N,
                                 .n_classes = k,
                                 .positive = 1,
                                 .target = a->target,
                                 .prediction = a->prediction,
                                 .probability = k > 0 ? a->probability : NULL};
}

static int32_t with_metric(conform *c,
                           int32_t (*check)(const lathe_instance *, answers *, lathe_error *),
                           lathe_error *err) {
    lathe_instance m;
    answers a;
    make_answers(c, &a);
    int32_t rc = conform_create(c, &m, err);
    if (rc == LATHE_OK)
        rc = check(&m, &a, err);
    lathe_instance_destroy(&m);
    return rc;
}

static int32_t check_value(const lathe_instance *m, answers *a, lathe_error *err) {
    double value = 0, again = 0;
    int32_t rc = lathe_call_metric(m, &a->in, &value, err);
    if (rc == LATHE_OK)
        rc = lathe_call_metric(m, &a->in, &again, err);
    if (rc == LATHE_OK && !isfinite(value))
        return conform_fault(err, "it gives %g", value);
    if (rc == LATHE_OK && !conform_same_double(value, again))
        return conform_fault(err, "asked again it gives another value");
    return rc;
}

/* A row of weight 2 counts as two. */
static int32_t check_weights(const lathe_instance *m, answers *a, lathe_error *err) {
    double weighted = 0, repeated = 0;
    const int64_t k = a->in.n_classes;
    for (int i = 0; i < N; i += 3)
        a->weight[i] = 2;
    a->in.weight = a->weight;
    int32_t rc = lathe_call_metric(m, &a->in, &weighted, err);
    for (int i = 0; i < N; i += 3) {
        const int64_t to = a->in.n++;
        a->target[to] = a->target[i];
        a->prediction[to] = a->prediction[i];
        memcpy(a->probability + to * k, a->probability + i * k, (size_t)k * sizeof(double));
    }
    a->in.weight = NULL;
    if (rc == LATHE_OK)
        rc = lathe_call_metric(m, &a->in, &repeated, err);
    if (rc == LATHE_OK && !(fabs(weighted - repeated) <= 1e-9 * (1 + fabs(repeated))))
        return conform_fault(err, "rows of weight 2 give %.12g; the same rows twice %.12g",
                             weighted, repeated);
    return rc;
}

/* Right answers are judged no worse than wrong ones. */
static int32_t judge(const lathe_instance *m, answers *a, bool right, double *value,
                     lathe_error *err) {
    const int64_t k = a->in.n_classes;
    for (int i = 0; i < N; i++) {
        a->prediction[i] = right   ? a->target[i]
                           : k > 0 ? (double)(((int64_t)a->target[i] + 1) % k)
                                   : a->target[i] * -3 - 7;
        for (int64_t j = 0; j < k; j++)
            a->probability[i * k + j] =
                j == (int64_t)a->prediction[i] ? 0.9 : 0.1 / (double)(k - 1);
    }
    return lathe_call_metric(m, &a->in, value, err);
}

static int32_t check_direction(const lathe_instance *m, answers *a, lathe_error *err) {
    double right = 0, wrong = 0;
    const bool higher = (m->descriptor->flags & LATHE_METRIC_HIGHER_IS_BETTER) != 0;
    int32_t rc = judge(m, a, true, &right, err);
    if (rc == LATHE_OK)
        rc = judge(m, a, false, &wrong, err);
    if (rc == LATHE_OK && isfinite(right) && isfinite(wrong) &&
        (higher ? right < wrong : right > wrong))
        return conform_fault(err, "right answers give %g, wrong ones %g; %s is said to be better",
                             right, wrong, higher ? "higher" : "lower");
    return rc;
}

/* LATHE_E_DATA, not a number. */
static int32_t check_nothing(const lathe_instance *m, answers *a, lathe_error *err) {
    double value = 0;
    a->in.n = 0;
    const int32_t rc = lathe_call_metric(m, &a->in, &value, err);
    if (rc == LATHE_E_DATA)
        return LATHE_OK;
    return conform_fault(err, "without rows it gives %g, code %d; expected LATHE_E_DATA", value,
                         rc);
}

static int32_t value(conform *c, lathe_error *err) {
    return with_metric(c, check_value, err);
}

static int32_t weights(conform *c, lathe_error *err) {
    return with_metric(c, check_weights, err);
}

static int32_t direction(conform *c, lathe_error *err) {
    return with_metric(c, check_direction, err);
}

static int32_t nothing(conform *c, lathe_error *err) {
    return with_metric(c, check_nothing, err);
}

const conform_check conform_metric[] = {{"it gives a number, the same each time", value},
                                        {"a weight of 2 is a row twice", weights},
                                        {"right answers are no worse than wrong ones", direction},
                                        {"no rows are refused", nothing},
                                        {0}};

/* ---- drift ---- */

#define BINS 8

typedef struct side {
    double edges[BINS - 1], counts[BINS], lower[BINS], upper[BINS];
    lathe_distribution d;
} side;

/* `shift` bins to the right. */
static void make_side(side *s, bool categorical, int shift, double scale) {
    for (int b = 0; b < BINS; b++) {
        s->counts[b] = scale * (10 + 5 * (b % 3));
        if (shift > 0)
            s->counts[b] = b < BINS / 2 ? 0 : scale * 25;
        if (b + 1 < BINS)
            s->edges[b] = b;
        s->lower[b] = s->counts[b] > 0 ? b - 0.9 : NAN;
        s->upper[b] = s->counts[b] > 0 ? b - 0.1 : NAN;
    }
    s->d = (lathe_distribution){.struct_size = LATHE_SIZED(lathe_distribution),
                                .categorical = categorical,
                                .n_bins = BINS,
                                .edges = categorical ? NULL : s->edges,
                                .counts = s->counts,
                                .lower = categorical ? NULL : s->lower,
                                .upper = categorical ? NULL : s->upper};
    for (int b = 0; b < BINS; b++)
        s->d.total += s->counts[b];
}

static bool serves(const conform *c, bool categorical) {
    return (c->d->flags & (categorical ? LATHE_DRIFT_CATEGORICAL : LATHE_DRIFT_NUMERIC)) != 0;
}

typedef int32_t (*on_drift)(const lathe_instance *d, bool categorical, lathe_error *err);

/* For each type of column that it serves. */
static int32_t with_drift(conform *c, on_drift check, lathe_error *err) {
    lathe_instance d;
    if (!serves(c, false) && !serves(c, true))
        return conform_fault(err, "its flags name neither numeric nor categorical columns");
    int32_t rc = conform_create(c, &d, err);
    for (int categorical = 0; rc == LATHE_OK && categorical < 2; categorical++)
        if (serves(c, categorical == 1))
            rc = check(&d, categorical == 1, err);
    lathe_instance_destroy(&d);
    return rc;
}

static int32_t compare(const lathe_instance *d, const side *a, const side *b,
                       lathe_drift_result *result, lathe_error *err) {
    *result = (lathe_drift_result){.struct_size = LATHE_SIZED(lathe_drift_result)};
    return lathe_call_drift(d, &a->d, &b->d, result, err);
}

static int32_t check_same(const lathe_instance *d, bool categorical, lathe_error *err) {
    side a, b;
    lathe_drift_result r;
    make_side(&a, categorical, 0, 10);
    make_side(&b, categorical, 0, 20);
    const int32_t rc = compare(d, &a, &b, &r, err);
    if (rc == LATHE_OK && !(fabs(r.statistic) <= 1e-9 && r.alert == 0))
        return conform_fault(err, "the same distribution, %s, gives %g%s; expected 0",
                             categorical ? "categorical" : "numeric", r.statistic,
                             r.alert ? " and an alert" : "");
    return rc;
}

static int32_t check_moved(const lathe_instance *d, bool categorical, lathe_error *err) {
    side a, b;
    lathe_drift_result r;
    make_side(&a, categorical, 0, 1000);
    make_side(&b, categorical, 1, 1000);
    const int32_t rc = compare(d, &a, &b, &r, err);
    if (rc == LATHE_OK && !(r.statistic > 0 && isfinite(r.statistic)))
        return conform_fault(err,
                             "a distribution that has moved, %s, gives %g; expected more than 0",
                             categorical ? "categorical" : "numeric", r.statistic);
    if (rc == LATHE_OK && (d->descriptor->flags & LATHE_DRIFT_GIVES_P_VALUE) != 0 &&
        !(r.p_value >= 0 && r.p_value <= 1))
        return conform_fault(err, "its p value is %g", r.p_value);
    return rc;
}

static int32_t check_empty(const lathe_instance *d, bool categorical, lathe_error *err) {
    side a, b;
    lathe_drift_result r;
    make_side(&a, categorical, 0, 10);
    make_side(&b, categorical, 0, 0);
    const int32_t rc = compare(d, &a, &b, &r, err);
    if (rc == LATHE_E_DATA)
        return LATHE_OK;
    return conform_fault(err, "an empty side gives %g, code %d; expected LATHE_E_DATA", r.statistic,
                         rc);
}

static int32_t same(conform *c, lathe_error *err) {
    return with_drift(c, check_same, err);
}

static int32_t moved(conform *c, lathe_error *err) {
    return with_drift(c, check_moved, err);
}

static int32_t empty(conform *c, lathe_error *err) {
    return with_drift(c, check_empty, err);
}

const conform_check conform_drift[] = {{"equal shares are no drift, however many rows", same},
                                       {"what has moved is", moved},
                                       {"an empty side is refused", empty},
                                       {0}};

/* The losses: values in closed form, gradients and hessians against central differences of a long
 * double reference, start and renew against perturbation of the weighted loss, and what must be
 * refused.
 */
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

typedef long double real;

/* ---- the losses once more, naively, of one row ---- */

typedef real (*loss_ref)(int k, const real *s, real y, real parameter);

static real mse_ref(int k, const real *s, real y, real p) {
    (void)k;
    (void)p;
    return (s[0] - y) * (s[0] - y);
}
static real mae_ref(int k, const real *s, real y, real p) {
    (void)k;
    (void)p;
    return fabsl(s[0] - y);
}
static real huber_ref(int k, const real *s, real y, real p) {
    (void)k;
    const real a = fabsl(s[0] - y);
    return a <= p ? a * a / 2 : p * (a - p / 2);
}
static real quantile_ref(int k, const real *s, real y, real p) {
    (void)k;
    return y >= s[0] ? p * (y - s[0]) : (1 - p) * (s[0] - y);
}
static real poisson_ref(int k, const real *s, real y, real p) {
    (void)k;
    (void)p;
    const real mu = expl(s[0]);
    return (y > 0 ? y * logl(y / mu) : 0) - (y - mu);
}
static real cross_entropy_ref(int k, const real *s, real y, real p) {
    if (k == 1) {
        const real t = y * (1 - p) + p / 2;
        return t * logl(1 + expl(-s[0])) + (1 - t) * logl(1 + expl(s[0]));
    }
    real sum = 0;
    real loss = 0;
    for (int j = 0; j < k; j++) {
        sum += expl(s[j]);
    }
    for (int j = 0; j < k; j++) {
        loss -= ((j == (int)y ? 1 - p : 0) + p / k) * (s[j] - logl(sum));
    }
    return loss;
}
static real hinge_ref(int k, const real *s, real y, real p) {
    (void)p;
    real m = 0;
    if (k == 1) {
        m = 1 - (y > 0 ? s[0] : -s[0]);
    } else {
        for (int j = 0; j < k; j++) {
            const real other = 1 + s[j] - s[(int)y];
            m = j != (int)y && other > m ? other : m;
        }
    }
    return m > 0 ? m : 0;
}
static real squared_hinge_ref(int k, const real *s, real y, real p) {
    const real m = hinge_ref(k, s, y, p);
    return m * m;
}

typedef struct loss_case {
    const char *use;
    loss_ref ref;
    real parameter;
    int k; /* scores */
    int true_hessian;
} loss_case;

static const loss_case cases[] = {
    {"mse", mse_ref, 0, 1, 1},
    {"mae", mae_ref, 0, 1, 0},
    {"huber", huber_ref, 1, 1, 0},
    {"{\"huber\": {\"delta\": 0.25}}", huber_ref, 0.25L, 1, 0},
    {"quantile", quantile_ref, 0.5L, 1, 0},
    {"{\"quantile\": {\"alpha\": 0.9}}", quantile_ref, 0.9L, 1, 0},
    {"poisson", poisson_ref, 0, 1, 1},
    {"cross_entropy", cross_entropy_ref, 0, 1, 1},
    {"{\"cross_entropy\": {\"label_smoothing\": 0.1}}", cross_entropy_ref, 0.1L, 1, 1},
    {"cross_entropy", cross_entropy_ref, 0, 4, 1},
    {"cross_entropy", cross_entropy_ref, 0, 70, 1},
    {"{\"cross_entropy\": {\"label_smoothing\": 0.1}}", cross_entropy_ref, 0.1L, 4, 1},
    {"hinge", hinge_ref, 0, 1, 0},
    {"hinge", hinge_ref, 0, 4, 0},
    {"squared_hinge", squared_hinge_ref, 0, 1, 1},
    {"squared_hinge", squared_hinge_ref, 0, 4, 1},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static int is_class_loss(const loss_case *c) {
    return c->ref == cross_entropy_ref || c->ref == hinge_ref || c->ref == squared_hinge_ref;
}

static int32_t task_of(const loss_case *c) {
    return !is_class_loss(c) ? LATHE_TASK_REGRESSION
           : c->k == 1       ? LATHE_TASK_BINARY
                             : LATHE_TASK_MULTICLASS;
}

static const lathe_loss *open_loss(const char *use, int32_t task, lathe_instance *out) {
    fixture_create(&fx, LATHE_KIND_LOSS, use, task, out);
    return out->interface;
}

/* Rows away from kinks, with scores for which s ± h is exact. */
enum { ROWS = 97, MAX_K = 70 };
static float scores[ROWS * MAX_K];
static float targets[ROWS];

static void make_rows(const loss_case *c) {
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < c->k; j++) {
            scores[i * c->k + j] = (float)((i * 131 + j * 379) % 257 - 128) / 32 + 1.0f / 128;
        }
        if (is_class_loss(c)) {
            targets[i] = (float)(i % (c->k == 1 ? 2 : c->k));
        } else if (c->ref == poisson_ref) {
            targets[i] = (float)(i % 5) / 2;
        } else {
            targets[i] = (float)((i * 71) % 101 - 50) / 16;
        }
    }
}

static real ref_at(const loss_case *c, int i, int a, real da, int b, real db) {
    real s[MAX_K];
    for (int j = 0; j < c->k; j++) {
        s[j] = (real)scores[i * c->k + j] + (j == a ? da : 0) + (j == b ? db : 0);
    }
    return c->ref(c->k, s, (real)targets[i], c->parameter);
}

static void expect_near(double got, double want, double tolerance, const char *use,
                        const char *what, int i) {
    ck_assert_msg(fabs(got - want) <= tolerance * (1 + fabs(want)),
                  "%s, %s of row %d: %.9g, not %.9g", use, what, i, got, want);
}

START_TEST(derivatives_are_central_differences) {
    const loss_case *c = &cases[_i];
    lathe_instance a;
    const lathe_loss *loss = open_loss(c->use, task_of(c), &a);
    lathe_error err = {0};
    const int k = c->k;
    const real h = 0x1p-14L;
    static float g[ROWS * MAX_K], hess[ROWS * MAX_K], g2[ROWS * MAX_K];
    double value[ROWS];
    make_rows(c);
    ck_assert_int_eq(loss->n_scores(a.self, task_of(c), k), k);
    fixture_ok(loss->value(a.self, ROWS, k, scores, targets, value, &err), &err, "value");
    fixture_ok(loss->gradient(a.self, ROWS, k, scores, targets, g, hess, &err), &err, "gradient");
    fixture_ok(loss->gradient(a.self, ROWS, k, scores, targets, g2, NULL, &err), &err, "gradient");
    ck_assert(memcmp(g, g2, sizeof(float) * (size_t)(ROWS * k)) == 0);
    for (int i = 0; i < ROWS; i++) {
        const real at = ref_at(c, i, 0, 0, 0, 0);
        expect_near(value[i], (double)at, 1e-12, c->use, "value", i);
        for (int j = 0; j < k; j++) {
            const real up = ref_at(c, i, j, h, -1, 0);
            const real down = ref_at(c, i, j, -h, -1, 0);
            expect_near((double)g[i * k + j], (double)((up - down) / (2 * h)), 3e-7, c->use,
                        "gradient", i);
            if (c->true_hessian) {
                expect_near((double)hess[i * k + j], (double)((up - 2 * at + down) / (h * h)), 1e-6,
                            c->use, "hessian", i);
            } else {
                ck_assert(hess[i * k + j] == 1.0f);
                ck_assert(a.descriptor->flags & LATHE_LOSS_ZERO_HESSIAN);
            }
            ck_assert(hess[i * k + j] > 0);
        }
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* A row alone gives the same bits as in a batch. */
START_TEST(rows_do_not_matter) {
    const loss_case *c = &cases[_i];
    lathe_instance a;
    const lathe_loss *loss = open_loss(c->use, task_of(c), &a);
    lathe_error err = {0};
    const int k = c->k;
    static float g[ROWS * MAX_K], h[ROWS * MAX_K], p[ROWS * MAX_K], in_place[ROWS * MAX_K];
    float g1[MAX_K], h1[MAX_K], p1[MAX_K];
    double value[ROWS], value1;
    make_rows(c);
    fixture_ok(loss->value(a.self, ROWS, k, scores, targets, value, &err), &err, "value");
    fixture_ok(loss->gradient(a.self, ROWS, k, scores, targets, g, h, &err), &err, "gradient");
    fixture_ok(loss->link(a.self, ROWS, k, scores, p, &err), &err, "link");
    memcpy(in_place, scores, sizeof in_place);
    fixture_ok(loss->link(a.self, ROWS, k, in_place, in_place, &err), &err, "link");
    const size_t row = sizeof(float) * (size_t)k;
    ck_assert(memcmp(p, in_place, row * ROWS) == 0);
    for (int i = 0; i < ROWS; i++) {
        loss->value(a.self, 1, k, scores + i * k, targets + i, &value1, &err);
        loss->gradient(a.self, 1, k, scores + i * k, targets + i, g1, h1, &err);
        loss->link(a.self, 1, k, scores + i * k, p1, &err);
        ck_assert(memcmp(&value1, &value[i], sizeof value1) == 0);
        ck_assert(memcmp(g1, g + i * k, row) == 0);
        ck_assert(memcmp(h1, h + i * k, row) == 0);
        ck_assert(memcmp(p1, p + i * k, row) == 0);
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* ---- start and renew ---- */

static double total(const lathe_instance *a, int64_t n, int k, const float *s, const double *shift,
                    const float *y, const float *w) {
    const lathe_loss *loss = a->interface;
    lathe_error err = {0};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float moved[MAX_K];
        double value;
        for (int j = 0; j < k; j++) {
            moved[j] = (float)((s == NULL ? 0.0 : (double)s[i * k + j]) + shift[j]);
        }
        fixture_ok(loss->value(a->self, 1, k, moved, &y[i], &value, &err), &err, "value");
        sum += value * (w == NULL ? 1.0 : (double)w[i]);
    }
    return sum;
}

/* No step of any size in any direction makes the loss smaller than at `c`. */
static void expect_minimum(const lathe_instance *a, int64_t n, int k, const float *s, double *c,
                           const float *y, const float *w, const char *use, const char *what) {
    const double at = total(a, n, k, s, c, y, w);
    for (int j = 0; j < k; j++) {
        for (double step = 1e-3; step < 10; step *= 4) {
            for (int side = -1; side <= 1; side += 2) {
                const double kept = c[j];
                c[j] += side * step;
                const double moved = total(a, n, k, s, c, y, w);
                c[j] = kept;
                ck_assert_msg(moved >= at - 1e-6 * (1 + fabs(at)),
                              "%s: %s %g gives %.12g, %g more gives %.12g", use, what, kept, at,
                              side * step, moved);
            }
        }
    }
}

static float weights[ROWS];

static void make_weights(void) {
    for (int i = 0; i < ROWS; i++) {
        weights[i] = (float)((i * 37) % 11) / 4; /* some are 0 */
    }
}

START_TEST(start_is_the_minimum) {
    const loss_case *c = &cases[_i];
    if (c->k > 1 && c->ref != cross_entropy_ref) {
        return; /* hinge of several scores starts at 0 */
    }
    lathe_instance a;
    const lathe_loss *loss = open_loss(c->use, task_of(c), &a);
    lathe_error err = {0};
    double s[MAX_K];
    make_rows(c);
    make_weights();
    for (int i = 0; c->ref == cross_entropy_ref && i < ROWS; i++) {
        weights[i] += 0.25f; /* no class without weight: its minimum would be at infinity */
    }
    fixture_ok(loss->start(a.self, ROWS, c->k, targets, weights, s, &err), &err, "start");
    expect_minimum(&a, ROWS, c->k, NULL, s, targets, weights, c->use, "weighted start");
    fixture_ok(loss->start(a.self, ROWS, c->k, targets, NULL, s, &err), &err, "start");
    expect_minimum(&a, ROWS, c->k, NULL, s, targets, NULL, c->use, "start");
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(renew_is_the_minimum) {
    const loss_case *c = &cases[_i];
    lathe_instance a;
    const lathe_loss *loss = open_loss(c->use, task_of(c), &a);
    lathe_error err = {0};
    if (a.descriptor->flags & LATHE_LOSS_ZERO_HESSIAN) {
        ck_assert_ptr_nonnull(loss->renew);
    }
    if (loss->renew != NULL && c->k == 1) {
        make_rows(c);
        make_weights();
        for (int64_t n = 1; n <= ROWS; n = n < 6 ? n + 1 : n * 2 + 1) {
            double s = NAN;
            fixture_ok(loss->renew(a.self, n, scores, targets, weights, &s, &err), &err, "renew");
            expect_minimum(&a, n, 1, scores, &s, targets, weights, c->use, "weighted renewal");
            fixture_ok(loss->renew(a.self, n, scores, targets, NULL, &s, &err), &err, "renew");
            expect_minimum(&a, n, 1, scores, &s, targets, NULL, c->use, "renewal");
        }
        double s = NAN;
        const float none[2] = {0, 0};
        fixture_ok(loss->renew(a.self, 0, scores, targets, NULL, &s, &err), &err, "renew");
        ck_assert(s == 0);
        fixture_ok(loss->renew(a.self, 2, scores, targets, none, &s, &err), &err, "renew");
        ck_assert(s == 0);
    }
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(starts_in_closed_form) {
    static const struct {
        const char *use;
        int32_t task;
        double want;
    } table[] = {
        {"mse", LATHE_TASK_REGRESSION, 2.8},
        {"mae", LATHE_TASK_REGRESSION, 2},
        {"{\"quantile\": {\"alpha\": 0.25}}", LATHE_TASK_REGRESSION, 1},
        {"{\"quantile\": {\"alpha\": 0.99}}", LATHE_TASK_REGRESSION, 8},
        {"poisson", LATHE_TASK_REGRESSION, 1.0296194171811581}, /* ln 2.8 */
        {"{\"huber\": {\"delta\": 1e6}}", LATHE_TASK_REGRESSION, 2.8},
    };
    const float y[5] = {8, 1, 3, 0, 2};
    const float even[4] = {1, 2, 3, 10};
    lathe_error err = {0};
    double s;
    lathe_instance a;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const lathe_loss *loss = open_loss(table[i].use, table[i].task, &a);
        fixture_ok(loss->start(a.self, 5, 1, y, NULL, &s, &err), &err, "start");
        ck_assert_msg(fabs(s - table[i].want) < 1e-12, "%s starts at %.17g", table[i].use, s);
        lathe_instance_destroy(&a);
    }
    const lathe_loss *mae = open_loss("mae", LATHE_TASK_REGRESSION, &a);
    mae->start(a.self, 4, 1, even, NULL, &s, &err);
    ck_assert_msg(s == 2.5, "the median of four is the middle of two: %g", s);
    lathe_instance_destroy(&a);

    const float classes[4] = {1, 1, 1, 0};
    const lathe_loss *ce = open_loss("cross_entropy", LATHE_TASK_BINARY, &a);
    ce->start(a.self, 4, 1, classes, NULL, &s, &err);
    ck_assert(fabs(s - 1.0986122886681098) < 1e-12); /* ln 3 */
    const float weight[4] = {1, 1, 1, 3};
    ce->start(a.self, 4, 1, classes, weight, &s, &err);
    ck_assert(fabs(s) < 1e-12);
    ce->start(a.self, 3, 1, classes, NULL, &s, &err); /* one class: finite all the same */
    ck_assert(isfinite(s) && s > 0);
    lathe_instance_destroy(&a);

    double many[3];
    const float three[4] = {0, 0, 1, 0};
    ce = open_loss("cross_entropy", LATHE_TASK_MULTICLASS, &a);
    ce->start(a.self, 4, 3, three, NULL, many, &err);
    ck_assert(fabs(many[0] - many[1] - 1.0986122886681098) < 1e-12);
    ck_assert(isfinite(many[2]) && many[2] < many[1]); /* a class without rows */
    ck_assert(fabs(many[0] + many[1] + many[2]) < 1e-12);
    lathe_instance_destroy(&a);

    const lathe_loss *poisson = open_loss("poisson", LATHE_TASK_REGRESSION, &a);
    const float zeros[3] = {0, 0, 0};
    poisson->start(a.self, 3, 1, zeros, NULL, &s, &err);
    ck_assert(isfinite(s) && s < 0);
    lathe_instance_destroy(&a);
}
END_TEST

/* A weighted median of many rows with many ties, against sorting. */
static int by_value(const void *a, const void *b) {
    const double *x = a;
    const double *y = b;
    return (x[0] > y[0]) - (x[0] < y[0]);
}

START_TEST(quantile_of_many_rows) {
    enum { N = 20011 };
    static float y[N], w[N];
    static double pair[N][2];
    lathe_instance a;
    lathe_error err = {0};
    const lathe_loss *loss =
        open_loss("{\"quantile\": {\"alpha\": 0.3}}", LATHE_TASK_REGRESSION, &a);
    for (int shape = 0; shape < 4; shape++) {
        double sum = 0;
        for (int i = 0; i < N; i++) {
            const uint32_t r = (uint32_t)i * 2654435761u;
            y[i] = shape == 0   ? (float)(r % 1000)
                   : shape == 1 ? (float)i
                   : shape == 2 ? (float)-i
                                : 7.0f;
            w[i] = (float)(r % 7) + 0.5f;
            pair[i][0] = (double)y[i];
            pair[i][1] = (double)w[i];
            sum += (double)w[i];
        }
        qsort(pair, N, sizeof pair[0], by_value);
        double below = 0;
        int at = 0;
        while (below + pair[at][1] < 0.3 * sum) {
            below += pair[at++][1];
        }
        double s;
        fixture_ok(loss->start(a.self, N, 1, y, w, &s, &err), &err, "start");
        ck_assert_msg(s == pair[at][0], "shape %d: %g, not %g", shape, s, pair[at][0]);
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* ---- ends of the range ---- */

START_TEST(extreme_scores_stay_numbers) {
    const loss_case *c = &cases[_i];
    lathe_instance a;
    const lathe_loss *loss = open_loss(c->use, task_of(c), &a);
    lathe_error err = {0};
    const int k = c->k;
    const float ends[] = {-3e38f, -1e4f, -100, 100, 1e4f, 3e38f};
    for (int e = 0; e < 6; e++) {
        for (int y = 0; y < 2; y++) {
            float s[MAX_K], g[MAX_K], h[MAX_K], p[MAX_K];
            const float target = (float)y;
            double value;
            for (int j = 0; j < k; j++) {
                s[j] = j % 2 ? -ends[e] : ends[e];
            }
            fixture_ok(loss->value(a.self, 1, k, s, &target, &value, &err), &err, "value");
            fixture_ok(loss->gradient(a.self, 1, k, s, &target, g, h, &err), &err, "gradient");
            fixture_ok(loss->link(a.self, 1, k, s, p, &err), &err, "link");
            ck_assert_msg(!isnan(value) && value >= 0, "%s: value %g at %g", c->use, value,
                          (double)ends[e]);
            for (int j = 0; j < k; j++) {
                ck_assert_msg(isfinite(g[j]), "%s: gradient %g at %g", c->use, (double)g[j],
                              (double)s[j]);
                ck_assert_msg(isfinite(h[j]) && h[j] > 0, "%s: hessian %g at %g", c->use,
                              (double)h[j], (double)s[j]);
                ck_assert_msg(isfinite(p[j]), "%s: prediction %g at %g", c->use, (double)p[j],
                              (double)s[j]);
                ck_assert(!is_class_loss(c) || (p[j] >= 0 && p[j] <= 1));
            }
        }
    }
    const float nan = NAN;
    if (k == 1) {
        float g;
        double value;
        const float target = 1;
        loss->value(a.self, 1, 1, &nan, &target, &value, &err);
        loss->gradient(a.self, 1, 1, &nan, &target, &g, NULL, &err);
        ck_assert_msg(isnan(value), "%s: value at NaN", c->use);
        ck_assert_msg(isnan(g) || c->ref == mae_ref || c->ref == quantile_ref,
                      "%s: gradient at NaN", c->use);
    }
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(certainty_keeps_its_digits) {
    lathe_instance a;
    lathe_error err = {0};
    const lathe_loss *ce = open_loss("cross_entropy", LATHE_TASK_BINARY, &a);
    const float s[2] = {40, -40};
    const float y[2] = {1, 0};
    float g[2];
    double value[2];
    ce->value(a.self, 2, 1, s, y, value, &err);
    ce->gradient(a.self, 2, 1, s, y, g, NULL, &err);
    ck_assert(fabs(value[0] / exp(-40) - 1) < 1e-12 && fabs(value[1] / exp(-40) - 1) < 1e-12);
    ck_assert(fabs((double)g[0] / -exp(-40) - 1) < 1e-6 &&
              fabs((double)g[1] / exp(-40) - 1) < 1e-6);
    lathe_instance_destroy(&a);
    ce = open_loss("cross_entropy", LATHE_TASK_MULTICLASS, &a);
    const float wide[3] = {40, 0, 0};
    const float first = 0;
    float g3[3];
    ce->value(a.self, 1, 3, wide, &first, value, &err);
    ce->gradient(a.self, 1, 3, wide, &first, g3, NULL, &err);
    ck_assert(fabs(value[0] / (2 * exp(-40)) - 1) < 1e-12);
    ck_assert(fabs((double)g3[0] / (-2 * exp(-40)) - 1) < 1e-6);
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(hessian_block_is_the_second_derivative) {
    const loss_case c = {"cross_entropy", cross_entropy_ref, 0, 4, 1};
    lathe_instance a;
    lathe_error err = {0};
    const lathe_loss *ce = open_loss(c.use, LATHE_TASK_MULTICLASS, &a);
    static float block[ROWS][4][4];
    const real h = 0x1p-12L;
    make_rows(&c);
    fixture_ok(ce->hessian_block(a.self, ROWS, 4, scores, targets, &block[0][0][0], &err), &err,
               "block");
    for (int i = 0; i < ROWS; i++) {
        for (int p = 0; p < 4; p++) {
            double sum = 0;
            for (int q = 0; q < 4; q++) {
                const real want = (ref_at(&c, i, p, h, q, h) - ref_at(&c, i, p, h, q, -h) -
                                   ref_at(&c, i, p, -h, q, h) + ref_at(&c, i, p, -h, q, -h)) /
                                  (4 * h * h);
                expect_near((double)block[i][p][q], (double)want, 1e-6, c.use, "block", i);
                ck_assert(block[i][p][q] == block[i][q][p]);
                sum += (double)block[i][p][q];
            }
            ck_assert(fabs(sum) < 1e-6); /* a shift of all scores changes nothing */
        }
    }
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(links) {
    lathe_instance a;
    lathe_error err = {0};
    float p[3];
    const float s[3] = {0, 1, 2};
    const lathe_loss *ce = open_loss("cross_entropy", LATHE_TASK_MULTICLASS, &a);
    ce->link(a.self, 1, 3, s, p, &err);
    ck_assert(fabs((double)p[2] - 0.6652409557748219) < 1e-7);
    lathe_instance_destroy(&a);
    ce = open_loss("cross_entropy", LATHE_TASK_BINARY, &a);
    ce->link(a.self, 3, 1, s, p, &err);
    ck_assert(p[0] == 0.5f && fabs((double)p[2] - 0.8807970779778823) < 1e-7);
    lathe_instance_destroy(&a);
    const lathe_loss *poisson = open_loss("poisson", LATHE_TASK_REGRESSION, &a);
    poisson->link(a.self, 3, 1, s, p, &err);
    ck_assert(p[0] == 1.0f && fabs((double)p[1] - 2.718281828459045) < 3e-7);
    lathe_instance_destroy(&a);
    const lathe_loss *mse = open_loss("mse", LATHE_TASK_REGRESSION, &a);
    mse->link(a.self, 3, 1, s, p, &err);
    ck_assert(memcmp(p, s, sizeof p) == 0);
    lathe_instance_destroy(&a);
    const lathe_loss *hinge = open_loss("hinge", LATHE_TASK_BINARY, &a);
    hinge->link(a.self, 3, 1, s, p, &err);
    ck_assert(p[0] == 0.5f && p[1] > p[0] && p[2] > p[1]);
    ck_assert(a.descriptor->flags & LATHE_LOSS_UNCALIBRATED);
    lathe_instance_destroy(&a);
}
END_TEST

/* ---- what must be refused ---- */

static void refused(const char *use, int32_t task, int64_t n, int64_t k, const float *y,
                    const float *w, const char *part) {
    lathe_instance a;
    lathe_error err = {0};
    double s[8];
    const lathe_loss *loss = open_loss(use, task, &a);
    const int32_t rc = loss->start(a.self, n, k, y, w, s, &err);
    ck_assert_msg(rc == LATHE_E_DATA || (k > 1 && rc == LATHE_E_SHAPE), "%s: code %d", use,
                  (int)rc);
    ck_assert_int_eq(err.code, rc);
    ck_assert_msg(strstr(err.message, part) != NULL, "%s: \"%s\" lacks \"%s\"", use, err.message,
                  part);
    lathe_instance_destroy(&a);
}

START_TEST(bad_targets_are_refused) {
    const float nan[2] = {1, NAN};
    const float inf[2] = {1, INFINITY};
    const float negative[2] = {1, -1};
    const float half[2] = {1, 0.5f};
    const float two[2] = {1, 2};
    const float fine[2] = {1, 0};
    const float zero[2] = {0, 0};
    const char *const regression[] = {"mse", "mae", "huber", "quantile", "poisson"};
    for (int i = 0; i < 5; i++) {
        refused(regression[i], LATHE_TASK_REGRESSION, 2, 1, nan, NULL, "row 1 is missing");
        refused(regression[i], LATHE_TASK_REGRESSION, 2, 1, inf, NULL, "row 1 is infinite");
        refused(regression[i], LATHE_TASK_REGRESSION, 2, 1, fine, negative,
                "weight of row 1 is -1");
        refused(regression[i], LATHE_TASK_REGRESSION, 2, 1, fine, zero, "all weights are 0");
        refused(regression[i], LATHE_TASK_REGRESSION, 0, 1, fine, NULL, "no rows");
        refused(regression[i], LATHE_TASK_REGRESSION, 2, 2, fine, NULL, "one score");
    }
    refused("poisson", LATHE_TASK_REGRESSION, 2, 1, negative, NULL, "row 1 is -1");
    const char *const classes[] = {"cross_entropy", "hinge", "squared_hinge"};
    for (int i = 0; i < 3; i++) {
        refused(classes[i], LATHE_TASK_BINARY, 2, 1, half, NULL, "row 1 is 0.5");
        refused(classes[i], LATHE_TASK_BINARY, 2, 1, two, NULL, "from 0 to 1");
        refused(classes[i], LATHE_TASK_BINARY, 2, 1, nan, NULL, "row 1 is missing");
        refused(classes[i], LATHE_TASK_BINARY, 2, 1, negative, NULL, "row 1 is -1");
        refused(classes[i], LATHE_TASK_BINARY, 2, 1, fine, zero, "all weights are 0");
        lathe_instance a;
        lathe_error err = {0};
        const lathe_loss *loss = open_loss(classes[i], LATHE_TASK_MULTICLASS, &a);
        const float s[6] = {0, 1, 2, 3, 4, 5};
        float g[6];
        double value[2];
        const float four[2] = {
            0, 3}; /* beyond the classes: no write out of bounds, in training either */
        ck_assert_int_eq(loss->value(a.self, 2, 3, s, four, value, &err), LATHE_E_DATA);
        ck_assert_int_eq(loss->gradient(a.self, 2, 3, s, four, g, NULL, &err), LATHE_E_DATA);
        ck_assert_int_eq(loss->gradient(a.self, 2, 3, s, nan, g, NULL, &err), LATHE_E_DATA);
        ck_assert_ptr_nonnull(strstr(err.message, "whole number from 0 to 2"));
        lathe_instance_destroy(&a);
    }
    fixture_refused(&fx, LATHE_KIND_LOSS, "{\"quantile\": {\"alpha\": 1}}", LATHE_TASK_REGRESSION,
                    NULL);
    fixture_refused(&fx, LATHE_KIND_LOSS, "{\"quantile\": {\"alpha\": 0}}", LATHE_TASK_REGRESSION,
                    NULL);
    fixture_refused(&fx, LATHE_KIND_LOSS, "{\"huber\": {\"delta\": 0}}", LATHE_TASK_REGRESSION,
                    NULL);
    fixture_refused(&fx, LATHE_KIND_LOSS, "{\"cross_entropy\": {\"label_smoothing\": 1}}",
                    LATHE_TASK_BINARY, NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("losses");
    TCase *t = tcase_create("losses");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, derivatives_are_central_differences, 0, N_CASES);
    tcase_add_loop_test(t, rows_do_not_matter, 0, N_CASES);
    tcase_add_loop_test(t, start_is_the_minimum, 0, N_CASES);
    tcase_add_loop_test(t, renew_is_the_minimum, 0, N_CASES);
    tcase_add_loop_test(t, extreme_scores_stay_numbers, 0, N_CASES);
    tcase_add_test(t, starts_in_closed_form);
    tcase_add_test(t, quantile_of_many_rows);
    tcase_add_test(t, certainty_keeps_its_digits);
    tcase_add_test(t, hessian_block_is_the_second_derivative);
    tcase_add_test(t, links);
    tcase_add_test(t, bad_targets_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

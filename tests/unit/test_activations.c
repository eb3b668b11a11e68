/* The activations: values against the C library in long double, derivatives against central
 * differences of those, published values, both ends of the range, NaN, in place, and independence
 * of the tile.
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

static real sigmoid_ref(real x) {
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static real identity_ref(real x) {
    return x;
}
static real relu_ref(real x) {
    return x > 0 ? x : 0;
}
static real leaky_ref(real x) {
    return x > 0 ? x : 0.01L * x;
}
static real leaky_third_ref(real x) {
    return x > 0 ? x : 0.3L * x;
}
static real elu_ref(real x) {
    return x > 0 ? x : expm1l(x);
}
static real elu_two_ref(real x) {
    return x > 0 ? x : 2 * expm1l(x);
}
static real selu_ref(real x) {
    return 1.0507009873554804934193349852946L *
           (x > 0 ? x : 1.6732632423543772848170429916717L * expm1l(x));
}
static real gelu_ref(real x) {
    return x * 0.5L * erfcl(-x * sqrtl(0.5L));
}
static real gelu_tanh_ref(real x) {
    return x * sigmoid_ref(2 * sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x));
}
static real silu_ref(real x) {
    return x * sigmoid_ref(x);
}
static real softplus_ref(real x) {
    return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x)));
}
static real softplus_four_ref(real x) {
    return softplus_ref(4 * x) / 4;
}

typedef struct activation_case {
    const char *use;
    real (*f)(real);
    double at_minus_inf, at_plus_inf;
    double slope_minus, slope_plus; /* far out */
    double tolerance;               /* relative to |f|, of forward */
} activation_case;

static const activation_case cases[] = {
    {"identity", identity_ref, -INFINITY, INFINITY, 1, 1, 0},
    {"sigmoid", sigmoid_ref, 0, 1, 0, 0, 3e-7},
    {"tanh", tanhl, -1, 1, 0, 0, 3e-7},
    {"relu", relu_ref, 0, INFINITY, 0, 1, 0},
    {"leaky_relu", leaky_ref, -INFINITY, INFINITY, 0.01, 1, 1.3e-7},
    {"{\"leaky_relu\": {\"alpha\": 0.3}}", leaky_third_ref, -INFINITY, INFINITY, 0.3, 1, 1.3e-7},
    {"elu", elu_ref, -1, INFINITY, 0, 1, 2e-7},
    {"{\"elu\": {\"alpha\": 2}}", elu_two_ref, -2, INFINITY, 0, 1, 2e-7},
    {"selu", selu_ref, -1.7580993408473766, INFINITY, 0, 1.0507009873554805, 3e-7},
    {"gelu", gelu_ref, 0, INFINITY, 0, 1, 5e-7},
    {"{\"gelu\": {\"approximate\": \"tanh\"}}", gelu_tanh_ref, 0, INFINITY, 0, 1, 2e-5},
    {"silu", silu_ref, 0, INFINITY, 0, 1, 4e-7},
    {"softplus", softplus_ref, 0, INFINITY, 0, 1, 3e-7},
    {"{\"softplus\": {\"beta\": 4}}", softplus_four_ref, 0, INFINITY, 0, 1, 3e-7},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* x and y are given only where the flags ask for them, as the header says. */
static void run_backward(const lathe_instance *a, int64_t rows, int64_t cols, const float *x,
                         const float *y, const float *dy, float *dx) {
    const lathe_activation *f = a->interface;
    const uint32_t flags = a->descriptor->flags;
    lathe_error err = {0};
    fixture_ok(f->backward(a->self, rows, cols, (flags & LATHE_ACTIVATION_NEEDS_INPUT) ? x : NULL,
                           (flags & LATHE_ACTIVATION_NEEDS_OUTPUT) ? y : NULL, dy, dx, &err),
               &err, "backward");
}

static void run_forward(const lathe_instance *a, int64_t rows, int64_t cols, const float *x,
                        float *y) {
    lathe_error err = {0};
    const lathe_activation *f = a->interface;
    fixture_ok(f->forward(a->self, rows, cols, x, y, &err), &err, "forward");
}

START_TEST(forward_is_the_function) {
    const activation_case *c = &cases[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_ACTIVATION, c->use, 0, &a);
    enum { N = 2 * 4001 };
    static float x[N], y[N];
    for (int i = 0; i < N / 2; i++) {
        x[i] = (float)(-10 + 20.0 * i / 4000);
        x[N / 2 + i] = (float)(-60 + 120.0 * i / 4000);
    }
    run_forward(&a, 2, N / 2, x, y);
    for (int i = 0; i < N; i++) {
        const double want = (double)c->f((real)x[i]);
        const double allowed = c->tolerance * fabs(want) + 1e-37;
        ck_assert_msg(fabs((double)y[i] - want) <= allowed, "%s(%.9g) is %.9g, not %.9g", c->use,
                      (double)x[i], (double)y[i], want);
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* Central differences of the function in long double, with x ± h exact. */
START_TEST(backward_is_the_derivative) {
    const activation_case *c = &cases[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_ACTIVATION, c->use, 0, &a);
    enum { N = 801 };
    static float x[N], y[N], dy[N], dx[N];
    const real h = 0x1p-12L;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i - 400) / 32 + 1.0f / 64; /* never the kink at 0 */
        dy[i] = 0.5f + (float)(i % 7);
    }
    run_forward(&a, 1, N, x, y);
    run_backward(&a, 1, N, x, y, dy, dx);
    for (int i = 0; i < N; i++) {
        const real slope = (c->f((real)x[i] + h) - c->f((real)x[i] - h)) / (2 * h);
        const double want = (double)(slope * (real)dy[i]);
        ck_assert_msg(fabs((double)dx[i] - want) <= 2e-6 * (1 + fabs(want)),
                      "%s'(%.9g) dy is %.9g, not %.9g", c->use, (double)x[i], (double)dx[i], want);
    }
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(ends_of_the_range) {
    const activation_case *c = &cases[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_ACTIVATION, c->use, 0, &a);
    const float x[6] = {-INFINITY, INFINITY, NAN, -3e38f, 3e38f, 0.0f};
    const float dy[6] = {1, 1, 1, 1, 1, 1};
    float y[6], dx[6];
    run_forward(&a, 1, 6, x, y);
    ck_assert_msg(fabs((double)y[0] - c->at_minus_inf) < 1e-6 || (double)y[0] == c->at_minus_inf,
                  "%s(-inf) is %g", c->use, (double)y[0]);
    ck_assert_msg((double)y[1] == c->at_plus_inf, "%s(inf) is %g", c->use, (double)y[1]);
    ck_assert_msg(isnan(y[2]), "%s(NaN) is %g", c->use, (double)y[2]);
    ck_assert_msg(!isnan(y[3]) && !isnan(y[4]), "%s at the largest floats", c->use);
    ck_assert(fabs((double)y[5] - (double)c->f(0)) < 1e-6);
    run_backward(&a, 1, 6, x, y, dy, dx);
    for (int i = 0; i < 4; i += 3) {
        ck_assert_msg(fabs((double)dx[i] - c->slope_minus) < 1e-6, "%s'(%g) is %g", c->use,
                      (double)x[i], (double)dx[i]);
        ck_assert_msg(fabs((double)dx[i + 1] - c->slope_plus) < 1e-6, "%s'(%g) is %g", c->use,
                      (double)x[i + 1], (double)dx[i + 1]);
    }
    const float nan_dy = NAN;
    run_backward(&a, 1, 1, &x[4], &y[4], &nan_dy, dx);
    ck_assert_msg(isnan(dx[0]), "%s: a NaN from above is lost", c->use);
    lathe_instance_destroy(&a);
}
END_TEST

/* In place, one row at a time and a whole tile give the same bits. */
START_TEST(tiles_do_not_matter) {
    const char *const uses[] = {"softmax"};
    const char *use = _i < N_CASES ? cases[_i].use : uses[_i - N_CASES];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_ACTIVATION, use, 0, &a);
    ck_assert(a.descriptor->flags & LATHE_ACTIVATION_INPLACE);
    ck_assert(((a.descriptor->flags & LATHE_ACTIVATION_ELEMENTWISE) != 0) == (_i < N_CASES));
    enum { ROWS = 13, COLS = 37, N = ROWS * COLS };
    float x[N], y[N], y2[N], dy[N], dx[N], dx2[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i * 7919) % 1000 - 500) / 61;
        dy[i] = (float)((i * 104729) % 1000 - 500) / 300;
    }
    run_forward(&a, ROWS, COLS, x, y);
    run_backward(&a, ROWS, COLS, x, y, dy, dx);
    for (int r = 0; r < ROWS; r++) {
        run_forward(&a, 1, COLS, x + r * COLS, y2 + r * COLS);
        run_backward(&a, 1, COLS, x + r * COLS, y2 + r * COLS, dy + r * COLS, dx2 + r * COLS);
    }
    ck_assert_msg(memcmp(y, y2, sizeof y) == 0, "%s: forward of single rows", use);
    ck_assert_msg(memcmp(dx, dx2, sizeof dx) == 0, "%s: backward of single rows", use);
    memcpy(y2, x, sizeof y2);
    memcpy(dx2, dy, sizeof dx2);
    run_forward(&a, ROWS, COLS, y2, y2);
    run_backward(&a, ROWS, COLS, x, y2, dx2, dx2);
    ck_assert_msg(memcmp(y, y2, sizeof y) == 0, "%s: forward in place", use);
    ck_assert_msg(memcmp(dx, dx2, sizeof dx) == 0, "%s: backward in place", use);
    run_forward(&a, 0, COLS, x, y2); /* no rows: nothing happens */
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(published_values) {
    static const struct {
        const char *use;
        float x;
        double y;
    } table[] = {
        {"selu", 1, 1.0507009873554805},
        {"selu", -1, -1.1113307378125625},
        {"gelu", 1, 0.8413447460685429},
        {"gelu", -1, -0.15865525393145705},
        {"silu", 1, 0.7310585786300049},
        {"elu", -1, -0.6321205588285577},
        {"softplus", 0, 0.6931471805599453},
        {"tanh", 0.5f, 0.46211715726000975},
        {"sigmoid", 2, 0.8807970779778823},
        {"leaky_relu", -2, -0.02},
        {"{\"gelu\": {\"approximate\": \"tanh\"}}", 1, 0.8411919906082768},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        lathe_instance a;
        float y;
        fixture_create(&fx, LATHE_KIND_ACTIVATION, table[i].use, 0, &a);
        run_forward(&a, 1, 1, &table[i].x, &y);
        ck_assert_msg(fabs((double)y - table[i].y) < 2e-7, "%s(%g) is %.9g", table[i].use,
                      (double)table[i].x, (double)y);
        lathe_instance_destroy(&a);
    }
}
END_TEST

START_TEST(softmax_rows) {
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_ACTIVATION, "softmax", 0, &a);
    const float x[][3] = {
        {1, 2, 3},
        {1000, 1001, 1002},
        {-3e38f, 0, 3e38f},
        {INFINITY, 0, -INFINITY},
        {-INFINITY, -INFINITY, -INFINITY},
        {0, NAN, 0},
        {NAN, INFINITY, 0},
    };
    const double want[][3] = {
        {0.09003057317038046, 0.24472847105479767, 0.6652409557748219},
        {0.09003057317038046, 0.24472847105479767, 0.6652409557748219},
        {0, 0, 1},
        {1, 0, 0},
        {1.0 / 3, 1.0 / 3, 1.0 / 3},
        {NAN, NAN, NAN},
        {NAN, NAN, NAN},
    };
    float y[7][3];
    run_forward(&a, 7, 3, x[0], y[0]);
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 3; j++) {
            ck_assert_msg(isnan(want[i][j]) ? isnan(y[i][j])
                                            : fabs((double)y[i][j] - want[i][j]) < 1e-7,
                          "row %d: %g", i, (double)y[i][j]);
        }
    }
    /* backward against central differences of the quotient in long double */
    const float dy[3] = {0.3f, -1.2f, 2.0f};
    float dx[3];
    run_backward(&a, 1, 3, x[0], y[0], dy, dx);
    for (int j = 0; j < 3; j++) {
        const real h = 0x1p-12L;
        real side[2];
        for (int s = 0; s < 2; s++) {
            real sum = 0;
            real dot = 0;
            for (int k = 0; k < 3; k++) {
                const real e = expl((real)x[0][k] + (k == j ? (s ? h : -h) : 0));
                sum += e;
                dot += e * (real)dy[k];
            }
            side[s] = dot / sum;
        }
        ck_assert(fabs((double)dx[j] - (double)((side[1] - side[0]) / (2 * h))) < 1e-6);
    }
    lathe_instance_destroy(&a);
}
END_TEST

START_TEST(parameters_are_checked) {
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"leaky_relu\": {\"alpha\": -0.1}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"leaky_relu\": {\"alpha\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"elu\": {\"alpha\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"softplus\": {\"beta\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"gelu\": {\"approximate\": \"sinh\"}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_ACTIVATION, "{\"relu\": {\"alpha\": 1}}", 0, NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("activations");
    TCase *t = tcase_create("activations");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, forward_is_the_function, 0, N_CASES);
    tcase_add_loop_test(t, backward_is_the_derivative, 0, N_CASES);
    tcase_add_loop_test(t, ends_of_the_range, 0, N_CASES);
    tcase_add_loop_test(t, tiles_do_not_matter, 0, N_CASES + 1);
    tcase_add_test(t, published_values);
    tcase_add_test(t, softmax_rows);
    tcase_add_test(t, parameters_are_checked);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* linear: closed forms, an independent Newton, soft thresholds, every solver at one optimum,
 * determinism, state. */
#include "support_learner.h"

static trial t;

static void setup(void) {
    trial_open(&t, 3);
}
static void teardown(void) {
    trial_close(&t);
}

#define LEARNER LATHE_KIND_LEARNER
enum { N = 700, P = 5, MOST = 8 };

static float x[N * P], y[N], w[N];

static lathe_dataset *make(int32_t task, int64_t k, const float *target, const float *weight) {
    return fixture_dataset(&t.fx, task, k, N, P, x, target, weight);
}

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

/* Features of unlike means and scales, correlated. */
static void fill_features(uint64_t seed) {
    for (int i = 0; i < N; i++) {
        double a = trial_normal(&seed), b = trial_normal(&seed);
        x[i * P + 0] = (float)(3.0 + 2.0 * a);
        x[i * P + 1] = (float)(100.0 + 30.0 * (0.7 * a + b));
        x[i * P + 2] = (float)trial_normal(&seed);
        x[i * P + 3] = (float)(0.01 * trial_normal(&seed) - 5.0);
        x[i * P + 4] = trial_uniform(&seed) < 0.3 ? 1.0f : 0.0f;
        w[i] = (float)(0.5 + trial_uniform(&seed));
    }
}

static double signal(int i) {
    const float *r = x + i * P;
    return 0.8 * (r[0] - 3.0) - 0.02 * (r[1] - 100.0) + 0.5 * r[2] + 40.0 * (r[3] + 5.0) -
           1.1 * r[4];
}

static void fill_regression(uint64_t seed) {
    fill_features(seed);
    for (int i = 0; i < N; i++)
        y[i] = (float)(7.0 + signal(i) + 0.5 * trial_normal(&seed));
}

static void fill_classes(uint64_t seed) {
    fill_features(seed);
    for (int i = 0; i < N; i++)
        y[i] = trial_uniform(&seed) < 1.0 / (1.0 + exp(-signal(i))) ? 1.0f : 0.0f;
}

/* Coefficients [P, k] and intercept [k] out of the saved state. */
static void coefficients(const lathe_instance *m, double *beta, double *bias) {
    lathe_state *state = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(m, &state, &err), &err, "save");
    for (size_t i = 0; i < lathe_state_tensor_count(state); i++) {
        const lathe_state_tensor *s = lathe_state_tensor_at(state, i);
        if (strcmp(s->name, "coefficients") == 0)
            memcpy(beta, s->data, s->bytes);
        if (strcmp(s->name, "intercept") == 0)
            memcpy(bias, s->data, s->bytes);
    }
    lathe_state_free(state);
}

/* Solves a x = b by elimination with pivots; a [n, n] and b [n] are spoilt. */
static void solve(int n, double *a, double *b) {
    for (int c = 0; c < n; c++) {
        int best = c;
        for (int r = c + 1; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[best * n + c]))
                best = r;
        for (int j = 0; j < n; j++) {
            double s = a[c * n + j];
            a[c * n + j] = a[best * n + j];
            a[best * n + j] = s;
        }
        double s = b[c];
        b[c] = b[best];
        b[best] = s;
        for (int r = 0; r < n; r++) {
            if (r == c)
                continue;
            double f = a[r * n + c] / a[c * n + c];
            for (int j = c; j < n; j++)
                a[r * n + j] -= f * a[c * n + j];
            b[r] -= f * b[c];
        }
    }
    for (int c = 0; c < n; c++)
        b[c] /= a[c * n + c];
}

/* The oracle: plain Newton on the documented objective in the original features, in double. out[P +
 * 1], the last is the intercept. */
static void oracle(bool logistic, double l2, const float *weight, double *out) {
    double total = 0;
    memset(out, 0, (P + 1) * sizeof *out);
    for (int i = 0; i < N; i++)
        total += weight != NULL ? weight[i] : 1.0;
    for (int it = 0; it < 60; it++) {
        double h[(P + 1) * (P + 1)] = {0}, g[P + 1] = {0};
        for (int i = 0; i < N; i++) {
            double z[P + 1], s = 0, u = (weight != NULL ? weight[i] : 1.0) / total;
            for (int j = 0; j < P; j++)
                z[j] = x[i * P + j];
            z[P] = 1;
            for (int j = 0; j <= P; j++)
                s += z[j] * out[j];
            double p = 1.0 / (1.0 + exp(-s)), r = logistic ? p - y[i] : 2 * (s - y[i]),
                   c = logistic ? p * (1 - p) : 2;
            for (int j = 0; j <= P; j++) {
                g[j] += u * r * z[j];
                for (int l = 0; l <= P; l++)
                    h[j * (P + 1) + l] += u * c * z[j] * z[l];
            }
        }
        for (int j = 0; j < P; j++) {
            g[j] += l2 * out[j];
            h[j * (P + 1) + j] += l2;
        }
        solve(P + 1, h, g);
        for (int j = 0; j <= P; j++)
            out[j] -= g[j];
    }
}

/* Does the loss mse count (s - y)^2, or half of it? The oracle's l2 is in units of the whole
 * square. */
static double mse_scale(void) {
    lathe_instance loss;
    lathe_error err = {0};
    const float s = 3, target = 1;
    double value;
    fixture_create(&t.fx, LATHE_KIND_LOSS, "mse", LATHE_TASK_REGRESSION, &loss);
    fixture_ok(
        ((const lathe_loss *)loss.interface)->value(loss.self, 1, 1, &s, &target, &value, &err),
        &err, "mse");
    lathe_instance_destroy(&loss);
    return value / 4.0;
}

static void check_against(const char *use, lathe_dataset *d, const double *expected,
                          double tolerance) {
    lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
    double beta[P], bias;
    coefficients(&m, beta, &bias);
    for (int j = 0; j < P; j++)
        ck_assert_msg(fabs(beta[j] - expected[j]) <= tolerance * (fabs(expected[j]) + 1e-3),
                      "%s: coefficient %d is %.9g, expected %.9g", use, j, beta[j], expected[j]);
    ck_assert_msg(fabs(bias - expected[P]) <= tolerance * (fabs(expected[P]) + 1),
                  "%s: intercept %.9g, expected %.9g", use, bias, expected[P]);
    lathe_instance_destroy(&m);
}

START_TEST(least_squares_is_the_normal_equations) {
    double expected[P + 1];
    fill_regression(1);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    oracle(false, 0, NULL, expected);
    check_against("linear", d, expected, 2e-5);
    check_against("{\"linear\": {\"scale\": false, \"solver\": \"newton\"}}", d, expected, 2e-5);
    check_against("{\"linear\": {\"scale\": false, \"solver\": \"coordinate\"}}", d, expected,
                  2e-5);
    check_against("{\"linear\": {\"scale\": false, \"solver\": \"lbfgs\"}}", d, expected, 1e-4);
    release(d);
    d = make(LATHE_TASK_REGRESSION, 0, y, w);
    oracle(false, 0.3 / mse_scale(), w, expected);
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.3}}", d, expected, 2e-5);
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.3, \"solver\": \"lbfgs\"}}", d,
                  expected, 1e-4);
    release(d);
}
END_TEST

START_TEST(logistic_is_the_oracles) {
    double expected[P + 1];
    fill_classes(2);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, NULL);
    oracle(true, 1.0 / N, NULL, expected); /* the default, C = 1 */
    check_against("{\"linear\": {\"scale\": false}}", d, expected, 1e-4);
    check_against("{\"linear\": {\"scale\": false, \"l2\": null, \"solver\": \"lbfgs\"}}", d,
                  expected, 5e-4);
    check_against("{\"linear\": {\"scale\": false, \"solver\": \"coordinate\"}}", d, expected,
                  1e-4);
    oracle(true, 0.05, NULL, expected);
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.05}}", d, expected, 1e-4);
    release(d);
}
END_TEST

START_TEST(gradient_descent_comes_to_the_same) {
    double expected[P + 1];
    fill_classes(3);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, w);
    oracle(true, 0.05, w, expected);
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.05, \"optimizer\": {\"sgd\": "
                  "{\"learning_rate\": 1}}, "
                  "\"batch\": \"full\", \"epochs\": 4000, \"tolerance\": 0}}",
                  d, expected, 1e-3);
    ck_assert_int_gt(trial_count(&t, "train_loss"), 1);
    /* stochastic and mini-batch come near */
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.05, \"optimizer\": {\"sgd\": "
                  "{\"learning_rate\": 0.002}}, "
                  "\"batch\": 1, \"epochs\": 100, \"tolerance\": 0}}",
                  d, expected, 0.2);
    check_against("{\"linear\": {\"scale\": false, \"l2\": 0.05, \"solver\": \"sgd\", \"batch\": "
                  "32, \"epochs\": 300, "
                  "\"tolerance\": 0}}",
                  d, expected, 0.2);
    release(d);
    /* a regression descends in the unit of its target, whatever the optimizer */
    fill_regression(3);
    for (int i = 0; i < N; i++)
        y[i] = 200000.0f + 50000.0f * y[i];
    d = make(LATHE_TASK_REGRESSION, 0, y, w);
    oracle(false, 0, w, expected);
    check_against("{\"linear\": {\"scale\": false, \"optimizer\": {\"adam\": {\"learning_rate\": "
                  "0.05}}, \"batch\": \"full\", "
                  "\"epochs\": 3000, \"schedule\": \"cosine\", \"tolerance\": 0}}",
                  d, expected, 1e-3);
    check_against("{\"linear\": {\"scale\": false, \"optimizer\": {\"sgd\": {\"learning_rate\": "
                  "0.1}}, \"batch\": \"full\", "
                  "\"epochs\": 3000, \"tolerance\": 0}}",
                  d, expected, 1e-3);
    release(d);
}
END_TEST

/* Orthogonal columns of +-1: the lasso is a soft threshold of the least-squares coefficients. */
START_TEST(l1_is_a_soft_threshold) {
    enum { ROWS = 64, COLS = 4 };
    static float hx[ROWS * COLS], hy[ROWS];
    const double truth[COLS] = {2.0, -0.6, 0.25, 0.0};
    const char *const solvers[] = {"coordinate", "lbfgs", "auto"};
    double half = mse_scale() * 2; /* the objective is half / 1 * (s - y)^2 / 2 ... */
    for (int i = 0; i < ROWS; i++) {
        hy[i] = 3.0f;
        for (int j = 0; j < COLS; j++) {
            hx[i * COLS + j] = (i >> j & 1) ? 1.0f : -1.0f;
            hy[i] += (float)truth[j] * hx[i * COLS + j];
        }
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, ROWS, COLS, hx, hy, NULL);
    for (size_t s = 0; s < 3; s++) {
        char use[160];
        double beta[COLS], bias, l1 = 0.4;
        snprintf(use, sizeof use,
                 "{\"linear\": {\"scale\": false, \"l1\": %g, \"solver\": \"%s\"}}", l1,
                 solvers[s]);
        lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
        coefficients(&m, beta, &bias);
        for (int j = 0; j < COLS; j++) {
            double by = l1 / half, b = truth[j];
            double expected = b > by ? b - by : b < -by ? b + by : 0;
            if (expected == 0)
                ck_assert_msg(beta[j] == 0, "%s: %d is %g, not 0", use, j, beta[j]);
            ck_assert_double_eq_tol(beta[j], expected, 1e-5);
        }
        ck_assert_double_eq_tol(bias, 3.0, 1e-5);
        trial_check(&t, &m, ROWS, hx, COLS);
        lathe_instance_destroy(&m);
    }
    release(d);
}
END_TEST

/* At the optimum of softmax regression each class's gradient and penalty balance. */
START_TEST(softmax_has_no_gradient) {
    enum { K = 3 };
    static float out[N * K];
    uint64_t seed = 5;
    double beta[P * K], bias[K], l2 = 0.01;
    fill_features(4);
    for (int i = 0; i < N; i++)
        y[i] = (float)(signal(i) + trial_normal(&seed) < -0.7 ? 0 : signal(i) < 0.7 ? 1 : 2);
    lathe_dataset *d = make(LATHE_TASK_MULTICLASS, K, y, w);
    lathe_instance m = trial_fit(
        &t, LEARNER, "{\"linear\": {\"scale\": false, \"l2\": 0.01, \"max_iterations\": 1000}}", d,
        NULL, 1);
    double total = 0;
    coefficients(&m, beta, bias);
    trial_predict(&m, N, x, P, out);
    for (int i = 0; i < N; i++)
        total += w[i];
    for (int c = 0; c < K; c++)
        for (int j = 0; j <= P; j++) {
            double g = j < P ? l2 * beta[j * K + c] : 0, scale = j < P ? 0 : 1;
            for (int i = 0; i < N; i++) {
                double v = j < P ? x[i * P + j] : 1;
                g += w[i] / total * (out[i * K + c] - (y[i] == (float)c)) * v;
                scale = fmax(scale, fabs(v));
            }
            ck_assert_msg(fabs(g) < 2e-5 * scale, "gradient %d of class %d is %g", j, c, g);
        }
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* With `scale`, the penalties are those of features divided by their deviations, but for zeros and ones. */
START_TEST(penalties_are_in_deviations) {
    static const char *const penalties[] = {"\"l2\": 0.05", "\"l1\": 0.02",
                                            "\"l2\": 0.01, \"solver\": \"lbfgs\"",
                                            "\"l2\": 0.05, \"intercept\": false"};
    static float scaled[N * P], out[N], same[N];
    double unit[P];
    fill_classes(12);
    for (int j = 0; j < P; j++) {
        double mean = 0, square = 0;
        for (int i = 0; i < N; i++)
            mean += x[i * P + j] / N;
        for (int i = 0; i < N; i++)
            square += (x[i * P + j] - mean) * (x[i * P + j] - mean) / N;
        unit[j] = j == P - 1 ? 1.0 : sqrt(square); /* the last is of zeros and ones */
        for (int i = 0; i < N; i++)
            scaled[i * P + j] = (float)(x[i * P + j] / unit[j]);
    }
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, NULL);
    lathe_dataset *e = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, scaled, y, NULL);
    for (size_t k = 0; k < 4; k++) {
        double beta[P], by_hand[P], bias, its;
        char use[160];
        snprintf(use, sizeof use, "{\"linear\": {%s}}", penalties[k]);
        lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
        snprintf(use, sizeof use, "{\"linear\": {\"scale\": false, %s}}", penalties[k]);
        lathe_instance n = trial_fit(&t, LEARNER, use, e, NULL, 1);
        coefficients(&m, beta, &bias);
        coefficients(&n, by_hand, &its);
        for (int j = 0; j < P; j++)
            ck_assert_double_eq_tol(beta[j] * unit[j], by_hand[j], 2e-4);
        trial_predict(&m, N, x, P, out);
        trial_predict(&n, N, scaled, P, same);
        for (int i = 0; i < N; i++)
            ck_assert_float_eq_tol(out[i], same[i], 1e-4f);
        lathe_instance_destroy(&m);
        lathe_instance_destroy(&n);
    }
    release(d);
    release(e);
}
END_TEST

/* What was there in every training row and is missing later. */
START_TEST(missing_later_is_the_mean) {
    float row[2 * P], out[2];
    double mean[P];
    fill_classes(13);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, w);
    lathe_instance m = trial_fit(&t, LEARNER, "linear", d, NULL, 1);
    trial_tensor(&m, "mean", mean, sizeof mean);
    memcpy(row, x, P * sizeof *row);
    memcpy(row + P, x, P * sizeof *row);
    row[1] = row[3] = NAN;
    row[P + 1] = (float)mean[1];
    row[P + 3] = (float)mean[3];
    trial_predict(&m, 2, row, P, out);
    ck_assert(out[0] > 0 && out[0] < 1);
    ck_assert_float_eq_tol(out[0], out[1], 1e-4f);
    trial_check(&t, &m, 2, row, P);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* A dummy for every category beside the intercept: many solutions, one prediction. */
START_TEST(collinear_features_are_harmless) {
    enum { ROWS = 90 };
    static float cx[ROWS * 4], cy[ROWS];
    float out[ROWS];
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < 3; j++)
            cx[i * 4 + j] = i % 3 == j;
        cx[i * 4 + 3] = 42; /* constant */
        cy[i] = (float)(10 * (i % 3));
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, ROWS, 4, cx, cy, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "linear", d, NULL, 1);
    trial_predict(&m, ROWS, cx, 4, out);
    for (int i = 0; i < ROWS; i++)
        ck_assert_float_eq_tol(out[i], cy[i], 1e-4f);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(without_intercept) {
    double expected[1] = {0}, xx = 0, beta[1], bias;
    static float one[N];
    fill_regression(6);
    for (int i = 0; i < N; i++) {
        one[i] = x[i * P];
        expected[0] += (double)one[i] * y[i];
        xx += (double)one[i] * one[i];
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, 1, one, y, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "{\"linear\": {\"intercept\": false}}", d, NULL, 1);
    coefficients(&m, beta, &bias);
    ck_assert_double_eq_tol(beta[0], expected[0] / xx, 1e-5);
    ck_assert(bias == 0);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* Every loss that has no closed form: no small change of a coefficient lowers it. */
START_TEST(any_loss_is_minimised) {
    static const char *const losses[] = {"mae", "huber", "{\"quantile\": {\"alpha\": 0.8}}",
                                         "poisson"};
    static float out[N], positive[N];
    fill_regression(8);
    for (int i = 0; i < N; i++)
        positive[i] = fabsf(y[i]);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, positive, NULL);
    for (size_t l = 0; l < sizeof losses / sizeof losses[0]; l++) {
        char use[256];
        double beta[P], bias, value[2 * P + 3];
        lathe_instance loss;
        lathe_component *c;
        lathe_error err = {0};
        snprintf(use, sizeof use, "{\"linear\": {\"loss\": %s%s%s, \"max_iterations\": 2000}}",
                 losses[l][0] == '{' ? "" : "\"", losses[l], losses[l][0] == '{' ? "" : "\"");
        lathe_binder binder = {
            .catalogue = t.fx.catalogue, .task = LATHE_TASK_REGRESSION, .load = true};
        if (lathe_bind_use(&binder, LEARNER, use, &c, &err) != LATHE_OK) {
            ck_abort_msg("%s: %s", use, err.message);
        }
        lathe_component_free(c);
        lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
        coefficients(&m, beta, &bias);
        fixture_create(&t.fx, LATHE_KIND_LOSS, losses[l], LATHE_TASK_REGRESSION, &loss);
        for (int v = 0; v < 2 * P + 3;
             v++) { /* 0: as found; then one coefficient off by a little */
            double each[N];
            int j = (v - 1) / 2;
            double by = v == 0 ? 0 : v % 2 ? 1 : -1;
            for (int i = 0; i < N; i++) {
                double s = bias + (j == P ? by * 0.02 : 0);
                for (int f = 0; f < P; f++) {
                    static const double step[P] = {1e-2, 7e-4, 2e-2, 2.0, 4e-2};
                    s += (beta[f] + (v > 0 && j == f ? by * step[f] : 0)) *
                         ((double)x[i * P + f] - (f == 0   ? 3
                                                  : f == 1 ? 100
                                                  : f == 3 ? -5
                                                           : 0));
                    s += beta[f] * (f == 0 ? 3 : f == 1 ? 100 : f == 3 ? -5 : 0);
                }
                out[i] = (float)s;
            }
            fixture_ok(((const lathe_loss *)loss.interface)
                           ->value(loss.self, N, 1, out, positive, each, &err),
                       &err, "value");
            value[v] = 0;
            for (int i = 0; i < N; i++)
                value[v] += each[i] / N;
            ck_assert_msg(value[v] >= value[0] - 2e-6 * fabs(value[0]),
                          "%s: %.9g is lower than %.9g (change %d)", use, value[v], value[0], v);
        }
        lathe_instance_destroy(&loss);
        lathe_instance_destroy(&m);
    }
    release(d);
}
END_TEST

START_TEST(gradients_are_a_weighted_least_squares) {
    static float g[N], h[N], fitted[N], out[N];
    double expected[P + 1];
    fill_regression(9);
    for (int i = 0; i < N; i++) {
        h[i] = w[i];
        g[i] = -w[i] * y[i];
    }
    oracle(false, 0, w, expected);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                     .gradient = g,
                     .hessian = h,
                     .gradient_stride = 1,
                     .fitted = fitted,
                     .fitted_stride = 1};
    lathe_instance m = trial_fit_with(&t, LEARNER, "linear", d, &fit, false);
    double beta[P], bias;
    coefficients(&m, beta, &bias);
    for (int j = 0; j < P; j++)
        ck_assert_double_eq_tol(beta[j], expected[j], 2e-5 * (fabs(expected[j]) + 1e-2));
    trial_predict(&m, N, x, P, out);
    ck_assert(memcmp(out, fitted, sizeof out) == 0);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(weight_zero_is_absent) {
    static int32_t rows[N];
    static uint16_t counts[N];
    static float zero[N], two[N];
    int64_t n = 0;
    fill_classes(10);
    for (int i = 0; i < N; i++) {
        zero[i] = i % 3 == 0 ? 0.0f : 1.0f;
        counts[i] = (uint16_t)(i % 3);
        two[i] = (float)(i % 3);
        if (i % 3 != 0)
            rows[n++] = i;
    }
    static const char *const uses[] = {
        "linear", "{\"linear\": {\"solver\": \"lbfgs\"}}",
        "{\"linear\": {\"solver\": \"sgd\", \"epochs\": 3, \"batch\": 16}}"};
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, NULL);
    for (size_t u = 0; u < 3; u++) {
        lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = 3, .weight = zero};
        lathe_instance a = trial_fit_with(&t, LEARNER, uses[u], d, &fit, false);
        fit = (lathe_fit){
            .struct_size = LATHE_SIZED(lathe_fit), .key = 3, .rows = rows, .n_rows_used = n};
        lathe_instance b = trial_fit_with(&t, LEARNER, uses[u], d, &fit, false);
        ck_assert_msg(trial_same_model(&a, &b), "%s", uses[u]);
        lathe_instance_destroy(&a);
        lathe_instance_destroy(&b);
    }
    /* counts are weights */
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .weight = two};
    lathe_instance a = trial_fit_with(&t, LEARNER, "{\"linear\": {\"l2\": 0.1}}", d, &fit, false);
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .counts = counts};
    lathe_instance b = trial_fit_with(&t, LEARNER, "{\"linear\": {\"l2\": 0.1}}", d, &fit, false);
    ck_assert(trial_same_model(&a, &b));
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(chosen_features_alone) {
    static const int32_t features[2] = {0, 4};
    static float two[N * 2], out[N], narrow[N];
    fill_regression(11);
    for (int i = 0; i < N; i++) {
        two[2 * i] = x[i * P];
        two[2 * i + 1] = x[i * P + 4];
    }
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_dataset *e = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, 2, two, y, NULL);
    lathe_fit fit = {
        .struct_size = LATHE_SIZED(lathe_fit), .features = features, .n_features_used = 2};
    lathe_instance a = trial_fit_with(&t, LEARNER, "linear", d, &fit, false);
    lathe_instance b = trial_fit(&t, LEARNER, "linear", e, NULL, 0);
    double importance[P];
    lathe_error err = {0};
    trial_predict(&a, N, x, P, out);
    trial_predict(&b, N, two, 2, narrow);
    ck_assert(memcmp(out, narrow, sizeof out) == 0);
    trial_check(&t, &a, N, x, P);
    fixture_ok(lathe_call_importance(&a, LATHE_IMPORTANCE_WEIGHT, P, importance, &err), &err,
               "importance");
    ck_assert(importance[0] > importance[4] && importance[4] > 0 && importance[1] == 0);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
    release(e);
}
END_TEST

/* ---- bad input, limits ---- */

START_TEST(refusals) {
    fill_regression(12);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    static float nan[N];
    memcpy(nan, y, sizeof nan);
    nan[17] = INFINITY;
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .target = nan};
    trial_refused(&t, LEARNER, "linear", d, &fit, LATHE_E_NUMERIC, "row 17");
    trial_refused(
        &t, LEARNER,
        "{\"linear\": {\"optimizer\": {\"sgd\": {\"learning_rate\": 1000}}, \"epochs\": 200}}", d,
        NULL, LATHE_E_NUMERIC, "epoch");
    trial_refused(&t, LEARNER, "{\"linear\": {\"solver\": \"newton\", \"loss\": \"mae\"}}", d, NULL,
                  LATHE_E_UNSUPPORTED, "curvature");
    fixture_refused(&t.fx, LEARNER, "{\"linear\": {\"solver\": \"newton\", \"l1\": 1}}",
                    LATHE_TASK_REGRESSION, "cannot do l1");
    fixture_refused(&t.fx, LEARNER, "{\"linear\": {\"solver\": \"lbfgs\", \"optimizer\": \"sgd\"}}",
                    LATHE_TASK_REGRESSION, "takes no optimizer");
    fixture_refused(&t.fx, LEARNER, "{\"linear\": {\"l2\": -1}}", LATHE_TASK_REGRESSION, "l2");
    release(d);
    x[3 * P + 2] = NAN;
    d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    trial_refused(&t, LEARNER, "linear", d, NULL, LATHE_E_DATA, "\"x2\"");
    release(d);
}
END_TEST

START_TEST(stops_on_request) {
    fill_classes(13);
    lathe_dataset *d = make(LATHE_TASK_BINARY, 2, y, NULL);
    t.stop_after = 2;
    trial_refused(&t, LEARNER,
                  "{\"linear\": {\"solver\": \"sgd\", \"epochs\": 1000000, \"tolerance\": 0}}", d,
                  NULL, LATHE_E_CANCELLED, "Stopped");
    release(d);
}
END_TEST

START_TEST(corrupt_states) {
    const int32_t used[P] = {0, 1, 2, 3, P};
    fill_regression(14);
    lathe_dataset *d = make(LATHE_TASK_REGRESSION, 0, y, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "linear", d, NULL, 1);
    trial_check(&t, &m, N, x, P);
    trial_corrupt_tensor(&t, &m, "used", used);
    trial_corrupt_integer(&t, &m, "task", 77);
    trial_corrupt_integer(&t, &m, "features", 3);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* The same bytes with 1 and with 5 threads, for every solver. */
START_TEST(threads_do_not_matter) {
    static const char *const uses[] = {
        "linear",
        "{\"linear\": {\"l1\": 0.01}}",
        "{\"linear\": {\"solver\": \"lbfgs\"}}",
        "{\"linear\": {\"solver\": \"lbfgs\", \"l1\": 0.01}}",
        "{\"linear\": {\"solver\": \"sgd\", \"epochs\": 3}}",
        "{\"linear\": {\"solver\": \"sgd\", \"epochs\": 3, \"batch\": \"full\"}}"};
    static trial other;
    trial_open(&other, 1);
    fill_classes(15);
    lathe_dataset *a = make(LATHE_TASK_BINARY, 2, y, w);
    lathe_dataset *b = fixture_dataset(&other.fx, LATHE_TASK_BINARY, 2, N, P, x, y, w);
    for (size_t u = 0; u < sizeof uses / sizeof uses[0]; u++) {
        lathe_instance m = trial_fit(&t, LEARNER, uses[u], a, NULL, 5);
        lathe_instance o = trial_fit(&other, LEARNER, uses[u], b, NULL, 5);
        ck_assert_msg(trial_same_model(&m, &o), "%s", uses[u]);
        lathe_instance_destroy(&m);
        lathe_instance_destroy(&o);
    }
    release(a);
    fixture_datasets(&other.fx)->release(b);
    trial_close(&other);
}
END_TEST

int main(void) {
    Suite *s = suite_create("linear");
    TCase *c = tcase_create("linear");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, least_squares_is_the_normal_equations);
    tcase_add_test(c, logistic_is_the_oracles);
    tcase_add_test(c, gradient_descent_comes_to_the_same);
    tcase_add_test(c, l1_is_a_soft_threshold);
    tcase_add_test(c, softmax_has_no_gradient);
    tcase_add_test(c, penalties_are_in_deviations);
    tcase_add_test(c, missing_later_is_the_mean);
    tcase_add_test(c, collinear_features_are_harmless);
    tcase_add_test(c, without_intercept);
    tcase_add_test(c, any_loss_is_minimised);
    tcase_add_test(c, gradients_are_a_weighted_least_squares);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, chosen_features_alone);
    tcase_add_test(c, refusals);
    tcase_add_test(c, stops_on_request);
    tcase_add_test(c, corrupt_states);
    tcase_add_test(c, threads_do_not_matter);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

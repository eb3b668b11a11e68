/* mlp: gradients against central differences, gradient descent in closed form, learning, dropout,
 * early stopping, convergence, clipping, determinism, state. */
#include "support_learner.h"

static trial t;

static void setup(void) {
    trial_open(&t, 3);
}
static void teardown(void) {
    trial_close(&t);
}

#define LEARNER LATHE_KIND_LEARNER
enum { N = 40, P = 3 };

static float x[N * P], y[N], w[N];

static void release(lathe_dataset *d) {
    fixture_datasets(&t.fx)->release(d);
}

static void fill(int32_t task, int k, uint64_t seed) {
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < P; j++)
            x[i * P + j] = (float)trial_normal(&seed);
        w[i] = (float)(0.25 + trial_uniform(&seed));
        y[i] = task == LATHE_TASK_REGRESSION
                   ? (float)(x[i * P] - 2 * x[i * P + 1] + trial_normal(&seed))
                   : (float)(int)(trial_uniform(&seed) * k);
    }
}

/* The weighted mean loss, of the predictions of a model. */
static double loss_of(const lathe_instance *m, int32_t task, int k) {
    float out[N * 4];
    double sum = 0, total = 0;
    trial_predict(m, N, x, P, out);
    for (int i = 0; i < N; i++) {
        double each;
        if (task == LATHE_TASK_REGRESSION) {
            each = ((double)out[i] - y[i]) * ((double)out[i] - y[i]);
        } else if (k == 2) {
            each = -log(y[i] > 0 ? (double)out[i] : 1.0 - (double)out[i]);
        } else {
            each = -log((double)out[i * k + (int)y[i]]);
        }
        sum += w[i] * each;
        total += w[i];
    }
    return sum / total;
}

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

/* One step of sgd with the whole batch shows the gradient: (before - after) / rate. Compared with
 * the central differences of the loss for every weight and bias. */
static void check_gradient(const char *layers, int n_layers, const char *activation, int32_t task,
                           int k, double l2) {
    char still[512], moved[512], name[64];
    const char *body =
        "{\"mlp\": {\"layers\": %s, \"activation\": %s, \"batch\": \"full\", \"epochs\": 1, "
        "\"l2\": %g, \"scale_target\": false, \"optimizer\": {\"sgd\": "
        "{\"learning_rate\": %g}}}}";
    double rate = 1e-3, most = 0, scale = task == LATHE_TASK_REGRESSION ? mse_scale() : 1.0;
    snprintf(still, sizeof still, body, layers, activation, l2, 1e-30);
    snprintf(moved, sizeof moved, body, layers, activation, l2, rate);
    fill(task, k, 11);
    lathe_dataset *d =
        fixture_dataset(&t.fx, task, task == LATHE_TASK_REGRESSION ? 0 : k, N, P, x, y, w);
    lathe_instance a = trial_fit(&t, LEARNER, still, d, NULL, 5);
    lathe_instance b = trial_fit(&t, LEARNER, moved, d, NULL, 5);
    for (int l = 0; l < 2 * n_layers; l++) {
        float before[64], after[64], changed[64];
        snprintf(name, sizeof name, "layer.%d.%s", l / 2, l % 2 ? "bias" : "weights");
        size_t n = trial_tensor(&a, name, before, sizeof before) / sizeof(float);
        trial_tensor(&b, name, after, sizeof after);
        for (size_t i = 0; i < n; i++) {
            double h = 4e-3, value[2], g = ((double)before[i] - after[i]) / rate;
            for (int s = 0; s < 2; s++) {
                memcpy(changed, before, sizeof changed);
                changed[i] = (float)(before[i] + (s ? -h : h));
                lathe_instance c = trial_replaced(&t, &a, name, changed);
                value[s] = scale * loss_of(&c, task, k);
                if (l % 2 == 0)
                    value[s] += 0.5 * l2 * (double)changed[i] * changed[i];
                lathe_instance_destroy(&c);
            }
            double expected = (value[0] - value[1]) / (2 * h);
            most = fmax(most, fabs(expected));
            ck_assert_msg(fabs(g - expected) < 2e-3 * fabs(expected) + 6e-4,
                          "%s %s: %s[%zu] has gradient %g, central difference %g", layers,
                          activation, name, i, g, expected);
        }
    }
    ck_assert(most > 0.01);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}

START_TEST(gradients_are_central_differences) {
    static const char *const smooth[] = {"\"tanh\"", "\"sigmoid\"",  "\"gelu\"",    "\"silu\"",
                                         "\"elu\"",  "\"softplus\"", "\"softmax\"", "\"identity\""};
    for (size_t i = 0; i < sizeof smooth / sizeof smooth[0]; i++)
        check_gradient("[{\"units\": 4}, {\"units\": 3}]", 3, smooth[i], LATHE_TASK_MULTICLASS, 3,
                       0.0);
    check_gradient("[{\"units\": 5}]", 2, "\"tanh\"", LATHE_TASK_BINARY, 2, 0.0);
    check_gradient("[{\"units\": 4}, {\"units\": 3, \"activation\": \"silu\"}]", 3, "\"tanh\"",
                   LATHE_TASK_REGRESSION, 1, 0.3);
    check_gradient("[]", 1, "\"relu\"", LATHE_TASK_MULTICLASS, 3, 0.1);
}
END_TEST

/* With more rows than a shard and several groups the gradient is the same sum. */
START_TEST(large_batches_sum_their_parts) {
    enum { BIG = 1500 };
    static float bx[BIG], by[BIG];
    uint64_t seed = 3;
    double g = 0, gb = 0, mean = 0;
    float weight, bias;
    for (int i = 0; i < BIG; i++) {
        bx[i] = (float)trial_normal(&seed);
        by[i] = (float)(2 * bx[i] + trial_normal(&seed));
        mean += (double)by[i] / BIG;
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, BIG, 1, bx, by, NULL);
    const char *use =
        "{\"mlp\": {\"layers\": [], \"batch\": \"full\", \"epochs\": 1, \"scale_target\": "
        "false, \"optimizer\": {\"sgd\": {\"learning_rate\": %s}}}}";
    char still[256], moved[256];
    snprintf(still, sizeof still, use, "1e-30");
    snprintf(moved, sizeof moved, use, "0.1");
    lathe_instance a = trial_fit(&t, LEARNER, still, d, NULL, 5);
    trial_tensor(&a, "layer.0.weights", &weight, sizeof weight);
    trial_tensor(&a, "layer.0.bias", &bias, sizeof bias);
    ck_assert_float_eq_tol(bias, (float)mean, 1e-5f); /* the loss's start */
    for (int i = 0; i < BIG; i++) {
        double r = 2 * mse_scale() * ((double)weight * bx[i] + bias - by[i]) / BIG;
        g += r * bx[i];
        gb += r;
    }
    lathe_instance b = trial_fit(&t, LEARNER, moved, d, NULL, 5);
    float weight_after, bias_after;
    trial_tensor(&b, "layer.0.weights", &weight_after, sizeof weight);
    trial_tensor(&b, "layer.0.bias", &bias_after, sizeof bias);
    ck_assert_double_eq_tol((double)weight - weight_after, 0.1 * g, 2e-6);
    ck_assert_double_eq_tol((double)bias - bias_after, 0.1 * gb, 2e-6);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(clipping_bounds_the_step) {
    double norm = 0;
    const char *use =
        "{\"mlp\": {\"layers\": [{\"units\": 4}], \"batch\": \"full\", \"epochs\": 1, "
        "\"clip\": 0.001, \"optimizer\": {\"sgd\": {\"learning_rate\": %s}}}}";
    char still[256], moved[256], name[32];
    snprintf(still, sizeof still, use, "1e-30");
    snprintf(moved, sizeof moved, use, "1");
    fill(LATHE_TASK_MULTICLASS, 3, 4);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_MULTICLASS, 3, N, P, x, y, NULL);
    lathe_instance a = trial_fit(&t, LEARNER, still, d, NULL, 5);
    lathe_instance b = trial_fit(&t, LEARNER, moved, d, NULL, 5);
    for (int l = 0; l < 4; l++) {
        float before[32], after[32];
        snprintf(name, sizeof name, "layer.%d.%s", l / 2, l % 2 ? "bias" : "weights");
        size_t n = trial_tensor(&a, name, before, sizeof before) / sizeof(float);
        trial_tensor(&b, name, after, sizeof after);
        for (size_t i = 0; i < n; i++)
            norm += ((double)before[i] - after[i]) * ((double)before[i] - after[i]);
    }
    ck_assert_double_eq_tol(sqrt(norm), 0.001, 1e-6);
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    release(d);
}
END_TEST

START_TEST(learns_xor) {
    static const float in[8] = {0, 0, 0, 1, 1, 0, 1, 1}, target[4] = {0, 1, 1, 0};
    float out[4];
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, 4, 2, in, target, NULL);
    static const char *const batches[] = {"\"full\"", "1", "2"};
    for (int b = 0; b < 3; b++) {
        char use[256];
        snprintf(
            use, sizeof use,
            "{\"mlp\": {\"layers\": [{\"units\": 8}], \"activation\": \"tanh\", \"batch\": %s, "
            "\"epochs\": 400, \"optimizer\": {\"adam\": {\"learning_rate\": 0.05}}}}",
            batches[b]);
        lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
        trial_predict(&m, 4, in, 2, out);
        for (int i = 0; i < 4; i++)
            ck_assert_msg(fabsf(out[i] - target[i]) < 0.1f, "batch %s: row %d gives %g", batches[b],
                          i, out[i]);
        trial_check(&t, &m, 4, in, 2);
        lathe_instance_destroy(&m);
    }
    release(d);
}
END_TEST

/* A target in the hundreds of thousands trains at the usual rate. */
START_TEST(targets_of_any_unit) {
    enum { ROWS = 600 };
    static float rx[ROWS * 2], ry[ROWS], out[ROWS];
    uint64_t seed = 6;
    double error = 0, spread = 0, mean = 0;
    for (int i = 0; i < ROWS; i++) {
        rx[2 * i] = (float)trial_normal(&seed);
        rx[2 * i + 1] = (float)trial_normal(&seed);
        ry[i] = (float)(200000 + 80000 * sin(2 * rx[2 * i]) + 30000 * rx[2 * i + 1]);
        mean += (double)ry[i] / ROWS;
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, ROWS, 2, rx, ry, NULL);
    static const char *const losses[] = {"mse", "mae", "huber"};
    for (int l = 0; l < 3; l++) {
        char use[256];
        snprintf(use, sizeof use,
                 "{\"mlp\": {\"loss\": \"%s\", \"layers\": [{\"units\": 32}], \"batch\": 32, "
                 "\"epochs\": "
                 "150, \"optimizer\": {\"adam\": {\"learning_rate\": 0.01}}}}",
                 losses[l]);
        lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 1);
        trial_predict(&m, ROWS, rx, 2, out);
        error = spread = 0;
        for (int i = 0; i < ROWS; i++) {
            error += (out[i] - ry[i]) * (double)(out[i] - ry[i]);
            spread += (ry[i] - mean) * (ry[i] - mean);
        }
        ck_assert_msg(error / spread < 0.05, "%s: 1 - R2 is %g", losses[l], error / spread);
        trial_check(&t, &m, ROWS, rx, 2);
        lathe_instance_destroy(&m);
    }
    release(d);
}
END_TEST

/* Fitting gradients g = w (v - y), h = w at v = 0 is fitting y with weights w. */
START_TEST(fits_gradients) {
    static float g[N], h[N], fitted[N], out[N];
    double apart = 0, spread = 0;
    const char *use = "{\"mlp\": {\"layers\": [{\"units\": 16}], \"batch\": 8, \"epochs\": 300, "
                      "\"optimizer\": {\"adam\": {\"learning_rate\": 0.01}}}}";
    fill(LATHE_TASK_REGRESSION, 1, 8);
    for (int i = 0; i < N; i++) {
        y[i] = 50.0f + 10.0f * x[i * P] * x[i * P + 1];
        h[i] = w[i];
        g[i] = -w[i] * y[i];
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, P, x, y, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit),
                     .key = 1,
                     .gradient = g,
                     .hessian = h,
                     .gradient_stride = 1,
                     .fitted = fitted,
                     .fitted_stride = 1};
    lathe_instance m = trial_fit_with(&t, LEARNER, use, d, &fit, false);
    trial_predict(&m, N, x, P, out);
    ck_assert(memcmp(out, fitted, sizeof out) == 0);
    for (int i = 0; i < N; i++) {
        apart += (out[i] - y[i]) * (double)(out[i] - y[i]);
        spread += (y[i] - 50.0) * (y[i] - 50.0);
    }
    ck_assert_msg(apart / spread < 0.05, "1 - R2 is %g", apart / spread);
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* Without learning, a network with dropout predicts what the one without does; only its training
 * loss is another. */
START_TEST(dropout_is_for_training) {
    float plain[N], dropped[N];
    const char *use = "{\"mlp\": {\"layers\": [{\"units\": 16, \"dropout\": %s}], \"epochs\": 3, "
                      "\"optimizer\": {\"sgd\": {\"learning_rate\": 1e-30}}}}";
    char text[256];
    double losses[2][3];
    fill(LATHE_TASK_BINARY, 2, 9);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, x, y, NULL);
    for (int s = 0; s < 2; s++) {
        snprintf(text, sizeof text, use, s ? "0.5" : "0");
        lathe_instance m = trial_fit(&t, LEARNER, text, d, NULL, 5);
        trial_predict(&m, N, x, P, s ? dropped : plain);
        for (int e = 0; e < 3; e++)
            losses[s][e] = trial_value(&t, "train_loss", e);
        lathe_instance_destroy(&m);
    }
    ck_assert(memcmp(plain, dropped, sizeof plain) == 0);
    ck_assert_double_eq_tol(losses[0][0], losses[0][1], 1e-9); /* nothing moves */
    ck_assert(losses[1][0] != losses[1][1] && losses[1][1] != losses[1][2]);
    ck_assert(losses[1][0] != losses[0][0]);
    /* and it learns with it */
    snprintf(text, sizeof text,
             "{\"mlp\": {\"layers\": [{\"units\": 32, \"dropout\": 0.3, \"activation\": \"gelu\"}, "
             "{\"units\": 8, "
             "\"dropout\": 0.1}], \"epochs\": 60, \"batch\": 4}}");
    for (int i = 0; i < N; i++)
        y[i] = x[i * P] > 0 ? 1.0f : 0.0f;
    release(d);
    d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, x, y, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, text, d, NULL, 5);
    ck_assert(trial_value(&t, "train_loss", 59) < 0.6 * trial_value(&t, "train_loss", 0));
    trial_check(&t, &m, N, x, P);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* Labels of noise: the validation loss rises after its best epoch, whose weights are the model's.
 */
START_TEST(early_stopping_restores_the_best) {
    const char *use =
        "{\"mlp\": {\"layers\": [{\"units\": 64}], \"batch\": 8, \"epochs\": 200, "
        "\"early_stopping\": 7, \"optimizer\": {\"adam\": {\"learning_rate\": 0.02}}}}";
    static float vx[N * P], vy[N], out[N];
    double best = INFINITY, loss = 0;
    int64_t at = -1;
    fill(LATHE_TASK_BINARY, 2, 20);
    for (int i = 0; i < N; i++)
        y[i] = x[i * P] + 0.8f * x[i * P + 1] > 0 ? 1.0f : 0.0f;
    memcpy(vx, x, sizeof x);
    memcpy(vy, y, sizeof y);
    fill(LATHE_TASK_BINARY, 2, 21);
    for (int i = 0; i < N; i++)
        y[i] = i % 4 == 0 ? 1.0f - (x[i * P] > 0) : (x[i * P] > 0);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, x, y, NULL);
    lathe_dataset *v = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, vx, vy, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, use, d, v, 5);
    int64_t epochs = trial_count(&t, "validation_loss");
    for (int64_t e = 0; e < epochs; e++)
        if (trial_value(&t, "validation_loss", e) < best) {
            best = trial_value(&t, "validation_loss", e);
            at = e;
        }
    ck_assert_int_eq(epochs, at + 8);
    ck_assert(trial_value(&t, "validation_loss", epochs - 1) > best);
    trial_predict(&m, N, vx, P, out);
    for (int i = 0; i < N; i++)
        loss -= log(vy[i] > 0 ? (double)out[i] : 1 - (double)out[i]) / N;
    ck_assert_double_eq_tol(loss, best, 1e-5);
    lathe_instance_destroy(&m);
    release(d);
    release(v);
}
END_TEST

START_TEST(repeats_until_convergence) {
    const char *use =
        "{\"mlp\": {\"layers\": [{\"units\": 4}], \"activation\": \"tanh\", \"batch\": \"full\", "
        "\"epochs\": 100000, \"tolerance\": 1e-4, \"tolerance_epochs\": 3}}";
    fill(LATHE_TASK_REGRESSION, 1, 22);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, P, x, y, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, use, d, NULL, 5);
    int64_t n = trial_count(&t, "train_loss");
    ck_assert_int_gt(n, 10);
    ck_assert_int_lt(n, TRIAL_POINTS);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

START_TEST(weight_zero_is_absent) {
    static int32_t rows[N];
    static float zero[N];
    static uint16_t counts[N];
    int64_t n = 0;
    const char *use = "{\"mlp\": {\"batch\": 7, \"epochs\": 4}}";
    fill(LATHE_TASK_BINARY, 2, 23);
    for (int i = 0; i < N; i++) {
        zero[i] = i % 3 ? 1.0f : 0.0f;
        counts[i] = i % 3 ? 1 : 0;
        if (i % 3)
            rows[n++] = i;
    }
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, x, y, NULL);
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = 4, .weight = zero};
    lathe_instance a = trial_fit_with(&t, LEARNER, use, d, &fit, false);
    fit = (lathe_fit){
        .struct_size = LATHE_SIZED(lathe_fit), .key = 4, .rows = rows, .n_rows_used = n};
    lathe_instance b = trial_fit_with(&t, LEARNER, use, d, &fit, false);
    fit = (lathe_fit){.struct_size = LATHE_SIZED(lathe_fit), .key = 4, .counts = counts};
    lathe_instance c = trial_fit_with(&t, LEARNER, use, d, &fit, false);
    ck_assert(trial_same_model(&a, &b) && trial_same_model(&a, &c));
    lathe_instance_destroy(&a);
    lathe_instance_destroy(&b);
    lathe_instance_destroy(&c);
    release(d);
}
END_TEST

START_TEST(refusals) {
    fill(LATHE_TASK_REGRESSION, 1, 24);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, P, x, y, NULL);
    trial_refused(
        &t, LEARNER,
        "{\"mlp\": {\"epochs\": 50, \"optimizer\": {\"sgd\": {\"learning_rate\": 900000}}}}", d,
        NULL, LATHE_E_NUMERIC, "epoch");
    fixture_refused(&t.fx, LEARNER, "{\"mlp\": {\"layers\": [{\"units\": 0}]}}",
                    LATHE_TASK_REGRESSION, NULL);
    fixture_refused(&t.fx, LEARNER, "{\"mlp\": {\"layers\": [{}]}}", LATHE_TASK_REGRESSION, NULL);
    fixture_refused(&t.fx, LEARNER, "{\"mlp\": {\"layers\": [{\"units\": 3, \"dropout\": 1}]}}",
                    LATHE_TASK_REGRESSION, NULL);
    trial_refused(&t, LEARNER, "{\"mlp\": {\"layers\": [{\"units\": 65536}, {\"units\": 65536}]}}",
                  d, NULL, LATHE_E_MEMORY, "parameters");
    t.stop_after = t.n_points + 2;
    trial_refused(&t, LEARNER, "{\"mlp\": {\"epochs\": 1000000}}", d, NULL, LATHE_E_CANCELLED,
                  "Stopped");
    t.stop_after = 0;
    atomic_store(&t.stop, 0);
    release(d);
    x[2 * P + 1] = NAN;
    d = fixture_dataset(&t.fx, LATHE_TASK_REGRESSION, 0, N, P, x, y, NULL);
    trial_refused(&t, LEARNER, "mlp", d, NULL, LATHE_E_DATA,
                  "\"x1\" is missing or infinite in row 2");
    release(d);
}
END_TEST

START_TEST(corrupt_states) {
    fill(LATHE_TASK_BINARY, 2, 25);
    lathe_dataset *d = fixture_dataset(&t.fx, LATHE_TASK_BINARY, 2, N, P, x, y, NULL);
    lathe_instance m = trial_fit(&t, LEARNER, "{\"mlp\": {\"epochs\": 1}}", d, NULL, 1);
    trial_corrupt_integer(&t, &m, "features", P + 1);
    trial_corrupt_integer(&t, &m, "outputs", 2);
    trial_corrupt_integer(&t, &m, "task", 0);
    lathe_instance_destroy(&m);
    release(d);
}
END_TEST

/* The same bytes with 1 and 3 threads: several groups of shards, products that the pool splits. */
START_TEST(threads_do_not_matter) {
    enum { ROWS = 1300, F = 70 };
    static float tx[ROWS * F], ty[ROWS], tw[ROWS];
    static const char *const uses[] = {"{\"mlp\": {\"layers\": [{\"units\": 64, \"dropout\": 0.2}, "
                                       "{\"units\": 33}], \"epochs\": 2}}",
                                       "{\"mlp\": {\"layers\": [{\"units\": 300}, {\"units\": "
                                       "260}], \"epochs\": 1, \"batch\": 700, "
                                       "\"clip\": 0.5, \"l2\": 0.001}}",
                                       "{\"mlp\": {\"layers\": [{\"units\": 20, \"activation\": "
                                       "\"gelu\", \"dropout\": 0.5}], \"epochs\": 3, "
                                       "\"batch\": \"full\", \"optimizer\": \"rmsprop\"}}"};
    static trial other;
    uint64_t seed = 1;
    trial_open(&other, 1);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < F; j++)
            tx[i * F + j] = (float)trial_normal(&seed);
        ty[i] = (float)(int)(3 * trial_uniform(&seed));
        tw[i] = (float)trial_uniform(&seed);
    }
    lathe_dataset *a = fixture_dataset(&t.fx, LATHE_TASK_MULTICLASS, 3, ROWS, F, tx, ty, tw);
    lathe_dataset *b = fixture_dataset(&other.fx, LATHE_TASK_MULTICLASS, 3, ROWS, F, tx, ty, tw);
    for (size_t u = 0; u < sizeof uses / sizeof uses[0]; u++) {
        lathe_instance m = trial_fit(&t, LEARNER, uses[u], a, a, 5);
        lathe_instance o = trial_fit(&other, LEARNER, uses[u], b, b, 5);
        ck_assert_msg(trial_same_model(&m, &o), "%s", uses[u]);
        if (u == 0)
            trial_check(&t, &m, 100, tx, F);
        lathe_instance_destroy(&m);
        lathe_instance_destroy(&o);
    }
    release(a);
    fixture_datasets(&other.fx)->release(b);
    trial_close(&other);
}
END_TEST

int main(void) {
    Suite *s = suite_create("mlp");
    TCase *c = tcase_create("mlp");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, gradients_are_central_differences);
    tcase_add_test(c, large_batches_sum_their_parts);
    tcase_add_test(c, clipping_bounds_the_step);
    tcase_add_test(c, learns_xor);
    tcase_add_test(c, targets_of_any_unit);
    tcase_add_test(c, fits_gradients);
    tcase_add_test(c, dropout_is_for_training);
    tcase_add_test(c, early_stopping_restores_the_best);
    tcase_add_test(c, repeats_until_convergence);
    tcase_add_test(c, weight_zero_is_absent);
    tcase_add_test(c, refusals);
    tcase_add_test(c, corrupt_states);
    tcase_add_test(c, threads_do_not_matter);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

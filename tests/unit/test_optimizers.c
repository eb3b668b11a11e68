/* The optimizers against PyTorch's documented algorithms, written once more in double;
 * hand-computed first steps; segments, splitting, bad input; and that each one finds the bottom
 * of a bowl.
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

/* ---- the algorithms of torch.optim, one parameter, in double ---- */

typedef struct settings {
    double lr, momentum, decay, alpha, eps, beta1, beta2, initial;
    int nesterov, centered, amsgrad;
} settings;

typedef struct slots {
    double a, b, c, top;
} slots;

typedef double (*torch_step)(const settings *o, slots *s, double p, double g, int t);

static double torch_sgd(const settings *o, slots *s, double p, double g, int t) {
    g += o->decay * p;
    if (o->momentum != 0) {
        s->a = t == 1 ? g : o->momentum * s->a + g;
        g = o->nesterov ? g + o->momentum * s->a : s->a;
    }
    return p - o->lr * g;
}

static double torch_adagrad(const settings *o, slots *s, double p, double g, int t) {
    g += o->decay * p;
    if (t == 1) {
        s->a = o->initial;
    }
    s->a += g * g;
    return p - o->lr * g / (sqrt(s->a) + o->eps);
}

static double torch_rmsprop(const settings *o, slots *s, double p, double g, int t) {
    (void)t;
    g += o->decay * p;
    s->a = o->alpha * s->a + (1 - o->alpha) * g * g;
    double v = s->a;
    if (o->centered) {
        s->b = o->alpha * s->b + (1 - o->alpha) * g;
        v -= s->b * s->b;
    }
    const double u = g / (sqrt(v) + o->eps);
    if (o->momentum == 0) {
        return p - o->lr * u;
    }
    s->c = o->momentum * s->c + u;
    return p - o->lr * s->c;
}

static double adam_tail(const settings *o, slots *s, double p, double g, int t) {
    s->a = o->beta1 * s->a + (1 - o->beta1) * g;
    s->b = o->beta2 * s->b + (1 - o->beta2) * g * g;
    const double correct1 = 1 - pow(o->beta1, t);
    const double correct2 = 1 - pow(o->beta2, t);
    double v = s->b;
    if (o->amsgrad) {
        s->top = fmax(s->top, v);
        v = s->top;
    }
    return p - o->lr / correct1 * s->a / (sqrt(v) / sqrt(correct2) + o->eps);
}

static double torch_adam(const settings *o, slots *s, double p, double g, int t) {
    return adam_tail(o, s, p, g + o->decay * p, t);
}

static double torch_adamw(const settings *o, slots *s, double p, double g, int t) {
    return adam_tail(o, s, p - o->lr * o->decay * p, g, t);
}

typedef struct optimizer_case {
    const char *use;
    torch_step step;
    settings o;
    int slots;
} optimizer_case;

static const optimizer_case cases[] = {
    {"sgd", torch_sgd, {.lr = 0.01}, 0},
    {"{\"sgd\": {\"learning_rate\": 0.1, \"weight_decay\": 0.05}}",
     torch_sgd,
     {.lr = 0.1, .decay = 0.05},
     0},
    {"{\"sgd\": {\"learning_rate\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.05}}",
     torch_sgd,
     {.lr = 0.1, .momentum = 0.9, .decay = 0.05},
     1},
    {"{\"sgd\": {\"learning_rate\": 0.1, \"momentum\": 0.9, \"nesterov\": true}}",
     torch_sgd,
     {.lr = 0.1, .momentum = 0.9, .nesterov = 1},
     1},
    {"adagrad", torch_adagrad, {.lr = 0.01, .eps = 1e-10}, 1},
    {"{\"adagrad\": {\"learning_rate\": 0.1, \"weight_decay\": 0.05, \"initial_accumulator\": "
     "0.5}}",
     torch_adagrad,
     {.lr = 0.1, .decay = 0.05, .initial = 0.5, .eps = 1e-10},
     1},
    {"rmsprop", torch_rmsprop, {.lr = 0.01, .alpha = 0.99, .eps = 1e-8}, 1},
    {"{\"rmsprop\": {\"alpha\": 0.9, \"centered\": true, \"weight_decay\": 0.05}}",
     torch_rmsprop,
     {.lr = 0.01, .alpha = 0.9, .eps = 1e-8, .centered = 1, .decay = 0.05},
     2},
    {"{\"rmsprop\": {\"alpha\": 0.9, \"momentum\": 0.8}}",
     torch_rmsprop,
     {.lr = 0.01, .alpha = 0.9, .eps = 1e-8, .momentum = 0.8},
     2},
    {"{\"rmsprop\": {\"alpha\": 0.9, \"centered\": true, \"momentum\": 0.8}}",
     torch_rmsprop,
     {.lr = 0.01, .alpha = 0.9, .eps = 1e-8, .centered = 1, .momentum = 0.8},
     3},
    {"adam", torch_adam, {.lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, 2},
    {"{\"adam\": {\"learning_rate\": 0.05, \"weight_decay\": 0.05, \"amsgrad\": true, \"beta2\": "
     "0.9}}",
     torch_adam,
     {.lr = 0.05, .beta1 = 0.9, .beta2 = 0.9, .eps = 1e-8, .decay = 0.05, .amsgrad = 1},
     3},
    {"adamw",
     torch_adamw,
     {.lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.01},
     2},
    {"{\"adamw\": {\"learning_rate\": 0.05, \"weight_decay\": 0.2, \"amsgrad\": true, \"beta2\": "
     "0.9}}",
     torch_adamw,
     {.lr = 0.05, .beta1 = 0.9, .beta2 = 0.9, .eps = 1e-8, .decay = 0.2, .amsgrad = 1},
     3},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

enum { N = 53, MAX_SLOTS = 3 };

static const lathe_segment segments[3] = {
    {.offset = 0, .length = 30, .rows = 5, .cols = 6, .rate_scale = 1},
    {.offset = 30,
     .length = 6,
     .rows = 1,
     .cols = 6,
     .flags = LATHE_SEGMENT_NO_DECAY,
     .rate_scale = 1},
    {.offset = 36, .length = 17, .rows = 17, .cols = 1, .rate_scale = 0.5f},
};

static lathe_step make_step(int64_t t, double rate, float *p, const float *g, float *slots) {
    return (lathe_step){.struct_size = LATHE_SIZED(lathe_step),
                        .step = t,
                        .rate = rate,
                        .gradient_scale = 0.25,
                        .n = N,
                        .begin = 0,
                        .end = N,
                        .segments = segments,
                        .n_segments = 3,
                        .param = p,
                        .gradient = g,
                        .slots = slots};
}

static float gradient_of(int i, int t) {
    return (float)((i * 37 + t * 101) % 41 - 20) / 5 + (i % 3 == 0 ? 4.0f : 0.0f);
}

static void start_parameters(float *p) {
    for (int i = 0; i < N; i++) {
        p[i] = (float)((i * 29) % 31 - 15) / 10;
    }
}

START_TEST(steps_are_torchs) {
    const optimizer_case *c = &cases[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_OPTIMIZER, c->use, 0, &a);
    const lathe_optimizer *opt = a.interface;
    lathe_error err = {0};
    float p[N], g[N], slot[MAX_SLOTS * N] = {0};
    double want[N];
    slots state[N] = {{0, 0, 0, 0}};
    ck_assert_int_eq(opt->n_slots(a.self), c->slots);
    ck_assert(opt->rate(a.self) == c->o.lr);
    ck_assert(a.descriptor->flags & LATHE_OPTIMIZER_ELEMENTWISE);
    start_parameters(p);
    for (int i = 0; i < N; i++) {
        want[i] = (double)p[i];
    }
    for (int t = 1; t <= 60; t++) {
        const double rate = c->o.lr * (t <= 40 ? 1.0 : 0.1); /* a schedule's */
        for (int i = 0; i < N; i++) {
            settings o = c->o;
            g[i] = gradient_of(i, t);
            o.lr = i >= 36 ? rate * 0.5 : rate;
            o.decay = i >= 30 && i < 36 ? 0 : o.decay;
            want[i] = c->step(&o, &state[i], want[i], 0.25 * (double)g[i], t);
        }
        const lathe_step step = make_step(t, rate, p, g, c->slots == 0 ? NULL : slot);
        fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        for (int i = 0; i < N; i++) {
            ck_assert_msg(fabs((double)p[i] - want[i]) <= 2e-5 * (0.1 + fabs(want[i])),
                          "%s, step %d, element %d: %.9g, not %.9g", c->use, t, i, (double)p[i],
                          want[i]);
        }
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* The vector in three parts, cut within segments, gives the same bits. */
START_TEST(splitting_does_not_matter) {
    const optimizer_case *c = &cases[_i];
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_OPTIMIZER, c->use, 0, &a);
    const lathe_optimizer *opt = a.interface;
    lathe_error err = {0};
    float p[2][N], g[N], slot[2][MAX_SLOTS * N];
    const int64_t cuts[4] = {0, 13, 41, N};
    memset(slot, 0, sizeof slot);
    start_parameters(p[0]);
    start_parameters(p[1]);
    for (int t = 1; t <= 5; t++) {
        for (int i = 0; i < N; i++) {
            g[i] = gradient_of(i, t);
        }
        lathe_step step = make_step(t, c->o.lr, p[0], g, slot[0]);
        fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        step = make_step(t, c->o.lr, p[1], g, slot[1]);
        for (int part = 2; part >= 0; part--) {
            step.begin = cuts[part];
            step.end = cuts[part + 1];
            fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        }
        ck_assert_msg(memcmp(p[0], p[1], sizeof p[0]) == 0, "%s, step %d", c->use, t);
        ck_assert(memcmp(slot[0], slot[1], sizeof slot[0]) == 0);
    }
    lathe_instance_destroy(&a);
}
END_TEST

/* f = Σ k (x - 3)² / 2 with curvatures from 1 to 10, no decay. */
START_TEST(finds_the_bottom_of_a_bowl) {
    static const struct {
        const char *use;
        double rate;
    } table[] = {
        {"{\"sgd\": {\"learning_rate\": 0.1}}", 0.1},
        {"{\"sgd\": {\"learning_rate\": 0.05, \"momentum\": 0.8, \"nesterov\": true}}", 0.05},
        {"{\"adagrad\": {\"learning_rate\": 1}}", 1},
        {"{\"rmsprop\": {\"learning_rate\": 0.02}}", 0.02},
        {"{\"rmsprop\": {\"learning_rate\": 0.02, \"centered\": true, \"alpha\": 0.9}}", 0.02},
        {"{\"adam\": {\"learning_rate\": 0.05}}", 0.05},
        {"{\"adam\": {\"learning_rate\": 0.05, \"amsgrad\": true}}", 0.05},
        {"{\"adamw\": {\"learning_rate\": 0.05, \"weight_decay\": 0}}", 0.05},
    };
    lathe_error err = {0};
    for (size_t k = 0; k < sizeof table / sizeof table[0]; k++) {
        lathe_instance a;
        fixture_create(&fx, LATHE_KIND_OPTIMIZER, table[k].use, 0, &a);
        const lathe_optimizer *opt = a.interface;
        float p[N], g[N], slot[MAX_SLOTS * N] = {0};
        start_parameters(p);
        double first = 0;
        double last = 0;
        for (int t = 1; t <= 3000; t++) {
            last = 0;
            for (int i = 0; i < N; i++) {
                const float curve = 1.0f + (float)(i % 10);
                g[i] = 4 * curve * (p[i] - 3); /* gradient_scale is 1/4 */
                last += 0.5 * (double)curve * (double)(p[i] - 3) * (double)(p[i] - 3);
            }
            first = t == 1 ? last : first;
            const double rate = t < 2000 ? table[k].rate : table[k].rate * 0.02;
            const lathe_step step = make_step(t, rate, p, g, slot);
            fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        }
        ck_assert_msg(last < 1e-3 * first, "%s: from %g to %g", table[k].use, first, last);
        lathe_instance_destroy(&a);
    }
}
END_TEST

START_TEST(first_steps_by_hand) {
    static const struct {
        const char *use;
        double want; /* p = 1, g = 0.5 */
    } table[] = {
        {"{\"sgd\": {\"learning_rate\": 0.1}}", 0.95},
        {"{\"sgd\": {\"learning_rate\": 0.1, \"momentum\": 0.9}}", 0.95},
        {"{\"sgd\": {\"learning_rate\": 0.1, \"momentum\": 0.9, \"nesterov\": true}}", 0.905},
        {"{\"adagrad\": {\"learning_rate\": 0.1}}", 0.9},
        {"{\"rmsprop\": {\"learning_rate\": 0.1, \"alpha\": 0.75}}", 0.8},
        {"{\"adam\": {\"learning_rate\": 0.1}}", 0.9},
        {"{\"adamw\": {\"learning_rate\": 0.1, \"weight_decay\": 0.5}}", 0.85},
    };
    const lathe_segment one = {.length = 1, .rows = 1, .cols = 1, .rate_scale = 1};
    lathe_error err = {0};
    for (size_t k = 0; k < sizeof table / sizeof table[0]; k++) {
        lathe_instance a;
        fixture_create(&fx, LATHE_KIND_OPTIMIZER, table[k].use, 0, &a);
        const lathe_optimizer *opt = a.interface;
        float p = 1;
        float slot[MAX_SLOTS] = {0};
        const float g = 2;
        lathe_step step = make_step(1, 0.1, &p, &g, slot);
        step.n = step.end = 1;
        step.segments = &one;
        step.n_segments = 1;
        fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        ck_assert_msg(fabs((double)p - table[k].want) < 1e-6, "%s: %.9g", table[k].use, (double)p);
        lathe_instance_destroy(&a);
    }
}
END_TEST

/* No gradient yet and eps 0: nothing moves, nothing becomes NaN. A NaN gradient is not hidden. */
START_TEST(zero_and_nan_gradients) {
    const char *const uses[] = {
        "{\"adagrad\": {\"eps\": 0}}",
        "{\"rmsprop\": {\"eps\": 0}}",
        "{\"rmsprop\": {\"eps\": 0, \"centered\": true, \"momentum\": 0.5}}",
        "{\"adam\": {\"eps\": 0}}",
        "{\"adam\": {\"eps\": 0, \"amsgrad\": true}}",
        "{\"adamw\": {\"eps\": 0, \"weight_decay\": 0}}",
        "sgd"};
    lathe_error err = {0};
    for (size_t k = 0; k < sizeof uses / sizeof uses[0]; k++) {
        lathe_instance a;
        fixture_create(&fx, LATHE_KIND_OPTIMIZER, uses[k], 0, &a);
        const lathe_optimizer *opt = a.interface;
        float p[N], before[N], g[N] = {0}, slot[MAX_SLOTS * N] = {0};
        start_parameters(p);
        start_parameters(before);
        lathe_step step = make_step(1, 0.1, p, g, slot);
        fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        ck_assert_msg(memcmp(p, before, sizeof p) == 0, "%s moved without a gradient", uses[k]);
        g[7] = NAN;
        step = make_step(2, 0.1, p, g, slot);
        fixture_ok(opt->step(a.self, &step, &err), &err, "step");
        ck_assert_msg(isnan(p[7]) && !isnan(p[6]) && !isnan(p[8]), "%s and a NaN", uses[k]);
        lathe_instance_destroy(&a);
    }
}
END_TEST

START_TEST(bad_steps_are_refused) {
    lathe_instance a;
    fixture_create(&fx, LATHE_KIND_OPTIMIZER, "adam", 0, &a);
    const lathe_optimizer *opt = a.interface;
    float p[N], g[N] = {0}, slot[MAX_SLOTS * N] = {0};
    start_parameters(p);
    lathe_error err = {0};
    lathe_step step = make_step(0, 0.1, p, g, slot);
    ck_assert_int_eq(opt->step(a.self, &step, &err), LATHE_E_INVALID);
    ck_assert_ptr_nonnull(strstr(err.message, "steps count from 1"));
    step = make_step(1, 0.1, p, g, slot);
    step.end = N + 1;
    ck_assert_int_eq(opt->step(a.self, &step, &err), LATHE_E_INVALID);
    step = make_step(1, 0.1, p, g, slot);
    step.n_segments = 2;
    ck_assert_int_eq(opt->step(a.self, &step, &err), LATHE_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.message, "cover 36 of 53"));
    lathe_segment gap[2] = {segments[0], segments[2]};
    step.segments = gap;
    ck_assert_int_eq(opt->step(a.self, &step, &err), LATHE_E_SHAPE);
    lathe_instance_destroy(&a);

    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"sgd\": {\"learning_rate\": 0}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"sgd\": {\"learning_rate\": -1}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"sgd\": {\"momentum\": 1}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"sgd\": {\"nesterov\": true}}", 0,
                    "momentum above 0");
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"adam\": {\"beta1\": 1}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"rmsprop\": {\"alpha\": 1}}", 0, NULL);
    fixture_refused(&fx, LATHE_KIND_OPTIMIZER, "{\"adagrad\": {\"lr\": 1}}", 0, NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("optimizers");
    TCase *t = tcase_create("optimizers");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, steps_are_torchs, 0, N_CASES);
    tcase_add_loop_test(t, splitting_does_not_matter, 0, N_CASES);
    tcase_add_test(t, finds_the_bottom_of_a_bowl);
    tcase_add_test(t, first_steps_by_hand);
    tcase_add_test(t, zero_and_nan_gradients);
    tcase_add_test(t, bad_steps_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

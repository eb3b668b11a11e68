/* The host's services, and calls into a plugin that does one thing wrong at a time. */
#include "base/cpu.h"
#include "plugin_fixture.h"

#include "base/rng.h"
#include "data/dataset.h"

#include <math.h>

static fixture fx;
static char last_log[4200];
static int n_logs, n_progress, n_metrics;
static lathe_event last_event;
static char last_text[600], last_scope[128];

static void on_event(void *user, const lathe_event *e) {
    (void)user;
    if (e->type == LATHE_EVENT_LOG) {
        n_logs++;
        snprintf(last_log, sizeof last_log, "%s", e->text);
    }
    n_progress += e->type == LATHE_EVENT_PROGRESS;
    n_metrics += e->type == LATHE_EVENT_METRIC;
    last_event = *e;
    snprintf(last_text, sizeof last_text, "%s", e->text);
    snprintf(last_scope, sizeof last_scope, "%s", e->scope);
}

static void setup(void) {
    static const char *const names[] = {"probe", "rogue", NULL};
    fixture_open_some(&fx, 3, names);
    lathe_runtime_free(fx.runtime);
    lathe_runtime_options o = {.catalogue = fx.catalogue, .pool = fx.pool, .on_event = on_event};
    lathe_error err;
    fixture_ok(lathe_runtime_new(&o, &fx.runtime, &err), &err, "runtime");
    fx.host = lathe_runtime_host(fx.runtime);
    n_logs = n_progress = n_metrics = 0;
}

static void teardown(void) {
    fixture_close(&fx);
}

/* ---- services ---- */

START_TEST(memory) {
    const lathe_host *h = fx.host;
    int64_t before = lathe_runtime_memory(fx.runtime);
    char *p = h->alloc(h, 100), *q = h->alloc(h, 0);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(q);
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(p[i], 0);
    ck_assert_int_eq(lathe_runtime_memory(fx.runtime) - before, 100);
    ck_assert_ptr_null(h->alloc(h, UINT64_MAX));
    ck_assert_ptr_null(h->alloc(h, UINT64_MAX / 2));
    h->free(h, p);
    h->free(h, q);
    h->free(h, NULL);
    ck_assert_int_eq(lathe_runtime_memory(fx.runtime), before);
    ck_assert_int_ge(lathe_runtime_memory_peak(fx.runtime), 100);
}
END_TEST

START_TEST(memory_limit) {
    lathe_runtime *rt;
    lathe_runtime_options o = {.catalogue = fx.catalogue, .memory_limit = 1000};
    ck_assert_int_eq(lathe_runtime_new(&o, &rt, NULL), LATHE_OK);
    const lathe_host *h = lathe_runtime_host(rt);
    void *a = h->alloc(h, 800);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_null(h->alloc(h, 300));
    h->free(h, a);
    a = h->alloc(h, 300);
    ck_assert_ptr_nonnull(a);
    h->free(h, a);
    lathe_runtime_free(rt);
}
END_TEST

/* Red zones: one byte beyond each end is found, at any size. */
START_TEST(zones) {
    lathe_instance i;
    lathe_error err = {0};
    fixture_create(&fx, LATHE_KIND_LEARNER, "rogue", LATHE_TASK_REGRESSION, &i);
    lathe_component *c = fixture_component(&fx, LATHE_KIND_LEARNER, "rogue", LATHE_TASK_REGRESSION);
    lathe_component_free(c);
    ck_assert_int_eq(lathe_runtime_check_zones(&i, &err), LATHE_OK);
    lathe_instance_destroy(&i);
    ck_assert_int_eq(n_logs, 0);
}
END_TEST

static int32_t count_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    int64_t *chunks = user;
    (void)worker;
    chunks[begin / 10] = end - begin;
    return begin == 70 ? LATHE_E_DATA : LATHE_OK;
}

START_TEST(loops) {
    int64_t chunks[7] = {0};
    const lathe_host *h = fx.host;
    ck_assert_int_eq(h->parallel_for(h, 65, 10, count_chunk, chunks), LATHE_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(chunks[i], 10);
    ck_assert_int_eq(chunks[6], 5);
    int64_t more[10];
    ck_assert_int_eq(h->parallel_for(h, 100, 10, count_chunk, more), LATHE_E_DATA);
    ck_assert_int_eq(h->parallel_for(h, 10, 0, count_chunk, more), LATHE_E_INVALID);
    ck_assert_int_ge(h->n_workers(h), 3);
}
END_TEST

START_TEST(numbers) {
    const lathe_host *h = fx.host;
    uint64_t a[10], b[5];
    float u[100], n[100];
    h->random_u64(h, 7, 0, a, 10);
    h->random_u64(h, 7, 5, b, 5);
    ck_assert_mem_eq(a + 5, b, sizeof b); /* element i is a function of (key, counter + i) */
    ck_assert_uint_ne(h->random_key(h, 7, 1), h->random_key(h, 7, 2));
    ck_assert_uint_eq(h->random_key(h, 7, 1), h->random_key(h, 7, 1));
    h->random_uniform(h, 1, 0, u, 100);
    h->random_normal(h, 1, 0, n, 100);
    for (int i = 0; i < 100; i++) {
        ck_assert(u[i] >= 0 && u[i] < 1);
        ck_assert(isfinite(n[i]));
    }
}
END_TEST

/* Against the plain triple loop, all transpositions, small and split; and the same bits on any
 * pool. */
static void product(int64_t m, int64_t n, int64_t k, int ta, int tb, lathe_runtime *one) {
    int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    size_t na = (size_t)((ta ? k : m) * lda), nb = (size_t)((tb ? n : k) * ldb),
           nc = (size_t)(m * ldc);
    float *a = malloc(na * 4), *b = malloc(nb * 4), *c = malloc(nc * 4), *c1 = malloc(nc * 4);
    double *d = malloc(nc * 8), *da = malloc(na * 8), *db = malloc(nb * 8);
    lathe_rng_normal_f32(1, 0, a, (int64_t)na);
    lathe_rng_normal_f32(2, 0, b, (int64_t)nb);
    lathe_rng_normal_f32(3, 0, c, (int64_t)nc);
    for (size_t i = 0; i < na; i++)
        da[i] = (double)a[i];
    for (size_t i = 0; i < nb; i++)
        db[i] = (double)b[i];
    for (size_t i = 0; i < nc; i++)
        d[i] = (double)c[i];
    memcpy(c1, c, nc * 4);
    float *before = malloc(nc * 4);
    memcpy(before, c, nc * 4);
    const lathe_host *h = fx.host, *h1 = lathe_runtime_host(one);
    ck_assert_int_eq(h->gemm_f32(h, ta, tb, m, n, k, 0.5f, a, lda, b, ldb, 2, c, ldc), LATHE_OK);
    ck_assert_int_eq(h1->gemm_f32(h1, ta, tb, m, n, k, 0.5f, a, lda, b, ldb, 2, c1, ldc), LATHE_OK);
    ck_assert_mem_eq(c, c1, nc * 4);
    ck_assert_int_eq(h->gemm_f64(h, ta, tb, m, n, k, 0.5, da, lda, db, ldb, 2, d, ldc), LATHE_OK);
    for (int64_t i = 0; i < m; i += 1 + m / 17)
        for (int64_t j = 0; j < n; j += 1 + n / 13) {
            double sum = 0;
            for (int64_t t = 0; t < k; t++)
                sum += da[ta ? t * lda + i : i * lda + t] * db[tb ? j * ldb + t : t * ldb + j];
            double want = 0.5 * sum + 2 * (double)before[i * ldc + j];
            ck_assert_double_eq_tol(d[i * ldc + j], want, 1e-10 * (1 + fabs(want)) * (double)k);
            ck_assert_double_eq_tol((double)c[i * ldc + j], want, 1e-5 * sqrt((double)k) * 20);
        }
    /* beyond the n columns nothing is touched */
    for (int64_t i = 0; i < m; i++)
        ck_assert_mem_eq(c + i * ldc + n, before + i * ldc + n, 8);
    free(before);
    free(a);
    free(b);
    free(c);
    free(c1);
    free(d);
    free(da);
    free(db);
}

START_TEST(products) {
    lathe_runtime *one;
    lathe_runtime_options o = {.catalogue = fx.catalogue};
    ck_assert_int_eq(lathe_runtime_new(&o, &one, NULL), LATHE_OK);
    for (int t = 0; t < 4; t++) {
        product(3, 5, 7, t & 1, t >> 1, one);
        product(700, 64, 90, t & 1, t >> 1, one);
        product(60, 801, 70, t & 1, t >> 1, one);
    }
    lathe_runtime_free(one);
    const lathe_host *h = fx.host;
    float c[4] = {1, 2, NAN, 4}, x = 1;
    ck_assert_int_eq(h->gemm_f32(h, 0, 0, 2, 2, 0, 1, &x, 0, &x, 2, 0, c, 2), LATHE_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(c[i], 0); /* beta 0 reads nothing */
    ck_assert_int_eq(h->gemm_f32(h, 0, 0, 2, 2, 3, 1, &x, 2, &x, 2, 0, c, 2), LATHE_E_SHAPE);
    ck_assert_int_eq(h->gemm_f32(h, 0, 0, -1, 2, 3, 1, &x, 3, &x, 2, 0, c, 2), LATHE_E_SHAPE);
    ck_assert_int_eq(h->gemm_f32(h, 0, 0, INT64_MAX, 1, 1, 1, &x, 1, &x, 1, 0, c, 1),
                     LATHE_E_SHAPE);
}
END_TEST

START_TEST(events) {
    lathe_instance i;
    fixture_create(&fx, LATHE_KIND_LEARNER, "rogue", LATHE_TASK_REGRESSION, &i);
    lathe_instance_set_scope(&i, "train/net");
    const lathe_host *h = fx.host;
    h->log(h, LATHE_LOG_WARN, "two\nlines \xFF");
    ck_assert_str_eq(last_log, "two lines ?");
    for (int k = 0; k < 1000; k++)
        h->progress(h, k / 1000.0, "working");
    ck_assert_int_le(n_progress, 3); /* rate-limited */
    int before = n_progress;
    h->progress(h, 2, NULL); /* the end always comes, and is at most 1 */
    ck_assert_int_eq(n_progress, before + 1);
    ck_assert_double_eq(last_event.value, 1);
    h->metric(h, "loss", 3, NAN);
    ck_assert_int_eq(n_metrics, 1);
    ck_assert_str_eq(last_text, "loss");
    ck_assert_int_eq(h->stopped(h), 0);
    lathe_runtime_request_stop(fx.runtime);
    ck_assert_int_ne(h->stopped(h), 0);
    lathe_instance_destroy(&i);
}
END_TEST

/* The level that kernels choose by: what the machine has, or what $LATHE_CPU leaves of it. */
START_TEST(cpu_level) {
    static const char *const wishes[] = {"baseline", "avx2", "avx512"};
    const uint32_t most[] = {0, LATHE_CPU_AVX2_FMA, LATHE_CPU_AVX2_FMA | LATHE_CPU_AVX512};
    ck_assert_int_eq(setenv("LATHE_CPU", wishes[_i], 1), 0); /* read once, at the first use */
    setup();
    const lathe_cpu *cpu = fx.host->get(fx.host, LATHE_HOST_CPU);
    ck_assert_ptr_nonnull(cpu);
    ck_assert_uint_eq(cpu->struct_size, LATHE_SIZED(lathe_cpu));
    ck_assert_uint_eq(cpu->level & ~most[_i], 0);
    ck_assert_uint_eq(cpu->level, lathe_cpu_level());
    ck_assert_ptr_null(fx.host->get(fx.host, "lathe.host.cpu/0"));
    teardown();
}
END_TEST

START_TEST(made_components) {
    const lathe_host *h = fx.host;
    const lathe_components *kids = h->get(h, LATHE_HOST_COMPONENTS);
    const lathe_component *c = NULL;
    lathe_instance i;
    lathe_error err = {0};
    ck_assert_int_eq(kids->make(h, LATHE_KIND_ACTIVATION, "probe", "{\"count\": 5}", &c, &err),
                     LATHE_OK);
    ck_assert_str_eq(kids->descriptor(h, c)->id, "org.test.probe");
    ck_assert_ptr_null(kids->descriptor(h, NULL));
    ck_assert_int_eq(kids->create(h, c, 0, NULL, &i, &err), LATHE_OK);
    ck_assert_ptr_nonnull(i.interface);
    kids->destroy(h, &i);
    kids->destroy(h, &i);
    ck_assert_int_eq(kids->make(h, LATHE_KIND_LEARNER, "probe", "{}", &c, &err), LATHE_E_NOT_FOUND);
    ck_assert_int_eq(kids->make(h, LATHE_KIND_ACTIVATION, "probe", "{\"count\": 0}", &c, &err),
                     LATHE_E_INVALID);
    ck_assert_int_eq(kids->make(h, LATHE_KIND_ACTIVATION, "probe", "{", &c, &err), LATHE_E_INVALID);
    ck_assert_int_eq(kids->create(h, NULL, 0, NULL, &i, &err), LATHE_E_INVALID);
    ck_assert_ptr_null(h->get(h, "org.example.none/1"));
}
END_TEST

/* ---- misbehaving ---- */

static const float matrix[8] = {1, 2, 3, 4, 5, 6, 7, 8}, target[4] = {1, 2, 3, 6};

/* Creates, fits and predicts a rogue with one fault; the first error that comes. */
static int32_t run_rogue(const char *fault, lathe_error *err) {
    char use[96];
    snprintf(use, sizeof use, "{\"rogue\": {\"fault\": \"%s\"}}", fault);
    lathe_dataset *data =
        fixture_dataset(&fx, LATHE_TASK_REGRESSION, 0, 4, 2, matrix, target, NULL);
    lathe_component *c = fixture_component(&fx, LATHE_KIND_LEARNER, use, LATHE_TASK_REGRESSION);
    lathe_instance i;
    void *context;
    float fitted[8] = {9, 9, 9, 9, 9, 9, 9, 9}, out[4] = {5, 5, 5, 5};
    memset(err, 0, sizeof *err);
    int32_t rc = lathe_instance_create(fx.runtime, c, 0, data, &i, err);
    lathe_component_free(c);
    if (rc == LATHE_OK) {
        lathe_open open = {.struct_size = sizeof open, .task = LATHE_TASK_REGRESSION, .data = data};
        rc = lathe_call_open(&i, &open, &context, err);
        ck_assert_int_eq(rc, LATHE_OK);
        lathe_fit fit = {.struct_size = sizeof fit, .fitted = fitted, .fitted_stride = 2};
        rc = lathe_call_fit(&i, context, &fit, err);
        lathe_call_close(&i, context);
        if (rc == LATHE_OK) {
            ck_assert_float_eq(fitted[2], 3);
            ck_assert_float_eq(fitted[3], 9); /* between the rows nothing is touched */
            rc = lathe_call_predict(&i, 4, matrix, 2, out, err);
            ck_assert_float_eq(out[1], rc == LATHE_OK ? 3 : 5);
        }
        lathe_instance_destroy(&i);
        ck_assert_ptr_null(i.self);
    }
    fixture_datasets(&fx)->release(data);
    return rc;
}

START_TEST(faults) {
    static const struct {
        const char *fault;
        int32_t code;
        const char *message;
    } cases[] = {
        {"none", LATHE_OK, ""},
        {"print", LATHE_OK, ""},
        {"overrun_output", LATHE_E_CORRUPT, "past the end of the fitted values"},
        {"underrun_output", LATHE_E_CORRUPT, "wrote 12 bytes before the begin of the predictions"},
        {"overrun_scratch", LATHE_E_CORRUPT, "past the end of its scratch memory"},
        {"overrun_block", LATHE_E_CORRUPT, "wrote 5 bytes past the end of a block of its own of 8"},
        {"nan_output", LATHE_E_NUMERIC, "NaN"},
        {"unwritten_output", LATHE_E_NUMERIC, "prediction of row 3"},
        {"unknown_code", LATHE_E_INTERNAL, "unknown code 4711: something else"},
        {"silent_failure", LATHE_E_NUMERIC, "failed without a message"},
        {"lie_output", LATHE_E_INTERNAL, "1000000000 values a row"},
        {"float_mode", LATHE_E_INTERNAL, "changed the processor's floating-point mode in fit()"},
        {"no_instance", LATHE_E_INTERNAL, "gave no instance"},
        {"garbage_message", LATHE_E_DATA, "???"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        lathe_error err;
        int32_t rc = run_rogue(cases[k].fault, &err);
        ck_assert_msg(rc == cases[k].code, "%s: code %d: %s", cases[k].fault, (int)rc, err.message);
        ck_assert_msg(strstr(err.message, cases[k].message) != NULL, "%s: %s", cases[k].fault,
                      err.message);
        if (rc != LATHE_OK)
            ck_assert_msg(strstr(err.where, "org.test.rogue") != NULL, "%s: %s", cases[k].fault,
                          err.where);
        ck_assert_uint_lt(strlen(err.message), sizeof err.message);
    }
}
END_TEST

START_TEST(leaks) {
    lathe_error err;
    ck_assert_int_eq(run_rogue("leak", &err), LATHE_OK);
    ck_assert_int_eq(lathe_runtime_leaks(fx.runtime), 1);
    ck_assert_str_eq(last_log, "org.test.rogue leaked 1 block of 8 bytes; they were freed");
    ck_assert_int_eq(lathe_runtime_memory(fx.runtime), 0);
    lathe_runtime_free(fx.runtime); /* teardown asks for none */
    lathe_runtime_options o = {.catalogue = fx.catalogue, .pool = fx.pool};
    ck_assert_int_eq(lathe_runtime_new(&o, &fx.runtime, NULL), LATHE_OK);
    fx.host = lathe_runtime_host(fx.runtime);
}
END_TEST

START_TEST(foreign_free) {
    lathe_error err;
    ck_assert_int_eq(run_rogue("foreign_free", &err), LATHE_OK);
    ck_assert_ptr_nonnull(strstr(last_log, "freed memory that it did not allocate"));
}
END_TEST

/* Where the adapter is needed and not installed, the sentence says so. */
START_TEST(no_adapter) {
    static const float classes[4] = {0, 1, 2, 1};
    lathe_dataset *data =
        fixture_dataset(&fx, LATHE_TASK_MULTICLASS, 3, 4, 2, matrix, classes, NULL);
    lathe_component *c = fixture_component(&fx, LATHE_KIND_LEARNER, "rogue", 0);
    lathe_instance i;
    lathe_error err = {0};
    ck_assert_int_eq(lathe_instance_create(fx.runtime, c, 0, data, &i, &err), LATHE_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "needs an adapter here (takes_multiclass)"));
    ck_assert_int_eq(
        lathe_instance_create(fx.runtime, c, LATHE_LEARNER_TAKES_GRADIENTS, NULL, &i, &err),
        LATHE_E_UNSUPPORTED);
    lathe_component_free(c);
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("plugin_runtime");
    TCase *t = tcase_create("runtime");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, memory);
    tcase_add_test(t, memory_limit);
    tcase_add_test(t, zones);
    tcase_add_test(t, loops);
    tcase_add_test(t, numbers);
    tcase_add_test(t, products);
    tcase_add_test(t, events);
    tcase_add_test(t, made_components);
    tcase_add_test(t, faults);
    tcase_add_test(t, leaks);
    tcase_add_test(t, foreign_free);
    tcase_add_test(t, no_adapter);
    suite_add_tcase(s, t);
    TCase *levels = tcase_create("levels");
    tcase_add_loop_test(levels, cpu_level, 0, 3);
    suite_add_tcase(s, levels);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

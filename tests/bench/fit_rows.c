/* Fitting in one process, from the matrix in memory, as the peers are timed:
 *
 *     fit_rows USE ROWS.f32 TARGET.f32 N_TRAIN FEATURES CLASSES THREADS OUT.f32 [SEED [CATEGORIES]]
 *
 * ROWS.f32: float32, row-major, FEATURES a row, as the learner takes them (scaled where it wants that); the first N_TRAIN
 * rows train, the others are predicted into OUT.f32. CLASSES 0: a regression. CATEGORIES: the features that hold codes,
 * and how many codes each: "1:8,3:16". A fit of 400 rows comes first, so that plugins and threads are ready. Prints one
 * JSON object: "seconds" of opening the dataset and fitting, "fit_mb", the peak memory of that beyond what there was
 * before (bins included, the matrix not; 0: the system does not say), "predict_seconds" of all the others on one
 * thread, "row_us", the microseconds of one row alone, and, for networks, three rates on the same threads, measured before
 * and after the fit: "product_gflops" of float32 matrix products of 1024 through the host's service, "peak_gflops", the
 * best of large ones, of 2048, by OpenBLAS, and "fma_gflops" of multiply-adds in registers alone, the bound of any
 * product. */
#include "base/clock.h"
#include "base/pool.h"
#include "plugin/bind.h"
#include "plugin/blas.h"
#include "plugin/call.h"
#include "plugin/catalogue.h"
#include "plugin/runtime.h"

#include <dlfcn.h>
#include <lathe/lathe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WARM_ROWS = 400, SIDE = 1024, LARGE = 2048, LARGE_PROBES = 2, SINGLE_ROWS = 4000 };

static lathe_catalogue *catalogue;
static lathe_pool *pool;
static lathe_runtime *runtime;

static void die(const char *what, const lathe_error *err) {
    fprintf(stderr, "fit_rows: %s%s%s\n", what, err ? ": " : "", err ? err->message : "");
    exit(1);
}

static float *read_floats(const char *path, size_t *n) {
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0)
        die(path, NULL);
    *n = (size_t)ftell(in) / sizeof(float);
    rewind(in);
    float *x = malloc(*n * sizeof *x + 1);
    if (x == NULL || fread(x, sizeof *x, *n, in) != *n)
        die(path, NULL);
    fclose(in);
    return x;
}

/* Marks the features that "1:8,3:16" names as categories. */
static void read_categories(const char *list, int64_t n, lathe_feature *features) {
    while (list != NULL && *list != 0) {
        char *end = NULL;
        const long long at = strtoll(list, &end, 10);
        if (at < 0 || at >= n || *end != ':')
            die("CATEGORIES is a list of feature:codes, as in 1:8,3:16", NULL);
        features[at].type = LATHE_FEATURE_CATEGORY;
        features[at].n_categories = (int32_t)strtol(end + 1, &end, 10);
        list = *end == ',' ? end + 1 : end;
    }
}

/* Megabytes of this line of /proc/self/status; 0: there is none. */
static double memory_of(const char *line) {
    char text[256];
    double kb = 0;
    FILE *in = fopen("/proc/self/status", "r");
    while (in != NULL && fgets(text, sizeof text, in) != NULL)
        if (strncmp(text, line, strlen(line)) == 0)
            kb = strtod(text + strlen(line), NULL);
    if (in != NULL)
        fclose(in);
    return kb / 1024;
}

/* The peak counts from now on. */
static void reset_peak(void) {
    FILE *out = fopen("/proc/self/clear_refs", "w");
    if (out != NULL) {
        fputs("5", out);
        fclose(out);
    }
}

static lathe_dataset *make_dataset(const lathe_host *host, int32_t task, int64_t classes, int64_t n,
                                   int64_t f, const float *x, const float *y,
                                   const char *categories) {
    lathe_feature *features = calloc((size_t)f, sizeof *features);
    char(*names)[24] = calloc((size_t)f, sizeof *names);
    lathe_dataset *data = NULL;
    lathe_error err = {0};
    if (features == NULL || names == NULL)
        die("out of memory", NULL);
    for (int64_t j = 0; j < f; j++) {
        snprintf(names[j], sizeof names[j], "x%lld", (long long)j);
        features[j] = (lathe_feature){.name = names[j], .type = LATHE_FEATURE_NUMERIC};
    }
    read_categories(categories, f, features);
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = task,
                               .n_rows = n,
                               .n_features = f,
                               .n_classes = classes,
                               .features = features,
                               .matrix = x,
                               .stride = f,
                               .target = y};
    const lathe_datasets *datasets = host->get(host, LATHE_HOST_DATASETS);
    if (datasets->make(host, &spec, &data, &err) != LATHE_OK)
        die("dataset", &err);
    free(features);
    free(names);
    return data;
}

/* Seconds of open and fit; *m is the fitted instance. */
static double fit(const char *use, int32_t task, int64_t classes, const lathe_dataset *data,
                  uint64_t seed, lathe_instance *m) {
    lathe_binder binder = {.catalogue = catalogue, .task = task, .load = true};
    lathe_component *c = NULL;
    lathe_error err = {0};
    void *context;
    if (lathe_bind_use(&binder, LATHE_KIND_LEARNER, use, &c, &err) != LATHE_OK ||
        lathe_instance_create(runtime, c, 0, NULL, m, &err) != LATHE_OK)
        die(use, &err);
    lathe_component_free(c);
    const lathe_learner *learner = m->interface;
    const lathe_open open = {
        .struct_size = LATHE_SIZED(lathe_open), .task = task, .n_classes = classes, .data = data};
    const lathe_fit how = {.struct_size = LATHE_SIZED(lathe_fit), .key = seed};
    const double start = lathe_now_seconds();
    if (learner->open(m->self, &open, &context, &err) != LATHE_OK)
        die("open", &err);
    if (learner->fit(m->self, context, &how, &err) != LATHE_OK)
        die("fit", &err);
    const double seconds = lathe_now_seconds() - start;
    learner->close(m->self, context);
    return seconds;
}

typedef struct speeds {
    double all; /* seconds of all rows at once */
    double row; /* mean of rows one by one */
} speeds;

static speeds predict(const lathe_instance *m, int64_t n, int64_t f, const float *x,
                      const char *path) {
    const lathe_learner *learner = m->interface;
    lathe_output about = {.struct_size = LATHE_SIZED(lathe_output)};
    lathe_error err = {0};
    if (learner->output(m->self, &about) != LATHE_OK)
        die("output", NULL);
    float *out = malloc((size_t)(n * about.n_outputs) * sizeof *out + 1);
    void *scratch = aligned_alloc(64, (size_t)(learner->scratch(m->self, n) + 127) / 64 * 64);
    FILE *to = fopen(path, "wb");
    if (out == NULL || scratch == NULL || to == NULL)
        die("predict", NULL);
    const double start = lathe_now_seconds();
    for (int64_t i = 0; i < n && i < SINGLE_ROWS; i++)
        learner->predict(m->self, 1, x + i * f, f, out, scratch, &err);
    const double between = lathe_now_seconds();
    if (learner->predict(m->self, n, x, f, out, scratch, &err) != LATHE_OK)
        die("predict", &err);
    const double end = lathe_now_seconds();
    if (fwrite(out, sizeof *out, (size_t)(n * about.n_outputs), to) !=
            (size_t)(n * about.n_outputs) ||
        fclose(to) != 0)
        die("predict", &err);
    free(out);
    free(scratch);
    return (speeds){end - between, (between - start) / (double)(n < SINGLE_ROWS ? n : SINGLE_ROWS)};
}

/* ---- what the machine can do ---- */

enum { SUMS = 12, FMA_STEPS = 200000, FMA_CHUNKS = 24, PROBES = 12 };

typedef float vector4 __attribute__((vector_size(16)));

/* FMA_STEPS times SUMS independent multiply-adds on vectors, which hide each other's latency. */
#define MULTIPLY_ADD(NAME, TARGET, VECTOR, SPREAD, FMA)                                            \
    TARGET static float NAME(float start) {                                                        \
        const VECTOR a = SPREAD(0.999f), b = SPREAD(0.001f);                                       \
        VECTOR s0 = SPREAD(start), s1 = s0 * 2, s2 = s0 * 3, s3 = s0 * 4, s4 = s0 * 5;             \
        VECTOR s5 = s0 * 6, s6 = s0 * 7, s7 = s0 * 8, s8 = s0 * 9, s9 = s0 * 10;                   \
        VECTOR s10 = s0 * 11, s11 = s0 * 12;                                                       \
        for (int i = 0; i < FMA_STEPS; i++) {                                                      \
            s0 = FMA(s0, a, b), s1 = FMA(s1, a, b), s2 = FMA(s2, a, b), s3 = FMA(s3, a, b);        \
            s4 = FMA(s4, a, b), s5 = FMA(s5, a, b), s6 = FMA(s6, a, b), s7 = FMA(s7, a, b);        \
            s8 = FMA(s8, a, b), s9 = FMA(s9, a, b), s10 = FMA(s10, a, b), s11 = FMA(s11, a, b);    \
        }                                                                                          \
        s0 = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + ((s8 + s9) + (s10 + s11));        \
        return s0[0] + s0[1];                                                                      \
    }

#define SPREAD_PLAIN(f) ((vector4){(f), (f), (f), (f)})
#define FMA_PLAIN(a, b, c) ((a) * (b) + (c))
MULTIPLY_ADD(multiply_add, , vector4, SPREAD_PLAIN, FMA_PLAIN)
#if defined(__x86_64__)
MULTIPLY_ADD(multiply_add_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps,
             _mm256_fmadd_ps)
MULTIPLY_ADD(multiply_add_avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps,
             _mm512_fmadd_ps)
#endif

typedef struct fma_job {
    float (*run)(float start);
    double lanes;
    float sink[FMA_CHUNKS];
} fma_job;

/* With the widest vectors that there are. */
static fma_job widest(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return (fma_job){.run = multiply_add_avx512, .lanes = 16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (fma_job){.run = multiply_add_avx2, .lanes = 8};
#endif
    return (fma_job){.run = multiply_add, .lanes = 4};
}

static int32_t fma_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    fma_job *job = user;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        job->sink[i] = job->run((float)i);
    return LATHE_OK;
}

/* The upper quartile of some probes: the best alone may be a slip of a virtual machine's clock. */
static double quartile(double *rates) {
    for (int i = 1; i < PROBES; i++)
        for (int j = i; j > 0 && rates[j] < rates[j - 1]; j--) {
            const double swap = rates[j];
            rates[j] = rates[j - 1];
            rates[j - 1] = swap;
        }
    return rates[PROBES * 3 / 4];
}

static double fma_gflops(const lathe_host *host) {
    fma_job job = widest();
    const double flop = 2.0 * SUMS * FMA_STEPS * FMA_CHUNKS * job.lanes;
    double rates[PROBES];
    for (int i = 0; i < PROBES; i++) {
        const double start = lathe_now_seconds();
        host->parallel_for(host, FMA_CHUNKS, 1, fma_chunk, &job);
        rates[i] = flop / (lathe_now_seconds() - start) * 1e-9;
    }
    return quartile(rates);
}

typedef struct matrices {
    int64_t side;
    float *a, *b, *c;
} matrices;

static matrices make_matrices(int64_t side) {
    size_t n = (size_t)(side * side);
    matrices m = {side, malloc(n * sizeof(float)), malloc(n * sizeof(float)),
                  calloc(n, sizeof(float))};
    if (m.a == NULL || m.b == NULL || m.c == NULL)
        die("out of memory", NULL);
    for (size_t i = 0; i < n; i++)
        m.a[i] = m.b[i] = (float)(i % 101) * 0.01f;
    return m;
}

static void free_matrices(matrices *m) {
    free(m->a);
    free(m->b);
    free(m->c);
}

static double product_rate(const matrices *m, double seconds) {
    return 2.0 * (double)(m->side * m->side * m->side) / seconds * 1e-9;
}

/* One product through the host's own service. */
static double host_product(const lathe_host *host, matrices *m) {
    const double start = lathe_now_seconds();
    host->gemm_f32(host, LATHE_NO_TRANS, LATHE_NO_TRANS, m->side, m->side, m->side, 1, m->a,
                   m->side, m->b, m->side, 0, m->c, m->side);
    return product_rate(m, lathe_now_seconds() - start);
}

/* One product by OpenBLAS's own threads; 0: it is another library. */
static double blas_product(matrices *m, int threads) {
    const lathe_blas *blas = lathe_blas_get();
    void *library = dlopen(LATHE_BLAS_SONAME, RTLD_NOW | RTLD_NOLOAD);
    void *symbol = library != NULL ? dlsym(library, "openblas_set_num_threads") : NULL;
    void (*set_num_threads)(int) = NULL;
    const int side = (int)m->side;
    if (blas == NULL || symbol == NULL)
        return 0;
    memcpy(&set_num_threads, &symbol, sizeof symbol);
    set_num_threads(threads);
    const double start = lathe_now_seconds();
    blas->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, side, side, side, 1, m->a, side, m->b,
                side, 0, m->c, side);
    const double seconds = lathe_now_seconds() - start;
    set_num_threads(1);
    dlclose(library);
    return product_rate(m, seconds);
}

/* Products of SIDE by SIDE matrices. */
static double product_gflops(const lathe_host *host) {
    matrices m = make_matrices(SIDE);
    double rates[PROBES];
    for (int i = 0; i < PROBES; i++)
        rates[i] = host_product(host, &m);
    free_matrices(&m);
    return quartile(rates);
}

/* The best that a large product reaches, its threads the pool's or OpenBLAS's. */
static double peak_gflops(const lathe_host *host, int threads) {
    matrices m = make_matrices(LARGE);
    double most = 0;
    for (int i = 0; i < 2 * LARGE_PROBES; i++) {
        const double rate = i % 2 ? host_product(host, &m) : blas_product(&m, threads);
        most = rate > most ? rate : most;
    }
    free_matrices(&m);
    return most;
}

typedef struct rates {
    double product, peak, fma;
} rates;

static double greater(double a, double b) {
    return a > b ? a : b;
}

/* Each is the greater of what was seen before and now. */
static void probe(const lathe_host *host, int threads, rates *r) {
    r->product = greater(r->product, product_gflops(host));
    r->peak = greater(r->peak, peak_gflops(host, threads));
    r->fma = greater(r->fma, fma_gflops(host));
}

int main(int argc, char **argv) {
    if (argc < 9 || argc > 11)
        die("usage: fit_rows USE ROWS.f32 TARGET.f32 N_TRAIN FEATURES CLASSES THREADS OUT.f32 "
            "[SEED [CATEGORIES]]",
            NULL);
    const char *use = argv[1];
    const uint64_t seed = argc > 9 ? strtoull(argv[9], NULL, 10) : 1;
    const int64_t n = atoll(argv[4]), f = atoll(argv[5]), classes = atoll(argv[6]);
    const int32_t task = classes == 0   ? LATHE_TASK_REGRESSION
                         : classes == 2 ? LATHE_TASK_BINARY
                                        : LATHE_TASK_MULTICLASS;
    lathe_error err = {0};
    lathe_catalogue_options opt = {.builtin_dir = LATHE_PLUGIN_DIR, .no_environment = true};
    size_t n_x, n_y;
    float *x = read_floats(argv[2], &n_x), *y = read_floats(argv[3], &n_y);
    if (n < WARM_ROWS || f < 1 || (int64_t)n_x < n * f || (int64_t)n_y < n)
        die("the rows are fewer than N_TRAIN says", NULL);
    if (lathe_catalogue_open(&opt, &catalogue, &err) != LATHE_OK)
        die("plugins", &err);
    pool = lathe_pool_new(atoi(argv[7]));
    lathe_runtime_options run = {.catalogue = catalogue, .pool = pool};
    if (pool == NULL || lathe_runtime_new(&run, &runtime, &err) != LATHE_OK)
        die("runtime", &err);
    const lathe_host *host = lathe_runtime_host(runtime);
    const char *categories = argc > 10 ? argv[10] : NULL;
    lathe_dataset *few = make_dataset(host, task, classes, WARM_ROWS, f, x, y, categories);
    lathe_dataset *all = make_dataset(host, task, classes, n, f, x, y, categories);
    lathe_instance warm = {0}, m = {0};
    fit(use, task, classes, few, seed, &warm);
    const int network = strstr(use, "\"mlp\"") == use + 1;
    const int threads = atoi(argv[7]);
    rates can = {0};
    if (network)
        probe(host, threads, &can);
    reset_peak();
    const double before = memory_of("VmRSS:");
    const double seconds = fit(use, task, classes, all, seed, &m);
    const double most = memory_of("VmHWM:") - before;
    const speeds speed = predict(&m, (int64_t)n_x / f - n, f, x + n * f, argv[8]);
    if (network)
        probe(host, threads, &can);
    printf("{\"seconds\": %.6f, \"fit_mb\": %.1f, \"predict_seconds\": %.6f, \"row_us\": %.3f, "
           "\"product_gflops\": %.1f, \"peak_gflops\": %.1f, \"fma_gflops\": %.1f}\n",
           seconds, most > 0 ? most : 0.0, speed.all, speed.row * 1e6, can.product, can.peak,
           can.fma);
    return 0;
}

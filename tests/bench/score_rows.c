/* Scoring in one process through the host's own calls, beside LightGBM's C API on the same rows:
 *
 *     score_rows MODEL ROWS.f32 FEATURES THREADS REPEATS [LIB_LIGHTGBM.SO MODEL.TXT]
 *
 * ROWS.f32: float32, row-major, FEATURES a row. Prints one JSON object. "batch": seconds for all rows from the matrix
 * in memory to probabilities (lathe_learner_predict; LGBM_BoosterPredictForMat), a list of the repetitions. "row":
 * nanoseconds of one row alone to its raw score, different rows in turn on one thread (the learner's predict as a serving
 * worker calls it; LGBM_BoosterPredictForMatSingleRowFast): median and 99th percentile. "load": seconds.
 */
#include "base/clock.h"
#include "base/pool.h"
#include "model/model.h"
#include "plugin/catalogue.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENCY_ROWS = 20000, MAX_REPEATS = 100 };

typedef struct rows {
    const float *x;
    int64_t n, f;
} rows;

/* One program: all rows, and one row. */
typedef struct scorer {
    const char *name;
    void *self;
    void (*batch)(void *self, const rows *r);
    void (*row)(void *self, const float *x, double *out);
    double load_seconds, batch_seconds[MAX_REPEATS];
    int64_t median_ns[MAX_REPEATS], p99_ns[MAX_REPEATS];
    double check; /* sum of the raw scores of the latency rows */
} scorer;

static void die(const char *what, const lathe_error *err) {
    fprintf(stderr, "score_rows: %s%s%s\n", what, err ? ": " : "", err ? err->message : "");
    exit(1);
}

/* ---- ours ---- */

typedef struct lathe_side {
    lathe_catalogue *catalogue;
    lathe_pool *pool;
    lathe_runtime *runtime;
    lathe_model *model;
    const lathe_instance *learner;
    void *scratch;
} lathe_side;

static void lathe_load(lathe_side *s, const char *path, int threads) {
    lathe_error err = {0};
    lathe_catalogue_options opt = {.builtin_dir = LATHE_PLUGIN_DIR, .no_environment = true};
    if (lathe_catalogue_open(&opt, &s->catalogue, &err) != LATHE_OK)
        die("plugins", &err);
    s->pool = lathe_pool_new(threads);
    lathe_runtime_options run = {.catalogue = s->catalogue, .pool = s->pool};
    if (lathe_runtime_new(&run, &s->runtime, &err) != LATHE_OK ||
        lathe_model_open(s->runtime, path, &s->model, &err) != LATHE_OK)
        die("model", &err);
    s->learner = lathe_model_learner(s->model);
    const lathe_learner *t = s->learner->interface;
    const int64_t bytes = (t->scratch(s->learner->self, 1) + 127) / 64 * 64;
    s->scratch = aligned_alloc(64, (size_t)bytes);
}

static void lathe_batch(void *self, const rows *r) {
    lathe_side *s = self;
    const lathe_model_info *info = lathe_model_get_info(s->model);
    lathe_prediction p;
    lathe_error err = {0};
    if (lathe_learner_predict(s->runtime, s->learner, info->task, info->n_classes, r->x, r->n, r->f,
                              &p, &err) != LATHE_OK)
        die("predict", &err);
    lathe_prediction_free(&p);
}

static void lathe_row(void *self, const float *x, double *out) {
    lathe_side *s = self;
    const lathe_learner *t = s->learner->interface;
    float score[1024];
    lathe_error err;
    if (t->predict(s->learner->self, 1, x, 1 << 20, score, s->scratch, &err) != LATHE_OK)
        die("predict", &err);
    *out = (double)score[0];
}

/* ---- LightGBM's C API, by its documented signatures ---- */

typedef struct lightgbm_side {
    int (*predict)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *,
                   int64_t *, double *);
    int (*fast)(void *, const void *, int64_t *, double *);
    void *booster, *config;
    double *out;
    char parameters[64];
} lightgbm_side;

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        die(name, NULL);
    return found;
}

static void lightgbm_load(lightgbm_side *s, const char *library, const char *path, int threads,
                          const rows *r) {
    int (*create)(const char *, int *, void **), rounds;
    int (*init)(void *, int, int, int, int, int32_t, const char *, void **);
    void *so = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        die(dlerror(), NULL);
    *(void **)&create = symbol(so, "LGBM_BoosterCreateFromModelfile");
    *(void **)&init = symbol(so, "LGBM_BoosterPredictForMatSingleRowFastInit");
    *(void **)&s->predict = symbol(so, "LGBM_BoosterPredictForMat");
    *(void **)&s->fast = symbol(so, "LGBM_BoosterPredictForMatSingleRowFast");
    snprintf(s->parameters, sizeof s->parameters, "num_threads=%d verbosity=-1", threads);
    if (create(path, &rounds, &s->booster) != 0 ||
        init(s->booster, 1, 0, -1, 0, (int32_t)r->f, "num_threads=1 verbosity=-1", &s->config) != 0)
        die("LightGBM refused the model", NULL);
    s->out = malloc((size_t)r->n * sizeof *s->out);
}

static void lightgbm_batch(void *self, const rows *r) {
    lightgbm_side *s = self;
    int64_t n;
    if (s->predict(s->booster, r->x, 0, (int32_t)r->n, (int32_t)r->f, 1, 0, 0, -1, s->parameters,
                   &n, s->out) != 0)
        die("LightGBM's predict failed", NULL);
}

static void lightgbm_row(void *self, const float *x, double *out) {
    lightgbm_side *s = self;
    int64_t n;
    if (s->fast(s->config, x, &n, out) != 0)
        die("LightGBM's single-row predict failed", NULL);
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void measure(scorer *s, const rows *r, int turn) {
    static int64_t ns[LATENCY_ROWS];
    const double start = lathe_now_seconds();
    s->batch(s->self, r);
    s->batch_seconds[turn] = lathe_now_seconds() - start;
    s->check = 0;
    for (int64_t i = 0; i < LATENCY_ROWS; i++) {
        double out;
        const int64_t begin = lathe_now_ns();
        s->row(s->self, r->x + i % r->n * r->f, &out);
        ns[i] = lathe_now_ns() - begin;
        s->check += out;
    }
    qsort(ns, LATENCY_ROWS, sizeof *ns, by_value);
    s->median_ns[turn] = ns[LATENCY_ROWS / 2];
    s->p99_ns[turn] = ns[LATENCY_ROWS * 99 / 100];
}

static void print_side(const scorer *s, int repeats) {
    printf("\"%s\": {\"load\": %.6f, \"check\": %.6f, \"batch\": [", s->name, s->load_seconds,
           s->check);
    for (int k = 0; k < repeats; k++)
        printf("%s%.6f", k ? ", " : "", s->batch_seconds[k]);
    printf("], \"row_median_ns\": [");
    for (int k = 0; k < repeats; k++)
        printf("%s%lld", k ? ", " : "", (long long)s->median_ns[k]);
    printf("], \"row_p99_ns\": [");
    for (int k = 0; k < repeats; k++)
        printf("%s%lld", k ? ", " : "", (long long)s->p99_ns[k]);
    printf("]}");
}

static rows read_rows(const char *path, int64_t f) {
    rows r = {.f = f};
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END) != 0)
        die("the rows cannot be read", NULL);
    r.n = ftell(in) / (int64_t)sizeof(float) / f;
    rewind(in);
    float *x = aligned_alloc(64, ((size_t)(r.n * f) * sizeof *x + 63) / 64 * 64);
    if (!x || fread(x, sizeof *x, (size_t)(r.n * f), in) != (size_t)(r.n * f))
        die("the rows cannot be read", NULL);
    fclose(in);
    r.x = x;
    return r;
}

int main(int argc, char **argv) {
    if (argc != 6 && argc != 8)
        die("usage: score_rows MODEL ROWS.f32 FEATURES THREADS REPEATS [LIB_LIGHTGBM.SO MODEL.TXT]",
            NULL);
    const int threads = atoi(argv[4]), repeats = atoi(argv[5]);
    const rows r = read_rows(argv[2], atoll(argv[3]));
    lathe_side ours = {0};
    lightgbm_side theirs = {0};
    scorer side[2] = {
        {.name = "lathe", .self = &ours, .batch = lathe_batch, .row = lathe_row},
        {.name = "lightgbm", .self = &theirs, .batch = lightgbm_batch, .row = lightgbm_row}};
    const int sides = argc == 8 ? 2 : 1;
    if (repeats < 1 || repeats > MAX_REPEATS || threads < 1)
        die("THREADS and REPEATS must be positive", NULL);
    double start = lathe_now_seconds();
    lathe_load(&ours, argv[1], threads);
    side[0].load_seconds = lathe_now_seconds() - start;
    start = lathe_now_seconds();
    if (sides == 2)
        lightgbm_load(&theirs, argv[6], argv[7], threads, &r);
    side[1].load_seconds = lathe_now_seconds() - start;
    for (int k = 0; k < sides; k++) { /* nobody pays for first touches */
        const rows few = {r.x, r.n < 20000 ? r.n : 20000, r.f};
        side[k].batch(side[k].self, &few);
    }
    for (int turn = 0; turn < repeats; turn++)
        for (int k = 0; k < sides; k++)
            measure(&side[k], &r, turn);
    printf("{");
    for (int k = 0; k < sides; k++) {
        printf("%s", k ? ", " : "");
        print_side(&side[k], repeats);
    }
    printf("}\n");
    return 0;
}

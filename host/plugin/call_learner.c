#include "data/dataset.h"
#include "plugin/call.h"
#include "plugin/guard.h"
#include "plugin/runtime_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OUTPUTS 65536
#define PREDICT_ROWS 1024 /* rows of a chunk */

static const lathe_learner *table_of(const lathe_instance *i) {
    return i->interface;
}

int32_t lathe_call_open(const lathe_instance *i, const lathe_open *open, void **context,
                        lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    *context = NULL;
    impl->open_rows = open->data != NULL ? lathe_dataset_rows(open->data) : 0;
    lathe_call_begin(&call, impl, "open");
    int32_t rc = table_of(i)->open(i->self, open, context, &theirs);
    return lathe_call_finish(&call, rc, &theirs, err);
}

void lathe_call_close(const lathe_instance *i, void *context) {
    lathe_call call;
    lathe_call_begin(&call, lathe_impl_of(i), "close");
    table_of(i)->close(i->self, context);
    lathe_call_end(&call);
}

int32_t lathe_call_output(const lathe_instance *i, lathe_output *output, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    *output = (lathe_output){.struct_size = LATHE_SIZED(lathe_output)};
    lathe_call_begin(&call, impl, "output");
    int32_t rc = table_of(i)->output(i->self, output);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc != LATHE_OK)
        return rc;
    if (output->type < LATHE_OUTPUT_VALUE || output->type > LATHE_OUTPUT_SCORE ||
        output->n_outputs < 1 || output->n_outputs > MAX_OUTPUTS || output->n_features < 0 ||
        output->n_features > INT32_MAX)
        return lathe_fail(
            err, LATHE_E_INTERNAL, impl->id,
            "%s declares an output that cannot be: type %d, %lld values a row of %lld "
            "features; ask its author",
            impl->id, (int)output->type, (long long)output->n_outputs,
            (long long)output->n_features);
    return LATHE_OK;
}

/* The first row of [n, stride] with a NaN in its first `used` columns; -1: none. */
static int64_t nan_row(const float *values, int64_t n, int64_t stride, int64_t used) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t o = 0; o < used; o++)
            if (values[r * stride + o] != values[r * stride + o])
                return r;
    return -1;
}

static int32_t fail_nan(const lathe_impl *impl, const char *what, int64_t row, lathe_error *err) {
    return lathe_fail(err, LATHE_E_NUMERIC, impl->id,
                      "%s gave NaN (or nothing) as the %s of row %lld; its training diverged or "
                      "the plugin is faulty",
                      impl->id, what, (long long)row);
}

/* fit with the fitted values in guarded memory. */
static int32_t fit_guarded(const lathe_instance *i, void *context, const lathe_fit *fit,
                           lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    lathe_guard guard = {0};
    lathe_fit own = *fit;
    int32_t rc = LATHE_OK;
    int64_t rows = impl->open_rows;
    if (fit->fitted != NULL) {
        if (fit->fitted_stride < 1 || rows > INT64_MAX / fit->fitted_stride)
            return lathe_fail(err, LATHE_E_SHAPE, impl->id, "fitted_stride %lld cannot be",
                              (long long)fit->fitted_stride);
        rc = lathe_guard_new(&guard, rows * fit->fitted_stride, sizeof(float), err);
        if (rc != LATHE_OK)
            return rc;
        own.fitted = guard.data;
    }
    lathe_call_begin(&call, impl, "fit");
    rc = table_of(i)->fit(i->self, context, &own, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc == LATHE_OK)
        rc = lathe_guard_check(&guard, impl->id, "the fitted values", err);
    if (rc == LATHE_OK && fit->fitted != NULL) {
        lathe_output output;
        rc = lathe_call_output(i, &output, err);
        int64_t used =
            output.n_outputs < fit->fitted_stride ? output.n_outputs : fit->fitted_stride;
        int64_t bad = rc == LATHE_OK ? nan_row(own.fitted, rows, fit->fitted_stride, used) : -1;
        if (bad >= 0)
            rc = fail_nan(impl, "fitted value", bad, err);
        for (int64_t r = 0; rc == LATHE_OK && r < rows; r++)
            memcpy(fit->fitted + r * fit->fitted_stride, own.fitted + r * fit->fitted_stride,
                   (size_t)used * sizeof(float));
    }
    lathe_guard_free(&guard);
    return rc;
}

int32_t lathe_call_fit(const lathe_instance *i, void *context, const lathe_fit *fit,
                       lathe_error *err) {
    return fit_guarded(i, context, fit, err);
}

/* ---- predicting ---- */

typedef struct prediction {
    const lathe_instance *instance;
    const float *x;
    int64_t stride, n_outputs;
    float *out;
    const lathe_guard *scratch; /* one a worker */
    pthread_mutex_t lock;       /* for err */
    int64_t failed_at;          /* begin of the earliest chunk that failed; -1: none */
    lathe_error err;
} prediction;

static int32_t predict_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    prediction *p = user;
    lathe_impl *impl = lathe_impl_of(p->instance);
    lathe_error theirs = {0}, mine = {0};
    lathe_call call;
    lathe_call_begin(&call, impl, "predict");
    call.zones_later = true;
    int32_t rc = table_of(p->instance)
                     ->predict(p->instance->self, end - begin, p->x + begin * p->stride, p->stride,
                               p->out + begin * p->n_outputs, p->scratch[worker].data, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, &mine);
    if (rc != LATHE_OK) {
        pthread_mutex_lock(&p->lock);
        if (p->failed_at < 0 || begin < p->failed_at) {
            p->failed_at = begin;
            p->err = mine;
        }
        pthread_mutex_unlock(&p->lock);
    }
    return rc;
}

static void free_scratch(lathe_guard *scratch, int32_t n) {
    for (int32_t w = 0; scratch != NULL && w < n; w++)
        lathe_guard_free(&scratch[w]);
    free(scratch);
}

/* Guarded scratch memory, one a worker. */
static int32_t new_scratch(const lathe_instance *i, int32_t n, lathe_guard **out,
                           lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    int64_t need = table_of(i)->scratch(i->self, PREDICT_ROWS);
    *out = NULL;
    if (need < 0 || need > (INT64_C(1) << 40))
        return lathe_fail(err, LATHE_E_INTERNAL, impl->id,
                          "%s wants %lld bytes of scratch for %d rows, which cannot be", impl->id,
                          (long long)need, PREDICT_ROWS);
    lathe_guard *scratch = calloc((size_t)n, sizeof *scratch);
    if (scratch == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, impl->id, "out of memory");
    for (int32_t w = 0; w < n; w++) {
        int32_t rc = lathe_guard_new(&scratch[w], need, 1, err);
        if (rc != LATHE_OK) {
            free_scratch(scratch, n);
            return rc;
        }
    }
    *out = scratch;
    return LATHE_OK;
}

/* What predict wrote, and what it must not have written. */
static int32_t check_prediction(const prediction *p, const lathe_guard *result, int64_t n,
                                int32_t n_workers, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(p->instance);
    int32_t rc = lathe_impl_check_zones(impl, err);
    if (rc == LATHE_OK)
        rc = lathe_guard_check(result, impl->id, "the predictions", err);
    for (int32_t w = 0; rc == LATHE_OK && w < n_workers; w++)
        rc = lathe_guard_check(&p->scratch[w], impl->id, "its scratch memory", err);
    if (rc != LATHE_OK)
        return rc;
    int64_t bad = nan_row(p->out, n, p->n_outputs, p->n_outputs);
    return bad >= 0 ? fail_nan(impl, "prediction", bad, err) : LATHE_OK;
}

int32_t lathe_call_predict(const lathe_instance *i, int64_t n, const float *x, int64_t stride,
                           float *out, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    bool parallel = impl->concurrency == LATHE_CONCURRENCY_CONST;
    lathe_pool *pool = parallel ? impl->runtime->options.pool : NULL;
    int32_t n_workers = lathe_pool_workers(pool);
    lathe_output output;
    lathe_guard result = {0}, *scratch = NULL;
    int32_t rc = lathe_call_output(i, &output, err);
    if (rc != LATHE_OK)
        return rc;
    if (n < 0 || stride < output.n_features || n > INT64_MAX / output.n_outputs)
        return lathe_fail(err, LATHE_E_SHAPE, impl->id,
                          "%s reads rows of %lld features and was given %lld rows of %lld",
                          impl->id, (long long)output.n_features, (long long)n, (long long)stride);
    if ((rc = lathe_guard_new(&result, n * output.n_outputs, sizeof(float), err)) != LATHE_OK ||
        (rc = new_scratch(i, n_workers, &scratch, err)) != LATHE_OK)
        goto done;
    prediction p = {.instance = i,
                    .x = x,
                    .stride = stride,
                    .n_outputs = output.n_outputs,
                    .out = result.data,
                    .scratch = scratch,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .failed_at = -1};
    rc = lathe_pool_run(pool, n, PREDICT_ROWS, predict_chunk, &p);
    if (rc == LATHE_OK) {
        rc = check_prediction(&p, &result, n, n_workers, err);
    } else if (p.failed_at >= 0) {
        rc = p.err.code;
        if (err != NULL)
            *err = p.err;
    }
    if (rc == LATHE_OK && n > 0)
        memcpy(out, result.data, result.bytes);
done:
    free_scratch(scratch, n_workers);
    lathe_guard_free(&result);
    return rc;
}

int32_t lathe_call_importance(const lathe_instance *i, int32_t type, int64_t n_features,
                              double *importance, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    lathe_error theirs = {0};
    lathe_call call;
    lathe_guard guard = {0};
    if (!(impl->descriptor->flags & LATHE_LEARNER_GIVES_IMPORTANCE) ||
        table_of(i)->importance == NULL)
        return lathe_fail(err, LATHE_E_UNSUPPORTED, impl->id, "%s gives no importances", impl->id);
    int32_t rc = lathe_guard_new(&guard, n_features, sizeof(double), err);
    if (rc != LATHE_OK)
        return rc;
    lathe_call_begin(&call, impl, "importance");
    rc = table_of(i)->importance(i->self, type, n_features, guard.data, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc == LATHE_OK)
        rc = lathe_guard_check(&guard, impl->id, "the importances", err);
    const double *values = guard.data;
    for (int64_t f = 0; rc == LATHE_OK && f < n_features; f++)
        if (values[f] != values[f])
            rc = lathe_fail(err, LATHE_E_NUMERIC, impl->id,
                            "%s gave NaN (or nothing) as the importance of feature %lld", impl->id,
                            (long long)f);
    if (rc == LATHE_OK && n_features > 0)
        memcpy(importance, values, guard.bytes);
    lathe_guard_free(&guard);
    return rc;
}

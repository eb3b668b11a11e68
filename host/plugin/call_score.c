/* Calls of the kinds that judge: splits, metrics, drift tests. */
#include "plugin/call.h"
#include "plugin/guard.h"
#include "plugin/runtime_internal.h"

#include <math.h>
#include <string.h>

#define MAX_FOLDS 100000

int32_t lathe_call_split_folds(const lathe_instance *i, int64_t *n_folds, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    const lathe_split *table = i->interface;
    lathe_call call;
    lathe_call_begin(&call, impl, "n_folds");
    int32_t n = table->n_folds(i->self);
    lathe_call_end(&call);
    *n_folds = n;
    if (n < 0 || n > MAX_FOLDS)
        return lathe_fail(err, LATHE_E_INTERNAL, impl->id, "%s declares %d folds, which cannot be",
                          impl->id, (int)n);
    return LATHE_OK;
}

static int32_t check_parts(const lathe_impl *impl, const int32_t *part, const int32_t *fold,
                           int64_t n, int64_t n_folds, lathe_error *err) {
    for (int64_t r = 0; r < n; r++) {
        if (part[r] < LATHE_PART_TRAIN || part[r] > LATHE_PART_NONE)
            return lathe_fail(err, LATHE_E_INTERNAL, impl->id,
                              "%s put row %lld into part %d (or none)", impl->id, (long long)r,
                              (int)part[r]);
        if (fold == NULL)
            continue;
        bool training = part[r] == LATHE_PART_TRAIN;
        if (training ? fold[r] < 0 || fold[r] >= n_folds : fold[r] != -1)
            return lathe_fail(err, LATHE_E_INTERNAL, impl->id,
                              "%s put row %lld of part %d into fold %d of %lld", impl->id,
                              (long long)r, (int)part[r], (int)fold[r], (long long)n_folds);
    }
    return LATHE_OK;
}

int32_t lathe_call_split(const lathe_instance *i, const lathe_split_input *in, int32_t *part,
                         int32_t *fold, lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    const lathe_split *table = i->interface;
    int64_t n_folds, n = in->table->n_rows;
    lathe_error theirs = {0};
    lathe_call call;
    lathe_guard parts = {0}, folds = {0};
    int32_t rc = lathe_call_split_folds(i, &n_folds, err);
    if (rc != LATHE_OK)
        return rc;
    bool wants = n_folds > 0;
    if ((rc = lathe_guard_new(&parts, n, sizeof *part, err)) != LATHE_OK ||
        (rc = lathe_guard_new(&folds, wants ? n : 0, sizeof *fold, err)) != LATHE_OK)
        goto done;
    lathe_call_begin(&call, impl, "assign");
    rc = table->assign(i->self, in, parts.data, wants ? folds.data : NULL, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc == LATHE_OK)
        rc = lathe_guard_check(&parts, impl->id, "the parts", err);
    if (rc == LATHE_OK)
        rc = lathe_guard_check(&folds, impl->id, "the folds", err);
    if (rc == LATHE_OK)
        rc = check_parts(impl, parts.data, wants ? folds.data : NULL, n, n_folds, err);
    if (rc == LATHE_OK && n > 0) {
        memcpy(part, parts.data, parts.bytes);
        if (fold != NULL && wants)
            memcpy(fold, folds.data, folds.bytes);
        else if (fold != NULL)
            memset(fold, 0xFF, (size_t)n * sizeof *fold);
    }
done:
    lathe_guard_free(&folds);
    lathe_guard_free(&parts);
    return rc;
}

int32_t lathe_call_metric(const lathe_instance *i, const lathe_metric_input *in, double *value,
                          lathe_error *err) {
    const lathe_metric *table = i->interface;
    lathe_error theirs = {0}, mine = {0};
    lathe_call call;
    double result = 0;
    lathe_call_begin(&call, lathe_impl_of(i), "compute");
    int32_t rc = table->compute(i->self, in, &result, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err != NULL ? err : &mine);
    if (rc == LATHE_OK)
        *value = result;
    return rc;
}

int32_t lathe_call_drift(const lathe_instance *i, const lathe_distribution *reference,
                         const lathe_distribution *current, lathe_drift_result *result,
                         lathe_error *err) {
    lathe_impl *impl = lathe_impl_of(i);
    const lathe_drift *table = i->interface;
    lathe_error theirs = {0};
    lathe_call call;
    lathe_drift_result own = {.struct_size = LATHE_SIZED(lathe_drift_result)};
    own.p_value = own.statistic = own.threshold = NAN;
    lathe_call_begin(&call, impl, "compare");
    int32_t rc = table->compare(i->self, reference, current, &own, &theirs);
    rc = lathe_call_finish(&call, rc, &theirs, err);
    if (rc != LATHE_OK)
        return rc;
    if (own.statistic != own.statistic)
        return lathe_fail(err, LATHE_E_NUMERIC, impl->id, "%s gave NaN as its statistic", impl->id);
    own.struct_size = LATHE_SIZED(lathe_drift_result);
    *result = own;
    return LATHE_OK;
}

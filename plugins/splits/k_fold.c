/* k_fold.c: k folds of the training rows for cross-validation, beside an optional test part.
 *
 * (M. Stone, "Cross-validatory choice and assessment of statistical predictions", JRSS B 36, 1974.) The test part
 * is drawn as in random.c or stratified.c. The other rows, in the order of their random keys, are cut into k runs
 * whose lengths differ by at most one. Stratified, each class is cut so; the odd rows of a class go to the folds
 * that are shortest so far, so that the folds' sizes too differ by at most one.
 */
#include "strata.h"

#define MAX_FOLDS 1000

typedef struct k_fold_config {
    int64_t folds;
    int32_t stratified;
    double test;
    int64_t bins;
} k_fold_config;

enum { STRATIFIED_AUTO, STRATIFIED_YES, STRATIFIED_NO };
static const char *const stratified_choices[] = {"auto", "yes", "no", NULL};

static const lathe_param k_fold_params[] = {
    LATHE_P_INT(k_fold_config, folds, 0, "5", 2, MAX_FOLDS, "Number of folds.", .unit = "folds"),
    LATHE_P_ENUM(k_fold_config, stratified, 0, "\"auto\"", stratified_choices,
                 "Does every class keep its share in each fold; auto: for classification."),
    LATHE_P_FLOAT(k_fold_config, test, LATHE_PARAM_EXCL_MAX, "0.2", 0, 1,
                  "Share of the rows that are in no fold and test the selected model."),
    LATHE_P_INT(k_fold_config, bins, 0, "10", 2, 1000,
                "Groups of equal counts that stand for classes where the target is a number and "
                "stratified is \"yes\"."),
};

static int32_t k_fold_n_folds(const void *self) {
    const split_self *s = self;
    return (int32_t)((const k_fold_config *)s->config)->folds;
}

/* The first share of each stratum tests: cumulative rounding keeps the total exact. */
static void take_test(split_row *rows, int64_t n, int64_t n_test, int32_t *part) {
    int64_t end, given = 0;
    for (int64_t i = 0; i < n; i = end) {
        end = split_stratum_end(rows, n, i);
        int64_t until = (int64_t)floor((double)end * (double)n_test / (double)n + 0.5);
        for (int64_t k = i; k < end; k++)
            part[rows[k].row] = k - i < until - given ? LATHE_PART_TEST : LATHE_PART_TRAIN;
        given = until;
    }
}

/* Cuts rows[0 … n) of one stratum into runs; size[f] counts the rows of each fold so far. */
static void cut_stratum(const split_row *rows, int64_t n, int64_t folds, int64_t *size,
                        int32_t *fold) {
    int32_t longer[MAX_FOLDS] = {0};
    for (int64_t odd = n % folds; odd > 0; odd--) {
        int64_t best = -1;
        for (int64_t f = 0; f < folds; f++)
            if (!longer[f] && (best < 0 || size[f] < size[best]))
                best = f;
        longer[best] = 1;
    }
    int64_t at = 0;
    for (int64_t f = 0; f < folds; f++) {
        int64_t length = n / folds + longer[f];
        for (int64_t i = 0; i < length; i++)
            fold[rows[at++].row] = (int32_t)f;
        size[f] += length;
    }
}

static int32_t cut(const k_fold_config *c, split_row *rows, int64_t n, const int32_t *part,
                   int32_t *fold, lathe_error *err) {
    int64_t size[MAX_FOLDS] = {0}, n_train = 0, end;
    for (int64_t i = 0; i < n; i++) { /* training rows to the front, in order */
        fold[rows[i].row] = -1;
        if (part[rows[i].row] == LATHE_PART_TRAIN)
            rows[n_train++] = rows[i];
    }
    if (n_train < c->folds)
        return split_fail(err, LATHE_E_DATA, "folds",
                          "%lld training rows cannot make %lld folds; lower \"folds\"",
                          (long long)n_train, (long long)c->folds);
    for (int64_t i = 0; i < n_train; i = end) {
        end = split_stratum_end(rows, n_train, i);
        cut_stratum(rows + i, end - i, c->folds, size, fold);
    }
    return LATHE_OK;
}

static int32_t k_fold_assign(const void *self, const lathe_split_input *in, int32_t *part,
                             int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const k_fold_config *c = s->config;
    int64_t n = in->table->n_rows, n_test, n_validation;
    int stratify = c->stratified == STRATIFIED_YES ||
                   (c->stratified == STRATIFIED_AUTO && in->task != LATHE_TASK_REGRESSION);
    split_row *rows;
    int32_t rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    rc = split_counts(n, c->test, 0, &n_test, &n_validation, err);
    if (rc == LATHE_OK && stratify)
        rc = split_stratify(s, in, c->bins, rows, err);
    else if (rc == LATHE_OK)
        qsort(rows, (size_t)n, sizeof *rows, split_compare);
    if (rc == LATHE_OK) {
        take_test(rows, n, n_test, part);
        rc = cut(c, rows, n, part, fold, err);
    }
    s->host->free(s->host, rows);
    return rc;
}

static const lathe_split k_fold_interface = {
    .struct_size = LATHE_SIZED(lathe_split), .n_folds = k_fold_n_folds, .assign = k_fold_assign};

static const lathe_descriptor k_fold_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.split.k_fold",
    .kind = LATHE_KIND_SPLIT,
    .name = "k_fold",
    .version = "1.0.0",
    .doc = "Folds of equal size for cross-validation, stratified by class, beside a test part.",
    .license = "Apache-2.0",
    LATHE_PARAMS(k_fold_params, k_fold_config),
    .interface = &k_fold_interface,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&k_fold_descriptor)

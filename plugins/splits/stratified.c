/* stratified.c: a random split in which every class has the same share in each part.
 *
 * Proportional allocation (W. G. Cochran, "Sampling Techniques", chapter 5): a part of m rows takes
 * n_h·m/n rows of stratum h, rounded down; the rows still missing go to the strata with the largest remainders
 * (Hamilton's method), ties to the larger stratum, then to the first. So the counts are exact in total and within
 * one row in every class. Each class keeps a row to train as long as the counts allow. For regression the strata are `bins` groups of equal counts by the target's rank.
 */
#include "strata.h"

typedef struct stratified_config {
    double test;
    double validation;
    int64_t bins;
} stratified_config;

static const lathe_param stratified_params[] = {
    SPLIT_SHARES(stratified_config),
    LATHE_P_INT(stratified_config, bins, 0, "10", 2, 1000,
                "Groups of equal counts that stand for classes where the target is a number."),
};

typedef struct stratum {
    int64_t begin; /* of the sorted rows */
    int64_t n;
    int64_t free; /* rows not yet given to a part */
    int64_t take;
    double remainder;
} stratum;

/* The stratum that takes one more: the largest remainder among those with more than `reserve` rows left. */
static stratum *find_next(stratum *strata, int64_t n_strata, int64_t reserve) {
    stratum *best = NULL;
    for (int64_t h = 0; h < n_strata; h++) {
        stratum *t = &strata[h];
        if (t->take + reserve < t->free && (best == NULL || t->remainder > best->remainder ||
                                            (t->remainder == best->remainder && t->n > best->n)))
            best = t;
    }
    return best;
}

/* take of each stratum, so that they sum to m; m is at most the number of free rows. `reserve` rows of each
 * stratum are left as long as others have more. */
static void allocate(stratum *strata, int64_t n_strata, int64_t n, int64_t m, int64_t reserve) {
    int64_t left = m;
    for (int64_t h = 0; h < n_strata; h++) {
        double exact = (double)strata[h].n * (double)m / (double)n;
        strata[h].take = (int64_t)floor(exact);
        strata[h].remainder = exact - floor(exact);
        if (strata[h].take + reserve > strata[h].free)
            strata[h].take = strata[h].free > reserve ? strata[h].free - reserve : 0;
        left -= strata[h].take;
    }
    for (; left > 0; left--) {
        stratum *next = find_next(strata, n_strata, reserve);
        if (next == NULL)
            next = find_next(strata, n_strata, 0);
        if (next == NULL)
            return;
        next->take++;
        next->remainder -= 1;
    }
}

static void give(stratum *strata, int64_t n_strata, const split_row *rows, int32_t which,
                 int32_t *part) {
    for (int64_t h = 0; h < n_strata; h++) {
        stratum *t = &strata[h];
        int64_t from = t->begin + t->n - t->free;
        for (int64_t i = 0; i < t->take; i++)
            part[rows[from + i].row] = which;
        t->free -= t->take;
    }
}

static int32_t stratified_assign(const void *self, const lathe_split_input *in, int32_t *part,
                                 int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const stratified_config *c = s->config;
    int64_t n = in->table->n_rows, n_test, n_validation, n_strata, h = 0;
    split_row *rows;
    stratum *strata = NULL;
    (void)fold;
    int32_t rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    if ((rc = split_counts(n, c->test, c->validation, &n_test, &n_validation, err)) != LATHE_OK ||
        (rc = split_stratify(s, in, c->bins, rows, err)) != LATHE_OK)
        goto done;
    n_strata = split_count_strata(rows, n);
    strata = s->host->alloc(s->host, (uint64_t)n_strata * sizeof *strata);
    if (strata == NULL) {
        rc = split_fail(err, LATHE_E_MEMORY, "split", "no memory for %lld classes",
                        (long long)n_strata);
        goto done;
    }
    for (int64_t i = 0; i < n; i += strata[h++].n) {
        strata[h].begin = i;
        strata[h].n = strata[h].free = split_stratum_end(rows, n, i) - i;
    }
    allocate(strata, n_strata, n, n_test, 1);
    give(strata, n_strata, rows, LATHE_PART_TEST, part);
    allocate(strata, n_strata, n, n_validation, 1);
    give(strata, n_strata, rows, LATHE_PART_VALIDATION, part);
    allocate(strata, n_strata, n, n - n_test - n_validation, 0);
    give(strata, n_strata, rows, LATHE_PART_TRAIN, part);
done:
    s->host->free(s->host, strata);
    s->host->free(s->host, rows);
    return rc;
}

static int32_t stratified_check(const void *config, lathe_error *err) {
    const stratified_config *c = config;
    return split_check_shares(c->test, c->validation, err);
}

static const lathe_split stratified_interface = {.struct_size = LATHE_SIZED(lathe_split),
                                                 .n_folds = split_no_folds,
                                                 .assign = stratified_assign};

static const lathe_descriptor stratified_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.split.stratified",
    .kind = LATHE_KIND_SPLIT,
    .name = "stratified",
    .version = "1.0.0",
    .doc =
        "A random split in which each class, or each range of a numeric target, keeps its share.",
    .license = "Apache-2.0",
    LATHE_PARAMS(stratified_params, stratified_config),
    .interface = &stratified_interface,
    .check_config = stratified_check,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&stratified_descriptor)

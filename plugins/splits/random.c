/* random.c: rows chosen at random, with exact counts.
 *
 * Rows are ranked by their random keys: the round(n·test) smallest test, the next round(n·validation) validate,
 * the rest train. That is simple random sampling without replacement (W. G. Cochran, "Sampling Techniques",
 * chapter 2), and stable when rows are added (see split.h).
 */
#include "split.h"

typedef struct random_config {
    double test;
    double validation;
} random_config;

static const lathe_param random_params[] = {SPLIT_SHARES(random_config)};

static int32_t random_assign(const void *self, const lathe_split_input *in, int32_t *part,
                             int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const random_config *c = s->config;
    int64_t n = in->table->n_rows, n_test, n_validation;
    split_row *rows;
    (void)fold;
    int32_t rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    rc = split_counts(n, c->test, c->validation, &n_test, &n_validation, err);
    if (rc == LATHE_OK) {
        qsort(rows, (size_t)n, sizeof *rows, split_compare);
        for (int64_t i = 0; i < n; i++)
            part[rows[i].row] = i < n_test                  ? LATHE_PART_TEST
                                : i < n_test + n_validation ? LATHE_PART_VALIDATION
                                                            : LATHE_PART_TRAIN;
    }
    s->host->free(s->host, rows);
    return rc;
}

static int32_t random_check(const void *config, lathe_error *err) {
    const random_config *c = config;
    return split_check_shares(c->test, c->validation, err);
}

static const lathe_split random_interface = {
    .struct_size = LATHE_SIZED(lathe_split), .n_folds = split_no_folds, .assign = random_assign};

static const lathe_descriptor random_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.split.random",
    .kind = LATHE_KIND_SPLIT,
    .name = "random",
    .version = "1.0.0",
    .doc = "Rows chosen at random by their source row number, with exact counts.",
    .license = "Apache-2.0",
    LATHE_PARAMS(random_params, random_config),
    .interface = &random_interface,
    .check_config = random_check,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&random_descriptor)

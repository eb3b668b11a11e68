/* time.c: the past trains, what comes after validates, the latest rows test.
 *
 * Rows are ordered by a column of times or numbers, or by their place in the source. The borders lie where the
 * shares put them, then move forward past rows of the same time: rows of one moment are never on two sides.
 * (R. J. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", section 5.8, on why.)
 */
#include "split.h"

typedef struct time_config {
    double test;
    double validation;
    const char *column;
} time_config;

static const lathe_param time_params[] = {
    LATHE_P_STRING(
        time_config, column, LATHE_PARAM_NULLABLE, "null",
        "The column of times or numbers that orders the rows; null: their order in the source."),
    SPLIT_SHARES(time_config),
};

/* A key that orders like the column's values do. */
static uint64_t ordered(const lathe_column *c, int64_t row) {
    uint64_t bits;
    if (c->type != LATHE_COLUMN_FLOAT64)
        return (uint64_t)((const int64_t *)c->values)[row] ^ (1ull << 63);
    double v = ((const double *)c->values)[row] + 0.0; /* -0 is 0 */
    memcpy(&bits, &v, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

static int32_t order_rows(const time_config *c, const lathe_split_input *in, split_row *rows,
                          lathe_error *err) {
    const lathe_column *column = NULL;
    if (c->column != NULL) {
        int64_t at = split_find_column(in->table, c->column);
        if (at < 0)
            return split_no_column("column", c->column, err);
        column = &in->table->columns[at];
        if (column->type != LATHE_COLUMN_TIMESTAMP && !lathe_is_numeric(column))
            return split_fail(err, LATHE_E_INVALID, "column",
                              "column '%.100s' is text; expected times (ISO 8601) or numbers",
                              c->column);
    }
    for (int64_t i = 0; i < in->table->n_rows; i++) {
        if (column == NULL) {
            rows[i].key = (uint64_t)rows[i].row_id ^ (1ull << 63);
            continue;
        }
        if (lathe_is_missing(column, i))
            return split_fail(
                err, LATHE_E_DATA, "column",
                "row %lld has no value in '%.100s', so it has no place in time; drop such "
                "rows or order by another column",
                (long long)rows[i].row_id, c->column);
        rows[i].key = ordered(column, i);
    }
    qsort(rows, (size_t)in->table->n_rows, sizeof *rows, split_compare);
    return LATHE_OK;
}

/* The first border at or behind `at` that separates two times. */
static int64_t next_border(const split_row *rows, int64_t n, int64_t at) {
    while (at > 0 && at < n && rows[at].key == rows[at - 1].key)
        at++;
    return at;
}

static int32_t time_assign(const void *self, const lathe_split_input *in, int32_t *part,
                           int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const time_config *c = s->config;
    int64_t n = in->table->n_rows, n_test, n_validation;
    split_row *rows;
    (void)fold;
    int32_t rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    if ((rc = split_counts(n, c->test, c->validation, &n_test, &n_validation, err)) != LATHE_OK ||
        (rc = order_rows(c, in, rows, err)) != LATHE_OK)
        goto done;
    int64_t validate = next_border(rows, n, n - n_test - n_validation);
    int64_t test = next_border(rows, n, n - n_test > validate ? n - n_test : validate);
    if ((c->test > 0 && test == n) || (c->validation > 0 && validate == test)) {
        rc = split_fail(
            err, LATHE_E_DATA, "column",
            "too many rows share one time for these shares: %lld rows train, %lld validate, "
            "%lld test",
            (long long)validate, (long long)(test - validate), (long long)(n - test));
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        part[rows[i].row] = i < validate ? LATHE_PART_TRAIN
                            : i < test   ? LATHE_PART_VALIDATION
                                         : LATHE_PART_TEST;
done:
    s->host->free(s->host, rows);
    return rc;
}

static int32_t time_check(const void *config, lathe_error *err) {
    const time_config *c = config;
    return split_check_shares(c->test, c->validation, err);
}

static const lathe_split time_interface = {
    .struct_size = LATHE_SIZED(lathe_split), .n_folds = split_no_folds, .assign = time_assign};

static const lathe_descriptor time_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.split.time",
    .kind = LATHE_KIND_SPLIT,
    .name = "time",
    .version = "1.0.0",
    .doc = "The earliest rows train, later ones validate, the latest test.",
    .license = "Apache-2.0",
    LATHE_PARAMS(time_params, time_config),
    .interface = &time_interface,
    .check_config = time_check,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&time_descriptor)

/* drop_rows.c: rows that do not train. They choose among the training rows alone: validation, test and serving see
 * every row, and the model keeps no trace.
 *
 *     drop_missing     rows that miss a value in the chosen columns (any, or all of them), or their target
 *     drop_duplicates  rows equal to an earlier one in the chosen columns and the target; the first stays
 *
 * Equality is that of the values: 0 and -0 are equal, and so are two missing values.
 */
#include "step.h"

typedef struct drop_missing_config {
    const lathe_selector *columns;
    int32_t how;
    int32_t target;
} drop_missing_config;

enum { ANY, ALL };
static const char *const how_choices[] = {"any", "all", NULL};

static const lathe_param drop_missing_params[] = {
    LATHE_P_COLUMNS(drop_missing_config, columns, 0, "\"all\"", "Columns that are looked at."),
    LATHE_P_ENUM(drop_missing_config, how, 0, "\"any\"", how_choices,
                 "Drop a row where any of the columns is missing, or only where all are."),
    LATHE_P_BOOL(drop_missing_config, target, 0, "true", "Drop rows without a target too."),
};

typedef struct drop_duplicates_config {
    const lathe_selector *columns;
    int32_t target;
} drop_duplicates_config;

static const lathe_param drop_duplicates_params[] = {
    LATHE_P_COLUMNS(drop_duplicates_config, columns, 0, "\"all\"", "Columns that are compared."),
    LATHE_P_BOOL(drop_duplicates_config, target, 0, "true",
                 "Rows are equal only where their targets are too."),
};

/* The chosen columns, and behind them the target where `with_target`; *n of them. Free with host->free. */
static int32_t take_columns(step *s, const lathe_selector *selector, int with_target,
                            const lathe_transform_fit *in, const lathe_column ***columns,
                            int64_t *n, lathe_error *err) {
    int32_t rc = step_choose(s, selector, in->table, err);
    if (rc != LATHE_OK)
        return rc;
    *columns = s->host->alloc(s->host, (uint64_t)(s->n_chosen + 1) * sizeof **columns);
    if (*columns == NULL)
        return step_no_memory(err);
    for (*n = 0; *n < s->n_chosen; ++*n)
        (*columns)[*n] = &in->table->columns[s->chosen[*n]];
    if (with_target && in->target != NULL)
        (*columns)[(*n)++] = in->target;
    return LATHE_OK;
}

static void keep(int64_t row, int64_t *rows, int64_t capacity, int64_t *n) {
    if (*n < capacity)
        rows[*n] = row;
    ++*n;
}

static int32_t missing_rows(void *self, const lathe_transform_fit *in, int64_t *rows,
                            int64_t capacity, int64_t *n, lathe_error *err) {
    step *s = self;
    const drop_missing_config *c = s->config;
    const lathe_column **columns;
    int64_t n_columns;
    int32_t rc = take_columns(s, c->columns, 0, in, &columns, &n_columns, err);
    if (rc != LATHE_OK)
        return rc;
    *n = 0;
    for (int64_t i = 0; i < in->table->n_rows; i++) {
        int64_t missing = 0;
        for (int64_t j = 0; j < n_columns; j++)
            missing += lathe_is_missing(columns[j], i);
        int dropped = c->how == ANY ? missing > 0 : missing > 0 && missing == n_columns;
        if (c->target && in->target != NULL && lathe_is_missing(in->target, i))
            dropped = 1;
        if (!dropped)
            keep(i, rows, capacity, n);
    }
    s->host->free(s->host, (void *)columns);
    return LATHE_OK;
}

/* The bytes of a value for equality and hash; *n of them. number is scratch. */
static const void *value_bytes(const lathe_column *c, int64_t row, double *number, int64_t *n) {
    *n = lathe_value_size(c->type);
    switch (c->type) {
    case LATHE_COLUMN_FLOAT64:
        *number = ((const double *)c->values)[row] + 0.0; /* -0 is 0 */
        if (isnan(*number))
            *number = NAN; /* one missing value is like another */
        return number;
    case LATHE_COLUMN_STRING:
        *n = ((const lathe_str *)c->values)[row].len;
        return ((const lathe_str *)c->values)[row].ptr;
    default:
        return (const char *)c->values + row * *n;
    }
}

/* FNV-1a over all values, 64 bits. */
static uint64_t hash_row(const lathe_column *const *columns, int64_t n_columns, int64_t row) {
    uint64_t h = 0xCBF29CE484222325ull;
    for (int64_t j = 0; j < n_columns; j++) {
        double number;
        int64_t n;
        const uint8_t *p = value_bytes(columns[j], row, &number, &n);
        h = (h ^ (p == NULL)) * 0x100000001B3ull;
        for (int64_t i = 0; p != NULL && i < n; i++)
            h = (h ^ p[i]) * 0x100000001B3ull;
    }
    return h ^ h >> 29;
}

static int same_row(const lathe_column *const *columns, int64_t n_columns, int64_t a, int64_t b) {
    for (int64_t j = 0; j < n_columns; j++) {
        double x, y;
        int64_t n, k;
        const void *p = value_bytes(columns[j], a, &x, &n), *q = value_bytes(columns[j], b, &y, &k);
        if (n != k || (p == NULL) != (q == NULL) ||
            (p != NULL && n > 0 && memcmp(p, q, (size_t)n) != 0))
            return 0;
    }
    return 1;
}

static int32_t duplicate_rows(void *self, const lathe_transform_fit *in, int64_t *rows,
                              int64_t capacity, int64_t *n, lathe_error *err) {
    step *s = self;
    const drop_duplicates_config *c = s->config;
    const lathe_column **columns;
    int64_t n_columns, n_rows = in->table->n_rows;
    uint64_t n_slots = 16;
    int32_t rc = take_columns(s, c->columns, c->target, in, &columns, &n_columns, err);
    if (rc != LATHE_OK)
        return rc;
    while (n_slots < (uint64_t)n_rows * 2)
        n_slots *= 2;
    int64_t *slots = s->host->alloc(s->host, n_slots * sizeof *slots); /* row + 1, or 0: free */
    *n = 0;
    for (int64_t i = 0; i < n_rows && slots != NULL; i++) {
        uint64_t at = hash_row(columns, n_columns, i) & (n_slots - 1);
        while (slots[at] != 0 && !same_row(columns, n_columns, slots[at] - 1, i))
            at = (at + 1) & (n_slots - 1);
        if (slots[at] != 0)
            continue;
        slots[at] = i + 1;
        keep(i, rows, capacity, n);
    }
    rc = slots == NULL ? step_no_memory(err) : LATHE_OK;
    s->host->free(s->host, slots);
    s->host->free(s->host, (void *)columns);
    return rc;
}

STEP_CREATE(step)

static const lathe_transform missing_interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                                  .rows = missing_rows};
static const lathe_transform duplicates_interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                                     .rows = duplicate_rows};

STEP_DESCRIPTOR(drop_missing, LATHE_TRANSFORM_TRAINING_ROWS, 0, missing_interface,
                "Training leaves out rows that miss values.",
                LATHE_PARAMS(drop_missing_params, drop_missing_config));
STEP_DESCRIPTOR(drop_duplicates, LATHE_TRANSFORM_TRAINING_ROWS, 0, duplicates_interface,
                "Training leaves out rows equal to an earlier one.",
                LATHE_PARAMS(drop_duplicates_params, drop_duplicates_config));

LATHE_PLUGIN(&drop_missing_descriptor, &drop_duplicates_descriptor)

/* group.c: rows of one group stay together: all of a patient's visits train, or all of them test.
 *
 * Groups are ranked by a random key of their value alone, so that a new group moves no other, and laid end to end
 * in that order; a group goes to the part in which its middle row lies:
 *
 *     |<- n·test ->|<- n·validation ->|<- train ...
 *     [ g3 ][   g1    ][ g7 ][  g2  ] ...
 *
 * A row without a group value is a group of its own.
 */
#include "split.h"

typedef struct group_config {
    double test;
    double validation;
    const char *column;
} group_config;

static const lathe_param group_params[] = {
    LATHE_P_STRING(group_config, column, LATHE_PARAM_REQUIRED, NULL,
                   "The column whose equal values must not be separated."),
    SPLIT_SHARES(group_config),
};

/* FNV-1a, 64 bits. */
static uint64_t hash_bytes(const void *data, int64_t n) {
    const uint8_t *p = data;
    uint64_t h = 0xCBF29CE484222325ull;
    for (int64_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001B3ull;
    return h;
}

/* The bytes of a value, for equality and hash; *n bytes at the result. number is scratch. */
static const void *value_bytes(const lathe_column *c, int64_t row, double *number, int64_t *n) {
    if (c->type == LATHE_COLUMN_CATEGORY) {
        int32_t code = ((const int32_t *)c->values)[row];
        if (code >= 0 && code < c->dict_size) {
            *n = c->dict[code].len;
            return c->dict[code].ptr;
        }
        *n = 4;
        return (const int32_t *)c->values + row;
    }
    if (c->type == LATHE_COLUMN_STRING) {
        *n = ((const lathe_str *)c->values)[row].len;
        return ((const lathe_str *)c->values)[row].ptr;
    }
    *n = 8;
    if (c->type == LATHE_COLUMN_FLOAT64) {
        *number = ((const double *)c->values)[row] + 0.0; /* -0 is 0 */
        return number;
    }
    return (const int64_t *)c->values + row;
}

/* major: hash of the group; key: its random key. Rows without a value keep a group of their own. */
static void mark_groups(const split_self *s, const lathe_split_input *in,
                        const lathe_column *column, split_row *rows) {
    for (int64_t i = 0; i < in->table->n_rows; i++) {
        double number;
        int64_t n;
        if (lathe_is_missing(column, i)) {
            rows[i].major = rows[i].row_id;
            continue;
        }
        const void *bytes = value_bytes(column, i, &number, &n);
        uint64_t hash = hash_bytes(bytes, n);
        rows[i].key = s->host->random_key(s->host, in->key ^ 0x67726F7570ull, hash);
        rows[i].major = (int64_t)(hash ^ (hash >> 1));
    }
}

/* Sorted by key first: groups come in random order, their rows next to each other. Two groups of one 64-bit key
 * would merely stay together. */
static int compare_groups(const void *a, const void *b) {
    const split_row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return split_compare(a, b);
}

static int32_t group_assign(const void *self, const lathe_split_input *in, int32_t *part,
                            int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const group_config *c = s->config;
    int64_t n = in->table->n_rows, count[3] = {0, 0, 0}, end;
    int64_t at = split_find_column(in->table, c->column);
    split_row *rows;
    (void)fold;
    if (at < 0)
        return split_no_column("column", c->column, err);
    int32_t rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    mark_groups(s, in, &in->table->columns[at], rows);
    qsort(rows, (size_t)n, sizeof *rows, compare_groups);
    for (int64_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && rows[end].key == rows[i].key; end++)
            ;
        double middle = ((double)i + (double)end) / 2 / (double)n;
        int32_t p = middle < c->test                   ? LATHE_PART_TEST
                    : middle < c->test + c->validation ? LATHE_PART_VALIDATION
                                                       : LATHE_PART_TRAIN;
        count[p] += end - i;
        for (int64_t k = i; k < end; k++)
            part[rows[k].row] = p;
    }
    s->host->free(s->host, rows);
    if (count[LATHE_PART_TRAIN] == 0 || (c->test > 0 && count[LATHE_PART_TEST] == 0) ||
        (c->validation > 0 && count[LATHE_PART_VALIDATION] == 0))
        return split_fail(
            err, LATHE_E_DATA, "column",
            "the groups of '%.100s' are too large for these shares: %lld rows train, %lld "
            "validate, %lld test; change the shares, the seed or the column",
            c->column, (long long)count[0], (long long)count[1], (long long)count[2]);
    return LATHE_OK;
}

static int32_t group_check(const void *config, lathe_error *err) {
    const group_config *c = config;
    return split_check_shares(c->test, c->validation, err);
}

static const lathe_split group_interface = {
    .struct_size = LATHE_SIZED(lathe_split), .n_folds = split_no_folds, .assign = group_assign};

static const lathe_descriptor group_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_SPLIT_USES_UP_COLUMN,
    .id = "lathe.split.group",
    .kind = LATHE_KIND_SPLIT,
    .name = "group",
    .version = "1.0.0",
    .doc = "A random split that keeps all rows of a group in one part.",
    .license = "Apache-2.0",
    LATHE_PARAMS(group_params, group_config),
    .interface = &group_interface,
    .check_config = group_check,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&group_descriptor)

/* ordinal.c: categories as numbers 0, 1, 2, …, in a given order or in that of their bytes.
 *
 * The numbers mean an order: for categories without one, use one_hot, or a learner that takes categories. Without
 * `order` the values that occur in the training rows are numbered in the order of their bytes. Missing stays
 * missing; any other value becomes `unseen`.
 */
#include "code_map.h"

typedef struct ordinal_config {
    const lathe_selector *columns;
    lathe_list order; /* const char * */
    double unseen;
} ordinal_config;

static const lathe_param ordinal_params[] = {
    LATHE_P_COLUMNS(ordinal_config, columns, 0, "\"categorical\"", "Columns of categories."),
    LATHE_P_STRING(
        ordinal_config, order, LATHE_PARAM_LIST | LATHE_PARAM_NULLABLE, "null",
        "The values in their order, the first becomes 0; null: those of the training rows by "
        "their bytes."),
    LATHE_P_FLOAT(ordinal_config, unseen, LATHE_PARAM_NULLABLE, "null", -1e15, 1e15,
                  "What a value becomes that is not numbered; null: missing."),
};

static int compare_bytes(const lathe_str *a, const lathe_str *b) {
    int64_t n = a->len < b->len ? a->len : b->len;
    int order = n > 0 ? memcmp(a->ptr, b->ptr, (size_t)n) : 0;
    return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}

static int compare_texts(const void *a, const void *b) {
    return compare_bytes(*(const lathe_str *const *)a, *(const lathe_str *const *)b);
}

/* Which codes occur. */
static void mark_seen(const lathe_column *c, int64_t n_rows, uint8_t *seen) {
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t code = ((const int32_t *)c->values)[i];
        if (code >= 0 && code < c->dict_size)
            seen[code] = 1;
    }
}

static int32_t number_by_bytes(const step *s, const lathe_column *c, const uint8_t *seen,
                               double *line, lathe_error *err) {
    const lathe_str **sorted =
        s->host->alloc(s->host, (uint64_t)(c->dict_size + 1) * sizeof *sorted);
    int64_t n = 0;
    if (sorted == NULL)
        return step_no_memory(err);
    for (int64_t code = 0; code < c->dict_size; code++)
        if (seen[code])
            sorted[n++] = &c->dict[code];
    qsort(sorted, (size_t)n, sizeof *sorted, compare_texts);
    for (int64_t i = 0; i < n; i++)
        line[sorted[i] - c->dict] = (double)i;
    s->host->free(s->host, (void *)sorted);
    return LATHE_OK;
}

static int32_t number_by_order(const lathe_list *order, const lathe_column *c, const uint8_t *seen,
                               double *line, lathe_error *err) {
    for (int64_t code = 0; code < c->dict_size; code++) {
        int64_t at = 0;
        for (; at < order->count; at++) {
            const char *name = ((const char *const *)order->items)[at];
            lathe_str text = {name, (int64_t)strlen(name)};
            if (compare_bytes(&text, &c->dict[code]) == 0)
                break;
        }
        if (at < order->count)
            line[code] = (double)at;
        else if (seen[code])
            return step_fail(
                err, LATHE_E_DATA,
                "column '%.100s' holds '%.*s' in the training rows, which \"order\" does not "
                "name; add it",
                c->name, c->dict[code].len < 100 ? (int)c->dict[code].len : 100, c->dict[code].ptr);
    }
    return LATHE_OK;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    code_map *m = self;
    step *s = &m->base;
    const ordinal_config *c = s->config;
    double *lines;
    int32_t rc;
    if ((rc = step_begin(s, c->columns, in, err)) != LATHE_OK ||
        (rc = step_need_categories(s, in->table, "ordinal", err)) != LATHE_OK ||
        (rc = code_map_reserve(m, in->table, 1, &lines, err)) != LATHE_OK)
        return rc;
    for (int64_t i = 0, k = 0; i < s->n_in && rc == LATHE_OK; i++) {
        const lathe_column *column = &in->table->columns[i];
        if (k == s->n_chosen || s->chosen[k] != i) {
            rc = step_pass(s, in->table, i, err);
            continue;
        }
        double *line = lines + m->offsets[k++];
        uint8_t *seen = s->host->alloc(s->host, (uint64_t)column->dict_size + 1);
        if (seen == NULL)
            return step_no_memory(err);
        mark_seen(column, in->table->n_rows, seen);
        for (int64_t code = 0; code < column->dict_size + 2; code++)
            line[code] = c->unseen;
        line[column->dict_size] = NAN;
        rc = c->order.count >= 0 ? number_by_order(&c->order, column, seen, line, err)
                                 : number_by_bytes(s, column, seen, line, err);
        s->host->free(s->host, seen);
        if (rc == LATHE_OK)
            rc = step_add_field(s, column->name, LATHE_COLUMN_FLOAT64, -1, NULL, 0, err);
    }
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static int32_t check(const void *config, lathe_error *err) {
    const ordinal_config *c = config;
    const char *const *names = c->order.items;
    for (int64_t i = 0; i < c->order.count; i++)
        for (int64_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0) {
                snprintf(err->where, sizeof err->where, "order");
                return step_fail(err, LATHE_E_INVALID, "'%.200s' stands twice in \"order\"",
                                 names[i]);
            }
    return LATHE_OK;
}

STEP_CREATE(code_map)

static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                          .fit = fit,
                                          .schema = step_schema,
                                          .apply = code_map_apply,
                                          .save = code_map_save,
                                          .load = code_map_load};

STEP_DESCRIPTOR(ordinal, 0, 1, interface, "Categories as numbers in their order.",
                LATHE_PARAMS(ordinal_params, ordinal_config), .check_config = check);

LATHE_PLUGIN(&ordinal_descriptor)

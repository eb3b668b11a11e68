/* by_column.c: the parts are named by a column of the data, as published benchmark sets do.
 *
 * The values of "train", "validation" and "test" are compared as text with a category, and as numbers with a
 * column of numbers. A row whose value is in none of the three lists, or missing, is an error unless `other` says
 * where it goes.
 *
 * Published sets often have no validation part: validation_share draws one from the rows that train, by their random
 * keys (see split.h), so that training can stop early and nothing is cross-validated.
 */
#include "split.h"

typedef struct by_column_config {
    const char *column;
    lathe_list train;
    lathe_list validation;
    lathe_list test;
    double validation_share;
    int32_t other;
} by_column_config;

enum { OTHER_ERROR, OTHER_NONE, OTHER_TRAIN, OTHER_VALIDATION, OTHER_TEST };
static const char *const other_choices[] = {"error", "none", "train", "validation", "test", NULL};
static const int32_t other_parts[] = {LATHE_PART_NONE, LATHE_PART_NONE, LATHE_PART_TRAIN,
                                      LATHE_PART_VALIDATION, LATHE_PART_TEST};

static const lathe_param by_column_params[] = {
    LATHE_P_STRING(by_column_config, column, LATHE_PARAM_REQUIRED, NULL,
                   "The column that names each row's part."),
    LATHE_P_SCALAR(by_column_config, train, LATHE_PARAM_LIST | LATHE_PARAM_SINGLE, "[\"train\"]",
                   "Values of the rows that train."),
    LATHE_P_SCALAR(by_column_config, validation, LATHE_PARAM_LIST | LATHE_PARAM_SINGLE,
                   "[\"validation\"]", "Values of the rows that validate."),
    LATHE_P_SCALAR(by_column_config, test, LATHE_PARAM_LIST | LATHE_PARAM_SINGLE, "[\"test\"]",
                   "Values of the rows that test."),
    LATHE_P_FLOAT(by_column_config, validation_share, LATHE_PARAM_EXCL_MAX, "0", 0, 1,
                  "Share of the rows that train which validate instead, drawn at random."),
    LATHE_P_ENUM(by_column_config, other, 0, "\"error\"", other_choices,
                 "Where rows with any other value, or none, go; none: they are left out."),
};

/* A column's value as text (text, n) or as a number. */
typedef struct part_value {
    lathe_str text;
    double number;
    int32_t is_text;
    char shown[64];
} part_value;

static void take_value(const lathe_column *c, int64_t row, part_value *v) {
    memset(v, 0, sizeof *v);
    v->is_text = c->type == LATHE_COLUMN_CATEGORY || c->type == LATHE_COLUMN_STRING;
    if (c->type == LATHE_COLUMN_CATEGORY) {
        int32_t code = ((const int32_t *)c->values)[row];
        if (code >= 0 && code < c->dict_size)
            v->text = c->dict[code];
    } else if (c->type == LATHE_COLUMN_STRING) {
        v->text = ((const lathe_str *)c->values)[row];
    } else {
        v->number = lathe_number_at(c, row, NAN);
    }
    if (lathe_is_missing(c, row))
        snprintf(v->shown, sizeof v->shown, "no value");
    else if (v->is_text)
        snprintf(v->shown, sizeof v->shown, "'%.*s'", v->text.len < 50 ? (int)v->text.len : 50,
                 v->text.ptr != NULL ? v->text.ptr : "");
    else
        snprintf(v->shown, sizeof v->shown, "%g", v->number);
}

static int is_among(const lathe_list *list, const part_value *v) {
    const lathe_scalar *s = list->items;
    for (int64_t i = 0; i < list->count; i++) {
        if (!v->is_text && s[i].type == LATHE_SCALAR_NUMBER && s[i].number == v->number)
            return 1;
        if (v->is_text && v->text.ptr != NULL && s[i].type == LATHE_SCALAR_STRING &&
            strlen(s[i].string) == (size_t)v->text.len &&
            memcmp(s[i].string, v->text.ptr, (size_t)v->text.len) == 0)
            return 1;
        if (v->is_text && v->text.ptr != NULL && s[i].type == LATHE_SCALAR_BOOL) {
            const char *word = s[i].boolean ? "true" : "false";
            if (strlen(word) == (size_t)v->text.len &&
                memcmp(word, v->text.ptr, (size_t)v->text.len) == 0)
                return 1;
        }
    }
    return 0;
}

/* Moves a share of the n_train rows that train to validation: those with the smallest keys. */
static int32_t draw_validation(const split_self *s, const lathe_split_input *in, double share,
                               int64_t n_train, int32_t *part, lathe_error *err) {
    int64_t n_test, n_validation, n = 0;
    split_row *rows = NULL;
    int32_t rc = split_counts(n_train, 0, share, &n_test, &n_validation, err);
    if (rc == LATHE_OK)
        rc = split_rows(s, in, &rows, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t i = 0; i < in->table->n_rows; i++)
        if (part[i] == LATHE_PART_TRAIN)
            rows[n++] = rows[i];
    qsort(rows, (size_t)n, sizeof *rows, split_compare);
    for (int64_t i = 0; i < n_validation; i++)
        part[rows[i].row] = LATHE_PART_VALIDATION;
    s->host->free(s->host, rows);
    return LATHE_OK;
}

static int32_t by_column_assign(const void *self, const lathe_split_input *in, int32_t *part,
                                int32_t *fold, lathe_error *err) {
    const split_self *s = self;
    const by_column_config *c = s->config;
    int64_t n = in->table->n_rows, at = split_find_column(in->table, c->column), n_train = 0;
    (void)fold;
    if (at < 0)
        return split_no_column("column", c->column, err);
    if (n < 1)
        return split_fail(err, LATHE_E_DATA, "split", "there are no rows to split");
    for (int64_t i = 0; i < n; i++) {
        part_value v;
        take_value(&in->table->columns[at], i, &v);
        if (is_among(&c->train, &v))
            part[i] = LATHE_PART_TRAIN;
        else if (is_among(&c->validation, &v))
            part[i] = LATHE_PART_VALIDATION;
        else if (is_among(&c->test, &v))
            part[i] = LATHE_PART_TEST;
        else if (c->other != OTHER_ERROR)
            part[i] = other_parts[c->other];
        else
            return split_fail(err, LATHE_E_DATA, "column",
                              "row %lld has %s in '%.100s', which is in none of \"train\", "
                              "\"validation\" and \"test\"; add it, or set \"other\"",
                              (long long)(in->row_id != NULL ? in->row_id[i] : i), v.shown,
                              c->column);
        n_train += part[i] == LATHE_PART_TRAIN;
    }
    if (n_train == 0)
        return split_fail(err, LATHE_E_DATA, "column",
                          "no row of '%.100s' has a value of \"train\": nothing is left to train",
                          c->column);
    return c->validation_share > 0 ? draw_validation(s, in, c->validation_share, n_train, part, err)
                                   : LATHE_OK;
}

static int same_scalar(const lathe_scalar *a, const lathe_scalar *b) {
    if (a->type != b->type)
        return 0;
    return a->type == LATHE_SCALAR_STRING   ? strcmp(a->string, b->string) == 0
           : a->type == LATHE_SCALAR_NUMBER ? a->number == b->number
                                            : a->boolean == b->boolean;
}

static int32_t by_column_check(const void *config, lathe_error *err) {
    const by_column_config *c = config;
    const lathe_list *lists[] = {&c->train, &c->validation, &c->test};
    static const char *const names[] = {"train", "validation", "test"};
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            for (int64_t i = 0; i < lists[a]->count; i++)
                for (int64_t k = 0; k < lists[b]->count; k++)
                    if (same_scalar((const lathe_scalar *)lists[a]->items + i,
                                    (const lathe_scalar *)lists[b]->items + k))
                        return split_fail(err, LATHE_E_INVALID, names[b],
                                          "a value stands in both \"%s\" and \"%s\"", names[a],
                                          names[b]);
    return LATHE_OK;
}

static const lathe_split by_column_interface = {
    .struct_size = LATHE_SIZED(lathe_split), .n_folds = split_no_folds, .assign = by_column_assign};

static const lathe_descriptor by_column_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_SPLIT_USES_UP_COLUMN,
    .id = "lathe.split.by_column",
    .kind = LATHE_KIND_SPLIT,
    .name = "by_column",
    .version = "1.0.0",
    .doc = "The parts are named by the values of a column.",
    .license = "Apache-2.0",
    LATHE_PARAMS(by_column_params, by_column_config),
    .interface = &by_column_interface,
    .check_config = by_column_check,
    .create = split_create,
    .destroy = split_destroy,
};

LATHE_PLUGIN(&by_column_descriptor)

/* one_hot.c: a category as one column of 0 and 1 a value, <name>=<value>.
 *
 * The values are those that occur in the training rows, in the order of their bytes. With max_categories or
 * min_frequency, the less frequent ones share a last column, <name>=(other). A value without a column gives zeros in
 * all, or is an error. Missing values have a column of their own, <name>=(missing), where the training rows have
 * some; else they give zeros.
 */
#include "step.h"

typedef struct one_hot_config {
    const lathe_selector *columns;
    int64_t max_categories;
    double min_frequency;
    int32_t unseen;
    int32_t missing;
    int32_t drop;
} one_hot_config;

enum { UNSEEN_ZEROS, UNSEEN_OTHER, UNSEEN_ERROR };
enum { MISSING_COLUMN, MISSING_ZEROS, MISSING_ERROR };
enum { DROP_NONE, DROP_FIRST, DROP_BINARY };
static const char *const unseen_choices[] = {"zeros", "other", "error", NULL};
static const char *const missing_choices[] = {"column", "zeros", "error", NULL};
static const char *const drop_choices[] = {"none", "first", "binary", NULL};

static const lathe_param one_hot_params[] = {
    LATHE_P_COLUMNS(one_hot_config, columns, 0, "\"categorical\"", "Columns of categories."),
    LATHE_P_INT(
        one_hot_config, max_categories, LATHE_PARAM_NULLABLE, "null", 1, 100000,
        "At most so many columns for one category, the shared one included; null: no bound.",
        .unit = "columns"),
    LATHE_P_FLOAT(
        one_hot_config, min_frequency, 0, "0", 0, 1e15,
        "Values rarer than this share the other column: below 1 a share of the training rows, "
        "else a number of rows."),
    LATHE_P_ENUM(one_hot_config, unseen, 0, "\"zeros\"", unseen_choices,
                 "What a value does that training did not see: zeros, other (its column, where "
                 "there is one), "
                 "or error."),
    LATHE_P_ENUM(one_hot_config, missing, 0, "\"column\"", missing_choices,
                 "What a missing value does: column (its own), zeros, or error."),
    LATHE_P_ENUM(one_hot_config, drop, 0, "\"none\"", drop_choices,
                 "Leave out a column that the others imply: none, the first of each, or the first "
                 "where there "
                 "are two (binary)."),
};

#define NOWHERE (-1) /* zeros */
#define REFUSED (-2) /* an error */
#define ABSENT (-3)  /* in fit alone: not decided yet */

typedef struct one_hot {
    step base;
    const int64_t *offsets; /* [n_chosen + 1] of each column's part of `where`, in codes */
    const int32_t
        *where; /* output column of a code, then of missing, then of unseen; NOWHERE, REFUSED */
} one_hot;

typedef struct frequency {
    lathe_str text;
    int32_t code;
    int32_t own; /* has a column of its own */
    int64_t count;
} frequency;

static int compare_texts(const void *a, const void *b) {
    const lathe_str *x = &((const frequency *)a)->text, *y = &((const frequency *)b)->text;
    int64_t n = x->len < y->len ? x->len : y->len;
    int order = n > 0 ? memcmp(x->ptr, y->ptr, (size_t)n) : 0;
    return order != 0 ? order : x->len < y->len ? -1 : x->len > y->len;
}

static int compare_counts(const void *a, const void *b) {
    const frequency *x = a, *y = b;
    return x->count != y->count ? (x->count > y->count ? -1 : 1) : compare_texts(a, b);
}

/* The values that occur, most frequent first; *n of them. *n_missing: rows without. */
static frequency *count_values(const step *s, const lathe_column *c, int64_t n_rows, int64_t *n,
                               int64_t *n_missing) {
    frequency *f = s->host->alloc(s->host, (uint64_t)(c->dict_size + 1) * sizeof *f);
    int64_t occurring = 0;
    *n_missing = 0;
    if (f == NULL)
        return NULL;
    for (int64_t code = 0; code < c->dict_size; code++)
        f[code] = (frequency){c->dict[code], (int32_t)code, 1, 0};
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t code = ((const int32_t *)c->values)[i];
        if (code >= 0 && code < c->dict_size)
            f[code].count++;
        else
            *n_missing += code == LATHE_CODE_MISSING;
    }
    for (int64_t code = 0; code < c->dict_size; code++)
        if (f[code].count > 0)
            f[occurring++] = f[code];
    qsort(f, (size_t)occurring, sizeof *f, compare_counts);
    *n = occurring;
    return f;
}

/* Which values share the other column; how many do. */
static int64_t choose_rare(const one_hot_config *c, frequency *f, int64_t n, int64_t n_rows) {
    double least = c->min_frequency < 1 ? c->min_frequency * (double)n_rows : c->min_frequency;
    int64_t rare = 0;
    for (int64_t i = 0; i < n; i++)
        rare += (double)f[i].count < least;
    if (c->max_categories != LATHE_INT_NULL && n - rare + (rare > 0) > c->max_categories)
        rare = n - c->max_categories + 1;
    for (int64_t i = n - rare; i < n; i++)
        f[i].own = 0;
    return rare;
}

static int32_t add_value(step *s, const char *column, lathe_str value, int32_t *at,
                         lathe_error *err) {
    int64_t number = s->n_out;
    *at = (int32_t)number;
    return step_add_made(s, column, "=", value, number, LATHE_COLUMN_FLOAT64, err);
}

/* Adds the columns of one category and fills where[0 … dict_size + 2). */
static int32_t add_columns(step *s, const lathe_column *c, int64_t n_rows, int32_t *where,
                           lathe_error *err) {
    const one_hot_config *config = s->config;
    int64_t n, n_missing;
    int32_t rc = LATHE_OK, other = NOWHERE;
    frequency *f = count_values(s, c, n_rows, &n, &n_missing);
    if (f == NULL)
        return step_no_memory(err);
    int64_t rare = choose_rare(config, f, n, n_rows);
    int32_t missing = config->missing == MISSING_ERROR ? REFUSED : NOWHERE;
    int64_t made = n - rare + (rare > 0) + (n_missing > 0 && config->missing == MISSING_COLUMN);
    int left_out = config->drop == DROP_FIRST || (config->drop == DROP_BINARY && made == 2);
    qsort(f, (size_t)n, sizeof *f, compare_texts);
    for (int64_t code = 0; code < c->dict_size; code++)
        where[code] = ABSENT;
    for (int64_t i = 0; i < n && rc == LATHE_OK; i++) {
        if (!f[i].own)
            continue;
        where[f[i].code] = NOWHERE;
        if (left_out)
            left_out = 0;
        else
            rc = add_value(s, c->name, f[i].text, &where[f[i].code], err);
    }
    if (rc == LATHE_OK && rare > 0)
        rc = add_value(s, c->name, (lathe_str){"(other)", 7}, &other, err);
    for (int64_t i = 0; i < n; i++)
        if (!f[i].own)
            where[f[i].code] = other;
    if (rc == LATHE_OK && n_missing > 0 && config->missing == MISSING_COLUMN)
        rc = add_value(s, c->name, (lathe_str){"(missing)", 9}, &missing, err);
    where[c->dict_size] = missing;
    where[c->dict_size + 1] = config->unseen == UNSEEN_ERROR   ? REFUSED
                              : config->unseen == UNSEEN_OTHER ? other
                                                               : NOWHERE;
    for (int64_t code = 0; code < c->dict_size; code++)
        if (where[code] == ABSENT) /* in the dictionary, but not in the training rows: unseen too */
            where[code] = where[c->dict_size + 1];
    s->host->free(s->host, f);
    if (rc == LATHE_OK && n_missing > 0 && config->missing == MISSING_ERROR)
        rc =
            step_fail(err, LATHE_E_DATA,
                      "column '%.150s' misses values in the training rows; impute it first, or set "
                      "\"missing\"",
                      c->name);
    return rc;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    one_hot *m = self;
    step *s = &m->base;
    int32_t rc;
    if ((rc = step_begin(s, ((const one_hot_config *)s->config)->columns, in, err)) != LATHE_OK ||
        (rc = step_need_categories(s, in->table, "one_hot", err)) != LATHE_OK)
        return rc;
    int64_t *offsets = step_take(s, s->n_chosen + 1, sizeof *offsets);
    if (offsets == NULL)
        return step_no_memory(err);
    for (int64_t k = 0; k < s->n_chosen; k++)
        offsets[k + 1] = offsets[k] + in->table->columns[s->chosen[k]].dict_size + 2;
    int32_t *where = step_take(s, offsets[s->n_chosen] + 1, sizeof *where);
    if (where == NULL)
        return step_no_memory(err);
    for (int64_t i = 0, k = 0; i < s->n_in && rc == LATHE_OK; i++) {
        if (k == s->n_chosen || s->chosen[k] != i) {
            rc = step_pass(s, in->table, i, err);
            continue;
        }
        rc = add_columns(s, &in->table->columns[i], in->table->n_rows, where + offsets[k], err);
        k++;
    }
    m->offsets = offsets;
    m->where = where;
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static int32_t fail_code(const lathe_column *c, int32_t code, lathe_error *err) {
    if (code == LATHE_CODE_MISSING)
        return step_fail(err, LATHE_E_DATA,
                         "column '%.150s' misses a value, and \"missing\" is error", c->name);
    int known = code >= 0 && code < c->dict_size;
    return step_fail(
        err, LATHE_E_DATA,
        "column '%.150s' holds '%.*s', which training did not see, and \"unseen\" is error",
        c->name, known ? (c->dict[code].len < 100 ? (int)c->dict[code].len : 100) : 3,
        known ? c->dict[code].ptr : "???");
}

static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    const one_hot *m = self;
    const step *s = &m->base;
    int32_t rc = step_check_input(s, in, err);
    if (rc != LATHE_OK)
        return rc;
    for (int64_t j = 0; j < s->n_out; j++)
        if (s->fields[j].source < 0 && in->n_rows > 0)
            memset(out->columns[j].values, 0, (size_t)in->n_rows * sizeof(double));
    for (int64_t k = 0; k < s->n_chosen; k++) {
        const lathe_column *c = &in->columns[s->chosen[k]];
        const int32_t *where = m->where + m->offsets[k];
        int64_t n = m->offsets[k + 1] - m->offsets[k] - 2;
        for (int64_t i = 0; i < in->n_rows; i++) {
            int32_t code = ((const int32_t *)c->values)[i];
            int32_t at = where[code >= 0 && code < n        ? code
                               : code == LATHE_CODE_MISSING ? n
                                                            : n + 1];
            if (at == REFUSED)
                return fail_code(c, code, err);
            if (at >= 0)
                ((double *)out->columns[at].values)[i] = 1;
        }
    }
    return LATHE_OK;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const one_hot *m = self;
    int64_t n = m->base.n_chosen;
    int32_t rc;
    if ((rc = step_save(&m->base, w, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "offsets", LATHE_INT, 64, m->offsets, n + 1, err)) != LATHE_OK)
        return rc;
    return lathe_write_array(w, "where", LATHE_INT, 32, m->where, m->offsets[n], err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    one_hot *m = self;
    step *s = &m->base;
    const void *offsets, *where;
    int64_t n_where;
    int32_t rc;
    if ((rc = step_load(s, r, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "offsets", LATHE_INT, 64, s->n_chosen + 1, &offsets, NULL,
                               err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "where", LATHE_INT, 32, -1, &where, &n_where, err)) != LATHE_OK)
        return rc;
    m->offsets = offsets;
    m->where = where;
    if (m->offsets[0] != 0 || m->offsets[s->n_chosen] != n_where)
        return step_corrupt(err, "the columns of the categories do not add up");
    for (int64_t k = 0; k < s->n_chosen; k++)
        if (m->offsets[k] < 0 || m->offsets[k + 1] > n_where || m->offsets[k] > n_where ||
            m->offsets[k + 1] - m->offsets[k] < 2 ||
            s->in_types[s->chosen[k]] != LATHE_COLUMN_CATEGORY)
            return step_corrupt(err, "a chosen column is not one of categories");
    for (int64_t i = 0; i < n_where; i++)
        if (m->where[i] < REFUSED || m->where[i] >= s->n_out ||
            (m->where[i] >= 0 && s->fields[m->where[i]].source >= 0))
            return step_corrupt(err, "a category leads to a column that is not there");
    for (int64_t j = 0; j < s->n_out; j++)
        if (s->fields[j].source < 0 && s->fields[j].type != LATHE_COLUMN_FLOAT64)
            return step_corrupt(err, "an output column is not one of numbers");
    s->fitted = 1;
    return LATHE_OK;
}

STEP_CREATE(one_hot)

static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                          .fit = fit,
                                          .schema = step_schema,
                                          .apply = apply,
                                          .save = save,
                                          .load = load};

STEP_DESCRIPTOR(one_hot, 0, 1, interface, "A category as one column of 0 and 1 a value.",
                LATHE_PARAMS(one_hot_params, one_hot_config));

LATHE_PLUGIN(&one_hot_descriptor)

/* impute.c: missing values filled with a number or category found in the training rows.
 *
 *     mean      Σ w·x / Σ w                      numbers
 *     median    see step_quantile                numbers
 *     mode      the value of the largest weight; ties: the smallest number, the first category
 *     constant  `value`, which must fit the column: a number, or a text for categories and texts
 *
 * Integers stay integers with mode and with a whole constant, else they become numbers. A category that the
 * dictionary lacks is added at its end. A value that training did not see is not missing and stays. With `marker`,
 * each chosen column that misses values in the training rows gets a second one, <name>_missing, of 0 and 1.
 */
#include "step.h"

typedef struct impute_config {
    const lathe_selector *columns;
    int32_t strategy;
    lathe_scalar value;
    int32_t marker;
} impute_config;

enum { MEAN, MEDIAN, MODE, CONSTANT };
static const char *const strategy_choices[] = {"mean", "median", "mode", "constant", NULL};

static const lathe_param impute_params[] = {
    LATHE_P_COLUMNS(impute_config, columns, 0, "\"numeric\"", "Columns whose gaps are filled."),
    LATHE_P_ENUM(impute_config, strategy, 0, "\"median\"", strategy_choices,
                 "What fills them: mean, median, mode (the most frequent value), or constant."),
    LATHE_P_SCALAR(impute_config, value, LATHE_PARAM_NULLABLE, "null", "The constant."),
    LATHE_P_BOOL(impute_config, marker, 0, "false",
                 "Add a column <name>_missing where the training rows have gaps."),
};

typedef struct impute {
    step base;
    double *numbers;   /* [n_chosen] what fills FLOAT64 output */
    int64_t *integers; /* [n_chosen] INT64 and TIMESTAMP output */
    int32_t *codes;    /* [n_chosen] CATEGORY output */
    lathe_str *texts;  /* [n_chosen] STRING output */
    int32_t *markers;  /* [n_chosen] output column, or -1 */
} impute;

static int32_t reserve(impute *m, lathe_error *err) {
    step *s = &m->base;
    int64_t n = s->n_chosen > 0 ? s->n_chosen : 1;
    m->numbers = step_take(s, n, sizeof *m->numbers);
    m->integers = step_take(s, n, sizeof *m->integers);
    m->codes = step_take(s, n, sizeof *m->codes);
    m->texts = step_take(s, n, sizeof *m->texts);
    m->markers = step_take(s, n, sizeof *m->markers);
    if (!m->numbers || !m->integers || !m->codes || !m->texts || !m->markers)
        return step_no_memory(err);
    return LATHE_OK;
}

/* ---- what fills a column ----------------------------------------------------------------------------- */

static int32_t fail_strategy(const lathe_column *c, const char *what, lathe_error *err) {
    return step_fail(
        err, LATHE_E_INVALID,
        "column '%.150s' holds no numbers, so it has no %s; use mode or constant for it", c->name,
        what);
}

static double weighted_mean(const step_value *v, int64_t n) {
    double sum = 0, total = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i].weight * v[i].value;
        total += v[i].weight;
    }
    return total > 0 ? sum / total : NAN;
}

/* Of sorted values. */
static double mode_of_numbers(const step_value *v, int64_t n) {
    double best = v[0].value, most = -1;
    for (int64_t i = 0, end; i < n; i = end) {
        double weight = 0;
        for (end = i; end < n && v[end].value == v[i].value; end++)
            weight += v[end].weight;
        if (weight > most) {
            most = weight;
            best = v[i].value;
        }
    }
    return best;
}

static int compare_integers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Integers and times beyond 2^53 are no doubles: their mode is found among themselves, unweighted. */
static int64_t mode_of_integers(const lathe_column *c, int64_t n_rows, int64_t *sorted) {
    int64_t n = 0, best = 0, most = 0;
    for (int64_t i = 0; i < n_rows; i++)
        if (!lathe_is_missing(c, i))
            sorted[n++] = ((const int64_t *)c->values)[i];
    qsort(sorted, (size_t)n, sizeof *sorted, compare_integers);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && sorted[end] == sorted[i]; end++)
            ;
        if (end - i > most) {
            most = end - i;
            best = sorted[i];
        }
    }
    return best;
}

static int32_t mode_of_codes(impute *m, int64_t k, const lathe_transform_fit *in,
                             const lathe_column *c, lathe_error *err) {
    const lathe_host *host = m->base.host;
    double *weight = host->alloc(host, (uint64_t)(c->dict_size + 1) * sizeof *weight);
    double most = -1;
    if (weight == NULL)
        return step_no_memory(err);
    for (int64_t i = 0; i < in->table->n_rows; i++) {
        int32_t code = ((const int32_t *)c->values)[i];
        if (code >= 0 && code < c->dict_size)
            weight[code] += in->weight != NULL ? in->weight[i] : 1;
    }
    for (int64_t code = 0; code < c->dict_size; code++)
        if (weight[code] > 0 && weight[code] > most) {
            most = weight[code];
            m->codes[k] = (int32_t)code;
        }
    host->free(host, weight);
    return most > 0 ? LATHE_OK : step_no_values(err, c->name);
}

/* Finds the fill of a column of numbers or times; *type: of the output. */
static int32_t fill_number(impute *m, int64_t k, const lathe_transform_fit *in,
                           const lathe_column *c, int32_t *type, lathe_error *err) {
    const impute_config *config = m->base.config;
    const lathe_host *host = m->base.host;
    int64_t n;
    step_value *v = host->alloc(host, (uint64_t)in->table->n_rows * sizeof *v);
    int32_t rc = LATHE_OK;
    if (v == NULL)
        return step_no_memory(err);
    step_gather(in, c, v, &n);
    *type = LATHE_COLUMN_FLOAT64;
    if (n == 0) {
        rc = step_no_values(err, c->name);
    } else if (config->strategy == MODE && c->type != LATHE_COLUMN_FLOAT64) {
        *type = c->type;
        m->integers[k] = mode_of_integers(c, in->table->n_rows, (int64_t *)(void *)v);
    } else if (config->strategy == MEAN) {
        m->numbers[k] = weighted_mean(v, n);
    } else {
        qsort(v, (size_t)n, sizeof *v, step_compare_values);
        m->numbers[k] = config->strategy == MODE ? mode_of_numbers(v, n)
                                                 : step_quantile(v, n, in->weight != NULL, 0.5);
    }
    host->free(host, v);
    if (rc == LATHE_OK && *type == LATHE_COLUMN_FLOAT64 && !isfinite(m->numbers[k]))
        rc = step_fail(
            err, LATHE_E_NUMERIC,
            "column '%.150s' has no finite %s: it holds infinite values, or its rows have no "
            "weight",
            c->name, strategy_choices[config->strategy]);
    return rc;
}

static int32_t fail_constant(const lathe_column *c, const char *expected, lathe_error *err) {
    return step_fail(err, LATHE_E_INVALID, "\"value\" does not fit column '%.150s'; expected %s",
                     c->name, expected);
}

/* The constant as the column's own type. */
static int32_t fill_constant(impute *m, int64_t k, const lathe_column *c, int32_t *type,
                             lathe_error *err) {
    const lathe_scalar *v = &((const impute_config *)m->base.config)->value;
    *type = c->type;
    if (lathe_is_numeric(c)) {
        if (v->type != LATHE_SCALAR_NUMBER)
            return fail_constant(c, "a number", err);
        m->numbers[k] = v->number;
        int whole = v->number == floor(v->number) && fabs(v->number) < 9007199254740992.0;
        if (c->type == LATHE_COLUMN_INT64 && whole)
            m->integers[k] = (int64_t)v->number;
        else
            *type = LATHE_COLUMN_FLOAT64;
        return LATHE_OK;
    }
    if (c->type == LATHE_COLUMN_TIMESTAMP)
        return step_fail(err, LATHE_E_UNSUPPORTED,
                         "column '%.150s' holds times, which a constant cannot fill; use mode",
                         c->name);
    if (v->type != LATHE_SCALAR_STRING)
        return fail_constant(c, "a text", err);
    m->texts[k] = (lathe_str){v->string, (int64_t)strlen(v->string)};
    m->codes[k] = (int32_t)c->dict_size;
    for (int64_t code = 0; code < c->dict_size; code++)
        if (c->dict[code].len == m->texts[k].len &&
            memcmp(c->dict[code].ptr, v->string, (size_t)m->texts[k].len) == 0)
            m->codes[k] = (int32_t)code;
    return LATHE_OK;
}

static int32_t find_fill(impute *m, int64_t k, const lathe_transform_fit *in, const lathe_column *c,
                         int32_t *type, lathe_error *err) {
    int32_t strategy = ((const impute_config *)m->base.config)->strategy;
    if (strategy == CONSTANT)
        return fill_constant(m, k, c, type, err);
    if (strategy != MODE && !lathe_is_numeric(c))
        return fail_strategy(c, strategy_choices[strategy], err);
    if (c->type == LATHE_COLUMN_STRING)
        return step_fail(err, LATHE_E_UNSUPPORTED,
                         "column '%.150s' holds free text; fill it with a constant", c->name);
    *type = c->type;
    if (c->type == LATHE_COLUMN_CATEGORY)
        return mode_of_codes(m, k, in, c, err);
    return fill_number(m, k, in, c, type, err);
}

/* ---- fit and apply ----------------------------------------------------------------------------------- */

static int32_t add_filled(impute *m, int64_t k, const lathe_column *c, int32_t type,
                          lathe_error *err) {
    step *s = &m->base;
    if (type != LATHE_COLUMN_CATEGORY || m->codes[k] < c->dict_size)
        return step_add_field(s, c->name, type, -1, c->dict, c->dict_size, err);
    lathe_str *longer = s->host->alloc(s->host, (uint64_t)(c->dict_size + 1) * sizeof *longer);
    if (longer == NULL)
        return step_no_memory(err);
    if (c->dict_size > 0)
        memcpy(longer, c->dict, (size_t)c->dict_size * sizeof *longer);
    longer[c->dict_size] = m->texts[k];
    int32_t rc = step_add_field(s, c->name, type, -1, longer, c->dict_size + 1, err);
    s->host->free(s->host, longer);
    return rc;
}

static int32_t add_markers(impute *m, const lathe_transform_fit *in, lathe_error *err) {
    step *s = &m->base;
    int32_t rc = LATHE_OK, wanted = ((const impute_config *)s->config)->marker;
    for (int64_t k = 0; k < s->n_chosen && rc == LATHE_OK; k++) {
        const lathe_column *c = &in->table->columns[s->chosen[k]];
        int64_t i = 0;
        m->markers[k] = -1;
        while (wanted && i < in->table->n_rows && !lathe_is_missing(c, i))
            i++;
        if (!wanted || i == in->table->n_rows)
            continue;
        m->markers[k] = (int32_t)s->n_out;
        rc = step_add_made(s, c->name, "_missing", (lathe_str){"", 0}, s->n_out, LATHE_COLUMN_INT64,
                           err);
    }
    return rc;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    impute *m = self;
    step *s = &m->base;
    int32_t rc = step_begin(s, ((const impute_config *)s->config)->columns, in, err);
    if (rc == LATHE_OK)
        rc = reserve(m, err);
    for (int64_t i = 0, k = 0; i < s->n_in && rc == LATHE_OK; i++) {
        const lathe_column *c = &in->table->columns[i];
        int32_t type = c->type;
        if (k == s->n_chosen || s->chosen[k] != i) {
            rc = step_pass(s, in->table, i, err);
            continue;
        }
        rc = find_fill(m, k, in, c, &type, err);
        if (rc == LATHE_OK)
            rc = add_filled(m, k, c, type, err);
        k++;
    }
    if (rc == LATHE_OK)
        rc = add_markers(m, in, err);
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static void fill_column(const impute *m, int64_t k, const lathe_column *from,
                        const lathe_column *to, int64_t n) {
    switch (to->type) {
    case LATHE_COLUMN_FLOAT64:
        for (int64_t i = 0; i < n; i++) {
            double v = lathe_number_at(from, i, NAN);
            ((double *)to->values)[i] = isnan(v) ? m->numbers[k] : v;
        }
        break;
    case LATHE_COLUMN_INT64:
    case LATHE_COLUMN_TIMESTAMP:
        for (int64_t i = 0; i < n; i++) {
            int64_t v = ((const int64_t *)from->values)[i];
            ((int64_t *)to->values)[i] = v == LATHE_MISSING_INT ? m->integers[k] : v;
        }
        break;
    case LATHE_COLUMN_CATEGORY:
        for (int64_t i = 0; i < n; i++) {
            int32_t v = ((const int32_t *)from->values)[i];
            ((int32_t *)to->values)[i] = v == LATHE_CODE_MISSING ? m->codes[k] : v;
        }
        break;
    default:
        for (int64_t i = 0; i < n; i++) {
            lathe_str v = ((const lathe_str *)from->values)[i];
            ((lathe_str *)to->values)[i] = v.ptr == NULL ? m->texts[k] : v;
        }
    }
}

static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    const impute *m = self;
    int32_t rc = step_check_input(&m->base, in, err);
    for (int64_t k = 0; rc == LATHE_OK && k < m->base.n_chosen; k++) {
        int32_t at = m->base.chosen[k];
        fill_column(m, k, &in->columns[at], &out->columns[at], in->n_rows);
        if (m->markers[k] < 0)
            continue;
        int64_t *marker = out->columns[m->markers[k]].values;
        for (int64_t i = 0; i < in->n_rows; i++)
            marker[i] = lathe_is_missing(&in->columns[at], i);
    }
    return rc;
}

/* ---- state ------------------------------------------------------------------------------------------- */

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const impute *m = self;
    int64_t n = m->base.n_chosen;
    int32_t rc;
    if ((rc = step_save(&m->base, w, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "numbers", LATHE_FLOAT, 64, m->numbers, n, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "integers", LATHE_INT, 64, m->integers, n, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "codes", LATHE_INT, 32, m->codes, n, err)) != LATHE_OK)
        return rc;
    return lathe_write_array(w, "markers", LATHE_INT, 32, m->markers, n, err);
}

static int32_t check_loaded(const impute *m, lathe_error *err) {
    const step *s = &m->base;
    int64_t made = 0;
    for (int64_t k = 0; k < s->n_chosen; k++) {
        int32_t in_type = s->in_types[s->chosen[k]], marker = m->markers[k];
        if (s->chosen[k] >= s->n_out)
            return step_corrupt(err, "a filled column is not there");
        const lathe_field *f = &s->fields[s->chosen[k]];
        int widened = in_type == LATHE_COLUMN_INT64 && f->type == LATHE_COLUMN_FLOAT64;
        if (f->source >= 0 || (f->type != in_type && !widened))
            return step_corrupt(err, "a filled column has another type");
        if (f->type == LATHE_COLUMN_CATEGORY && (m->codes[k] < 0 || m->codes[k] >= f->dict_size))
            return step_corrupt(err, "a fill that the dictionary does not hold");
        if (marker < -1 || marker >= s->n_out || (marker >= 0 && marker < s->n_in) ||
            (marker >= 0 && s->fields[marker].type != LATHE_COLUMN_INT64) ||
            (marker >= 0 && s->fields[marker].source >= 0))
            return step_corrupt(err, "a marker column that is not there");
        for (int64_t j = 0; j < k && marker >= 0; j++)
            if (m->markers[j] == marker)
                return step_corrupt(err, "two markers in one column");
        made += 1 + (marker >= 0);
    }
    return made == step_count_made(s) ? LATHE_OK : step_corrupt(err, "a column that nothing fills");
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    impute *m = self;
    step *s = &m->base;
    const lathe_scalar *value = &((const impute_config *)s->config)->value;
    const void *numbers, *integers, *codes, *markers;
    int32_t rc = step_load(s, r, err);
    int64_t n = s->n_chosen;
    if (rc != LATHE_OK || (rc = reserve(m, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "numbers", LATHE_FLOAT, 64, n, &numbers, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "integers", LATHE_INT, 64, n, &integers, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "codes", LATHE_INT, 32, n, &codes, NULL, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "markers", LATHE_INT, 32, n, &markers, NULL, err)) != LATHE_OK)
        return rc;
    if (n > 0) {
        memcpy(m->numbers, numbers, (size_t)n * sizeof *m->numbers);
        memcpy(m->integers, integers, (size_t)n * sizeof *m->integers);
        memcpy(m->codes, codes, (size_t)n * sizeof *m->codes);
        memcpy(m->markers, markers, (size_t)n * sizeof *m->markers);
    }
    for (int64_t k = 0; k < n; k++) /* texts come from the config, which is the same */
        if (value->type == LATHE_SCALAR_STRING)
            m->texts[k] = (lathe_str){value->string, (int64_t)strlen(value->string)};
    rc = check_loaded(m, err);
    s->fitted = rc == LATHE_OK;
    return rc;
}

static int32_t check(const void *config, lathe_error *err) {
    const impute_config *c = config;
    int has_value = c->value.type != LATHE_SCALAR_NULL;
    if (has_value == (c->strategy == CONSTANT) && c->value.type != LATHE_SCALAR_BOOL)
        return LATHE_OK;
    snprintf(err->where, sizeof err->where, "value");
    return step_fail(err, LATHE_E_INVALID, "%s",
                     c->strategy == CONSTANT
                         ? "the strategy is constant; \"value\" must be a number or a text"
                         : "\"value\" is for the strategy constant alone");
}

STEP_CREATE(impute)

static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                          .fit = fit,
                                          .schema = step_schema,
                                          .apply = apply,
                                          .save = save,
                                          .load = load};

STEP_DESCRIPTOR(impute, 0, 1, interface,
                "Fills missing values with the mean, median, mode or a constant.",
                LATHE_PARAMS(impute_params, impute_config), .check_config = check);

LATHE_PLUGIN(&impute_descriptor)

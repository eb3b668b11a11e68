/* step.h: what all transforms share: errors, the columns chosen, the output schema, and saving both.
 *
 * A transform's instance begins with a `step`. fit calls step_begin, adds the output fields in order, and from then
 * on the schema is fixed; load rebuilds the same. apply checks its input by step_check_input: column types as in
 * fit, nothing is read before.
 */
#ifndef LATHE_TRANSFORMS_STEP_H
#define LATHE_TRANSFORMS_STEP_H

#include <lathe/lathe.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MAX_COLUMNS 1000000

typedef struct step_block {
    struct step_block *next;
    int64_t reserved0[7]; /* what follows is aligned as the host's memory is */
} step_block;

typedef struct step {
    const lathe_host *host;
    const void *config;
    step_block *blocks; /* memory that lives as long as the instance */
    int32_t fitted;
    int32_t reserved0;
    int64_t n_in;
    const int32_t *in_types; /* [n_in] */
    int64_t n_out;
    int64_t out_capacity;
    lathe_field *fields; /* [n_out] */
    int64_t n_chosen;
    const int32_t *chosen; /* [n_chosen] input columns that are transformed, ascending */
} step;

__attribute__((format(printf, 3, 4))) static inline int32_t step_fail(lathe_error *err,
                                                                      int32_t code,
                                                                      const char *format, ...) {
    va_list args;
    err->code = code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

static inline int32_t step_no_memory(lathe_error *err) {
    return step_fail(err, LATHE_E_MEMORY, "no memory for the transform");
}

static inline int32_t step_corrupt(lathe_error *err, const char *what) {
    return step_fail(err, LATHE_E_CORRUPT, "the saved state is damaged: %s", what);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static inline int32_t step_create_sized(const lathe_host *host, const void *config, uint64_t size,
                                        void **self, lathe_error *err) {
    step *s = host->alloc(host, size);
    if (s == NULL)
        return step_no_memory(err);
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

/* Defines `create` for an instance type. */
#define STEP_CREATE(type)                                                                          \
    static int32_t create(const lathe_host *host, const void *config, void **self,                 \
                          lathe_error *err) {                                                      \
        return step_create_sized(host, config, sizeof(type), self, err);                           \
    }

static inline void step_destroy(void *self) {
    step *s = self;
    while (s->blocks != NULL) {
        step_block *next = s->blocks->next;
        s->host->free(s->host, s->blocks);
        s->blocks = next;
    }
    s->host->free(s->host, s);
}

/* n * size zeroed bytes, 64-byte aligned, that live as long as the instance; NULL: no memory. */
static inline void *step_take(step *s, int64_t n, uint64_t size) {
    if (n < 0 || (uint64_t)n > (UINT64_MAX >> 2) / size)
        return NULL;
    step_block *b = s->host->alloc(s->host, sizeof *b + (uint64_t)n * size);
    if (b == NULL)
        return NULL;
    b->next = s->blocks;
    s->blocks = b;
    return b + 1;
}

static inline char *step_copy_text(step *s, const char *text, int64_t n) {
    char *copy = step_take(s, n + 1, 1);
    if (copy != NULL && n > 0)
        memcpy(copy, text, (size_t)n);
    return copy;
}

/* ---- input ----------------------------------------------------------------------------------------- */

static inline int32_t step_remember_input(step *s, const lathe_table *table, lathe_error *err) {
    int32_t *types = step_take(s, table->n_columns, sizeof *types);
    if (types == NULL)
        return step_no_memory(err);
    for (int64_t i = 0; i < table->n_columns; i++)
        types[i] = table->columns[i].type;
    s->in_types = types;
    s->n_in = table->n_columns;
    return LATHE_OK;
}

/* The columns that a selector means, ascending, into `chosen`. */
static inline int32_t step_choose(step *s, const lathe_selector *selector, const lathe_table *table,
                                  lathe_error *err) {
    const lathe_tables *tables = s->host->get(s->host, LATHE_HOST_TABLES);
    int32_t *chosen = step_take(s, table->n_columns, sizeof *chosen);
    if (tables == NULL)
        return step_fail(err, LATHE_E_UNSUPPORTED, "this host has no service to select columns");
    if (chosen == NULL)
        return step_no_memory(err);
    s->chosen = chosen;
    return tables->select(s->host, selector, table, chosen, table->n_columns, &s->n_chosen, err);
}

/* Starts a fit: the rows are there, the input is remembered, the columns are chosen. */
static inline int32_t step_begin(step *s, const lathe_selector *selector,
                                 const lathe_transform_fit *in, lathe_error *err) {
    if (in->table->n_rows < 1)
        return step_fail(err, LATHE_E_DATA, "there are no training rows to fit to");
    if (s->fitted)
        return step_fail(err, LATHE_E_STATE, "the transform is fitted already");
    s->n_out = 0;
    int32_t rc = step_remember_input(s, in->table, err);
    return rc == LATHE_OK ? step_choose(s, selector, in->table, err) : rc;
}

static inline int32_t step_check_input(const step *s, const lathe_table *in, lathe_error *err) {
    if (!s->fitted)
        return step_fail(err, LATHE_E_STATE, "the transform is not fitted");
    if (in->n_columns != s->n_in)
        return step_fail(err, LATHE_E_SHAPE, "expected %lld columns, found %lld",
                         (long long)s->n_in, (long long)in->n_columns);
    for (int64_t i = 0; i < s->n_in; i++)
        if (in->columns[i].type != s->in_types[i])
            return step_fail(err, LATHE_E_SHAPE,
                             "column '%.100s' has another type than in training",
                             in->columns[i].name);
    return LATHE_OK;
}

static inline int32_t step_need_numbers(const step *s, const lathe_table *table, const char *what,
                                        lathe_error *err) {
    for (int64_t k = 0; k < s->n_chosen; k++)
        if (!lathe_is_numeric(&table->columns[s->chosen[k]]))
            return step_fail(
                err, LATHE_E_INVALID,
                "%s needs numbers, and column '%.100s' holds none; choose other columns", what,
                table->columns[s->chosen[k]].name);
    return LATHE_OK;
}

static inline int32_t step_need_categories(const step *s, const lathe_table *table,
                                           const char *what, lathe_error *err) {
    for (int64_t k = 0; k < s->n_chosen; k++)
        if (table->columns[s->chosen[k]].type != LATHE_COLUMN_CATEGORY)
            return step_fail(
                err, LATHE_E_INVALID,
                "%s needs categories, and column '%.100s' holds none; choose other columns, "
                "or declare it a category in the source",
                what, table->columns[s->chosen[k]].name);
    return LATHE_OK;
}

/* ---- output ---------------------------------------------------------------------------------------- */

/* Adds an output column. `source` >= 0: untouched; else `dict` (copied) is its dictionary if it is one of
 * categories. */
static inline int32_t step_add_field(step *s, const char *name, int32_t type, int32_t source,
                                     const lathe_str *dict, int64_t dict_size, lathe_error *err) {
    lathe_str *copy = NULL;
    if (s->n_out >= STEP_MAX_COLUMNS)
        return step_fail(err, LATHE_E_UNSUPPORTED,
                         "the transform would make more than %d columns; limit the categories",
                         STEP_MAX_COLUMNS);
    if (s->n_out == s->out_capacity) {
        int64_t wanted = s->out_capacity > 0 ? s->out_capacity * 2 : 64;
        lathe_field *more = step_take(s, wanted, sizeof *more);
        if (more == NULL)
            return step_no_memory(err);
        if (s->n_out > 0)
            memcpy(more, s->fields, (size_t)s->n_out * sizeof *more);
        s->fields = more;
        s->out_capacity = wanted;
    }
    if (source < 0 && type == LATHE_COLUMN_CATEGORY) {
        copy = step_take(s, dict_size > 0 ? dict_size : 1, sizeof *copy);
        for (int64_t i = 0; copy != NULL && i < dict_size; i++) {
            copy[i] = (lathe_str){step_copy_text(s, dict[i].ptr, dict[i].len), dict[i].len};
            if (copy[i].ptr == NULL)
                copy = NULL;
        }
        if (copy == NULL)
            return step_no_memory(err);
    }
    char *own_name = step_copy_text(s, name, (int64_t)strlen(name));
    if (own_name == NULL)
        return step_no_memory(err);
    s->fields[s->n_out++] =
        (lathe_field){own_name, type, source, copy, copy != NULL ? dict_size : 0};
    return LATHE_OK;
}

/* Appends text to a name of at most `limit` bytes, whole characters only, control characters as '?'. 0 where it is
 * not all there as it was. */
static inline int step_append_name(char *name, size_t limit, const char *text, int64_t length) {
    size_t used = strlen(name), room = used < limit ? limit - used : 0;
    size_t n = (size_t)length < room ? (size_t)length : room;
    int whole = n == (size_t)length;
    while (!whole && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--; /* not in the middle of a character */
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        int control = c < 0x20 || c == 0x7F;
        name[used + i] = control ? '?' : (char)c;
        whole &= !control;
    }
    name[used + n] = '\0';
    return whole;
}

/* Adds a made column of numbers named <column><joint><value>. A name that had to be changed gets #<number>, so that
 * two of them differ. */
static inline int32_t step_add_made(step *s, const char *column, const char *joint, lathe_str value,
                                    int64_t number, int32_t type, lathe_error *err) {
    char name[1100] = "", mark[32];
    int whole = step_append_name(name, 500, column, (int64_t)strlen(column));
    step_append_name(name, 1000, joint, (int64_t)strlen(joint));
    whole &= step_append_name(name, 1000, value.ptr, value.len);
    snprintf(mark, sizeof mark, "#%lld", (long long)number);
    if (!whole)
        step_append_name(name, sizeof name - 1, mark, (int64_t)strlen(mark));
    return step_add_field(s, name, type, -1, NULL, 0, err);
}

/* Passes input column i through. */
static inline int32_t step_pass(step *s, const lathe_table *table, int64_t i, lathe_error *err) {
    return step_add_field(s, table->columns[i].name, table->columns[i].type, (int32_t)i, NULL, 0,
                          err);
}

static inline int32_t step_schema(const void *self, const lathe_field **fields, int64_t *n_fields,
                                  lathe_error *err) {
    const step *s = self;
    if (!s->fitted)
        return step_fail(err, LATHE_E_STATE, "the transform is not fitted");
    *fields = s->fields;
    *n_fields = s->n_out;
    return LATHE_OK;
}

static inline int step_compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ends a fit. Names of the output must differ: two steps may both make "a_missing". */
static inline int32_t step_finish(step *s, lathe_error *err) {
    int32_t rc = LATHE_OK;
    if (s->n_out == 0)
        return step_fail(err, LATHE_E_INVALID, "no column is left after this transform");
    const char **names = s->host->alloc(s->host, (uint64_t)s->n_out * sizeof *names);
    if (names == NULL)
        return step_no_memory(err);
    for (int64_t i = 0; i < s->n_out; i++)
        names[i] = s->fields[i].name;
    qsort(names, (size_t)s->n_out, sizeof *names, step_compare_names);
    for (int64_t i = 1; i < s->n_out && rc == LATHE_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = step_fail(
                err, LATHE_E_EXISTS,
                "the transform would make a second column '%.200s'; rename or drop the first",
                names[i]);
    s->host->free(s->host, (void *)names);
    s->fitted = rc == LATHE_OK;
    return rc;
}

/* How many output columns apply writes. */
static inline int64_t step_count_made(const step *s) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_out; i++)
        n += s->fields[i].source < 0;
    return n;
}

/* ---- saving ---------------------------------------------------------------------------------------- */

static inline int32_t step_save_fields(const step *s, const lathe_writer *w, lathe_error *err) {
    int64_t n = s->n_out;
    lathe_str *names = s->host->alloc(s->host, (uint64_t)n * sizeof *names);
    int32_t *numbers = s->host->alloc(s->host, (uint64_t)n * 2 * sizeof *numbers);
    int32_t rc = names == NULL || numbers == NULL ? step_no_memory(err) : LATHE_OK;
    for (int64_t i = 0; i < n && rc == LATHE_OK; i++) {
        char key[32];
        names[i] = (lathe_str){s->fields[i].name, (int64_t)strlen(s->fields[i].name)};
        numbers[i] = s->fields[i].type;
        numbers[n + i] = s->fields[i].source;
        snprintf(key, sizeof key, "dict.%lld", (long long)i);
        if (s->fields[i].dict != NULL)
            rc = w->strings(w, key, s->fields[i].dict, s->fields[i].dict_size, err);
    }
    if (rc == LATHE_OK)
        rc = w->strings(w, "fields", names, n, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "field_types", LATHE_INT, 32, numbers, n, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "field_sources", LATHE_INT, 32, numbers + n, n, err);
    s->host->free(s->host, names);
    s->host->free(s->host, numbers);
    return rc;
}

/* The step's own part of the state; the transform adds its tensors. */
static inline int32_t step_save(const step *s, const lathe_writer *w, lathe_error *err) {
    int32_t rc;
    if (!s->fitted)
        return step_fail(err, LATHE_E_STATE, "the transform is not fitted");
    if ((rc = lathe_write_array(w, "input_types", LATHE_INT, 32, s->in_types, s->n_in, err)) !=
            LATHE_OK ||
        (rc = lathe_write_array(w, "chosen", LATHE_INT, 32, s->chosen, s->n_chosen, err)) !=
            LATHE_OK)
        return rc;
    return step_save_fields(s, w, err);
}

static inline int32_t step_load_fields(step *s, const lathe_reader *r, lathe_error *err) {
    const lathe_str *names;
    const void *types, *sources;
    int64_t n;
    int32_t rc;
    if ((rc = r->strings(r, "fields", &names, &n, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "field_types", LATHE_INT, 32, n, &types, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "field_sources", LATHE_INT, 32, n, &sources, NULL, err)) !=
            LATHE_OK)
        return rc;
    for (int64_t i = 0; i < n; i++) {
        const lathe_str *dict = NULL;
        int64_t dict_size = 0;
        int32_t type = ((const int32_t *)types)[i], source = ((const int32_t *)sources)[i];
        if (lathe_value_size(type) == 0 || source < -1 || source >= s->n_in)
            return step_corrupt(err, "an output column that cannot be");
        if (source >= 0 && s->in_types[source] != type)
            return step_corrupt(err, "an output column that has not the type of its source");
        if (source < 0 && type == LATHE_COLUMN_CATEGORY) {
            char key[32];
            snprintf(key, sizeof key, "dict.%lld", (long long)i);
            rc = r->strings(r, key, &dict, &dict_size, err);
            if (rc != LATHE_OK)
                return rc;
        }
        char *name = step_copy_text(s, names[i].ptr, names[i].len);
        if (name == NULL)
            return step_no_memory(err);
        rc = step_add_field(s, name, type, source, dict, dict_size, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* Reads what step_save wrote. The transform reads its tensors, checks them and sets `fitted`. */
static inline int32_t step_load(step *s, const lathe_reader *r, lathe_error *err) {
    const void *types, *chosen;
    int32_t rc;
    if (s->fitted)
        return step_fail(err, LATHE_E_STATE, "the transform is fitted already");
    if ((rc = lathe_read_array(r, "input_types", LATHE_INT, 32, -1, &types, &s->n_in, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "chosen", LATHE_INT, 32, -1, &chosen, &s->n_chosen, err)) !=
            LATHE_OK)
        return rc;
    s->in_types = types;
    s->chosen = chosen;
    for (int64_t i = 0; i < s->n_in; i++)
        if (lathe_value_size(s->in_types[i]) == 0)
            return step_corrupt(err, "an input column of an unknown type");
    for (int64_t k = 0; k < s->n_chosen; k++)
        if (s->chosen[k] < 0 || s->chosen[k] >= s->n_in ||
            (k > 0 && s->chosen[k] <= s->chosen[k - 1]))
            return step_corrupt(err, "a chosen column that is not there");
    return step_load_fields(s, r, err);
}

/* ---- statistics of the training rows ----------------------------------------------------------------- */

typedef struct step_value {
    double value;
    double weight;
} step_value;

/* The values of a column that are not missing, with their weights; *n of them. `out` holds n_rows. */
static inline void step_gather(const lathe_transform_fit *in, const lathe_column *c,
                               step_value *out, int64_t *n) {
    *n = 0;
    for (int64_t i = 0; i < in->table->n_rows; i++)
        if (!lathe_is_missing(c, i))
            out[(*n)++] =
                (step_value){lathe_number_at(c, i, NAN), in->weight != NULL ? in->weight[i] : 1};
}

static inline int step_compare_values(const void *a, const void *b) {
    double x = ((const step_value *)a)->value, y = ((const step_value *)b)->value;
    return x < y ? -1 : x > y;
}

/* Quantile q of sorted values. Unweighted: linear between the order statistics (type 7 of R. J. Hyndman, Y. Fan,
 * The American Statistician 50, 1996). Weighted: the smallest value at which q of the weight is reached. */
static inline double step_quantile(const step_value *v, int64_t n, int weighted, double q) {
    double total = 0, sum = 0;
    if (!weighted) {
        double at = q * (double)(n - 1);
        int64_t low = (int64_t)floor(at);
        if (low + 1 >= n)
            return v[n - 1].value;
        double rest = at - (double)low;
        return rest == 0 ? v[low].value : v[low].value + rest * (v[low + 1].value - v[low].value);
    }
    for (int64_t i = 0; i < n; i++)
        total += v[i].weight;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i].weight;
        if (sum > 0 && sum >= q * total)
            return v[i].value;
    }
    return v[n - 1].value;
}

static inline int32_t step_no_values(lathe_error *err, const char *column) {
    return step_fail(
        err, LATHE_E_DATA,
        "column '%.150s' has no value in the training rows; drop it, or leave it out of "
        "this transform",
        column);
}

/* ---- descriptor -------------------------------------------------------------------------------------- */

#define STEP_DESCRIPTOR(short_name, bits, state, table, ...)                                       \
    static const lathe_descriptor short_name##_descriptor = {.struct_size =                        \
                                                                 LATHE_SIZED(lathe_descriptor),    \
                                                             .flags = bits,                        \
                                                             .id = "lathe.transform." #short_name, \
                                                             .kind = LATHE_KIND_TRANSFORM,         \
                                                             .name = #short_name,                  \
                                                             .version = "1.0.0",                   \
                                                             .license = "Apache-2.0",              \
                                                             .state_version = state,               \
                                                             .state_version_min = state,           \
                                                             .interface = &table,                  \
                                                             .create = create,                     \
                                                             .destroy = step_destroy,              \
                                                             .doc = __VA_ARGS__}

#endif

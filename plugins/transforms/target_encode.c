/* target_encode.c: a category as the mean target of its rows, shrunk towards the mean of all.
 *
 *     code(c) = (Σ_{rows of c} w·t + m·t̄) / (Σ_{rows of c} w + m)        m = smoothing
 *
 * D. Micci-Barreca, SIGKDD Explorations 3(1), 2001. t is the value, or for classes [t = class]: one column for two
 * classes (the second class), one a class for more. Missing values are a category of their own; values not seen in
 * training become t̄. The training rows themselves get codes made from the other folds alone, so that no row sees
 * its own target; without folds they are cut into `folds` by a random key of their place.
 */
#include "code_map.h"

#define MAX_FOLDS 100

typedef struct target_config {
    const lathe_selector *columns;
    double smoothing;
    int64_t folds;
} target_config;

static const lathe_param target_params[] = {
    LATHE_P_COLUMNS(target_config, columns, 0, "\"categorical\"", "Columns of categories."),
    LATHE_P_FLOAT(target_config, smoothing, LATHE_PARAM_TUNABLE, "10", 0, 1e9,
                  "Weight of the overall mean, in rows.", .unit = "rows"),
    LATHE_P_INT(target_config, folds, 0, "5", 2, MAX_FOLDS,
                "Folds for the training rows' own codes, where the split gives none.",
                .unit = "folds"),
};

/* What a row adds to column j: value, or class membership. */
static double outcome(const lathe_transform_fit *in, int64_t width, int64_t row, int64_t j) {
    if (in->target->type == LATHE_COLUMN_FLOAT64)
        return ((const double *)in->target->values)[row];
    int32_t code = ((const int32_t *)in->target->values)[row];
    return code == (width == 1 ? 1 : (int32_t)j);
}

static int32_t fold_of(const step *s, const lathe_transform_fit *in, int64_t row) {
    const target_config *c = s->config;
    if (in->fold != NULL)
        return in->fold[row];
    return (int32_t)(s->host->random_key(s->host, in->key, (uint64_t)row) % (uint64_t)c->folds);
}

/* The codes of column k from all rows but those of fold `without` (-1: all rows), into lines [n + 2, width].
 * weight is scratch for n + 2. */
static void encode(const code_map *m, int64_t k, const lathe_transform_fit *in, int32_t without,
                   double *lines, double *weight) {
    const target_config *c = m->base.config;
    const lathe_column *column = &in->table->columns[m->base.chosen[k]];
    int64_t n = m->offsets[k + 1] - m->offsets[k], width = m->width;
    memset(lines, 0, (size_t)(n * width) * sizeof *lines);
    memset(weight, 0, (size_t)n * sizeof *weight);
    double total = 0;
    double *all = lines + (n - 1) * width; /* the unseen line holds the sums of all rows at first */
    for (int64_t i = 0; i < in->table->n_rows; i++) {
        if (without >= 0 && fold_of(&m->base, in, i) == without)
            continue;
        int64_t line = code_map_line(m, k, ((const int32_t *)column->values)[i]) - m->offsets[k];
        double w = in->weight != NULL ? in->weight[i] : 1;
        for (int64_t j = 0; j < width; j++) {
            double t = w * outcome(in, width, i, j);
            all[j] += t;
            if (line < n - 1)
                lines[line * width + j] += t;
        }
        weight[line] += w;
        total += w;
    }
    for (int64_t j = 0; j < width; j++) {
        double mean = total > 0 ? all[j] / total : 0;
        all[j] = mean;
        for (int64_t line = 0; line < n - 1; line++) {
            double below = weight[line] + c->smoothing;
            double *code = &lines[line * width + j];
            *code = weight[line] > 0 ? (*code + c->smoothing * mean) / below : mean;
        }
    }
}

static int32_t check_target(const lathe_transform_fit *in, lathe_error *err) {
    if (in->target == NULL)
        return step_fail(err, LATHE_E_INVALID, "target_encode needs a target");
    if (in->target->type != LATHE_COLUMN_FLOAT64 && in->target->type != LATHE_COLUMN_CATEGORY)
        return step_fail(err, LATHE_E_UNSUPPORTED, "the target is neither classes nor numbers");
    for (int64_t i = 0; i < in->table->n_rows; i++)
        if (lathe_is_missing(in->target, i))
            return step_fail(err, LATHE_E_DATA, "a training row has no target");
    for (int64_t i = 0; i < in->table->n_rows && in->fold != NULL; i++)
        if (in->fold[i] < 0 || in->fold[i] >= in->n_folds)
            return step_fail(err, LATHE_E_INVALID, "a training row is in fold %d of %d",
                             in->fold[i], in->n_folds);
    return LATHE_OK;
}

static int32_t add_fields(code_map *m, const lathe_transform_fit *in, lathe_error *err) {
    step *s = &m->base;
    int32_t rc = LATHE_OK;
    for (int64_t i = 0, k = 0; i < s->n_in && rc == LATHE_OK; i++) {
        const lathe_column *c = &in->table->columns[i];
        if (k == s->n_chosen || s->chosen[k] != i) {
            rc = step_pass(s, in->table, i, err);
            continue;
        }
        k++;
        for (int64_t j = 0; j < m->width && rc == LATHE_OK; j++) {
            lathe_str of = m->width > 1 ? in->target->dict[j] : (lathe_str){"", 0};
            rc = step_add_made(s, c->name, m->width > 1 ? "=" : "", of, s->n_out,
                               LATHE_COLUMN_FLOAT64, err);
        }
    }
    return rc;
}

/* Scratch of the longest column: lines and weights. */
static double *take_scratch(const code_map *m) {
    int64_t longest = 0;
    for (int64_t k = 0; k < m->base.n_chosen; k++)
        if (m->offsets[k + 1] - m->offsets[k] > longest)
            longest = m->offsets[k + 1] - m->offsets[k];
    return m->base.host->alloc(m->base.host,
                               (uint64_t)(longest + 1) * (uint64_t)(m->width + 1) * sizeof(double));
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    code_map *m = self;
    step *s = &m->base;
    const target_config *c = s->config;
    double *lines, *scratch;
    int32_t rc;
    if ((rc = check_target(in, err)) != LATHE_OK ||
        (rc = step_begin(s, c->columns, in, err)) != LATHE_OK ||
        (rc = step_need_categories(s, in->table, "target_encode", err)) != LATHE_OK)
        return rc;
    int64_t classes = in->target->type == LATHE_COLUMN_CATEGORY ? in->target->dict_size : 0;
    rc = code_map_reserve(m, in->table, classes > 2 ? classes : 1, &lines, err);
    if (rc == LATHE_OK)
        rc = add_fields(m, in, err);
    if (rc != LATHE_OK)
        return rc;
    scratch = take_scratch(m);
    if (scratch == NULL)
        return step_no_memory(err);
    for (int64_t k = 0; k < s->n_chosen; k++)
        encode(m, k, in, -1, lines + m->offsets[k] * m->width, scratch);
    s->host->free(s->host, scratch);
    return step_finish(s, err);
}

static int32_t apply_training(void *self, const lathe_transform_fit *in, lathe_table *out,
                              lathe_error *err) {
    code_map *m = self;
    step *s = &m->base;
    const target_config *c = s->config;
    int32_t n_folds = in->fold != NULL ? in->n_folds : (int32_t)c->folds;
    int32_t rc;
    if ((rc = step_check_input(s, in->table, err)) != LATHE_OK ||
        (rc = check_target(in, err)) != LATHE_OK)
        return rc;
    double *scratch = take_scratch(m);
    if (scratch == NULL)
        return step_no_memory(err);
    for (int64_t k = 0; k < s->n_chosen; k++) {
        int64_t n = m->offsets[k + 1] - m->offsets[k];
        const int32_t *codes = in->table->columns[s->chosen[k]].values;
        for (int32_t f = 0; f < n_folds; f++) {
            encode(m, k, in, f, scratch, scratch + n * m->width);
            for (int64_t i = 0; i < in->table->n_rows; i++) {
                if (fold_of(s, in, i) != f)
                    continue;
                int64_t line = code_map_line(m, k, codes[i]) - m->offsets[k];
                for (int64_t j = 0; j < m->width; j++)
                    ((double *)out->columns[m->first[k] + j].values)[i] =
                        scratch[line * m->width + j];
            }
        }
    }
    s->host->free(s->host, scratch);
    return LATHE_OK;
}

STEP_CREATE(code_map)

static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                          .fit = fit,
                                          .schema = step_schema,
                                          .apply = code_map_apply,
                                          .save = code_map_save,
                                          .load = code_map_load,
                                          .apply_training = apply_training};

STEP_DESCRIPTOR(target_encode, LATHE_TRANSFORM_NEEDS_TARGET, 1, interface,
                "A category as the smoothed mean target of its rows, out of fold in training.",
                LATHE_PARAMS(target_params, target_config));

LATHE_PLUGIN(&target_encode_descriptor)

/* data/dataset.c: making, viewing and freeing datasets; the service table. See dataset.h. */
#include "data/dataset.h"

#include "base/size.h"
#include "data/bins.h"
#include "data/dataset_internal.h"
#include "data/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Floats of a row are padded to whole cache lines. */
#define STRIDE_ALIGN 16

int64_t dataset_chunk_rows(int64_t stride) {
    int64_t rows = 65536 / (stride > 0 ? stride : 1);
    return rows < 64 ? 64 : rows > 4096 ? 4096 : rows;
}

/* ---- checking ---- */

static int32_t check_task(int32_t task, int64_t n_classes, lathe_error *err) {
    switch (task) {
    case LATHE_TASK_REGRESSION:
        if (n_classes == 0)
            return LATHE_OK;
        break;
    case LATHE_TASK_BINARY:
        if (n_classes == 2)
            return LATHE_OK;
        break;
    case LATHE_TASK_MULTICLASS:
        if (n_classes > 2 && n_classes <= INT32_MAX)
            return LATHE_OK;
        break;
    default:
        return lathe_fail(err, LATHE_E_INVALID, "dataset",
                          "task %d is unknown; use LATHE_TASK_REGRESSION, _BINARY or _MULTICLASS",
                          (int)task);
    }
    return lathe_fail(
        err, LATHE_E_INVALID, "dataset",
        "%lld classes do not fit the task: regression has 0, binary 2, multiclass more than 2",
        (long long)n_classes);
}

static int32_t check_shape(int64_t n_rows, int64_t n_features, lathe_error *err) {
    if (n_rows < 0 || n_features < 0)
        return lathe_fail(err, LATHE_E_SHAPE, "dataset", "%lld rows of %lld features: negative",
                          (long long)n_rows, (long long)n_features);
    if (n_rows > INT32_MAX || n_features > INT32_MAX)
        return lathe_fail(
            err, LATHE_E_MEMORY, "dataset",
            "%lld rows of %lld features: a dataset holds at most %d of each; use fewer",
            (long long)n_rows, (long long)n_features, INT32_MAX);
    return LATHE_OK;
}

static int32_t check_target(const lathe_dataset *d, int64_t row, float value, lathe_error *err) {
    if (d->task == LATHE_TASK_REGRESSION) {
        if (isfinite(value))
            return LATHE_OK;
        return lathe_fail(err, LATHE_E_DATA, "dataset",
                          "the target of row %lld is %g in float32; a number between -3.4e38 and "
                          "3.4e38 is needed: "
                          "scale the target, or drop such rows",
                          (long long)d->row_id[row] + 1, (double)value);
    }
    if (value >= 0 && value < (float)d->n_classes && value == floorf(value))
        return LATHE_OK;
    return lathe_fail(
        err, LATHE_E_DATA, "dataset",
        "the class of row %lld is %g; classes are 0 to %lld: drop rows of no known class",
        (long long)d->row_id[row] + 1, (double)value, (long long)d->n_classes - 1);
}

static int32_t check_weight(const lathe_dataset *d, int64_t row, double value, lathe_error *err) {
    if (isfinite((float)value) && value >= 0)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_DATA, "dataset",
                      "the weight of row %lld is %g; weights are finite and not negative",
                      (long long)d->row_id[row] + 1, value);
}

/* ---- making ---- */

/* Memory for a dataset of this shape, with row numbers filled; target and weight where asked. */
static lathe_dataset *dataset_alloc(int64_t n_rows, bool target, bool weight,
                                    const int64_t *row_id) {
    lathe_dataset *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    atomic_init(&d->refs, 1);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->changed, NULL);
    d->root = d;
    d->n_rows = n_rows;
    d->row_id = lathe_aligned_new(n_rows, sizeof *d->row_id);
    if (target)
        d->target = lathe_aligned_new(n_rows, sizeof *d->target);
    if (weight)
        d->weight = lathe_aligned_new(n_rows, sizeof *d->weight);
    if (d->row_id == NULL || (target && d->target == NULL) || (weight && d->weight == NULL)) {
        lathe_dataset_release(d);
        return NULL;
    }
    for (int64_t i = 0; i < n_rows; i++)
        d->row_id[i] = row_id != NULL ? row_id[i] : i;
    d->bytes = n_rows * (8 + (target ? 4 : 0) + (weight ? 4 : 0));
    return d;
}

/* Features with names of our own, the matrix (padding zeroed by the caller's chunks) and the NaN
 * flags. */
static bool root_alloc(lathe_dataset *d, const lathe_feature *features, int64_t n_features) {
    size_t names = 1;
    for (int64_t f = 0; f < n_features; f++)
        names += strlen(features[f].name) + 1;
    d->n_features = n_features;
    d->stride = (n_features + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
    if (d->stride == 0)
        d->stride = STRIDE_ALIGN;
    d->shape[0] = d->n_rows;
    d->shape[1] = n_features;
    d->strides[0] = d->stride;
    d->strides[1] = 1;
    int64_t cells;
    if (!lathe_mul_i64(d->n_rows, d->stride, &cells))
        return false;
    d->features = lathe_aligned_zeroed(n_features, sizeof *d->features);
    d->names = malloc(names);
    d->missing = lathe_aligned_zeroed(n_features, sizeof *d->missing);
    d->matrix = lathe_aligned_new(cells, sizeof *d->matrix);
    if (d->features == NULL || d->names == NULL || d->missing == NULL || d->matrix == NULL)
        return false;
    char *name = d->names;
    for (int64_t f = 0; f < n_features; f++) {
        size_t len = strlen(features[f].name) + 1;
        memcpy(name, features[f].name, len);
        d->features[f] = features[f];
        d->features[f].name = name;
        name += len;
        if (features[f].type == LATHE_FEATURE_CATEGORY)
            d->flags |= LATHE_DATA_HAS_CATEGORIES;
    }
    d->bytes += cells * 4 + (int64_t)names;
    return true;
}

static void root_flags(lathe_dataset *d) {
    for (int64_t f = 0; f < d->n_features; f++) {
        if (atomic_load(&d->missing[f]))
            d->flags |= LATHE_DATA_HAS_MISSING;
    }
    if (d->weight != NULL)
        d->flags |= LATHE_DATA_HAS_WEIGHTS;
}

typedef struct fill_job {
    lathe_dataset *data;
    const lathe_dataset_spec *spec;     /* make */
    const lathe_column *const *columns; /* from_table: [n_features] */
    _Atomic int64_t bad; /* lowest cell (row * n_features + feature) that breaks a rule */
} fill_job;

static void note_bad(fill_job *job, int64_t cell) {
    int64_t seen = atomic_load(&job->bad);
    while (cell < seen && !atomic_compare_exchange_weak(&job->bad, &seen, cell)) {
    }
}

static bool code_valid(const lathe_feature *f, float x) {
    return x != x || x == -1.0f || (x >= 0 && x < (float)f->n_categories && x == floorf(x));
}

/* Copies `width` features of the rows; nan[f] becomes other than 0 where one is missing. No branches: the
 * loop is vectorised. */
static void copy_features(const fill_job *job, int64_t begin, int64_t end, int64_t first,
                          int64_t width, uint32_t *nan) {
    const lathe_dataset *d = job->data;
    for (int64_t i = begin; i < end; i++) {
        const float *restrict from = job->spec->matrix + i * job->spec->stride + first;
        float *restrict to = d->matrix + i * d->stride + first;
        for (int64_t f = 0; f < width; f++) {
            nan[f] |= from[f] != from[f];
            to[f] = from[f];
        }
    }
}

static void check_codes(fill_job *job, int64_t begin, int64_t end, int64_t f) {
    const lathe_dataset *d = job->data;
    for (int64_t i = begin; i < end; i++) {
        if (!code_valid(&d->features[f], d->matrix[i * d->stride + f]))
            note_bad(job, i * d->n_features + f);
    }
}

/* Copies rows of the spec's matrix. */
static int32_t copy_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    enum { WIDTH = 256 };
    (void)worker;
    fill_job *job = user;
    lathe_dataset *d = job->data;
    const int64_t n = d->n_features;
    for (int64_t first = 0; first < n; first += WIDTH) {
        uint32_t nan[WIDTH] = {0};
        const int64_t width = n - first < WIDTH ? n - first : WIDTH;
        copy_features(job, begin, end, first, width, nan);
        for (int64_t f = 0; f < width; f++) {
            if (nan[f])
                atomic_store_explicit(&d->missing[first + f], 1, memory_order_relaxed);
            if (d->features[first + f].type == LATHE_FEATURE_CATEGORY)
                check_codes(job, begin, end, first + f);
        }
    }
    for (int64_t i = begin; i < end; i++)
        memset(d->matrix + i * d->stride + n, 0, (size_t)(d->stride - n) * sizeof(float));
    return LATHE_OK;
}

/* Copies the spec, so that members that an older plugin lacks are zero. */
static int32_t read_spec(const lathe_dataset_spec *given, lathe_dataset_spec *spec,
                         lathe_error *err) {
    if (given == NULL || given->struct_size < offsetof(lathe_dataset_spec, row_id))
        return lathe_fail(err, LATHE_E_INVALID, "dataset",
                          "the spec's struct_size is too small; set it with LATHE_SIZED");
    size_t size = given->struct_size < sizeof *spec ? given->struct_size : sizeof *spec;
    memset(spec, 0, sizeof *spec);
    memcpy(spec, given, size);
    int32_t code = check_task(spec->task, spec->n_classes, err);
    if (code == LATHE_OK)
        code = check_shape(spec->n_rows, spec->n_features, err);
    if (code != LATHE_OK)
        return code;
    if (spec->n_features > 0 && (spec->features == NULL || spec->stride < spec->n_features ||
                                 (spec->n_rows > 0 && spec->matrix == NULL)))
        return lathe_fail(
            err, LATHE_E_SHAPE, "dataset",
            "%lld features need their descriptions and a matrix of at least that stride",
            (long long)spec->n_features);
    for (int64_t f = 0; f < spec->n_features; f++) {
        const lathe_feature *feature = &spec->features[f];
        bool category = feature->type == LATHE_FEATURE_CATEGORY;
        if (feature->name == NULL || (!category && feature->type != LATHE_FEATURE_NUMERIC) ||
            feature->n_categories < 0 || feature->n_categories > 1 << 24)
            return lathe_fail(
                err, LATHE_E_INVALID, "dataset",
                "feature %lld needs a name, a type LATHE_FEATURE_… and 0 to 2^24 categories",
                (long long)f);
    }
    return LATHE_OK;
}

/* Targets and weights that are float already. */
static int32_t copy_target(lathe_dataset *d, const lathe_dataset_spec *spec, lathe_error *err) {
    int32_t code = LATHE_OK;
    for (int64_t i = 0; spec->target != NULL && i < d->n_rows && code == LATHE_OK; i++) {
        d->target[i] = spec->target[i];
        code = check_target(d, i, spec->target[i], err);
    }
    for (int64_t i = 0; spec->weight != NULL && i < d->n_rows && code == LATHE_OK; i++) {
        d->weight[i] = spec->weight[i];
        code = check_weight(d, i, (double)spec->weight[i], err);
    }
    return code;
}

int32_t lathe_dataset_make(lathe_pool *pool, const lathe_dataset_spec *given, lathe_dataset **data,
                           lathe_error *err) {
    lathe_dataset_spec spec;
    *data = NULL;
    int32_t code = read_spec(given, &spec, err);
    if (code != LATHE_OK)
        return code;
    lathe_dataset *d =
        dataset_alloc(spec.n_rows, spec.target != NULL, spec.weight != NULL, spec.row_id);
    if (d == NULL || !root_alloc(d, spec.features, spec.n_features)) {
        lathe_dataset_release(d);
        return lathe_fail_memory(err, "dataset", "a dataset");
    }
    d->pool = pool;
    d->task = spec.task;
    d->n_classes = spec.n_classes;
    fill_job job = {.data = d, .spec = &spec};
    atomic_init(&job.bad, INT64_MAX);
    code = lathe_pool_run(pool, d->n_rows, dataset_chunk_rows(d->stride), copy_chunk, &job);
    int64_t bad = atomic_load(&job.bad);
    if (code != LATHE_OK)
        lathe_fail(err, code, "dataset", "the matrix could not be copied on the pool");
    else if (bad != INT64_MAX)
        code =
            lathe_fail(err, LATHE_E_DATA, d->features[bad % d->n_features].name,
                       "row %lld has the code %g; a category is NaN, -1 or 0 to %d",
                       (long long)(bad / d->n_features) + 1,
                       (double)spec.matrix[bad / d->n_features * spec.stride + bad % d->n_features],
                       (int)d->features[bad % d->n_features].n_categories - 1);
    else
        code = copy_target(d, &spec, err);
    if (code != LATHE_OK) {
        lathe_dataset_release(d);
        return code;
    }
    root_flags(d);
    *data = d;
    return LATHE_OK;
}

/* ---- from a table ---- */

static void convert_column(const lathe_column *c, int64_t begin, int64_t end, float *to,
                           int64_t stride) {
    to += begin * stride;
    if (c->type == LATHE_COLUMN_FLOAT64) {
        const double *v = c->values;
        for (int64_t i = begin; i < end; i++, to += stride)
            *to = (float)v[i];
    } else if (c->type == LATHE_COLUMN_INT64) {
        const int64_t *v = c->values;
        for (int64_t i = begin; i < end; i++, to += stride)
            *to = v[i] == LATHE_MISSING_INT ? NAN : (float)v[i];
    } else {
        const int32_t *v = c->values;
        for (int64_t i = begin; i < end; i++, to += stride)
            *to = v[i] >= 0 ? (float)v[i] : v[i] == LATHE_CODE_MISSING ? NAN : -1.0f;
    }
}

static int32_t convert_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    fill_job *job = user;
    lathe_dataset *d = job->data;
    for (int64_t f = 0; f < d->n_features; f++) {
        const lathe_column *c = job->columns[f];
        float *to = d->matrix + f;
        convert_column(c, begin, end, to, d->stride);
        bool missing = false, bad = false;
        for (int64_t i = begin; i < end; i++)
            missing |= to[i * d->stride] != to[i * d->stride];
        if (missing)
            atomic_store_explicit(&d->missing[f], 1, memory_order_relaxed);
        if (c->type != LATHE_COLUMN_CATEGORY)
            continue;
        const int32_t *codes = c->values;
        for (int64_t i = begin; i < end; i++)
            bad |= codes[i] >= c->dict_size || codes[i] < LATHE_CODE_UNSEEN;
        for (int64_t i = begin; bad && i < end; i++) {
            if (codes[i] >= c->dict_size || codes[i] < LATHE_CODE_UNSEEN)
                note_bad(job, i * d->n_features + f);
        }
    }
    for (int64_t i = begin; i < end; i++)
        memset(d->matrix + i * d->stride + d->n_features, 0,
               (size_t)(d->stride - d->n_features) * sizeof(float));
    return LATHE_OK;
}

/* The columns that are features, and what they are. */
static int32_t choose_features(const lathe_dataset_source *s, const lathe_column **columns,
                               lathe_feature *features, int64_t *n, lathe_error *err) {
    const lathe_table *t = s->table;
    int64_t count = s->features != NULL ? s->n_features : t->n_columns;
    *n = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = s->features != NULL ? s->features[i] : i;
        if (at < 0 || at >= t->n_columns)
            return lathe_fail(err, LATHE_E_INVALID, "dataset",
                              "feature %lld is column %lld of a table of %lld columns",
                              (long long)i, (long long)at, (long long)t->n_columns);
        if (s->features == NULL && s->target == NULL && at == s->target_column)
            continue;
        const lathe_column *c = &t->columns[at];
        if (c->type == LATHE_COLUMN_TIMESTAMP)
            return lathe_fail(
                err, LATHE_E_UNSUPPORTED, c->name,
                "the column holds timestamps, which no learner takes; turn it into numbers "
                "with the transform date_parts, or drop it with drop");
        if (c->type == LATHE_COLUMN_STRING)
            return lathe_fail(
                err, LATHE_E_UNSUPPORTED, c->name,
                "the column holds free text, which no learner takes; drop it with the "
                "transform drop, or declare it as a category in the source");
        if (!lathe_is_numeric(c) && c->type != LATHE_COLUMN_CATEGORY)
            return lathe_fail(err, LATHE_E_INVALID, c->name, "the column has the unknown type %d",
                              (int)c->type);
        bool category = c->type == LATHE_COLUMN_CATEGORY;
        if (category && (c->dict_size < 0 || c->dict_size > 1 << 24))
            return lathe_fail(err, LATHE_E_DATA, c->name,
                              "the column has %lld categories; a learner takes at most %d: drop it",
                              (long long)c->dict_size, 1 << 24);
        columns[*n] = c;
        features[(*n)++] =
            (lathe_feature){c->name, category ? LATHE_FEATURE_CATEGORY : LATHE_FEATURE_NUMERIC,
                            category ? (int32_t)c->dict_size : 0};
    }
    return LATHE_OK;
}

static int32_t find_target(const lathe_dataset_source *s, const lathe_column **target,
                           lathe_error *err) {
    *target = s->target;
    if (s->target == NULL && s->target_column >= 0) {
        if (s->target_column >= s->table->n_columns)
            return lathe_fail(err, LATHE_E_INVALID, "dataset",
                              "the target is column %lld of a table of %lld columns",
                              (long long)s->target_column, (long long)s->table->n_columns);
        *target = &s->table->columns[s->target_column];
    }
    const lathe_column *t = *target;
    if (t == NULL)
        return LATHE_OK;
    if (s->task == LATHE_TASK_REGRESSION && !lathe_is_numeric(t))
        return lathe_fail(
            err, LATHE_E_DATA, t->name,
            "the target of a regression must be a column of numbers; convert it, or set the "
            "task to classification");
    if (s->task != LATHE_TASK_REGRESSION &&
        (t->type != LATHE_COLUMN_CATEGORY || t->dict_size != s->n_classes))
        return lathe_fail(
            err, LATHE_E_DATA, t->name,
            "the target of a classification must be a category of %lld values; it has %lld",
            (long long)s->n_classes,
            (long long)(t->type == LATHE_COLUMN_CATEGORY ? t->dict_size : 0));
    return LATHE_OK;
}

static int32_t convert_target(lathe_dataset *d, const lathe_column *target, const double *weight,
                              lathe_error *err) {
    int32_t code = LATHE_OK;
    for (int64_t i = 0; target != NULL && i < d->n_rows && code == LATHE_OK; i++) {
        d->target[i] = target->type == LATHE_COLUMN_CATEGORY
                           ? (float)((const int32_t *)target->values)[i]
                           : (float)lathe_number_at(target, i, (double)NAN);
        code = check_target(d, i, d->target[i], err);
    }
    if (code != LATHE_OK)
        return code;
    for (int64_t i = 0; weight != NULL && i < d->n_rows && code == LATHE_OK; i++) {
        d->weight[i] = (float)weight[i];
        code = check_weight(d, i, weight[i], err);
    }
    return code;
}

int32_t lathe_dataset_from_table(lathe_pool *pool, const lathe_dataset_source *source,
                                 lathe_dataset **data, lathe_error *err) {
    const lathe_table *t = source->table;
    int64_t most = source->features != NULL ? source->n_features : t->n_columns;
    const lathe_column *target;
    lathe_dataset *d = NULL;
    *data = NULL;
    int64_t n = 0;
    int32_t code = check_task(source->task, source->n_classes, err);
    if (code == LATHE_OK)
        code = check_shape(t->n_rows, most, err);
    if (code == LATHE_OK)
        code = find_target(source, &target, err);
    if (code != LATHE_OK)
        return code;
    const lathe_column **columns = lathe_aligned_new(most, sizeof *columns);
    lathe_feature *features = lathe_aligned_new(most, sizeof *features);
    if (columns == NULL || features == NULL) {
        code = lathe_fail_memory(err, "dataset", "its columns");
        goto done;
    }
    code = choose_features(source, columns, features, &n, err);
    if (code != LATHE_OK)
        goto done;
    d = dataset_alloc(t->n_rows, target != NULL, source->weight != NULL, source->row_id);
    if (d == NULL || !root_alloc(d, features, n)) {
        code = lathe_fail_memory(err, "dataset", "the float32 matrix");
        goto done;
    }
    d->pool = pool;
    d->task = source->task;
    d->n_classes = source->n_classes;
    fill_job job = {.data = d, .columns = columns};
    atomic_init(&job.bad, INT64_MAX);
    code = lathe_pool_run(pool, d->n_rows, dataset_chunk_rows(d->stride), convert_chunk, &job);
    int64_t bad = atomic_load(&job.bad);
    if (code != LATHE_OK)
        lathe_fail(err, code, "dataset", "the columns could not be converted on the pool");
    else if (bad != INT64_MAX)
        code = lathe_fail(err, LATHE_E_DATA, features[bad % n].name,
                          "row %lld has a code outside of the dictionary of %d values",
                          (long long)(bad / n) + 1, (int)features[bad % n].n_categories);
    else
        code = convert_target(d, target, source->weight, err);
done:
    free(columns);
    free(features);
    if (code != LATHE_OK) {
        lathe_dataset_release(d);
        return code;
    }
    root_flags(d);
    *data = d;
    return LATHE_OK;
}

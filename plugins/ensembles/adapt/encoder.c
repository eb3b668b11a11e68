/* The encoder: mean for missing, scaling, one column a category. */
#include "adapt.h"

void encoder_choose(encoder *e, uint32_t flags) {
    memset(e, 0, sizeof *e);
    e->impute = !(flags & LATHE_LEARNER_TAKES_MISSING);
    e->scale = (flags & LATHE_LEARNER_WANTS_SCALED) != 0;
    e->one_hot = !(flags & LATHE_LEARNER_TAKES_CATEGORIES);
    e->plain = !e->impute && !e->scale && !e->one_hot;
}

void encoder_free(encoder *e, const lathe_host *host) {
    host->free(host, e->type);
    host->free(host, e->first);
    host->free(host, e->codes);
    host->free(host, e->map_first);
    host->free(host, e->map);
    host->free(host, e->mean);
    host->free(host, e->inverse);
    memset(e, 0, sizeof *e);
}

static int32_t encoder_make(encoder *e, const lathe_host *host, int64_t n, lathe_error *err) {
    e->n_features = n;
    e->type = alloc_array(host, n, sizeof *e->type);
    e->first = alloc_array(host, n, sizeof *e->first);
    e->codes = alloc_array(host, n, sizeof *e->codes);
    e->map_first = alloc_array(host, n, sizeof *e->map_first);
    e->mean = alloc_array(host, n, sizeof *e->mean);
    e->inverse = alloc_array(host, n, sizeof *e->inverse);
    if (e->type == NULL || e->first == NULL || e->codes == NULL || e->map_first == NULL ||
        e->mean == NULL || e->inverse == NULL)
        return fail_memory(err, "the encoder", n * 32);
    return LATHE_OK;
}

static int32_t encoder_make_map(encoder *e, const lathe_host *host, int64_t n, lathe_error *err) {
    e->n_map = n;
    e->map = alloc_array(host, n, sizeof *e->map);
    return e->map != NULL ? LATHE_OK : fail_memory(err, "the encoder's categories", n * 4);
}

int32_t encoder_copy(encoder *to, const encoder *from, const lathe_host *host, lathe_error *err) {
    size_t n = (size_t)from->n_features;
    int32_t rc;

    memset(to, 0, sizeof *to);
    to->plain = from->plain;
    to->impute = from->impute;
    to->scale = from->scale;
    to->one_hot = from->one_hot;
    to->n_columns = from->n_columns;
    rc = encoder_make(to, host, from->n_features, err);
    if (rc == LATHE_OK)
        rc = encoder_make_map(to, host, from->n_map, err);
    if (rc != LATHE_OK) {
        encoder_free(to, host);
        return rc;
    }
    memcpy(to->type, from->type, n * sizeof *to->type);
    memcpy(to->first, from->first, n * sizeof *to->first);
    memcpy(to->codes, from->codes, n * sizeof *to->codes);
    memcpy(to->map_first, from->map_first, n * sizeof *to->map_first);
    memcpy(to->mean, from->mean, n * sizeof *to->mean);
    memcpy(to->inverse, from->inverse, n * sizeof *to->inverse);
    memcpy(to->map, from->map, (size_t)from->n_map * sizeof *to->map);
    return LATHE_OK;
}

/* ---- statistics ---- */

enum { SPREAD_ROWS = 256, MOST_PARTS = 64 };

/* Of every feature: the weight of its finite values, their mean, the sum of squares about it. */
typedef struct spread {
    double *total;
    double *mean;
    double *square;
} spread;

typedef struct spread_job {
    const lathe_host *host;
    int64_t n, f;
    const float *x;
    int64_t stride;
    const float *weight;
    int64_t part;    /* rows a part */
    double *numbers; /* [parts, 6, f]: the part's sums, a chunk's */
} spread_job;

static spread spread_at(const spread_job *job, int64_t part, int64_t which) {
    double *at = job->numbers + (6 * part + 3 * which) * job->f;
    return (spread){at, at + job->f, at + 2 * job->f};
}

/* Not the macro, so that a loop of it is vectorised. */
static int finite_number(double v) {
    return v >= -3.4028234663852886e38 && v <= 3.4028234663852886e38;
}

static void chunk_spread(const spread_job *job, int64_t begin, int64_t end, spread s) {
    memset(s.total, 0, (size_t)(3 * job->f) * sizeof *s.total);
    for (int64_t i = begin; i < end; i++) {
        const float *row = job->x + i * job->stride;
        double w = job->weight != NULL ? job->weight[i] : 1.0;
        for (int64_t j = 0; w > 0 && j < job->f; j++) {
            double v = row[j];
            s.total[j] += finite_number(v) ? w : 0.0;
            s.mean[j] += finite_number(v) ? w * v : 0.0;
        }
    }
    for (int64_t j = 0; j < job->f; j++)
        s.mean[j] = s.total[j] > 0 ? s.mean[j] / s.total[j] : 0.0;
    for (int64_t i = begin; i < end; i++) {
        const float *row = job->x + i * job->stride;
        double w = job->weight != NULL ? job->weight[i] : 1.0;
        for (int64_t j = 0; w > 0 && j < job->f; j++) {
            double v = row[j], d = v - s.mean[j];
            s.square[j] += finite_number(v) ? w * d * d : 0.0;
        }
    }
}

/* As T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983. */
static void merge_spread(int64_t f, spread into, spread from) {
    for (int64_t j = 0; j < f; j++) {
        double total = into.total[j] + from.total[j];
        double share = total > 0 ? from.total[j] / total : 0.0;
        double d = from.mean[j] - into.mean[j];
        into.square[j] += from.square[j] + d * d * into.total[j] * share;
        into.mean[j] += d * share;
        into.total[j] = total;
    }
}

static int32_t part_spread(void *user, int64_t first, int64_t last, int32_t worker) {
    const spread_job *job = user;
    (void)worker;
    if (job->host->stopped(job->host))
        return LATHE_E_CANCELLED;
    for (int64_t t = first; t < last; t++) {
        int64_t end = (t + 1) * job->part < job->n ? (t + 1) * job->part : job->n;
        for (int64_t i = t * job->part; i < end; i += SPREAD_ROWS) {
            chunk_spread(job, i, i + SPREAD_ROWS < end ? i + SPREAD_ROWS : end,
                         spread_at(job, t, 1));
            merge_spread(job->f, spread_at(job, t, 0), spread_at(job, t, 1));
        }
    }
    return LATHE_OK;
}

/* Weighted mean and deviation of the finite values of every numeric feature; a constant one is not
 * scaled. The rows are read once, in parts that depend on their number alone. */
static int32_t fit_numbers(encoder *e, const lathe_host *host, int64_t n, const float *x,
                           int64_t stride, const float *weight, lathe_error *err) {
    int64_t f = e->n_features, chunks = (n + SPREAD_ROWS - 1) / SPREAD_ROWS;
    spread_job job = {.host = host, .n = n, .f = f, .x = x, .stride = stride, .weight = weight};
    int64_t parts = chunks < MOST_PARTS ? chunks : MOST_PARTS;

    if (parts < 1)
        parts = 1;
    job.part = (chunks + parts - 1) / parts * SPREAD_ROWS;
    job.numbers = alloc_array(host, 6 * parts * f, sizeof *job.numbers);
    if (job.numbers == NULL)
        return fail_memory(err, "the encoder", 6 * parts * f * 8);
    int32_t rc = host->parallel_for(host, parts, 1, part_spread, &job);
    spread all = spread_at(&job, 0, 0);
    for (int64_t t = 1; rc == LATHE_OK && t < parts; t++)
        merge_spread(f, all, spread_at(&job, t, 0));
    for (int64_t j = 0; rc == LATHE_OK && j < f; j++) {
        double deviation = all.total[j] > 0 ? sqrt(all.square[j] / all.total[j]) : 0.0;
        e->mean[j] = all.mean[j];
        e->inverse[j] = deviation > 1e-9 * fabs(e->mean[j]) ? 1.0 / deviation : 1.0;
    }
    host->free(host, job.numbers);
    return rc == LATHE_E_CANCELLED ? fail_stopped(err, "while encoding the features") : rc;
}

typedef struct category {
    double weight;
    int32_t code;
} category;

static int category_compare(const void *a, const void *b) {
    const category *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

/* Gives the frequent categories of feature j their columns, in the order of their codes. */
static int32_t fit_category(encoder *e, const lathe_host *host, int64_t j, int64_t n,
                            const float *x, int64_t stride, const float *weight, int64_t most,
                            lathe_error *err) {
    int32_t *map = e->map + e->map_first[j];
    int64_t k = e->codes[j];
    category *seen = alloc_array(host, k, sizeof *seen);

    if (seen == NULL)
        return fail_memory(err, "counting categories", k * (int64_t)sizeof *seen);
    for (int64_t c = 0; c < k; c++)
        seen[c].code = (int32_t)c;
    for (int64_t i = 0; i < n; i++) {
        float v = x[i * stride + j];
        if (v >= 0.0f && v < (float)k)
            seen[(int64_t)v].weight += weight != NULL ? (double)weight[i] : 1.0;
    }
    qsort(seen, (size_t)k, sizeof *seen, category_compare);
    for (int64_t c = 0; c < k; c++)
        map[c] = -1;
    for (int64_t c = 0; c < k && c < most && seen[c].weight > 0; c++)
        map[seen[c].code] = 0;
    for (int64_t c = 0; c < k; c++)
        if (map[c] == 0)
            map[c] = (int32_t)e->n_columns++;
    host->free(host, seen);
    return LATHE_OK;
}

int32_t encoder_fit(encoder *e, const lathe_host *host, const lathe_dataset *data,
                    int64_t max_categories, lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(host);
    const lathe_feature *features = datasets->features(data);
    const float *x, *weight = datasets->weight(data);
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_tensor matrix;
    int64_t stride, map = 0;
    int32_t rc = datasets->info(data, &info);

    if (rc == LATHE_OK)
        rc = datasets->matrix(data, &matrix, err);
    if (rc == LATHE_OK)
        rc = encoder_make(e, host, info.n_features, err);
    if (rc != LATHE_OK)
        return rc;
    x = (const float *)((const char *)matrix.data + matrix.byte_offset);
    stride = matrix.strides != NULL ? matrix.strides[0] : info.n_features;
    for (int64_t j = 0; j < info.n_features; j++) {
        e->type[j] = features[j].type;
        e->codes[j] = features[j].type == LATHE_FEATURE_CATEGORY ? features[j].n_categories : 0;
        e->map_first[j] = (int32_t)map;
        map += e->one_hot ? e->codes[j] : 0;
        if (map > INT32_MAX)
            return fail(err, LATHE_E_MEMORY, "The features have more than %d categories.",
                        INT32_MAX);
    }
    if ((rc = encoder_make_map(e, host, map, err)) != LATHE_OK ||
        (rc = fit_numbers(e, host, info.n_rows, x, stride, weight, err)) != LATHE_OK)
        return rc;
    for (int64_t j = 0; rc == LATHE_OK && j < info.n_features; j++) {
        e->first[j] = (int32_t)e->n_columns;
        if (e->type[j] == LATHE_FEATURE_CATEGORY && e->one_hot)
            rc = fit_category(e, host, j, info.n_rows, x, stride, weight, max_categories, err);
        else
            e->n_columns++;
        if (e->n_columns > INT32_MAX / 2)
            rc = fail(err, LATHE_E_MEMORY, "The encoded features need too many columns.");
    }
    return rc;
}

/* ---- encoding ---- */

/* Numbers alone: the same as below, in a loop that is vectorised. */
static void apply_numbers(const encoder *e, int64_t n, const float *x, int64_t stride, float *out) {
    int64_t f = e->n_features;
    int32_t impute = e->impute, scale = e->scale;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < f; j++) {
            double v = x[i * stride + j];
            v = impute && v != v ? e->mean[j] : v;
            out[i * f + j] = (float)(scale ? (v - e->mean[j]) * e->inverse[j] : v);
        }
}

static int32_t all_numbers(const encoder *e) {
    int32_t all = e->n_columns == e->n_features;
    for (int64_t j = 0; j < e->n_features; j++)
        all &= e->type[j] == LATHE_FEATURE_NUMERIC;
    return all;
}

void encoder_apply(const encoder *e, int64_t n, const float *x, int64_t stride, float *out) {
    int64_t c = e->n_columns;
    if (all_numbers(e)) {
        apply_numbers(e, n, x, stride, out);
        return;
    }
    memset(out, 0, (size_t)(n * c) * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * stride;
        float *to = out + i * c;
        for (int64_t j = 0; j < e->n_features; j++) {
            double v = from[j];
            if (e->type[j] == LATHE_FEATURE_CATEGORY && e->one_hot) {
                int64_t column =
                    v >= 0 && v < (double)e->codes[j] ? e->map[e->map_first[j] + (int64_t)v] : -1;
                if (column >= 0)
                    to[column] = 1.0f;
                continue;
            }
            if (e->type[j] == LATHE_FEATURE_CATEGORY)
                v = isnan(v) && e->impute ? -1.0 : v; /* as a category that training did not see */
            else {
                if (isnan(v) && e->impute)
                    v = e->mean[j];
                if (e->scale)
                    v = (v - e->mean[j]) * e->inverse[j];
            }
            to[e->first[j]] = (float)v;
        }
    }
}

int64_t encoder_origin(const encoder *e, int64_t c) {
    int64_t j = 0;
    while (j + 1 < e->n_features && e->first[j + 1] <= c)
        j++;
    return j;
}

typedef struct encode_job {
    const encoder *e;
    const lathe_host *host;
    const float *x;
    int64_t stride;
    float *out;
} encode_job;

static int32_t encode_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    const encode_job *job = user;
    (void)worker;
    if (job->host->stopped(job->host))
        return LATHE_E_CANCELLED;
    encoder_apply(job->e, end - begin, job->x + begin * job->stride, job->stride,
                  job->out + begin * job->e->n_columns);
    return LATHE_OK;
}

static void describe_columns(const encoder *e, const lathe_feature *from, lathe_feature *to,
                             char (*names)[64]) {
    for (int64_t j = 0; j < e->n_features; j++) {
        if (e->type[j] != LATHE_FEATURE_CATEGORY || !e->one_hot) {
            to[e->first[j]] = from[j];
            continue;
        }
        for (int32_t code = 0; code < e->codes[j]; code++) {
            int32_t c = e->map[e->map_first[j] + code];
            if (c < 0)
                continue;
            snprintf(names[c], sizeof names[c], "%.45s=%d", from[j].name, code);
            to[c] = (lathe_feature){names[c], LATHE_FEATURE_NUMERIC, 0};
        }
    }
}

int32_t encoder_encode(const encoder *e, const lathe_host *host, const lathe_dataset *data,
                       lathe_dataset **out, lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(host);
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_tensor matrix;
    float *encoded;
    lathe_feature *features = alloc_array(host, e->n_columns, sizeof *features);
    char(*names)[64] = alloc_array(host, e->n_columns, sizeof *names);
    int32_t rc = datasets->info(data, &info);

    if (rc == LATHE_OK)
        rc = datasets->matrix(data, &matrix, err);
    encoded = info.n_rows > INT64_MAX / 8 / (e->n_columns + 1)
                  ? NULL
                  : alloc_array(host, info.n_rows * e->n_columns, sizeof *encoded);
    if (rc == LATHE_OK && (features == NULL || names == NULL || encoded == NULL))
        rc = fail_memory(err, "the encoded features", info.n_rows * e->n_columns * 4);
    if (rc == LATHE_OK) {
        encode_job job = {.e = e, .host = host, .out = encoded};
        job.x = (const float *)((const char *)matrix.data + matrix.byte_offset);
        job.stride = matrix.strides != NULL ? matrix.strides[0] : info.n_features;
        rc = host->parallel_for(host, info.n_rows, 1024, encode_chunk, &job);
        if (rc == LATHE_E_CANCELLED)
            fail_stopped(err, "while encoding the features");
    }
    if (rc == LATHE_OK) {
        describe_columns(e, datasets->features(data), features, names);
        lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                                   .task = info.task,
                                   .n_rows = info.n_rows,
                                   .n_features = e->n_columns,
                                   .n_classes = info.n_classes,
                                   .features = features,
                                   .matrix = encoded,
                                   .stride = e->n_columns,
                                   .target = datasets->target(data),
                                   .weight = datasets->weight(data),
                                   .row_id = datasets->row_id(data)};
        rc = datasets->make(host, &spec, out, err);
    }
    host->free(host, encoded);
    host->free(host, names);
    host->free(host, features);
    return rc;
}

/* ---- state ---- */

int32_t encoder_save(const encoder *e, const lathe_writer *w, lathe_error *err) {
    int64_t n = e->n_features;
    int32_t rc;
    if ((rc = w->integer(w, "columns", e->n_columns, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "feature.type", LATHE_INT, 32, e->type, n, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "feature.column", LATHE_INT, 32, e->first, n, err)) !=
            LATHE_OK ||
        (rc = lathe_write_array(w, "feature.categories", LATHE_INT, 32, e->codes, n, err)) !=
            LATHE_OK ||
        (rc = lathe_write_array(w, "feature.mean", LATHE_FLOAT, 64, e->mean, n, err)) != LATHE_OK ||
        (rc = lathe_write_array(w, "feature.inverse", LATHE_FLOAT, 64, e->inverse, n, err)) !=
            LATHE_OK)
        return rc;
    return lathe_write_array(w, "category.column", LATHE_INT, 32, e->map, e->n_map, err);
}

/* Every column that encoder_apply could write must be one of n_columns. */
static int32_t check_columns(const encoder *e, lathe_error *err) {
    for (int64_t j = 0; j < e->n_features; j++)
        if ((e->type[j] != LATHE_FEATURE_NUMERIC && e->type[j] != LATHE_FEATURE_CATEGORY) ||
            e->first[j] < 0 || e->first[j] > e->n_columns ||
            (e->first[j] == e->n_columns &&
             !(e->type[j] == LATHE_FEATURE_CATEGORY && e->one_hot)) ||
            (j > 0 && e->first[j] < e->first[j - 1]) || e->codes[j] < 0 || !isfinite(e->mean[j]) ||
            !isfinite(e->inverse[j]))
            return fail(err, LATHE_E_CORRUPT,
                        "Feature %lld has type %d, column %d of %lld, %d categories, mean %g.",
                        (long long)j, e->type[j], e->first[j], (long long)e->n_columns, e->codes[j],
                        e->mean[j]);
    for (int64_t i = 0; i < e->n_map; i++)
        if (e->map[i] < -1 || e->map[i] >= e->n_columns)
            return fail(err, LATHE_E_CORRUPT,
                        "\"category.column\" holds %d; there are %lld columns.", e->map[i],
                        (long long)e->n_columns);
    return LATHE_OK;
}

int32_t encoder_load(encoder *e, const lathe_host *host, const lathe_reader *r, lathe_error *err) {
    const void *type, *first, *codes, *mean, *inverse, *map;
    int64_t n, total = 0, n_map;
    int32_t rc;

    if ((rc = r->integer(r, "columns", 0, INT32_MAX, &e->n_columns, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "feature.type", LATHE_INT, 32, -1, &type, &n, err)) != LATHE_OK ||
        (rc = lathe_read_array(r, "feature.column", LATHE_INT, 32, n, &first, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "feature.categories", LATHE_INT, 32, n, &codes, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "feature.mean", LATHE_FLOAT, 64, n, &mean, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "feature.inverse", LATHE_FLOAT, 64, n, &inverse, NULL, err)) !=
            LATHE_OK ||
        (rc = lathe_read_array(r, "category.column", LATHE_INT, 32, -1, &map, &n_map, err)) !=
            LATHE_OK ||
        (rc = encoder_make(e, host, n, err)) != LATHE_OK ||
        (rc = encoder_make_map(e, host, n_map, err)) != LATHE_OK)
        return rc;
    memcpy(e->type, type, (size_t)n * sizeof *e->type);
    memcpy(e->first, first, (size_t)n * sizeof *e->first);
    memcpy(e->codes, codes, (size_t)n * sizeof *e->codes);
    memcpy(e->mean, mean, (size_t)n * sizeof *e->mean);
    memcpy(e->inverse, inverse, (size_t)n * sizeof *e->inverse);
    memcpy(e->map, map, (size_t)n_map * sizeof *e->map);
    if ((rc = check_columns(e, err)) != LATHE_OK)
        return rc;
    for (int64_t j = 0; j < n; j++) {
        e->map_first[j] = (int32_t)total;
        total += e->one_hot && e->type[j] == LATHE_FEATURE_CATEGORY ? e->codes[j] : 0;
        if (total > n_map)
            break;
    }
    if (total != n_map)
        return fail(err, LATHE_E_CORRUPT,
                    "\"category.column\" is of %lld categories, the features of another number.",
                    (long long)n_map);
    return LATHE_OK;
}

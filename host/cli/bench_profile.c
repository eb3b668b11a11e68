#include "cli/bench_profile.h"

#include "base/json.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

/* One answer of status 200 as a tree; NULL: err. */
static cJSON *get(cli_client *client, const lathe_buf *path, lathe_error *err) {
    cli_reply reply = {0};
    int32_t rc = path->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                              : cli_client_call(client, "GET", lathe_buf_str(path), NULL, NULL, 0,
                                                &reply, err);
    cJSON *tree =
        rc == LATHE_OK ? cJSON_ParseWithLength(lathe_buf_str(&reply.body), reply.body.len) : NULL;
    if (rc == LATHE_OK && (reply.status != 200 || tree == NULL)) {
        const char *text = cJSON_GetStringValue(lathe_json_get(tree, "error"));
        lathe_fail(err, LATHE_E_NOT_FOUND, NULL, "the control plane answers %d: %.300s",
                   reply.status, text ? text : "");
        cJSON_Delete(tree);
        tree = NULL;
    }
    lathe_buf_free(&reply.body);
    return tree;
}

/* "/api/v1/models/M/versions/V/features?bins=true" of what the endpoint serves; of a model's name, its alias "live" else its
 * newest version, as the inference port takes it. */
static int32_t find_path(cli_client *client, const char *endpoint, const char *alias,
                         lathe_buf *path, lathe_error *err) {
    char version[24] = "";
    lathe_buf question = {0};
    lathe_buf_append_str(&question, "/api/v1/endpoints/");
    cli_client_escape(&question, endpoint);
    cJSON *e = alias == NULL ? get(client, &question, err) : NULL;
    const char *model = e != NULL ? cJSON_GetStringValue(lathe_json_get(e, "model")) : endpoint;
    if (e != NULL)
        snprintf(version, sizeof version, "%.0f",
                 cJSON_GetNumberValue(lathe_json_get(e, "version")));
    lathe_buf_free(&question);
    if ((e == NULL && alias == NULL) || model == NULL) {
        cJSON_Delete(e);
        return err->code;
    }
    lathe_buf_append_str(path, "/api/v1/models/");
    cli_client_escape(path, model);
    lathe_buf_printf(path, "/versions/%s/features?bins=true", alias != NULL ? alias : version);
    cJSON_Delete(e);
    return LATHE_OK;
}

/* The profile, as an endpoint's, else a model's. NULL: err. */
static cJSON *fetch(cli_client *client, const char *endpoint, lathe_error *err) {
    static const char *const aliases[] = {NULL, "live", "newest"};
    cJSON *tree = NULL;
    for (size_t i = 0; i < 3 && tree == NULL && (i == 0 || err->code == LATHE_E_NOT_FOUND); i++) {
        lathe_buf path = {0};
        lathe_error_clear(err);
        if (find_path(client, endpoint, aliases[i], &path, err) == LATHE_OK)
            tree = get(client, &path, err);
        lathe_buf_free(&path);
    }
    return tree;
}

/* ---- drawing ---- */

/* A column of the profile. */
typedef struct column {
    const cJSON *values; /* of a category */
    const double *edges; /* of numbers: [n_bins - 1] */
    double *weights;     /* [n_bins], counts of training */
    size_t n_bins;
    double total, missing; /* sum of weights; count of missing values */
} column;

static double *numbers_of(const cJSON *list, size_t *n) {
    const cJSON *item;
    double *numbers = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *numbers);
    *n = 0;
    cJSON_ArrayForEach(item, list) if (numbers != NULL) numbers[(*n)++] =
        cJSON_IsNumber(item) ? item->valuedouble : 0;
    return numbers;
}

static const cJSON *find_feature(const cJSON *features, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, lathe_json_get(features, "features")) {
        const char *has = cJSON_GetStringValue(lathe_json_get(item, "name"));
        if (has != NULL && strcmp(has, name) == 0)
            return item;
    }
    return NULL;
}

static void free_column(column *c) {
    free((double *)(uintptr_t)c->edges);
    free(c->weights);
}

/* False: out of memory. A column that the profile lacks has no bins. */
static bool read_column(const cJSON *features, const char *name, column *c) {
    const cJSON *feature = find_feature(features, name), *training;
    size_t n_edges = 0;
    *c = (column){0};
    if (feature == NULL)
        return true;
    training = lathe_json_get(feature, "training");
    c->values = lathe_json_get(feature, "values");
    c->edges = numbers_of(lathe_json_get(feature, "edges"), &n_edges);
    c->weights = numbers_of(lathe_json_get(training, "counts"), &c->n_bins);
    const double missing = cJSON_GetNumberValue(lathe_json_get(training, "missing"));
    c->missing = missing > 0 ? missing : 0;
    /* the last bin of a category is of values that training did not have */
    const size_t known = c->values ? (size_t)cJSON_GetArraySize(c->values) : n_edges + 1;
    if (c->n_bins > known)
        c->n_bins = known;
    for (size_t b = 0; c->weights != NULL && b < c->n_bins; b++)
        c->total += c->weights[b] = c->weights[b] > 0 ? c->weights[b] : 0;
    return c->edges != NULL && c->weights != NULL;
}

/* A number within a bin; the outer bins are open, and so give their edge. */
static double number_in(const column *c, size_t bin, double point) {
    const size_t n_edges = c->n_bins - 1;
    if (n_edges == 0)
        return 0;
    if (bin == 0 || bin >= n_edges)
        return c->edges[bin == 0 ? 0 : n_edges - 1];
    return c->edges[bin - 1] + (c->edges[bin] - c->edges[bin - 1]) * point;
}

/* A value of the input's type. u[0] chooses the bin or that it is missing, u[1] where in the bin. */
static cJSON *draw(const column *c, const char *type, const double u[2]) {
    if (!(c->total > 0))
        return bench_rows_zero(type);
    double at = u[0] * (c->total + c->missing);
    size_t bin = 0;
    if (at >= c->total)
        return cJSON_CreateNull();
    while (bin + 1 < c->n_bins && at >= c->weights[bin])
        at -= c->weights[bin++];
    const char *text =
        c->values ? cJSON_GetStringValue(cJSON_GetArrayItem(c->values, (int)bin)) : NULL;
    const bool is_text = strcmp(type, "BYTES") == 0;
    if (c->values != NULL)
        return is_text && text != NULL ? cJSON_CreateString(text) : bench_rows_zero(type);
    const double number = number_in(c, bin, u[1]);
    if (is_text || strcmp(type, "BOOL") == 0)
        return is_text ? cJSON_CreateNull() : cJSON_CreateBool(number > 0.5);
    return cJSON_CreateNumber(strncmp(type, "FP", 2) == 0 ? number : nearbyint(number));
}

static int32_t make_rows(const cJSON *list, const column *columns, size_t n_columns,
                         bench_rows *rows, lathe_error *err) {
    rows->bodies = calloc(BENCH_PROFILE_ROWS, sizeof *rows->bodies);
    if (rows->bodies == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    const uint64_t key = lathe_rng_key(1, "bench", 0);
    int32_t rc = LATHE_OK;
    for (uint64_t r = 0; r < BENCH_PROFILE_ROWS && rc == LATHE_OK; r++) {
        cJSON *inputs = cJSON_CreateArray();
        const cJSON *input;
        size_t k = 0;
        cJSON_ArrayForEach(input, list) {
            double u[2];
            lathe_rng_f64(key, 2 * (r * n_columns + k), u, 2);
            const char *type = cJSON_GetStringValue(lathe_json_get(input, "datatype"));
            bench_rows_add_input(inputs, input, draw(&columns[k++], type, u));
        }
        rc = bench_rows_add(rows, inputs, err);
    }
    return rc;
}

int32_t bench_profile_make(const cli_target *control, const char *endpoint, const cJSON *metadata,
                           bench_rows *rows, lathe_error *err) {
    const cJSON *list = bench_rows_inputs(metadata, err), *input;
    cli_client *client = NULL;
    cJSON *features = NULL;
    column *columns = NULL;
    size_t n = 0;
    if (list == NULL)
        return LATHE_E_DATA;
    int32_t rc = cli_client_open(control, &client, err);
    if (rc == LATHE_OK && (features = fetch(client, endpoint, err)) == NULL)
        rc = err->code;
    if (rc == LATHE_OK &&
        (columns = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *columns)) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        cJSON_ArrayForEach(
            input,
            list) if (!read_column(features, cJSON_GetStringValue(lathe_json_get(input, "name")),
                                   &columns[n++])) rc =
            lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = make_rows(list, columns, n, rows, err);
    for (size_t i = 0; i < n; i++)
        free_column(&columns[i]);
    free(columns);
    cJSON_Delete(features);
    cli_client_close(client);
    return rc;
}

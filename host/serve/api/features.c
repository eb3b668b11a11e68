/* Statistics of the rows that a version has served, feature by feature, beside those of its training. */
#include "serve/api/api.h"

#include "base/json.h"
#include "model/model.h"
#include "monitor/live.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A version's profile, read off the loop; its counts are added up on the loop. */
typedef struct profile {
    cJSON *description;
    lathe_schema *schema;
    lathe_baseline *baseline;
    lathe_live *live;
    lathe_live_total *total;
    char name[LATHE_SLOTS_NAME]; /* "model@version" */
    lathe_version_record version;
} profile;

static void free_profile(profile *p) {
    lathe_live_total_free(p->total);
    lathe_live_free(p->live);
    lathe_baseline_free(p->baseline);
    lathe_schema_free(p->schema);
    cJSON_Delete(p->description);
}

static int32_t open_profile(api_call *c, profile *p) {
    const char *path;
    int32_t rc = api_find_version(c, &p->version);
    if (rc == LATHE_OK)
        rc =
            lathe_store_artifact_path(c->store, p->version.sha256, false, c->arena, &path, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_model_describe(path, &p->description, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_schema_from_json(lathe_json_get(p->description, "schema"), &p->schema, &c->err);
    if (rc == LATHE_OK)
        rc = lathe_baseline_from_json(lathe_json_get(p->description, "baseline"), &p->baseline,
                                      &c->err);
    if (rc == LATHE_OK)
        rc = lathe_live_new(p->baseline, NULL, LATHE_SLOTS_FEATURES, &p->live, &c->err);
    if (rc == LATHE_OK && (p->total = lathe_live_total_new(p->live)) == NULL)
        rc = lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory for the statistics");
    snprintf(p->name, sizeof p->name, "%s@%" PRId64, p->version.model, p->version.version);
    return rc;
}

static void add_number(cJSON *out, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(out, key, value);
}

static void add_numbers(cJSON *out, const char *key, const double *values, int64_t n) {
    cJSON *list = cJSON_AddArrayToObject(out, key);
    for (int64_t i = 0; list != NULL && i < n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(values[i]));
}

/* The dictionary, for the bins of a category; the last bin is of values that it lacks. */
static void add_values(const profile *p, const char *feature, cJSON *out) {
    const lathe_table *raw = lathe_schema_table(p->schema);
    const int64_t at = lathe_table_find(raw, feature);
    cJSON *list = cJSON_AddArrayToObject(out, "values");
    for (int64_t i = 0; at >= 0 && i < raw->columns[at].dict_size; i++) {
        const lathe_str text = raw->columns[at].dict[i];
        lathe_buf copy = {0};
        lathe_buf_append(&copy, text.ptr, (size_t)text.len);
        cJSON_AddItemToArray(list, cJSON_CreateString(lathe_buf_str(&copy)));
        lathe_buf_free(&copy);
    }
}

static cJSON *feature_json(const profile *p, int64_t f, bool bins) {
    lathe_live_feature now;
    lathe_distribution was;
    const char *name = lathe_baseline_name(p->baseline, f);
    const bool categorical = lathe_baseline_categorical(p->baseline, f);
    cJSON *out = cJSON_CreateObject();
    lathe_live_describe(p->total, NULL, f, LATHE_BINS_COARSE, &now);
    lathe_baseline_distribution(p->baseline, f, LATHE_BINS_COARSE, &was);
    cJSON_AddStringToObject(out, "name", name);
    cJSON_AddStringToObject(out, "type", categorical ? "category" : "numeric");
    cJSON_AddNumberToObject(out, "present", now.present);
    cJSON_AddNumberToObject(out, "missing", now.missing);
    if (categorical) {
        cJSON_AddNumberToObject(out, "unseen", now.unseen);
    } else {
        cJSON_AddNumberToObject(out, "below_training", now.below);
        cJSON_AddNumberToObject(out, "above_training", now.above);
        add_number(out, "mean", now.mean);
        add_number(out, "deviation", now.deviation);
        add_number(out, "smallest", now.smallest);
        add_number(out, "largest", now.largest);
    }
    cJSON *training = cJSON_AddObjectToObject(out, "training");
    cJSON_AddNumberToObject(training, "present", was.total);
    cJSON_AddNumberToObject(training, "missing", was.missing);
    if (!bins)
        return out;
    if (categorical)
        add_values(p, name, out);
    else
        add_numbers(out, "edges", was.edges, was.n_bins - 1);
    add_numbers(out, "counts", now.counts, now.n_bins);
    add_numbers(training, "counts", was.counts, was.n_bins);
    return out;
}

/* [loop] */
static void sum_up(api_call *c) {
    profile *p = c->user;
    int slot = 0;
    while (slot < c->s->numbers.count && strcmp(c->s->numbers.names[slot], p->name) != 0)
        slot++;
    for (int w = 0; slot < c->s->numbers.count && w < c->s->n_workers; w++)
        for (int area = 0; area < 2; area++)
            lathe_live_sum(lathe_slots_live(c->s->slots, w, area, slot), p->total);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "model", p->version.model);
    cJSON_AddNumberToObject(out, "version", (double)p->version.version);
    cJSON_AddNumberToObject(out, "rows", (double)lathe_live_total_rows(p->total));
    cJSON_AddNumberToObject(out, "training_rows", (double)lathe_baseline_rows(p->baseline));
    cJSON *list = cJSON_AddArrayToObject(out, "features");
    for (int64_t f = 0; f < lathe_live_features(p->live); f++)
        cJSON_AddItemToArray(list, feature_json(p, f, api_bool(c->query, "bins", false)));
    c->rc = api_answer(c, out);
    free_profile(p);
}

static int32_t get_features(api_call *c) {
    profile *p = lathe_arena_alloc(c->arena, sizeof *p);
    if (p == NULL)
        return lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory");
    const int32_t rc = open_profile(c, p);
    if (rc != LATHE_OK) {
        free_profile(p);
        return rc;
    }
    c->user = p;
    c->then = sum_up;
    return LATHE_OK;
}

static const api_field query[] = {
    {"bins", API_BOOL, false, 0, 0, NULL, "with the counts of each bin; default false", NULL}, {0}};

const api_route api_feature_routes[] = {
    {.method = "GET",
     .path = "/api/v1/models/{model}/versions/{version}/features",
     .role = LATHE_ROLE_READ,
     .scope = API_PROJECT,
     .summary = "Statistics of the rows that this service has answered since it started, a feature "
                "at a time, beside those of training",
     .run = get_features,
     .query = query,
     .answer = "Features"},
    {0}};

/* Model files: what is read back predicts the same bits however rows come; and whatever a file says, with all its sums
 * right, opening and predicting end with an answer or an error. */
#include "base/hash.h"
#include "base/rng.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/st_types.h"
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;
static char dir[64], path[96];
static lathe_error err;

#define ck_ok(call) fixture_ok((call), &err, #call)

/* ---- models, trained by the program itself ---- */

#define SOURCE(file, more)                                                                         \
    "\"source\": {\"csv\": {\"path\": \"" LATHE_DATA_DIR "/" file "\"" more "}}, \"profile\": "    \
    "false"
#define HEAD(goal, prepare)                                                                        \
    "{\"lathe\": 1, \"name\": \"m\", \"seed\": 3, \"goal\": {" goal "}, \"prepare\": {" prepare    \
    "}, "

static const struct {
    const char *document, *data, *missing;
    int32_t task;
    int64_t n_classes;
} models[] = {
    {HEAD(
         "\"task\": \"classification\", \"target\": \"species\"",
         SOURCE(
             "penguins.csv",
             "") ", \"transforms\": [{\"impute\": {\"columns\": \"numeric\", \"marker\": true}}, "
                 "{\"one_hot\": {\"columns\": \"island\"}}, {\"ordinal\": {\"columns\": \"sex\"}}, "
                 "\"robust\"]") "\"train\": {\"candidates\": {\"all\": {\"voting\": {\"base\": "
                                "[{\"tree\": {\"max_leaves\": 6}}, \"linear\", "
                                "{\"mlp\": {\"layers\": [{\"units\": 5}], \"epochs\": 1}}, "
                                "{\"random_forest\": {\"trees\": 3}}, "
                                "{\"adaboost\": {\"rounds\": 2}}, {\"bagging\": {\"estimators\": "
                                "2, \"base\": \"linear\"}}, "
                                "{\"stacking\": {\"base\": [{\"tree\": {\"max_leaves\": 3}}], "
                                "\"folds\": 2}}, {\"gbdt\": {\"rounds\": 2}}, "
                                "\"constant\"]}}}}}",
     "penguins.csv", "NA", LATHE_TASK_MULTICLASS, 3},
    {HEAD(
         "\"task\": \"classification\", \"target\": \"income\"",
         SOURCE("adult.csv.gz",
                ", \"limit\": 1500, \"missing\": [\"?\"]")) "\"train\": {\"candidates\": {\"all\": "
                                                            "{\"gbdt\": {\"rounds\": 4, \"base\": "
                                                            "{\"tree\": {\"max_leaves\": 12}}}}}}}",
     "adult.csv.gz", "?", LATHE_TASK_BINARY, 2},
    {HEAD("\"task\": \"regression\", \"target\": \"cnt\"",
          SOURCE("bike_sharing_hour.csv.gz",
                 ", \"limit\": 1500") ", \"transforms\": [\"date_parts\", "
                                      "{\"standardize\": {\"columns\": "
                                      "[\"temp\", \"hum\"]}}, "
                                      "{\"target_encode\": {\"columns\": "
                                      "\"categorical\"}}]") "\"train\": "
                                                            "{\"candidates"
                                                            "\": {\"all\": "
                                                            "{\"bagging\": "
                                                            "{\"estimators"
                                                            "\": 2, "
                                                            "\"base\": "
                                                            "{\"mlp\": "
                                                            "{\"epochs\": "
                                                            "1}}}}}}}",
     "bike_sharing_hour.csv.gz", "", LATHE_TASK_REGRESSION, 0},
};
#define N_MODELS 3

static uint8_t *files[N_MODELS];
static size_t lengths[N_MODELS];

/* Once for all tests: three files in memory. */
static void train_all(void) {
    char command[700];
    strcpy(dir, "/tmp/lathe-model-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model", dir);
    for (int m = 0; m < N_MODELS; m++) {
        char name[96], *text;
        size_t len;
        snprintf(name, sizeof name, "%s/p.json", dir);
        ck_ok(lathe_write_file_atomic(name, models[m].document, strlen(models[m].document), &err));
        snprintf(command, sizeof command,
                 "'" LATHE_BIN
                 "' run '%s' --home '%s/home' --json > '%s/out' 2> '%s/log' || cat '%s/log' >&2",
                 name, dir, dir, dir, dir);
        ck_assert_int_eq(system(command), 0);
        snprintf(name, sizeof name, "%s/out", dir);
        ck_ok(lathe_read_file(name, 1 << 20, &text, &len, &err));
        lathe_json *out = lathe_json_read(text, len, NULL, NULL, &err);
        ck_assert_msg(out != NULL, "%s", err.message);
        const cJSON *file = lathe_json_get(lathe_json_get(lathe_json_root(out), "model"), "file");
        ck_assert(cJSON_IsString(file));
        ck_ok(lathe_read_file(file->valuestring, 64 << 20, (char **)&files[m], &lengths[m], &err));
        lathe_json_free(out);
        free(text);
    }
}

static void forget_all(void) {
    for (int m = 0; m < N_MODELS; m++)
        free(files[m]);
    lathe_remove_tree(dir, NULL);
}

static void set_up(void) {
    fixture_open(&fx, 2);
    lathe_error_clear(&err);
}

static void tear_down(void) {
    fixture_close(&fx);
}

static void write_bytes(const void *data, size_t len) {
    FILE *file = fopen(path, "wb");
    ck_assert(file != NULL && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

static lathe_model *open_model(int m) {
    lathe_model *model;
    write_bytes(files[m], lengths[m]);
    ck_ok(lathe_model_open(fx.runtime, path, &model, &err));
    return model;
}

/* ---- rows ---- */

typedef struct rows {
    lathe_instance source;
    void *stream;
    lathe_table table;
} rows;

static void open_rows(int m, int64_t limit, rows *r) {
    char use[300];
    snprintf(use, sizeof use,
             "{\"csv\": {\"path\": \"" LATHE_DATA_DIR "/%s\", \"missing\": [\"%s\"]}}",
             models[m].data, models[m].missing);
    fixture_create(&fx, LATHE_KIND_SOURCE, use, 0, &r->source);
    ck_ok(lathe_call_source_open(&r->source, &r->stream, &err));
    ck_ok(lathe_call_source_next(&r->source, r->stream, limit, &r->table, &err));
}

static void close_rows(rows *r) {
    lathe_call_source_close(&r->source, r->stream);
    lathe_instance_destroy(&r->source);
}

/* Rows [begin, end) of a table, without a copy. */
static lathe_table part_of(const lathe_table *t, int64_t begin, int64_t end,
                           lathe_column *columns) {
    for (int64_t c = 0; c < t->n_columns; c++) {
        columns[c] = t->columns[c];
        columns[c].values = (char *)columns[c].values + begin * lathe_value_size(columns[c].type);
    }
    return (lathe_table){end - begin, t->n_columns, columns};
}

static void same_bits(const lathe_prediction *all, int64_t at, const lathe_prediction *some) {
    const size_t k = (size_t)all->n_classes;
    for (int64_t i = 0; i < some->n; i++) {
        if (k == 0) {
            ck_assert(memcmp(all->value + at + i, some->value + i, sizeof(float)) == 0);
            continue;
        }
        ck_assert_int_eq(all->label[at + i], some->label[i]);
        ck_assert(memcmp(all->probability + (size_t)(at + i) * k, some->probability + (size_t)i * k,
                         k * sizeof(float)) == 0);
    }
}

static void check_part(const lathe_model *model, const lathe_prediction *all, const lathe_table *t,
                       int64_t begin, int64_t end) {
    lathe_column columns[64];
    lathe_prediction p;
    const lathe_table part = part_of(t, begin, end, columns);
    ck_ok(lathe_model_predict(model, &part, &p, &err));
    ck_assert_int_eq(p.n, end - begin);
    same_bits(all, begin, &p);
    lathe_prediction_free(&p);
}

START_TEST(rows_give_the_same_bits_in_any_company) {
    rows r;
    lathe_prediction all, p;
    lathe_column turned[64];
    lathe_model *model = open_model(_i);
    open_rows(_i, 300, &r);
    ck_ok(lathe_model_predict(model, &r.table, &all, &err));
    ck_assert_int_eq(all.n, 300);
    ck_assert_int_eq(all.n_classes, models[_i].n_classes);
    for (int64_t i = 0; i < 300; i++)
        for (int64_t c = 0; c < all.n_classes; c++)
            ck_assert(all.probability[i * all.n_classes + c] >= 0 &&
                      all.probability[i * all.n_classes + c] <= 1);
    for (int64_t i = 0; i < 25; i++)
        check_part(model, &all, &r.table, i, i + 1);
    check_part(model, &all, &r.table, 0, 123);
    check_part(model, &all, &r.table, 123, 300);
    check_part(model, &all, &r.table, 7, 7); /* no rows */
    /* columns in another order, and one that the model does not know */
    for (int64_t c = 0; c < r.table.n_columns; c++)
        turned[c] = r.table.columns[r.table.n_columns - 1 - c];
    double more[300] = {0};
    turned[r.table.n_columns] =
        (lathe_column){"a column too many", LATHE_COLUMN_FLOAT64, 0, more, NULL, 0};
    const lathe_table other = {300, r.table.n_columns + 1, turned};
    ck_ok(lathe_model_predict(model, &other, &p, &err));
    same_bits(&all, 0, &p);
    lathe_prediction_free(&p);
    /* a reload, in a process with other threads */
    fixture second;
    fixture_open(&second, 5);
    lathe_model *again;
    ck_ok(lathe_model_open(second.runtime, path, &again, &err));
    ck_ok(lathe_model_predict(again, &r.table, &p, &err));
    same_bits(&all, 0, &p);
    lathe_prediction_free(&p);
    lathe_model_close(again);
    fixture_close(&second);
    lathe_prediction_free(&all);
    close_rows(&r);
    lathe_model_close(model);
}
END_TEST

START_TEST(rows_that_do_not_fit_are_refused) {
    rows r;
    lathe_prediction p;
    lathe_model *model = open_model(_i);
    open_rows(_i, 10, &r);
    const lathe_schema *raw = lathe_model_get_info(model)->raw;
    const lathe_table *schema = lathe_schema_table(raw);
    for (int64_t c = 0; c < schema->n_columns; c++) { /* each column left out in turn */
        lathe_column columns[64];
        int64_t n = 0;
        for (int64_t k = 0; k < r.table.n_columns; k++)
            if (strcmp(r.table.columns[k].name, schema->columns[c].name) != 0)
                columns[n++] = r.table.columns[k];
        const lathe_table less = {10, n, columns};
        ck_assert_int_ne(lathe_model_predict(model, &less, &p, &err), LATHE_OK);
        ck_assert_msg(strstr(err.message, schema->columns[c].name) != NULL ||
                          strstr(err.where, schema->columns[c].name) != NULL,
                      "%s: %s", err.where, err.message);
        ck_assert_ptr_null(p.value);
        ck_assert_ptr_null(p.probability);
    }
    close_rows(&r);
    lathe_model_close(model);
}
END_TEST

START_TEST(what_it_says_of_itself) {
    lathe_model *model = open_model(_i);
    const lathe_model_info *info = lathe_model_get_info(model);
    cJSON *description;
    ck_assert_str_eq(info->name, "m");
    ck_assert_int_eq(info->task, models[_i].task);
    ck_assert_int_eq(info->n_classes, models[_i].n_classes);
    for (int64_t c = 1; c < info->n_classes; c++)
        ck_assert_int_lt(strcmp(info->classes[c - 1], info->classes[c]), 0);
    ck_assert_int_eq(info->positive, models[_i].n_classes == 2 ? 1 : -1);
    for (int part = LATHE_MODEL_DOCUMENT; part <= LATHE_MODEL_BASELINE; part++) {
        cJSON *tree;
        ck_ok(lathe_model_document(model, (lathe_model_part)part, &tree, &err));
        ck_assert(cJSON_IsObject(tree));
        cJSON_Delete(tree);
    }
    ck_ok(lathe_model_verify(path, &err));
    ck_ok(lathe_model_describe(path, &description, &err));
    static const char *const keys[] = {"name",     "target",   "task",   "classes",
                                       "positive", "plugins",  "schema", "metrics",
                                       "document", "baseline", "format", "candidate"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        ck_assert_msg(lathe_json_get(description, keys[i]) != NULL, "%s", keys[i]);
    cJSON_Delete(description);
    lathe_model_close(model);
    lathe_model_close(NULL);
}
END_TEST

/* Head first, plugins later: the same predictions, and a head alone tells what it is. */
START_TEST(opened_in_two_halves) {
    rows r;
    lathe_model *model, *whole = open_model(_i);
    lathe_prediction a = {0}, b = {0};
    ck_ok(lathe_model_open_head(fx.runtime, path, &model, &err));
    ck_assert_str_eq(lathe_model_get_info(model)->name, "m");
    lathe_model_close(model);
    ck_ok(lathe_model_open_head(fx.runtime, path, &model, &err));
    ck_ok(lathe_model_load(model, &err));
    ck_ok(lathe_model_load(model, &err));
    open_rows(_i, 7, &r);
    ck_ok(lathe_model_predict(model, &r.table, &a, &err));
    ck_ok(lathe_model_predict(whole, &r.table, &b, &err));
    ck_assert_int_eq(a.n, b.n);
    for (int64_t i = 0; i < a.n * a.n_classes; i++)
        ck_assert(a.probability[i] == b.probability[i]);
    for (int64_t i = 0; a.value != NULL && i < a.n; i++)
        ck_assert(a.value[i] == b.value[i]);
    lathe_prediction_free(&a);
    lathe_prediction_free(&b);
    close_rows(&r);
    lathe_model_close(model);
    lathe_model_close(whole);
}
END_TEST

START_TEST(latencies_are_measured) {
    rows r;
    int64_t ns[200], n = 200;
    lathe_model *model = open_model(1);
    open_rows(1, 7, &r);
    ck_ok(lathe_model_latency(model, &r.table, &n, ns, &err));
    ck_assert(n >= 100 && n <= 200);
    for (int i = 0; i < n; i++)
        ck_assert(ns[i] > 0 && (i == 0 || ns[i] >= ns[i - 1]));
    lathe_runtime_request_stop(fx.runtime);
    n = 200;
    ck_assert_int_eq(lathe_model_latency(model, &r.table, &n, ns, &err), LATHE_E_CANCELLED);
    close_rows(&r);
    lathe_model_close(model);
}
END_TEST

/* ---- lies ---- */

static uint64_t header_size(const uint8_t *raw) {
    uint64_t size;
    memcpy(&size, raw, 8);
    return size;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* The sum of the header, as the format has it. */
static uint32_t sum_header(const cJSON *root) {
    uint32_t sum = 0;
    const cJSON *meta = lathe_json_get(root, LATHE_ST_METADATA), *item;
    const cJSON *entries[4096];
    size_t n = 0;
    cJSON_ArrayForEach(item, meta) {
        if (!cJSON_IsString(item) || strcmp(item->string, "crc32") == 0)
            continue;
        sum = lathe_crc32(sum, item->string, strlen(item->string) + 1);
        sum = lathe_crc32(sum, item->valuestring, strlen(item->valuestring) + 1);
    }
    cJSON_ArrayForEach(item, root) {
        if (item != meta && strncmp(item->string, "pad.", 4) != 0 && n < 4096)
            entries[n++] = item;
    }
    qsort(entries, n, sizeof *entries, by_name);
    for (size_t i = 0; i < n; i++) {
        int64_t shape[LATHE_MAX_DIMS];
        int32_t ndim = 0;
        const cJSON *dim, *dtype = lathe_json_get(entries[i], "dtype");
        cJSON_ArrayForEach(dim, lathe_json_get(entries[i], "shape")) if (ndim < LATHE_MAX_DIMS)
            shape[ndim++] = (int64_t)dim->valuedouble;
        sum = lathe_st_sum_entry(sum, entries[i]->string,
                                 cJSON_IsString(dtype) ? dtype->valuestring : "", ndim, shape);
    }
    return sum;
}

/* Makes all sums right again, in place; leaves a file whose header is no JSON as it is. */
static void make_sums_right(uint8_t *raw, size_t len) {
    const uint64_t size = header_size(raw);
    char *text = (char *)raw + 8, key[300], hex[16];
    lathe_json *doc = lathe_json_read(text, (size_t)size, NULL, NULL, NULL);
    if (doc == NULL)
        return;
    const cJSON *root = lathe_json_root(doc), *entry;
    char *sums = memmem(text, (size_t)size, "\"crc32\":\"", 9);
    cJSON_ArrayForEach(entry, root) {
        const bool header = strcmp(entry->string, LATHE_ST_METADATA) == 0;
        const cJSON *range = lathe_json_get(entry, "data_offsets");
        const int n = snprintf(key, sizeof key, "\\\"%s\\\":\\\"", entry->string);
        char *at = sums ? memmem(sums, (size_t)(text + size - sums), key, (size_t)n) : NULL;
        if (at == NULL || (!header && cJSON_GetArraySize(range) != 2))
            continue;
        const double begin = header ? 0 : cJSON_GetArrayItem(range, 0)->valuedouble;
        const double end = header ? 0 : cJSON_GetArrayItem(range, 1)->valuedouble;
        if (!(begin >= 0 && begin <= end && end <= (double)(len - 8 - size)))
            continue;
        snprintf(hex, sizeof hex, "%08x",
                 header ? sum_header(root)
                        : lathe_crc32(0, raw + 8 + size + (size_t)begin, (size_t)(end - begin)));
        memcpy(at + n, hex, 8);
    }
    lathe_json_free(doc);
}

/* Opens and predicts: an answer, or an error with a message. True: it was taken. */
static bool try_file(const uint8_t *raw, size_t len, const lathe_table *table, const char *what) {
    lathe_model *model = NULL;
    lathe_prediction p = {0};
    write_bytes(raw, len);
    lathe_error_clear(&err);
    int32_t rc = lathe_model_open(fx.runtime, path, &model, &err);
    ck_assert_msg((rc == LATHE_OK) == (model != NULL), "%s", what);
    if (rc == LATHE_OK)
        rc = lathe_model_predict(model, table, &p, &err);
    ck_assert_msg(rc == LATHE_OK || err.message[0] != 0, "%s: no message", what);
    const bool taken = rc == LATHE_OK;
    lathe_prediction_free(&p);
    lathe_model_close(model);
    return taken;
}

START_TEST(right_sums_are_made) {
    rows r;
    uint8_t *raw = malloc(lengths[_i]);
    memcpy(raw, files[_i], lengths[_i]);
    make_sums_right(raw, lengths[_i]);
    ck_assert(memcmp(raw, files[_i], lengths[_i]) == 0);
    open_rows(_i, 20, &r);
    ck_assert(try_file(raw, lengths[_i], &r.table, "the file itself"));
    close_rows(&r);
    free(raw);
}
END_TEST

/* Damage where nothing is looked at when the model is opened: whoever asks is told, and does not take it for a model without. */
START_TEST(a_damaged_document_is_not_absent) {
    lathe_model *model;
    lathe_st_file *file;
    cJSON *tree;
    write_bytes(files[_i], lengths[_i]);
    ck_ok(lathe_st_open(path, &file, &err));
    const lathe_st_tensor *t = lathe_st_find(file, "baseline.json");
    ck_assert_ptr_nonnull(t);
    /* the data ends where the file ends */
    const lathe_st_tensor *last = lathe_st_at(file, lathe_st_count(file) - 1);
    const size_t at = lengths[_i] - (size_t)((const uint8_t *)last->data + last->bytes -
                                             (const uint8_t *)t->data);
    lathe_st_close(file);
    uint8_t *raw = malloc(lengths[_i]);
    memcpy(raw, files[_i], lengths[_i]);
    raw[at + 1] ^= 1;
    write_bytes(raw, lengths[_i]);
    ck_ok(lathe_model_open(fx.runtime, path, &model, &err));
    ck_assert_int_eq(lathe_model_document(model, LATHE_MODEL_BASELINE, &tree, &err),
                     LATHE_E_CORRUPT);
    ck_assert_ptr_null(tree);
    ck_assert_ptr_nonnull(strstr(err.message, "checksum"));
    ck_ok(lathe_model_document(model, LATHE_MODEL_DOCUMENT, &tree, &err));
    cJSON_Delete(tree);
    lathe_model_close(model);
    ck_assert_int_eq(lathe_model_describe(path, &tree, &err), LATHE_E_CORRUPT);
    /* whole, but no JSON */
    raw[at] = '(';
    make_sums_right(raw, lengths[_i]);
    write_bytes(raw, lengths[_i]);
    lathe_error_clear(&err);
    ck_assert_int_eq(lathe_model_describe(path, &tree, &err), LATHE_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.message, "is no JSON"));
    free(raw);
}
END_TEST

/* Each tensor filled with what it should not hold: NaN, large indices, negative ones, noise. */
START_TEST(tensors_may_hold_anything) {
    rows r;
    uint8_t *raw = malloc(lengths[_i]);
    const uint64_t size = header_size(files[_i]);
    lathe_json *doc = lathe_json_read((const char *)files[_i] + 8, (size_t)size, NULL, NULL, &err);
    ck_assert_msg(doc != NULL, "%s", err.message);
    open_rows(_i, 20, &r);
    const cJSON *entry;
    uint64_t key = 1;
    cJSON_ArrayForEach(entry, lathe_json_root(doc)) {
        const cJSON *range = lathe_json_get(entry, "data_offsets");
        if (range == NULL || strncmp(entry->string, "pad.", 4) == 0)
            continue;
        const size_t begin = (size_t)cJSON_GetArrayItem(range, 0)->valuedouble;
        const size_t end = (size_t)cJSON_GetArrayItem(range, 1)->valuedouble;
        for (int kind = 0; kind < 7; kind++) {
            memcpy(raw, files[_i], lengths[_i]);
            uint8_t *data = raw + 8 + size + begin;
            const size_t n = end - begin;
            uint64_t noise[2];
            lathe_rng_u64(key++, 0, noise, 2);
            if (kind == 0)
                memset(data, 0xFF, n);
            else if (kind == 1)
                memset(data, 0x7F, n);
            else if (kind == 2)
                memset(data, 0, n);
            else if (kind == 3)
                memset(data, 0x01, n);
            for (size_t b = 0; kind == 4 && b + 8 <= n; b += 8)
                lathe_rng_u64(key++, 0, (uint64_t *)(void *)noise, 1), memcpy(data + b, noise, 8);
            if (kind == 5 && n >= 4) /* one element */
                memcpy(data + noise[0] % (n / 4) * 4, &noise[1], 4);
            if (kind == 6 && n >= 8) /* turned around: children before parents */
                for (size_t b = 0; b + 4 <= n / 2; b += 4) {
                    uint8_t four[4];
                    memcpy(four, data + b, 4);
                    memcpy(data + b, data + n - 4 - b, 4);
                    memcpy(data + n - 4 - b, four, 4);
                }
            make_sums_right(raw, lengths[_i]);
            try_file(raw, lengths[_i], &r.table, entry->string);
        }
    }
    close_rows(&r);
    lathe_json_free(doc);
    free(raw);
}
END_TEST

/* Digits and letters of the descriptions changed, with all sums right: counts, versions, names, shapes, types. */
START_TEST(descriptions_may_say_anything) {
    rows r;
    uint8_t *raw = malloc(lengths[_i]);
    const uint64_t size = header_size(files[_i]);
    const int rounds = 500;
    int taken = 0;
    open_rows(_i, 5, &r);
    for (int k = 0; k < rounds; k++) {
        uint64_t noise[4];
        lathe_rng_u64(99, (uint64_t)k * 4, noise, 4);
        memcpy(raw, files[_i], lengths[_i]);
        size_t at = 8 + noise[0] % size;
        for (size_t i = 0; i < 4000 && at + 1 < 8 + size && !(raw[at] >= '0' && raw[at] <= '9');
             i++)
            at++; /* most of all, the numbers */
        static const char other[] = "0123456789-eEnx.\"\\,:[]{} ";
        raw[at] = (uint8_t)other[noise[1] % (sizeof other - 1)];
        if (noise[2] % 3 == 0)
            raw[at + 1] = (uint8_t)other[noise[3] % (sizeof other - 1)];
        make_sums_right(raw, lengths[_i]);
        taken += try_file(raw, lengths[_i], &r.table, "a description");
    }
    ck_assert_int_lt(taken, rounds);
    close_rows(&r);
    free(raw);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("model");
    TCase *tc = tcase_create("all");
    tcase_add_unchecked_fixture(tc, train_all, forget_all);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, rows_give_the_same_bits_in_any_company, 0, N_MODELS);
    tcase_add_loop_test(tc, rows_that_do_not_fit_are_refused, 0, N_MODELS);
    tcase_add_loop_test(tc, what_it_says_of_itself, 0, N_MODELS);
    tcase_add_loop_test(tc, opened_in_two_halves, 0, N_MODELS);
    tcase_add_test(tc, latencies_are_measured);
    tcase_add_loop_test(tc, right_sums_are_made, 0, N_MODELS);
    tcase_add_loop_test(tc, a_damaged_document_is_not_absent, 0, N_MODELS);
    tcase_add_loop_test(tc, tensors_may_hold_anything, 0, N_MODELS);
    tcase_add_loop_test(tc, descriptions_may_say_anything, 0, N_MODELS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

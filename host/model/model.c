/* Writing and opening a model; predicting with it is at the end. */
#include "model/model.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "model/documents.h"
#include "model/matrix.h"
#include "model/state_file.h"
#include "plugin/call.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TRANSFORMS 10000

struct lathe_model {
    lathe_runtime *runtime;
    lathe_arena *arena;
    lathe_st_file *file;
    lathe_model_info info;
    lathe_schema *raw;
    lathe_chain *chain;
    lathe_instance learner;
    int64_t n_transforms;
    bool loaded; /* chain and learner are there */
};

/* ---- writing ---- */

/* {"id": {"version", "sha256"}} of every plugin in the trees. */
static void list_plugins(const lathe_state *node, cJSON *plugins) {
    const lathe_state_identity *who = lathe_state_who(node);
    if (lathe_json_get(plugins, who->plugin) == NULL) {
        cJSON *entry = cJSON_AddObjectToObject(plugins, who->plugin);
        cJSON_AddStringToObject(entry, "version", who->version);
        cJSON_AddStringToObject(entry, "sha256", who->digest);
    }
    for (size_t i = 0; i < lathe_state_child_count(node); i++)
        list_plugins(lathe_state_child_at(node, i, NULL), plugins);
}

/* What every reader needs first, as one object. */
static cJSON *describe_spec(const lathe_model_spec *spec, size_t n_transforms) {
    cJSON *head = cJSON_CreateObject();
    cJSON_AddNumberToObject(head, "format", LATHE_MODEL_FORMAT);
    cJSON_AddStringToObject(head, "name", spec->name);
    cJSON_AddStringToObject(head, "target", spec->target);
    cJSON_AddNumberToObject(head, "task", spec->task);
    cJSON_AddNumberToObject(head, "positive", (double)spec->positive);
    cJSON_AddNumberToObject(head, "transforms", (double)n_transforms);
    cJSON *classes = cJSON_AddArrayToObject(head, "classes");
    for (int64_t i = 0; i < spec->n_classes; i++)
        cJSON_AddItemToArray(classes, cJSON_CreateString(spec->classes[i]));
    return head;
}

static int32_t put_documents(lathe_st_writer *w, const lathe_model_spec *spec, size_t n_transforms,
                             const cJSON *plugins, lathe_error *err) {
    cJSON *head = describe_spec(spec, n_transforms), *schema = lathe_schema_to_json(spec->raw);
    int32_t rc = head && schema
                     ? LATHE_OK
                     : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a model");
    const struct {
        const char *key;
        const cJSON *tree;
    } documents[] = {{"lathe", head},
                     {"schema", schema},
                     {"plugins", plugins},
                     {"document", spec->document},
                     {"metrics", spec->metrics}};
    for (size_t i = 0; rc == LATHE_OK && i < sizeof documents / sizeof *documents; i++)
        rc = lathe_documents_put(w, documents[i].key, documents[i].tree, err);
    const cJSON *extra;
    cJSON_ArrayForEach(extra, spec->extra) {
        char key[128];
        snprintf(key, sizeof key, "extra:%s", extra->string);
        if (rc == LATHE_OK)
            rc = lathe_documents_put(w, key, extra, err);
    }
    cJSON_Delete(head);
    cJSON_Delete(schema);
    return rc;
}

int32_t lathe_model_write(const lathe_model_spec *spec, const char *path,
                          char sha256[LATHE_SHA256_HEX], int64_t *bytes, lathe_error *err) {
    lathe_state **transforms = NULL, *learner = NULL;
    size_t n = 0;
    char prefix[32];
    lathe_buf baseline = {0};
    lathe_st_writer *w = lathe_st_writer_new();
    cJSON *plugins = cJSON_CreateObject();
    int32_t rc = w && plugins ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_chain_save(spec->chain, &transforms, &n, err);
    if (rc == LATHE_OK)
        rc = lathe_state_save(spec->learner, &learner, err);
    for (size_t i = 0; rc == LATHE_OK && i < n; i++) {
        snprintf(prefix, sizeof prefix, "transform.%zu", i);
        list_plugins(transforms[i], plugins);
        rc = lathe_state_put(w, prefix, transforms[i], err);
    }
    if (rc == LATHE_OK) {
        list_plugins(learner, plugins);
        rc = lathe_state_put(w, "learner", learner, err);
    }
    if (rc == LATHE_OK)
        rc = put_documents(w, spec, n, plugins, err);
    if (rc == LATHE_OK)
        rc = lathe_documents_put_large(w, "baseline", spec->baseline, &baseline, err);
    if (rc == LATHE_OK)
        rc = lathe_st_write(w, path, sha256, bytes, err);
    for (size_t i = 0; i < n; i++)
        lathe_state_free(transforms[i]);
    free(transforms);
    lathe_state_free(learner);
    cJSON_Delete(plugins);
    lathe_st_writer_free(w);
    lathe_buf_free(&baseline);
    return rc;
}

/* ---- opening ---- */

static int32_t corrupt(const char *path, lathe_error *err, const char *what) {
    return lathe_fail(err, LATHE_E_CORRUPT, path, "this is no intact model file: %s", what);
}

/* A model's file always has sums; without them it is another program's, or damaged. */
static int32_t open_file(const char *path, lathe_st_file **file, lathe_error *err) {
    int32_t rc = lathe_st_open(path, file, err);
    if (rc != LATHE_OK || lathe_st_get_meta(*file, "crc32") != NULL)
        return rc;
    lathe_st_close(*file);
    *file = NULL;
    return corrupt(path, err,
                   "it was not written by Lathe (there is no \"crc32\" in its metadata)");
}

static int64_t int_of(const cJSON *object, const char *key, int64_t low, int64_t high) {
    const cJSON *node = lathe_json_get(object, key);
    int64_t value;
    return lathe_json_int64(NULL, node, &value) && value >= low && value <= high ? value : low - 1;
}

static int32_t read_classes(const char *path, const cJSON *head, lathe_arena *arena,
                            lathe_model_info *info, lathe_error *err) {
    const cJSON *classes = lathe_json_get(head, "classes"), *item;
    info->n_classes = cJSON_GetArraySize(classes);
    const char **names = lathe_arena_array(arena, (size_t)info->n_classes + 1, sizeof *names);
    if (names == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    int64_t i = 0;
    cJSON_ArrayForEach(item, classes) {
        if (!cJSON_IsString(item) ||
            (names[i++] = lathe_arena_strdup(arena, item->valuestring)) == NULL)
            return corrupt(path, err, "a class is no text");
    }
    info->classes = names;
    const bool fits = info->task == LATHE_TASK_REGRESSION ? info->n_classes == 0
                      : info->task == LATHE_TASK_BINARY   ? info->n_classes == 2
                                                          : info->n_classes > 2;
    return fits ? LATHE_OK : corrupt(path, err, "its classes do not fit its task");
}

static int32_t read_head(const char *path, const cJSON *head, lathe_arena *arena,
                         lathe_model_info *info, lathe_error *err) {
    const cJSON *name = lathe_json_get(head, "name"), *target = lathe_json_get(head, "target");
    const int64_t format = int_of(head, "format", 1, 1000000);
    if (head == NULL || format < 1)
        return corrupt(path, err, "it was not written by Lathe (no \"lathe\" in its metadata)");
    if (format > LATHE_MODEL_FORMAT)
        return lathe_fail(
            err, LATHE_E_VERSION, path,
            "the model is of format %lld; this program reads up to %d. Use a newer program",
            (long long)format, LATHE_MODEL_FORMAT);
    info->task = (int32_t)int_of(head, "task", LATHE_TASK_REGRESSION, LATHE_TASK_MULTICLASS);
    info->positive = int_of(head, "positive", -1, 1);
    if (!cJSON_IsString(name) || !cJSON_IsString(target) || info->task < LATHE_TASK_REGRESSION ||
        info->positive < -1)
        return corrupt(path, err, "its head lacks name, target or task");
    info->name = lathe_arena_strdup(arena, name->valuestring);
    info->target = lathe_arena_strdup(arena, target->valuestring);
    return read_classes(path, head, arena, info, err);
}

static int32_t load_chain(lathe_model *m, lathe_error *err) {
    const int64_t n = m->n_transforms;
    const char *path = lathe_st_path(m->file);
    lathe_state **states = calloc((size_t)n + 1, sizeof *states);
    char prefix[40];
    int64_t have = 0;
    int32_t rc = states ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    for (; rc == LATHE_OK && have < n; have++) {
        snprintf(prefix, sizeof prefix, "transform.%lld", (long long)have);
        rc = lathe_state_get(m->file, prefix, &states[have], err);
    }
    if (rc == LATHE_OK)
        rc = lathe_chain_load(m->runtime, states, (size_t)n, lathe_schema_table(m->raw), &m->chain,
                              err);
    for (int64_t i = 0; states != NULL && i < have; i++)
        lathe_state_free(states[i]);
    free(states);
    return rc == LATHE_OK ? lathe_matrix_check(lathe_chain_schema(m->chain), err) : rc;
}

static void unload(lathe_model *m) {
    lathe_instance_destroy(&m->learner);
    lathe_chain_free(m->chain);
    m->chain = NULL;
}

static int32_t load_learner(lathe_model *m, lathe_error *err) {
    const char *path = lathe_st_path(m->file);
    lathe_state *state = NULL;
    lathe_output output = {.struct_size = LATHE_SIZED(lathe_output)};
    int32_t rc = lathe_state_get(m->file, "learner", &state, err);
    if (rc == LATHE_OK)
        rc = lathe_state_load(m->runtime, state, 0, &m->learner, err);
    lathe_state_free(state);
    if (rc == LATHE_OK)
        rc = lathe_call_output(&m->learner, &output, err);
    if (rc == LATHE_OK && output.n_features != lathe_chain_schema(m->chain)->n_columns)
        rc = corrupt(path, err,
                     "its learner takes another number of features than its transforms give");
    /* no rows: what it declares must fit task and classes */
    lathe_prediction none = {0};
    if (rc == LATHE_OK)
        rc = lathe_learner_predict(m->runtime, &m->learner, m->info.task, m->info.n_classes, NULL,
                                   0, output.n_features, &none, err);
    lathe_prediction_free(&none);
    return rc;
}

int32_t lathe_model_open_head(lathe_runtime *runtime, const char *path, lathe_model **out,
                              lathe_error *err) {
    *out = NULL;
    lathe_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    m->runtime = runtime;
    m->arena = lathe_arena_new();
    cJSON *head = NULL, *schema = NULL;
    int32_t rc = m->arena ? open_file(path, &m->file, err)
                          : lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_documents_get(m->file, "lathe", &head, err);
    if (rc == LATHE_OK)
        rc = lathe_documents_get(m->file, "schema", &schema, err);
    if (rc == LATHE_OK)
        rc = read_head(path, head, m->arena, &m->info, err);
    if (rc == LATHE_OK &&
        ((m->n_transforms = int_of(head, "transforms", 0, MAX_TRANSFORMS)) < 0 || schema == NULL))
        rc = corrupt(path, err, "its schema or number of transforms is missing");
    if (rc == LATHE_OK)
        rc = lathe_schema_from_json(schema, &m->raw, err);
    cJSON_Delete(head);
    cJSON_Delete(schema);
    m->info.raw = m->raw;
    if (rc != LATHE_OK) {
        lathe_model_close(m);
        return rc;
    }
    lathe_st_rest(m->file);
    *out = m;
    return LATHE_OK;
}

int32_t lathe_model_load(lathe_model *m, lathe_error *err) {
    if (m->loaded)
        return LATHE_OK;
    int32_t rc = lathe_st_check_padding(m->file, err);
    if (rc == LATHE_OK)
        rc = load_chain(m, err);
    if (rc == LATHE_OK)
        rc = load_learner(m, err);
    m->loaded = rc == LATHE_OK;
    if (rc != LATHE_OK)
        unload(m);
    return rc;
}

int32_t lathe_model_open(lathe_runtime *runtime, const char *path, lathe_model **out,
                         lathe_error *err) {
    int32_t rc = lathe_model_open_head(runtime, path, out, err);
    if (rc == LATHE_OK)
        rc = lathe_model_load(*out, err);
    if (rc != LATHE_OK) {
        lathe_model_close(*out);
        *out = NULL;
    }
    return rc;
}

void lathe_model_close(lathe_model *m) {
    if (m == NULL)
        return;
    unload(m);
    lathe_schema_free(m->raw);
    lathe_st_close(m->file);
    lathe_arena_free(m->arena);
    free(m);
}

int32_t lathe_model_document(const lathe_model *m, lathe_model_part part, cJSON **tree,
                             lathe_error *err) {
    static const char *const keys[] = {"document", "metrics", "baseline"};
    return lathe_documents_get(m->file, keys[part], tree, err);
}

const lathe_model_info *lathe_model_get_info(const lathe_model *m) {
    return &m->info;
}

const lathe_chain *lathe_model_chain(const lathe_model *m) {
    return m->chain;
}

const lathe_instance *lathe_model_learner(const lathe_model *m) {
    return &m->learner;
}

/* ---- without plugins ---- */

/* One document of the file as a member; what it does not have is left out. */
static int32_t add_document(const lathe_st_file *file, const char *key, const char *name,
                            cJSON *object, lathe_error *err) {
    cJSON *tree = NULL;
    int32_t rc = lathe_documents_get(file, key, &tree, err);
    if (rc == LATHE_OK && tree != NULL && !cJSON_AddItemToObject(object, name, tree)) {
        cJSON_Delete(tree);
        rc = lathe_fail(err, LATHE_E_MEMORY, lathe_st_path(file), "out of memory");
    }
    return rc;
}

int32_t lathe_model_describe(const char *path, cJSON **description, lathe_error *err) {
    lathe_st_file *file;
    lathe_model_info info = {0};
    lathe_arena *arena = lathe_arena_new();
    *description = NULL;
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    int32_t rc = open_file(path, &file, err);
    if (rc != LATHE_OK) {
        lathe_arena_free(arena);
        return rc;
    }
    static const char *const keys[] = {"plugins", "schema", "metrics", "document", "baseline"};
    cJSON *head = NULL;
    rc = lathe_documents_get(file, "lathe", &head, err);
    if (rc == LATHE_OK)
        rc = read_head(path, head, arena, &info, err);
    for (size_t i = 0; rc == LATHE_OK && i < sizeof keys / sizeof *keys; i++)
        rc = add_document(file, keys[i], keys[i], head, err);
    const cJSON *meta;
    cJSON_ArrayForEach(meta, lathe_st_metadata(file)) {
        if (rc == LATHE_OK && strncmp(meta->string, "extra:", 6) == 0)
            rc = add_document(file, meta->string, meta->string + 6, head, err);
    }
    lathe_st_close(file);
    lathe_arena_free(arena);
    if (rc != LATHE_OK) {
        cJSON_Delete(head);
        return rc;
    }
    *description = head;
    return LATHE_OK;
}

/* The parts that the head promises, and every tensor in them. */
static int32_t verify_states(lathe_st_file *file, int64_t n, lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i <= n; i++) {
        char prefix[40] = "learner";
        lathe_state *state = NULL;
        if (i < n)
            snprintf(prefix, sizeof prefix, "transform.%lld", (long long)i);
        rc = lathe_state_get(file, prefix, &state, err);
        lathe_state_free(state);
    }
    return rc;
}

int32_t lathe_model_verify(const char *path, lathe_error *err) {
    lathe_st_file *file = NULL;
    lathe_schema *raw = NULL;
    cJSON *head = NULL;
    int32_t rc = lathe_model_describe(path, &head, err);
    if (rc == LATHE_OK)
        rc = open_file(path, &file, err);
    if (rc == LATHE_OK)
        rc = lathe_st_check_padding(file, err);
    for (size_t i = 0; rc == LATHE_OK && i < lathe_st_count(file); i++)
        rc = lathe_st_check(lathe_st_at(file, i), err);
    const cJSON *schema = lathe_json_get(head, "schema");
    const int64_t n = int_of(head, "transforms", 0, MAX_TRANSFORMS);
    if (rc == LATHE_OK && (schema == NULL || n < 0))
        rc = corrupt(path, err, "its schema or number of transforms is missing");
    if (rc == LATHE_OK)
        rc = lathe_schema_from_json(schema, &raw, err);
    if (rc == LATHE_OK)
        rc = verify_states(file, n, err);
    lathe_schema_free(raw);
    lathe_st_close(file);
    cJSON_Delete(head);
    return rc;
}

/* ---- predicting ---- */

#define CHUNK_ROWS 16384

/* Appends a chunk's predictions to the whole. */
static void place(lathe_prediction *all, const lathe_prediction *some, int64_t at) {
    const size_t n = (size_t)some->n, k = (size_t)all->n_classes;
    if (all->value != NULL)
        memcpy(all->value + at, some->value, n * sizeof *all->value);
    if (all->label != NULL) {
        memcpy(all->label + at, some->label, n * sizeof *all->label);
        memcpy(all->probability + (size_t)at * k, some->probability,
               n * k * sizeof *all->probability);
    }
}

static int32_t predict_prepared(const lathe_model *m, const lathe_table *table,
                                lathe_prediction *all, lathe_error *err) {
    const int64_t n = table->n_rows, k = table->n_columns;
    const int64_t chunk = n < CHUNK_ROWS ? n : CHUNK_ROWS;
    float *matrix = NULL;
    const size_t bytes = (((size_t)chunk * (size_t)k + 1) * sizeof(float) + 63) / 64 * 64;
    if (posix_memalign((void **)&matrix, 64, bytes) != 0)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for %lld rows",
                          (long long)chunk);
    int32_t rc = LATHE_OK;
    for (int64_t begin = 0; rc == LATHE_OK && begin < n; begin += chunk) {
        const int64_t end = begin + chunk < n ? begin + chunk : n;
        lathe_prediction some = {0};
        lathe_matrix_rows(table, begin, end, matrix);
        rc = lathe_learner_predict(m->runtime, &m->learner, m->info.task, m->info.n_classes, matrix,
                                   end - begin, k, &some, err);
        if (rc == LATHE_OK)
            place(all, &some, begin);
        lathe_prediction_free(&some);
    }
    free(matrix);
    return rc;
}

int32_t lathe_model_predict(const lathe_model *m, const lathe_table *table, lathe_prediction *p,
                            lathe_error *err) {
    lathe_frame *raw = NULL, *prepared = NULL;
    const size_t n = (size_t)table->n_rows, k = (size_t)m->info.n_classes;
    *p = (lathe_prediction){.n = table->n_rows, .n_classes = m->info.n_classes};
    int32_t rc = lathe_schema_recode(m->raw, table, NULL, &raw, err);
    if (rc == LATHE_OK)
        rc = lathe_chain_apply(m->chain, raw, &prepared, err);
    if (rc == LATHE_OK && k == 0)
        p->value = malloc((n + 1) * sizeof *p->value);
    if (rc == LATHE_OK && k > 0) {
        p->label = malloc((n + 1) * sizeof *p->label);
        p->probability = malloc((n * k + 1) * sizeof *p->probability);
    }
    if (rc == LATHE_OK && (k == 0 ? !p->value : !p->label || !p->probability))
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for predictions");
    if (rc == LATHE_OK)
        rc = predict_prepared(m, lathe_frame_table(prepared), p, err);
    lathe_frame_free(prepared);
    lathe_frame_free(raw);
    if (rc != LATHE_OK)
        lathe_prediction_free(p);
    return rc;
}

/* Row `row` of a table as a table of one row; columns[n_columns] is the caller's. */
static lathe_table one_row(const lathe_table *table, int64_t row, lathe_column *columns) {
    for (int64_t c = 0; c < table->n_columns; c++) {
        columns[c] = table->columns[c];
        columns[c].values = (char *)columns[c].values + row * lathe_value_size(columns[c].type);
    }
    return (lathe_table){1, table->n_columns, columns};
}

#define LATENCY_LEAST 100
#define LATENCY_BUDGET_NS INT64_C(3000000000)

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int32_t lathe_model_latency(const lathe_model *m, const lathe_table *table, int64_t *rows,
                            int64_t *ns, lathe_error *err) {
    lathe_column *columns = calloc((size_t)table->n_columns + 1, sizeof *columns);
    if (columns == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the latency test");
    int32_t rc = LATHE_OK;
    int64_t n = 0, spent = 0;
    for (int64_t i = 0;
         rc == LATHE_OK && i < *rows && (i < LATENCY_LEAST || spent < LATENCY_BUDGET_NS); i++) {
        const lathe_table row = one_row(table, i % table->n_rows, columns);
        lathe_prediction p = {0};
        const int64_t start = lathe_now_ns();
        rc = lathe_model_predict(m, &row, &p, err);
        ns[i] = lathe_now_ns() - start;
        spent += ns[n++];
        lathe_prediction_free(&p);
        if (rc == LATHE_OK && lathe_runtime_stopped(m->runtime))
            rc = lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped during the latency test");
    }
    qsort(ns, (size_t)n, sizeof *ns, by_value);
    *rows = n;
    free(columns);
    return rc;
}

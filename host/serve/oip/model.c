/* Models as the protocol shows them: metadata, configuration, statistics. */
#include "base/jsonw.h"
#include "data/text.h"
#include "serve/oip/internal.h"

#include <stdlib.h>
#include <string.h>

int32_t lathe_oip_model_new(const lathe_model *model, const char *name, const char *version,
                            lathe_oip_model **out, lathe_error *err) {
    *out = NULL;
    lathe_oip_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, name, "out of memory");
    m->model = model;
    m->info = lathe_model_get_info(model);
    m->raw = lathe_schema_table(m->info->raw);
    m->name = strdup(name);
    m->version = strdup(version);
    m->labels = calloc((size_t)m->info->n_classes + 1, sizeof *m->labels);
    m->columns = calloc((size_t)m->raw->n_columns + 1, sizeof *m->columns);
    bool good = m->name != NULL && m->version != NULL && m->labels != NULL && m->columns != NULL;
    for (int64_t c = 0; good && c < m->raw->n_columns; c++)
        m->columns[c] = lathe_str_of(m->raw->columns[c].name);
    for (int64_t c = 0; good && c < m->info->n_classes; c++) {
        const size_t raw_len = strlen(m->info->classes[c]) + 4;
        lathe_json_quote(&m->labels[c], m->info->classes[c], raw_len - 4);
        good = !m->labels[c].failed;
        const size_t longest = m->labels[c].len > raw_len ? m->labels[c].len : raw_len;
        m->longest_label = longest > m->longest_label ? longest : m->longest_label;
    }
    lathe_buf_append_str(&m->head, "{\"model_name\":");
    lathe_json_quote(&m->head, name, strlen(name));
    lathe_buf_append_str(&m->head, ",\"model_version\":");
    lathe_json_quote(&m->head, version, strlen(version));
    if (!good || m->head.failed) {
        lathe_oip_model_free(m);
        return lathe_fail(err, LATHE_E_MEMORY, name, "out of memory");
    }
    *out = m;
    return LATHE_OK;
}

void lathe_oip_model_free(lathe_oip_model *m) {
    if (m == NULL)
        return;
    for (int64_t c = 0; m->labels != NULL && c < m->info->n_classes; c++)
        lathe_buf_free(&m->labels[c]);
    lathe_buf_free(&m->head);
    free(m->labels);
    free(m->columns);
    free(m->name);
    free(m->version);
    free(m);
}

/* One tensor: of the metadata (shape with the batch's dimension), of the configuration (dims without it). */
static void put_tensor(lathe_jsonw *w, const char *name, const char *type, int64_t width,
                       bool config) {
    char typed[24];
    snprintf(typed, sizeof typed, "TYPE_%s", strcmp(type, "BYTES") == 0 ? "STRING" : type);
    lathe_jsonw_begin_object(w);
    lathe_jsonw_kv_str(w, "name", name);
    lathe_jsonw_kv_str(w, config ? "data_type" : "datatype", config ? typed : type);
    lathe_jsonw_key(w, config ? "dims" : "shape");
    lathe_jsonw_begin_array(w);
    if (!config)
        lathe_jsonw_int(w, -1);
    lathe_jsonw_int(w, width);
    lathe_jsonw_end_array(w);
    lathe_jsonw_end_object(w);
}

static void put_tensors(lathe_jsonw *w, const lathe_oip_model *m, bool config) {
    lathe_jsonw_key(w, config ? "input" : "inputs");
    lathe_jsonw_begin_array(w);
    for (int64_t c = 0; c < m->raw->n_columns; c++)
        put_tensor(w, m->raw->columns[c].name, oip_types[oip_type_of(m->raw->columns[c].type)].name,
                   1, config);
    lathe_jsonw_end_array(w);
    lathe_jsonw_key(w, config ? "output" : "outputs");
    lathe_jsonw_begin_array(w);
    put_tensor(w, oip_output_names[OIP_PREDICTION], m->info->n_classes > 0 ? "BYTES" : "FP32", 1,
               config);
    if (m->info->n_classes > 0)
        put_tensor(w, oip_output_names[OIP_PROBABILITY], "FP32", m->info->n_classes, config);
    lathe_jsonw_end_array(w);
}

void lathe_oip_metadata(const lathe_oip_model *m, const char *const *versions, size_t n,
                        lathe_buf *out) {
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "name", m->name);
    lathe_jsonw_key(&w, "versions");
    lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        lathe_jsonw_str(&w, versions[i]);
    lathe_jsonw_end_array(&w);
    lathe_jsonw_kv_str(&w, "platform", "lathe_safetensors");
    put_tensors(&w, m, false);
    lathe_jsonw_end_object(&w);
}

void lathe_oip_config(const lathe_oip_model *m, lathe_buf *out) {
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "name", m->name);
    lathe_jsonw_kv_str(&w, "platform", "lathe_safetensors");
    lathe_jsonw_kv_str(&w, "backend", "lathe");
    lathe_jsonw_kv_int(&w, "max_batch_size", LATHE_OIP_MAX_ROWS);
    put_tensors(&w, m, true);
    lathe_jsonw_key(&w, "model_transaction_policy");
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_bool(&w, "decoupled", false);
    lathe_jsonw_end_object(&w);
    lathe_jsonw_end_object(&w);
}

void lathe_oip_server(lathe_buf *out) {
    static const char *const extensions[] = {"binary_tensor_data",  "classification",
                                             "model_configuration", "model_repository",
                                             "statistics",          "logging"};
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "name", "lathe");
    lathe_jsonw_kv_str(&w, "version", LATHE_VERSION);
    lathe_jsonw_key(&w, "extensions");
    lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        lathe_jsonw_str(&w, extensions[i]);
    lathe_jsonw_end_array(&w);
    lathe_jsonw_end_object(&w);
}

/* ---- statistics ---- */

typedef struct sums {
    uint64_t requests, failures, rows, executions, last_ms;
    uint64_t success_ns, fail_ns, queue_ns, input_ns, infer_ns, output_ns;
} sums;

static uint64_t get(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static sums sum_up(lathe_slots *slots, int slot) {
    sums s = {0};
    for (int i = 0; i < lathe_slots_count(slots); i++) {
        const lathe_slot_model *m = &lathe_slots_at(slots, i)->models[slot];
        s.requests += get(&m->requests);
        s.failures += get(&m->failures);
        s.rows += get(&m->rows);
        s.executions += get(&m->executions);
        s.success_ns += get(&m->success_ns);
        s.fail_ns += get(&m->fail_ns);
        s.queue_ns += get(&m->queue_ns);
        s.input_ns += get(&m->input_ns);
        s.infer_ns += get(&m->infer_ns);
        s.output_ns += get(&m->output_ns);
        s.last_ms = get(&m->last_ms) > s.last_ms ? get(&m->last_ms) : s.last_ms;
    }
    return s;
}

static void put_duration(lathe_jsonw *w, const char *name, uint64_t count, uint64_t ns) {
    lathe_jsonw_key(w, name);
    lathe_jsonw_begin_object(w);
    lathe_jsonw_key(w, "count");
    lathe_jsonw_uint(w, count);
    lathe_jsonw_key(w, "ns");
    lathe_jsonw_uint(w, ns);
    lathe_jsonw_end_object(w);
}

static void put_count(lathe_jsonw *w, const char *name, uint64_t count) {
    lathe_jsonw_key(w, name);
    lathe_jsonw_uint(w, count);
}

static void put_empty(lathe_jsonw *w, const char *name, bool object) {
    lathe_jsonw_key(w, name);
    if (object) {
        lathe_jsonw_begin_object(w);
        lathe_jsonw_end_object(w);
    } else {
        lathe_jsonw_begin_array(w);
        lathe_jsonw_end_array(w);
    }
}

void lathe_oip_stats(lathe_slots *slots, int slot, const char *name, const char *version,
                     lathe_buf *out) {
    const sums s =
        slots != NULL && slot >= 0 && slot < LATHE_SLOTS_MODELS ? sum_up(slots, slot) : (sums){0};
    const uint64_t good = s.requests - (s.failures < s.requests ? s.failures : s.requests);
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_str(&w, "name", name);
    lathe_jsonw_kv_str(&w, "version", version);
    put_count(&w, "last_inference", s.last_ms);
    put_count(&w, "inference_count", s.rows);
    put_count(&w, "execution_count", s.executions);
    lathe_jsonw_key(&w, "inference_stats");
    lathe_jsonw_begin_object(&w);
    put_duration(&w, "success", good, s.success_ns);
    put_duration(&w, "fail", s.failures, s.fail_ns);
    put_duration(&w, "queue", good, s.queue_ns);
    put_duration(&w, "compute_input", good, s.input_ns);
    put_duration(&w, "compute_infer", good, s.infer_ns);
    put_duration(&w, "compute_output", good, s.output_ns);
    put_duration(&w, "cache_hit", 0, 0);
    put_duration(&w, "cache_miss", 0, 0);
    lathe_jsonw_end_object(&w);
    put_empty(&w, "response_stats", true);
    put_empty(&w, "batch_stats", false);
    put_empty(&w, "memory_usage", false);
    lathe_jsonw_end_object(&w);
}

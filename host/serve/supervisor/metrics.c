/* Prometheus text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "base/clock.h"
#include "base/cpu.h"
#include "serve/supervisor/internal.h"

#include <inttypes.h>
#include <string.h>

/* "model@version" as labels. */
static void put_labels(lathe_buf *out, const char *name) {
    const char *at = strrchr(name, '@');
    const size_t len = at ? (size_t)(at - name) : strlen(name);
    lathe_buf_printf(out, "model=\"%.*s\",version=\"%s\"", (int)len, name, at ? at + 1 : "");
}

/* Sum over the workers of one counter of a model; member is its offset. */
static uint64_t sum_model(const lathe_supervisor *s, int model, size_t member) {
    uint64_t sum = 0;
    for (int w = 0; w < s->n_workers; w++) {
        const char *base = (const char *)&lathe_slots_at(s->slots, w)->models[model];
        sum += atomic_load((const _Atomic uint64_t *)(const void *)(base + member));
    }
    return sum;
}

static void put_counter(const lathe_supervisor *s, lathe_buf *out, const char *name,
                        const char *help, size_t member) {
    lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (int m = 0; m < s->numbers.count; m++) {
        lathe_buf_printf(out, "%s{", name);
        put_labels(out, s->numbers.names[m]);
        lathe_buf_printf(out, "} %" PRIu64 "\n", sum_model(s, m, member));
    }
}

/* Rows by rule and action; what passes is not counted. */
static void put_validation(const lathe_supervisor *s, lathe_buf *out) {
    static const char name[] = "lathe_validation_rows_total";
    lathe_buf_printf(out,
                     "# HELP %s Rows for which a rule of validation fired.\n# TYPE %s counter\n",
                     name, name);
    for (int m = 0; m < s->numbers.count; m++)
        for (size_t rule = 0; rule < LATHE_RULE_COUNT; rule++)
            for (size_t action = LATHE_ACTION_FLAG; action < LATHE_ACTION_COUNT; action++) {
                const size_t at = rule * LATHE_ACTION_COUNT + action;
                lathe_buf_printf(out, "%s{", name);
                put_labels(out, s->numbers.names[m]);
                lathe_buf_printf(
                    out, ",rule=\"%s\",action=\"%s\"} %" PRIu64 "\n", lathe_rule_names[rule],
                    lathe_action_names[action],
                    sum_model(s, m, offsetof(lathe_slot_model, validated) + at * sizeof(uint64_t)));
            }
}

static void put_latency(const lathe_supervisor *s, lathe_buf *out) {
    static const char name[] = "lathe_inference_request_duration_seconds";
    lathe_buf_printf(out,
                     "# HELP %s Time from a complete request to its answer.\n# TYPE %s histogram\n",
                     name, name);
    for (int m = 0; m < s->numbers.count; m++) {
        uint64_t total = 0;
        for (int b = 0; b < LATHE_SLOTS_BUCKETS; b++) {
            total +=
                sum_model(s, m, offsetof(lathe_slot_model, latency) + (size_t)b * sizeof(uint64_t));
            lathe_buf_printf(out, "%s_bucket{", name);
            put_labels(out, s->numbers.names[m]);
            if (b + 1 < LATHE_SLOTS_BUCKETS)
                lathe_buf_printf(out, ",le=\"%g\"} %" PRIu64 "\n", lathe_slots_bounds[b], total);
            else
                lathe_buf_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", total);
        }
        lathe_buf_printf(out, "%s_sum{", name);
        put_labels(out, s->numbers.names[m]);
        lathe_buf_printf(out, "} %.9g\n",
                         (double)sum_model(s, m, offsetof(lathe_slot_model, success_ns)) * 1e-9);
        lathe_buf_printf(out, "%s_count{", name);
        put_labels(out, s->numbers.names[m]);
        lathe_buf_printf(out, "} %" PRIu64 "\n", total);
    }
}

static void put_workers(const lathe_supervisor *s, lathe_buf *out) {
    const struct {
        const char *name, *type, *help;
        size_t member;
    } series[] = {
        {"lathe_worker_restarts_total", "counter", "Replacements of a worker.",
         offsetof(lathe_slot, restarts)},
        {"lathe_worker_connections", "gauge", "Open connections.",
         offsetof(lathe_slot, connections)},
        {"lathe_worker_requests_total", "counter", "Requests, of all kinds.",
         offsetof(lathe_slot, requests)},
        {"lathe_worker_http_errors_total", "counter", "Answers of 400 and above.",
         offsetof(lathe_slot, http_errors)},
        {"lathe_worker_queued_rows", "gauge", "Rows of requests that wait or are predicted aside.",
         offsetof(lathe_slot, queued_rows)},
        {"lathe_worker_cancelled_total", "counter", "Requests whose client left.",
         offsetof(lathe_slot, cancelled)},
    };
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", series[i].name, series[i].help,
                         series[i].name, series[i].type);
        for (int w = 0; w < s->n_workers; w++) {
            const char *base = (const char *)lathe_slots_at(s->slots, w);
            const _Atomic uint64_t *value =
                (const _Atomic uint64_t *)(const void *)(base + series[i].member);
            lathe_buf_printf(out, "%s{worker=\"%d\"} %" PRIu64 "\n", series[i].name, w,
                             atomic_load(value));
        }
    }
}

static void put_gauge(lathe_buf *out, const char *name, const char *help, double value) {
    lathe_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.9g\n", name, help, name, name,
                     value);
}

void lathe_metrics_write(const lathe_supervisor *s, lathe_buf *out) {
    put_counter(s, out, "lathe_inference_requests_total", "Inference requests that were answered.",
                offsetof(lathe_slot_model, requests));
    put_counter(s, out, "lathe_inference_failures_total", "Inference requests that failed.",
                offsetof(lathe_slot_model, failures));
    put_counter(s, out, "lathe_inference_rows_total", "Rows that were predicted.",
                offsetof(lathe_slot_model, rows));
    put_counter(s, out, "lathe_inference_executions_total",
                "Runs of the model; one may answer several requests.",
                offsetof(lathe_slot_model, executions));
    put_counter(s, out, "lathe_inference_timeouts_total",
                "Inference requests whose deadline passed.", offsetof(lathe_slot_model, timeouts));
    put_counter(s, out, "lathe_inference_cancelled_total",
                "Inference requests whose client left before the answer.",
                offsetof(lathe_slot_model, cancelled));
    put_counter(s, out, "lathe_inference_shed_total",
                "Inference requests refused because the queue was full.",
                offsetof(lathe_slot_model, shed));
    put_counter(s, out, "lathe_inference_rejected_rows_total", "Rows that validation rejected.",
                offsetof(lathe_slot_model, rejected));
    put_counter(s, out, "lathe_inference_flagged_rows_total", "Rows that validation flagged.",
                offsetof(lathe_slot_model, flagged));
    put_validation(s, out);
    put_latency(s, out);
    put_workers(s, out);
    lathe_rollouts_metrics(s, out);
    if (s->watches != NULL)
        lathe_watches_metrics(s->watches, out);
    put_gauge(out, "lathe_workers_ready", "Workers that serve the newest routes.",
              lathe_workers_ready(s));
    put_gauge(out, "lathe_runs_running", "Pipelines that run now.", lathe_queue_running(s->queue));
    put_gauge(out, "lathe_uptime_seconds", "Time since the service started.",
              (double)(lathe_now_ns() - s->started_ns) * 1e-9);
    put_gauge(out, "lathe_resident_memory_bytes", "Resident memory of the supervisor.",
              (double)lathe_memory_resident());
}

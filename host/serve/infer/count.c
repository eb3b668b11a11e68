/* Counting inference requests into the worker's slot. */
#include "base/clock.h"
#include "serve/infer/internal.h"
#include "serve/recall.h"

#include <string.h>

lathe_slot_model *infer_counters(infer_worker *w, const infer_route *route) {
    return route->slot >= 0 && route->slot < LATHE_SLOTS_MODELS ? &w->slot->models[route->slot]
                                                                : NULL;
}

static lathe_slot_arm *arm_counters(infer_worker *w, const infer_route *route) {
    return route->arm >= 0 && route->arm < LATHE_SLOTS_ARMS ? &w->slot->arms[route->arm] : NULL;
}

void infer_count_failure(infer_worker *w, const infer_route *route, int status, int64_t begin) {
    lathe_slot_model *m = infer_counters(w, route);
    lathe_slot_arm *arm = arm_counters(w, route);
    if (arm != NULL) {
        lathe_slot_add(&arm->requests, 1);
        lathe_slot_add(status >= 500 ? &arm->errors : &arm->rejected, 1);
    }
    if (m == NULL)
        return;
    lathe_slot_add(&m->requests, 1);
    lathe_slot_add(&m->failures, 1);
    lathe_slot_add(&m->fail_ns, (uint64_t)(lathe_now_ns() - begin));
    if (status == 504)
        lathe_slot_add(&m->timeouts, 1);
}

/* Refused because the queue is full: no version's fault, so that no rollout is judged by it. */
void infer_count_shed(infer_worker *w, const infer_route *route, int64_t begin) {
    lathe_slot_model *m = infer_counters(w, route);
    lathe_slot_arm *arm = arm_counters(w, route);
    if (arm != NULL)
        lathe_slot_add(&arm->shed, 1);
    if (m == NULL)
        return;
    lathe_slot_add(&m->requests, 1);
    lathe_slot_add(&m->failures, 1);
    lathe_slot_add(&m->shed, 1);
    lathe_slot_add(&m->fail_ns, (uint64_t)(lathe_now_ns() - begin));
}

static void count_arm(lathe_slot_arm *arm, const lathe_plan_output *output, int64_t rows,
                      uint64_t ns) {
    lathe_slot_add(&arm->requests, 1);
    lathe_slot_add(&arm->rows, (uint64_t)rows);
    lathe_slot_add(&arm->ns, ns);
    lathe_arm_latency(arm, ns);
    for (int64_t i = 0; output->label != NULL && i < rows; i++) {
        const int32_t c = output->label[i];
        lathe_slot_add(&arm->classes[c < LATHE_ARM_CLASSES ? c : LATHE_ARM_CLASSES - 1], 1);
    }
}

void infer_count_success(infer_worker *w, const infer_route *route, const infer_times *t,
                         const lathe_plan_output *output, int64_t rows, bool is_flagged) {
    lathe_slot_model *m = infer_counters(w, route);
    lathe_slot_arm *arm = arm_counters(w, route);
    const int64_t end = lathe_now_ns();
    lathe_metering_rows(&t->meter, w->slots, w->slot, rows);
    if (arm != NULL) {
        count_arm(arm, output, rows, (uint64_t)(end - t->begin));
        lathe_slot_add(&arm->flagged, is_flagged);
    }
    if (m == NULL)
        return;
    lathe_slot_add(&m->requests, 1);
    lathe_slot_add(&m->rows, (uint64_t)rows);
    lathe_slot_add(&m->success_ns, (uint64_t)(end - t->begin));
    lathe_slot_add(&m->input_ns, (uint64_t)(t->parsed - t->started));
    lathe_slot_add(&m->queue_ns, (uint64_t)(t->started - t->begin));
    lathe_slot_add(&m->infer_ns, (uint64_t)(t->predicted - t->parsed));
    lathe_slot_add(&m->output_ns, (uint64_t)(end - t->predicted));
    atomic_store_explicit(&m->last_ms, (uint64_t)((end / 1000 + w->wall_offset_us) / 1000),
                          memory_order_relaxed);
    lathe_slot_latency(m, (uint64_t)(end - t->begin));
}

void infer_count_execution(infer_worker *w, const infer_route *route) {
    lathe_slot_model *m = infer_counters(w, route);
    if (m != NULL)
        lathe_slot_add(&m->executions, 1);
}

void infer_count_cancelled(infer_worker *w, const infer_route *route) {
    lathe_slot_model *m = infer_counters(w, route);
    lathe_slot_add(&w->slot->cancelled, 1);
    if (m != NULL)
        lathe_slot_add(&m->cancelled, 1);
}

void infer_count_queue(infer_worker *w, int64_t rows) {
    w->queued_rows += rows;
    atomic_store_explicit(&w->slot->queued_rows, (uint64_t)w->queued_rows, memory_order_relaxed);
}

void infer_remember(infer_worker *w, const infer_route *route, const lathe_oip *oip,
                    const lathe_plan_output *output) {
    const lathe_str id = lathe_oip_id(oip);
    if (id.ptr == NULL || w->slots == NULL || memchr(id.ptr, '\\', (size_t)id.len) != NULL)
        return;
    const int64_t k = lathe_model_get_info(route->model->model)->n_classes;
    const int64_t rows = lathe_oip_rows(oip);
    lathe_recall_answer a = {.when_ms = (lathe_now_ns() / 1000 + w->wall_offset_us) / 1000,
                             .slot = route->slot,
                             .label = -1,
                             .n = k == 0                     ? 1
                                  : k <= LATHE_RECALL_VALUES ? (int)k
                                                             : 0};
    for (int64_t i = 0; i < rows && i < LATHE_RECALL_ROWS; i++) {
        if (k > 0)
            a.label = output->label[i];
        memcpy(a.values, k > 0 ? output->probability + i * k : output->value + i,
               (size_t)a.n * sizeof *a.values);
        lathe_recall_note(lathe_slots_recall(w->slots, w->index),
                          lathe_recall_key(route->recalled, id, i), &a);
    }
}

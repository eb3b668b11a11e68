#include "serve/recall.h"

#include "data/text.h"

#define WAYS 4
#define TURN 16 /* turn_n is TURN * turn + n */

uint64_t lathe_recall_name(const char *name) {
    return lathe_hash_bytes(name, (int64_t)lathe_str_of(name).len, 3);
}

uint64_t lathe_recall_key(uint64_t name, lathe_str id, int64_t row) {
    const uint64_t key = lathe_hash_mix(lathe_hash_bytes(id.ptr, id.len, name) + (uint64_t)row);
    return key != 0 ? key : 1;
}

static lathe_recall_line *set_of(lathe_recall_line *table, uint64_t key) {
    return table + key % (LATHE_RECALL_LINES / WAYS) * WAYS;
}

static uint64_t get(const _Atomic uint64_t *from) {
    return atomic_load_explicit(from, memory_order_relaxed);
}

/* The line of this key, else the oldest of its set. */
static lathe_recall_line *place(lathe_recall_line *set, uint64_t key) {
    lathe_recall_line *oldest = set;
    for (int i = 0; i < WAYS; i++) {
        if (get(&set[i].key) == key)
            return &set[i];
        if (get(&set[i].when_ms) < get(&oldest->when_ms))
            oldest = &set[i];
    }
    return oldest;
}

static void set(_Atomic int32_t *to, int32_t value) {
    atomic_store_explicit(to, value, memory_order_release);
}

static int32_t seen(const _Atomic int32_t *from) {
    return atomic_load_explicit(from, memory_order_acquire);
}

/* Key 0, turn, parts, key, each released: who sees a new turn sees that the old key is gone, who sees a new part sees the
 * new turn. The key alone would not do: the same id may come again. */
void lathe_recall_note(lathe_recall_line *table, uint64_t key, const lathe_recall_answer *a) {
    if (table == NULL)
        return;
    lathe_recall_line *line = place(set_of(table, key), key);
    const uint32_t turn = (uint32_t)seen(&line->turn_n) / TURN + 1;
    atomic_store_explicit(&line->key, 0, memory_order_relaxed);
    set(&line->turn_n, (int32_t)(turn * TURN + (uint32_t)a->n));
    atomic_store_explicit(&line->when_ms, (uint64_t)a->when_ms, memory_order_release);
    set(&line->slot, a->slot);
    set(&line->label, a->label);
    set(&line->labelled, 0);
    for (int i = 0; i < a->n; i++)
        atomic_store_explicit(&line->values[i], a->values[i], memory_order_release);
    atomic_store_explicit(&line->key, key, memory_order_release);
}

/* Nothing in it is trusted. */
bool lathe_recall_read(lathe_recall_line *line, uint64_t key, lathe_recall_answer *a) {
    const int32_t turn_n = seen(&line->turn_n);
    if (atomic_load_explicit(&line->key, memory_order_acquire) != key)
        return false;
    const int n = (int)((uint32_t)turn_n % TURN);
    *a = (lathe_recall_answer){
        .when_ms = (int64_t)atomic_load_explicit(&line->when_ms, memory_order_acquire),
        .slot = seen(&line->slot),
        .label = seen(&line->label),
        .n = n > LATHE_RECALL_VALUES ? 0 : n};
    for (int i = 0; i < a->n; i++)
        a->values[i] = atomic_load_explicit(&line->values[i], memory_order_acquire);
    return seen(&line->turn_n) == turn_n && a->slot >= 0 && a->slot < LATHE_SLOTS_MODELS;
}

static lathe_recall_line *newest(lathe_slots *slots, uint64_t key, lathe_recall_answer *answer) {
    lathe_recall_line *found = NULL;
    lathe_recall_answer a;
    for (int w = 0; w < lathe_slots_recalls(slots); w++) {
        lathe_recall_line *set = set_of(lathe_slots_recall(slots, w), key);
        for (int i = 0; i < WAYS; i++)
            if (lathe_recall_read(&set[i], key, &a) &&
                (found == NULL || a.when_ms >= answer->when_ms)) {
                found = &set[i];
                *answer = a;
            }
    }
    return found;
}

lathe_recall_found lathe_recall_find(lathe_slots *slots, uint64_t key,
                                     lathe_recall_answer *answer) {
    const lathe_recall_line *line = newest(slots, key, answer);
    if (line == NULL)
        return LATHE_RECALL_UNKNOWN;
    return atomic_load_explicit(&line->labelled, memory_order_relaxed) == 0 ? LATHE_RECALL_NEW
                                                                            : LATHE_RECALL_AGAIN;
}

void lathe_recall_mark(lathe_slots *slots, uint64_t key) {
    lathe_recall_answer ignored;
    lathe_recall_line *line = newest(slots, key, &ignored);
    if (line != NULL)
        atomic_store_explicit(&line->labelled, 1, memory_order_relaxed);
}

/* Labels in the store: written by the thread that acknowledges them, read where a version is watched anew. */
#include "serve/watch/internal.h"

#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

bool watch_is_unsaved(const watch_item *item) {
    return item->quality != NULL && item->quality->saved < item->quality->n;
}

/* Copies: more may come while a thread writes them. */
static int32_t copy_unsaved(const watch_item *item, lathe_arena *arena, lathe_label_batch *batch) {
    const watch_quality *q = item->quality;
    const int64_t oldest = q->n > LATHE_LABELS_KEPT ? q->n - LATHE_LABELS_KEPT : 0;
    const int64_t from = q->saved > oldest ? q->saved : oldest;
    *batch = (lathe_label_batch){
        .model = lathe_arena_strdup(arena, item->model),
        .version = item->version,
        .rows = lathe_arena_array(arena, (size_t)(q->n - from), sizeof *batch->rows)};
    if (batch->model == NULL || batch->rows == NULL)
        return LATHE_E_MEMORY;
    for (int64_t i = from; i < q->n; i++)
        batch->rows[batch->count++] = q->rows[i % LATHE_LABELS_KEPT];
    return LATHE_OK;
}

int32_t lathe_watches_unsaved(lathe_watches *all, lathe_arena *arena, lathe_label_list *list,
                              lathe_error *err) {
    *list = (lathe_label_list){
        .items = lathe_arena_array(arena, LATHE_SLOTS_MODELS, sizeof *list->items)};
    int32_t rc = list->items != NULL ? LATHE_OK : LATHE_E_MEMORY;
    for (int i = 0; rc == LATHE_OK && i < LATHE_SLOTS_MODELS; i++) {
        const watch_item *item = all->items[i];
        if (item == NULL || item->quality == NULL || !item->quality->asked)
            continue;
        item->quality->asked = false;
        if (watch_is_unsaved(item))
            rc = copy_unsaved(item, arena, &list->items[list->count++]);
    }
    return rc == LATHE_OK ? rc : lathe_fail(err, rc, NULL, "out of memory for the labels");
}

static watch_item *find_item(const lathe_watches *all, const lathe_label_batch *batch) {
    for (int i = 0; i < LATHE_SLOTS_MODELS; i++)
        if (all->items[i] != NULL && all->items[i]->version == batch->version &&
            strcmp(all->items[i]->model, batch->model) == 0)
            return all->items[i];
    return NULL;
}

void lathe_watches_saved(lathe_watches *all, const lathe_label_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const lathe_label_batch *batch = &list->items[i];
        watch_item *item = find_item(all, batch);
        if (item == NULL || item->quality == NULL)
            continue; /* nothing serves it any more */
        const int64_t saved = batch->rows[batch->count - 1].number + 1;
        item->quality->saved = saved > item->quality->saved ? saved : item->quality->saved;
    }
}

/* ---- reading ---- */

bool watch_was_labelled(lathe_watches *all, int slot) {
    lathe_label_list list = {0};
    lathe_error err = {0};
    if (!all->looked) {
        lathe_arena *arena = lathe_arena_new();
        all->looked = true;
        all->labelled = cJSON_CreateObject();
        if (arena == NULL || lathe_store_labelled(all->s->store, arena, &list, &err) != LATHE_OK)
            lathe_log(LATHE_LEVEL_ERROR, "watch", "labels cannot be read: %s", err.message);
        for (size_t i = 0; i < list.count; i++) {
            char step[LATHE_SLOTS_NAME];
            snprintf(step, sizeof step, "%s@%" PRId64, list.items[i].model, list.items[i].version);
            cJSON_AddTrueToObject(all->labelled, step);
        }
        lathe_arena_free(arena);
    }
    return lathe_json_get(all->labelled, all->s->numbers.names[slot]) != NULL;
}

/* As the store's newest alert of the kind has it. */
static void restore_alarm(watch_item *item, lathe_arena *arena) {
    const lathe_alert_filter filter = {
        .model = item->model, .version = item->version, .kind = "quality", .limit = 1};
    lathe_alert_list list;
    if (lathe_store_alerts(item->all->s->store, &filter, arena, &list, NULL) == LATHE_OK &&
        list.count > 0)
        item->quality->alarm.raised = strcmp(list.items[0].severity, "info") != 0;
}

/* What another program may have written there is left out. */
static bool makes_sense(const watch_item *item, const lathe_label_row *row) {
    const int n = cJSON_GetArraySize(item->classes);
    return row->number >= 0 && row->number < INT64_MAX / 2 && row->n == item->n_values &&
           isfinite(row->truth) &&
           (n == 0 || (row->truth >= 0 && row->truth < n && row->label >= 0 && row->label < n));
}

static int32_t take(watch_item *item, const lathe_label_batch *batch, lathe_error *err) {
    if (batch->count == 0)
        return LATHE_OK;
    watch_quality *q = calloc(1, sizeof *q);
    if (q == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the labels");
    q->value = (double)NAN;
    for (int i = 0; i < LATHE_LABELS_KEPT; i++)
        q->rows[i].truth = (double)NAN; /* a place without a row */
    for (size_t i = 0; i < batch->count; i++) {
        const lathe_label_row *row = &batch->rows[i];
        if (!makes_sense(item, row))
            continue;
        q->rows[row->number % LATHE_LABELS_KEPT] = *row;
        q->n = row->number + 1;
    }
    q->saved = q->n;
    item->quality = q;
    return LATHE_OK;
}

void watch_restore_labels(watch_item *item) {
    lathe_label_batch batch;
    lathe_error err = {0};
    if (item->restored)
        return;
    item->restored = true;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena != NULL ? lathe_store_labels(item->all->s->store, item->model, item->version,
                                                    arena, &batch, &err)
                               : lathe_fail(&err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        rc = take(item, &batch, &err);
    if (rc != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "watch", "the labels of %s cannot be read: %s", item->step,
                  err.message);
    if (item->quality != NULL)
        restore_alarm(item, arena);
    lathe_arena_free(arena);
}

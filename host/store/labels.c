#include "store/labels.h"

#include "base/clock.h"
#include "store/db.h"
#include "store/rows.h"

#include <string.h>

/* ---- writing ---- */

/* A row of the same place that is newer stays: batches of two calls may come in either order. */
static const char put_row[] =
    "INSERT INTO main.labels(model, version, place, number, answered_ms, truth, label, scores) "
    "VALUES(?1, ?2, ?3 % ?4, ?3, ?5, ?6, ?7, ?8) ON CONFLICT(model, version, place) DO UPDATE SET "
    "number = excluded.number, answered_ms = excluded.answered_ms, truth = excluded.truth, "
    "label = excluded.label, scores = excluded.scores WHERE excluded.number >= number";

static int32_t add_row(lathe_store *store, sqlite3_stmt *q, const lathe_label_row *row,
                       lathe_error *err) {
    bool more;
    const int n = row->n >= 0 && row->n <= LATHE_LABELS_VALUES ? row->n : 0;
    sqlite3_reset(q);
    sqlite3_bind_int64(q, 3, row->number);
    sqlite3_bind_int64(q, 5, row->when_ms);
    sqlite3_bind_double(q, 6, row->truth);
    sqlite3_bind_int(q, 7, row->label);
    sqlite3_bind_blob(q, 8, row->values, n * (int)sizeof *row->values, SQLITE_STATIC);
    return lathe_db_step(store, q, &more, err);
}

static int32_t add_batch(lathe_store *store, const lathe_label_batch *batch, lathe_error *err) {
    sqlite3_stmt *q;
    int32_t rc = lathe_store_version_need(store, batch->model, batch->version, err);
    if (rc != LATHE_OK || batch->count == 0)
        return rc;
    rc = lathe_db_query(store, &q, err, put_row, "tiii", batch->model, batch->version, (int64_t)0,
                        (int64_t)LATHE_LABELS_KEPT);
    for (size_t i = 0; rc == LATHE_OK && i < batch->count; i++)
        rc = add_row(store, q, &batch->rows[i], err);
    sqlite3_finalize(q);
    return rc == LATHE_OK
               ? lathe_db_run(store, NULL, err,
                              "INSERT INTO main.labelled(model, version, updated) VALUES(?, ?, ?) "
                              "ON CONFLICT(model, version) DO UPDATE SET updated = "
                              "excluded.updated",
                              "tii", batch->model, batch->version, lathe_wall_us())
               : rc;
}

/* The versions that had a label last are kept. */
static int32_t forget(lathe_store *store, lathe_error *err) {
    int64_t gone = 0;
    int32_t rc = lathe_db_run(store, &gone, err,
                              "DELETE FROM main.labelled WHERE (model, version) IN (SELECT model, "
                              "version FROM main.labelled ORDER BY updated DESC, model, version "
                              "LIMIT -1 OFFSET ?)",
                              "i", (int64_t)LATHE_LABELS_VERSIONS);
    if (rc != LATHE_OK || gone == 0)
        return rc;
    return lathe_db_run(store, NULL, err,
                        "DELETE FROM main.labels WHERE (model, version) NOT IN (SELECT model, "
                        "version FROM main.labelled)",
                        "");
}

int32_t lathe_store_labels_add(lathe_store *store, const lathe_label_list *list, lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    for (size_t i = 0; rc == LATHE_OK && i < list->count; i++)
        rc = add_batch(store, &list->items[i], err);
    if (rc == LATHE_OK)
        rc = forget(store, err);
    return lathe_db_end(store, rc, err);
}

/* ---- reading ---- */

static bool fill_row(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_label_row *row = item;
    const size_t bytes = (size_t)sqlite3_column_bytes(q, 4);
    const void *scores = sqlite3_column_blob(q, 4);
    (void)arena;
    *row = (lathe_label_row){.number = sqlite3_column_int64(q, 0),
                             .when_ms = sqlite3_column_int64(q, 1),
                             .truth = sqlite3_column_double(q, 2),
                             .label = sqlite3_column_int(q, 3)};
    if (scores != NULL && bytes <= sizeof row->values && bytes % sizeof *row->values == 0) {
        memcpy(row->values, scores, bytes);
        row->n = (int32_t)(bytes / sizeof *row->values);
    }
    return true;
}

int32_t lathe_store_labels(lathe_store *store, const char *model, int64_t version,
                           lathe_arena *arena, lathe_label_batch *batch, lathe_error *err) {
    sqlite3_stmt *q;
    *batch = (lathe_label_batch){.model = model, .version = version};
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT number, answered_ms, truth, label, scores FROM labels "
                                "WHERE model = ? AND version = ? ORDER BY number",
                                "ti", model, version);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *batch->rows, fill_row, (void **)&batch->rows,
                              &batch->count, err);
    sqlite3_finalize(q);
    return rc;
}

static bool fill_version(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_label_batch *batch = item;
    *batch = (lathe_label_batch){.model = lathe_db_text(q, 0, arena),
                                 .version = sqlite3_column_int64(q, 1)};
    return batch->model != NULL;
}

int32_t lathe_store_labelled(lathe_store *store, lathe_arena *arena, lathe_label_list *list,
                             lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT model, version FROM labelled ORDER BY model, version", "");
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_version,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

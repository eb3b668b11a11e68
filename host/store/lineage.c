#include "store/lineage.h"

#include "base/clock.h"
#include "base/json.h"
#include "store/db.h"
#include "store/runs.h"
#include "store/store.h"

cJSON *lathe_store_lineage(lathe_store *store, const lathe_version_record *v, lathe_arena *arena,
                           lathe_error *err) {
    lathe_run_record run;
    char time[LATHE_ISO_TIME];
    cJSON *out = cJSON_CreateObject();
    if (out == NULL) {
        lathe_fail(err, LATHE_E_MEMORY, v->model, "out of memory");
        return NULL;
    }
    if (v->run[0] == '\0')
        return out;
    if (lathe_store_run(store, v->run, arena, &run, err) != LATHE_OK) {
        cJSON_Delete(out);
        return NULL;
    }
    lathe_iso_time(run.started, time);
    cJSON_AddStringToObject(out, "run", run.id);
    cJSON_AddStringToObject(out, "started", time);
    cJSON_AddStringToObject(out, "document_sha256", run.document_sha256);
    cJSON_AddNumberToObject(out, "seed", (double)run.seed);
    cJSON_AddStringToObject(out, "version", run.version);
    lathe_json_add_text(out, "data", run.data);
    lathe_json_add_text(out, "plugins", run.plugins);
    lathe_json_add_text(out, "machine", run.machine);
    return out;
}

static bool fill_derived(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_derived *d = item;
    *d = (lathe_derived){.model = lathe_db_text(q, 0, arena),
                         .version = sqlite3_column_int64(q, 1),
                         .sha256 = lathe_db_text(q, 2, arena),
                         .run = lathe_db_text(q, 3, arena),
                         .created = sqlite3_column_int64(q, 4),
                         .through = lathe_db_text(q, 5, arena),
                         .name = lathe_db_text(q, 6, arena)};
    return d->model && d->sha256 && d->run && d->through && d->name;
}

int32_t lathe_store_derived(lathe_store *store, const char *of, int64_t skip, int64_t limit,
                            lathe_arena *arena, lathe_derived_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    *list = (lathe_derived_list){0};
    int32_t rc = lathe_db_query(
        store, &q, err,
        "SELECT v.model, v.version, v.sha256, v.run, v.created, h.through, h.name FROM ("
        " SELECT id AS run, 'run' AS through, id AS name FROM runs WHERE id = ?1"
        " UNION ALL SELECT id, 'document', pipeline FROM runs WHERE document_sha256 = ?1"
        " UNION ALL SELECT r.id, 'data', d.key FROM runs r, json_each(r.data) d"
        "  WHERE json_extract(d.value, '$.sha256') = ?1"
        " UNION ALL SELECT r.id, 'plugin', p.key FROM runs r, json_each(r.plugins) p"
        "  WHERE json_extract(p.value, '$.sha256') = ?1"
        ") h JOIN versions v ON v.run = h.run "
        "ORDER BY v.created, v.model, v.version, h.through, h.name LIMIT ?2 OFFSET ?3",
        "tii", of, limit > 0 ? limit : -1, skip);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_derived,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

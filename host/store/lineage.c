#include "store/lineage.h"

#include "base/clock.h"
#include "store/runs.h"
#include "store/store.h"

static void add_tree(cJSON *object, const char *key, const char *text) {
    cJSON *tree = text != NULL ? cJSON_Parse(text) : NULL;
    if (tree != NULL)
        cJSON_AddItemToObject(object, key, tree);
}

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
    add_tree(out, "data", run.data);
    add_tree(out, "plugins", run.plugins);
    add_tree(out, "machine", run.machine);
    return out;
}

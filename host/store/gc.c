#include "base/clock.h"
#include "base/fs.h"
#include "store/db.h"
#include "store/stray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNREFERENCED                                                                               \
    "FROM artifacts WHERE sha256 NOT IN (SELECT sha256 FROM versions) "                            \
    "AND sha256 NOT IN (SELECT sha256 FROM run_files) "                                            \
    "AND sha256 NOT IN (SELECT sha256 FROM steps WHERE sha256 IS NOT NULL)"

static int32_t drop_steps(lathe_store *store, const lathe_gc_options *o, int64_t *steps,
                          lathe_error *err) {
    int64_t old = 0, beyond = 0;
    int32_t rc = LATHE_OK;
    if (o->steps_max_age > 0)
        rc = lathe_db_run(store, &old, err, "DELETE FROM steps WHERE used < ?", "i",
                          lathe_wall_us() - o->steps_max_age);
    if (rc == LATHE_OK && o->steps_max_bytes > 0)
        rc = lathe_db_run(
            store, &beyond, err,
            "DELETE FROM steps WHERE key IN (SELECT key FROM ("
            "SELECT key, sum(coalesce(bytes, 0)) OVER (ORDER BY used DESC, key) AS total "
            "FROM steps s LEFT JOIN artifacts a USING(sha256)) WHERE total > ?)",
            "i", o->steps_max_bytes);
    *steps = old + beyond;
    return rc;
}

static int32_t write_audit(lathe_store *store, const lathe_gc_result *r, lathe_error *err) {
    char detail[128];
    if (r->steps == 0 && r->artifacts == 0)
        return LATHE_OK;
    snprintf(detail, sizeof detail, "{\"steps\":%lld,\"artifacts\":%lld}", (long long)r->steps,
             (long long)r->artifacts);
    return lathe_store_audit_add(store, "gc", "store", detail, err);
}

typedef struct sweep {
    bool remove;
    int64_t files, bytes;
} sweep;

static int32_t take_stray(void *user, const char *path, int64_t bytes, lathe_error *err) {
    sweep *s = user;
    s->files++;
    s->bytes += bytes;
    return s->remove ? lathe_remove_tree(path, err) : LATHE_OK;
}

static int32_t collect(lathe_store *store, const lathe_gc_options *options, lathe_gc_result *result,
                       lathe_error *err) {
    static const lathe_gc_options none;
    const lathe_gc_options *o = options != NULL ? options : &none;
    lathe_gc_result r = {0};
    sweep s = {.remove = !o->dry_run};
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = drop_steps(store, o, &r.steps, err);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, &r.artifacts, err, "DELETE " UNREFERENCED, "");
    if (rc == LATHE_OK)
        rc = write_audit(store, &r, err);
    // Inside the transaction the artifacts just dropped have no row: a dry run counts them so, then undoes it.
    if (rc == LATHE_OK && o->dry_run)
        rc = lathe_store_strays(store, take_stray, &s, err);
    bool undo = rc == LATHE_OK && o->dry_run;
    rc = lathe_db_end(store, undo ? LATHE_E_CANCELLED : rc, err);
    if (undo)
        rc = LATHE_OK;
    if (rc == LATHE_OK && !o->dry_run)
        rc = lathe_store_strays(store, take_stray, &s, err);
    r.files = s.files > r.artifacts ? s.files - r.artifacts : 0;
    r.bytes = s.bytes;
    if (rc == LATHE_OK && result != NULL)
        *result = r;
    return rc;
}

int32_t lathe_store_gc(lathe_store *store, const lathe_gc_options *options, lathe_gc_result *result,
                       lathe_error *err) {
    pthread_rwlock_wrlock(store->keeping);
    const int32_t rc = collect(store, options, result, err);
    pthread_rwlock_unlock(store->keeping);
    return rc;
}

#include "store/alerts.h"

#include "base/clock.h"
#include "store/db.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static int32_t check_alert(const lathe_alert_new *a, lathe_error *err) {
    const char *severity = a->severity != NULL ? a->severity : "";
    if (strcmp(severity, "info") != 0 && strcmp(severity, "warning") != 0 &&
        strcmp(severity, "critical") != 0)
        return lathe_fail(err, LATHE_E_INVALID, "alert",
                          "'%s' is no severity; it is 'info', 'warning' or 'critical'", severity);
    if (a->kind == NULL || a->kind[0] == '\0' || a->message == NULL || a->message[0] == '\0')
        return lathe_fail(err, LATHE_E_INVALID, "alert", "an alert needs a kind and a message");
    return LATHE_OK;
}

int32_t lathe_store_alerts_add(lathe_store *store, const lathe_alert_new *alerts, size_t count,
                               lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    for (size_t i = 0; rc == LATHE_OK && i < count; i++) {
        const lathe_alert_new *a = &alerts[i];
        rc = check_alert(a, err);
        if (rc == LATHE_OK)
            rc = lathe_db_run(
                store, NULL, err,
                "INSERT INTO main.alerts(time, severity, kind, message, endpoint, model, "
                "version, run, feature, detail) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "itttzznzzt", a->time != 0 ? a->time : lathe_wall_us(), a->severity, a->kind,
                a->message, a->endpoint, a->model, a->version, a->run, a->feature,
                a->detail != NULL ? a->detail : "{}");
    }
    return lathe_db_end(store, rc, err);
}

static int32_t audit_alert(lathe_store *store, const lathe_alert_new *a, const char *action,
                           lathe_error *err) {
    char subject[200];
    snprintf(subject, sizeof subject, "%s@%lld", a->model != NULL ? a->model : "",
             (long long)a->version);
    cJSON *detail = cJSON_CreateObject();
    cJSON_AddStringToObject(detail, "severity", a->severity);
    cJSON_AddStringToObject(detail, "kind", a->kind);
    cJSON_AddStringToObject(detail, "message", a->message);
    if (a->feature != NULL)
        cJSON_AddStringToObject(detail, "feature", a->feature);
    char *text = cJSON_PrintUnformatted(detail);
    cJSON_Delete(detail);
    const int32_t rc = text != NULL ? lathe_store_audit_add(store, action, subject, text, err)
                                    : lathe_db_oom(store, err);
    cJSON_free(text);
    return rc;
}

int32_t lathe_store_alert_tell(lathe_store *store, const lathe_alert_new *alert, const char *action,
                               lathe_error *err) {
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_store_alerts_add(store, alert, 1, err);
    if (rc == LATHE_OK)
        rc = audit_alert(store, alert, action, err);
    return lathe_db_end(store, rc, err);
}

static bool fill_alert(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_alert_record *r = item;
    r->id = sqlite3_column_int64(q, 0);
    r->time = sqlite3_column_int64(q, 1);
    r->severity = lathe_db_text(q, 2, arena);
    r->kind = lathe_db_text(q, 3, arena);
    r->message = lathe_db_text(q, 4, arena);
    r->endpoint = lathe_db_text(q, 5, arena);
    r->model = lathe_db_text(q, 6, arena);
    r->version = sqlite3_column_int64(q, 7);
    r->run = lathe_db_text(q, 8, arena);
    r->feature = lathe_db_text(q, 9, arena);
    r->detail = lathe_db_text(q, 10, arena);
    r->acknowledged = sqlite3_column_int64(q, 11);
    r->acknowledged_by = lathe_db_text(q, 12, arena);
    return r->severity && r->kind && r->message && r->endpoint && r->model && r->run &&
           r->feature && r->detail && r->acknowledged_by;
}

int32_t lathe_store_alerts(lathe_store *store, const lathe_alert_filter *filter, lathe_arena *arena,
                           lathe_alert_list *list, lathe_error *err) {
    static const lathe_alert_filter none;
    const lathe_alert_filter *f = filter != NULL ? filter : &none;
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(
        store, &q, err,
        "SELECT id, time, severity, kind, message, endpoint, model, version, run, feature, detail, "
        "acknowledged, acknowledged_by FROM alerts WHERE (?1 IS NULL OR endpoint = ?1) AND "
        "(?2 IS NULL OR model = ?2) AND (?3 IS NULL OR run = ?3) AND time >= ?4 AND "
        "(?5 = 0 OR acknowledged IS NULL) AND (?6 = 0 OR "
        "(time, id) < (SELECT time, id FROM alerts WHERE id = ?6)) AND "
        "(?8 IS NULL OR kind = ?8) AND (?9 = 0 OR version = ?9) "
        "ORDER BY time DESC, id DESC LIMIT ?7",
        "tttiiiiti", f->endpoint, f->model, f->run, f->since, (int64_t)f->open, f->before,
        f->limit > 0 ? f->limit : (int64_t)-1, f->kind, f->version);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_alert,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

int32_t lathe_store_alert_acknowledge(lathe_store *store, int64_t id, lathe_error *err) {
    int64_t there = 0;
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc =
        lathe_db_int(store, &there, NULL, err, "SELECT count(*) FROM alerts WHERE id = ?", "i", id);
    if (rc == LATHE_OK && there == 0)
        rc = lathe_fail(err, LATHE_E_NOT_FOUND, store->home, "there is no alert %lld",
                        (long long)id);
    if (rc == LATHE_OK)
        rc = lathe_db_run(store, NULL, err,
                          "UPDATE main.alerts SET acknowledged = ?, acknowledged_by = ? "
                          "WHERE id = ? AND acknowledged IS NULL",
                          "iti", lathe_wall_us(), store->actor, id);
    return lathe_db_end(store, rc, err);
}

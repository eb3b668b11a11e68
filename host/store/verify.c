#include "store/verify.h"

#include "base/fs.h"
#include "store/db.h"
#include "store/files.h"
#include "store/stray.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct findings {
    lathe_store *store;
    lathe_arena *arena;
    lathe_verify_report *report;
    size_t cap;
    bool failed; /* out of memory */
} findings;

static void add(findings *f, lathe_finding_level level, const char *subject, const char *fmt, ...)
    LATHE_PRINTF(4, 5);

static void add(findings *f, lathe_finding_level level, const char *subject, const char *fmt, ...) {
    lathe_verify_report *r = f->report;
    va_list ap;
    if (r->count == f->cap) {
        size_t cap = f->cap == 0 ? 16 : f->cap * 2;
        lathe_finding *bigger = lathe_arena_array(f->arena, cap, sizeof *bigger);
        if (bigger == NULL) {
            f->failed = true;
            return;
        }
        if (r->count > 0)
            memcpy(bigger, r->items, r->count * sizeof *bigger);
        r->items = bigger;
        f->cap = cap;
    }
    lathe_finding *item = &r->items[r->count];
    va_start(ap, fmt);
    item->level = level;
    item->subject = lathe_arena_strdup(f->arena, subject);
    item->message = lathe_arena_vprintf(f->arena, fmt, ap);
    va_end(ap);
    if (item->subject == NULL || item->message == NULL) {
        f->failed = true;
        return;
    }
    r->count++;
    if (level == LATHE_FINDING_ERROR)
        r->errors++;
}

/* A failed query over a damaged database is itself a finding; anything else (memory, disk) is an error. */
static int32_t absorb(findings *f, int32_t rc, const char *subject, lathe_error *err) {
    if (rc == LATHE_OK || rc != LATHE_E_CORRUPT)
        return rc;
    add(f, LATHE_FINDING_ERROR, subject, "%s", err->message);
    return LATHE_OK;
}

/* ---- the database ---- */

static int32_t check_pages(findings *f, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    bool row = true;
    int32_t rc = lathe_db_query(f->store, &q, err, "PRAGMA integrity_check(20)", "");
    while (rc == LATHE_OK && row) {
        rc = lathe_db_step(f->store, q, &row, err);
        const char *text = rc == LATHE_OK && row ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (text != NULL && strcmp(text, "ok") != 0)
            add(f, LATHE_FINDING_ERROR, "lathe.db",
                "the database is damaged (%s); restore a backup with `lathe restore`", text);
    }
    sqlite3_finalize(q);
    return absorb(f, rc, "lathe.db", err);
}

static int32_t check_keys(findings *f, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    bool row = true;
    int32_t rc = lathe_db_query(f->store, &q, err, "PRAGMA foreign_key_check", "");
    while (rc == LATHE_OK && row) {
        rc = lathe_db_step(f->store, q, &row, err);
        if (rc == LATHE_OK && row)
            add(f, LATHE_FINDING_ERROR, "lathe.db",
                "a row of table %s refers to a row of table %s that is missing",
                (const char *)sqlite3_column_text(q, 0), (const char *)sqlite3_column_text(q, 2));
    }
    sqlite3_finalize(q);
    return absorb(f, rc, "lathe.db", err);
}

/* Each query gives the subjects of one defect. */
static const struct {
    const char *sql, *message;
} rules[] = {
    {"SELECT 'alias ' || a.model || '@' || a.alias FROM aliases a LEFT JOIN alias_history h "
     "ON h.id = a.head WHERE h.version IS NOT a.version OR h.model IS NOT a.model OR "
     "h.alias IS NOT a.alias",
     "it does not point where the last row of its history says"},
    {"SELECT 'endpoint ' || e.name FROM endpoints e LEFT JOIN endpoint_history h ON h.id = e.head "
     "WHERE h.version IS NOT e.version OR h.model IS NOT e.model OR h.endpoint IS NOT e.name",
     "it does not serve what the last row of its history says"},
    {"SELECT 'endpoint ' || e.name FROM endpoints e JOIN aliases a USING(model, alias) "
     "WHERE e.version <> a.version",
     "it does not serve the version that its alias points at"},
    {"SELECT 'version ' || v.model || '@' || v.version FROM versions v JOIN artifacts a "
     "USING(sha256) WHERE v.bytes <> a.bytes",
     "its length and that of its artifact differ"},
    {"SELECT 'model ' || model FROM versions GROUP BY model "
     "HAVING count(*) <> max(version) OR min(version) <> 1",
     "versions are missing: they should be 1, 2, 3 without gaps"},
};

static int32_t check_rules(findings *f, lathe_error *err) {
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof rules / sizeof *rules; i++) {
        sqlite3_stmt *q = NULL;
        bool row = true;
        rc = lathe_db_query(f->store, &q, err, rules[i].sql, "");
        while (rc == LATHE_OK && row) {
            rc = lathe_db_step(f->store, q, &row, err);
            if (rc == LATHE_OK && row)
                add(f, LATHE_FINDING_ERROR, (const char *)sqlite3_column_text(q, 0), "%s",
                    rules[i].message);
        }
        sqlite3_finalize(q);
        rc = absorb(f, rc, "lathe.db", err);
    }
    return rc;
}

static int32_t check_audit(findings *f, lathe_error *err) {
    int64_t rows = 0;
    int32_t rc = lathe_store_audit_verify(f->store, &rows, NULL, err);
    f->report->audit_rows = rows;
    return absorb(f, rc, "audit log", err);
}

/* ---- artifacts ---- */

/* Who needs it: "version income@3", "file report.html of run …"; "" where only the cache does, or none. */
static int32_t find_user(lathe_store *store, const char *sha256, lathe_arena *arena,
                         const char **user, lathe_error *err) {
    sqlite3_stmt *q = NULL;
    bool row = false;
    *user = "";
    int32_t rc = lathe_db_query(store, &q, err,
                                "SELECT 'version ' || model || '@' || version FROM versions "
                                "WHERE sha256 = ?1 UNION ALL "
                                "SELECT 'file ' || name || ' of run ' || run FROM run_files "
                                "WHERE sha256 = ?1 LIMIT 1",
                                "t", sha256);
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row && (*user = lathe_db_text(q, 0, arena)) == NULL)
        rc = lathe_db_oom(store, err);
    sqlite3_finalize(q);
    return rc;
}

static int32_t check_artifact(findings *f, const lathe_artifact_record *a, lathe_error *err) {
    char subject[96];
    const char *path, *user;
    lathe_error defect = {0};
    f->report->artifacts++;
    int32_t rc = lathe_store_artifact_path(f->store, a->sha256, true, f->arena, &path, &defect);
    if (rc == LATHE_OK) {
        f->report->bytes += a->bytes;
        return LATHE_OK;
    }
    if (rc == LATHE_E_MEMORY)
        return lathe_db_oom(f->store, err);
    rc = find_user(f->store, a->sha256, f->arena, &user, err);
    if (rc != LATHE_OK)
        return absorb(f, rc, "lathe.db", err);
    snprintf(subject, sizeof subject, "artifact %.64s", a->sha256);
    if (user[0] != '\0')
        add(f, LATHE_FINDING_ERROR, subject, "needed by %s: %s", user, defect.message);
    else
        add(f, LATHE_FINDING_NOTE, subject, "needed by nothing that cannot be computed again: %s",
            defect.message);
    return LATHE_OK;
}

static int32_t check_artifacts(findings *f, lathe_error *err) {
    lathe_artifact_list list;
    int32_t rc = lathe_store_artifacts(f->store, f->arena, &list, err);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++)
        rc = check_artifact(f, &list.items[i], err);
    return absorb(f, rc, "lathe.db", err);
}

static int32_t note_stray(void *user, const char *path, int64_t bytes, lathe_error *err) {
    findings *f = user;
    (void)err;
    add(f, LATHE_FINDING_NOTE, path, "no row knows this file (%lld bytes); `lathe gc` removes it",
        (long long)bytes);
    return LATHE_OK;
}

int32_t lathe_store_verify(lathe_store *store, lathe_arena *arena, lathe_verify_report *report,
                           lathe_error *err) {
    lathe_error scratch = {0};
    findings f = {.store = store, .arena = arena, .report = report};
    if (err == NULL)
        err = &scratch; // absorb reads it
    memset(report, 0, sizeof *report);
    int32_t rc = check_pages(&f, err);
    if (rc == LATHE_OK)
        rc = check_keys(&f, err);
    if (rc == LATHE_OK)
        rc = check_rules(&f, err);
    if (rc == LATHE_OK)
        rc = check_audit(&f, err);
    if (rc == LATHE_OK)
        rc = check_artifacts(&f, err);
    if (rc == LATHE_OK)
        rc = absorb(
            &f,
            lathe_db_int(store, &report->versions, NULL, err, "SELECT count(*) FROM versions", ""),
            "lathe.db", err);
    if (rc == LATHE_OK)
        rc = absorb(&f, lathe_store_strays(store, note_stray, &f, err), "lathe.db", err);
    if (rc == LATHE_OK && f.failed)
        rc = lathe_db_oom(store, err);
    if (rc == LATHE_OK)
        lathe_error_clear(err);
    return rc;
}

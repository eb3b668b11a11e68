/* The audit log. A row's hash is the SHA-256 of the hash before it ("" for the first) and of the row's members, each
 * written as its length in decimal, ':', its bytes and '\n', so that no two rows give the same text.
 * The head, "SEQ:HASH", stands in meta: so a log that was cut at its end is found out, too.
 */
#include "store/audit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void part(lathe_buf *text, const char *value) {
    lathe_buf_printf(text, "%zu:%s\n", strlen(value), value);
}

static bool row_hash(const char *before, const lathe_audit_record *row,
                     char hash[LATHE_SHA256_HEX]) {
    char number[64];
    lathe_buf text = {0};
    part(&text, before);
    snprintf(number, sizeof number, "%lld %lld", (long long)row->seq, (long long)row->time);
    part(&text, number);
    part(&text, row->actor);
    part(&text, row->action);
    part(&text, row->subject);
    part(&text, row->detail);
    bool ok = !text.failed && lathe_sha256_hex(lathe_buf_str(&text), text.len, hash);
    lathe_buf_free(&text);
    return ok;
}

static int32_t read_head(lathe_store *store, int64_t *seq, char hash[LATHE_SHA256_HEX],
                         lathe_error *err) {
    sqlite3_stmt *q;
    bool row = false;
    long long number = 0;
    *seq = 0;
    hash[0] = '\0';
    int32_t rc =
        lathe_db_query(store, &q, err, "SELECT value FROM meta WHERE key = 'audit_head'", "");
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK && row) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (text == NULL || sscanf(text, "%lld:%64s", &number, hash) != 2 || number < 1)
            rc = lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                            "the head of the audit log is '%.80s', not a number and a hash",
                            text != NULL ? text : "");
        *seq = number;
    }
    sqlite3_finalize(q);
    return rc;
}

static int32_t append(lathe_store *store, const lathe_audit_record *row, const char *before,
                      lathe_error *err) {
    char hash[LATHE_SHA256_HEX], head[LATHE_SHA256_HEX + 32];
    if (!row_hash(before, row, hash))
        return lathe_db_oom(store, err);
    int32_t rc = lathe_db_run(store, NULL, err,
                              "INSERT INTO audit(seq, time, actor, action, subject, detail, hash) "
                              "VALUES(?, ?, ?, ?, ?, ?, ?)",
                              "iittttt", row->seq, row->time, row->actor, row->action, row->subject,
                              row->detail, hash);
    if (rc != LATHE_OK)
        return rc;
    snprintf(head, sizeof head, "%lld:%s", (long long)row->seq, hash);
    return lathe_db_run(store, NULL, err,
                        "INSERT INTO meta(key, value) VALUES('audit_head', ?) "
                        "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                        "t", head);
}

int32_t lathe_store_audit_add(lathe_store *store, const char *action, const char *subject,
                              const char *detail, lathe_error *err) {
    char before[LATHE_SHA256_HEX];
    lathe_audit_record row = {.time = lathe_wall_us(),
                              .actor = store->actor,
                              .action = action,
                              .subject = subject,
                              .detail = detail != NULL ? detail : "{}"};
    int32_t rc = lathe_db_begin(store, err);
    if (rc != LATHE_OK)
        return rc;
    rc = read_head(store, &row.seq, before, err);
    row.seq++;
    if (rc == LATHE_OK)
        rc = append(store, &row, before, err);
    return lathe_db_end(store, rc, err);
}

static bool fill_audit(sqlite3_stmt *q, lathe_arena *arena, void *item) {
    lathe_audit_record *r = item;
    r->seq = sqlite3_column_int64(q, 0);
    r->time = sqlite3_column_int64(q, 1);
    r->actor = lathe_db_text(q, 2, arena);
    r->action = lathe_db_text(q, 3, arena);
    r->subject = lathe_db_text(q, 4, arena);
    r->detail = lathe_db_text(q, 5, arena);
    r->hash = lathe_db_text(q, 6, arena);
    return r->actor && r->action && r->subject && r->detail && r->hash;
}

#define AUDIT_COLUMNS "seq, time, actor, action, subject, detail, hash"

int32_t lathe_store_audit_last(lathe_store *store, int64_t *seq, lathe_error *err) {
    *seq = 0;
    return lathe_db_int(store, seq, NULL, err, "SELECT coalesce(max(seq), 0) FROM audit", "");
}

int32_t lathe_store_audit(lathe_store *store, int64_t after, int64_t limit, lathe_arena *arena,
                          lathe_audit_list *list, lathe_error *err) {
    sqlite3_stmt *q;
    memset(list, 0, sizeof *list);
    int32_t rc = lathe_db_query(
        store, &q, err, "SELECT " AUDIT_COLUMNS " FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
        "ii", after, limit > 0 ? limit : -1);
    if (rc == LATHE_OK)
        rc = lathe_db_collect(store, q, arena, sizeof *list->items, fill_audit,
                              (void **)&list->items, &list->count, err);
    sqlite3_finalize(q);
    return rc;
}

static int32_t check_row(lathe_store *store, sqlite3_stmt *q, int64_t seq,
                         char before[LATHE_SHA256_HEX], lathe_error *err) {
    char hash[LATHE_SHA256_HEX];
    lathe_audit_record row = {.seq = sqlite3_column_int64(q, 0),
                              .time = sqlite3_column_int64(q, 1)};
    const char *texts[5];
    for (int i = 0; i < 5; i++)
        if ((texts[i] = (const char *)sqlite3_column_text(q, 2 + i)) == NULL)
            return lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                              "audit row %lld has an empty member", (long long)seq);
    row.actor = texts[0];
    row.action = texts[1];
    row.subject = texts[2];
    row.detail = texts[3];
    if (row.seq != seq)
        return lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                          "audit row %lld is missing: the next one is %lld", (long long)seq,
                          (long long)row.seq);
    if (!row_hash(before, &row, hash))
        return lathe_db_oom(store, err);
    if (strcmp(hash, texts[4]) != 0)
        return lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                          "audit row %lld (%s %s) was changed after it was written: its hash does "
                          "not fit",
                          (long long)seq, row.action, row.subject);
    memcpy(before, hash, sizeof hash);
    return LATHE_OK;
}

int32_t lathe_store_audit_verify(lathe_store *store, int64_t *rows, char head[LATHE_SHA256_HEX],
                                 lathe_error *err) {
    char before[LATHE_SHA256_HEX] = "", noted[LATHE_SHA256_HEX];
    int64_t seq = 0, noted_seq;
    bool row = true;
    sqlite3_stmt *q = NULL;
    // One statement reads one moment: the head is taken with the rows.
    int32_t rc =
        lathe_db_query(store, &q, err, "SELECT " AUDIT_COLUMNS " FROM audit ORDER BY seq", "");
    if (rc == LATHE_OK)
        rc = lathe_db_step(store, q, &row, err);
    if (rc == LATHE_OK)
        rc = read_head(store, &noted_seq, noted, err);
    while (rc == LATHE_OK && row) {
        rc = check_row(store, q, seq + 1, before, err);
        seq++;
        if (rc == LATHE_OK)
            rc = lathe_db_step(store, q, &row, err);
    }
    sqlite3_finalize(q);
    if (rc == LATHE_OK && (seq != noted_seq || strcmp(before, noted) != 0))
        rc = lathe_fail(err, LATHE_E_CORRUPT, store->db_path,
                        "the audit log ends at row %lld and should end at row %lld: rows were cut "
                        "off its end",
                        (long long)seq, (long long)noted_seq);
    if (rc == LATHE_OK && rows != NULL)
        *rows = seq;
    if (rc == LATHE_OK && head != NULL)
        memcpy(head, before, sizeof before);
    return rc;
}

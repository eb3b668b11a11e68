/* store/audit.h: who changed what: an append-only log in which each row holds the hash of the one before.
 *
 * The store itself writes a row for everything that changes what is served or kept (versions, aliases,
 * endpoints, gc, restore), in the transaction that does it. The chain and its head tell of rows that were
 * changed, taken out of the middle or cut off the end; whoever rewrites all of it and the head too can only be
 * found out by comparing a head that was written down elsewhere.
 */
#ifndef LATHE_STORE_AUDIT_H
#define LATHE_STORE_AUDIT_H

#include "base/hash.h"
#include "store/types.h"

typedef struct lathe_audit_record {
    int64_t seq; /* from 1, without gaps */
    int64_t time;
    const char *actor;
    const char *action;  /* "version.register", "alias.set", … */
    const char *subject; /* "income@3" */
    const char *detail;  /* JSON */
    const char *hash;
} lathe_audit_record;

typedef struct lathe_audit_list {
    lathe_audit_record *items;
    size_t count;
} lathe_audit_list;

/* Adds a row. detail: JSON, NULL for "{}". */
int32_t lathe_store_audit_add(lathe_store *store, const char *action, const char *subject,
                              const char *detail, lathe_error *err);

/* Rows with seq > after, at most `limit` (0: all). */
int32_t lathe_store_audit(lathe_store *store, int64_t after, int64_t limit, lathe_arena *arena,
                          lathe_audit_list *list, lathe_error *err);

/* The number of the newest row; 0: there is none. */
int32_t lathe_store_audit_last(lathe_store *store, int64_t *seq, lathe_error *err);

/* Walks the chain. rows and head (may be NULL) get its length and its last hash. LATHE_E_CORRUPT names the first
 * row that does not fit. */
int32_t lathe_store_audit_verify(lathe_store *store, int64_t *rows, char head[LATHE_SHA256_HEX],
                                 lathe_error *err);

#endif

/* store/store.h: the home directory: everything that must survive.
 *
 *     home/                   0700
 *       lock                  held with flock(2) by the one owner; its text names him
 *       lathe.db              SQLite, WAL, synchronous=FULL, foreign keys on
 *       artifacts/sha256/ab/abcd…   immutable files named by their content
 *       artifacts/tmp/        files on their way in
 *       staging/RUN/          where the worker of a run puts files for its parent to verify and commit
 *
 * This header opens and closes the store, and includes the rest of the layer:
 *     store/artifacts.h   files by SHA-256            store/runs.h      runs, their events and files
 *     store/models.h      models, versions, aliases   store/endpoints.h endpoints and their rollback
 *     store/rollouts.h    canaries and shadows        store/gates.h     acceptance gates at promotion
 *     store/lineage.h     where a version comes from
 *     store/steps.h       the cache of steps          store/alerts.h    alerts
 *     store/audit.h       who changed what            store/verify.h    verify and gc
 *     store/backup.h      backup and restore          store/tokens.h    bearer tokens
 *     store/usage.h       projects, quotas, usage      store/labels.h  answers whose truth is known
 *     store/queue.h       submitted runs, schedules
 *
 * Durability. When a function that writes returns LATHE_OK, what it wrote survives kill -9 and power
 * loss; when it returns an error, nothing of it is visible (at worst a file without a row, which
 * gc removes). Each function is one transaction.
 *
 * Threads: a store belongs to one thread at a time (the service gives it a thread of its own); never
 * [loop] or [serve]: every call may wait for the disk. Do not use a store across fork().
 *
 * Memory: texts in the records that are returned live in the lathe_arena that the caller gave, and stay
 * valid after the store is closed. Text members are never NULL unless their comment says so.
 *
 * Times are microseconds since 1970 UTC (base/clock.h); 0: has not happened.
 *
 * Errors that every function may return, besides those in its own comment:
 *     LATHE_E_STATE    a write through a store that was opened LATHE_STORE_READ
 *     LATHE_E_INVALID  a name that breaks lathe_store_check_name, a text that should be JSON and is not
 *     LATHE_E_IO       the disk is full, a file-size limit, a failing write or fsync (detail: errno)
 *     LATHE_E_CORRUPT  lathe.db is damaged
 *     LATHE_E_TIMEOUT  another process held the database for more than 10 seconds
 *     LATHE_E_MEMORY
 * A process that may meet a file-size limit must ignore SIGXFSZ to get the error rather than the signal.
 */
#ifndef LATHE_STORE_STORE_H
#define LATHE_STORE_STORE_H

#include "store/types.h"

typedef enum lathe_store_mode {
    LATHE_STORE_READ = 0, /* list, show, predict, backup: works beside the owner, makes nothing */
    LATHE_STORE_OWN = 1   /* the one owner: makes the home where it is missing, may write */
} lathe_store_mode;

/* The home directory: `home` where not NULL or "", else $LATHE_HOME, else $XDG_DATA_HOME/lathe (where that is
 * absolute), else $HOME/.local/share/lathe. *path is absolute and malloc'ed (free() it); nothing is
 * made. LATHE_E_NOT_FOUND: none of them is set. */
int32_t lathe_store_home_path(const char *home, char **path, lathe_error *err);

/* Opens the home directory (`home` as in lathe_store_home_path).
 *
 * OWN makes what is missing, brings an older database to this program's schema, and closes runs that a
 * dead owner left "running" (they become "interrupted"). The lock ends with the process, however it ends.
 *
 *   LATHE_E_NOT_FOUND  READ, and there is no home or no database in it yet
 *   LATHE_E_EXISTS     home is a file
 *   LATHE_E_STATE      OWN, and another process (named, with its pid) owns the home
 *   LATHE_E_VERSION    the database is of a newer schema; or READ, and it is of an older one
 *   LATHE_E_CORRUPT    lathe.db is no database, is not Lathe's, or is damaged
 *   LATHE_E_IO         home cannot be made or written
 */
int32_t lathe_store_open(const char *home, lathe_store_mode mode, lathe_store **store,
                         lathe_error *err);

/* A further connection of the owner's process, for another thread: it may write while `owner` is open (which must outlive
 * it), and its writes and the owner's wait for each other. Its actor is its own. owner: OWN. [any, `owner` in use by
 * another thread meanwhile] */
int32_t lathe_store_open_beside(const lathe_store *owner, lathe_store **store, lathe_error *err);

/* Releases the lock. NULL is allowed. */
void lathe_store_close(lathe_store *store);

/* What is read from view to view_end is of one moment, and costs one look at the file's state instead of one a question.
 * Nothing is written in between. view_end is called where view gave LATHE_OK, and by nobody else. */
int32_t lathe_store_view(lathe_store *store, lathe_error *err);
void lathe_store_view_end(lathe_store *store);

/* Absolute path of the home; valid while the store is open. */
const char *lathe_store_home(const lathe_store *store);
lathe_store_mode lathe_store_get_mode(const lathe_store *store);

/* Who acts from now on, for histories and the audit log ("token:ci", "schedule"). Default: "user:NAME" of this
 * process's user. */
int32_t lathe_store_set_actor(lathe_store *store, const char *actor, lathe_error *err);
/* Valid until the next lathe_store_set_actor. */
const char *lathe_store_get_actor(const lathe_store *store);

/* Which project this connection is for from now on; NULL or "": all, as at first. Everything of another project is then
 * as if it were not there, for every function of host/store that reads or changes: not found, not in lists, not counted. What
 * belongs to no project (artifacts, cached steps, the audit log) is not touched by it. Names of models, endpoints and
 * schedules are one for the home: LATHE_E_EXISTS where one is to be made that another project has. */
int32_t lathe_store_set_scope(lathe_store *store, const char *project, lathe_error *err);
/* NULL: all. Valid until the next lathe_store_set_scope. */
const char *lathe_store_get_scope(const lathe_store *store);

typedef enum lathe_store_named {
    LATHE_STORE_MODEL,
    LATHE_STORE_ENDPOINT, /* it belongs to the project of the model that it serves */
    LATHE_STORE_SCHEDULE
} lathe_store_named;

/* The project that a name belongs to, whatever the scope; *project NULL: nobody has the name. */
int32_t lathe_store_owner(lathe_store *store, lathe_store_named what, const char *name,
                          lathe_arena *arena, const char **project, lathe_error *err);
/* May the project (NULL: any) use the name? LATHE_E_EXISTS: another project has it. */
int32_t lathe_store_claim(lathe_store *store, lathe_store_named what, const char *name,
                          const char *project, lathe_error *err);

/* Names of models, aliases, endpoints, projects and tokens: 1 to 128 bytes of A-Z a-z 0-9 . _ - that do not
 * begin with '.' or '-'. `what` is for the message: "the model name". LATHE_E_INVALID. */
int32_t lathe_store_check_name(const char *name, const char *what, lathe_error *err);

#include "store/alerts.h"
#include "store/artifacts.h"
#include "store/audit.h"
#include "store/backup.h"
#include "store/endpoints.h"
#include "store/fits.h"
#include "store/gates.h"
#include "store/labels.h"
#include "store/lineage.h"
#include "store/models.h"
#include "store/queue.h"
#include "store/rollouts.h"
#include "store/runs.h"
#include "store/steps.h"
#include "store/tokens.h"
#include "store/usage.h"
#include "store/verify.h"

#endif

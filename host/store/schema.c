/* The database's schema. A script, once released, never changes: a later version is a further script.
 *
 * Histories are stacks: each row has the row it came from (parent). A rollback moves to the parent's target and
 * takes the parent's parent, so that rolling back again goes further back; the rows all stay.
 */
#include "store/db.h"

static const char schema_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE projects(name TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE artifacts("
    " sha256 TEXT PRIMARY KEY CHECK(length(sha256) = 64), bytes INTEGER NOT NULL CHECK(bytes >= 0),"
    " kind TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE runs("
    " id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(name), pipeline TEXT NOT NULL,"
    " document TEXT NOT NULL CHECK(json_valid(document)), document_sha256 TEXT NOT NULL,"
    " seed INTEGER NOT NULL, status TEXT NOT NULL, started INTEGER NOT NULL, finished INTEGER,"
    " reason TEXT NOT NULL DEFAULT '', version TEXT NOT NULL DEFAULT '',"
    " machine TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(machine)),"
    " plugins TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(plugins)),"
    " data TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(data)),"
    " result TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(result)));"
    "CREATE INDEX runs_started ON runs(started);"
    "CREATE INDEX runs_running ON runs(status) WHERE finished IS NULL;"
    "CREATE TRIGGER runs_final BEFORE UPDATE ON runs WHEN OLD.finished IS NOT NULL"
    " BEGIN SELECT RAISE(ABORT, 'a finished run never changes'); END;"

    "CREATE TABLE run_files("
    " run TEXT NOT NULL REFERENCES runs(id), name TEXT NOT NULL,"
    " sha256 TEXT NOT NULL REFERENCES artifacts(sha256), PRIMARY KEY(run, name)) WITHOUT ROWID;"
    "CREATE INDEX run_files_sha256 ON run_files(sha256);"

    "CREATE TABLE events("
    " run TEXT NOT NULL REFERENCES runs(id), seq INTEGER NOT NULL, time INTEGER NOT NULL,"
    " json TEXT NOT NULL CHECK(json_valid(json)), PRIMARY KEY(run, seq)) WITHOUT ROWID;"

    "CREATE TABLE models("
    " name TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES projects(name),"
    " created INTEGER NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE versions("
    " model TEXT NOT NULL REFERENCES models(name), version INTEGER NOT NULL CHECK(version >= 1),"
    " sha256 TEXT NOT NULL REFERENCES artifacts(sha256), bytes INTEGER NOT NULL,"
    " run TEXT REFERENCES runs(id), created INTEGER NOT NULL,"
    " document TEXT NOT NULL CHECK(json_valid(document)),"
    " metrics TEXT NOT NULL CHECK(json_valid(metrics)), goal TEXT NOT NULL CHECK(json_valid(goal)),"
    " PRIMARY KEY(model, version)) WITHOUT ROWID;"
    "CREATE INDEX versions_sha256 ON versions(sha256);"
    "CREATE INDEX versions_run ON versions(run);"
    "CREATE TRIGGER versions_no_update BEFORE UPDATE ON versions"
    " BEGIN SELECT RAISE(ABORT, 'a registered version never changes'); END;"
    "CREATE TRIGGER versions_no_delete BEFORE DELETE ON versions"
    " BEGIN SELECT RAISE(ABORT, 'a registered version is never deleted'); END;"
    "CREATE TRIGGER versions_no_gap BEFORE INSERT ON versions WHEN NEW.version IS NOT"
    " (SELECT coalesce(max(version), 0) + 1 FROM versions WHERE model = NEW.model)"
    " BEGIN SELECT RAISE(ABORT, 'versions are numbered 1, 2, 3 without gaps, each once'); END;"

    "CREATE TABLE alias_history("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, alias TEXT NOT NULL,"
    " version INTEGER NOT NULL, parent INTEGER REFERENCES alias_history(id), action TEXT NOT NULL,"
    " time INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version));"
    "CREATE INDEX alias_history_alias ON alias_history(model, alias);"
    "CREATE TABLE aliases("
    " model TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,"
    " head INTEGER NOT NULL REFERENCES alias_history(id), updated INTEGER NOT NULL,"
    " PRIMARY KEY(model, alias),"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version)) WITHOUT ROWID;"

    "CREATE TABLE endpoint_history("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, model TEXT NOT NULL, alias "
    "TEXT,"
    " version INTEGER NOT NULL, parent INTEGER REFERENCES endpoint_history(id),"
    " action TEXT NOT NULL, time INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version));"
    "CREATE INDEX endpoint_history_endpoint ON endpoint_history(endpoint);"
    "CREATE TABLE endpoints("
    " name TEXT PRIMARY KEY, model TEXT NOT NULL, alias TEXT, version INTEGER NOT NULL,"
    " head INTEGER NOT NULL REFERENCES endpoint_history(id), updated INTEGER NOT NULL,"
    " settings TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(settings)),"
    " FOREIGN KEY(model, alias) REFERENCES aliases(model, alias),"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version)) WITHOUT ROWID;"
    "CREATE INDEX endpoints_alias ON endpoints(model, alias);"

    "CREATE TRIGGER alias_history_no_update BEFORE UPDATE ON alias_history"
    " BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"
    "CREATE TRIGGER alias_history_no_delete BEFORE DELETE ON alias_history"
    " BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"
    "CREATE TRIGGER endpoint_history_no_update BEFORE UPDATE ON endpoint_history"
    " BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"
    "CREATE TRIGGER endpoint_history_no_delete BEFORE DELETE ON endpoint_history"
    " BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"

    "CREATE TABLE alerts("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, severity TEXT NOT NULL,"
    " kind TEXT NOT NULL, message TEXT NOT NULL, endpoint TEXT, model TEXT, version INTEGER,"
    " run TEXT, feature TEXT, detail TEXT NOT NULL CHECK(json_valid(detail)),"
    " acknowledged INTEGER, acknowledged_by TEXT);"
    "CREATE INDEX alerts_time ON alerts(time);"

    "CREATE TABLE tokens("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " secret_sha256 TEXT NOT NULL UNIQUE, role TEXT NOT NULL,"
    " scope TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(scope)), created INTEGER NOT NULL,"
    " expires INTEGER, revoked INTEGER, used INTEGER);"

    "CREATE TABLE audit("
    " seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,"
    " subject TEXT NOT NULL, detail TEXT NOT NULL CHECK(json_valid(detail)), hash TEXT NOT NULL);"
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"

    "CREATE TABLE steps("
    " key TEXT PRIMARY KEY, sha256 TEXT REFERENCES artifacts(sha256),"
    " metadata TEXT NOT NULL CHECK(json_valid(metadata)), run TEXT, created INTEGER NOT NULL,"
    " used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX steps_sha256 ON steps(sha256);"
    "CREATE INDEX steps_used ON steps(used);";

/* Rollouts: a canary or a shadow on an endpoint (rollouts.h). One of a kind runs at a time; one that ended stays as it is. */
static const char schema_2[] =
    "CREATE TABLE rollouts("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL REFERENCES endpoints(name),"
    " kind TEXT NOT NULL CHECK(kind IN ('canary', 'shadow')),"
    " model TEXT NOT NULL, version INTEGER NOT NULL,"
    " base_model TEXT NOT NULL, base_version INTEGER NOT NULL,"
    " settings TEXT NOT NULL CHECK(json_valid(settings)), state TEXT NOT NULL,"
    " step INTEGER NOT NULL DEFAULT 0, started INTEGER NOT NULL, updated INTEGER NOT NULL,"
    " finished INTEGER, actor TEXT NOT NULL, reason TEXT NOT NULL,"
    " verdict TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(verdict)),"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version),"
    " FOREIGN KEY(base_model, base_version) REFERENCES versions(model, version));"
    "CREATE INDEX rollouts_endpoint ON rollouts(endpoint);"
    "CREATE UNIQUE INDEX rollouts_running ON rollouts(endpoint, kind) WHERE finished IS NULL;"
    "CREATE TRIGGER rollouts_final BEFORE UPDATE ON rollouts WHEN OLD.finished IS NOT NULL"
    " BEGIN SELECT RAISE(ABORT, 'a rollout that ended never changes'); END;"
    "CREATE TRIGGER rollouts_no_delete BEFORE DELETE ON rollouts"
    " BEGIN SELECT RAISE(ABORT, 'rollouts are kept'); END;";

/* Submitted runs that wait, and schedules (store/queue.h); retry_backoff and retry_factor in millionths. */
#define SUBMISSION                                                                                 \
    " project TEXT NOT NULL, pipeline TEXT NOT NULL, text TEXT NOT NULL, file TEXT NOT NULL,"      \
    " base_dir TEXT, document TEXT NOT NULL CHECK(json_valid(document)),"                          \
    " sets TEXT NOT NULL CHECK(json_valid(sets)), seed INTEGER NOT NULL,"                          \
    " retry_limit INTEGER NOT NULL, retry_backoff INTEGER NOT NULL,"                               \
    " retry_factor INTEGER NOT NULL, actor TEXT NOT NULL"

static const char schema_3[] =
    "CREATE TABLE queue("
    " number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE,"
    " attempt INTEGER NOT NULL CHECK(attempt >= 1), schedule TEXT NOT NULL,"
    " created INTEGER NOT NULL, not_before INTEGER NOT NULL," SUBMISSION ");"

    "CREATE TABLE schedules("
    " name TEXT PRIMARY KEY, cron TEXT NOT NULL, timezone TEXT NOT NULL, overlap TEXT NOT NULL,"
    " catch_up INTEGER NOT NULL, created INTEGER NOT NULL, next INTEGER NOT NULL,"
    " last INTEGER NOT NULL, last_run TEXT NOT NULL," SUBMISSION ") WITHOUT ROWID;";

/* Quotas of projects, and what was used (store/usage.h). */
static const char schema_4[] =
    "ALTER TABLE projects ADD COLUMN quota TEXT NOT NULL DEFAULT '{}' CHECK(json_valid(quota));"

    "CREATE TABLE usage("
    " day INTEGER NOT NULL, project TEXT NOT NULL, token TEXT NOT NULL, requests INTEGER NOT NULL,"
    " rows INTEGER NOT NULL, training_ms INTEGER NOT NULL,"
    " PRIMARY KEY(day, project, token)) WITHOUT ROWID;";

/* Labelled answers (store/labels.h): a row a place of a version's ring, and the versions that have any. */
static const char schema_5[] =
    "CREATE TABLE labelled("
    " model TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL,"
    " PRIMARY KEY(model, version),"
    " FOREIGN KEY(model, version) REFERENCES versions(model, version)) WITHOUT ROWID;"

    "CREATE TABLE labels("
    " model TEXT NOT NULL, version INTEGER NOT NULL, place INTEGER NOT NULL,"
    " number INTEGER NOT NULL, answered_ms INTEGER NOT NULL, truth REAL NOT NULL,"
    " label INTEGER NOT NULL, scores BLOB NOT NULL,"
    " PRIMARY KEY(model, version, place)) WITHOUT ROWID;";

const char *const lathe_db_migrations[LATHE_SCHEMA_VERSION] = {schema_1, schema_2, schema_3,
                                                               schema_4, schema_5};

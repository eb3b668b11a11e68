#include "store/store.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "store/db.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- where ---- */

static const char *from_env(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

int32_t lathe_store_home_path(const char *home, char **path, lathe_error *err) {
    char *found = NULL;
    const char *base;
    *path = NULL;
    if (home == NULL || home[0] == '\0')
        home = from_env("LATHE_HOME");
    if (home != NULL) {
        found = strdup(home);
    } else if ((base = from_env("XDG_DATA_HOME")) != NULL && base[0] == '/') {
        // The XDG specification: a relative path there is to be ignored.
        found = lathe_path_join(base, "lathe");
    } else if ((base = from_env("HOME")) != NULL) {
        found = lathe_path_join(base, ".local/share/lathe");
    } else {
        return lathe_fail(err, LATHE_E_NOT_FOUND, "home",
                          "no home directory is known: neither --home nor LATHE_HOME, "
                          "XDG_DATA_HOME or HOME is set; give one with --home");
    }
    if (found != NULL && found[0] != '/') {
        char *cwd = getcwd(NULL, 0);
        if (cwd == NULL) {
            free(found);
            return lathe_fail_errno(err, errno, ".", "the current folder cannot be told");
        }
        *path = lathe_path_join(cwd, found);
        free(cwd);
        free(found);
    } else {
        *path = found;
    }
    if (*path == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, "home", "out of memory");
    // "home/" and "home" are one: names beside it are made by appending.
    for (size_t n = strlen(*path); n > 1 && (*path)[n - 1] == '/'; n--)
        (*path)[n - 1] = '\0';
    return LATHE_OK;
}

char *lathe_store_path(const lathe_store *store, const char *fmt, ...) {
    char *tail = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&tail, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    char *path = lathe_path_join(store->home, tail);
    free(tail);
    return path;
}

int32_t lathe_store_check_name(const char *name, const char *what, lathe_error *err) {
    if (name == NULL || name[0] == '\0')
        return lathe_fail(err, LATHE_E_INVALID, what, "%s is missing", what);
    if (strlen(name) > 128)
        return lathe_fail(err, LATHE_E_INVALID, what,
                          "%s '%.40s…' has %zu characters; at most 128 are allowed", what, name,
                          strlen(name));
    for (const char *c = name; *c != '\0'; c++) {
        bool plain = isascii((unsigned char)*c) && isalnum((unsigned char)*c);
        if (plain || *c == '_' || (c > name && (*c == '.' || *c == '-')))
            continue;
        return lathe_fail(err, LATHE_E_INVALID, what,
                          "%s '%s' is not allowed: use letters A-Z and a-z, digits, '.', '_' and "
                          "'-', and begin with none of '.' and '-'",
                          what, name);
    }
    return LATHE_OK;
}

/* ---- the one owner ---- */

static int32_t fail_owned(lathe_store *store, int fd, lathe_error *err) {
    char who[128] = "";
    // The owner writes its line right after it has the lock.
    for (int i = 0; i < 20 && who[0] == '\0'; i++) {
        ssize_t n = pread(fd, who, sizeof who - 1, 0);
        who[n > 0 ? n : 0] = '\0';
        if (who[0] == '\0')
            usleep(5000);
    }
    who[strcspn(who, "\n")] = '\0';
    return lathe_fail(
        err, LATHE_E_STATE, store->home,
        "the home directory is in use by %s; wait until it has ended, stop it, or use "
        "another home directory (--home)",
        who[0] != '\0' ? who : "another process");
}

static void sign_lock(int fd) {
    char name[32] = "lathe", since[LATHE_ISO_TIME], line[128];
    int comm = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (comm >= 0) {
        ssize_t n = read(comm, name, sizeof name - 1);
        name[n > 0 ? n : 0] = '\0';
        name[strcspn(name, "\n")] = '\0';
        close(comm);
    }
    lathe_iso_now(since);
    int n =
        snprintf(line, sizeof line, "process %ld (%s, since %s)\n", (long)getpid(), name, since);
    // The line is for people; the lock holds without it.
    if (ftruncate(fd, 0) != 0 || pwrite(fd, line, (size_t)n, 0) != n)
        lathe_log(LATHE_LEVEL_WARN, "store", "the lock file could not be signed: %s",
                  strerror(errno));
}

static int32_t take_lock(lathe_store *store, lathe_error *err) {
    char *path = lathe_store_path(store, "lock");
    if (path == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, store->home, "out of memory");
    int32_t rc = LATHE_OK;
    for (;;) {
        // O_CLOEXEC: a worker must not inherit the lock and keep it after its parent's end.
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            rc = lathe_fail_errno(err, errno, path,
                                  "the home directory cannot be written; check its owner and "
                                  "permissions, or choose another with --home");
            break;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            rc = errno == EWOULDBLOCK
                     ? fail_owned(store, fd, err)
                     : lathe_fail_errno(err, errno, path,
                                        "the home directory cannot be locked; choose one on a "
                                        "local disk");
            close(fd);
            break;
        }
        struct stat ours, named;
        bool same = fstat(fd, &ours) == 0 && stat(path, &named) == 0 &&
                    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
        if (same) {
            sign_lock(fd);
            store->lock_fd = fd;
            break;
        }
        close(fd); // someone removed the file while we waited: what we hold is no lock
    }
    free(path);
    return rc;
}

/* ---- opening ---- */

static int32_t make_home(lathe_store *store, lathe_error *err) {
    struct stat st;
    int32_t rc = LATHE_OK;
    if (stat(store->home, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return lathe_fail(err, LATHE_E_EXISTS, store->home,
                              "the home directory is a file, not a folder; choose another with "
                              "--home or LATHE_HOME");
        if ((st.st_mode & S_IWOTH) != 0)
            lathe_log(LATHE_LEVEL_WARN, "store",
                      "%s: everyone may write to the home directory; chmod 700 it", store->home);
        return LATHE_OK;
    }
    char *parent = lathe_path_dir(store->home);
    if (parent == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, store->home, "out of memory");
    rc = lathe_mkdirs(parent, err);
    if (rc == LATHE_OK && mkdir(store->home, 0700) != 0 && errno != EEXIST)
        rc = lathe_fail_errno(err, errno, store->home,
                              "the home directory cannot be made; choose another with --home");
    if (rc == LATHE_OK)
        rc = lathe_sync_dir(parent, err);
    free(parent);
    return rc;
}

/* A folder that is there and holds nothing. */
static bool is_empty_folder(const char *path) {
    DIR *d = opendir(path);
    bool empty = d != NULL;
    for (struct dirent *e; empty && (e = readdir(d)) != NULL;)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d != NULL)
        closedir(d);
    return empty;
}

/* The home's folders, those for work in progress empty. They are synced unless all were there before an artifact was: then
 * an owner before us has done it. */
static int32_t make_folders(lathe_store *store, lathe_error *err) {
    static const char *const folders[] = {"artifacts/sha256", "artifacts/tmp", "staging"};
    int32_t rc = LATHE_OK;
    bool is_synced = true;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof folders / sizeof *folders; i++) {
        char *path = lathe_store_path(store, "%s", folders[i]);
        if (path == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, store->home, "out of memory");
        const bool is_work = i > 0, is_empty = is_empty_folder(path);
        if (is_work ? !is_empty : is_empty || !lathe_is_dir(path)) {
            is_synced = false;
            if (is_work) // what an owner before us left half-way
                rc = lathe_remove_tree(path, err);
            if (rc == LATHE_OK)
                rc = lathe_mkdirs(path, err);
        }
        free(path);
    }
    if (rc != LATHE_OK || is_synced)
        return rc;
    char *artifacts = lathe_store_path(store, "artifacts");
    if (rc == LATHE_OK && artifacts != NULL)
        rc = lathe_sync_dir(artifacts, err);
    free(artifacts);
    return rc == LATHE_OK ? lathe_sync_dir(store->home, err) : rc;
}

/* Artifacts without their database: a new, empty database would make gc remove them all. */
static int32_t refuse_orphans(lathe_store *store, lathe_error *err) {
    char *artifacts = lathe_store_path(store, "artifacts");
    char *staging = lathe_store_path(store, "staging");
    int32_t rc = LATHE_OK;
    if (artifacts == NULL || staging == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, store->home, "out of memory");
    else if (lathe_is_dir(artifacts) || lathe_is_dir(staging))
        rc = lathe_fail(
            err, LATHE_E_CORRUPT, store->home,
            "there is a folder 'artifacts' or 'staging' but no database: either lathe.db "
            "was lost (restore a backup with `lathe restore` into another folder), or "
            "this is no home directory of Lathe (choose another with --home)");
    free(artifacts);
    free(staging);
    return rc;
}

static int32_t close_dead_runs(lathe_store *store, lathe_error *err) {
    int64_t changed = 0;
    int32_t rc = lathe_db_run(store, &changed, err,
                              "UPDATE runs SET status = ?, finished = ?, reason = ? "
                              "WHERE finished IS NULL",
                              "tit", LATHE_RUN_INTERRUPTED, lathe_wall_us(),
                              "the process that ran it ended before it did");
    if (rc == LATHE_OK && changed > 0)
        lathe_log(LATHE_LEVEL_WARN, "store", "%lld run(s) of a process that died are now '%s'",
                  (long long)changed, LATHE_RUN_INTERRUPTED);
    return rc;
}

static int32_t open_own(lathe_store *store, lathe_error *err) {
    int version = 0;
    int32_t rc = make_home(store, err);
    if (rc == LATHE_OK)
        rc = take_lock(store, err);
    if (rc == LATHE_OK && !lathe_is_file(store->db_path))
        rc = refuse_orphans(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_open(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_check(store, LATHE_SCHEMA_VERSION, &version, err);
    if (rc == LATHE_OK && version == 0)
        rc = refuse_orphans(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_wal(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_migrate(store, lathe_db_migrations, LATHE_SCHEMA_VERSION, err);
    if (rc == LATHE_OK)
        rc = make_folders(store, err);
    if (rc == LATHE_OK)
        rc = close_dead_runs(store, err);
    return rc;
}

static int32_t open_read(lathe_store *store, lathe_error *err) {
    struct stat st;
    int version = 0;
    if (stat(store->home, &st) == 0 && !S_ISDIR(st.st_mode))
        return lathe_fail(
            err, LATHE_E_EXISTS, store->home,
            "the home directory is a file, not a folder; choose another with --home or "
            "LATHE_HOME");
    if (stat(store->db_path, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return lathe_fail_errno(err, errno, store->db_path, "the database cannot be reached");
        return lathe_fail(
            err, LATHE_E_NOT_FOUND, store->home,
            "there is no store here yet; `lathe run` makes one (or give another place "
            "with --home or LATHE_HOME)");
    }
    int32_t rc = lathe_db_open(store, err);
    if (rc == LATHE_OK)
        rc = lathe_db_check(store, LATHE_SCHEMA_VERSION, &version, err);
    if (rc == LATHE_OK && version == 0)
        return lathe_fail(err, LATHE_E_NOT_FOUND, store->home,
                          "the store here is still empty; `lathe run` fills it");
    if (rc == LATHE_OK && version < LATHE_SCHEMA_VERSION)
        return lathe_fail(
            err, LATHE_E_VERSION, store->db_path,
            "the database has schema version %d and this program uses %d; run anything "
            "that writes (`lathe gc`) once to bring it up to date",
            version, LATHE_SCHEMA_VERSION);
    return rc;
}

static int32_t default_actor(lathe_store *store, lathe_error *err) {
    struct passwd entry, *found = NULL;
    char text[4096], actor[300];
    if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) == 0 && found != NULL)
        snprintf(actor, sizeof actor, "user:%s", found->pw_name);
    else
        snprintf(actor, sizeof actor, "user:%ld", (long)getuid());
    return lathe_store_set_actor(store, actor, err);
}

int32_t lathe_store_open(const char *home, lathe_store_mode mode, lathe_store **store,
                         lathe_error *err) {
    *store = NULL;
    lathe_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, "home", "out of memory");
    s->lock_fd = -1;
    s->mode = mode;
    pthread_rwlock_init(&s->own_keeping, NULL);
    s->keeping = &s->own_keeping;
    int32_t rc = lathe_store_home_path(home, &s->home, err);
    if (rc == LATHE_OK && (s->db_path = lathe_path_join(s->home, "lathe.db")) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, "home", "out of memory");
    if (rc == LATHE_OK)
        rc = default_actor(s, err);
    if (rc == LATHE_OK)
        rc = mode == LATHE_STORE_OWN ? open_own(s, err) : open_read(s, err);
    if (rc != LATHE_OK) {
        lathe_store_close(s);
        return rc;
    }
    *store = s;
    return LATHE_OK;
}

/* How many further connections this process has opened. */
static _Atomic uint64_t connections;

int32_t lathe_store_open_beside(const lathe_store *owner, lathe_store **store, lathe_error *err) {
    *store = NULL;
    lathe_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, "home", "out of memory");
    s->lock_fd = -1; // the owner's lock holds for both
    s->mode = owner->mode;
    s->keeping = owner->keeping;
    s->temps = (atomic_fetch_add(&connections, 1) + 1)
               << 32; // its temporary files have other names
    s->home = strdup(owner->home);
    s->db_path = strdup(owner->db_path);
    int32_t rc = s->home && s->db_path ? default_actor(s, err)
                                       : lathe_fail(err, LATHE_E_MEMORY, "home", "out of memory");
    if (rc == LATHE_OK)
        rc = lathe_db_open(s, err);
    if (rc == LATHE_OK)
        rc = lathe_db_wal(s, err);
    if (rc != LATHE_OK) {
        lathe_store_close(s);
        return rc;
    }
    *store = s;
    return LATHE_OK;
}

void lathe_store_close(lathe_store *store) {
    if (store == NULL)
        return;
    sqlite3_close_v2(store->db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->keeping == &store->own_keeping)
        pthread_rwlock_destroy(&store->own_keeping);
    free(store->actor);
    free(store->scope);
    free(store->db_path);
    free(store->home);
    free(store);
}

const char *lathe_store_home(const lathe_store *store) {
    return store->home;
}

lathe_store_mode lathe_store_get_mode(const lathe_store *store) {
    return store->mode;
}

const char *lathe_store_get_actor(const lathe_store *store) {
    return store->actor;
}

int32_t lathe_store_set_actor(lathe_store *store, const char *actor, lathe_error *err) {
    if (actor == NULL || actor[0] == '\0')
        return lathe_fail(err, LATHE_E_INVALID, "actor", "an actor needs a name");
    char *copy = strdup(actor);
    if (copy == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, store->home, "out of memory");
    free(store->actor);
    store->actor = copy;
    return LATHE_OK;
}

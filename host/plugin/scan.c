#include "plugin/scan.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "plugin/load.h"
#include "plugin/text.h"
#include "plugin/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 5000
#define MAX_LINE ((size_t)8 << 20) /* bytes of one file's description */
#define MAX_FILES_A_CHILD 1000
#define STDERR_KEPT 400 /* bytes of a dead child's last words */

extern char **environ;

/* ---- child ---- */

static bool write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* One file's line. */
static void describe_file(const char *path, size_t index, lathe_buf *out) {
    lathe_error err = {0};
    lathe_loaded_file file;
    lathe_jsonw w = lathe_jsonw_to(out);
    lathe_arena *arena = lathe_arena_new();
    lathe_jsonw_begin_object(&w);
    lathe_jsonw_kv_int(&w, "end", (int64_t)index);
    if (arena == NULL || lathe_load_file(path, arena, &file, &err) != LATHE_OK) {
        lathe_jsonw_kv_str(&w, "refused", arena == NULL ? "out of memory" : err.message);
    } else {
        lathe_jsonw_kv_str(&w, "sdk", file.checked.sdk_version);
        lathe_jsonw_key(&w, "plugins");
        lathe_jsonw_begin_array(&w);
        for (size_t i = 0; i < file.checked.n; i++)
            lathe_wire_write(file.checked.descriptors[i], &w);
        lathe_jsonw_end_array(&w);
    }
    lathe_jsonw_end_object(&w);
    lathe_buf_append_char(out, '\n');
    lathe_arena_free(arena);
}

int lathe_scan_main(int fd, const char *const *files, size_t n_files) {
    /* The lines go to a descriptor that no plugin knows; what plugins print goes to stderr. */
    int out = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    if (out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 1;
    for (int other = STDERR_FILENO + 1; other < 1024;
         other++) /* nothing of the parent's in reach */
        if (other != out)
            close(other);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < n_files; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "{\"begin\":%zu}\n", i);
        lathe_buf text = {0};
        bool good = write_all(out, line, (size_t)n);
        if (good) {
            describe_file(files[i], i, &text);
            good = !text.failed && write_all(out, text.data, text.len);
        }
        lathe_buf_free(&text);
        if (!good)
            return 1;
    }
    return 0;
}

/* ---- parent: starting a child ---- */

typedef struct child {
    pid_t pid;
    int out;    /* its lines */
    int errors; /* its stderr */
} child;

static void run_forked(int out, int errors, const char *const *files, size_t n) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            signal(sig, SIG_DFL);
    dup2(errors, STDERR_FILENO);
    _exit(lathe_scan_main(out, files, n));
}

static int spawn_scanner(const char *scanner, int out, int errors, const char *const *files,
                         size_t n, pid_t *pid) {
    char **argv = calloc(n + 4, sizeof *argv);
    if (argv == NULL)
        return ENOMEM;
    argv[0] = (char *)(uintptr_t)scanner;
    argv[1] = (char *)(uintptr_t) "worker";
    argv[2] = (char *)(uintptr_t) "scan";
    for (size_t i = 0; i < n; i++)
        argv[i + 3] = (char *)(uintptr_t)files[i];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(pid, scanner, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    free(argv);
    return rc;
}

static int32_t start_child(const char *scanner, const char *const *files, size_t n, child *c,
                           lathe_error *err) {
    int out[2] = {-1, -1}, errors[2] = {-1, -1}, rc = 0;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) {
        rc = errno;
    } else if (scanner != NULL) {
        rc = spawn_scanner(scanner, out[1], errors[1], files, n, &c->pid);
    } else {
        fflush(NULL); /* or the child would own a copy of what is still in stdio's buffers */
        c->pid = fork();
        rc = c->pid < 0 ? errno : 0;
        if (c->pid == 0)
            run_forked(out[1], errors[1], files, n);
    }
    if (out[1] >= 0)
        close(out[1]);
    if (errors[1] >= 0)
        close(errors[1]);
    if (rc == 0) {
        c->out = out[0];
        c->errors = errors[0];
        return LATHE_OK;
    }
    if (out[0] >= 0)
        close(out[0]);
    if (errors[0] >= 0)
        close(errors[0]);
    return lathe_fail_errno(err, rc, scanner, "the plugin scanner could not be started");
}

/* ---- parent: reading it ---- */

typedef struct scan {
    child c;
    lathe_buf line; /* what came, up to the next line break */
    lathe_buf last_words;
    const char *const *files;
    lathe_scan_result *results;
    size_t n;
    size_t next;    /* the file that the child is at */
    bool begun;     /* it said that it is */
    bool silent;    /* protocol broken */
    int32_t failed; /* the parent's own: LATHE_OK: not */
    lathe_error *err;
} scan;

static bool set_text(lathe_scan_result *r, lathe_file_status status, const char *text) {
    free(r->text);
    r->text = strdup(text);
    r->status = status;
    return r->text != NULL;
}

static void take_line(scan *s, const char *line, size_t len) {
    lathe_json_limits limits = {.max_bytes = MAX_LINE};
    lathe_error err = {0};
    int64_t index = -1;
    lathe_json *doc = lathe_json_read(line, len, NULL, &limits, &err);
    const cJSON *root = doc != NULL ? lathe_json_root(doc) : NULL;
    const cJSON *begin = lathe_json_get(root, "begin"), *end = lathe_json_get(root, "end");
    const cJSON *node = begin != NULL ? begin : end;
    if (err.code == LATHE_E_MEMORY) {
        s->failed = lathe_fail(s->err, LATHE_E_MEMORY, NULL, "out of memory for the scan");
        return;
    }
    if (node == NULL || !lathe_json_int64(doc, node, &index) || index < 0 ||
        (size_t)index != s->next || s->next >= s->n) {
        s->silent = true;
        lathe_json_free(doc);
        return;
    }
    s->begun = begin != NULL;
    if (end != NULL) {
        lathe_scan_result *r = &s->results[s->next];
        const cJSON *refused = lathe_json_get(root, "refused");
        const cJSON *plugins = lathe_json_get(root, "plugins");
        const cJSON *sdk = lathe_json_get(root, "sdk");
        if (cJSON_IsString(refused)) {
            set_text(r, LATHE_FILE_REFUSED, refused->valuestring);
        } else if (cJSON_IsArray(plugins) && cJSON_IsString(sdk)) {
            lathe_buf text = {0};
            lathe_json_print(doc, plugins, &text);
            set_text(r, LATHE_FILE_READY, lathe_buf_str(&text));
            lathe_buf_free(&text);
            r->sdk_version = strdup(sdk->valuestring);
        } else {
            s->silent = true;
        }
        s->next++;
    }
    lathe_json_free(doc);
}

static void take_bytes(scan *s, const char *data, size_t len) {
    while (len > 0 && !s->silent && s->failed == LATHE_OK) {
        const char *end = memchr(data, '\n', len);
        size_t n = end != NULL ? (size_t)(end - data) : len;
        if (s->line.len + n > MAX_LINE)
            s->silent = true;
        else
            lathe_buf_append(&s->line, data, n);
        if (end == NULL)
            return;
        if (s->line.failed)
            s->failed = lathe_fail(s->err, LATHE_E_MEMORY, NULL, "out of memory for the scan");
        else
            take_line(s, lathe_buf_str(&s->line), s->line.len);
        lathe_buf_clear(&s->line);
        data = end + 1;
        len -= n + 1;
    }
}

static void take_errors(scan *s, const char *data, size_t len) {
    if (s->last_words.len + len > STDERR_KEPT * 8)
        lathe_buf_clear(&s->last_words);
    if (len > STDERR_KEPT * 8)
        return;
    lathe_buf_append(&s->last_words, data, len);
}

/* Reads until the child's lines end (true) or the file it is at has had its time (false). */
static bool read_child(scan *s, int timeout_ms) {
    char data[16384];
    size_t at = s->next;
    int64_t deadline = lathe_now_ns() + (int64_t)timeout_ms * 1000000;
    struct pollfd fds[2] = {{s->c.out, POLLIN, 0}, {s->c.errors, POLLIN, 0}};
    while (!s->silent && s->failed == LATHE_OK) {
        if (s->next != at) {
            at = s->next;
            deadline = lathe_now_ns() + (int64_t)timeout_ms * 1000000;
        }
        int64_t left = (deadline - lathe_now_ns()) / 1000000;
        if (left <= 0)
            return false;
        int ready = poll(fds, 2, (int)left + 1);
        if (ready < 0 && errno != EINTR)
            s->failed = lathe_fail_errno(s->err, errno, NULL, "the scanner cannot be heard");
        if (ready <= 0)
            continue;
        if (fds[1].revents != 0) {
            ssize_t n = read(s->c.errors, data, sizeof data);
            if (n > 0)
                take_errors(s, data, (size_t)n);
            else
                fds[1].fd = -1;
        }
        if (fds[0].revents != 0) {
            ssize_t n = read(s->c.out, data, sizeof data);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                s->failed = lathe_fail_errno(s->err, errno, NULL, "the scanner cannot be heard");
            if (n <= 0)
                return true;
            take_bytes(s, data, (size_t)n);
        }
    }
    return true;
}

/* ---- parent: verdicts ---- */

static const char *signal_words(int sig) {
    switch (sig) {
    case SIGSEGV:
        return "a segmentation fault";
    case SIGBUS:
        return "a bus error";
    case SIGFPE:
        return "an arithmetic fault";
    case SIGILL:
        return "an illegal instruction";
    case SIGABRT:
        return "an abort";
    default:
        return "a signal";
    }
}

static void blame(scan *s, bool in_time, int timeout_ms, int status) {
    char words[STDERR_KEPT], text[2048];
    const char *path = s->files[s->next];
    const char *tail = lathe_buf_str(&s->last_words);
    if (s->last_words.len > STDERR_KEPT - 1)
        tail += s->last_words.len - (STDERR_KEPT - 1);
    lathe_text_clean(tail, STDERR_KEPT, words, sizeof words);
    const char *said = words[0] ? "; it said: " : "";
    const char *advice = "it is left alone until it changes; ask its author, or look again with "
                         "`lathe plugins rescan`";
    lathe_file_status verdict = LATHE_FILE_CRASHED;
    if (!in_time) {
        verdict = LATHE_FILE_HUNG;
        snprintf(text, sizeof text,
                 "%s cannot be used: loading it took more than %.1f seconds; %s%s%s", path,
                 timeout_ms / 1000.0, advice, said, words);
    } else if (s->silent) { /* and was killed for it */
        snprintf(text, sizeof text,
                 "%s cannot be used: it wrote rubbish in place of its description; %s%s%s", path,
                 advice, said, words);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        s->results[s->next].unsettled = true;
        snprintf(
            text, sizeof text,
            "%s cannot be used: the process that loaded it was killed from outside (signal 9), "
            "perhaps because memory was out; the next start looks at it again%s%s",
            path, said, words);
    } else if (WIFSIGNALED(status)) {
        snprintf(text, sizeof text, "%s cannot be used: loading it ended by %s (signal %d); %s%s%s",
                 path, signal_words(WTERMSIG(status)), WTERMSIG(status), advice, said, words);
    } else {
        snprintf(text, sizeof text,
                 "%s cannot be used: loading it ended the process with exit code %d; %s%s%s", path,
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1, advice, said, words);
    }
    set_text(&s->results[s->next], verdict, text);
}

/* One child over files[from …]; returns how many of them have a verdict now (at least 1, or an
 * error). */
static int32_t scan_some(const char *scanner, int timeout_ms, const char *const *files, size_t n,
                         lathe_scan_result *results, size_t *done, lathe_error *err) {
    scan s = {.files = files, .results = results, .n = n, .err = err};
    int32_t rc = start_child(scanner, files, n, &s.c, err);
    if (rc != LATHE_OK)
        return rc;
    bool in_time = read_child(&s, timeout_ms);
    bool complete = s.next == n;
    if (!in_time || s.silent || complete || s.failed != LATHE_OK)
        kill(s.c.pid, SIGKILL); /* a complete child may still hang in a destructor */
    int status = 0;
    while (waitpid(s.c.pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (s.failed == LATHE_OK && !complete && (s.begun || s.silent)) {
        blame(&s, in_time, timeout_ms, status);
        s.next++;
    }
    close(s.c.out);
    close(s.c.errors);
    lathe_buf_free(&s.line);
    lathe_buf_free(&s.last_words);
    *done = s.next;
    if (s.failed != LATHE_OK)
        return s.failed;
    if (s.next == 0) /* it never began: not a file's fault */
        return lathe_fail(
            err, LATHE_E_IO, scanner,
            "the plugin scanner ended without looking at a plugin; check the program");
    return LATHE_OK;
}

int32_t lathe_scan_files(const char *scanner, int timeout_ms, const char *const *files,
                         size_t n_files, lathe_scan_result *results, lathe_error *err) {
    if (timeout_ms <= 0)
        timeout_ms = DEFAULT_TIMEOUT_MS;
    memset(results, 0, n_files * sizeof *results);
    for (size_t from = 0; from < n_files;) {
        size_t n = n_files - from < MAX_FILES_A_CHILD ? n_files - from : MAX_FILES_A_CHILD;
        size_t done = 0;
        int32_t rc = scan_some(scanner, timeout_ms, files + from, n, results + from, &done, err);
        if (rc != LATHE_OK)
            return rc;
        from += done;
    }
    for (size_t i = 0; i < n_files; i++)
        if (results[i].text == NULL ||
            (results[i].status == LATHE_FILE_READY && results[i].sdk_version == NULL))
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory while scanning plugins");
    return LATHE_OK;
}

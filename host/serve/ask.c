#include "serve/ask.h"

#include "base/clock.h"
#include "pipeline/link.h"
#include "plugin/crumbs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 5000000 /* between two looks whether it has ended */
#define MAX_SAID 2000

extern char **environ;

/* A file in memory, above the descriptors that a worker expects. */
static int make_file(const char *name) {
    const int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return fd;
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    close(fd);
    return high;
}

/* What a worker gets, and what comes back: files in memory. */
typedef struct files {
    int in, out, said, crumbs; /* in -1: nothing */
    void *page;                /* of the crumbs; NULL: none */
} files_of;

static bool write_all(int fd, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        const ssize_t n = pwrite(fd, text + at, len - at, (off_t)at);
        if (n <= 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool open_files(const lathe_question *q, files_of *f) {
    *f = (files_of){.in = -1, .out = make_file("lathe-answer"), .said = make_file("lathe-said")};
    f->crumbs = make_file("lathe-crumbs");
    if (f->crumbs >= 0 && ftruncate(f->crumbs, (off_t)LATHE_CRUMBS_BYTES) == 0) {
        void *page =
            mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->crumbs, 0);
        f->page = page == MAP_FAILED ? NULL : page;
    }
    if (q->input != NULL) {
        f->in = make_file("lathe-question");
        if (f->in < 0 || !write_all(f->in, q->input, q->input_len))
            return false;
    }
    return f->out >= 0 && f->said >= 0;
}

static void close_files(files_of *f) {
    const int fds[] = {f->in, f->out, f->said, f->crumbs};
    if (f->page != NULL)
        munmap(f->page, LATHE_CRUMBS_BYTES);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int spawn(pid_t *pid, const lathe_question *q, const files_of *f) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    char *argv[24] = {(char *)(uintptr_t)q->executable, (char *)(uintptr_t) "worker"};
    for (size_t i = 0; q->args[i] != NULL && i < 20; i++)
        argv[i + 2] = (char *)(uintptr_t)q->args[i];
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (f->in >= 0)
        posix_spawn_file_actions_adddup2(&files, f->in, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, f->out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, f->said, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, f->out, LATHE_LINK_EVENTS_FD);
    if (f->page != NULL)
        posix_spawn_file_actions_adddup2(&files, f->crumbs, LATHE_LINK_CRUMBS_FD);
    const int code = posix_spawn(pid, q->executable, &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return code;
}

/* Waits for its end; false: it was killed. */
static bool wait_for(pid_t pid, int out, const lathe_question *q, int *status) {
    const int64_t end = lathe_now_ns() + (int64_t)(q->seconds * 1e9);
    for (;;) {
        struct stat st;
        const pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (lathe_now_ns() > end || (q->stop != NULL && atomic_load(q->stop)) ||
            (fstat(out, &st) == 0 && (size_t)st.st_size > q->max_bytes)) {
            kill(pid, SIGKILL);
            while (waitpid(pid, status, 0) < 0 && errno == EINTR)
                ;
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}

static void read_file(int fd, size_t max, lathe_buf *out) {
    char chunk[16384];
    off_t at = 0;
    ssize_t n;
    while ((size_t)at < max && (n = pread(fd, chunk, sizeof chunk, at)) > 0) {
        lathe_buf_append(out, chunk, (size_t)n);
        at += n;
    }
}

/* The last line of what it said, without the program's name. */
static const char *last_line(lathe_buf *said) {
    char *text = said->data ? said->data : (char *)(uintptr_t) "";
    size_t len = said->len;
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = 0;
    char *line = len > 0 ? strrchr(text, '\n') : NULL;
    line = line ? line + 1 : text;
    return strncmp(line, "lathe: ", 7) == 0 ? line + 7 : line;
}

/* Which plugin it was in when it ended; "": nobody knows. */
static const char *tell(const files_of *f, int number, char *text, size_t size) {
    lathe_crash crash;
    if (f->page == NULL || !lathe_crumbs_read(f->page, LATHE_CRUMBS_BYTES, &crash))
        snprintf(text, size, "the worker was ended by signal %d (%s)", number, strsignal(number));
    else
        lathe_crash_text(&crash, text, size);
    return text;
}

static int32_t take_answer(const lathe_question *q, const files_of *f, int status,
                           lathe_buf *answer, lathe_error *err) {
    char text[512];
    if (WIFSIGNALED(status) && q->partial)
        read_file(f->out, q->max_bytes, answer);
    if (WIFSIGNALED(status))
        return lathe_fail(err, LATHE_E_CRASHED, NULL, "%s",
                          tell(f, WTERMSIG(status), text, sizeof text));
    if (WEXITSTATUS(status) != 0) {
        lathe_buf said = {0};
        read_file(f->said, MAX_SAID, &said);
        const int32_t rc = lathe_fail(err, LATHE_E_DATA, NULL, "%s", last_line(&said));
        lathe_buf_free(&said);
        return rc;
    }
    read_file(f->out, q->max_bytes, answer);
    return answer->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the answer")
                          : LATHE_OK;
}

int32_t lathe_ask(const lathe_question *q, lathe_buf *answer, lathe_error *err) {
    files_of f;
    char text[512];
    pid_t pid = -1;
    int status = 0, code;
    int32_t rc;
    const bool opened = open_files(q, &f);
    if ((code = opened ? spawn(&pid, q, &f) : errno) != 0)
        rc = lathe_fail_errno(err, code, q->executable, "no worker could be started");
    else if (!wait_for(pid, f.out, q, &status)) {
        if (q->partial)
            read_file(f.out, q->max_bytes, answer);
        if (q->stop != NULL && atomic_load(q->stop))
            rc = lathe_fail(err, LATHE_E_CANCELLED, NULL, "the service ends");
        else
            rc =
                lathe_fail(err, LATHE_E_TIMEOUT, NULL,
                           "the worker (%s) had no answer within %.0f s and %zu MB: %s", q->args[0],
                           q->seconds, q->max_bytes >> 20, tell(&f, SIGKILL, text, sizeof text));
    } else
        rc = take_answer(q, &f, status, answer, err);
    close_files(&f);
    return rc;
}

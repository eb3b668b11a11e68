#include "serve/ask.h"

#include "base/clock.h"
#include "pipeline/link.h"

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

static int spawn(pid_t *pid, const char *executable, const char *const *args, int out, int said) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    char *argv[24] = {(char *)(uintptr_t)executable, (char *)(uintptr_t) "worker"};
    for (size_t i = 0; args[i] != NULL && i < 20; i++)
        argv[i + 2] = (char *)(uintptr_t)args[i];
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, said, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, LATHE_LINK_EVENTS_FD);
    const int code = posix_spawn(pid, executable, &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return code;
}

/* Waits for its end; false: it was killed. */
static bool wait_for(pid_t pid, int out, double seconds, size_t max_bytes, int *status) {
    const int64_t end = lathe_now_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        struct stat st;
        const pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (lathe_now_ns() > end || (fstat(out, &st) == 0 && (size_t)st.st_size > max_bytes)) {
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

int32_t lathe_ask(const char *executable, const char *const *args, double seconds, size_t max_bytes,
                  lathe_buf *answer, lathe_error *err) {
    const int out = make_file("lathe-answer"), said = make_file("lathe-said");
    lathe_buf text = {0};
    pid_t pid = -1;
    int status = 0;
    int code = out >= 0 && said >= 0 ? spawn(&pid, executable, args, out, said) : errno;
    int32_t rc = LATHE_OK;
    if (code != 0)
        rc = lathe_fail_errno(err, code, executable, "no worker could be started");
    else if (!wait_for(pid, out, seconds, max_bytes, &status))
        rc = lathe_fail(err, LATHE_E_TIMEOUT, NULL,
                        "the worker (%s) had no answer within %.0f s and %zu MB", args[0], seconds,
                        max_bytes >> 20);
    if (rc == LATHE_OK && WIFSIGNALED(status)) {
        rc = lathe_fail(err, LATHE_E_CRASHED, NULL, "the worker (%s) was ended by signal %d (%s)",
                        args[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (rc == LATHE_OK && WEXITSTATUS(status) != 0) {
        read_file(said, MAX_SAID, &text);
        rc = lathe_fail(err, LATHE_E_DATA, NULL, "%s", last_line(&text));
    } else if (rc == LATHE_OK) {
        read_file(out, max_bytes, answer);
        if (answer->failed)
            rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the answer");
    }
    lathe_buf_free(&text);
    if (out >= 0)
        close(out);
    if (said >= 0)
        close(said);
    return rc;
}

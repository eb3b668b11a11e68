#include "cli/child.h"

#include "base/clock.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "pipeline/link.h"
#include "plugin/crumbs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ANSWER ((size_t)64 << 20)

static volatile sig_atomic_t child_pid;
static volatile sig_atomic_t interrupted;

static void pass_on(int number) {
    (void)number;
    interrupted = 1;
    if (child_pid > 0)
        kill((pid_t)child_pid, SIGTERM);
}

/* A worker process of this program, and the page of its breadcrumbs. */
typedef struct child {
    pid_t pid;
    int crumbs_fd; /* -1: none */
    void *page;    /* NULL: none */
    int answer_fd; /* of its answer, -1: none */
} child;

static void make_page(child *c) {
    c->crumbs_fd = memfd_create("lathe-crumbs", MFD_CLOEXEC);
    if (c->crumbs_fd < 0 || ftruncate(c->crumbs_fd, (off_t)LATHE_CRUMBS_BYTES) != 0)
        return;
    void *page =
        mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->crumbs_fd, 0);
    c->page = page == MAP_FAILED ? NULL : page;
}

static void close_child(child *c) {
    if (c->page != NULL)
        munmap(c->page, LATHE_CRUMBS_BYTES);
    if (c->crumbs_fd >= 0)
        close(c->crumbs_fd);
    if (c->answer_fd >= 0)
        close(c->answer_fd);
}

/* In the child, after fork: the descriptors that a worker expects. dup2's copies survive exec. */
static _Noreturn void become_worker(const child *c, int answer_fd, pid_t parent, char **args) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive who asked */
    if (getppid() != parent)
        _exit(1);
    if (answer_fd >= 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* what a plugin prints is no answer */
        dup2(answer_fd, LATHE_LINK_EVENTS_FD);
    }
    if (c->crumbs_fd >= 0)
        dup2(c->crumbs_fd, LATHE_LINK_CRUMBS_FD);
    execv(args[0], args);
    _exit(127);
}

/* A copy of a descriptor above those that a worker expects, closed on exec. */
static int lift(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    close(fd);
    return high;
}

/* Starts `lathe worker VERB argv[1] …`. False: it could not, and said so. */
static bool start(child *c, const char *verb, int argc, char **argv, bool answers) {
    char *self = lathe_path_self();
    char **args = calloc((size_t)argc + 4, sizeof *args);
    int ends[2] = {-1, -1};
    *c = (child){.pid = -1, .crumbs_fd = -1, .answer_fd = -1};
    make_page(c);
    if (c->crumbs_fd >= 0)
        c->crumbs_fd = lift(c->crumbs_fd);
    if (self != NULL && args != NULL && (!answers || pipe(ends) == 0)) {
        args[0] = self;
        args[1] = (char *)(uintptr_t) "worker";
        args[2] = (char *)(uintptr_t)verb;
        for (int i = 1; i < argc; i++)
            args[i + 2] = argv[i];
        if (answers) {
            c->answer_fd = lift(ends[0]);
            ends[1] = lift(ends[1]);
        }
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        fflush(NULL);
        const pid_t parent = getpid();
        c->pid = fork();
        if (c->pid == 0)
            become_worker(c, ends[1], parent, args);
    }
    if (c->pid < 0)
        fprintf(stderr, "lathe: cannot start a worker: %s\n", strerror(errno));
    if (ends[1] >= 0)
        close(ends[1]);
    free(args);
    free(self);
    return c->pid > 0;
}

static int tell_crash(const void *page, int number, char *text, size_t size) {
    lathe_crash crash;
    if (page == NULL || !lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash))
        snprintf(text, size, "the worker was ended by signal %d (%s)", number, strsignal(number));
    else
        lathe_crash_text(&crash, text, size);
    return EXIT_FAILED;
}

static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

int cli_child(const char *verb, int argc, char **argv) {
    child c;
    char text[512];
    struct sigaction action = {.sa_handler = pass_on};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!start(&c, verb, argc, argv, false)) {
        close_child(&c);
        return EXIT_FAILED;
    }
    child_pid = c.pid;
    const int status = wait_for(c.pid);
    child_pid = 0;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    if (interrupted) {
        code = EXIT_INTERRUPTED;
    } else if (WIFSIGNALED(status)) {
        code = tell_crash(c.page, WTERMSIG(status), text, sizeof text);
        fprintf(stderr, "lathe: %s\n", text);
    }
    close_child(&c);
    return code;
}

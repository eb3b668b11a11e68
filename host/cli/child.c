#include "cli/child.h"

#include "base/fs.h"
#include "cli/cli.h"
#include "pipeline/link.h"
#include "plugin/crumbs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child_pid;
static volatile sig_atomic_t interrupted;

static void pass_on(int number) {
    (void)number;
    interrupted = 1;
    if (child_pid > 0)
        kill((pid_t)child_pid, SIGTERM);
}

static int tell_crash(void *page, int number) {
    lathe_crash crash;
    char text[512];
    if (page != NULL && lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash))
        fprintf(stderr, "lathe: %s\n", lathe_crash_text(&crash, text, sizeof text));
    else
        fprintf(stderr, "lathe: the worker was ended by signal %d (%s)\n", number, strsignal(number));
    return EXIT_FAILED;
}

int cli_child(const char *verb, int argc, char **argv) {
    char *self = lathe_path_self();
    char **args = calloc((size_t)argc + 4, sizeof *args);
    int fd = memfd_create("lathe-crumbs", MFD_CLOEXEC);
    void *page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)LATHE_CRUMBS_BYTES) == 0)
        page = mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (self == NULL || args == NULL) {
        free(self);
        free(args);
        return EXIT_FAILED;
    }
    args[0] = self;
    args[1] = (char *)(uintptr_t)"worker";
    args[2] = (char *)(uintptr_t)verb;
    for (int i = 1; i < argc; i++)
        args[i + 2] = argv[i];
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    struct sigaction action = {.sa_handler = pass_on};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (fd >= 0)
            dup2(fd, LATHE_LINK_CRUMBS_FD); /* the copy survives exec */
        execv(self, args);
        _exit(127);
    }
    child_pid = pid;
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    int code = pid < 0 ? EXIT_FAILED : WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
    if (pid < 0)
        fprintf(stderr, "lathe: cannot start a worker: %s\n", strerror(errno));
    else if (interrupted)
        code = EXIT_INTERRUPTED;
    else if (WIFSIGNALED(status))
        code = tell_crash(page == MAP_FAILED ? NULL : page, WTERMSIG(status));
    if (page != MAP_FAILED)
        munmap(page, LATHE_CRUMBS_BYTES);
    if (fd >= 0)
        close(fd);
    free(args);
    free(self);
    return code;
}

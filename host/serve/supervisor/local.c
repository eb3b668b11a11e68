/* The home's own socket: the control API for whoever may write the home anyway, by the file's permissions. */
#include "base/fs.h"
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* A socket's address has room for a hundred characters: a home with a longer path is reached through its descriptor. */
static int32_t bind_in(int fd, int home, lathe_error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" LATHE_CONTROL_SOCKET,
             home);
    unlinkat(home, LATHE_CONTROL_SOCKET, 0); /* the home is ours: what is there is a dead owner's */
    /* from the moment it has its name nobody else gets in */
    if (fchmod(fd, 0600) != 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        fchmodat(home, LATHE_CONTROL_SOCKET, 0600, 0) != 0 || listen(fd, BACKLOG) != 0)
        return lathe_fail_errno(err, errno, LATHE_CONTROL_SOCKET,
                                "the home's own socket cannot be opened");
    return LATHE_OK;
}

int32_t lathe_local_open(lathe_supervisor *s, lathe_error *err) {
    const int home = open(lathe_store_home(s->store), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int32_t rc = home >= 0 && fd >= 0 ? bind_in(fd, home, err)
                                      : lathe_fail_errno(err, errno, LATHE_CONTROL_SOCKET,
                                                         "the home's own socket cannot be opened");
    if (home >= 0)
        close(home);
    if (rc != LATHE_OK) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    const lathe_http_options options = {.limits = s->config.limits,
                                        .server_name = "lathe",
                                        .on_request = lathe_api_request_local,
                                        .user = s};
    return lathe_http_start(&s->loop, fd, &options, &s->local, err);
}

static void on_stopped(void *user) {
    lathe_supervisor *s = user;
    s->local = NULL;
    lathe_supervisor_worker_gone(s);
}

void lathe_local_stop(lathe_supervisor *s, uint64_t grace_ms) {
    if (s->local != NULL)
        lathe_http_stop(s->local, grace_ms, on_stopped, s);
}

void lathe_local_remove(const lathe_supervisor *s) {
    char *path = lathe_path_join(lathe_store_home(s->store), LATHE_CONTROL_SOCKET);
    if (path != NULL)
        unlink(path);
    free(path);
}

#include "serve/supervisor/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3

/* A whole number in the environment; -1: absent or no number. */
static long long number_in(const char *name) {
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    return *end == 0 && errno == 0 ? value : -1;
}

/* ---- telling ---- */

static void open_notify(lathe_systemd *systemd) {
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t len = path ? strlen(path) : 0;
    /* a longer name cannot be bound either */
    if (len < 2 || len >= sizeof systemd->address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    systemd->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    systemd->address.sun_family = AF_UNIX;
    memcpy(systemd->address.sun_path, path, len);
    if (path[0] == '@')
        systemd->address.sun_path[0] = 0;
    systemd->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void open_watchdog(lathe_systemd *systemd) {
    const long long usec = number_in("WATCHDOG_USEC"), pid = number_in("WATCHDOG_PID");
    if (usec > 0 && (getenv("WATCHDOG_PID") == NULL || pid == (long long)getpid()))
        systemd->watchdog_ms = usec > 2000 ? (uint64_t)usec / 2000 : 1;
}

void lathe_systemd_tell(const lathe_systemd *systemd, const char *fmt, ...) {
    char text[512];
    va_list args;
    if (systemd->fd < 0)
        return;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const size_t len = n < 0 ? 0 : n >= (int)sizeof text ? sizeof text - 1 : (size_t)n;
    ssize_t sent;
    do
        sent = sendto(systemd->fd, text, len, MSG_NOSIGNAL,
                      (const struct sockaddr *)&systemd->address, systemd->address_len);
    while (sent < 0 && errno == EINTR);
}

/* ---- sockets handed over ---- */

static int32_t check_socket(int fd, const char *name, lathe_error *err) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address, int_len = sizeof(int);
    int type = 0, listening = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_len) != 0 ||
        (int_len = sizeof(int), getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len)) !=
            0)
        return lathe_fail_errno(err, errno, "LISTEN_FDS", "descriptor %d (\"%.60s\") is no socket",
                                fd, name);
    if ((address.ss_family != AF_INET && address.ss_family != AF_INET6) || type != SOCK_STREAM ||
        !listening)
        return lathe_fail(err, LATHE_E_INVALID, "LISTEN_FDS",
                          "descriptor %d (\"%.60s\") is no listening TCP socket; expected "
                          "ListenStream=ADDRESS:PORT and Accept=no",
                          fd, name);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return lathe_fail_errno(err, errno, "LISTEN_FDS", "descriptor %d cannot be prepared", fd);
    return LATHE_OK;
}

static int32_t take_socket(lathe_systemd *systemd, int fd, const char *name, lathe_error *err) {
    int32_t rc = check_socket(fd, name, err);
    if (rc != LATHE_OK)
        return rc;
    if (strcmp(name, "inference") == 0) {
        systemd->inference[systemd->n_inference++] = fd;
        return LATHE_OK;
    }
    if (strcmp(name, "control") != 0)
        return lathe_fail(
            err, LATHE_E_INVALID, "LISTEN_FDNAMES",
            "descriptor %d is named \"%.60s\"; expected FileDescriptorName=control or "
            "FileDescriptorName=inference in its socket unit",
            fd, name);
    if (systemd->control >= 0)
        return lathe_fail(err, LATHE_E_INVALID, "LISTEN_FDNAMES",
                          "two sockets are named \"control\"; there can be one");
    systemd->control = fd;
    return LATHE_OK;
}

static int32_t open_sockets(lathe_systemd *systemd, lathe_error *err) {
    const long long n = number_in("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    int32_t rc = LATHE_OK;
    if (n <= 0 || number_in("LISTEN_PID") != (long long)getpid())
        return LATHE_OK;
    if (n > LATHE_SYSTEMD_SOCKETS)
        return lathe_fail(err, LATHE_E_INVALID, "LISTEN_FDS",
                          "%lld sockets; at most %d are possible", n, LATHE_SYSTEMD_SOCKETS);
    for (int i = 0; rc == LATHE_OK && i < (int)n; i++) {
        char name[256];
        const size_t len = names ? strcspn(names, ":") : 0;
        snprintf(name, sizeof name, "%.*s", (int)(len < 255 ? len : 255), names ? names : "");
        rc = take_socket(systemd, FIRST_FD + i, name, err);
        names = names && names[len] == ':' ? names + len + 1 : NULL;
    }
    return rc;
}

int32_t lathe_systemd_open(lathe_systemd *systemd, lathe_error *err) {
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    *systemd = (lathe_systemd){.fd = -1, .control = -1};
    open_notify(systemd);
    open_watchdog(systemd);
    const int32_t rc = open_sockets(systemd, err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return rc;
}

void lathe_systemd_close(lathe_systemd *systemd) {
    if (systemd->fd >= 0)
        close(systemd->fd);
    systemd->fd = -1;
}

/* The inference port: a listening socket a worker, which outlives it. */
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <errno.h>
#include <sys/socket.h>

#define BACKLOG 1024

static int32_t fail_port(lathe_error *err) {
    return lathe_fail_errno(err, errno, "inference", "the inference port cannot be opened");
}

int32_t lathe_workers_make_sockets(lathe_supervisor *s, lathe_error *err) {
    const int one = 1;
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(s->config.inference, &address, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++) {
        int *fd = &s->workers[i].socket;
        if (s->systemd.n_inference > 0) { /* the manager's; several workers may take from one */
            *fd = s->systemd.inference[(size_t)i % s->systemd.n_inference];
            continue;
        }
        *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
            setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
            rc = fail_port(err);
    }
    return rc;
}

int32_t lathe_workers_listen(lathe_supervisor *s, lathe_error *err) {
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(s->config.inference, &address, err);
    for (int i = 0; rc == LATHE_OK && i < s->n_workers; i++) {
        const int fd = s->workers[i].socket;
        socklen_t len =
            address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (s->systemd.n_inference == 0 &&
            (bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, BACKLOG) != 0))
            rc = fail_port(err);
        len = sizeof address;
        if (rc == LATHE_OK && i == 0) /* a port of 0 is chosen by the first */
            getsockname(fd, (struct sockaddr *)&address, &len);
    }
    if (rc == LATHE_OK) {
        char text[64] = "";
        if (address.ss_family == AF_INET)
            uv_ip4_name((struct sockaddr_in *)&address, text, sizeof text);
        else
            uv_ip6_name((struct sockaddr_in6 *)&address, text, sizeof text);
        lathe_log(LATHE_LEVEL_INFO, "serve", "inference on %s://%s:%d/v2",
                  s->config.tls_key ? "https" : "http", text,
                  ntohs(((struct sockaddr_in *)&address)->sin_port));
    }
    return rc;
}

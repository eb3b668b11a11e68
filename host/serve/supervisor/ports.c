/* The two ports: who may reach them is known before anyone can. */
#include "base/log.h"
#include "serve/supervisor/internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Off-loopback is for those who have tokens, or said so. */
static int32_t check_exposure(const lathe_supervisor *s, const char *text, lathe_error *err) {
    struct sockaddr_storage address;
    int32_t rc = lathe_serve_address(text, &address, err);
    if (rc != LATHE_OK || lathe_serve_is_loopback(&address))
        return rc;
    if (!lathe_auth_required(s->auth) && !s->config.insecure)
        return lathe_fail(err, LATHE_E_INVALID, text,
                          "this address can be reached from other machines, and there is no token "
                          "yet, so that anyone "
                          "could change what is served; make one (lathe tokens create NAME --role "
                          "admin), listen on "
                          "loopback, or say --insecure");
    lathe_log(LATHE_LEVEL_WARN, "serve", "%s can be reached from other machines%s", text,
              lathe_auth_required(s->auth) && s->config.tls_key != NULL ? ""
              : lathe_auth_required(s->auth)
                  ? "; tokens cross the network as they are where nothing encrypts it"
                  : " and needs no token");
    return rc;
}

static int32_t bind_control(const char *text, int *fd, lathe_error *err) {
    struct sockaddr_storage address;
    const int one = 1;
    *fd = -1;
    int32_t rc = lathe_serve_address(text, &address, err);
    if (rc != LATHE_OK)
        return rc;
    const socklen_t size =
        address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(*fd, (struct sockaddr *)&address, size) == 0 && listen(*fd, 128) == 0)
        return LATHE_OK;
    rc = lathe_fail_errno(err, errno, text, "the control port cannot be opened");
    if (*fd >= 0)
        close(*fd);
    return rc;
}

static int32_t open_control(lathe_supervisor *s, lathe_error *err) {
    struct sockaddr_storage address;
    int fd = s->systemd.control; /* the manager's, else one of our own */
    int32_t rc = fd >= 0 ? LATHE_OK : bind_control(s->config.listen, &fd, err);
    if (rc == LATHE_OK && s->config.tls_key != NULL) {
        rc = lathe_tls_load(&s->tls, s->config.tls_certificate, s->config.tls_key, err);
        if (rc != LATHE_OK)
            close(fd);
    }
    if (rc != LATHE_OK)
        return rc;
    socklen_t len = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &len);
    lathe_log(LATHE_LEVEL_INFO, "serve", "control plane on port %d (/api/v1, /metrics)%s",
              ntohs(((struct sockaddr_in *)&address)->sin_port), s->tls ? " with TLS" : "");
    const lathe_http_options options = {.limits = s->config.limits,
                                        .server_name = "lathe",
                                        .tls = s->tls,
                                        .on_request = lathe_api_request,
                                        .user = s};
    return lathe_http_start(&s->loop, fd, &options, &s->control, err);
}

int32_t lathe_supervisor_open_ports(lathe_supervisor *s, lathe_error *err) {
    int32_t rc = check_exposure(s, s->config.inference, err);
    if (rc == LATHE_OK)
        rc = check_exposure(s, s->config.listen, err);
    if (rc == LATHE_OK)
        rc = open_control(s, err);
    return rc == LATHE_OK ? lathe_workers_listen(s, err) : rc;
}

/* serve/supervisor/systemd.h: what a service manager hands over and wants to hear, without its library.
 *
 * sd_notify(3): datagrams to the unix socket $NOTIFY_SOCKET (a path, or "@name": abstract): READY=1, RELOADING=1, STOPPING=1,
 * WATCHDOG=1, STATUS=…; nothing happens where there is no socket. sd_listen_fds(3): sockets from descriptor 3 on, $LISTEN_FDS
 * of them for the process $LISTEN_PID, named by $LISTEN_FDNAMES. Reading takes the variables out of the environment, so
 * that no child, and no plugin in it, speaks for the service. [loop]
 */
#ifndef LATHE_SERVE_SYSTEMD_H
#define LATHE_SERVE_SYSTEMD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LATHE_SYSTEMD_SOCKETS 64

typedef struct lathe_systemd {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_len;
    uint64_t watchdog_ms; /* half of what the manager waits; 0: no watchdog */
    int control;          /* a listening socket that was handed over; -1: none */
    int inference[LATHE_SYSTEMD_SOCKETS];
    size_t n_inference;
} lathe_systemd;

/* Reads the environment. LATHE_E_INVALID: a socket handed over is not named "control" or "inference", does not listen, or is
 * no TCP socket; the sentence says which. */
int32_t lathe_systemd_open(lathe_systemd *systemd, lathe_error *err);
void lathe_systemd_close(lathe_systemd *systemd);

/* Sends one state, lines such as "READY=1\nSTATUS=…". What cannot be sent is lost: the manager has its own timeout. */
void lathe_systemd_tell(const lathe_systemd *systemd, const char *fmt, ...) LATHE_PRINTF(2, 3);

#endif

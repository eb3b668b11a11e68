/* cli/bench_tls.h: TLS between the wire and a connection of the load, over two memory BIOs of OpenSSL's. One thread. */
#ifndef LATHE_CLI_BENCH_TLS_H
#define LATHE_CLI_BENCH_TLS_H

#include "base/buf.h"
#include "base/error.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/* ca_file: certificates that are trusted, PEM; NULL: the system's. LATHE_E_INVALID: they cannot be read. */
int32_t bench_tls_new(const char *ca_file, SSL_CTX **context, lathe_error *err);

/* A connection to a host whose certificate must be for that name or address. NULL: out of memory. */
SSL *bench_tls_open(SSL_CTX *context, const char *host);

/* Takes what came from the wire, and appends to *plain what it holds, to *wire what is to be sent for it. False: the
 * connection is of no use; why says so. */
bool bench_tls_receive(SSL *tls, const char *data, size_t len, lathe_buf *plain, lathe_buf *wire,
                       char why[200]);
/* Is the handshake over? Before it is, what is sealed waits for it: call begin first, to have its first message on the wire. */
bool bench_tls_is_open(const SSL *tls);
bool bench_tls_begin(SSL *tls, lathe_buf *wire, char why[200]);
/* Appends to *wire what these bytes become. */
bool bench_tls_seal(SSL *tls, const char *data, size_t len, lathe_buf *wire, char why[200]);

#endif

/* serve/tls.h: certificate and key for the two ports. TLS 1.2 and later; the system's own policy may ask for more. [loop] */
#ifndef LATHE_SERVE_TLS_H
#define LATHE_SERVE_TLS_H

#include "base/error.h"

#include <openssl/ssl.h>

/* Reads both (PEM; the certificate with its chain). Into a context that is there: connections that begin from now on have
 * them, and on failure it stays as it was. *context NULL: a new one. LATHE_E_INVALID: a file cannot be read, is no PEM, or the
 * key is another's; err->where is the file. */
int32_t lathe_tls_load(SSL_CTX **context, const char *certificate, const char *key,
                       lathe_error *err);

#endif

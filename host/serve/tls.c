#include "serve/tls.h"

#include <openssl/err.h>
#include <stddef.h>

static int32_t fail(lathe_error *err, const char *path, const char *what) {
    char reason[200] = "";
    const unsigned long code = ERR_peek_last_error();
    if (code != 0)
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return lathe_fail(err, LATHE_E_INVALID, path, "%s (%s)", what, reason);
}

static int32_t read_both(SSL_CTX *context, const char *certificate, const char *key,
                         lathe_error *err) {
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return fail(err, certificate, "the TLS certificate cannot be used; expected a PEM file");
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        return fail(err, key,
                    "the TLS key cannot be used with the certificate; expected its PEM file");
    return LATHE_OK;
}

static SSL_CTX *new_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL)
        return NULL;
    if (SSL_CTX_get_min_proto_version(context) < TLS1_2_VERSION)
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_NO_RENEGOTIATION);
    return context;
}

int32_t lathe_tls_load(SSL_CTX **context, const char *certificate, const char *key,
                       lathe_error *err) {
    SSL_CTX *fresh = new_context();
    if (fresh == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "TLS cannot be set up: out of memory");
    int32_t rc = read_both(fresh, certificate, key, err);
    if (rc == LATHE_OK && *context == NULL) {
        *context = fresh;
        return LATHE_OK;
    }
    if (rc == LATHE_OK) /* tried on the fresh one first: half a change would shut everybody out */
        rc = read_both(*context, certificate, key, err);
    SSL_CTX_free(fresh);
    return rc;
}

#include "cli/bench_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

int32_t bench_tls_new(const char *ca_file, SSL_CTX **context, lathe_error *err) {
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    *context = NULL;
    if (c == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    ERR_clear_error();
    const int trusted = ca_file != NULL ? SSL_CTX_load_verify_file(c, ca_file)
                                        : SSL_CTX_set_default_verify_paths(c);
    if (trusted != 1) {
        char text[160];
        ERR_error_string_n(ERR_get_error(), text, sizeof text);
        SSL_CTX_free(c);
        return lathe_fail(err, LATHE_E_INVALID, ca_file ? ca_file : "the system's certificates",
                          "it holds no certificates in PEM form (%s)", text);
    }
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    *context = c;
    return LATHE_OK;
}

static bool set_peer(SSL *tls, const char *host) {
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1;
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

SSL *bench_tls_open(SSL_CTX *context, const char *host) {
    ERR_clear_error();
    SSL *tls = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (tls == NULL || in == NULL || out == NULL || !set_peer(tls, host)) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(tls);
        return NULL;
    }
    SSL_set_bio(tls, in, out); /* they are the SSL's now */
    SSL_set_connect_state(tls);
    return tls;
}

/* The reason that OpenSSL has for its last failure. */
static bool fail(const SSL *tls, char why[200]) {
    const long verified = SSL_get_verify_result(tls);
    const unsigned long code = ERR_peek_last_error();
    if (verified != X509_V_OK)
        snprintf(why, 200, "the service's certificate is not trusted: %s (--ca FILE)",
                 X509_verify_cert_error_string(verified));
    else
        snprintf(why, 200, "TLS failed: %s",
                 code != 0 ? ERR_reason_error_string(code) : "the service ended it");
    return false;
}

static bool take_cipher(SSL *tls, lathe_buf *wire) {
    char chunk[16384];
    int n;
    while ((n = BIO_read(SSL_get_wbio(tls), chunk, sizeof chunk)) > 0)
        lathe_buf_append(wire, chunk, (size_t)n);
    return !wire->failed;
}

bool bench_tls_is_open(const SSL *tls) {
    return SSL_is_init_finished(tls);
}

bool bench_tls_begin(SSL *tls, lathe_buf *wire, char why[200]) {
    ERR_clear_error();
    const int rc = SSL_do_handshake(tls);
    if (rc != 1 && SSL_get_error(tls, rc) != SSL_ERROR_WANT_READ)
        return fail(tls, why);
    return take_cipher(tls, wire);
}

bool bench_tls_receive(SSL *tls, const char *data, size_t len, lathe_buf *plain, lathe_buf *wire,
                       char why[200]) {
    char chunk[16384];
    int n;
    ERR_clear_error();
    if (len > INT_MAX || BIO_write(SSL_get_rbio(tls), data, (int)len) != (int)len)
        return fail(tls, why);
    while ((n = SSL_read(tls, chunk, sizeof chunk)) > 0) /* the handshake too */
        lathe_buf_append(plain, chunk, (size_t)n);
    const int code = SSL_get_error(tls, n);
    const bool good = code == SSL_ERROR_WANT_READ || code == SSL_ERROR_ZERO_RETURN;
    if (!good)
        fail(tls, why);
    return take_cipher(tls, wire) && good && !plain->failed;
}

bool bench_tls_seal(SSL *tls, const char *data, size_t len, lathe_buf *wire, char why[200]) {
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(tls, data, len, &written) != 1 || written != len)
        return fail(tls, why);
    return take_cipher(tls, wire);
}

/* TLS between the wire and a connection, over two memory BIOs of OpenSSL's: no socket is ever OpenSSL's. */
#include "serve/http/internal.h"

#include <limits.h>
#include <openssl/err.h>

bool http_tls_open(http_conn *c) {
    ERR_clear_error();
    c->tls = SSL_new(c->server->options.tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (c->tls == NULL || in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(c->tls);
        c->tls = NULL;
        return false;
    }
    SSL_set_bio(c->tls, in, out); /* they are the SSL's now */
    SSL_set_options(c->tls, SSL_OP_NO_RENEGOTIATION);
    SSL_set_mode(c->tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_set_accept_state(c->tls);
    return true;
}

void http_tls_close(http_conn *c) {
    SSL_free(c->tls);
    c->tls = NULL;
}

static bool take_cipher(http_conn *c) {
    BIO *wire = SSL_get_wbio(c->tls);
    const size_t waiting = BIO_ctrl_pending(wire);
    if (waiting == 0)
        return true;
    if (waiting > INT_MAX || !http_out_room(c->server, &c->cipher, waiting))
        return false;
    if (BIO_read(wire, c->cipher.data + c->cipher.len, (int)waiting) != (int)waiting)
        return false;
    c->cipher.len += waiting;
    return true;
}

bool http_tls_seal(http_conn *c) {
    const size_t len = c->out.len - c->out.start;
    size_t written = 0;
    ERR_clear_error();
    if (len > 0 &&
        (SSL_write_ex(c->tls, c->out.data + c->out.start, len, &written) != 1 || written != len))
        return false;
    if (c->out.data != NULL)
        http_out_give(c->server, &c->out);
    return take_cipher(c);
}

void http_tls_end(http_conn *c) {
    ERR_clear_error();
    if (!SSL_is_init_finished(c->tls) || (SSL_get_shutdown(c->tls) & SSL_SENT_SHUTDOWN) != 0)
        return;
    SSL_shutdown(c->tls);
    take_cipher(c);
}

void http_tls_receive(http_conn *c, const uint8_t *data, size_t len) {
    ERR_clear_error();
    if (BIO_write(SSL_get_rbio(c->tls), data, (int)len) != (int)len) {
        http_conn_cut(c);
        return;
    }
    int n;
    while (!c->is_closing &&
           (n = SSL_read(c->tls, c->server->plain, sizeof c->server->plain)) > 0) {
        http_conn_receive(c, (const uint8_t *)c->server->plain, (size_t)n);
        ERR_clear_error();
    }
    if (c->is_closing)
        return;
    const int why = SSL_get_error(c->tls, n);
    if (why == SSL_ERROR_ZERO_RETURN) {
        http_conn_eof(c);
        return;
    }
    http_conn_flush(c); /* of the handshake, or an alert */
    if (why != SSL_ERROR_WANT_READ)
        http_conn_cut(c);
}

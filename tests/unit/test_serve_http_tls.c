/* The HTTP server with TLS. */
#include "support_http.h"

#include "serve/http/http.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static SSL_CTX *self_signed(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(ctx, cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static size_t tls_hear(SSL *tls, char *to, size_t size, const char *until) {
    size_t len = 0;
    int n;
    while (len + 1 < size && (n = SSL_read(tls, to + len, (int)(size - 1 - len))) > 0) {
        len += (size_t)n;
        to[len] = '\0';
        if (until != NULL && strstr(to, until) != NULL)
            break;
    }
    return len;
}

START_TEST(speaks_tls) {
    SSL_CTX *server = self_signed(), *client = SSL_CTX_new(TLS_client_method());
    http_start(&hasty, server);
    static char text[1 << 20];
    for (int old = 0; old < 2; old++) {
        SSL_CTX_set_max_proto_version(client, old ? TLS1_2_VERSION : TLS1_3_VERSION);
        const int fd = dial();
        SSL *tls = SSL_new(client);
        SSL_set_fd(tls, fd);
        ck_assert_int_eq(SSL_connect(tls), 1);
        static const char request[] = POST("/", "5", "hello") GET("/later?ms=20&x");
        ck_assert_int_gt(SSL_write(tls, request, sizeof request - 1), 0);
        tls_hear(tls, text, sizeof text, "ms=20&x");
        ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nhelloHTTP/1.1 200 OK\r\n"));
        static char large[100000];
        memset(large, 'z', sizeof large);
        const int n =
            snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                     sizeof large);
        ck_assert_int_gt(SSL_write(tls, text, n), 0);
        ck_assert_int_gt(SSL_write(tls, large, sizeof large), 0);
        tls_hear(tls, text, sizeof text, "\r\n\r\n");
        while (strchr(text, 'z') == NULL || strlen(strchr(text, 'z')) < sizeof large)
            tls_hear(tls, text + strlen(text), sizeof text - strlen(text), "z");
        static const char bad[] = "BAD\r\n\r\n";
        ck_assert_int_gt(SSL_write(tls, bad, sizeof bad - 1), 0);
        tls_hear(tls, text, sizeof text, NULL);
        is_json_error(text, 400);
        ck_assert_int_eq(SSL_get_shutdown(tls), SSL_RECEIVED_SHUTDOWN); /* a proper end */
        SSL_free(tls);
        close(fd);
    }
    int fd = dial(); /* plain text to a TLS port, and one that never shakes hands */
    say(fd, GET("/"));
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        continue;
    close(fd);
    fd = dial();
    ck_assert_str_eq(hear(fd), "");
    http_stop();
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}
END_TEST

int main(void) {
    const http_test tests[] = {{"tls", speaks_tls}};
    return http_run("serve/http_tls", tests, sizeof tests / sizeof *tests);
}

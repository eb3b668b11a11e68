/* Bodies in gzip and deflate: refused, or within the limit, and the same however they are cut. The first byte chooses the coding
 * and the length of the pieces. */
#include "fuzz.h"
#include "serve/http/parse.h"

#define MAX_BODY 50000

typedef struct outcome {
    int status; /* 0: a whole request */
    uint32_t sum;
} outcome;

static outcome run(const char *head, const uint8_t *data, size_t size, size_t piece) {
    static const lathe_http_limits limits = {.max_head = 2048, .max_body = MAX_BODY};
    http_parse p = {0};
    outcome o = {-1, 0};
    size_t used;
    http_parse_begin(&p, &limits);
    http_event event = http_parse_feed(&p, (const uint8_t *)head, strlen(head), &used);
    while (size > 0 && event != HTTP_REFUSED && event != HTTP_DONE) {
        const size_t len = size < piece ? size : piece;
        event = http_parse_feed(&p, data, len, &used);
        FUZZ_CHECK(used <= len);
        data += used;
        size -= used;
    }
    if (event == HTTP_REFUSED)
        FUZZ_CHECK((o.status = p.status) >= 400 && p.reason != NULL);
    if (event == HTTP_DONE) {
        o.status = 0;
        FUZZ_CHECK(p.request.body_len <= MAX_BODY);
        o.sum = lathe_crc32(0, p.request.body, p.request.body_len);
    }
    http_parse_free(&p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char head[200];
    if (size < 2)
        return 0;
    snprintf(head, sizeof head,
             "POST /x HTTP/1.1\r\nhost: a\r\ncontent-encoding: %s\r\ncontent-length: %zu\r\n\r\n",
             data[0] % 2 ? "deflate" : "gzip", size - 1);
    const outcome whole = run(head, data + 1, size - 1, size),
                  pieces = run(head, data + 1, size - 1, (size_t)(data[0] / 2) % 20 + 1);
    FUZZ_CHECK(whole.status >= 0);
    FUZZ_CHECK(whole.status == pieces.status && whole.sum == pieces.sum);
    return 0;
}

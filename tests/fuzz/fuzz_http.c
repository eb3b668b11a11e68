/* Requests: however the bytes are cut into pieces, the outcome is the same. */
#include "fuzz.h"
#include "serve/http/parse.h"

#define MAX_REQUESTS 8

/* What came out, told in numbers. */
typedef struct outcome {
    int requests, status;
    uint32_t sum;
} outcome;

static uint32_t add(uint32_t sum, const void *data, size_t len) {
    return lathe_crc32(sum, data, len);
}

static void take(http_parse *p, outcome *o) {
    const lathe_http_request *r = &p->request;
    const lathe_http_text host = http_parse_header(p, "host");
    FUZZ_CHECK(strstr(r->path, "..") == NULL || strstr(r->path, "/../") == NULL);
    o->sum = add(o->sum, r->method, strlen(r->method));
    o->sum = add(o->sum, r->path, strlen(r->path));
    o->sum = add(o->sum, r->query, strlen(r->query));
    o->sum = add(o->sum, r->body, r->body_len);
    if (host.ptr != NULL)
        o->sum = add(o->sum, host.ptr, host.len);
    o->requests++;
}

static outcome run(const uint8_t *data, size_t size, size_t piece) {
    static const lathe_http_limits limits = {.max_head = 2048, .max_body = 1 << 16};
    http_parse p = {0};
    outcome o = {0};
    http_parse_begin(&p, &limits);
    while (size > 0 && o.requests < MAX_REQUESTS) {
        size_t used = 0;
        const size_t len = size < piece ? size : piece;
        const http_event event = http_parse_feed(&p, data, len, &used);
        FUZZ_CHECK(used <= len);
        data += used;
        size -= used;
        if (event == HTTP_REFUSED) {
            FUZZ_CHECK(p.status >= 400 && p.status < 600 && p.reason != NULL);
            o.status = p.status;
            break;
        }
        if (event == HTTP_DONE) {
            take(&p, &o);
            http_parse_begin(&p, &limits);
        }
    }
    http_parse_free(&p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    const size_t piece = (size_t)(data[0] % 32) + 1;
    const outcome whole = run(data + 1, size - 1, size), pieces = run(data + 1, size - 1, piece);
    FUZZ_CHECK(whole.requests == pieces.requests && whole.status == pieces.status &&
               whole.sum == pieces.sum);
    return 0;
}

/* Queries and bodies of the control API, by the fields of its routes. The first byte chooses the route, the first line is the
 * query, the rest the body. */
#include "fuzz.h"
#include "serve/api/api.h"

static const api_route *route(size_t index) {
    for (;;)
        for (size_t t = 0; api_tables[t] != NULL; t++)
            for (const api_route *r = api_tables[t]; r->method != NULL; r++)
                if (index-- == 0)
                    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lathe_error err = {0};
    cJSON *query = NULL, *body = NULL;
    if (size < 1)
        return 0;
    const api_route *r = route(data[0]);
    const char *text = (const char *)data + 1;
    const size_t len = size - 1;
    const char *line = memchr(text, '\n', len);
    const size_t query_len = line != NULL ? (size_t)(line - text) : len;
    const size_t skip = line != NULL ? query_len + 1 : len;
    char *copy = strndup(text, query_len);
    FUZZ_CHECK(copy != NULL);
    int32_t rc = api_read_query(copy, r->query, &query, &err);
    FUZZ_CHECK(rc == LATHE_OK ? cJSON_IsObject(query) : err.message[0] != 0);
    if (r->body_schema == NULL) {
        lathe_error_clear(&err);
        rc = api_read_body(text + skip, len - skip, r->body, &body, &err);
        FUZZ_CHECK(rc == LATHE_OK ? cJSON_IsObject(body) : err.message[0] != 0);
    }
    cJSON_Delete(query);
    cJSON_Delete(body);
    free(copy);
    return 0;
}

/* Credentials and origins: nobody gets in but with the one secret there is. A line each: Authorization, X-API-Key, Host,
 * Origin; an empty one is an absent header. */
#include "fuzz.h"
#include "serve/auth/auth.h"

#define SECRET "lathe_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static lathe_auth *table(void) {
    static lathe_auth *auth;
    char digest[LATHE_SHA256_HEX];
    if (auth != NULL)
        return auth;
    FUZZ_CHECK(lathe_sha256_hex(SECRET, strlen(SECRET), digest));
    cJSON *message = cJSON_CreateObject(), *body = cJSON_AddObjectToObject(message, "auth"),
          *token = cJSON_CreateObject();
    cJSON_AddTrueToObject(body, "required");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "tokens"), token);
    cJSON_AddStringToObject(token, "name", "a");
    cJSON_AddStringToObject(token, "sha256", digest);
    cJSON_AddStringToObject(token, "role", "infer");
    cJSON_AddStringToObject(token, "project", "p");
    cJSON_AddNumberToObject(token, "bucket", 0);
    auth = lathe_auth_new();
    FUZZ_CHECK(auth != NULL && lathe_auth_read(auth, message, NULL) == LATHE_OK);
    cJSON_Delete(message);
    return auth;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lathe_http_text lines[4] = {{NULL, 0}};
    lathe_auth_verdict v;
    const char *at = (const char *)data;
    for (int i = 0; i < 4 && size > 0; i++) {
        const char *end = memchr(at, '\n', size);
        const size_t len = end != NULL ? (size_t)(end - at) : size;
        if (len > 0)
            lines[i] = (lathe_http_text){at, len};
        at += end != NULL ? len + 1 : len;
        size -= end != NULL ? len + 1 : len;
    }
    lathe_auth *auth = table();
    lathe_auth_check(auth, lines[0], lines[1], LATHE_ROLE_INFER, 1, 1, &v);
    if (v.status == 200) {
        FUZZ_CHECK(v.who.role == LATHE_ROLE_INFER && strcmp(v.who.project, "p") == 0);
        FUZZ_CHECK(memmem(data, (size_t)(at - (const char *)data), SECRET, strlen(SECRET)) != NULL);
        FUZZ_CHECK(lathe_auth_sees(auth, "p") && !lathe_auth_sees(auth, "q"));
    } else {
        FUZZ_CHECK((v.status == 400 || v.status == 401) && v.message[0] != 0);
    }
    lathe_auth_check(auth, lines[0], lines[1], LATHE_ROLE_ADMIN, 1, 1, &v);
    FUZZ_CHECK(v.status == 400 || v.status == 401 || v.status == 403);
    (void)lathe_auth_is_foreign(lines[2], lines[3], false);
    return 0;
}

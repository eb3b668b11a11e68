/* Access control on exchanges. */
#include "base/clock.h"
#include "serve/auth/auth.h"

#include <string.h>
#include <strings.h>

/* False: it was refused, and has been answered. */
static bool tell(lathe_exchange *exchange, const lathe_auth_verdict *verdict) {
    if (verdict->status == 200)
        return true;
    lathe_http_fail(exchange, verdict->status, verdict->headers[0] ? verdict->headers : NULL, "%s",
                    verdict->message);
    return false;
}

bool lathe_auth_admit(lathe_auth *auth, lathe_exchange *exchange, lathe_role need,
                      lathe_auth_who *who) {
    lathe_auth_verdict verdict;
    if (!lathe_auth_required(auth) && need != LATHE_ROLE_NONE &&
        lathe_auth_is_foreign(lathe_http_header(exchange, "host"),
                              lathe_http_header(exchange, "origin"),
                              lathe_auth_get_insecure(auth))) {
        lathe_http_fail(
            exchange, 403, NULL,
            "this service needs no token and so takes no requests of other pages or for other host "
            "names; make a token (lathe tokens create), or say --insecure");
        return false;
    }
    lathe_auth_check(auth, lathe_http_header(exchange, "authorization"),
                     lathe_http_header(exchange, "x-api-key"), need, lathe_wall_us(),
                     lathe_now_ns(), &verdict);
    if (!tell(exchange, &verdict))
        return false;
    if (who != NULL)
        *who = verdict.who;
    return true;
}

bool lathe_auth_admit_again(lathe_auth *auth, lathe_exchange *exchange, lathe_role need) {
    lathe_auth_verdict verdict;
    lathe_auth_check_again(auth, lathe_http_header(exchange, "authorization"),
                           lathe_http_header(exchange, "x-api-key"), need, lathe_wall_us(),
                           &verdict);
    return tell(exchange, &verdict);
}

const char *lathe_auth_secret(const lathe_exchange *exchange, char buf[LATHE_TOKEN_TEXT]) {
    static const char scheme[] = "bearer ";
    lathe_http_text text = lathe_http_header(exchange, "authorization");
    if (text.ptr != NULL && text.len >= sizeof scheme - 1 &&
        strncasecmp(text.ptr, scheme, sizeof scheme - 1) == 0) {
        text.ptr += sizeof scheme - 1;
        text.len -= sizeof scheme - 1;
    } else if (text.ptr == NULL) {
        text = lathe_http_header(exchange, "x-api-key");
    }
    while (text.ptr != NULL && text.len > 0 && *text.ptr == ' ') {
        text.ptr++;
        text.len--;
    }
    while (text.ptr != NULL && text.len > 0 && text.ptr[text.len - 1] == ' ')
        text.len--;
    if (text.ptr == NULL || text.len != LATHE_TOKEN_TEXT - 1)
        return NULL;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = 0;
    return buf;
}

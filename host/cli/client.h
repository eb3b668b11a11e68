/* cli/client.h: requests to a service: over its home's socket, or to a URL with a token. libcurl does the talking; it is
 * loaded when it is needed (package libcurl4), so that no other verb pays for it.
 */
#ifndef LATHE_CLI_CLIENT_H
#define LATHE_CLI_CLIENT_H

#include "base/buf.h"
#include "base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Where a service is. */
typedef struct cli_target {
    const char *url;   /* "https://host:8080"; NULL: none */
    const char *token; /* NULL: none */
    char *socket;      /* of the home's own service; NULL: none */
} cli_target;

typedef struct cli_client cli_client;

typedef struct cli_reply {
    int status;
    lathe_buf body;
} cli_reply;

/* LATHE_E_INVALID: the URL or token is none; LATHE_E_UNSUPPORTED: there is no libcurl. */
int32_t cli_client_open(const cli_target *target, cli_client **client, lathe_error *err);
void cli_client_close(cli_client *client);
bool cli_client_is_local(const cli_client *client);

/* One request. path begins with "/api/v1". body NULL: none; type NULL: JSON. LATHE_OK with any status; LATHE_E_IO: no
 * answer came. Free reply->body. */
int32_t cli_client_call(cli_client *client, const char *method, const char *path, const char *type,
                        const void *body, size_t len, cli_reply *reply, lathe_error *err);

/* Follows a stream of events after *last (-1: from its own begin), which moves on. on_event gets name ("" where it has none) and
 * data; false ends it, and so does *stop. LATHE_OK: it ended; LATHE_E_CANCELLED: by *stop; LATHE_E_IO: it broke. *status: of the answer, whose
 * body is in *body where it is not 200. */
int32_t cli_client_follow(cli_client *client, const char *path, int64_t *last,
                          bool (*on_event)(void *user, const char *event, const cJSON *data),
                          void *user, const volatile int *stop, int *status, lathe_buf *body,
                          lathe_error *err);

/* Appends a piece of a path or query, percent-encoded. */
void cli_client_escape(lathe_buf *path, const char *text);

#endif

#include "cli/client.h"

#include "base/json.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 10L
#define CALL_SECONDS 3600L /* gc, verify and backup answer when they are done */
#define SILENT_SECONDS 60L /* a stream beats every 15 */
#define MAX_EVENT ((size_t)64 << 20)

/* What is used of libcurl. */
typedef struct curl_library {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *handle);
    void (*easy_reset)(CURL *handle);
    CURLcode (*easy_setopt)(CURL *handle, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *handle);
    CURLcode (*easy_getinfo)(CURL *handle, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
} curl_library;

struct cli_client {
    curl_library curl;
    CURL *handle;
    const char *socket; /* NULL: none */
    char *base;         /* "http://host:8080", without the last '/' */
    char *authorization;
    char why[CURL_ERROR_SIZE];
};

/* ---- loading ---- */

static int32_t load(curl_library *c, lathe_error *err) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    const struct {
        void *to;
        const char *name;
    } symbols[] = {
        {&c->global_init, "curl_global_init"},   {&c->easy_init, "curl_easy_init"},
        {&c->easy_cleanup, "curl_easy_cleanup"}, {&c->easy_reset, "curl_easy_reset"},
        {&c->easy_setopt, "curl_easy_setopt"},   {&c->easy_perform, "curl_easy_perform"},
        {&c->easy_getinfo, "curl_easy_getinfo"}, {&c->easy_strerror, "curl_easy_strerror"},
        {&c->slist_append, "curl_slist_append"}, {&c->slist_free_all, "curl_slist_free_all"}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = library ? dlsym(library, symbols[i].name) : NULL;
        if (symbol == NULL)
            return lathe_fail(err, LATHE_E_UNSUPPORTED, NULL,
                              "talking to a service needs libcurl: install libcurl4 (%s)",
                              dlerror());
        memcpy(symbols[i].to, &symbol, sizeof symbol);
    }
    if (c->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return lathe_fail(err, LATHE_E_INTERNAL, NULL, "libcurl does not begin");
    return LATHE_OK;
}

/* ---- opening ---- */

static bool is_clean(const char *text) {
    for (; *text != 0; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    return true;
}

static int32_t set_target(cli_client *c, const cli_target *target, lathe_error *err) {
    if (target->socket != NULL) {
        c->socket = target->socket;
        c->base = strdup("http://localhost");
        return c->base ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    }
    const char *url = target->url;
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) || !is_clean(url))
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"%.100s\" is no URL of a service; expected http://HOST:PORT or "
                          "https://HOST:PORT",
                          url);
    if (target->token != NULL && !is_clean(target->token))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "the token holds what no token does");
    c->base = strdup(url);
    if (c->base == NULL ||
        (target->token != NULL &&
         asprintf(&c->authorization, "authorization: Bearer %s", target->token) < 0))
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    for (size_t n = strlen(c->base); n > 0 && c->base[n - 1] == '/';)
        c->base[--n] = 0;
    return LATHE_OK;
}

int32_t cli_client_open(const cli_target *target, cli_client **out, lathe_error *err) {
    *out = NULL;
    cli_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = set_target(c, target, err);
    if (rc == LATHE_OK)
        rc = load(&c->curl, err);
    if (rc == LATHE_OK && (c->handle = c->curl.easy_init()) == NULL)
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK)
        *out = c;
    else
        cli_client_close(c);
    return rc;
}

void cli_client_close(cli_client *c) {
    if (c == NULL)
        return;
    if (c->handle != NULL)
        c->curl.easy_cleanup(c->handle);
    if (c->authorization != NULL)
        explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c->base);
    free(c);
}

bool cli_client_is_local(const cli_client *c) {
    return c->socket != NULL;
}

void cli_client_escape(lathe_buf *path, const char *text) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != 0; text++)
        if (strchr(plain, *text) != NULL)
            lathe_buf_append_char(path, *text);
        else
            lathe_buf_printf(path, "%%%02X", (unsigned char)*text);
}

/* ---- one request ---- */

static struct curl_slist *add_header(cli_client *c, struct curl_slist *list, const char *text) {
    struct curl_slist *longer = text ? c->curl.slist_append(list, text) : NULL;
    return longer ? longer : list;
}

/* What all requests have in common. */
static void prepare(cli_client *c, const char *method, const char *url) {
    const curl_library *l = &c->curl;
    l->easy_reset(c->handle);
    c->why[0] = 0;
    l->easy_setopt(c->handle, CURLOPT_URL, url);
    l->easy_setopt(c->handle, CURLOPT_CUSTOMREQUEST, method);
    l->easy_setopt(c->handle, CURLOPT_ERRORBUFFER, c->why);
    l->easy_setopt(c->handle, CURLOPT_NOSIGNAL, 1L);
    l->easy_setopt(c->handle, CURLOPT_NOPROXY, c->socket ? "*" : NULL);
    l->easy_setopt(c->handle, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    l->easy_setopt(c->handle, CURLOPT_FOLLOWLOCATION,
                   0L); /* a token goes to whom it was given for */
    l->easy_setopt(c->handle, CURLOPT_PROTOCOLS_STR, "http,https");
    l->easy_setopt(c->handle, CURLOPT_USERAGENT, "lathe");
    if (c->socket != NULL)
        l->easy_setopt(c->handle, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    const char *ca = getenv("LATHE_CA_FILE"); /* of a service with a certificate of one's own */
    if (ca != NULL && ca[0] != 0)
        l->easy_setopt(c->handle, CURLOPT_CAINFO, ca);
}

static size_t on_body(char *data, size_t size, size_t n, void *user) {
    lathe_buf *body = user;
    lathe_buf_append(body, data, size * n);
    return body->failed ? 0 : size * n;
}

static int32_t fail_curl(const cli_client *c, CURLcode code, lathe_error *err) {
    return lathe_fail(err, LATHE_E_IO, c->socket ? c->socket : c->base,
                      "the service does not answer: %s",
                      c->why[0] ? c->why : c->curl.easy_strerror(code));
}

int32_t cli_client_call(cli_client *c, const char *method, const char *path, const char *type,
                        const void *body, size_t len, cli_reply *reply, lathe_error *err) {
    lathe_buf url = {0};
    char content[120];
    long status = 0;
    struct curl_slist *headers = add_header(c, NULL, c->authorization);
    *reply = (cli_reply){0};
    lathe_buf_printf(&url, "%s%s", c->base, path);
    prepare(c, method, lathe_buf_str(&url));
    if (body != NULL) {
        snprintf(content, sizeof content, "content-type: %s", type ? type : "application/json");
        headers = add_header(c, headers, content);
        headers = add_header(c, headers, "expect:");
        c->curl.easy_setopt(c->handle, CURLOPT_POSTFIELDS, body);
        c->curl.easy_setopt(c->handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    }
    c->curl.easy_setopt(c->handle, CURLOPT_HTTPHEADER, headers);
    c->curl.easy_setopt(c->handle, CURLOPT_TIMEOUT, CALL_SECONDS);
    c->curl.easy_setopt(c->handle, CURLOPT_WRITEFUNCTION, on_body);
    c->curl.easy_setopt(c->handle, CURLOPT_WRITEDATA, &reply->body);
    const CURLcode code = c->curl.easy_perform(c->handle);
    c->curl.easy_getinfo(c->handle, CURLINFO_RESPONSE_CODE, &status);
    c->curl.slist_free_all(headers);
    lathe_buf_free(&url);
    reply->status = (int)status;
    if (code == CURLE_OK)
        return LATHE_OK;
    lathe_buf_free(&reply->body);
    return fail_curl(c, code, err);
}

/* ---- streams ---- */

typedef struct following {
    cli_client *client;
    lathe_buf line, data, *body;
    char event[40];
    int64_t *last;
    long status;
    bool (*on_event)(void *user, const char *event, const cJSON *data);
    void *user;
    const volatile int *stop;
    bool ended;
} following;

/* A blank line ends an event. */
static bool give_event(following *f) {
    cJSON *data = f->data.len > 0 ? cJSON_ParseWithLength(f->data.data, f->data.len) : NULL;
    const bool more = data == NULL || f->on_event(f->user, f->event, data);
    cJSON_Delete(data);
    lathe_buf_clear(&f->data);
    f->event[0] = 0;
    return more;
}

/* One line of a stream; false: that is enough. */
static bool take_line(following *f, const char *line) {
    if (line[0] == 0)
        return give_event(f);
    if (strncmp(line, "id: ", 4) == 0)
        *f->last = strtoll(line + 4, NULL, 10);
    else if (strncmp(line, "event: ", 7) == 0)
        snprintf(f->event, sizeof f->event, "%s", line + 7);
    else if (strncmp(line, "data: ", 6) == 0)
        lathe_buf_append_str(&f->data, line + 6);
    return !f->data.failed && f->data.len < MAX_EVENT;
}

static size_t on_stream(char *data, size_t size, size_t n, void *user) {
    following *f = user;
    const size_t len = size * n;
    if (f->status == 0)
        f->client->curl.easy_getinfo(f->client->handle, CURLINFO_RESPONSE_CODE, &f->status);
    if (f->status != 200) {
        lathe_buf_append(f->body, data, len);
        return f->body->failed ? 0 : len;
    }
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n') {
            lathe_buf_append_char(&f->line, data[i]);
            if (f->line.failed || f->line.len > MAX_EVENT)
                return 0;
            continue;
        }
        const bool more = take_line(f, lathe_buf_str(&f->line));
        lathe_buf_clear(&f->line);
        if (!more) {
            f->ended = true;
            return 0;
        }
    }
    return len;
}

static int on_wait(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const following *f = user;
    (void)a, (void)b, (void)c, (void)d;
    return f->stop != NULL && *f->stop != 0;
}

int32_t cli_client_follow(cli_client *c, const char *path, int64_t *last,
                          bool (*on_event)(void *user, const char *event, const cJSON *data),
                          void *user, const volatile int *stop, int *status, lathe_buf *body,
                          lathe_error *err) {
    following f = {
        .client = c, .body = body, .last = last, .on_event = on_event, .user = user, .stop = stop};
    lathe_buf url = {0};
    char resume[60];
    struct curl_slist *headers = add_header(c, NULL, c->authorization);
    headers = add_header(c, headers, "accept: text/event-stream");
    if (*last >= 0) {
        snprintf(resume, sizeof resume, "last-event-id: %lld", (long long)*last);
        headers = add_header(c, headers, resume);
    }
    lathe_buf_printf(&url, "%s%s", c->base, path);
    prepare(c, "GET", lathe_buf_str(&url));
    c->curl.easy_setopt(c->handle, CURLOPT_HTTPHEADER, headers);
    c->curl.easy_setopt(c->handle, CURLOPT_WRITEFUNCTION, on_stream);
    c->curl.easy_setopt(c->handle, CURLOPT_WRITEDATA, &f);
    c->curl.easy_setopt(c->handle, CURLOPT_NOPROGRESS, 0L);
    c->curl.easy_setopt(c->handle, CURLOPT_XFERINFOFUNCTION, on_wait);
    c->curl.easy_setopt(c->handle, CURLOPT_XFERINFODATA, &f);
    c->curl.easy_setopt(c->handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    c->curl.easy_setopt(c->handle, CURLOPT_LOW_SPEED_TIME, SILENT_SECONDS);
    const CURLcode code = c->curl.easy_perform(c->handle);
    c->curl.easy_getinfo(c->handle, CURLINFO_RESPONSE_CODE, &f.status);
    c->curl.slist_free_all(headers);
    lathe_buf_free(&url);
    lathe_buf_free(&f.line);
    lathe_buf_free(&f.data);
    *status = (int)f.status;
    if (f.ended || code == CURLE_OK)
        return LATHE_OK;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped");
    return fail_curl(c, code, err);
}

/* Verbs through a service: a table of verbs, and what they share. */
#include "cli/remote.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "serve/supervisor/supervisor.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- where to ---- */

/* Takes "--name value" or "--name=value" out of argv. False: it has no value. */
static bool take_option(int *argc, char **argv, const char *name, const char **value) {
    const size_t len = strlen(name);
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, len) != 0)
            continue;
        const char *rest = argv[i] + 2 + len;
        if (*rest != 0 && *rest != '=')
            continue;
        const int used = *rest == '=' ? 1 : 2;
        if (i + used > *argc) {
            cli_usage("", "--%s needs a value", name);
            return false;
        }
        *value = *rest == '=' ? rest + 1 : argv[i + 1];
        memmove(argv + i, argv + i + used, (size_t)(*argc - i - used + 1) * sizeof *argv);
        *argc -= used;
        i--;
    }
    return true;
}

/* The value of --home; NULL: none. */
static const char *home_of(int argc, char **argv) {
    const char *home = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
            home = argv[++i];
        else if (strncmp(argv[i], "--home=", 7) == 0)
            home = argv[i] + 7;
    }
    return home;
}

static bool answers(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && strlen(path) < sizeof address.sun_path;
    if (good) {
        strcpy(address.sun_path, path);
        good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

/* A path that is too long is reached through its folder's descriptor, which stays open. */
char *cli_find_socket(const char *home) {
    char *folder = NULL, *path = NULL;
    if (lathe_store_home_path(home, &folder, NULL) == LATHE_OK)
        path = lathe_path_join(folder, LATHE_CONTROL_SOCKET);
    if (path != NULL && strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        const int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        free(path);
        if (fd < 0 || asprintf(&path, "/proc/self/fd/%d/" LATHE_CONTROL_SOCKET, fd) < 0)
            path = NULL;
    }
    if (path != NULL && !answers(path)) {
        free(path);
        path = NULL;
    }
    free(folder);
    return path;
}

static bool has_word(const char *words, const char *word) {
    const size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == 0))
            return true;
    return false;
}

static bool has_flag(int argc, char **argv, const char *flag) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

/* Is there a --token whose value is no name, but a secret? */
static bool has_secret(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = strncmp(argv[i], "--token=", 8) == 0              ? argv[i] + 8
                            : strcmp(argv[i], "--token") == 0 && i + 1 < argc ? argv[i + 1]
                                                                              : "";
        if (strncmp(value, LATHE_TOKEN_PREFIX, strlen(LATHE_TOKEN_PREFIX)) == 0 &&
            strlen(value) == LATHE_TOKEN_TEXT - 1)
            return true;
    }
    return false;
}

bool cli_find_target(int *argc, char **argv, const char *writes, cli_target *target) {
    const char *url = getenv("LATHE_SERVER"), *token = getenv("LATHE_TOKEN");
    *target = (cli_target){0};
    if (!take_option(argc, argv, "server", &url))
        return false;
    /* `usage --token NAME` means whose use is told, `usage --token lathe_…` who asks */
    if ((strcmp(argv[0], "usage") != 0 || has_secret(*argc, argv)) &&
        !take_option(argc, argv, "token", &token))
        return false;
    if (has_flag(*argc, argv, "--help") || has_flag(*argc, argv, "-h"))
        return true;
    if (url != NULL && url[0] != 0) {
        target->url = url;
        target->token = token != NULL && token[0] != 0 ? token : NULL;
    } else if (writes != NULL && !has_flag(*argc, argv, "--dry-run") &&
               (writes[0] == 0 || (*argc > 1 && has_word(writes, argv[1])))) {
        target->socket = cli_find_socket(home_of(*argc, argv));
    }
    return true;
}

/* ---- what verbs share ---- */

char *remote_path(const char *pattern, ...) {
    lathe_buf path = {0};
    va_list ap;
    va_start(ap, pattern);
    for (; *pattern != 0; pattern++) {
        if (*pattern == '%')
            cli_client_escape(&path, va_arg(ap, const char *));
        else
            lathe_buf_append_char(&path, *pattern);
    }
    va_end(ap);
    return lathe_buf_take(&path);
}

/* {"error", "errors": [{"file", "line", …}]} or {"error", "checks"} as the verb itself would tell it. */
int remote_fail(const cli_reply *reply, bool json) {
    cJSON *tree = cJSON_ParseWithLength(lathe_buf_str(&reply->body), reply->body.len);
    const cJSON *list = lathe_json_get(tree, "errors"), *item;
    const char *error = cJSON_GetStringValue(lathe_json_get(tree, "error"));
    if (cJSON_IsArray(lathe_json_get(tree, "checks")) && error != NULL) {
        const int code = cli_gates_refused(tree, json);
        cJSON_Delete(tree);
        return code;
    }
    if (json && tree != NULL)
        cli_print_json(tree);
    cJSON_ArrayForEach(item, list) {
        const char *file = cJSON_GetStringValue(lathe_json_get(item, "file"));
        const char *message = cJSON_GetStringValue(lathe_json_get(item, "message"));
        const cJSON *line = lathe_json_get(item, "line"), *column = lathe_json_get(item, "column");
        fprintf(stderr, "%s:%d:%d: %s\n", file ? file : "document", line ? line->valueint : 0,
                column ? column->valueint : 0, message ? message : "");
    }
    if (list == NULL)
        fprintf(stderr, "lathe: %s (%d)\n", error ? error : "the service gave no reason",
                reply->status);
    cJSON_Delete(tree);
    return list != NULL ? EXIT_USAGE : EXIT_FAILED;
}

int remote_ask(remote_call *c, const char *method, const char *path, cJSON *body, cJSON **answer) {
    cli_reply reply = {0};
    lathe_buf text = {0};
    *answer = NULL;
    if (body != NULL)
        lathe_json_print(NULL, body, &text);
    int32_t rc =
        path == NULL || text.failed
            ? lathe_fail(&c->err, LATHE_E_MEMORY, NULL, "out of memory")
            : cli_client_call(c->client, method, path, NULL, body ? lathe_buf_str(&text) : NULL,
                              text.len, &reply, &c->err);
    cJSON_Delete(body);
    lathe_buf_free(&text);
    int code = EXIT_DONE;
    if (rc != LATHE_OK)
        code = cli_error(&c->err);
    else if (reply.status >= 300)
        code = remote_fail(&reply, c->json);
    else if ((*answer = cJSON_ParseWithLength(lathe_buf_str(&reply.body), reply.body.len)) == NULL)
        code = (fputs("lathe: the service's answer is no JSON\n", stderr), EXIT_FAILED);
    lathe_buf_free(&reply.body);
    return code;
}

int remote_list(remote_call *c, const char *path, const char *member, cJSON **list) {
    char *cursor = NULL;
    int code = EXIT_DONE;
    *list = cJSON_CreateArray();
    do {
        lathe_buf page = {0};
        cJSON *answer = NULL, *item;
        lathe_buf_printf(&page, "%s%climit=1000", path, strchr(path, '?') ? '&' : '?');
        if (cursor != NULL) {
            lathe_buf_append_str(&page, "&cursor=");
            cli_client_escape(&page, cursor);
        }
        free(cursor);
        cursor = NULL;
        code = remote_ask(c, "GET", lathe_buf_str(&page), NULL, &answer);
        lathe_buf_free(&page);
        while ((item = cJSON_DetachItemFromArray(lathe_json_get(answer, member), 0)) != NULL)
            cJSON_AddItemToArray(*list, item);
        const char *next = cJSON_GetStringValue(lathe_json_get(answer, "next"));
        if (next != NULL)
            cursor = strdup(next);
        cJSON_Delete(answer);
    } while (code == EXIT_DONE && cursor != NULL);
    free(cursor);
    return code;
}

/* A member as text; "member@time": to the minute. */
static const char *cell(lathe_arena *arena, const cJSON *item, const char *member, bool time) {
    const cJSON *node = lathe_json_get(item, member);
    char text[LATHE_ISO_TIME];
    if (cJSON_IsNumber(node) && time) {
        lathe_iso_time((int64_t)node->valuedouble, text);
        return lathe_arena_strndup(arena, text, 16);
    }
    if (cJSON_IsNumber(node))
        return lathe_arena_printf(arena, "%.15g", node->valuedouble);
    if (cJSON_IsBool(node))
        return cJSON_IsTrue(node) ? "yes" : "no";
    return cJSON_IsString(node) ? node->valuestring : "";
}

void remote_table(const cJSON *list, const char *columns) {
    lathe_arena *arena = lathe_arena_new();
    const cJSON *item;
    size_t n = 1, rows = (size_t)cJSON_GetArraySize(list) + 1, r = 1;
    for (const char *at = columns; *at != 0; at++)
        n += *at == ' ';
    const char **cells = arena ? lathe_arena_array(arena, rows * n, sizeof *cells) : NULL;
    char *spec = arena ? lathe_arena_strdup(arena, columns) : NULL, *save = NULL;
    if (cells == NULL || spec == NULL) {
        lathe_arena_free(arena);
        return;
    }
    char *word = strtok_r(spec, " ", &save);
    for (size_t k = 0; word != NULL && k < n; k++, word = strtok_r(NULL, " ", &save)) {
        char *member = strchr(word, '='), *kind = member ? strchr(member, '@') : NULL;
        if (member != NULL)
            *member++ = 0;
        if (kind != NULL)
            *kind++ = 0;
        cells[k] = word;
        r = 1;
        cJSON_ArrayForEach(item, list) cells[n * r++ + k] =
            cell(arena, item, member ? member : word, kind != NULL);
    }
    cli_print_table(cells, rows, n);
    lathe_arena_free(arena);
}

int remote_print(remote_call *c, cJSON *tree) {
    cli_print_tree(tree, c->json);
    cJSON_Delete(tree);
    return EXIT_DONE;
}

int remote_show(remote_call *c, const char *method, char *path, cJSON *body) {
    cJSON *answer;
    int code = remote_ask(c, method, path, body, &answer);
    free(path);
    return code == EXIT_DONE ? remote_print(c, answer) : code;
}

int remote_print_list(remote_call *c, const char *path, const char *member, const char *columns) {
    cJSON *items;
    int code = remote_list(c, path, member, &items);
    if (code == EXIT_DONE && c->json)
        cli_print_json(items);
    else if (code == EXIT_DONE)
        remote_table(items, columns);
    cJSON_Delete(items);
    return code;
}

void remote_add_option(const remote_call *c, cJSON *body, const char *key, int option) {
    if (c->options[option].value != NULL)
        cJSON_AddStringToObject(body, key, c->options[option].value);
}

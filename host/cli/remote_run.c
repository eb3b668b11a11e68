/* `run`, `validate` and `runs watch` through a service: submitted, followed live, with the exit codes of `lathe run`. */
#include "base/fs.h"
#include "base/json.h"
#include "cli/leaderboard.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "store/runs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECONNECTS 60 /* once a second: as long as a service takes to be started again */

static volatile int interrupted;

static void on_interrupt(int number) {
    (void)number;
    if (interrupted++ > 0)
        _exit(EXIT_INTERRUPTED);
}

/* ---- submitting ---- */

/* {"document": its text, "file", "set", "base_dir"} of a file. NULL: err. */
static cJSON *make_submission(remote_call *c) {
    char *text = NULL, *dir = NULL, *real = NULL;
    size_t len = 0;
    cJSON *body = NULL;
    if (lathe_read_file(c->args[0], LATHE_JSON_MAX_BYTES, &text, &len, &c->err) != LATHE_OK)
        return NULL;
    if (strlen(text) != len) {
        lathe_fail(&c->err, LATHE_E_INVALID, c->args[0], "the document holds a NUL byte");
        free(text);
        return NULL;
    }
    body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "document", text);
    cJSON_AddStringToObject(body, "file", c->args[0]);
    const cli_option *set = &c->options[REMOTE_SET];
    if (set->count > 0)
        cJSON_AddItemToObject(body, "set", cJSON_CreateStringArray(set->list, (int)set->count));
    /* the home's own service reads what lies beside the document, as `lathe run` itself would */
    if (cli_client_is_local(c->client) && (dir = lathe_path_dir(c->args[0])) != NULL &&
        lathe_path_real(dir, &real, NULL) == LATHE_OK)
        cJSON_AddStringToObject(body, "base_dir", real);
    free(dir);
    free(real);
    free(text);
    return body;
}

int remote_validate(remote_call *c) {
    cJSON *answer, *body = make_submission(c);
    if (body == NULL)
        return cli_error(&c->err);
    const int code = remote_ask(c, "POST", "/api/v1/validate", body, &answer);
    if (code == EXIT_DONE && c->json)
        cli_print_json(answer);
    else if (code == EXIT_DONE)
        printf("%s: valid: %d candidates, %d transforms\n", c->args[0],
               lathe_json_get(answer, "candidates")->valueint,
               lathe_json_get(answer, "transforms")->valueint);
    cJSON_Delete(answer);
    return code;
}

/* ---- following ---- */

typedef struct watched {
    cli_progress progress;
    char run[64];
    char next[64]; /* a further attempt; "" */
    char status[32];
    bool ended;
} watched;

static bool on_event(void *user, const char *event, const cJSON *data) {
    watched *w = user;
    const char *name = cJSON_GetStringValue(lathe_json_get(data, "event"));
    const char *run = cJSON_GetStringValue(lathe_json_get(data, "run"));
    const char *status = cJSON_GetStringValue(lathe_json_get(data, "status"));
    if (strcmp(event, "end") == 0) {
        snprintf(w->status, sizeof w->status, "%s", status ? status : "");
        if (run != NULL)
            snprintf(w->run, sizeof w->run, "%s", run);
        w->ended = true;
        return false;
    }
    if (name != NULL && strcmp(name, "retry") == 0 && run != NULL)
        snprintf(w->next, sizeof w->next, "%s", run);
    else
        cli_progress_event(&w->progress, data);
    return true;
}

static void cancel(remote_call *c, const char *run) {
    char *path = remote_path("/api/v1/runs/%/cancel", run);
    cJSON *answer;
    fprintf(stderr, "cancelling …\n");
    remote_ask(c, "POST", path, NULL, &answer);
    cJSON_Delete(answer);
    free(path);
}

/* Follows one run to its end, over broken connections. False: it cannot be; the exit code was decided. */
static bool follow(remote_call *c, watched *w, int *code) {
    int64_t last = 0;
    bool cancelled = false;
    char *path = remote_path("/api/v1/runs/%/events", w->run);
    for (int broken = 0; !w->ended;) {
        cli_reply reply = {0};
        const volatile int *stop = cancelled ? NULL : &interrupted;
        int32_t rc = path ? cli_client_follow(c->client, path, &last, on_event, w, stop,
                                              &reply.status, &reply.body, &c->err)
                          : LATHE_E_MEMORY;
        if (rc == LATHE_E_CANCELLED) {
            cli_progress_clear(&w->progress);
            cancel(c, w->run);
            cancelled = true;
        } else if (rc == LATHE_OK && reply.status != 200) {
            cli_progress_clear(&w->progress);
            *code = remote_fail(&reply, c->json);
            lathe_buf_free(&reply.body);
            break;
        } else if (!w->ended && ++broken > RECONNECTS) {
            cli_progress_clear(&w->progress);
            *code = cli_error(&c->err);
            fprintf(stderr, "lathe: the run goes on: lathe runs watch %s\n", w->run);
            break;
        } else if (!w->ended) {
            sleep(1);
        }
        lathe_buf_free(&reply.body);
    }
    free(path);
    cli_progress_clear(&w->progress);
    return w->ended;
}

/* ---- the end ---- */

static int exit_code(const char *status) {
    return strcmp(status, LATHE_RUN_SUCCEEDED) == 0      ? EXIT_DONE
           : strcmp(status, LATHE_RUN_GOAL_NOT_MET) == 0 ? EXIT_GOAL
           : strcmp(status, LATHE_RUN_CANCELLED) == 0    ? EXIT_INTERRUPTED
                                                         : EXIT_FAILED;
}

/* The report's page into a file of the user's. */
static int fetch_report(remote_call *c, const char *run, const char *file) {
    char *path = remote_path("/api/v1/runs/%/files/report.html", run);
    cli_reply reply;
    int code = EXIT_DONE;
    if (path == NULL ||
        cli_client_call(c->client, "GET", path, NULL, NULL, 0, &reply, &c->err) != LATHE_OK) {
        free(path);
        return cli_error(&c->err);
    }
    if (reply.status != 200)
        code = remote_fail(&reply, false);
    else if (lathe_write_file_atomic(file, lathe_buf_str(&reply.body), reply.body.len, &c->err) !=
             LATHE_OK)
        code = cli_error(&c->err);
    lathe_buf_free(&reply.body);
    free(path);
    return code;
}

/* The design's §6 object, or the leaderboard. */
static void tell(const remote_call *c, const cJSON *run, const char *report) {
    const cJSON *result = lathe_json_get(run, "result"), *member;
    const char *reason = cJSON_GetStringValue(lathe_json_get(run, "reason"));
    const char *status = cJSON_GetStringValue(lathe_json_get(run, "status"));
    const int code = exit_code(status ? status : "");
    if (code == EXIT_FAILED && reason != NULL && reason[0] != 0)
        fprintf(stderr, "lathe: %s\n", reason);
    if (!c->json) {
        if (lathe_json_get(result, "candidates") != NULL)
            cli_print_leaderboard(result, report);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    cJSON_AddItemToObject(out, "run", cJSON_Duplicate(lathe_json_get(run, "run"), 1));
    cJSON_AddStringToObject(out, "status", status ? status : "");
    cJSON_ArrayForEach(member, result)
        cJSON_AddItemToObject(out, member->string, cJSON_Duplicate(member, 1));
    if (report != NULL)
        cJSON_AddStringToObject(out, "report", report);
    if (code == EXIT_FAILED || code == EXIT_INTERRUPTED)
        cJSON_AddStringToObject(cJSON_AddObjectToObject(out, "error"), "message",
                                reason ? reason : "");
    cli_print_json(out);
    cJSON_Delete(out);
}

static int finish(remote_call *c, const watched *w) {
    char *path = remote_path("/api/v1/runs/%", w->run);
    const char *report = c->options[REMOTE_REPORT].value;
    cJSON *run;
    int code = remote_ask(c, "GET", path, NULL, &run);
    free(path);
    if (code != EXIT_DONE)
        return code;
    code = exit_code(w->status);
    if (report != NULL && (code == EXIT_DONE || code == EXIT_GOAL) &&
        fetch_report(c, w->run, report) != EXIT_DONE)
        code = EXIT_FAILED;
    tell(c, run, report);
    cJSON_Delete(run);
    return code;
}

/* Follows a run and its further attempts. */
static int watch(remote_call *c, const char *run) {
    watched w = {0};
    int code = EXIT_FAILED;
    snprintf(w.next, sizeof w.next, "%s", run);
    cli_progress_begin(&w.progress, false);
    do {
        snprintf(w.run, sizeof w.run, "%s", w.next);
        w.next[0] = 0;
        w.ended = false;
        if (!follow(c, &w, &code))
            return code;
        if (w.next[0] != 0)
            fprintf(stderr, "run %s: %s; it is tried again as %s\n", w.run, w.status, w.next);
    } while (w.next[0] != 0);
    return finish(c, &w);
}

int remote_run(remote_call *c) {
    cJSON *answer, *body = make_submission(c);
    if (body == NULL)
        return cli_error(&c->err);
    int code = remote_ask(c, "POST", "/api/v1/runs", body, &answer);
    const char *run = cJSON_GetStringValue(lathe_json_get(answer, "run"));
    const char *schedule = cJSON_GetStringValue(lathe_json_get(answer, "schedule"));
    if (run != NULL) {
        fprintf(stderr, "run %s\n", run);
        signal(SIGINT, on_interrupt);
        signal(SIGTERM, on_interrupt);
        code = watch(c, run);
    } else if (schedule != NULL) {
        if (c->json)
            cli_print_json(answer);
        else
            printf("\"%s\" is scheduled\n", schedule);
    }
    cJSON_Delete(answer);
    return code;
}

/* Ctrl-C only stops watching. */
int remote_watch(remote_call *c) {
    return watch(c, c->args[0]);
}

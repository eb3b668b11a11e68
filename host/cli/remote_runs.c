/* Runs and schedules through a service, but for what follows a run (remote_run.c). */
#include "base/json.h"
#include "cli/remote.h"

#include <stdlib.h>

static int runs_list(remote_call *c) {
    lathe_buf path = {0};
    const char *pipeline = c->options[REMOTE_PIPELINE].value,
               *status = c->options[REMOTE_STATUS].value;
    lathe_buf_append_str(&path, "/api/v1/runs");
    if (pipeline != NULL) {
        lathe_buf_append_str(&path, "?pipeline=");
        cli_client_escape(&path, pipeline);
    }
    if (status != NULL) {
        lathe_buf_printf(&path, "%cstatus=", pipeline ? '&' : '?');
        cli_client_escape(&path, status);
    }
    int code = remote_print_list(
        c, lathe_buf_str(&path), "runs",
        "run pipeline status started=started_us@time finished=finished_us@time reason");
    lathe_buf_free(&path);
    return code;
}

static int runs_show(remote_call *c) {
    return remote_show(c, "GET", remote_path("/api/v1/runs/%", c->args[0]), NULL);
}

static int runs_compare(remote_call *c) {
    cJSON *answer;
    char *path = remote_path("/api/v1/runs/compare?a=%&b=%", c->args[0], c->args[1]);
    int code = remote_ask(c, "GET", path, NULL, &answer);
    free(path);
    if (code == EXIT_DONE && c->json)
        cli_print_json(lathe_json_get(answer, "differences"));
    else if (code == EXIT_DONE)
        remote_table(lathe_json_get(answer, "differences"), "part at=pointer a b");
    cJSON_Delete(answer);
    return code;
}

static int runs_events(remote_call *c) {
    cJSON *events;
    const cJSON *item;
    char *path = remote_path("/api/v1/runs/%/events", c->args[0]);
    int code = remote_list(c, path ? path : "", "events", &events);
    free(path);
    cJSON_ArrayForEach(item, events) cli_print_json(lathe_json_get(item, "event"));
    cJSON_Delete(events);
    return code;
}

static int runs_cancel(remote_call *c) {
    cJSON *body = cJSON_CreateObject();
    remote_add_option(c, body, "reason", REMOTE_REASON);
    return remote_show(c, "POST", remote_path("/api/v1/runs/%/cancel", c->args[0]), body);
}

static int runs_queue(remote_call *c) {
    return remote_print_list(
        c, "/api/v1/queue", "queue",
        "number run pipeline state=status attempt created=created_us@time actor");
}

static int schedules_list(remote_call *c) {
    return remote_print_list(
        c, "/api/v1/schedules", "schedules",
        "name cron timezone overlap missed next=next_us@time last=last_us@time last_run");
}

static int schedules_remove(remote_call *c) {
    return remote_show(c, "DELETE", remote_path("/api/v1/schedules/%", c->args[0]), NULL);
}

const remote_verb remote_run_verbs[] = {{"run", NULL, 1, 1, remote_run},
                                        {"validate", NULL, 1, 1, remote_validate},
                                        {"runs", "list", 0, 0, runs_list},
                                        {"runs", "show", 1, 1, runs_show},
                                        {"runs", "compare", 2, 2, runs_compare},
                                        {"runs", "events", 1, 1, runs_events},
                                        {"runs", "watch", 1, 1, remote_watch},
                                        {"runs", "cancel", 1, 1, runs_cancel},
                                        {"runs", "queue", 0, 0, runs_queue},
                                        {"schedules", "list", 0, 0, schedules_list},
                                        {"schedules", "remove", 1, 1, schedules_remove},
                                        {0}};

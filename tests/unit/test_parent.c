/* The parent of a run against workers that do anything: shell scripts in the worker's place. What they say is
 * stored, what they ask is answered from the store alone, and however they end, the run has an end. */
#include "pipeline/parent.h"
#include "support_store.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static lathe_store *store;
static uv_loop_t loop;

/* What the callbacks saw. */
static struct {
    lathe_parent *parent;
    int ends, exit_code, events, progress;
    char status[32], run[LATHE_RUN_ID], output[4096];
    lathe_error error;
    cJSON *result;
    bool stop_at_hello, stopped;
    int64_t max_lines, max_bytes;
    uint64_t grace;
} seen;

static void set_up_all(void) {
    set_up();
    store = open_own();
    memset(&seen, 0, sizeof seen);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

static void tear_down_all(void) {
    cJSON_Delete(seen.result);
    ck_assert_int_eq(uv_loop_close(&loop), 0); /* no handle is left */
    lathe_store_close(store);
    tear_down();
}

static void on_event(void *user, const cJSON *event) {
    (void)user;
    const cJSON *name = lathe_json_get(event, "event");
    seen.events++;
    seen.progress += strcmp(name->valuestring, "progress") == 0;
    if (seen.stop_at_hello && strcmp(name->valuestring, "hello") == 0) {
        lathe_parent_stop(seen.parent, seen.grace);
        seen.stopped = true;
    }
}

static void on_output(void *user, const char *text) {
    (void)user;
    strncat(seen.output, text, sizeof seen.output - strlen(seen.output) - 2);
    strcat(seen.output, "\n");
}

static void on_end(void *user, const lathe_outcome *outcome) {
    (void)user;
    seen.ends++;
    seen.exit_code = outcome->exit_code;
    seen.error = *outcome->error;
    seen.result = cJSON_Duplicate(outcome->result, 1);
    snprintf(seen.status, sizeof seen.status, "%s", outcome->status);
    snprintf(seen.run, sizeof seen.run, "%s", lathe_parent_run_id(seen.parent));
    seen.parent = NULL;
}

/* Common to the scripts: say LINE sends an event; answer waits for a line of the parent's. The first line of
 * standard input is the job. */
static const char prologue[] =
    "#!/bin/bash\n"
    "say() { printf '%s\\n' \"$1\" >&3; }\n"
    "answer() { IFS= read -r reply; printf '%s\\n' \"$reply\" >> \"$0.answers\"; }\n"
    "IFS= read -r job; printf '%s\\n' \"$job\" > \"$0.job\"\n"
    "staging=$(sed 's/.*\"staging\":\"\\([^\"]*\\)\".*/\\1/' \"$0.job\")\n"
    "result='{\"event\":\"result\",\"result\":{\"selected\":\"a\"}}'\n";

static const char *script_path(void) {
    return in_scratch("worker");
}

static void start(const char *executable) {
    const char *const sets[] = {"a=1", "b=\"x\""};
    const lathe_run_request request = {.executable = executable,
                                       .text = "{\"lathe\": 1, \"text\": \"é\\n\"}",
                                       .file = "p.json",
                                       .base_dir = "/tmp",
                                       .sets = sets,
                                       .n_sets = 2,
                                       .pipeline = "p",
                                       .document = "{\"lathe\": 1}",
                                       .seed = 3,
                                       .threads = 2,
                                       .max_lines = seen.max_lines,
                                       .max_bytes = seen.max_bytes,
                                       .on_event = on_event,
                                       .on_output = on_output,
                                       .on_end = on_end};
    ck_ok(lathe_parent_start(&loop, store, &request, &seen.parent, &err));
}

/* Runs a worker to its end; gives the run's record. */
static lathe_run_record run(const char *body) {
    lathe_run_record record;
    char *text = NULL;
    ck_assert_int_gt(asprintf(&text, "%s%s\n", prologue, body), 0);
    write_text(script_path(), text);
    free(text);
    ck_assert_int_eq(chmod(script_path(), 0755), 0);
    start(script_path());
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(seen.ends, 1);
    ck_ok(lathe_store_run(store, seen.run, arena, &record, &err));
    ck_assert_str_eq(record.status, seen.status);
    return record;
}

static void expect(const char *body, int exit_code, const char *status, const char *message) {
    lathe_run_record record = run(body);
    ck_assert_msg(seen.exit_code == exit_code, "%d: %s: %s", seen.exit_code, seen.error.where,
                  seen.error.message);
    ck_assert_str_eq(seen.status, status);
    ck_assert_msg(strstr(seen.error.message, message) != NULL, "%s", seen.error.message);
    ck_assert_msg(strstr(record.reason, message) != NULL, "%s", record.reason);
}

/* ---- ends ---- */

static const struct {
    const char *body;
    int exit_code;
    const char *status, *message;
} ends[] = {
    {"say \"$result\"", 0, "succeeded", ""},
    {"say \"$result\"; exit 3", 3, "goal_not_met", ""},
    {"printf '%s' \"$result\" >&3", 0, "succeeded", ""}, /* the last line lacks its end */
    {"say '{\"event\":\"failed\",\"code\":11,\"where\":\"/goal/target\",\"message\":\"no rows\"}'; "
     "exit 1",
     1, "failed", "no rows"},
    {"say '{\"event\":\"failed\"}'; exit 1", 1, "failed", "without a reason"},
    {"say '{\"event\":\"failed\",\"code\":\"x\",\"message\":7}'; exit 1", 1, "failed",
     "without a reason"},
    {"exit 0", 1, "failed", "ended with code 0 before it had a result"},
    {"exit 3", 1, "failed", "ended with code 3 before it had a result"},
    {"exit 77", 1, "failed", "ended with code 77"},
    {"say \"$result\"; exit 1", 1, "failed", ""},
    {"say \"$result\"; kill -9 $$", 1, "failed", "signal 9"},
    {"kill -SEGV $$", 1, "failed", "signal 11"},
    {"say '{\"event\":\"step\",\"step\":\"train/x\",\"state\":\"started\"}'; kill -ABRT $$", 1,
     "failed", "signal 6"},
    {"say 'no event'; sleep 60", 1, "failed", "no event"},
    {"say '[]'; sleep 60", 1, "failed", "no event"},
    {"say '{\"name\":\"x\"}'; sleep 60", 1, "failed", "no event"},
    {"say '{\"event\":5}'; sleep 60", 1, "failed", "no event"},
    {"say ''; sleep 60", 1, "failed", "no event"},
    {"printf '{\"event\":\"a\\0b\"}\\n' >&3; sleep 60", 1, "failed", "no event"},
    {"printf '{\"event\":\"\\xff\"}\\n' >&3; sleep 60", 1, "failed", "no event"},
    {"head -c 3000000 /dev/zero | tr '\\0' '[' >&3; say; sleep 60", 1, "failed", "no event"},
    {"exec 3>&-; sleep 60", 1, "failed", "closed the pipe of its events"},
    {"exec 0<&- 1>&-; say \"$result\"", 0, "succeeded", ""},
    {"for i in 1 2 3; do say "
     "\"{\\\"event\\\":\\\"result\\\",\\\"result\\\":{\\\"selected\\\":\\\"$i\\\"}}\"; done",
     0, "succeeded", ""},
};

START_TEST(every_end_is_told) {
    const double begin = lathe_now_seconds();
    expect(ends[_i].body, ends[_i].exit_code, ends[_i].status, ends[_i].message);
    ck_assert((seen.result != NULL) ==
              (strstr(ends[_i].body, "result") != NULL && strstr(ends[_i].body, "failed") == NULL));
    if (strstr(ends[_i].body, "train/x") != NULL)
        ck_assert_str_eq(seen.error.where, "train/x");
    ck_assert_msg(lathe_now_seconds() - begin < 40, "it took %g s", lathe_now_seconds() - begin);
}
END_TEST

START_TEST(an_endless_line_is_no_event) {
    expect("head -c 70000000 /dev/zero | tr '\\0' 'x' >&3; sleep 60", 1, "failed", "over 64 MB");
}
END_TEST

START_TEST(no_program_no_worker) {
    lathe_run_record record;
    start(in_scratch("none"));
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(seen.ends, 1);
    ck_assert_int_eq(seen.exit_code, 1);
    ck_assert_ptr_nonnull(strstr(seen.error.message, "cannot start the worker"));
    ck_ok(lathe_store_run(store, seen.run, arena, &record, &err));
    ck_assert_str_eq(record.status, LATHE_RUN_FAILED);
}
END_TEST

/* A process that the worker leaves behind holds its pipes: the run ends all the same. */
START_TEST(what_it_leaves_behind_is_not_waited_for) {
    const double begin = lathe_now_seconds();
    expect("sleep 30 & say \"$result\"", 0, "succeeded", "");
    ck_assert_msg(lathe_now_seconds() - begin < 20, "it took %g s", lathe_now_seconds() - begin);
}
END_TEST

/* ---- stopping ---- */

static const struct {
    const char *body;
    uint64_t grace;
    int exit_code;
    const char *status, *message;
} stops[] = {
    {"say '{\"event\":\"hello\"}'; answer; exit 130", 20000, 130, "cancelled", ""},
    {"say '{\"event\":\"hello\"}'; answer; say "
     "'{\"event\":\"failed\",\"code\":6,\"message\":\"stopped in a tree\"}'; exit 130",
     20000, 130, "cancelled", "stopped in a tree"},
    {"trap '' INT TERM; say '{\"event\":\"hello\"}'; while true; do sleep 0.1; done", 300, 130,
     "cancelled", "had to be ended"},
    {"say '{\"event\":\"hello\"}'; answer; kill -SEGV $$", 20000, 130, "cancelled", "signal 11"},
    {"say '{\"event\":\"hello\"}'; answer; say \"$result\"", 20000, 0, "succeeded",
     ""}, /* it was done before */
};

START_TEST(stops_are_passed_on) {
    seen.stop_at_hello = true;
    seen.grace = stops[_i].grace;
    const double begin = lathe_now_seconds();
    expect(stops[_i].body, stops[_i].exit_code, stops[_i].status, stops[_i].message);
    ck_assert(seen.stopped);
    if (stops[_i].exit_code == 130)
        ck_assert_int_eq(seen.error.code, LATHE_E_CANCELLED);
    ck_assert(lathe_now_seconds() - begin < 15);
}
END_TEST

/* ---- what is said ---- */

static char *read_text(const char *suffix) {
    char path[160], *text;
    size_t len;
    snprintf(path, sizeof path, "%s%s", script_path(), suffix);
    ck_ok(lathe_read_file(path, 1 << 24, &text, &len, &err));
    return text;
}

START_TEST(the_job_is_handed_over) {
    expect("say \"$result\"", 0, "succeeded", "");
    char *text = read_text(".job");
    lathe_json *doc = lathe_json_read(text, strlen(text), NULL, NULL, &err);
    ck_assert_msg(doc != NULL, "%s", err.message);
    const cJSON *job = lathe_json_root(doc);
    ck_assert_str_eq(lathe_json_get(job, "document")->valuestring,
                     "{\"lathe\": 1, \"text\": \"é\\n\"}");
    ck_assert_str_eq(lathe_json_get(job, "run")->valuestring, seen.run);
    ck_assert_str_eq(lathe_json_get(job, "base_dir")->valuestring, "/tmp");
    ck_assert_int_eq(lathe_json_get(job, "threads")->valueint, 2);
    ck_assert_str_eq(cJSON_GetArrayItem(lathe_json_get(job, "sets"), 1)->valuestring, "b=\"x\"");
    lathe_json_free(doc);
    free(text);
}
END_TEST

START_TEST(events_are_stored_in_order) {
    lathe_event_list list;
    expect("for i in $(seq 1000); do say \"{\\\"event\\\":\\\"log\\\",\\\"i\\\":$i}\"; say "
           "'{\"event\":\"progress\"}'; done; "
           "say \"$result\"",
           0, "succeeded", "");
    ck_assert_int_eq(seen.events, 2001);
    ck_assert_int_eq(seen.progress, 1000);
    ck_ok(lathe_store_events(store, seen.run, 0, 0, arena, &list, &err));
    ck_assert_uint_eq(list.count, 1001); /* progress is not kept */
    for (size_t i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"event\":\"log\",\"i\":%zu}", i + 1);
        ck_assert_str_eq(list.items[i].json, text);
    }
}
END_TEST

START_TEST(prints_are_cleaned) {
    expect("printf 'one\\ntwo\\033[31m\\x9b\\xc2\\x9bx\\n'; head -c 300000 /dev/zero | tr '\\0' x; "
           "echo; echo last; say \"$result\"",
           0, "succeeded", "");
    ck_assert_msg(strncmp(seen.output, "one\ntwo?[31m???x\n", 17) == 0, "%s", seen.output);
    const char *cut = seen.output + 17; /* as much of the long line as a line may have */
    ck_assert_uint_gt(strspn(cut, "x"), 500);
    ck_assert_str_eq(cut + strspn(cut, "x"), "\nlast\n");
}
END_TEST

/* ---- what is asked ---- */

/* Questions that are refused: the text and a piece of the answer. %s is the staging folder. */
static const struct {
    const char *question, *says;
} refused[] = {
    {"{\"event\":\"what\",\"ask\":1}", "unknown question"},
    {"{\"event\":\"step_get\",\"ask\":1}", "lacks the text"},
    {"{\"event\":\"step_get\",\"ask\":1,\"key\":5}", "lacks the text"},
    {"{\"event\":\"step_get\",\"ask\":1,\"key\":\"../../etc\"}", ""},
    {"{\"event\":\"step_put\",\"ask\":1,\"key\":\"k\",\"path\":\"/etc/passwd\"}", "outside"},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\"}", "lacks the text"},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"/etc/passwd\"}", "outside"},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING/../../lathe.db\"}",
     "outside"},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING/link\"}", ""},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING/none\"}", ""},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING\"}", ""},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"\"}", ""},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING/file\",\"sha256\":\"00\"}",
     ""},
    {"{\"event\":\"commit\",\"ask\":1,\"name\":\"x\",\"path\":\"STAGING/file\",\"sha256\":"
     "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
     ""},
    {"{\"event\":\"register\",\"ask\":1}", "lacks model or sha256"},
    {"{\"event\":\"register\",\"ask\":1,\"model\":\"m\",\"sha256\":"
     "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
     ""},
    {"{\"event\":\"register\",\"ask\":1,\"model\":\"../m\",\"sha256\":\"x\"}", ""},
    {"{\"event\":\"alerts\",\"ask\":1,\"alerts\":[{}]}", ""},
    {"{\"event\":\"alerts\",\"ask\":1,\"alerts\":[1,null,\"x\"]}", ""},
};

START_TEST(questions_are_not_trusted) {
    char body[2048];
    snprintf(body, sizeof body,
             "echo content > \"$staging/file\"; ln -s /etc/passwd \"$staging/link\"; q='%s'; "
             "say \"${q//STAGING/$staging}\"; answer; say \"$result\"",
             refused[_i].question);
    expect(body, 0, "succeeded", "");
    char *text = read_text(".answers");
    ck_assert_msg(strstr(text, "\"reply\":1") != NULL && strstr(text, "\"error\":{") != NULL, "%s",
                  text);
    ck_assert_msg(strstr(text, refused[_i].says) != NULL, "%s", text);
    free(text);
    lathe_verify_report report = {0};
    ck_ok(lathe_store_verify(store, arena, &report, &err));
    ck_assert_uint_eq(report.errors, 0);
    lathe_model_list models;
    ck_ok(lathe_store_models(store, arena, &models, &err));
    ck_assert_uint_eq(models.count, 0);
}
END_TEST

START_TEST(good_questions_are_answered) {
    expect(
        "key=$(printf k | sha256sum | cut -c1-64)\n"
        "say \"{\\\"event\\\":\\\"step_get\\\",\\\"ask\\\":1,\\\"key\\\":\\\"$key\\\"}\"; answer\n"
        "echo state > \"$staging/s\"; say "
        "\"{\\\"event\\\":\\\"step_put\\\",\\\"ask\\\":2,\\\"key\\\":\\\"$key\\\","
        "\\\"path\\\":\\\"$staging/s\\\",\\\"metadata\\\":{\\\"m\\\":1}}\"; answer\n"
        "say \"{\\\"event\\\":\\\"step_get\\\",\\\"ask\\\":3,\\\"key\\\":\\\"$key\\\"}\"; answer\n"
        "echo model > \"$staging/m\"; sha=$(sha256sum < \"$staging/m\" | cut -c1-64)\n"
        "say "
        "\"{\\\"event\\\":\\\"commit\\\",\\\"ask\\\":4,\\\"name\\\":\\\"model.safetensors\\\","
        "\\\"path\\\":"
        "\\\"$staging/m\\\",\\\"sha256\\\":\\\"$sha\\\"}\"; answer\n"
        "say "
        "\"{\\\"event\\\":\\\"register\\\",\\\"ask\\\":5,\\\"model\\\":\\\"m\\\",\\\"sha256\\\":"
        "\\\"$sha\\\","
        "\\\"move\\\":true,\\\"endpoint\\\":\\\"e\\\",\\\"goal\\\":{\\\"met\\\":true}}\"; answer\n"
        "say "
        "'{\"event\":\"alerts\",\"ask\":6,\"alerts\":[{\"severity\":\"warning\",\"kind\":\"drift\","
        "\"message\":\"a\"}]}'; "
        "answer\n"
        "say '{\"event\":\"facts\",\"ask\":7,\"data\":{\"d.csv\":{\"bytes\":1}},\"plugins\":{}}'; "
        "answer\n"
        "say \"$result\"",
        0, "succeeded", "");
    char *text = read_text(".answers"), *line = strtok(text, "\n");
    const char *const says[] = {"\"found\":false",
                                "\"path\":\"/",
                                "\"found\":true",
                                "\"bytes\":6",
                                "\"version\":1",
                                "",
                                ""};
    for (int i = 0; i < 7; i++, line = strtok(NULL, "\n")) {
        char reply[32];
        snprintf(reply, sizeof reply, "{\"reply\":%d", i + 1);
        ck_assert_msg(line != NULL && strstr(line, reply) == line && strstr(line, says[i]) != NULL,
                      "%d: %s", i + 1, line);
        ck_assert_msg(strstr(line, "\"error\"") == NULL, "%s", line);
    }
    free(text);
    lathe_version_record version;
    ck_ok(lathe_store_version(store, "m@live", arena, &version, &err));
    ck_assert_int_eq(version.version, 1);
    ck_assert_str_eq(version.run, seen.run);
}
END_TEST

/* A flood of questions without reading the answers blocks nobody. */
START_TEST(answers_that_nobody_reads) {
    expect("for i in $(seq 3000); do say \"{\\\"event\\\":\\\"what\\\",\\\"ask\\\":$i}\"; done; "
           "say \"$result\"",
           0, "succeeded", "");
}
END_TEST

/* A worker that goes on for ever is ended by a limit, which the run names, and its memory is not the parent's. */
START_TEST(what_never_ends_is_ended) {
    static const struct {
        int64_t lines, bytes;
        const char *body, *message;
    } floods[] = {
        {150, 0, "while say '{\"event\":\"log\",\"message\":\"x\"}'; do :; done",
         "more than 150 events"},
        {150, 0, "while say '{\"event\":\"alerts\",\"ask\":1,\"alerts\":[]}' && answer; do :; done",
         "more than 150 events"},
        {0, 100000,
         "long=$(printf '%*s' 2000 ''); while say "
         "\"{\\\"event\\\":\\\"step_get\\\",\\\"ask\\\":1,\\\"key\\\":\\\"$long\\\"}\" && "
         "answer; do :; done",
         "more than 100000 bytes"},
        {0, 0, "yes '{\"event\":\"what\",\"ask\":1}' >&3", "does not read the answers"},
    };
    seen.max_lines = floods[_i].lines;
    seen.max_bytes = floods[_i].bytes;
    expect(floods[_i].body, 1, "failed", floods[_i].message);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    Suite *suite = suite_create("parent");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up_all, tear_down_all);
    tcase_add_loop_test(tc, every_end_is_told, 0, COUNT(ends));
    tcase_add_test(tc, an_endless_line_is_no_event);
    tcase_add_test(tc, no_program_no_worker);
    tcase_add_test(tc, what_it_leaves_behind_is_not_waited_for);
    tcase_add_loop_test(tc, stops_are_passed_on, 0, COUNT(stops));
    tcase_add_test(tc, the_job_is_handed_over);
    tcase_add_test(tc, events_are_stored_in_order);
    tcase_add_test(tc, prints_are_cleaned);
    tcase_add_loop_test(tc, questions_are_not_trusted, 0, COUNT(refused));
    tcase_add_test(tc, good_questions_are_answered);
    tcase_add_test(tc, answers_that_nobody_reads);
    tcase_add_loop_test(tc, what_never_ends_is_ended, 0, 4);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

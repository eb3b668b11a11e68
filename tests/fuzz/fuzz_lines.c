/* The JSON lines of workers, which run foreign code. The lowest bit of the first byte chooses who says the rest: an inference
 * worker one line to the supervisor, or a run's worker all its events and questions to the run's parent, against a real
 * store, in pieces as long as the other bits say. Each answer is a line of JSON, a link out of the staging folder is not
 * followed, and whoever says what is no event is ended. "STAGING" in the bytes stands for that folder. */
#include "base/hash.h"
#include "fuzz.h"
#include "pipeline/parent_internal.h"
#include "serve/supervisor/worker_line.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define RUNS_OF_A_HOME 500
#define NO_PID 0x3ffffffe /* beyond every pid_max: what is killed is nobody */

/* One home and run serve several inputs. */
static struct {
    char home[64], run[LATHE_RUN_ID], outside[LATHE_SHA256_HEX];
    const char *staging; /* of the run, in the arena */
    lathe_arena *arena;
    lathe_store *store;
    uv_loop_t loop;
    long runs;
} world;

static void end_home(void) {
    if (world.store == NULL)
        return;
    FUZZ_CHECK(lathe_store_run_finish(world.store, world.run, LATHE_RUN_FAILED, "", NULL, NULL) ==
               LATHE_OK);
    lathe_store_close(world.store);
    lathe_arena_free(world.arena);
    lathe_remove_tree(world.home, NULL);
    world.store = NULL;
}

static void fresh_home(void) {
    const lathe_run_new info = {.pipeline = "p", .document = "{}", .version = "0"};
    if (world.runs++ % RUNS_OF_A_HOME != 0)
        return;
    if (world.runs == 1) {
        FUZZ_CHECK(uv_loop_init(&world.loop) == 0);
        FUZZ_CHECK(lathe_sha256_file("/etc/passwd", world.outside, NULL, NULL) == LATHE_OK);
        atexit(end_home);
        lathe_log_set_level(LATHE_LEVEL_ERROR);
    }
    end_home();
    snprintf(world.home, sizeof world.home, "%s/lathe-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_CHECK(mkdtemp(world.home) != NULL && (world.arena = lathe_arena_new()) != NULL);
    FUZZ_CHECK(lathe_store_open(world.home, LATHE_STORE_OWN, &world.store, NULL) == LATHE_OK);
    FUZZ_CHECK(lathe_store_run_begin(world.store, &info, world.run, NULL) == LATHE_OK);
    FUZZ_CHECK(lathe_store_staging(world.store, world.run, world.arena, &world.staging, NULL) ==
               LATHE_OK);
}

/* What the link points to is no artifact. */
static void check_outside(lathe_arena *arena) {
    const char *path;
    FUZZ_CHECK(lathe_store_artifact_path(world.store, world.outside, false, arena, &path, NULL) !=
               LATHE_OK);
}

static void count_event(void *user, const cJSON *event) {
    FUZZ_CHECK(cJSON_IsString(lathe_json_get(event, "event")));
    ++*(long *)user;
}

static void hear_output(void *user, const char *text) {
    (void)user;
    for (const char *c = text; *c; c++)
        FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7F);
}

/* What the parent sent: whole lines, each a reply. */
static void check_answers(int fd) {
    lathe_buf said = {0};
    char chunk[65536];
    ssize_t n;
    while ((n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
        lathe_buf_append(&said, chunk, (size_t)n);
    char *line = said.data, *end;
    for (; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        lathe_json *doc = lathe_json_read(line, (size_t)(end - line), "reply", NULL, NULL);
        const cJSON *reply = doc ? lathe_json_root(doc) : NULL;
        FUZZ_CHECK(cJSON_IsNumber(lathe_json_get(reply, "reply")));
        lathe_json_free(doc);
    }
    lathe_buf_free(&said);
}

static void with_staging(const char *text, size_t len, const char *staging, lathe_buf *out) {
    const char *mark;
    while ((mark = memmem(text, len, "STAGING", 7)) != NULL) {
        lathe_buf_append(out, text, (size_t)(mark - text));
        lathe_buf_append_str(out, staging);
        len -= (size_t)(mark - text) + 7;
        text = mark + 7;
    }
    lathe_buf_append(out, text, len);
}

/* What the last input took away. */
static void put_files(void) {
    char path[400];
    snprintf(path, sizeof path, "%s/file", world.staging);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    FUZZ_CHECK(fd < 0 || (write(fd, "content\n", 8) == 8 && close(fd) == 0));
    snprintf(path, sizeof path, "%s/link", world.staging);
    FUZZ_CHECK(symlink("/etc/passwd", path) == 0 || errno == EEXIST);
}

static void begin_run(lathe_parent *p, int ends[2], long *events) {
    FUZZ_CHECK((p->arena = lathe_arena_new()) != NULL);
    p->store = world.store;
    p->staging = world.staging;
    snprintf(p->id, sizeof p->id, "%s", world.run);
    p->request =
        (lathe_run_request){.on_event = count_event, .on_output = hear_output, .user = events};
    p->process.pid = NO_PID;
    put_files();
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    FUZZ_CHECK(uv_pipe_init(&world.loop, &p->control, 0) == 0);
    FUZZ_CHECK(uv_pipe_open(&p->control, ends[0]) == 0);
    parent_hear(p);
}

static void end_run(lathe_parent *p, int ends[2]) {
    parent_flush(p);
    FUZZ_CHECK(p->n_batch == 0);
    FUZZ_CHECK(memchr(p->error.message, 0, sizeof p->error.message) != NULL);
    check_answers(ends[1]);
    check_outside(p->arena);
    close(ends[1]);
    uv_close((uv_handle_t *)&p->control, NULL);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    lathe_buf_free(&p->event_lines.rest);
    lathe_buf_free(&p->output_lines.rest);
    cJSON_Delete(p->result);
    lathe_arena_free(p->arena);
}

static void say_as_run(const char *text, size_t len, size_t piece) {
    lathe_parent *p = calloc(1, sizeof *p);
    lathe_buf whole = {0};
    int ends[2];
    long events = 0;
    FUZZ_CHECK(p != NULL);
    fresh_home();
    begin_run(p, ends, &events);
    with_staging(text, len, p->staging, &whole);
    bool goes_on = true;
    for (size_t at = 0; goes_on && at < whole.len; at += piece) {
        const size_t n = whole.len - at < piece ? whole.len - at : piece;
        lathe_lines_feed(&p->output_lines, whole.data + at, n);
        goes_on = lathe_lines_feed(&p->event_lines, whole.data + at, n);
        check_answers(ends[1]);
    }
    if (goes_on)
        goes_on = lathe_lines_flush(&p->event_lines);
    FUZZ_CHECK(goes_on || p->killed);
    FUZZ_CHECK(!p->killed || p->error.code != 0);
    end_run(p, ends);
    lathe_buf_free(&whole);
    free(p);
}

static void say_as_inference(const char *text, size_t len) {
    lathe_worker_line line;
    lathe_worker_line_read(text, len, &line);
    FUZZ_CHECK(line.message != NULL || !(line.ready || line.loaded || line.forwards || line.event));
    FUZZ_CHECK(line.loaded || line.failed == NULL);
    FUZZ_CHECK(line.generation <= (uint64_t)1 << 53 && line.forward >= 0);
    lathe_worker_line_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    if (data[0] % 2 == 0)
        say_as_inference((const char *)data + 1, size - 1);
    else
        say_as_run((const char *)data + 1, size - 1, 1 + (size_t)(data[0] >> 1) * 37);
    return 0;
}

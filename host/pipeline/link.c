#include "pipeline/link.h"

#include "base/buf.h"
#include "base/json.h"
#include "pipeline/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define ORPHAN_MS 2000

struct lathe_link {
    uv_loop_t loop;
    uv_pipe_t input;
    uv_async_t done; /* the work has ended */
    uv_timer_t end;  /* the parent is gone: plugins have so long to stop */
    uv_thread_t thread;
    bool thread_started;
    lathe_lines lines;
    char chunk[65536];

    int events_fd;
    bool mute;             /* something could not be written */
    uv_mutex_t write_lock; /* events leave whole; also of mute */
    uv_mutex_t lock;       /* guards what follows */
    uv_cond_t answered;
    int64_t next_ask;
    cJSON *reply; /* of the question that waits; NULL: none yet */
    bool gone;    /* standard input has ended */

    atomic_int stop;
    lathe_link_work_fn work;
    void *user;
    cJSON *job;
    int exit_code;
};

cJSON *lathe_link_event(const char *name) {
    cJSON *event = cJSON_CreateObject();
    if (event != NULL)
        cJSON_AddStringToObject(event, "event", name);
    return event;
}

atomic_int *lathe_link_stop_flag(lathe_link *link) {
    return &link->stop;
}

static int32_t write_all(int fd, const char *data, size_t len, lathe_error *err) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lathe_fail_errno(err, errno, NULL, "nothing can be said to the parent process");
        data += n;
        len -= (size_t)n;
    }
    return LATHE_OK;
}

/* Takes the tree over. */
static int32_t send_line(lathe_link *link, cJSON *event, lathe_error *err) {
    lathe_buf line = {0};
    lathe_json_print(NULL, event, &line);
    lathe_buf_append_char(&line, '\n');
    cJSON_Delete(event);
    int32_t rc;
    if (line.failed) {
        rc = lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a line to the parent");
    } else {
        uv_mutex_lock(&link->write_lock);
        rc = write_all(link->events_fd, line.data, line.len, err);
        link->mute |= rc != LATHE_OK;
        uv_mutex_unlock(&link->write_lock);
    }
    lathe_buf_free(&line);
    return rc;
}

void lathe_link_emit(lathe_link *link, cJSON *event) {
    if (event != NULL) /* EPIPE: the parent is gone, which the loop notices on standard input */
        send_line(link, event, NULL);
}

/* Turns a reply's "error" member into *err. */
static bool reply_failed(const cJSON *reply, lathe_error *err) {
    const cJSON *error = lathe_json_get(reply, "error");
    if (error == NULL)
        return false;
    const cJSON *code = lathe_json_get(error, "code");
    const cJSON *where = lathe_json_get(error, "where");
    const cJSON *message = lathe_json_get(error, "message");
    lathe_fail(err, cJSON_IsNumber(code) ? code->valueint : LATHE_E_INTERNAL,
               cJSON_IsString(where) ? where->valuestring : NULL, "%s",
               cJSON_IsString(message) ? message->valuestring : "the parent refused");
    return true;
}

cJSON *lathe_link_ask(lathe_link *link, cJSON *question, lathe_error *err) {
    if (question == NULL) {
        lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a question to the parent");
        return NULL;
    }
    uv_mutex_lock(&link->lock);
    int64_t ask = ++link->next_ask;
    uv_mutex_unlock(&link->lock);
    if (cJSON_AddNumberToObject(question, "ask", (double)ask) == NULL) {
        cJSON_Delete(question);
        lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a question to the parent");
        return NULL;
    }
    if (send_line(link, question, err) != LATHE_OK) /* what was not asked is not answered */
        return NULL;

    uv_mutex_lock(&link->lock);
    while (link->reply == NULL && !link->gone && !atomic_load(&link->stop))
        uv_cond_wait(&link->answered, &link->lock);
    cJSON *reply = link->reply;
    link->reply = NULL;
    bool gone = link->gone;
    uv_mutex_unlock(&link->lock);

    if (reply == NULL) {
        if (gone)
            lathe_fail(err, LATHE_E_IO, NULL, "the parent process is gone");
        else
            lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped");
        return NULL;
    }
    const cJSON *number = lathe_json_get(reply, "reply");
    if (!cJSON_IsNumber(number) || number->valuedouble != (double)ask) {
        lathe_fail(err, LATHE_E_INTERNAL, NULL, "the parent answered another question");
        cJSON_Delete(reply);
        return NULL;
    }
    if (reply_failed(reply, err)) {
        cJSON_Delete(reply);
        return NULL;
    }
    return reply;
}

static void work_main(void *arg) {
    lathe_link *link = arg;
    link->exit_code = link->work(link->user, link, link->job);
    uv_async_send(&link->done);
}

static void close_handles(lathe_link *link) {
    if (!uv_is_closing((uv_handle_t *)&link->input))
        uv_close((uv_handle_t *)&link->input, NULL);
    if (!uv_is_closing((uv_handle_t *)&link->done))
        uv_close((uv_handle_t *)&link->done, NULL);
    if (!uv_is_closing((uv_handle_t *)&link->end))
        uv_close((uv_handle_t *)&link->end, NULL);
}

static void on_done(uv_async_t *async) {
    close_handles(async->data);
}

static bool on_line(void *user, const char *text, size_t len) {
    lathe_link *link = user;
    cJSON *message = cJSON_ParseWithLength(text, len);
    if (!cJSON_IsObject(message)) {
        cJSON_Delete(message);
        return false;
    }
    if (link->job == NULL) {
        link->job = message;
        link->thread_started = uv_thread_create(&link->thread, work_main, link) == 0;
        return link->thread_started;
    }
    uv_mutex_lock(&link->lock);
    if (lathe_json_get(message, "stop") != NULL) {
        atomic_store(&link->stop, 1);
        cJSON_Delete(message);
    } else {
        cJSON_Delete(link->reply);
        link->reply = message;
    }
    uv_cond_broadcast(&link->answered);
    uv_mutex_unlock(&link->lock);
    return true;
}

static void on_orphan_end(uv_timer_t *timer) {
    (void)timer;
    _exit(1); /* a plugin does not listen, and nobody is left to end this process */
}

static void parent_gone(lathe_link *link) {
    uv_mutex_lock(&link->lock);
    link->gone = true;
    atomic_store(&link->stop, 1);
    uv_cond_broadcast(&link->answered);
    uv_mutex_unlock(&link->lock);
    if (!link->thread_started) {
        close_handles(link);
        return;
    }
    if (!uv_is_closing((uv_handle_t *)&link->input))
        uv_close((uv_handle_t *)&link->input, NULL);
    if (!uv_is_closing((uv_handle_t *)&link->end))
        uv_timer_start(&link->end, on_orphan_end, ORPHAN_MS, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    lathe_link *link = handle->data;
    *buf = uv_buf_init(link->chunk, sizeof link->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    lathe_link *link = stream->data;
    if (n > 0 && lathe_lines_feed(&link->lines, buf->base, (size_t)n))
        return;
    if (n != 0)
        parent_gone(link);
}

int lathe_link_hide_events(void) {
    const int high = fcntl(LATHE_LINK_EVENTS_FD, F_DUPFD_CLOEXEC, 64);
    if (high < 0)
        return LATHE_LINK_EVENTS_FD;
    close(LATHE_LINK_EVENTS_FD);
    return high;
}

int lathe_link_run(lathe_link_work_fn work, void *user) {
    lathe_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return 1;
    link->events_fd = lathe_link_hide_events();
    link->work = work;
    link->user = user;
    link->exit_code = 1;
    link->lines = (lathe_lines){.limit = LATHE_LINK_MAX_LINE, .on_line = on_line, .user = link};
    int rc = 1;
    if (uv_mutex_init(&link->lock) != 0)
        goto fail_link;
    if (uv_mutex_init(&link->write_lock) != 0)
        goto fail_lock;
    if (uv_cond_init(&link->answered) != 0)
        goto fail_write_lock;
    if (uv_loop_init(&link->loop) != 0)
        goto fail_cond;
    uv_pipe_init(&link->loop, &link->input, 0);
    uv_async_init(&link->loop, &link->done, on_done);
    uv_timer_init(&link->loop, &link->end);
    link->input.data = link->done.data = link;
    if (uv_pipe_open(&link->input, STDIN_FILENO) != 0 ||
        uv_read_start((uv_stream_t *)&link->input, on_alloc, on_read) != 0)
        close_handles(link);
    uv_run(&link->loop, UV_RUN_DEFAULT);
    if (link->thread_started)
        uv_thread_join(&link->thread);
    uv_mutex_lock(&link->write_lock);
    rc = link->mute ? LATHE_LINK_MUTE : link->exit_code;
    uv_mutex_unlock(&link->write_lock);
    uv_loop_close(&link->loop);
    lathe_buf_free(&link->lines.rest);
    cJSON_Delete(link->reply);
    cJSON_Delete(link->job);
fail_cond:
    uv_cond_destroy(&link->answered);
fail_write_lock:
    uv_mutex_destroy(&link->write_lock);
fail_lock:
    uv_mutex_destroy(&link->lock);
fail_link:
    free(link);
    return rc;
}

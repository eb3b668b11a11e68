/* Answers that wait for their labels, from one service to the next: in a file, once, at an orderly end. */
#include "base/fs.h"
#include "data/text.h"
#include "serve/recall.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x316c6c6163657231) /* "1recall1" */
#define LARGEST_LINES ((int64_t)LATHE_SLOTS_WORKERS * LATHE_RECALL_LINES)
#define LARGEST                                                                                    \
    (sizeof(kept_head) + LATHE_SLOTS_MODELS * LATHE_SLOTS_NAME +                                   \
     2 * (size_t)LARGEST_LINES * sizeof(kept_line))

/* The file: a head, the names of versions, lines. It is of this machine: nobody else reads it. */
typedef struct kept_head {
    uint64_t magic, check; /* of all that follows */
    int32_t names, tables;
    int64_t lines;
} kept_head;

typedef struct kept_line {
    uint64_t key;
    int64_t when_ms;
    int32_t slot, label, n, labelled, table, reserved;
    float values[LATHE_RECALL_VALUES];
} kept_line;

static uint64_t check_of(const char *text, size_t len) {
    return lathe_hash_bytes(text + sizeof(kept_head), (int64_t)(len - sizeof(kept_head)), MAGIC);
}

/* ---- saving ---- */

static int64_t put_table(lathe_slots *slots, int w, lathe_buf *out) {
    lathe_recall_line *table = lathe_slots_recall(slots, w);
    int64_t n = 0;
    for (int i = 0; i < LATHE_RECALL_LINES; i++) {
        const uint64_t key = atomic_load_explicit(&table[i].key, memory_order_relaxed);
        lathe_recall_answer a;
        if (key == 0 || !lathe_recall_read(&table[i], key, &a))
            continue;
        kept_line line = {.key = key,
                          .when_ms = a.when_ms,
                          .slot = a.slot,
                          .label = a.label,
                          .n = a.n,
                          .labelled = atomic_load(&table[i].labelled),
                          .table = w % lathe_slots_count(slots)};
        memcpy(line.values, a.values, (size_t)a.n * sizeof *a.values);
        lathe_buf_append(out, &line, sizeof line);
        n++;
    }
    return n;
}

int32_t lathe_recall_save(lathe_slots *slots, const char (*names)[LATHE_SLOTS_NAME], int count,
                          const char *path, lathe_error *err) {
    kept_head head = {.magic = MAGIC, .names = count, .tables = lathe_slots_count(slots)};
    lathe_buf out = {0};
    lathe_buf_append(&out, &head, sizeof head);
    lathe_buf_append(&out, names, (size_t)count * LATHE_SLOTS_NAME);
    for (int w = lathe_slots_recalls(slots) - 1; w >= 0; w--) /* those of before first */
        head.lines += put_table(slots, w, &out);
    int32_t rc = out.failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory") : LATHE_OK;
    if (rc == LATHE_OK && head.lines > 0) {
        head.check = check_of(out.data, out.len);
        memcpy(out.data, &head, sizeof head);
        rc = lathe_write_file_atomic(path, out.data, out.len, err);
    }
    lathe_buf_free(&out);
    return rc;
}

/* ---- loading ---- */

/* The number of a version by the file's number of it; -1: it has none any more. */
static void match_names(const char *theirs, int n, const char (*names)[LATHE_SLOTS_NAME], int count,
                        int *number) {
    for (int i = 0; i < n; i++) {
        const char *name = theirs + (size_t)i * LATHE_SLOTS_NAME;
        number[i] = -1;
        for (int k = 0; k < count && number[i] < 0; k++)
            if (strncmp(name, names[k], LATHE_SLOTS_NAME) == 0)
                number[i] = k;
    }
}

static void take_line(lathe_slots *slots, const kept_line *line, const kept_head *head,
                      const int *number, int64_t *taken) {
    if (line->key == 0 || line->slot < 0 || line->slot >= head->names || number[line->slot] < 0 ||
        line->n < 0 || line->n > LATHE_RECALL_VALUES || line->table < 0 ||
        line->table >= head->tables)
        return;
    lathe_recall_answer a = {
        .when_ms = line->when_ms, .slot = number[line->slot], .label = line->label, .n = line->n};
    memcpy(a.values, line->values, sizeof a.values);
    lathe_recall_line *table = lathe_slots_recall(slots, lathe_slots_count(slots) + line->table);
    lathe_recall_note(table, line->key, &a);
    if (line->labelled != 0)
        lathe_recall_mark(slots, line->key);
    ++*taken;
}

static int32_t take_all(lathe_slots *slots, const char *text, size_t len,
                        const char (*names)[LATHE_SLOTS_NAME], int count, int64_t *taken,
                        lathe_error *err) {
    int number[LATHE_SLOTS_MODELS];
    kept_head head;
    kept_line line;
    if (len >= sizeof head)
        memcpy(&head, text, sizeof head);
    if (len < sizeof head || head.magic != MAGIC || head.names < 0 ||
        head.names > LATHE_SLOTS_MODELS || head.tables < 1 || head.tables > LATHE_SLOTS_WORKERS ||
        head.lines < 0 || head.lines > 2 * LARGEST_LINES ||
        len != sizeof head + (size_t)head.names * LATHE_SLOTS_NAME +
                   (size_t)head.lines * sizeof line ||
        head.check != check_of(text, len))
        return lathe_fail(err, LATHE_E_CORRUPT, NULL, "it is not what the service wrote");
    int32_t rc = lathe_slots_add_recalls(slots, head.tables, err);
    const char *at = text + sizeof head;
    match_names(at, head.names, names, count, number);
    at += (size_t)head.names * LATHE_SLOTS_NAME;
    for (int64_t i = 0; rc == LATHE_OK && i < head.lines; i++) {
        memcpy(&line, at + (size_t)i * sizeof line, sizeof line);
        take_line(slots, &line, &head, number, taken);
    }
    return rc;
}

int32_t lathe_recall_load(lathe_slots *slots, const char (*names)[LATHE_SLOTS_NAME], int count,
                          const char *path, int64_t *taken, lathe_error *err) {
    char *text = NULL;
    size_t len = 0;
    *taken = 0;
    if (!lathe_is_file(path))
        return LATHE_OK;
    int32_t rc = lathe_read_file(path, LARGEST, &text, &len, err);
    if (unlink(path) != 0 && rc == LATHE_OK)
        rc = lathe_fail(err, LATHE_E_IO, path, "it cannot be removed, so that it is not used");
    if (rc == LATHE_OK)
        rc = take_all(slots, text, len, names, count, taken, err);
    free(text);
    return rc;
}

/* Answers that wait for their labels: found by name, id and row, once; the oldest of a set is forgotten. */
#include "serve/recall.h"

#include "data/text.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static lathe_slots *slots;
static int fd;

static void setup(void) {
    lathe_error err = {0};
    ck_assert_int_eq(lathe_slots_create(2, &slots, &fd, &err), LATHE_OK);
}

static void teardown(void) {
    lathe_slots_close(slots);
    close(fd);
}

static uint64_t key_of(const char *name, const char *id, int64_t row) {
    return lathe_recall_key(lathe_recall_name(name), lathe_str_of(id), row);
}

static void note(int worker, uint64_t key, int64_t when_ms, int32_t label) {
    const lathe_recall_answer a = {
        .when_ms = when_ms, .slot = 7, .label = label, .n = 2, .values = {0.25f, 0.75f}};
    lathe_recall_note(lathe_slots_recall(slots, worker), key, &a);
}

START_TEST(found_by_name_id_and_row) {
    lathe_recall_answer a;
    note(1, key_of("e", "one", 3), 1000, 1);
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "one", 3), &a), LATHE_RECALL_NEW);
    ck_assert(a.slot == 7 && a.label == 1 && a.n == 2 && a.when_ms == 1000 && a.values[1] == 0.75f);
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "one", 2), &a), LATHE_RECALL_UNKNOWN);
    ck_assert_int_eq(lathe_recall_find(slots, key_of("f", "one", 3), &a), LATHE_RECALL_UNKNOWN);
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "two", 3), &a), LATHE_RECALL_UNKNOWN);
    lathe_recall_mark(slots, key_of("e", "one", 3));
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "one", 3), &a), LATHE_RECALL_AGAIN);
}
END_TEST

/* The id was used again: the newest answer, of whatever worker, is meant, and has no label. */
START_TEST(the_newest_counts) {
    lathe_recall_answer a;
    const uint64_t key = key_of("e", "again", 0);
    note(0, key, 1000, 0);
    lathe_recall_mark(slots, key);
    note(1, key, 2000, 1);
    ck_assert_int_eq(lathe_recall_find(slots, key, &a), LATHE_RECALL_NEW);
    ck_assert_int_eq(a.label, 1);
    note(0, key, 3000, 0);
    ck_assert_int_eq(lathe_recall_find(slots, key, &a), LATHE_RECALL_NEW);
    ck_assert_int_eq(a.when_ms, 3000);
}
END_TEST

START_TEST(memory_is_bounded) {
    lathe_recall_answer a;
    const int n = 4 * LATHE_RECALL_LINES;
    int young = 0, old = 0;
    char id[32];
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "request-%d", i);
        note(0, key_of("e", id, 0), i, 0);
    }
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "request-%d", i);
        if (lathe_recall_find(slots, key_of("e", id, 0), &a) == LATHE_RECALL_NEW) {
            ck_assert_int_eq(a.when_ms, i);
            young += i >= n - LATHE_RECALL_LINES / 4;
            old += i < n / 4;
        }
    }
    /* of the newest quarter of the lines nearly all are there (4 in a set of 4 come with a probability of about 0.02), of what
     * is four times as old as there is room for, nothing but luck */
    ck_assert_msg(young > LATHE_RECALL_LINES / 4 * 98 / 100, "%d", young);
    ck_assert_msg(old < LATHE_RECALL_LINES / 50, "%d", old);
}
END_TEST

/* What a worker writes there is not trusted. */
START_TEST(nonsense_is_no_answer) {
    lathe_recall_answer a;
    const uint64_t key = key_of("e", "x", 0);
    note(0, key, 1, 0);
    for (int i = 0; i < LATHE_RECALL_LINES; i++) {
        lathe_recall_line *line = lathe_slots_recall(slots, 0) + i;
        atomic_store(&line->turn_n, i % 2 ? -5 : 1000000);
        atomic_store(&line->slot, LATHE_SLOTS_MODELS);
    }
    ck_assert_int_eq(lathe_recall_find(slots, key, &a), LATHE_RECALL_UNKNOWN);
    for (int i = 0; i < LATHE_RECALL_LINES; i++)
        atomic_store(&(lathe_slots_recall(slots, 0) + i)->slot, 1);
    ck_assert_int_eq(lathe_recall_find(slots, key, &a), LATHE_RECALL_NEW);
    ck_assert_int_eq(a.n, 0);
    lathe_recall_note(NULL, key, &a);
    ck_assert_ptr_null(lathe_slots_recall(slots, 2));
}
END_TEST

#define MANY 200000

/* Answers to one id, again and again: of each all parts are the same number. */
static void *rewrite(void *arg) {
    const uint64_t key = key_of("e", "same", 0);
    for (int i = 1; i <= MANY; i++) {
        const float x = (float)i;
        const lathe_recall_answer a = {
            .when_ms = i, .slot = 7, .label = i, .n = 8, .values = {x, x, x, x, x, x, x, x}};
        lathe_recall_note(lathe_slots_recall(slots, 0), key, &a);
    }
    atomic_store((_Atomic bool *)arg, true);
    return NULL;
}

/* What is found while another thread writes is one answer, not parts of two. */
START_TEST(found_whole) {
    const uint64_t key = key_of("e", "same", 0);
    lathe_recall_answer a;
    pthread_t writer;
    _Atomic bool done = false;
    ck_assert_int_eq(pthread_create(&writer, NULL, rewrite, &done), 0);
    while (!atomic_load(&done)) {
        if (lathe_recall_find(slots, key, &a) == LATHE_RECALL_UNKNOWN)
            continue;
        ck_assert_int_eq(a.label, (int)a.when_ms);
        for (int i = 0; i < 8; i++)
            ck_assert_msg(a.values[i] == (float)a.label, "%d of %d: %g", i, a.label,
                          (double)a.values[i]);
    }
    pthread_join(writer, NULL);
    ck_assert_int_eq(lathe_recall_find(slots, key, &a), LATHE_RECALL_NEW);
    ck_assert_int_eq(a.label, MANY);
}
END_TEST

static char file[64];
static const char names[][LATHE_SLOTS_NAME] = {"a@1", "b@1", "c@1", "d@1",
                                               "e@1", "f@1", "g@1", "h@1"};

/* What is written is read by another service, whose versions have other numbers. */
START_TEST(kept_over_an_orderly_end) {
    static const char theirs[][LATHE_SLOTS_NAME] = {"x@1", "h@1", "a@1"};
    lathe_recall_answer a;
    lathe_error err = {0};
    int64_t taken = 0;
    snprintf(file, sizeof file, "/tmp/lathe-recall-%d", (int)getpid());
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf(id, sizeof id, "request-%d", i);
        note(i % 2, key_of("e", id, 0), 1000 + i, i);
    }
    lathe_recall_mark(slots, key_of("e", "request-5", 0));
    ck_assert_int_eq(lathe_recall_save(slots, names, 8, file, &err), LATHE_OK);
    teardown();
    setup();
    note(0, key_of("e", "request-7", 0), 5000, 9999); /* asked anew meanwhile */
    ck_assert_int_eq(lathe_recall_load(slots, theirs, 3, file, &taken, &err), LATHE_OK);
    ck_assert_int_eq(taken, 1000);
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf(id, sizeof id, "request-%d", i);
        ck_assert_int_eq(lathe_recall_find(slots, key_of("e", id, 0), &a),
                         i == 5 ? LATHE_RECALL_AGAIN : LATHE_RECALL_NEW);
        ck_assert(a.label == (i == 7 ? 9999 : i) && a.n == 2 && a.values[1] == 0.75f);
        ck_assert(a.slot == (i == 7 ? 7 : 1));
    }
    ck_assert_int_ne(access(file, F_OK), 0);
    ck_assert_int_eq(lathe_recall_load(slots, theirs, 3, file, &taken, &err), LATHE_OK);
    ck_assert_int_eq(taken, 0);
    /* those of before are saved again */
    ck_assert_int_eq(lathe_recall_save(slots, theirs, 3, file, &err), LATHE_OK);
    teardown();
    setup();
    ck_assert_int_eq(lathe_recall_load(slots, names, 8, file, &taken, &err), LATHE_OK);
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "request-5", 0), &a), LATHE_RECALL_AGAIN);
    ck_assert_int_eq(a.slot, 7);
}
END_TEST

/* What is never told goes from service to service, with what each answers. */
START_TEST(kept_over_many_ends) {
    lathe_error err = {0};
    lathe_recall_answer a;
    int64_t taken = 0;
    char id[32];
    snprintf(file, sizeof file, "/tmp/lathe-recall-%d", (int)getpid());
    for (int k = 0; k < 70; k++) {
        snprintf(id, sizeof id, "request-%d", k);
        note(k % 2, key_of("e", id, 0), 1000 + k, k);
        ck_assert_int_eq(lathe_recall_save(slots, names, 8, file, &err), LATHE_OK);
        teardown();
        setup();
        ck_assert_int_eq(lathe_recall_load(slots, names, 8, file, &taken, &err), LATHE_OK);
        ck_assert_int_eq(taken, k + 1);
    }
    for (int k = 0; k < 70; k++) {
        snprintf(id, sizeof id, "request-%d", k);
        ck_assert_int_eq(lathe_recall_find(slots, key_of("e", id, 0), &a), LATHE_RECALL_NEW);
        ck_assert_int_eq(a.label, k);
    }
}
END_TEST

/* Cut short, or another's: told, and gone. */
START_TEST(broken_files_are_forgotten) {
    lathe_error err = {0};
    lathe_recall_answer a;
    int64_t taken;
    char text[4096];
    snprintf(file, sizeof file, "/tmp/lathe-recall-%d", (int)getpid());
    note(0, key_of("e", "one", 0), 1000, 1);
    for (int k = 0; k < 4; k++) {
        ck_assert_int_eq(lathe_recall_save(slots, names, 8, file, &err), LATHE_OK);
        FILE *f = fopen(file, "r+");
        const size_t len = fread(text, 1, sizeof text, f);
        ck_assert_uint_gt(len, 100);
        if (k < 2)
            ck_assert_int_eq(ftruncate(fileno(f), k == 0 ? 10 : (off_t)len - 1), 0);
        fseek(f, k == 2 ? (long)len - 5 : 16, SEEK_SET); /* a value; the number of names */
        if (k >= 2)
            fputc(0x7f, f);
        fclose(f);
        ck_assert_int_eq(lathe_recall_load(slots, names, 8, file, &taken, &err), LATHE_E_CORRUPT);
        ck_assert_int_eq(taken, 0);
        ck_assert_int_ne(access(file, F_OK), 0);
    }
    ck_assert_int_eq(lathe_recall_find(slots, key_of("e", "one", 0), &a), LATHE_RECALL_NEW);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("recall");
    TCase *c = tcase_create("recall");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, found_by_name_id_and_row);
    tcase_add_test(c, the_newest_counts);
    tcase_add_test(c, memory_is_bounded);
    tcase_add_test(c, nonsense_is_no_answer);
    tcase_add_test(c, found_whole);
    tcase_add_test(c, kept_over_an_orderly_end);
    tcase_add_test(c, kept_over_many_ends);
    tcase_add_test(c, broken_files_are_forgotten);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

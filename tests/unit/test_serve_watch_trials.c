/* A canary's verdict comes from answers about its own trial, also where one that was asked for an earlier trial of the same
 * version comes late. The monitor's worker is a script that answers when it is told to. */
#include "serve/watch/internal.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER                                                                                     \
    "{\"quality\": {\"metric\": \"auc\", \"higher_is_better\": true, \"values\": [0.6, 0.9], "     \
    "\"errors\": [0.01, 0.01]}, \"guards\": {\"feature_drift\": {\"name\": \"x\", \"metric\": "    \
    "\"psi\", \"statistic\": 0.9, \"threshold\": 0.2, \"beyond\": true}}}"

enum { LABELS = 60 };

static lathe_supervisor *s;
static lathe_watches *all;
static char folder[] = "/tmp/lathe-trials-XXXXXX", script[64], answers[64];
static lathe_error err;

/* Two versions of a model that are served, each with labels. */
static void setup(void) {
    static const char text[] =
        "{\"routes\": [{\"slot\": 0, \"model\": \"m\", \"version\": 1, \"path\": \"/none\"}, "
        "{\"slot\": 1, \"model\": \"m\", \"version\": 2, \"path\": \"/none\"}]}";
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(script, sizeof script, "%s/worker", folder);
    snprintf(answers, sizeof answers, "%s/answers", folder);
    ck_assert_int_eq(mkfifo(answers, 0600), 0);
    FILE *f = fopen(script, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "#!/bin/sh\ncat > /dev/null\nexec cat %s\n", answers);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(script, 0700), 0);
    s = calloc(1, sizeof *s);
    all = calloc(1, sizeof *all);
    ck_assert(s != NULL && all != NULL && uv_loop_init(&s->loop) == 0);
    s->executable = script;
    s->generation = 1;
    s->table = cJSON_Parse(text);
    s->numbers.count = 2;
    snprintf(s->numbers.names[0], LATHE_SLOTS_NAME, "m@1");
    snprintf(s->numbers.names[1], LATHE_SLOTS_NAME, "m@2");
    all->s = s;
    for (int slot = 0; slot < 2; slot++) {
        watch_item *item = watch_need(all, slot);
        ck_assert_ptr_nonnull(item);
        item->quality = calloc(1, sizeof *item->quality);
        ck_assert_ptr_nonnull(item->quality);
        item->phase = WATCH_BARE; /* there is nothing to read */
    }
}

static void teardown(void) {
    for (int slot = 0; slot < 2; slot++)
        watch_free_item(all->items[slot]);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&s->loop), 0);
    cJSON_Delete(s->table);
    free(all);
    free(s);
    unlink(script);
    unlink(answers);
    rmdir(folder);
}

static watch_item *begin(void) {
    lathe_trial_limits limits = {.compares = true,
                                 .confidence = 0.95,
                                 .min_labels = LABELS,
                                 .base_model = "m",
                                 .base_version = 1};
    ck_assert_int_eq(lathe_watches_try(all, "m", 2, &limits, &err), LATHE_OK);
    all->items[1]->phase = WATCH_OPEN; /* nothing is counted, so that labels alone are looked at */
    return all->items[1];
}

static void label(watch_item *item) {
    watch_quality *q = item->quality;
    for (int i = 0; i < LABELS; i++)
        q->rows[q->n++ % LATHE_LABELS_KEPT] =
            (lathe_label_row){.when_ms = INT64_MAX, .truth = i % 2, .values = {0.5f}};
    q->scored = q->n; /* alone they were looked at */
}

/* A comparison is asked for, and waits for its answer. */
static void ask(void) {
    watch_item *item = begin();
    label(all->items[0]);
    label(item);
    watch_pass(all);
    ck_assert_ptr_nonnull(all->job);
    ck_assert_int_eq(all->job->task, WATCH_COMPARE);
    s->draining = true; /* no further question follows */
}

static void answer(void) {
    const int fd = open(answers, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, ANSWER, sizeof ANSWER - 1), sizeof ANSWER - 1);
    close(fd);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    ck_assert_ptr_null(all->job);
    ck_assert_uint_eq(all->failures, 0);
}

START_TEST(of_its_own) {
    lathe_trial_verdict v;
    ask();
    answer();
    ck_assert(lathe_watches_verdict(all, "m", 2, &v));
    ck_assert_int_eq(v.labelled, LABELS);
    ck_assert_double_eq_tol(v.quality_drop, 0.3, 1e-12);
    ck_assert(v.quality_least > 0.2 && v.quality_least < 0.3);
}
END_TEST

START_TEST(of_the_one_before) {
    lathe_trial_verdict v;
    ask();
    begin();
    answer();
    ck_assert(lathe_watches_verdict(all, "m", 2, &v));
    ck_assert_int_eq(v.labelled, 0);
    ck_assert_int_eq(all->items[1]->trial->looks, 0);
}
END_TEST

START_TEST(of_one_that_ended) {
    lathe_trial_verdict v;
    ask();
    lathe_watches_end_trial(all, "m", 2);
    answer();
    ck_assert(!lathe_watches_verdict(all, "m", 2, &v));
}
END_TEST

/* The same of what is said about drift. */
START_TEST(of_drift) {
    lathe_trial_verdict v;
    watch_item *item = begin();
    watch_job job = {.item = item, .task = WATCH_TRIAL, .trial = item->trial->number, .rows = 500};
    job.answer = cJSON_Parse(ANSWER);
    watch_take_trial(&job);
    ck_assert(lathe_watches_verdict(all, "m", 2, &v));
    ck_assert(v.rows == 500 && v.beyond[LATHE_TRIAL_FEATURES] && !v.beyond[LATHE_TRIAL_OUTPUTS]);
    ck_assert(v.worst[LATHE_TRIAL_FEATURES] == 0.9 && v.limit[LATHE_TRIAL_FEATURES] == 0.2);
    begin();
    watch_take_trial(&job);
    ck_assert(lathe_watches_verdict(all, "m", 2, &v));
    ck_assert(v.rows == 0 && !v.beyond[LATHE_TRIAL_FEATURES]);
    lathe_watches_end_trial(all, "m", 2);
    watch_take_trial(&job);
    cJSON_Delete(job.answer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("watch_trials");
    TCase *c = tcase_create("late answers");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, of_its_own);
    tcase_add_test(c, of_the_one_before);
    tcase_add_test(c, of_one_that_ended);
    tcase_add_test(c, of_drift);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

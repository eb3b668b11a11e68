/* Alarms with hysteresis, chance, and answers as columns. */
#include "base/rng.h"
#include "data/memory.h"
#include "monitor/alarm.h"
#include "monitor/chance.h"
#include "monitor/live.h"
#include "monitor/outputs.h"
#include "monitor/watch.h"
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;
static lathe_error err;

static void setup(void) {
    fixture_open(&fx, 1);
}

static void teardown(void) {
    fixture_close(&fx);
}

/* ---- alarms ---- */

/* levels: u, w, n, b; gives what happens: '.', 'R', 'E'. */
static void expect(int after, const char *levels, const char *changes) {
    lathe_alarm a = {0};
    for (size_t i = 0; levels[i] != '\0'; i++) {
        const lathe_alarm_level level = levels[i] == 'u'   ? LATHE_ALARM_UNKNOWN
                                        : levels[i] == 'w' ? LATHE_ALARM_WITHIN
                                        : levels[i] == 'n' ? LATHE_ALARM_NEAR
                                                           : LATHE_ALARM_BEYOND;
        const lathe_alarm_change c = lathe_alarm_note(&a, level, after);
        const char got = c == LATHE_ALARM_SAME ? '.' : c == LATHE_ALARM_RAISED ? 'R' : 'E';
        ck_assert_msg(got == changes[i], "after %d, %s: %c at %zu, expected %c", after, levels, got,
                      i, changes[i]);
    }
}

START_TEST(alarms_have_hysteresis) {
    expect(1, "bbbwwb", "R..E.R");
    expect(2, "bwbwbwbw", "........");
    expect(2, "bbbbbwwww", ".R....E..");
    expect(2, "bnbnbb", ".....R");
    expect(2, "bbnnnnbnnwnwnww", ".R............E"); /* wavering about the limit ends nothing */
    expect(2, "bubuuwuw", "..R....E"); /* what is not known is as if it had not been */
    expect(3, "bbwbbbb", ".....R.");
}
END_TEST

START_TEST(levels) {
    ck_assert_int_eq(lathe_alarm_level_of((double)NAN, 0.2, false), LATHE_ALARM_UNKNOWN);
    ck_assert_int_eq(lathe_alarm_level_of(0.1, 0.2, false), LATHE_ALARM_WITHIN);
    ck_assert_int_eq(lathe_alarm_level_of(0.16, 0.2, false), LATHE_ALARM_WITHIN);
    ck_assert_int_eq(lathe_alarm_level_of(0.19, 0.2, false), LATHE_ALARM_NEAR);
    ck_assert_int_eq(lathe_alarm_level_of(0.3, 0.2, true), LATHE_ALARM_BEYOND);
    ck_assert_int_eq(lathe_alarm_level_of(0.3, 0.2, false), LATHE_ALARM_NEAR); /* by chance */
}
END_TEST

/* ---- chance ---- */

enum { TRAINED = 5000, WINDOWS = 150 };

static double values[TRAINED];

static lathe_table normal_rows(lathe_column *column, int64_t n, uint64_t key, double shift) {
    for (int64_t i = 0; i < n; i++) {
        float z;
        lathe_rng_normal_f32(key, (uint64_t)i, &z, 1);
        values[i] = (double)z + shift;
    }
    *column = (lathe_column){.name = "x", .type = LATHE_COLUMN_FLOAT64, .values = values};
    return (lathe_table){n, 1, column};
}

/* Of windows of n rows, how many are beyond what chance explains, by a measure whose threshold is always exceeded. */
static int unexplained(const char *measure, int64_t n, double shift) {
    lathe_column column;
    lathe_baseline *baseline;
    lathe_watch *watch;
    lathe_component *bound;
    const lathe_binder binder = {.catalogue = fx.catalogue};
    int count = 0;
    const lathe_table trained = normal_rows(&column, TRAINED, 1, 0);
    fixture_ok(lathe_baseline_fit(&trained, &baseline, &err), &err, "baseline");
    fixture_ok(
        lathe_bind_text(&binder, LATHE_KIND_DRIFT, measure, "{\"threshold\": 0}", &bound, &err),
        &err, "bind");
    const lathe_component *const measures[] = {bound};
    fixture_ok(lathe_watch_new(fx.runtime, baseline, measures, 1, &watch, &err), &err, "watch");
    for (int w = 0; w < WINDOWS; w++) {
        const lathe_drift_finding *found;
        size_t n_found;
        const lathe_table rows = normal_rows(&column, n, 100 + (uint64_t)w, shift);
        lathe_watch_doubt(watch, (uint64_t)w);
        fixture_ok(lathe_watch_add(watch, &rows, &err), &err, "add");
        fixture_ok(lathe_watch_close(watch, &found, &n_found, &err), &err, "close");
        ck_assert(n_found == 1 && found[0].present == (double)n && found[0].result.alert == 1);
        count += !found[0].by_chance;
    }
    lathe_watch_free(watch);
    lathe_component_free(bound);
    lathe_baseline_free(baseline);
    return count;
}

/* At most 1 in 100 windows without drift, whatever their size: with 150 of them more than 8 come in 1 of 10 000 runs. */
START_TEST(no_false_alarms) {
    static const char *const measures[] = {"psi", "js", "wasserstein"};
    static const int64_t sizes[] = {30, 300, 3000};
    for (size_t m = 0; m < 3; m++)
        for (size_t s = 0; s < 3; s++) {
            const int got = unexplained(measures[m], sizes[s], 0);
            ck_assert_msg(got <= 8, "%s, %lld rows: %d of %d", measures[m], (long long)sizes[s],
                          got, WINDOWS);
        }
}
END_TEST

/* A shift of 0.3 standard deviations is found in 1000 rows in at least 9 of 10 windows. */
START_TEST(power) {
    static const char *const measures[] = {"psi", "js", "wasserstein"};
    for (size_t m = 0; m < 3; m++) {
        const int got = unexplained(measures[m], 1000, 0.3);
        ck_assert_msg(got >= WINDOWS * 9 / 10, "%s: %d of %d", measures[m], got, WINDOWS);
    }
}
END_TEST

/* ---- answers ---- */

START_TEST(answers_as_columns) {
    static const char *const classes[] = {"no", "yes"};
    static const float probability[] = {0.9f, 0.1f, 0.25f, 0.75f, 0.5f, 0.5f};
    static const int32_t label[] = {0, 1, 1};
    static const float value[] = {1.5f, -2, 7};
    double numbers[3];
    lathe_outputs view;
    lathe_str *dict = lathe_outputs_dict(classes, 2);
    lathe_answers a = {3, NULL, probability, label};
    lathe_outputs_view(&view, dict, 2, &a, numbers);
    ck_assert(view.table.n_rows == 3 && view.table.n_columns == 2);
    ck_assert_str_eq(view.columns[0].name, "prediction");
    ck_assert(view.columns[0].dict_size == 2 && ((int32_t *)view.columns[0].values)[1] == 1);
    ck_assert_str_eq(view.columns[1].name, "confidence");
    ck_assert(numbers[0] == (double)0.9f && numbers[1] == 0.75 && numbers[2] == 0.5);
    a = (lathe_answers){3, value, NULL, NULL};
    lathe_outputs_view(&view, dict, 0, &a, numbers);
    ck_assert(view.table.n_columns == 1 && view.columns[0].type == LATHE_COLUMN_FLOAT64);
    ck_assert(numbers[1] == -2);
    free(dict);
    cJSON *json = NULL;
    lathe_baseline *baseline = NULL;
    a = (lathe_answers){3, NULL, probability, label};
    fixture_ok(lathe_outputs_fit(classes, 2, &a, &json, &err), &err, "fit");
    fixture_ok(lathe_baseline_from_json(json, &baseline, &err), &err, "read");
    lathe_distribution d;
    ck_assert_int_eq(lathe_baseline_features(baseline), 2);
    lathe_baseline_distribution(baseline, 0, LATHE_BINS_COARSE, &d);
    ck_assert(d.n_bins == 3 && d.counts[0] == 1 && d.counts[1] == 2 && d.counts[2] == 0);
    lathe_baseline_free(baseline);
    cJSON_Delete(json);
}
END_TEST

/* ---- sums between processes ---- */

START_TEST(sums_travel) {
    lathe_column column;
    lathe_baseline *baseline;
    lathe_live *live;
    const lathe_table rows = normal_rows(&column, 1000, 1, 0);
    fixture_ok(lathe_baseline_fit(&rows, &baseline, &err), &err, "baseline");
    fixture_ok(lathe_live_new(baseline, &rows, 1 << 20, &live, &err), &err, "live");
    void *region = lathe_aligned_zeroed((int64_t)lathe_live_bytes(live), 1);
    lathe_live_total *before = lathe_live_total_new(live), *now = lathe_live_total_new(live),
                     *there = lathe_live_total_new(live);
    values[0] = 1e6; /* an outlier of the first window alone */
    lathe_live_waiting *waiting = lathe_live_waiting_new(live, 0);
    lathe_live_add_later(waiting, region, &rows, 0, 400);
    lathe_live_flush(waiting, region);
    lathe_live_sum(region, before);
    lathe_live_add_later(waiting, region, &rows, 400, 600);
    lathe_live_flush(waiting, region);
    lathe_live_waiting_free(waiting);
    ck_assert_int_eq(lathe_live_region_rows(region), 1000);
    lathe_live_sum(region, now);
    lathe_live_feature want, got;
    lathe_live_describe(now, before, 0, LATHE_BINS_FINE, &want);
    double *counts = malloc((size_t)want.n_bins * sizeof *counts);
    memcpy(counts, want.counts, (size_t)want.n_bins * sizeof *counts);
    lathe_live_total_subtract(now, before);
    fixture_ok(lathe_live_total_load(there, lathe_live_total_save(now), &err), &err, "load");
    lathe_live_describe(there, NULL, 0, LATHE_BINS_FINE, &got);
    ck_assert_int_eq(lathe_live_total_rows(there), 600);
    ck_assert_mem_eq(got.counts, counts, (size_t)want.n_bins * sizeof *counts);
    ck_assert(got.mean == want.mean && got.deviation == want.deviation && got.above == want.above);
    ck_assert_msg(got.largest < 10, "the outlier is none of this window's: %g", got.largest);
    lathe_live_describe(before, NULL, 0, LATHE_BINS_FINE, &got);
    ck_assert(got.largest == 1e6 && got.above == 1);
    /* what no sum has */
    double *cells = malloc((size_t)lathe_live_cells(live) * sizeof *cells);
    for (int bad = 0; bad < 2; bad++) {
        memcpy(cells, lathe_live_total_save(now), (size_t)lathe_live_cells(live) * sizeof *cells);
        cells[bad ? 16 : 8] = bad ? -1 : (double)NAN;
        ck_assert_int_eq(lathe_live_total_load(there, cells, &err), LATHE_E_CORRUPT);
    }
    free(cells);
    free(counts);
    lathe_live_total_free(before);
    lathe_live_total_free(now);
    lathe_live_total_free(there);
    free(region);
    lathe_live_free(live);
    lathe_baseline_free(baseline);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("watch");
    TCase *c = tcase_create("watch");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, alarms_have_hysteresis);
    tcase_add_test(c, levels);
    tcase_add_test(c, no_false_alarms);
    tcase_add_test(c, power);
    tcase_add_test(c, answers_as_columns);
    tcase_add_test(c, sums_travel);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

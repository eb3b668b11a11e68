/* Labelled answers: the newest of each version, once, whatever comes again. */
#include "store/db.h"
#include "support_store.h"

static lathe_store *store;

static void set_up_store(void) {
    set_up();
    store = open_own();
    register_text(store, "m", "one", NULL, NULL);
    register_text(store, "m", "two", NULL, NULL);
}

static void tear_down_store(void) {
    lathe_store_close(store);
    tear_down();
}

/* Rows [from, from + n) of a version; their truth is their number and `truth`. */
static int32_t add(int64_t version, int64_t from, size_t n, double truth) {
    lathe_label_row *rows = lathe_arena_array(arena, n + 1, sizeof *rows);
    for (size_t i = 0; i < n; i++)
        rows[i] = (lathe_label_row){.number = from + (int64_t)i,
                                    .when_ms = 1000 + from + (int64_t)i,
                                    .truth = (double)(from + (int64_t)i) + truth,
                                    .label = (int32_t)(i % 2),
                                    .n = 2,
                                    .values = {0.25f, 0.75f}};
    lathe_label_batch batch = {"m", version, rows, n};
    const lathe_label_list list = {&batch, 1};
    return lathe_store_labels_add(store, &list, &err);
}

static lathe_label_batch read_back(int64_t version) {
    lathe_label_batch batch;
    ck_ok(lathe_store_labels(store, "m", version, arena, &batch, &err));
    return batch;
}

START_TEST(they_are_there_after_a_restart) {
    ck_assert_int_eq((int)read_back(1).count, 0);
    ck_ok(add(1, 0, 3, 0));
    ck_ok(add(2, 0, 1, 0.5));
    lathe_store_close(store);
    store = open_own();
    lathe_label_batch batch = read_back(1);
    ck_assert_int_eq((int)batch.count, 3);
    for (int i = 0; i < 3; i++) {
        const lathe_label_row *row = &batch.rows[i];
        ck_assert(row->number == i && row->when_ms == 1000 + i && row->truth == i &&
                  row->label == i % 2 && row->n == 2 && row->values[0] == 0.25f &&
                  row->values[1] == 0.75f);
    }
    ck_assert(read_back(2).count == 1 && read_back(2).rows[0].truth == 0.5);
    lathe_label_list list;
    ck_ok(lathe_store_labelled(store, arena, &list, &err));
    ck_assert(list.count == 2 && list.items[0].version == 1 && list.items[1].version == 2);
}
END_TEST

START_TEST(the_newest_are_kept) {
    ck_ok(add(1, 0, LATHE_LABELS_KEPT, 0));
    ck_ok(add(1, LATHE_LABELS_KEPT, 100, 0));
    const lathe_label_batch batch = read_back(1);
    ck_assert_int_eq((int)batch.count, LATHE_LABELS_KEPT);
    for (int i = 0; i < LATHE_LABELS_KEPT; i++)
        ck_assert_int_eq(batch.rows[i].number, 100 + i);
}
END_TEST

/* Two calls write what neither had written before, the later one first. */
START_TEST(again_and_out_of_order_changes_nothing) {
    ck_ok(add(1, 0, 20, 0));
    ck_ok(add(1, 0, 10, 0));
    ck_assert_int_eq((int)read_back(1).count, 20);
    ck_ok(add(1, LATHE_LABELS_KEPT, 5, 0));
    ck_ok(add(1, 0, 5, 0)); /* too late: newer ones have their places */
    const lathe_label_batch batch = read_back(1);
    ck_assert_int_eq((int)batch.count, 20);
    ck_assert(batch.rows[0].number == 5 && batch.rows[19].number == LATHE_LABELS_KEPT + 4);
}
END_TEST

START_TEST(of_some_versions_alone) {
    lathe_label_list list;
    for (int i = 3; i <= LATHE_LABELS_VERSIONS + 2; i++) {
        char text[16];
        snprintf(text, sizeof text, "text %d", i);
        register_text(store, "m", text, NULL, NULL);
    }
    for (int i = 1; i <= LATHE_LABELS_VERSIONS; i++)
        ck_ok(add(i, 0, 2, 0));
    ck_ok(lathe_db_run(store, NULL, &err, "UPDATE labelled SET updated = version", ""));
    ck_ok(add(LATHE_LABELS_VERSIONS + 1, 0, 2, 0));
    ck_ok(add(LATHE_LABELS_VERSIONS + 2, 0, 2, 0));
    ck_ok(lathe_store_labelled(store, arena, &list, &err));
    ck_assert_int_eq((int)list.count, LATHE_LABELS_VERSIONS);
    ck_assert_int_eq((int)read_back(1).count, 0);
    ck_assert_int_eq((int)read_back(2).count, 0);
    ck_assert_int_eq((int)read_back(3).count, 2);
    ck_assert_int_eq((int)read_back(LATHE_LABELS_VERSIONS + 2).count, 2);
}
END_TEST

START_TEST(all_or_nothing) {
    ck_fails(add(9, 0, 3, 0), LATHE_E_NOT_FOUND, "9");
    lathe_label_row row = {.n = 0};
    lathe_label_batch batches[] = {{"m", 1, &row, 1}, {"nobody", 1, &row, 1}};
    const lathe_label_list list = {batches, 2};
    ck_fails(lathe_store_labels_add(store, &list, &err), LATHE_E_NOT_FOUND, "nobody");
    ck_assert_int_eq((int)read_back(1).count, 0);
}
END_TEST

/* Another program wrote there. */
START_TEST(odd_rows_are_read_as_what_they_are) {
    ck_ok(add(1, 0, 1, 0));
    ck_ok(lathe_db_run(store, NULL, &err, "UPDATE labels SET scores = zeroblob(33)", ""));
    ck_assert_int_eq(read_back(1).rows[0].n, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store_labels");
    TCase *t = tcase_create("labels");
    tcase_add_checked_fixture(t, set_up_store, tear_down_store);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, they_are_there_after_a_restart);
    tcase_add_test(t, the_newest_are_kept);
    tcase_add_test(t, again_and_out_of_order_changes_nothing);
    tcase_add_test(t, of_some_versions_alone);
    tcase_add_test(t, all_or_nothing);
    tcase_add_test(t, odd_rows_are_read_as_what_they_are);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

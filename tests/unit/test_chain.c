/* The chain of fitted transforms: what training gets, later rows get; rows that are dropped take everything of theirs
 * along; a chain comes back from its states as it was, and not from others'. */
#include "model/chain.h"
#include "plugin_fixture.h"

#include <math.h>

static fixture fx;
static lathe_error err;

static void set_up(void) {
    fixture_open(&fx, 2);
    lathe_error_clear(&err);
}

static void tear_down(void) {
    fixture_close(&fx);
}

#define ck_ok(call) fixture_ok((call), &err, #call)

/* ---- tables ---- */

#define N 6
static double size[N] = {1, NAN, 3, 3, 5, 100};
static int64_t age[N] = {10, 20, 20, 20, LATHE_MISSING_INT, 60};
static int32_t color[N] = {0, 1, 1, 1, LATHE_CODE_MISSING, 2};
static const lathe_str colors[] = {{"blue", 4}, {"green", 5}, {"red", 3}};
static const lathe_column columns[] = {{"size", LATHE_COLUMN_FLOAT64, 0, size, NULL, 0},
                                       {"age", LATHE_COLUMN_INT64, 0, age, NULL, 0},
                                       {"color", LATHE_COLUMN_CATEGORY, 0, color, colors, 3}};
static const lathe_table table = {N, 3, columns};
static double target[N] = {1, 2, 3, 3, 5, 6};
static const lathe_column target_column = {"y", LATHE_COLUMN_FLOAT64, 0, target, NULL, 0};
static const lathe_table target_table = {N, 1, &target_column};
static const double weight[N] = {1, 2, 3, 4, 5, 6};
static const int32_t fold[N] = {0, 1, 2, 0, 1, 2};

/* Later rows: missing where training was not, a category that training did not see. */
static double later_size[2] = {NAN, 3};
static int64_t later_age[2] = {LATHE_MISSING_INT, 20};
static int32_t later_color[2] = {LATHE_CODE_UNSEEN, 1};
static const lathe_column later_columns[] = {
    {"size", LATHE_COLUMN_FLOAT64, 0, later_size, NULL, 0},
    {"age", LATHE_COLUMN_INT64, 0, later_age, NULL, 0},
    {"color", LATHE_COLUMN_CATEGORY, 0, later_color, colors, 3}};
static const lathe_table later = {2, 3, later_columns};

static lathe_frame *frame_of(const lathe_table *t) {
    lathe_frame *frame;
    ck_ok(lathe_frame_copy_table(t, NULL, &frame, &err));
    return frame;
}

static void same_value(const lathe_column *a, const lathe_column *b, int64_t i, int64_t j) {
    ck_assert_int_eq(lathe_is_missing(a, i), lathe_is_missing(b, j));
    if (lathe_is_missing(a, i))
        return;
    if (a->type == LATHE_COLUMN_FLOAT64)
        ck_assert(memcmp((const double *)a->values + i, (const double *)b->values + j,
                         sizeof(double)) == 0);
    else if (a->type == LATHE_COLUMN_CATEGORY)
        ck_assert_int_eq(((const int32_t *)a->values)[i], ((const int32_t *)b->values)[j]);
    else
        ck_assert_int_eq(((const int64_t *)a->values)[i], ((const int64_t *)b->values)[j]);
}

/* Row rows[i] of a is row i of b. */
static void same_rows(const lathe_frame *fa, const int64_t *rows, const lathe_frame *fb) {
    const lathe_table *a = lathe_frame_table(fa), *b = lathe_frame_table(fb);
    ck_assert_int_eq(a->n_columns, b->n_columns);
    for (int64_t c = 0; c < a->n_columns; c++) {
        ck_assert_str_eq(a->columns[c].name, b->columns[c].name);
        ck_assert_int_eq(a->columns[c].type, b->columns[c].type);
        for (int64_t i = 0; i < b->n_rows; i++)
            same_value(&a->columns[c], &b->columns[c], rows ? rows[i] : i, i);
    }
}

/* ---- a chain ---- */

typedef struct fitted {
    lathe_chain *chain;
    lathe_frame *prepared;
    int64_t *kept, n_kept;
} fitted;

static int32_t fit(const char *const *uses, fitted *f) {
    const lathe_component *components[8];
    size_t n = 0;
    lathe_frame *rows = frame_of(&table), *y = frame_of(&target_table);
    for (; uses[n] != NULL; n++)
        components[n] =
            fixture_component(&fx, LATHE_KIND_TRANSFORM, uses[n], LATHE_TASK_REGRESSION);
    const lathe_chain_data data = {.rows = rows,
                                   .target = y,
                                   .weight = weight,
                                   .fold = fold,
                                   .n_folds = 3,
                                   .task = LATHE_TASK_REGRESSION,
                                   .key = 7};
    *f = (fitted){0};
    int32_t rc = lathe_chain_fit(fx.runtime, components, n, &data, &f->chain, &f->prepared,
                                 &f->kept, &f->n_kept, &err);
    for (size_t i = 0; i < n; i++)
        lathe_component_free(components[i]);
    lathe_frame_free(rows);
    lathe_frame_free(y);
    return rc;
}

static void free_fitted(fitted *f) {
    lathe_chain_free(f->chain);
    lathe_frame_free(f->prepared);
    free(f->kept);
}

static lathe_frame *apply(const lathe_chain *chain, const lathe_table *t) {
    lathe_frame *rows = frame_of(t), *out;
    ck_ok(lathe_chain_apply(chain, rows, &out, &err));
    lathe_frame_free(rows);
    return out;
}

static lathe_chain *reload(const lathe_chain *chain) {
    lathe_state **states;
    size_t n;
    lathe_chain *back;
    ck_ok(lathe_chain_save(chain, &states, &n, &err));
    ck_ok(lathe_chain_load(fx.runtime, states, n, &table, &back, &err));
    for (size_t i = 0; i < n; i++)
        lathe_state_free(states[i]);
    free(states);
    return back;
}

static const char *const chains[][6] = {
    {NULL},
    {"impute", NULL},
    {"{\"impute\": {\"columns\": \"all\", \"strategy\": \"mode\", \"marker\": true}}", "one_hot",
     "standardize", NULL},
    {"drop_duplicates", "{\"impute\": {\"strategy\": \"mean\"}}", "ordinal", NULL},
    {"{\"drop_missing\": {\"columns\": \"all\"}}", "drop_duplicates", "min_max", NULL},
    {"robust", "{\"clip\": {\"columns\": \"numeric\", \"lower\": 0}}",
     "{\"select\": {\"columns\": [\"size\", \"color\"]}}", NULL},
    {"{\"drop\": {\"columns\": \"age\"}}", NULL},
};

/* Training rows through apply, and through apply after a reload, are the prepared rows. */
START_TEST(what_training_got_later_rows_get) {
    fitted f;
    ck_ok(fit(chains[_i], &f));
    lathe_frame *all = apply(f.chain, &table);
    same_rows(all, f.kept, f.prepared);
    ck_assert_int_eq(lathe_frame_rows(f.prepared), f.n_kept);
    ck_assert_int_eq(lathe_frame_rows(all), N); /* nothing is dropped from later rows */
    lathe_chain *back = reload(f.chain);
    lathe_frame *again = apply(back, &table);
    same_rows(all, NULL, again);
    lathe_frame *late = apply(f.chain, &later), *late_again = apply(back, &later);
    same_rows(late, NULL, late_again);
    /* a row alone */
    const lathe_column one[] = {columns[0], columns[1], columns[2]};
    const lathe_table first = {1, 3, one};
    lathe_frame *alone = apply(back, &first);
    same_rows(all, NULL, alone);
    const lathe_table *schema = lathe_chain_schema(back);
    ck_assert_int_eq(schema->n_columns, lathe_frame_columns(all));
    for (int64_t c = 0; c < schema->n_columns; c++)
        ck_assert_str_eq(schema->columns[c].name, lathe_frame_table(all)->columns[c].name);
    lathe_frame_free(alone);
    lathe_frame_free(late_again);
    lathe_frame_free(late);
    lathe_frame_free(again);
    lathe_frame_free(all);
    lathe_chain_free(back);
    free_fitted(&f);
}
END_TEST

START_TEST(dropped_rows_take_what_is_theirs) {
    fitted f;
    ck_ok(fit((const char *const[]){"{\"drop_missing\": {\"columns\": \"all\"}}", "drop_duplicates",
                                    NULL},
              &f));
    const int64_t want[] = {0, 2, 5}; /* 1 and 4 miss something, 3 is 2 again */
    ck_assert_int_eq(f.n_kept, 3);
    ck_assert(memcmp(f.kept, want, sizeof want) == 0);
    const lathe_chain_step *steps;
    ck_assert_uint_eq(lathe_chain_steps(f.chain, &steps), 2);
    ck_assert_int_eq(steps[0].rows_in, 6);
    ck_assert_int_eq(steps[0].rows_out, 4);
    ck_assert_int_eq(steps[1].rows_in, 4);
    ck_assert_int_eq(steps[1].rows_out, 3);
    ck_assert_str_eq(steps[1].plugin, "drop_duplicates");
    free_fitted(&f);
}
END_TEST

START_TEST(what_was_filled_is_counted) {
    fitted f;
    const lathe_chain_step *steps;
    ck_ok(fit(
        (const char *const[]){
            "impute", "{\"impute\": {\"columns\": \"color\", \"strategy\": \"mode\"}}", NULL},
        &f));
    ck_assert_uint_eq(lathe_chain_steps(f.chain, &steps), 2);
    ck_assert_int_eq(steps[0].filled, 2);
    ck_assert_int_eq(steps[1].filled, 1);
    /* the median of 1, 3, 3, 5, 100 with the weights 1, 3, 4, 5, 6 */
    ck_assert_double_eq(((const double *)lathe_frame_table(f.prepared)->columns[0].values)[1], 5);
    free_fitted(&f);
}
END_TEST

static const struct {
    const char *uses[4];
    const char *where, *message;
} faults[] = {
    {{"impute", "{\"standardize\": {\"columns\": \"color\"}}", NULL},
     "/prepare/transforms/1",
     "color"},
    {{"{\"impute\": {\"columns\": \"none\"}}", NULL}, "/prepare/transforms/0", "none"},
    {{"{\"drop\": {\"columns\": \"age\"}}", "impute",
      "{\"clip\": {\"columns\": \"age\", \"lower\": 0}}", NULL},
     "/prepare/transforms/2",
     "age"},
};

START_TEST(an_error_names_the_transform) {
    fitted f;
    ck_assert_int_ne(fit(faults[_i].uses, &f), LATHE_OK);
    ck_assert_msg(strncmp(err.where, faults[_i].where, strlen(faults[_i].where)) == 0, "%s",
                  err.where);
    ck_assert_msg(strstr(err.message, faults[_i].message) || strstr(err.where, faults[_i].message),
                  "%s: %s", err.where, err.message);
    ck_assert_ptr_null(f.chain);
}
END_TEST

START_TEST(a_stop_ends_the_fit) {
    fitted f;
    lathe_runtime_request_stop(fx.runtime);
    ck_assert_int_eq(fit((const char *const[]){"impute", NULL}, &f), LATHE_E_CANCELLED);
}
END_TEST

/* States in another order, of a longer chain, on another table. */
START_TEST(states_of_others_are_refused) {
    fitted f;
    lathe_state **states;
    size_t n;
    lathe_chain *back = NULL;
    ck_ok(fit((const char *const[]){"one_hot", "standardize", NULL}, &f));
    ck_ok(lathe_chain_save(f.chain, &states, &n, &err));
    ck_assert_uint_eq(n, 2);
    lathe_state *turned[] = {states[1], states[0]};
    ck_assert_int_ne(lathe_chain_load(fx.runtime, turned, 2, &table, &back, &err), LATHE_OK);
    ck_assert_ptr_null(back);
    ck_assert_msg(strncmp(err.where, "/prepare/transforms/", 20) == 0, "%s", err.where);
    const lathe_table narrow = {N, 2, columns};
    ck_assert_int_ne(lathe_chain_load(fx.runtime, states, 2, &narrow, &back, &err), LATHE_OK);
    ck_assert_int_ne(lathe_chain_load(fx.runtime, states + 1, 1, &table, &back, &err), LATHE_OK);
    for (size_t i = 0; i < n; i++)
        lathe_state_free(states[i]);
    free(states);
    free_fitted(&f);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void) {
    Suite *suite = suite_create("chain");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, what_training_got_later_rows_get, 0, COUNT(chains));
    tcase_add_test(tc, dropped_rows_take_what_is_theirs);
    tcase_add_test(tc, what_was_filled_is_counted);
    tcase_add_loop_test(tc, an_error_names_the_transform, 0, COUNT(faults));
    tcase_add_test(tc, a_stop_ends_the_fit);
    tcase_add_test(tc, states_of_others_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

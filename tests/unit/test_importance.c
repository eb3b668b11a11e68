/* Importance of features: what trees and their ensembles add up, against scikit-learn's and by hand. */
#include "support_trees.h"

#define ENSEMBLE LATHE_KIND_ENSEMBLE
#define LEARNER LATHE_KIND_LEARNER

enum { N = 300, F = 4 };
static float x[N * F], values[N], classes[N], three[N];

static void make_rows(void) {
    whole_rows(N, x, values, classes, three);
}

static void importance_of(const lathe_instance *i, int32_t type, double *out) {
    lathe_error err = {0};
    fixture_ok(lathe_call_importance(i, type, F, out, &err), &err, "importance");
}

/* scikit-learn 1.9, DecisionTreeRegressor and DecisionTreeClassifier with the same bounds: its
 * feature_importances_, and the total decrease of impurity times the rows. */
static const struct {
    const char *use;
    int32_t task;
    int64_t k;
    const float *target;
    double total, share[F];
    int splits[F];
} cases[] = {
    {"{\"tree\": {\"max_leaves\": 16, \"min_rows\": 5}}",
     LATHE_TASK_REGRESSION,
     0,
     values,
     1154751.1767569936,
     {0.5766352151403312, 0.10029878213589634, 0.3230660027237724, 0},
     {4, 5, 6, 0}},
    {"{\"tree\": {\"max_leaves\": 10, \"min_rows\": 5}}",
     LATHE_TASK_BINARY,
     2,
     classes,
     119.91409864813951,
     {0.5753920208661343, 0.4246079791338658, 0, 0},
     {5, 4, 0, 0}},
    {"{\"tree\": {\"max_leaves\": 12, \"min_rows\": 5}}",
     LATHE_TASK_MULTICLASS,
     3,
     three,
     141.41441320584175,
     {0.4873791342621509, 0.14130607448901766, 0.3140363299069193, 0.05727846134191214},
     {4, 3, 3, 1}},
    {"{\"tree\": {\"max_leaves\": 12, \"min_rows\": 5, \"criterion\": \"entropy\"}}",
     LATHE_TASK_BINARY,
     2,
     classes,
     242.20982979810458 * 0.6931471805599453,
     {0.5820033087663841, 0.40323455623262894, 0.014762135000987055, 0},
     {6, 4, 1, 0}},
};

START_TEST(a_tree_owes_what_scikit_learn_says) {
    make_rows();
    lathe_dataset *data =
        make_data(cases[_i].task, cases[_i].k, N, F, x, cases[_i].target, NULL, NULL);
    lathe_instance t;
    double gain[F], splits[F], sum = 0;
    must_fit(LEARNER, cases[_i].use, cases[_i].task, cases[_i].k, data, NULL, &t);
    importance_of(&t, LATHE_IMPORTANCE_GAIN, gain);
    importance_of(&t, LATHE_IMPORTANCE_SPLITS, splits);
    for (int j = 0; j < F; j++)
        sum += gain[j];
    ck_assert_double_eq_tol(sum, cases[_i].total, 1e-6 * cases[_i].total);
    for (int j = 0; j < F; j++) {
        ck_assert_double_eq_tol(gain[j] / sum, cases[_i].share[j], 1e-6);
        ck_assert_msg((int)splits[j] == cases[_i].splits[j], "feature %d: %g splits, not %d", j,
                      splits[j], cases[_i].splits[j]);
    }
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* The gains of a regression tree are the fall of the sum of squares, to the last split. */
START_TEST(gains_are_the_fall_of_the_squares) {
    make_rows();
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, N, F, x, values, NULL, NULL);
    for (int leaves = 2; leaves <= 64; leaves *= 2) {
        char use[80];
        float out[N];
        lathe_instance t;
        double mean = 0, before = 0, after = 0;
        snprintf(use, sizeof use, "{\"tree\": {\"max_leaves\": %d, \"min_rows\": 1}}", leaves);
        must_fit(LEARNER, use, LATHE_TASK_REGRESSION, 0, data, NULL, &t);
        predict(&t, N, F, x, out);
        for (int i = 0; i < N; i++)
            mean += values[i] / N;
        for (int i = 0; i < N; i++) {
            before += (values[i] - mean) * (values[i] - mean);
            after += ((double)values[i] - out[i]) * ((double)values[i] - out[i]);
        }
        ck_assert_double_eq_tol(gain_of(&t, F), before - after, 1e-5 * before);
        lathe_instance_destroy(&t);
    }
    fixture_datasets(&fx)->release(data);
}
END_TEST

/* Every ensemble of trees knows it; x3 decides nothing, and the splits are counted whole. */
START_TEST(ensembles_add_up_their_trees) {
    static const struct {
        const char *use;
        int64_t splits; /* of all trees together; 0: it depends */
    } uses[] = {
        {"{\"random_forest\": {\"trees\": 10, \"base\": {\"tree\": {\"max_leaves\": 8}}}}", 70},
        {"{\"gbdt\": {\"rounds\": 10, \"base\": {\"tree\": {\"max_leaves\": 4}}}}", 30},
        {"{\"adaboost\": {\"rounds\": 10}}", 0},
        {"{\"bagging\": {\"estimators\": 5, \"base\": {\"tree\": {\"max_leaves\": 8}}}}", 35},
        {"{\"bagging\": {\"estimators\": 3, \"base\": {\"gbdt\": {\"rounds\": 4, \"base\": "
         "{\"tree\": "
         "{\"max_leaves\": 4}}}}}}",
         36},
    };
    make_rows();
    for (int task = LATHE_TASK_REGRESSION; task <= LATHE_TASK_BINARY; task++)
        for (size_t u = 0; u < sizeof uses / sizeof *uses; u++) {
            int64_t k = task == LATHE_TASK_BINARY ? 2 : 0;
            lathe_dataset *data = make_data(task, k, N, F, x, k ? classes : values, NULL, NULL);
            lathe_instance t;
            double gain[F], splits[F], sum = 0;
            must_fit(ENSEMBLE, uses[u].use, task, k, data, NULL, &t);
            importance_of(&t, LATHE_IMPORTANCE_GAIN, gain);
            importance_of(&t, LATHE_IMPORTANCE_SPLITS, splits);
            ck_assert_msg(gain[0] > gain[3] && gain[0] > gain[1], "%s: %g %g %g %g", uses[u].use,
                          gain[0], gain[1], gain[2], gain[3]);
            for (int j = 0; j < F; j++) {
                sum += splits[j];
                ck_assert_msg((gain[j] > 0) == (splits[j] > 0), "%s", uses[u].use);
            }
            ck_assert_msg(sum > 0 && sum <= (uses[u].splits ? (double)uses[u].splits : 1e9),
                          "%s: %g splits", uses[u].use, sum);
            if (task == LATHE_TASK_REGRESSION && uses[u].splits) /* every tree has its leaves */
                ck_assert_msg(sum == (double)uses[u].splits, "%s: %g splits", uses[u].use, sum);
            check_round_trip(&t, 20, F, x);
            lathe_instance_destroy(&t);
            fixture_datasets(&fx)->release(data);
        }
}
END_TEST

/* A child that knows none: the whole says so. */
START_TEST(a_bag_of_others_has_none) {
    make_rows();
    lathe_dataset *data = make_data(LATHE_TASK_REGRESSION, 0, N, F, x, values, NULL, NULL);
    lathe_instance t;
    lathe_error err = {0};
    double gain[F];
    must_fit(ENSEMBLE, "{\"bagging\": {\"estimators\": 2, \"base\": \"constant\"}}",
             LATHE_TASK_REGRESSION, 0, data, NULL, &t);
    ck_assert_int_eq(lathe_call_importance(&t, LATHE_IMPORTANCE_GAIN, F, gain, &err),
                     LATHE_E_UNSUPPORTED);
    ck_assert(strstr(err.message, "constant") != NULL);
    lathe_instance_destroy(&t);
    fixture_datasets(&fx)->release(data);
}
END_TEST

int main(void) {
    Suite *s = suite_create("importance");
    TCase *c = tcase_create("importance");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_tree_owes_what_scikit_learn_says, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_test(c, gains_are_the_fall_of_the_squares);
    tcase_add_test(c, ensembles_add_up_their_trees);
    tcase_add_test(c, a_bag_of_others_has_none);
    suite_add_tcase(s, c);
    return run_suite(s);
}

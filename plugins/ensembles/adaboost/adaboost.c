/* adaboost.c: AdaBoost: learners fitted one after another to rows whose weights grow where the last
 * one was wrong.
 *
 * Classes, SAMME (J. Zhu, H. Zou, S. Rosset & T. Hastie, "Multi-class AdaBoost", Statistics and Its
 * Interface 2, 2009, algorithm 2; for K = 2 AdaBoost.M1 of Y. Freund & R. Schapire, 1997):
 *   e_t = sum of w_i over the wrong rows, a_t = rate (log((1 - e_t) / e_t) + log(K - 1)), w_i *=
 *   exp(a_t) where wrong; each learner votes for its class with weight a_t.
 * Classes, SAMME.R (algorithm 4 of the same paper's report, 2006; for K = 2 Real AdaBoost of
 * Friedman, Hastie & Tibshirani 2000):
 *   each learner gives the vote (K - 1)(log p_k - mean_j log p_j) from its probabilities, and
 *   w_i *= exp(-rate (K - 1) / K sum_k y_ik log p_k(x_i)), y_ik = 1 for the row's class and -1 / (K
 *   - 1) for the others; probabilities below 0.001 count as 0.001.
 * Either way the probability is the softmax of the mean vote over K - 1 (two classes: the sigmoid
 * of the difference): an order to trust, but drawn to 1/K; it is scikit-learn's convention.
 *
 * Values, AdaBoost.R2 (H. Drucker, "Improving regressors using boosting techniques", ICML 1997):
 * with the error of a row as a share of the greatest, L_i = |y - f| / max (or its square, or 1 -
 * exp(-L)), and the mean error L = sum w_i L_i < 1/2:
 *   beta = L / (1 - L), a_t = rate log(1 / beta), w_i *= beta^(rate (1 - L_i));
 *   the prediction is the median of the learners' predictions, weighted by a_t.
 * Rows keep weights here, where Drucker draws a sample by them.
 *
 * Any learner serves; one that takes no weights is fitted to rows drawn by them.
 */
#include "adaboost.h"

static const char *const algorithms[] = {"samme", "samme_r", NULL};
static const char *const losses[] = {"linear", "square", "exponential", NULL};

static const lathe_task_default base_by_task[] = {
    {LATHE_TASK_REGRESSION, 0,
     "{\"tree\": {\"max_depth\": 3, \"max_leaves\": 8, \"min_rows\": 1}}"},
    {0, 0, NULL},
};

static const lathe_param params[] = {
    LATHE_P_INT(adaboost_config, rounds, LATHE_PARAM_TUNABLE, "100", 1, 1e6, "Learners at most.",
                .unit = "rounds", .scale = LATHE_SCALE_LOG),
    LATHE_P_FLOAT(adaboost_config, learning_rate, LATHE_PARAM_EXCL_MIN | LATHE_PARAM_TUNABLE, "1",
                  0, 100, "Shrinks the weight of each learner.", .scale = LATHE_SCALE_LOG),
    LATHE_P_COMPONENT(
        adaboost_config, base, 0,
        "{\"tree\": {\"max_depth\": 1, \"max_leaves\": 2, \"min_rows\": 1}}",
        LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE,
        "Learner of each round: a tree of one question for classes, of depth 3 for values.",
        .by_task = base_by_task),
    LATHE_P_ENUM(adaboost_config, algorithm, 0, "\"samme_r\"", algorithms,
                 "For classes: samme counts the learners' choices, samme_r their probabilities."),
    LATHE_P_ENUM(adaboost_config, loss, 0, "\"linear\"", losses,
                 "For values: how a row's error, as a share of the greatest, counts."),
};

enum { MEDIAN_BLOCK = 64 };

/* ---- instance and context -------------------------------------------------------------------- */

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    adaboost *a = members_alloc(host, 1, sizeof *a);
    if (!a)
        return members_no_memory(err, "adaboost");
    a->host = host;
    a->config = config;
    int32_t rc = members_init(&a->members, host, a->config->base, err);
    if (rc != LATHE_OK) {
        host->free(host, a);
        return rc;
    }
    *self = a;
    return LATHE_OK;
}

static void destroy(void *self) {
    adaboost *a = self;
    if (!a)
        return;
    members_clear(&a->members);
    a->host->free(a->host, a->alpha);
    a->host->free(a->host, a);
}

static void adaboost_close(void *self, void *context) {
    (void)self;
    adaboost_context *c = context;
    if (!c)
        return;
    if (c->children.host)
        members_contexts_free(&c->children);
    c->host->free(c->host, c);
}

static int32_t adaboost_open(void *self, const lathe_open *open, void **context, lathe_error *err) {
    adaboost *a = self;
    *context = NULL;
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    int32_t rc = a->members.datasets->info(open->data, &info);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "adaboost", "the dataset does not describe itself");
    if (info.n_rows < 1 || info.n_rows > INT32_MAX)
        return members_fail(err, LATHE_E_DATA, "adaboost",
                            "the dataset has %lld rows; expected 1 to 2^31 - 1",
                            (long long)info.n_rows);
    adaboost_context *c = members_alloc(a->host, 1, sizeof *c);
    if (!c)
        return members_no_memory(err, "adaboost");
    lathe_open child = *open;
    child.validation = NULL;
    c->host = a->host;
    c->task = open->task;
    c->n_classes = open->n_classes;
    c->data = open->data;
    c->n_rows = info.n_rows;
    c->n_features = info.n_features;
    rc = members_contexts_init(&c->children, &a->members, &child, 1, err);
    if (rc != LATHE_OK) {
        adaboost_close(a, c);
        return rc;
    }
    *context = c;
    return LATHE_OK;
}

/* ---- predicting ------------------------------------------------------------------------------ */

static int32_t adaboost_output(const void *self, lathe_output *output) {
    const adaboost *a = self;
    output->type = a->output.type;
    output->n_outputs = a->output.n_outputs;
    output->n_features = a->output.n_features;
    return a->is_fitted ? LATHE_OK : LATHE_E_STATE;
}

/* A learner's prediction and weight, to be sorted for the median. */
typedef struct ranked {
    float value;
    int32_t learner;
} ranked;

static int64_t block_rows(const adaboost *a, int64_t rows) {
    int64_t most = a->output.type == LATHE_OUTPUT_VALUE ? MEDIAN_BLOCK : MEMBERS_BLOCK;
    return rows < most ? rows : most;
}

static int64_t adaboost_scratch(const void *self, int64_t rows) {
    const adaboost *a = self;
    const lathe_learner *table = member_table(&a->members.sum);
    if (a->members.has_sum)
        return table->scratch ? table->scratch(a->members.sum.self, rows) : 0;
    int64_t block = block_rows(a, rows), k = a->output.n_outputs,
            kids = members_child_scratch(&a->members, block);
    if (a->output.type == LATHE_OUTPUT_VALUE)
        return members_align(a->members.n * (int64_t)sizeof(ranked)) +
               members_align(a->members.n * block * (int64_t)sizeof(float)) + kids;
    return members_align(block * k * (int64_t)sizeof(double)) +
           members_align(block * k * (int64_t)sizeof(float)) + kids;
}

/* Heapsort by value: no recursion, no extra memory. */
static void sort_ranked(ranked *a, int64_t n) {
    for (int64_t end = n, start = n / 2; end > 1;) {
        if (start > 0) {
            start--;
        } else {
            ranked top = a[0];
            a[0] = a[--end];
            a[end] = top;
        }
        ranked v = a[start];
        int64_t at = start, kid;
        while ((kid = 2 * at + 1) < end) {
            if (kid + 1 < end && a[kid].value < a[kid + 1].value)
                kid++;
            if (!(v.value < a[kid].value))
                break;
            a[at] = a[kid];
            at = kid;
        }
        a[at] = v;
    }
}

/* The least prediction at which at least half of the weight lies. */
static float weighted_median(const adaboost *a, ranked *r) {
    double sum = 0;
    sort_ranked(r, a->members.n);
    for (int64_t t = 0; t < a->members.n; t++) {
        sum += a->alpha[r[t].learner];
        if (sum >= 0.5 * a->alpha_sum)
            return r[t].value;
    }
    return r[a->members.n - 1].value;
}

static int32_t predict_values(const adaboost *a, int64_t n, const float *x, int64_t stride,
                              float *out, char *scratch, lathe_error *err) {
    int64_t T = a->members.n;
    ranked *order = (ranked *)(void *)scratch;
    float *all = (float *)(void *)(scratch + members_align(T * (int64_t)sizeof(ranked)));
    void *rest = (char *)all + members_align(T * n * (int64_t)sizeof(float));
    for (int64_t t = 0; t < T; t++) {
        const lathe_instance *child = &a->members.child[t];
        int32_t rc =
            member_table(child)->predict(child->self, n, x, stride, all + t * n, rest, err);
        if (rc != LATHE_OK)
            return rc;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t t = 0; t < T; t++)
            order[t] = (ranked){all[t * n + i], (int32_t)t};
        out[i] = weighted_median(a, order);
    }
    return LATHE_OK;
}

/* The mean vote, by learners that did not combine. */
static int32_t predict_votes(const adaboost *a, int64_t n, const float *x, int64_t stride,
                             float *out, char *scratch, lathe_error *err) {
    int64_t k = a->output.n_outputs;
    double *sum = (double *)(void *)scratch;
    float *one = (float *)(void *)(scratch + members_align(n * k * (int64_t)sizeof(double)));
    void *rest = (char *)one + members_align(n * k * (int64_t)sizeof(float));
    memset(sum, 0, (size_t)(n * k) * sizeof(double));
    for (int64_t t = 0; t < a->members.n; t++) {
        const lathe_instance *child = &a->members.child[t];
        int32_t rc = member_table(child)->predict(child->self, n, x, stride, one, rest, err);
        if (rc != LATHE_OK)
            return rc;
        if (!a->has_votes) {
            members_to_probability(a->child_type, n, k, one);
            adaboost_vote(a, n, k, one);
        }
        for (int64_t i = 0; i < n * k; i++)
            sum[i] += a->alpha[t] / a->alpha_sum * (double)one[i];
    }
    for (int64_t i = 0; i < n * k; i++)
        out[i] = (float)sum[i];
    return LATHE_OK;
}

static int32_t predict_block(const adaboost *a, int64_t n, const float *x, int64_t stride,
                             float *out, void *scratch, lathe_error *err) {
    int64_t k = a->output.n_outputs;
    if (a->output.type == LATHE_OUTPUT_VALUE)
        return predict_values(a, n, x, stride, out, scratch, err);
    int32_t rc = a->members.has_sum
                     ? member_table(&a->members.sum)
                           ->predict(a->members.sum.self, n, x, stride, out, scratch, err)
                     : predict_votes(a, n, x, stride, out, scratch, err);
    for (int64_t i = 0; k > 2 && i < n * k; i++)
        out[i] = (float)((double)out[i] / (double)(k - 1));
    members_to_probability(LATHE_OUTPUT_SCORE, n, k, out);
    return rc;
}

static int32_t adaboost_predict(const void *self, int64_t n, const float *x, int64_t stride,
                                float *out, void *scratch, lathe_error *err) {
    const adaboost *a = self;
    if (!a->is_fitted)
        return members_fail(err, LATHE_E_STATE, "adaboost",
                            "predict was called before fit or load");
    int64_t block = block_rows(a, n);
    int32_t rc = LATHE_OK;
    for (int64_t i = 0; rc == LATHE_OK && i < n; i += block)
        rc = predict_block(a, n - i < block ? n - i : block, x + i * stride, stride,
                           out + i * a->output.n_outputs, scratch, err);
    return rc;
}

/* ---- state ----------------------------------------------------------------------------------- */

static int32_t adaboost_save(const void *self, const lathe_writer *w, lathe_error *err) {
    const adaboost *a = self;
    if (!a->is_fitted)
        return members_fail(err, LATHE_E_STATE, "adaboost", "save was called before fit or load");
    const struct {
        const char *name;
        int64_t value;
    } integers[] = {{"output", a->output.type},
                    {"outputs", a->output.n_outputs},
                    {"features", a->output.n_features},
                    {"child_output", a->child_type},
                    {"has_votes", a->has_votes}};
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < sizeof integers / sizeof integers[0]; i++)
        rc = w->integer(w, integers[i].name, integers[i].value, err);
    if (rc == LATHE_OK)
        rc = lathe_write_array(w, "alpha", LATHE_FLOAT, 64, a->alpha, a->members.n, err);
    return rc == LATHE_OK ? members_save(&a->members, w, err) : rc;
}

static int32_t load_alpha(adaboost *a, const lathe_reader *r, lathe_error *err) {
    const void *alpha = NULL;
    int64_t n = a->members.n;
    int32_t rc = lathe_read_array(r, "alpha", LATHE_FLOAT, 64, n, &alpha, NULL, err);
    if (rc != LATHE_OK)
        return rc;
    a->host->free(a->host, a->alpha);
    a->alpha = members_alloc(a->host, n, sizeof *a->alpha);
    if (!a->alpha)
        return members_no_memory(err, "adaboost");
    memcpy(a->alpha, alpha, (size_t)n * sizeof *a->alpha);
    a->alpha_sum = 0;
    for (int64_t t = 0; t < n; t++) {
        if (!(a->alpha[t] > 0) || a->alpha[t] == INFINITY)
            return members_fail(err, LATHE_E_CORRUPT, "adaboost",
                                "the weight of learner %lld is %g", (long long)t, a->alpha[t]);
        a->alpha_sum += a->alpha[t];
    }
    return LATHE_OK;
}

static int32_t adaboost_load(void *self, const lathe_reader *r, lathe_error *err) {
    adaboost *a = self;
    int64_t type = 0, child_type = 0, has_votes = 0;
    a->output.struct_size = LATHE_SIZED(lathe_output);
    int32_t rc = r->integer(r, "output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_PROBABILITY, &type, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "outputs", 1, 65536, &a->output.n_outputs, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "features", 0, INT32_MAX, &a->output.n_features, err);
    if (rc == LATHE_OK)
        rc =
            r->integer(r, "child_output", LATHE_OUTPUT_VALUE, LATHE_OUTPUT_SCORE, &child_type, err);
    if (rc == LATHE_OK)
        rc = r->integer(r, "has_votes", 0, 1, &has_votes, err);
    if (rc != LATHE_OK)
        return rc;
    a->output.type = (int32_t)type;
    a->child_type = (int32_t)child_type;
    a->has_votes = (int32_t)has_votes;
    int64_t k = a->output.n_outputs;
    rc = members_load(&a->members, r, a->output.n_features, k, k, err);
    if (rc == LATHE_OK)
        rc = load_alpha(a, r, err);
    if (rc == LATHE_OK && type == LATHE_OUTPUT_VALUE && (k != 1 || a->members.has_sum))
        rc = members_fail(err, LATHE_E_CORRUPT, "adaboost",
                          "a median needs learners of one value each");
    if (rc != LATHE_OK)
        members_clear(&a->members);
    a->is_fitted = rc == LATHE_OK;
    return rc;
}

static int32_t adaboost_importance(const void *self, int32_t type, int64_t n_features,
                                   double *importance, lathe_error *err) {
    return members_importance(&((const adaboost *)self)->members, type, n_features, importance,
                              err);
}

const lathe_learner adaboost_table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = adaboost_open,
    .fit = adaboost_fit,
    .close = adaboost_close,
    .output = adaboost_output,
    .scratch = adaboost_scratch,
    .predict = adaboost_predict,
    .save = adaboost_save,
    .load = adaboost_load,
    .importance = adaboost_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_WEIGHTS | LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.adaboost",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "adaboost",
    .version = "1.0.0",
    .doc = "AdaBoost: each learner is fitted to the rows that those before it got wrong.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, adaboost_config),
    .interface = &adaboost_table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

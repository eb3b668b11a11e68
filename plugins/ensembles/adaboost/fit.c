/* fit.c: the rounds of AdaBoost: fit to weighted rows, judge, weigh again. */
#include "adaboost.h"

/* A fit under way. */
typedef struct run {
    adaboost *a;
    adaboost_context *c;
    void *child; /* context of the learners */
    const lathe_fit *fit;
    int64_t n;
    int64_t width;  /* outputs of a learner */
    double classes; /* K; 0: regression */
    float *target;  /* [n]; 0 where the weight is 0 from the start */
    double *weight; /* [n], sum 1 */
    float *given;   /* [n] weights as the learners get them, mean 1 */
    float *fitted;  /* [n, width] */
    double *loss;   /* [n] regression */
    double *sums;   /* [chunks] of a pass over the rows */
    int32_t rc;     /* of the passes */
    double factor;  /* what a pass multiplies by */
    double total;   /* sum of the weights */
    uint8_t *wrong; /* [n] classes */
    double most;    /* regression: the greatest loss */
    int64_t n_used; /* rows with weight at the start */
    int64_t round;
    int32_t is_last; /* nothing is left to learn after this round */
    int32_t keeps;   /* this round's learner is kept */
} run;

/* ---- passes over the rows -------------------------------------------------------------------- */

enum { ROWS_PER_CHUNK = 16384 };

/* Works on the rows [begin, end) and returns what is to be summed. */
typedef double (*rows_fn)(run *r, int64_t begin, int64_t end);

typedef struct pass {
    run *r;
    rows_fn fn;
} pass;

static int32_t pass_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const pass *p = user;
    p->r->sums[begin / ROWS_PER_CHUNK] = p->fn(p->r, begin, end);
    return LATHE_OK;
}

/* The sum over all rows; its order is fixed. */
static double over_rows(run *r, rows_fn fn) {
    const lathe_host *host = r->a->host;
    pass p = {r, fn};
    int32_t rc = host->parallel_for(host, r->n, ROWS_PER_CHUNK, pass_chunk, &p);
    r->rc = r->rc != LATHE_OK ? r->rc : rc;
    double sum = 0;
    for (int64_t i = 0; i * ROWS_PER_CHUNK < r->n; i++)
        sum += r->sums[i];
    return sum;
}

static int32_t load_rows(run *r, lathe_error *err) {
    const adaboost *a = r->a;
    const lathe_datasets *ds = a->members.datasets;
    const lathe_fit *fit = r->fit;
    const float *target = fit->target ? fit->target : ds->target(r->c->data);
    const float *weight = fit->weight ? fit->weight : ds->weight(r->c->data);
    if (!target)
        return members_fail(err, LATHE_E_DATA, "adaboost", "the dataset has no target to fit");
    if (fit->gradient)
        return members_fail(err, LATHE_E_UNSUPPORTED, "adaboost",
                            "adaboost fits targets, not gradients");
    for (int64_t i = 0; i < r->n; i++)
        r->weight[i] = fit->rows ? 0 : weight ? weight[i] : 1.0;
    for (int64_t i = 0; fit->rows && i < fit->n_rows_used; i++) {
        int64_t row = fit->rows[i];
        if (row < 0 || row >= r->n)
            return members_fail(err, LATHE_E_SHAPE, "adaboost",
                                "row %lld is not in the dataset of %lld rows", (long long)row,
                                (long long)r->n);
        r->weight[row] = weight ? weight[row] : 1.0;
    }
    for (int64_t i = 0; i < r->n; i++) {
        double w = r->weight[i] *= fit->counts ? fit->counts[i] : 1, y = target[i];
        if (!(w >= 0) || w == INFINITY)
            return members_fail(err, LATHE_E_DATA, "adaboost",
                                "the weight of row %lld is %g; expected a finite number, 0 or more",
                                (long long)i, w);
        if (w == 0)
            continue;
        if (!(fabs(y) < INFINITY))
            return members_fail(
                err, LATHE_E_DATA, "adaboost",
                "the target of row %lld is %g; every target must be finite. Drop rows "
                "without a target before training",
                (long long)i, y);
        if (r->classes > 0 && (y < 0 || y >= r->classes || y != floor(y)))
            return members_fail(err, LATHE_E_DATA, "adaboost",
                                "the target of row %lld is %g; expected a class index, 0 to %g",
                                (long long)i, y, r->classes - 1);
        r->target[i] = (float)y;
        r->total += w;
        r->n_used++;
    }
    return LATHE_OK;
}

/* Makes the weights sum to 1, from their total; 0 where there is nothing left to weigh. */
static double scale_weights(run *r, int64_t begin, int64_t end) {
    double scale = r->factor, n_used = (double)r->n_used;
    for (int64_t i = begin; i < end; i++) {
        r->weight[i] *= scale;
        r->given[i] = (float)(r->weight[i] * n_used);
    }
    return 0;
}

static int normalise(run *r) {
    if (!(r->total > 0) || !(1 / r->total < INFINITY) || !(r->total < INFINITY))
        return 0;
    r->factor = 1 / r->total;
    over_rows(r, scale_weights);
    return 1;
}

/* ---- classes --------------------------------------------------------------------------------- */

static int64_t chosen_class(const float *p, int64_t width) {
    int64_t best = 0;
    if (width == 1)
        return p[0] > 0.5f;
    for (int64_t k = 1; k < width; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

/* Bounded, so that a pure leaf does not decide alone: with the machine's epsilon as the bound trees
 * of some depth learn nothing after a few rounds, because the weights of all rows but a few vanish.
 * */
#define LEAST_PROBABILITY 1e-3

static double log_probability(double p) {
    return lathe_log(p < LEAST_PROBABILITY ? LEAST_PROBABILITY : p);
}

void adaboost_vote(const adaboost *a, int64_t n, int64_t width, float *output) {
    for (int64_t i = 0; i < n; i++) {
        float *p = output + i * width;
        int64_t class = chosen_class(p, width);
        if (a->config->algorithm == ADABOOST_SAMME) {
            for (int64_t k = 0; k < width; k++)
                p[k] = k == class;
            if (width == 1)
                p[0] = class == 1 ? 1 : -1;
        } else if (width == 1) {
            p[0] = (float)(log_probability(p[0]) - log_probability(1.0 - p[0]));
        } else {
            double mean = 0;
            for (int64_t k = 0; k < width; k++)
                mean += log_probability(p[k]);
            mean /= (double)width;
            for (int64_t k = 0; k < width; k++)
                p[k] = (float)((double)(width - 1) * (log_probability(p[k]) - mean));
        }
    }
}

static int is_wrong(const run *r, int64_t i) {
    if (r->width == 1)
        return (r->fitted[i] > 0.5f) != (r->target[i] == 1.0f);
    return chosen_class(r->fitted + i * r->width, r->width) != (int64_t)r->target[i];
}

/* Eight sums at a time, because one alone would wait for itself at every row. */
enum { SUMS = 8 };

static double sum_of(const double *sums) {
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static double find_wrong(run *r, int64_t begin, int64_t end) {
    double sums[SUMS] = {0};
    int64_t i = begin;
    for (int64_t k = begin; k < end; k++)
        r->wrong[k] = is_wrong(r, k);
    for (; i + SUMS <= end; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sums[k] += r->weight[i + k] * r->wrong[i + k];
    for (; i < end; i++)
        sums[0] += r->weight[i] * r->wrong[i];
    return sum_of(sums);
}

static double raise_wrong(run *r, int64_t begin, int64_t end) {
    const double factor[2] = {1, r->factor};
    double sums[SUMS] = {0};
    int64_t i = begin;
    for (; i + SUMS <= end; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            sums[k] += r->weight[i + k] *= factor[r->wrong[i + k]];
    for (; i < end; i++)
        sums[0] += r->weight[i] *= factor[r->wrong[i]];
    return sum_of(sums);
}

/* SAMME: the weights of wrong rows grow by e^a. */
static double weigh_samme(run *r, double error) {
    double k = r->classes;
    if (error >= 1 - 1 / k) { /* no better than chance: boosting ends before this learner */
        r->is_last = 1;
        r->keeps = r->round == 0;
        return 1;
    }
    double alpha =
        r->a->config->learning_rate * (lathe_log((1 - error) / error) + lathe_log(k - 1));
    r->factor = lathe_exp(alpha);
    r->total = over_rows(r, raise_wrong);
    return alpha;
}

/* SAMME.R: w *= exp(-rate (K - 1) / K sum_k y_k log p_k), y_k = 1 for the row's class, -1 / (K - 1)
 * else. */
static double weigh_samme_r(run *r, int64_t begin, int64_t end) {
    double k = r->classes, rate = r->a->config->learning_rate;
    double total = 0;
    for (int64_t i = begin; i < end; i++) {
        if (r->weight[i] == 0)
            continue;
        const float *p = r->fitted + i * r->width;
        int64_t class = (int64_t)r->target[i];
        double sum = 0;
        if (r->width == 1) {
            double one = log_probability(p[0]), zero = log_probability(1.0 - p[0]);
            sum = class == 1 ? one - zero : zero - one;
        } else {
            for (int64_t j = 0; j < r->width; j++)
                sum += (j == class ? 1.0 : -1 / (k - 1)) * log_probability(p[j]);
        }
        total += r->weight[i] *= lathe_exp(-rate * (k - 1) / k * sum);
    }
    return total;
}

static double judge_classes(run *r) {
    members_to_probability(r->a->child_type, r->n, r->width, r->fitted);
    double error = over_rows(r, find_wrong);
    r->a->host->metric(r->a->host, "train_error", r->round, error);
    if (error <= 0) { /* it is right everywhere: the rest could only repeat it */
        r->is_last = 1;
        return 1;
    }
    if (r->a->config->algorithm == ADABOOST_SAMME)
        return weigh_samme(r, error);
    r->total = over_rows(r, weigh_samme_r);
    return 1;
}

/* ---- values: AdaBoost.R2 --------------------------------------------------------------------- */

static double find_losses(run *r, int64_t begin, int64_t end) {
    double most = 0;
    for (int64_t i = begin; i < end; i++) {
        r->loss[i] = fabs((double)r->fitted[i] - (double)r->target[i]);
        most = r->weight[i] > 0 && r->loss[i] > most ? r->loss[i] : most;
    }
    return most;
}

static double share_losses(run *r, int64_t begin, int64_t end) {
    double mean = 0;
    for (int64_t i = begin; i < end; i++) {
        if (r->weight[i] == 0)
            continue;
        double e = r->most > 0 ? r->loss[i] / r->most : 0;
        if (r->a->config->loss == ADABOOST_SQUARE)
            e *= e;
        if (r->a->config->loss == ADABOOST_EXPONENTIAL)
            e = -lathe_expm1(-e);
        r->loss[i] = e;
        mean += r->weight[i] * e;
    }
    return mean;
}

static double weigh_losses(run *r, int64_t begin, int64_t end) {
    double rate = r->a->config->learning_rate, log_beta = r->factor, total = 0;
    for (int64_t i = begin; i < end; i++)
        if (r->weight[i] > 0)
            total += r->weight[i] *= lathe_exp(rate * (1 - r->loss[i]) * log_beta);
    return total;
}

static double judge_values(run *r) {
    over_rows(r, find_losses);
    r->most = 0;
    for (int64_t i = 0; i * ROWS_PER_CHUNK < r->n; i++)
        r->most = r->sums[i] > r->most ? r->sums[i] : r->most;
    double mean = over_rows(r, share_losses);
    r->a->host->metric(r->a->host, "train_error", r->round, mean);
    if (mean <= 0) {
        r->is_last = 1;
        return 1;
    }
    if (mean >= 0.5) {
        r->is_last = 1;
        r->keeps = r->round == 0;
        return 1;
    }
    r->factor = lathe_log(mean / (1 - mean));
    double alpha = -r->a->config->learning_rate * r->factor;
    r->total = over_rows(r, weigh_losses);
    return alpha;
}

/* ---- the rounds ------------------------------------------------------------------------------ */

static int32_t fit_round(run *r, lathe_error *err) {
    adaboost *a = r->a;
    adaboost_context *c = r->c;
    lathe_instance *child = &a->members.child[r->round];
    child->struct_size = LATHE_SIZED(lathe_instance);
    int32_t rc =
        a->members.kids->create(a->host, a->config->base, c->children.needs, c->data, child, err);
    if (rc == LATHE_OK)
        rc = members_context(&c->children, 0, &r->child, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit)};
    fit.key = a->host->random_key(a->host, r->fit->key, (uint64_t)r->round);
    fit.target = r->target;
    fit.weight = r->given;
    fit.features = r->fit->features;
    fit.n_features_used = r->fit->n_features_used;
    fit.fitted = r->fitted;
    fit.fitted_stride = r->width;
    rc = member_fit(&a->members, child, r->child, &fit, c->data, r->width, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_output o = {.struct_size = LATHE_SIZED(lathe_output)};
    member_table(child)->output(child->self, &o);
    if (r->classes > 0 && o.type == LATHE_OUTPUT_VALUE)
        return members_fail(err, LATHE_E_UNSUPPORTED, "base",
                            "%s gives values; AdaBoost of classes needs probabilities or scores",
                            child->descriptor->id);
    a->child_type = o.type;
    return LATHE_OK;
}

static int32_t boost(run *r, lathe_error *err) {
    adaboost *a = r->a;
    const lathe_host *host = a->host;
    int64_t rounds = a->config->rounds, kept = 0;
    a->alpha_sum = 0;
    for (r->round = 0; r->round < rounds && !r->is_last; r->round++) {
        if (host->stopped(host))
            return members_fail(err, LATHE_E_CANCELLED, "adaboost", "stopped after %lld rounds",
                                (long long)r->round);
        if (!normalise(r)) {
            if (r->round > 0)
                break; /* the weights ran out of range: what there is stands */
            return members_fail(err, LATHE_E_DATA, "adaboost", "no row has a weight above 0");
        }
        int32_t rc = fit_round(r, err);
        if (rc != LATHE_OK)
            return rc;
        r->keeps = 1;
        double alpha = r->classes > 0 ? judge_classes(r) : judge_values(r);
        if (r->rc != LATHE_OK)
            return members_fail(err, r->rc, "adaboost", "round %lld was stopped",
                                (long long)r->round);
        if (r->keeps) {
            a->alpha[kept++] = alpha;
            a->alpha_sum += alpha;
        }
        host->progress(host, (double)(r->round + 1) / (double)rounds, "rounds");
    }
    a->members.n = kept;
    return LATHE_OK;
}

/* ---- one instance of all --------------------------------------------------------------------- */

/* Writes the votes of its leaves into a learner. */
static int32_t vote_in_leaves(adaboost *a, lathe_instance *child, float *values, int64_t n_leaves,
                              int64_t width, lathe_error *err) {
    const lathe_learner *table = member_table(child);
    int32_t rc = table->leaf_values(child->self, values, err);
    if (rc != LATHE_OK)
        return rc;
    members_to_probability(a->child_type, n_leaves, width, values);
    adaboost_vote(a, n_leaves, width, values);
    return table->set_leaf_values(child->self, values, err);
}

/* Learners with leaves get their votes there, so that they can be summed. */
static int32_t combine_votes(run *r, lathe_error *err) {
    adaboost *a = r->a;
    const lathe_host *host = a->host;
    uint32_t flags = a->members.child[0].descriptor->flags;
    uint32_t need = LATHE_LEARNER_GIVES_LEAVES | LATHE_LEARNER_COMBINES;
    if (r->classes == 0 || (flags & need) != need)
        return LATHE_OK;
    float *values = members_alloc(host, r->n * r->width, sizeof *values);
    double *scale = members_alloc(host, a->members.n, sizeof *scale);
    int32_t rc = values && scale ? LATHE_OK : members_no_memory(err, "adaboost");
    for (int64_t t = 0; rc == LATHE_OK && t < a->members.n; t++) {
        lathe_instance *child = &a->members.child[t];
        int64_t n_leaves = 0;
        scale[t] = a->alpha[t] / a->alpha_sum;
        rc = member_table(child)->leaves(child->self, NULL, NULL, &n_leaves, err);
        if (rc == LATHE_OK && (n_leaves < 1 || n_leaves > r->n))
            rc =
                members_fail(err, LATHE_E_SHAPE, "base", "%s says it has %lld leaves for %lld rows",
                             child->descriptor->id, (long long)n_leaves, (long long)r->n);
        if (rc == LATHE_OK)
            rc = vote_in_leaves(a, child, values, n_leaves, r->width, err);
    }
    a->has_votes = 1;
    if (rc == LATHE_OK)
        rc = members_combine(&a->members, a->members.n, LATHE_OUTPUT_SCORE, r->width, NULL, scale,
                             NULL, err);
    host->free(host, values);
    host->free(host, scale);
    return rc;
}

static int32_t prepare(run *r, lathe_error *err) {
    adaboost *a = r->a;
    adaboost_context *c = r->c;
    const lathe_host *host = a->host;
    r->target = members_alloc(host, r->n, sizeof *r->target);
    r->weight = members_alloc(host, r->n, sizeof *r->weight);
    r->given = members_alloc(host, r->n, sizeof *r->given);
    r->fitted = members_alloc(host, r->n * r->width, sizeof *r->fitted);
    r->loss = members_alloc(host, r->classes > 0 ? 1 : r->n, sizeof *r->loss);
    r->wrong = members_alloc(host, r->classes > 0 ? r->n : 1, sizeof *r->wrong);
    r->sums = members_alloc(host, r->n / ROWS_PER_CHUNK + 1, sizeof *r->sums);
    host->free(host, a->alpha);
    a->alpha = members_alloc(host, a->config->rounds, sizeof *a->alpha);
    if (!r->target || !r->weight || !r->given || !r->fitted || !r->loss || !r->wrong || !r->sums ||
        !a->alpha)
        return members_no_memory(err, "adaboost");
    int32_t rc = load_rows(r, err);
    if (rc != LATHE_OK)
        return rc;
    uint32_t needs = LATHE_LEARNER_TAKES_WEIGHTS;
    needs |= r->classes > 2 ? LATHE_LEARNER_TAKES_MULTICLASS : 0;
    needs |= r->fit->features ? LATHE_LEARNER_TAKES_FEATURES : 0;
    members_contexts_need(&c->children, needs);
    return members_reset(&a->members, a->config->rounds, err);
}

int32_t adaboost_fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    adaboost *a = self;
    run r = {.a = a, .c = context, .fit = fit, .n = ((adaboost_context *)context)->n_rows};
    int is_class = r.c->task != LATHE_TASK_REGRESSION;
    r.classes = !is_class ? 0 : r.c->n_classes > 2 ? (double)r.c->n_classes : 2;
    r.width = r.classes > 2 ? (int64_t)r.classes : 1;
    a->is_fitted = 0;
    a->has_votes = 0;
    int32_t rc = prepare(&r, err);
    if (rc == LATHE_OK)
        rc = boost(&r, err);
    if (rc == LATHE_OK)
        rc = combine_votes(&r, err);
    a->host->free(a->host, r.target);
    a->host->free(a->host, r.weight);
    a->host->free(a->host, r.given);
    a->host->free(a->host, r.fitted);
    a->host->free(a->host, r.loss);
    a->host->free(a->host, r.wrong);
    a->host->free(a->host, r.sums);
    if (rc != LATHE_OK) {
        members_clear(&a->members);
        return rc;
    }
    for (int64_t i = a->members.n; i < a->members.capacity; i++)
        a->members.kids->destroy(a->host, &a->members.child[i]);
    a->output.struct_size = LATHE_SIZED(lathe_output);
    a->output.type = is_class ? LATHE_OUTPUT_PROBABILITY : LATHE_OUTPUT_VALUE;
    a->output.n_outputs = r.width;
    a->output.n_features = r.c->n_features;
    a->is_fitted = 1;
    if (!fit->fitted)
        return LATHE_OK;
    members_matrix x;
    rc = members_get_matrix(&a->members, r.c->data, &x, err);
    if (rc == LATHE_OK)
        rc = members_predict_all(a->host, &adaboost_table, a, &x, fit->fitted, r.width,
                                 fit->fitted_stride, err);
    a->is_fitted = rc == LATHE_OK;
    return rc;
}

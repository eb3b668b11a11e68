/* ranking.c: how well the probabilities rank the rows of a class before the others.
 *
 *     auc                the probability that a row of the class is ranked above another row; ties count one half.
 *                        The area under the ROC curve: J. A. Hanley, B. J. McNeil, Radiology 143, 1982
 *     average_precision  Σ (Rᵢ − Rᵢ₋₁)·Pᵢ over the distinct probabilities, falling; no interpolation
 *
 * With more than two classes: each class against the rest, then the plain mean (macro), or the mean weighted by
 * the classes' weight among the targets. auc is undefined where a class, or its rest, has no row; average_precision
 * of a class without rows is 0.
 */
#include "metric.h"

typedef struct ranking_config {
    int32_t average;
} ranking_config;

enum { AVERAGE_MACRO, AVERAGE_WEIGHTED };
static const char *const average_choices[] = {"macro", "weighted", NULL};

static const lathe_param ranking_params[] = {
    LATHE_P_ENUM(ranking_config, average, 0, "\"macro\"", average_choices,
                 "With more than two classes: the mean of the classes' values, plain or weighted."),
};

typedef struct ranked {
    double score;
    double hit;  /* weight where the row is of the class, else 0 */
    double miss; /* the other way round */
} ranked;

static int compare_falling(const void *a, const void *b) {
    double x = ((const ranked *)a)->score, y = ((const ranked *)b)->score;
    return x > y ? -1 : x < y;
}

typedef double (*curve_fn)(const ranked *rows, int64_t n, double hits, double misses);

static double area_under_roc(const ranked *rows, int64_t n, double hits, double misses) {
    double area = 0, above = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        double hit = 0, miss = 0;
        for (end = i; end < n && rows[end].score == rows[i].score; end++) {
            hit += rows[end].hit;
            miss += rows[end].miss;
        }
        area += miss * (above + hit / 2);
        above += hit;
    }
    return hits > 0 && misses > 0 ? area / hits / misses : NAN;
}

static double average_precision(const ranked *rows, int64_t n, double hits, double misses) {
    double sum = 0, hit = 0, all = 0;
    (void)misses;
    for (int64_t i = 0, end; i < n; i = end) {
        double before = hit;
        for (end = i; end < n && rows[end].score == rows[i].score; end++) {
            hit += rows[end].hit;
            all += rows[end].hit + rows[end].miss;
        }
        if (hit > before)
            sum += (hit - before) * (hit / all);
    }
    return hits > 0 ? sum / hits : 0;
}

/* Class k against the rest; *weight: the class's own, *n_rows: its rows. */
static double score_class(const lathe_metric_input *in, int64_t k, curve_fn curve, ranked *rows,
                          double *weight, int64_t *n_rows) {
    double hits = 0, misses = 0;
    *n_rows = 0;
    for (int64_t i = 0; i < in->n; i++) {
        double w = metric_weight(in, i);
        int is_class = in->target[i] == (double)k;
        rows[i] =
            (ranked){in->probability[i * in->n_classes + k], is_class ? w : 0, is_class ? 0 : w};
        hits += rows[i].hit;
        misses += rows[i].miss;
        *n_rows += is_class;
    }
    qsort(rows, (size_t)in->n, sizeof *rows, compare_falling);
    *weight = hits;
    return curve(rows, in->n, hits, misses);
}

static int32_t compute(const metric_self *s, const lathe_metric_input *in, curve_fn curve,
                       double *value, lathe_error *err) {
    const ranking_config *c = s->config;
    int64_t first = 0, last = in->n_classes;
    double sum = 0, total = 0;
    int32_t rc = metric_check_probability(in, err);
    if (rc != LATHE_OK)
        return rc;
    ranked *rows = s->host->alloc(s->host, (uint64_t)in->n * sizeof *rows);
    if (rows == NULL)
        return metric_no_memory(err);
    if (in->n_classes == 2) {
        first = in->positive == 0 ? 0 : 1;
        last = first + 1;
    }
    for (int64_t k = first; k < last; k++) {
        int64_t n_rows;
        double weight, score = score_class(in, k, curve, rows, &weight, &n_rows);
        int weighted = c->average == AVERAGE_WEIGHTED && in->n_classes > 2;
        if (weighted && weight == 0 && n_rows > 0 && n_rows < in->n)
            continue; /* counts for nothing, defined or not */
        if (isnan(score)) {
            rc = metric_undefined(err, value,
                                  "no row %s class %lld (or such rows have no weight), so there is "
                                  "nothing to rank",
                                  weight > 0 ? "is outside" : "is of", (long long)k);
            goto done;
        }
        weight = weighted ? weight : 1;
        sum += weight * score;
        total += weight;
    }
    *value = total > 0 ? sum / total : 0;
done:
    s->host->free(s->host, rows);
    return rc;
}

static int32_t auc_compute(const void *self, const lathe_metric_input *in, double *value,
                           lathe_error *err) {
    return compute(self, in, area_under_roc, value, err);
}

static int32_t average_precision_compute(const void *self, const lathe_metric_input *in,
                                         double *value, lathe_error *err) {
    return compute(self, in, average_precision, value, err);
}

static const lathe_metric auc_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                           .compute = auc_compute};
static const lathe_metric average_precision_interface = {.struct_size = LATHE_SIZED(lathe_metric),
                                                         .compute = average_precision_compute};

METRIC_DESCRIPTOR(
    auc, LATHE_METRIC_HIGHER_IS_BETTER | LATHE_METRIC_NEEDS_PROBABILITY, LATHE_TASKS_CLASSIFICATION,
    auc_interface,
    "Area under the ROC curve: the chance that a row of the class ranks above another.",
    LATHE_PARAMS(ranking_params, ranking_config));
METRIC_DESCRIPTOR(average_precision, LATHE_METRIC_HIGHER_IS_BETTER | LATHE_METRIC_NEEDS_PROBABILITY,
                  LATHE_TASKS_CLASSIFICATION, average_precision_interface,
                  "Area under the precision-recall curve, without interpolation.",
                  LATHE_PARAMS(ranking_params, ranking_config));

LATHE_PLUGIN(&auc_descriptor, &average_precision_descriptor)

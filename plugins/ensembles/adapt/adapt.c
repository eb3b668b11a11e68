/* adapt: makes any learner take anything. The host puts it around a learner that lacks what its
 * parent or the data need; a document may name it as well. It does only what the base's flags lack:
 *
 *   TAKES_MISSING     a missing number becomes the training mean, a missing category all zeros
 *   TAKES_CATEGORIES  a column of 0 and 1 for each category of the training rows (at most the
 *                     max_categories most frequent ones); a missing, rare or unseen one is all
 *                     zeros
 *   WANTS_SCALED      numbers become (x - mean) / standard deviation
 *   TAKES_GRADIENTS   targets -g / h with weights h: the least-squares form of a Newton step
 *                     (Friedman, Hastie, Tibshirani, "Additive logistic regression", Annals of
 *                     Statistics 28, 2000)
 *   TAKES_WEIGHTS     rows drawn in proportion to their weights, by systematic sampling with a
 *                     random start: as many draws as rows, each row floor or ceil of its expected
 *                     times (Madow, Ann. Math. Stat. 20, 1949)
 *   TAKES_ROWS        a view on the rows, repeated by their counts
 *   TAKES_FEATURES    a dataset of these features alone
 *   TAKES_MULTICLASS  a binary learner a class, against the rest; their probabilities are divided
 *                     by their sum
 *
 * The statistics are those of the dataset given at open, weighted by its weights; they are part of
 * the model. The encoded dataset is kept with the original, so that several learners share it.
 */
#include "adapt.h"

static const lathe_param params[] = {
    LATHE_P_COMPONENT(adapt_config, base, LATHE_PARAM_REQUIRED, NULL,
                      LATHE_KIND_LEARNER "|" LATHE_KIND_ENSEMBLE, "The learner."),
    LATHE_P_INT(adapt_config, max_categories, 0, "256", 1, 65536,
                "Categories of a feature that get a column, the most frequent first.",
                .unit = "categories"),
};

static void destroy(void *self) {
    adapt *m = self;
    adapt_forget(m);
    m->host->free(m->host, m);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    const adapt_config *c = config;
    const lathe_components *kids = get_components(host);
    const lathe_descriptor *base;
    adapt *m;

    if (kids == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    base = kids->descriptor(host, c->base);
    if (base == NULL)
        return fail(err, LATHE_E_NOT_FOUND, "The base learner has no plugin.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the adapter", sizeof *m);
    m->host = host;
    m->config = c;
    m->base = base;
    m->n_narrow = -1;
    *self = m;
    return LATHE_OK;
}

static const lathe_learner table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = adapt_open,
    .fit = adapt_fit,
    .close = adapt_close,
    .output = adapt_output,
    .scratch = adapt_scratch,
    .predict = adapt_predict,
    .save = adapt_save,
    .load = adapt_load,
    .importance = adapt_importance,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_MISSING | LATHE_LEARNER_TAKES_CATEGORIES |
             LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_FEATURES |
             LATHE_LEARNER_TAKES_MULTICLASS | LATHE_LEARNER_GIVES_FITTED |
             LATHE_LEARNER_GIVES_IMPORTANCE,
    .id = "lathe.ensemble.adapt",
    .kind = LATHE_KIND_ENSEMBLE,
    .name = "adapt",
    .version = "1.0.0",
    .doc = "Makes any learner take missing values, categories, weights, gradients and classes that "
           "it does not take itself.",
    .license = "Apache-2.0",
    .state_version = 2,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, adapt_config),
    .interface = &table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

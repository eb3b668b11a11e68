/* mlp: a feed-forward network of any depth.
 *
 *     a_0 = x,  z_l = a_{l-1} W_l + b_l,  a_l = dropout(f_l(z_l)),  score = a_{L-1} W_L + b_L
 *     minimise  (1 / W) sum_i w_i loss(score_i, y_i) + (l2 / 2) sum_l |W_l|^2
 *
 * by gradient descent on mini-batches with back-propagation (Rumelhart, Hinton, Williams, "Learning
 * representations by back-propagating errors", Nature 323, 1986). A batch of "full" rows is batch
 * gradient descent, of 1 stochastic. A batch's gradient is divided by its rows and the mean weight
 * of all, so that a row counts by its weight also alone in its batch.
 *
 * Dropout: units are zeroed with probability p in training, and the others divided by 1 - p, so
 * that prediction needs no change (Srivastava et al., "Dropout", JMLR 15, 2014).
 *
 * Initial weights: uniform with variance 2 / in (He et al., ICCV 2015) for rectifiers in networks of
 * more than 5 layers, 1 / in (LeCun et al., "Efficient BackProp", 1998) for selu, 1 / (3 in) and the biases
 * alike (between -1 and 1 over the root of in: what PyTorch begins with) for rectifiers in the others, else
 * 2 / (in + out) (Glorot and Bengio, AISTATS 2010). Biases are else 0, those of the output the loss's best
 * constant score. Small weights fit smoother functions first: measured on tables with noise (28 features of
 * a HIGGS-like set, Adult, Bank, bike sharing) networks of 2 to 4 layers score better from "fan_in" than from
 * "glorot", by up to 0.006 AUC; on images and letters, nearly without noise, they learn a little slower.
 *
 * Targets of a regression whose link is the identity are standardised inside (mean 0, variance 1)
 * and predictions scaled back, so that targets of any unit train at the same rate. A parameter of
 * the loss in the target's unit (huber's delta) then counts in standard deviations, as do the
 * reported losses. scale_target false leaves them as they are.
 *
 * Early stopping: training ends when the validation loss has not fallen for so many epochs, and the
 * weights of the best epoch are restored (Prechelt, "Early stopping, but when?", 1998). Clipping is
 * by the norm of the whole gradient (Pascanu, Mikolov, Bengio, ICML 2013).
 *
 * A sum over the rows of a batch is one sum in the order of the rows, whichever thread computes it
 * (kernel.h, step.c): the bits do not depend on the number of threads.
 */
#include "mlp.h"

static const char *const batch_names[] = {"full", NULL};
static const char *const init_names[] = {"auto", "he", "glorot", "lecun", "fan_in", NULL};

static const lathe_task_default loss_by_task[] = {
    {LATHE_TASK_BINARY, 0, "\"cross_entropy\""},
    {LATHE_TASK_MULTICLASS, 0, "\"cross_entropy\""},
    {0, 0, NULL},
};

static const lathe_param layer_params[] = {
    LATHE_P_INT(mlp_layer_config, units, LATHE_PARAM_REQUIRED | LATHE_PARAM_TUNABLE, NULL, 1, 65536,
                "Units of the layer.", .scale = LATHE_SCALE_LOG),
    LATHE_P_COMPONENT(mlp_layer_config, activation, LATHE_PARAM_NULLABLE, "null",
                      LATHE_KIND_ACTIVATION, "Its non-linearity; null is that of the network."),
    LATHE_P_FLOAT(mlp_layer_config, dropout, LATHE_PARAM_EXCL_MAX | LATHE_PARAM_TUNABLE, "0", 0, 1,
                  "Share of its units that are zeroed at each step of training."),
};

static const lathe_param params[] = {
    LATHE_P_RECORD(mlp_config, layers, LATHE_PARAM_LIST | LATHE_PARAM_SINGLE, "[{\"units\": 64}]",
                   layer_params, mlp_layer_config,
                   "The hidden layers, from the input on; none makes a linear model.",
                   .max_count = MOST_LAYERS - 1),
    LATHE_P_COMPONENT(mlp_config, activation, 0, "\"relu\"", LATHE_KIND_ACTIVATION,
                      "Non-linearity of every layer that names none."),
    LATHE_P_COMPONENT(mlp_config, loss, 0, "\"mse\"", LATHE_KIND_LOSS,
                      "What is minimised; the default is mse for regression, cross_entropy for "
                      "classification.",
                      .by_task = loss_by_task),
    LATHE_P_COMPONENT(mlp_config, optimizer, 0, "\"adam\"", LATHE_KIND_OPTIMIZER,
                      "How a step follows from a gradient."),
    LATHE_P_COMPONENT(mlp_config, schedule, 0, "\"constant\"", LATHE_KIND_SCHEDULE,
                      "The learning rate over time."),
    LATHE_P_INT_OR_ENUM(mlp_config, batch, LATHE_PARAM_TUNABLE, "128", 1, 1e9, batch_names,
                        "Rows a step: 1 is stochastic, \"full\" batch gradient descent.",
                        .unit = "rows"),
    LATHE_P_INT(mlp_config, epochs, LATHE_PARAM_TUNABLE, "20", 1, 1e9,
                "Passes over the rows; at most, with tolerance or early_stopping.",
                .unit = "epochs"),
    {LATHE_P_(mlp_config, tolerance, LATHE_PARAM_FLOAT, LATHE_PARAM_NULLABLE | LATHE_PARAM_HAS_MIN,
              "null"),
     .min = 0,
     .doc =
         "Repeat until convergence: ends when tolerance_epochs in a row have not lowered the best "
         "training loss by more than this share of it."},
    LATHE_P_INT(mlp_config, tolerance_epochs, 0, "5", 1, 1e9, "See tolerance.", .unit = "epochs"),
    LATHE_P_FLOAT(
        mlp_config, l2, LATHE_PARAM_TUNABLE, "0", 0, 1e6,
        "Half the weight of the sum of squared weights (not biases) in what is minimised."),
    {LATHE_P_(mlp_config, clip, LATHE_PARAM_FLOAT,
              LATHE_PARAM_NULLABLE | LATHE_PARAM_HAS_MIN | LATHE_PARAM_EXCL_MIN, "null"),
     .min = 0, .doc = "Largest norm of a step's gradient; a longer one is shortened."},
    LATHE_P_INT(mlp_config, early_stopping, LATHE_PARAM_NULLABLE, "10", 1, 1e9,
                "Epochs without a lower validation loss that end the training; the best epoch's "
                "weights are restored. Without validation rows, or with null, it has no effect.",
                .unit = "epochs"),
    LATHE_P_ENUM(mlp_config, initialisation, 0, "\"auto\"", init_names,
                 "Size of the initial weights; auto goes by the activation and the depth."),
    LATHE_P_BOOL(mlp_config, scale_target, 0, "true",
                 "Whether to standardise a regression's target in training."),
};

static void destroy(void *self) {
    mlp *m = self;
    const lathe_host *host = m->host;
    const lathe_components *kids = get_components(host);

    mlp_forget(m);
    if (kids != NULL)
        kids->destroy(host, &m->loss);
    for (int64_t l = 0; kids != NULL && m->layer != NULL && l < m->n_layers; l++)
        kids->destroy(host, &m->layer[l].activation);
    host->free(host, m->layer);
    host->free(host, m);
}

static int32_t make_children(mlp *m, lathe_error *err) {
    const lathe_components *kids = get_components(m->host);
    const mlp_layer_config *layers = m->config->layers.items;
    int32_t rc = kids->create(m->host, m->config->loss, 0, NULL, &m->loss, err);

    for (int64_t l = 0; rc == LATHE_OK && l + 1 < m->n_layers; l++) {
        const lathe_component *use = layers[l].activation;
        rc = kids->create(m->host, use != NULL ? use : m->config->activation, 0, NULL,
                          &m->layer[l].activation, err);
        if (rc != LATHE_OK)
            break;
        m->layer[l].flags = m->layer[l].activation.descriptor->flags;
        m->layer[l].out = layers[l].units;
        m->layer[l].dropout = layers[l].dropout;
    }
    return rc;
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    const mlp_config *c = config;
    mlp *m;
    int32_t rc;

    if (get_components(host) == NULL || get_datasets(host) == NULL)
        return fail(err, LATHE_E_UNSUPPORTED, "This host offers no components or no datasets.");
    m = host->alloc(host, sizeof *m);
    if (m == NULL)
        return fail_memory(err, "the network", sizeof *m);
    m->host = host;
    m->config = c;
    m->kernels = mlp_choose_kernels(cpu_level(host));
    m->n_layers = (c->layers.count > 0 ? c->layers.count : 0) + 1;
    m->layer = alloc_array(host, m->n_layers, sizeof *m->layer);
    rc = m->layer == NULL ? fail_memory(err, "the layers", m->n_layers * (int64_t)sizeof *m->layer)
                          : make_children(m, err);
    if (rc != LATHE_OK) {
        destroy(m);
        return rc;
    }
    *self = m;
    return LATHE_OK;
}

/* ---- contexts ---- */

enum { FINITE_ROWS = 1024 }; /* a chunk of the check of all numbers */

/* Without an early end, so that the loop is vectorised. */
static int32_t finite_row(const float *x, int64_t n) {
    int32_t bad = 0;
    for (int64_t j = 0; j < n; j++)
        bad |= !(x[j] >= -3.4028235e38f && x[j] <= 3.4028235e38f);
    return !bad;
}

typedef struct finite_job {
    const float *x;
    int64_t stride, n_features;
} finite_job;

static int32_t check_rows(void *user, int64_t begin, int64_t end, int32_t worker) {
    const finite_job *job = user;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        if (!finite_row(job->x + i * job->stride, job->n_features))
            return LATHE_E_DATA;
    return LATHE_OK;
}

/* All numbers of the matrix are finite; else the error names the first that is not. */
static int32_t check_finite(const lathe_host *host, const lathe_feature *features, int64_t rows,
                            const finite_job *job, const char *which, lathe_error *err) {
    int32_t rc = host->parallel_for(host, rows, FINITE_ROWS, check_rows, (void *)job);
    if (rc == LATHE_OK)
        return LATHE_OK;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < job->n_features; j++)
            if (!isfinite(job->x[i * job->stride + j]))
                return fail(err, LATHE_E_DATA,
                            "The feature \"%s\" is missing or infinite in row %lld of the %s data; "
                            "impute it, or let \"adapt\" do it.",
                            features[j].name, (long long)i, which);
    return fail(err, rc, "The %s data could not be read.", which);
}

static int32_t open_matrix(const lathe_host *host, const lathe_dataset *data, const char *which,
                           lathe_dataset_info *info, const float **x, int64_t *stride,
                           lathe_error *err) {
    const lathe_datasets *datasets = get_datasets(host);
    lathe_tensor matrix;
    int32_t rc;

    info->struct_size = LATHE_SIZED(lathe_dataset_info);
    if ((rc = datasets->info(data, info)) != LATHE_OK)
        return fail(err, rc, "The %s dataset does not describe itself.", which);
    if (info->flags & LATHE_DATA_HAS_CATEGORIES)
        return fail(err, LATHE_E_UNSUPPORTED,
                    "A network takes no categorical features; encode them (one_hot), or let "
                    "\"adapt\" do it.");
    if ((rc = datasets->matrix(data, &matrix, err)) != LATHE_OK)
        return rc;
    *x = (const float *)((const char *)matrix.data + matrix.byte_offset);
    *stride = matrix.strides != NULL ? matrix.strides[0] : info->n_features;
    finite_job job = {*x, *stride, info->n_features};
    return check_finite(host, datasets->features(data), info->n_rows, &job, which, err);
}

static int32_t open_context(void *self, const lathe_open *open, void **context, lathe_error *err) {
    mlp *m = self;
    mlp_context *c = m->host->alloc(m->host, sizeof *c);
    lathe_dataset_info info;
    int32_t rc;

    if (c == NULL)
        return fail_memory(err, "a context", sizeof *c);
    c->data = open->data;
    c->validation = open->validation;
    c->task = open->task;
    c->n_classes = open->n_classes;
    rc = open_matrix(m->host, open->data, "training", &c->info, &c->x, &c->stride, err);
    if (rc == LATHE_OK && open->validation != NULL) {
        rc = open_matrix(m->host, open->validation, "validation", &info, &c->validation_x,
                         &c->validation_stride, err);
        c->validation_rows = info.n_rows;
        if (rc == LATHE_OK && info.n_features != c->info.n_features)
            rc = fail(err, LATHE_E_SHAPE,
                      "The validation data have %lld features, the training data %lld.",
                      (long long)info.n_features, (long long)c->info.n_features);
    }
    if (rc != LATHE_OK) {
        m->host->free(m->host, c);
        return rc;
    }
    *context = c;
    return LATHE_OK;
}

static void close_context(void *self, void *context) {
    mlp *m = self;
    m->host->free(m->host, context);
}

static int32_t fit(void *self, void *context, const lathe_fit *fit, lathe_error *err) {
    static const lathe_learner me = {
        .output = mlp_output, .scratch = mlp_scratch, .predict = mlp_predict};
    mlp *m = self;
    const mlp_context *c = context;
    int32_t rc;

    mlp_forget(m);
    rc = mlp_train(m, c, fit, err);
    if (rc == LATHE_OK && fit->fitted != NULL)
        rc = predict_all(m->host, &me, m, c->info.n_rows, c->x, c->stride, fit->fitted,
                         fit->fitted_stride, err);
    if (rc != LATHE_OK)
        mlp_forget(m);
    return rc;
}

static const lathe_learner table = {
    .struct_size = LATHE_SIZED(lathe_learner),
    .open = open_context,
    .fit = fit,
    .close = close_context,
    .output = mlp_output,
    .scratch = mlp_scratch,
    .predict = mlp_predict,
    .save = mlp_save,
    .load = mlp_load,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .flags = LATHE_LEARNER_TAKES_GRADIENTS | LATHE_LEARNER_TAKES_WEIGHTS |
             LATHE_LEARNER_TAKES_ROWS | LATHE_LEARNER_TAKES_MULTICLASS |
             LATHE_LEARNER_WANTS_SCALED | LATHE_LEARNER_GIVES_FITTED,
    .id = "lathe.learner.mlp",
    .kind = LATHE_KIND_LEARNER,
    .name = "mlp",
    .version = "1.0.0",
    .doc = "A feed-forward neural network of any depth, with any activation, loss and optimizer.",
    .license = "Apache-2.0",
    .state_version = 1,
    .state_version_min = 1,
    .tasks = LATHE_TASKS_ALL,
    LATHE_PARAMS(params, mlp_config),
    .interface = &table,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

/* mlp.h: what the files of the network learner share.
 *
 * Names: L layers, the output layer included; layer l maps in[l] to out[l] units by z = x W + b
 * with W [in, out] row-major; P parameters in one flat vector, W then b of each layer in turn; k
 * scores a row. */
#ifndef LATHE_MLP_H
#define LATHE_MLP_H

#include "../support.h"

enum { INIT_AUTO, INIT_HE, INIT_GLOROT, INIT_LECUN };
enum { MOST_LAYERS = 256, MOST_PARAMETERS = 1 << 30 };

typedef struct mlp_layer_config {
    int64_t units;
    const lathe_component *activation; /* NULL: that of the network */
    double dropout;
} mlp_layer_config;

typedef struct mlp_config {
    lathe_list layers; /* mlp_layer_config */
    const lathe_component *activation;
    const lathe_component *loss;
    const lathe_component *optimizer;
    const lathe_component *schedule;
    lathe_int_or_enum batch;
    int64_t epochs;
    double tolerance; /* NaN: none */
    int64_t tolerance_epochs;
    double l2;
    double clip;            /* NaN: none */
    int64_t early_stopping; /* LATHE_INT_NULL: none */
    int32_t initialisation;
    int32_t scale_target;
} mlp_config;

typedef struct mlp_layer {
    int64_t in;
    int64_t out;
    int64_t weights; /* offset of W in the parameters */
    int64_t bias;
    double dropout;
    lathe_instance activation; /* zero for the output layer */
    uint32_t flags;            /* LATHE_ACTIVATION_… */
} mlp_layer;

/* The shape of a network: layers and their places in the parameter vector. */
typedef struct mlp {
    const lathe_host *host;
    const mlp_config *config;
    lathe_instance loss;
    int64_t n_layers;
    mlp_layer *layer; /* [n_layers] */
    int64_t widest;   /* units of the widest layer, the inputs not counted */
    /* The fitted state. */
    int32_t fitted;
    int32_t linked; /* the loss's link applies (not after fitting gradients) */
    int32_t task;
    int64_t n_features;
    int64_t k;
    int64_t n_params;
    float *param; /* [n_params] */
    double shift; /* prediction of a regression = shift + scale * score */
    double scale;
} mlp;

typedef struct mlp_context {
    const lathe_dataset *data;
    const lathe_dataset *validation; /* NULL: none */
    lathe_dataset_info info;
    const float *x;
    int64_t stride;
    int64_t validation_rows;
    const float *validation_x;
    int64_t validation_stride;
    int32_t task;
    int64_t n_classes;
} mlp_context;

/* Rows that one forward and backward pass takes at once. */
enum { SHARD = 256, MOST_GROUPS = 16 };

/* The memory of one shard; rows [SHARD, units] of each layer. */
typedef struct mlp_shard {
    float *x;       /* [SHARD, in[0]] the gathered rows */
    float **z;      /* [L] before the activation; == y where it may work in place */
    float **y;      /* [L] after it; the last: the scores */
    float **d;      /* [L] after dropout; == y without */
    uint8_t **keep; /* [L] dropout's mask, NULL without */
    float *da;      /* [SHARD, widest] gradients, ping */
    float *db;      /* and pong */
    float *uniform; /* [SHARD * widest] where a layer drops */
    float *target;  /* [SHARD] */
    float *g;       /* [SHARD] */
    float *h;       /* [SHARD] */
    double *weight; /* [SHARD] */
    double *value;  /* [SHARD] */
    char *memory;
} mlp_shard;

/* ---- network.c ---- */
int32_t mlp_shape(mlp *m, int64_t n_features, int64_t k, lathe_error *err);
void mlp_initialise(mlp *m, uint64_t key, float *param);
int32_t mlp_shard_make(const mlp *m, mlp_shard *s, lathe_error *err);
void mlp_shard_free(const mlp *m, mlp_shard *s);
/* From s->x to the scores; dropout with `key` where `training`; first: the number of the shard's
 * first row in its batch. */
int32_t mlp_forward(const mlp *m, const float *param, mlp_shard *s, int64_t rows, int32_t training,
                    uint64_t key, int64_t first, lathe_error *err);
/* From the gradient of the scores in s->da to that of the parameters; add 0: overwrites `gradient`.
 */
int32_t mlp_backward(const mlp *m, const float *param, mlp_shard *s, int64_t rows, int32_t training,
                     int32_t add, float *gradient, lathe_error *err);

/* ---- train.c ---- */
int32_t mlp_train(mlp *m, const mlp_context *c, const lathe_fit *fit, lathe_error *err);

/* ---- descent.c: one fit's running state ---- */

typedef struct mlp_descent {
    mlp *m;
    const mlp_context *data;
    fit_rows rows;
    objective loss;
    fit_rows validation_rows;
    objective validation;
    lathe_instance optimizer;
    lathe_instance schedule;
    lathe_segment *segments; /* [2 L] */
    float *param;            /* [P] */
    float *best;             /* [P] of the best epoch; NULL without early stopping */
    float *slots;            /* [n_slots, P] */
    float *gradient;         /* [groups, P]; the first is their sum */
    double *norms;           /* partial sums of squares */
    double *losses;          /* [validation shards or groups] */
    mlp_shard *shard;        /* [groups] */
    lathe_error *errors;     /* [groups] */
    shuffle_item *items;
    int32_t *order;
    int64_t groups; /* that there is memory for */
    int64_t batch;
    int64_t steps; /* an epoch */
    double shift, scale;
    uint64_t shuffle_key, dropout_key;
} mlp_descent;

int32_t mlp_descent_make(mlp_descent *d, mlp *m, const mlp_context *c, const lathe_fit *fit,
                         lathe_error *err);
void mlp_descent_free(mlp_descent *d);
/* One step over order[first … first + rows); adds the batch's weighted loss to *loss. */
int32_t mlp_step(mlp_descent *d, int64_t epoch, int64_t in_epoch, double *loss, lathe_error *err);
/* The mean loss of the validation rows. */
int32_t mlp_validate(mlp_descent *d, double *loss, lathe_error *err);

/* ---- model.c ---- */
void mlp_forget(mlp *m);
int32_t mlp_output(const void *self, lathe_output *output);
int64_t mlp_scratch(const void *self, int64_t rows);
int32_t mlp_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                    void *scratch, lathe_error *err);
int32_t mlp_save(const void *self, const lathe_writer *w, lathe_error *err);
int32_t mlp_load(void *self, const lathe_reader *r, lathe_error *err);

#endif

/* mlp.h: what the files of the network learner share.
 *
 * Names: L layers, the output layer included; layer l maps in[l] to out[l] units by z = x W + b; k scores a
 * row. P parameters in one flat vector: of each layer in turn its panels (kernel.h), [in + 1, PANEL] each, W's
 * columns and below them b's; lanes beyond `out` are there and mean nothing. So the products read the
 * weights where the optimizer leaves them. */
#ifndef LATHE_MLP_H
#define LATHE_MLP_H

#include "../support.h"
#include "kernel.h"

enum { INIT_AUTO, INIT_HE, INIT_GLOROT, INIT_LECUN, INIT_FAN_IN };
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
    int64_t weights; /* offset of the first panel in the parameters */
    double dropout;
    lathe_instance activation; /* zero for the output layer */
    uint32_t flags;            /* LATHE_ACTIVATION_… */
} mlp_layer;

/* The shape of a network: layers and their places in the parameter vector. */
typedef struct mlp {
    const lathe_host *host;
    const mlp_config *config;
    const mlp_kernels *kernels;
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
    int64_t n_params; /* P, lanes that mean nothing included */
    float *param;     /* [P] */
    double shift;     /* prediction of a regression = shift + scale * score */
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

/* A batch passes in slabs of at most SLAB rows, and a slab in shards of so many rows, each one thread's
 * work. No result depends on how many. */
enum { LEAST_SHARD = 32, MOST_SHARD = 128, SLAB = 1024 };

/* What one shard needs beside its rows of the slab; S: rows of a shard. */
typedef struct mlp_shard {
    float *tile;     /* [2, S, PANEL] where an activation does not work in place */
    float *wide[4];  /* [S, widest] where an activation is rowwise */
    float *uniform;  /* [S, widest] where a layer drops */
    float *score;    /* [S, k] */
    float *gradient; /* [S, k] */
    float *target;   /* [S] */
    float *g;        /* [S] */
    float *h;        /* [S] */
    double *weight;  /* [S] */
    double *value;   /* [S] */
    lathe_error err;
} mlp_shard;

/* The memory of a slab: matrices in panels (kernel.h), `lines` rows from one panel to the next. */
typedef struct mlp_slab {
    int64_t rows;  /* that there is room for */
    int64_t shard; /* rows of a shard */
    int32_t training;
    int64_t lines;
    float *x;          /* of in[0] columns: the gathered rows */
    float **z;         /* [L] before the activation; == y where it may work in place */
    float **y;         /* [L] after it; the last: the scores */
    float **d;         /* [L] after dropout; == y without */
    float **keep;      /* [L] dropout's factors, NULL without */
    float **dz;        /* [L] the gradient of z; NULL without training */
    mlp_shard *shards; /* [shards] */
    char *memory;
} mlp_slab;

/* The weights transposed, in panels, as the backward products read them. */
typedef struct mlp_packed {
    float **backward; /* [L] panels of the inputs, [out, PANEL] each; NULL for the first layer */
    char *memory;
} mlp_packed;

/* A share of the parameters that is one thread's work: neighbouring panels of a layer. */
typedef struct mlp_tile {
    int64_t layer;
    int64_t panel; /* the first */
    int64_t n;     /* 1 or 2 */
    int64_t begin; /* parameters [begin, end) */
    int64_t end;
} mlp_tile;

/* Floats from one panel of a layer's parameters to the next. */
static inline int64_t panel_floats(const mlp_layer *layer) {
    return (layer->in + 1) * PANEL;
}

/* ---- network.c ---- */
int32_t mlp_shape(mlp *m, int64_t n_features, int64_t k, lathe_error *err);
void mlp_initialise(mlp *m, uint64_t key, float *param);
/* Cuts `base`, of as many bytes as this gives with NULL, into a slab whose rows, shard and training are
 * set. */
uint64_t mlp_slab_cut(const mlp *m, char *base, mlp_slab *s);
int32_t mlp_slab_make(const mlp *m, mlp_slab *s, lathe_error *err);
int32_t mlp_packed_make(const mlp *m, mlp_packed *packed, lathe_error *err);
/* The tile's weights from the flat vector into the transposed panels. */
void mlp_pack(const mlp *m, const float *param, mlp_packed *packed, const mlp_tile *tile);
/* Layer l's weights [in, out] and bias [out] row-major, from the flat vector and back. */
void mlp_get_layer(const mlp_layer *layer, const float *param, float *w, float *b);
void mlp_set_layer(const mlp_layer *layer, const float *w, const float *b, float *param);

/* ---- pass.c ---- */
/* Row `from` into row `to` of the slab. */
void mlp_put_row(const mlp *m, mlp_slab *s, int64_t to, const float *from);
/* From s->x to the scores, also row-major in the shard's `score`; dropout with `key` where the slab is for
 * training and `drops`; in_batch: the number of the slab's first row in its batch. */
int32_t mlp_forward(const mlp *m, const float *param, mlp_slab *s, int64_t shard, int64_t rows,
                    int32_t drops, uint64_t key, int64_t in_batch, lathe_error *err);
/* From the gradient of the scores in the shard's `gradient` to the gradients of all z. */
int32_t mlp_backward(const mlp *m, const mlp_packed *packed, mlp_slab *s, int64_t shard,
                     int64_t rows, lathe_error *err);
/* The gradient of the tile's parameters of the slab's first `rows` rows, 0 in lanes that mean nothing;
 * add 0: overwrites. */
void mlp_tile_gradient(const mlp *m, const mlp_slab *s, int64_t rows, const mlp_tile *tile,
                       int32_t add, float *gradient);

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
    lathe_segment *segments; /* [n_segments] of the vector that the optimizer sees */
    int64_t n_segments;
    int32_t
        elementwise; /* it sees `param`; else `flat`, the layers row-major without spare lanes */
    int64_t n_flat;
    float *flat;          /* [n_flat] */
    float *flat_gradient; /* [n_flat] */
    float *param;         /* [P] */
    float *best;          /* [P] of the best epoch; NULL without early stopping */
    float *slots;         /* [n_slots, length of that vector] */
    float *gradient;      /* [P] */
    mlp_tile *tiles;      /* [n_tiles] in the order of the parameters */
    int64_t n_tiles;
    double *norms; /* [n_tiles] sums of squares of the gradient */
    mlp_slab slab;
    mlp_packed packed;
    shuffle_item *items;
    int32_t *order;
    int64_t batch;
    int64_t steps; /* an epoch */
    double shift, scale;
    uint64_t shuffle_key, dropout_key;
} mlp_descent;

int32_t mlp_descent_make(mlp_descent *d, mlp *m, const mlp_context *c, const lathe_fit *fit,
                         lathe_error *err);
void mlp_descent_free(mlp_descent *d);

/* ---- step.c ---- */
/* One step over order[first … first + rows); adds the batch's weighted loss to *loss. */
int32_t mlp_step(mlp_descent *d, int64_t epoch, int64_t in_epoch, double *loss, lathe_error *err);
/* The mean loss of the validation rows. */
int32_t mlp_validate(mlp_descent *d, double *loss, lathe_error *err);
/* The parameters into the panels, after they were set from outside a step. */
int32_t mlp_pack_all(mlp_descent *d);

/* ---- model.c ---- */
void mlp_forget(mlp *m);
int32_t mlp_output(const void *self, lathe_output *output);
int64_t mlp_scratch(const void *self, int64_t rows);
int32_t mlp_predict(const void *self, int64_t n, const float *x, int64_t stride, float *out,
                    void *scratch, lathe_error *err);
int32_t mlp_save(const void *self, const lathe_writer *w, lathe_error *err);
int32_t mlp_load(void *self, const lathe_reader *r, lathe_error *err);

#endif

/* lathe/transform.h: a step of preparation: table in, table out, row for row.
 *
 * fit sees the training rows alone; apply then maps any rows of the same schema: training, validation, test and
 * raw rows in serving. Categories keep the codes that the dictionary had in fit; a value it did not hold is
 * LATHE_CODE_UNSEEN. The output schema is fixed after fit. What a transform passes through untouched it
 * declares with lathe_field.source, and the host copies nothing.
 */
#ifndef LATHE_TRANSFORM_H
#define LATHE_TRANSFORM_H

#include "host.h"
#include "param.h"
#include "state.h"
#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* descriptor.flags */
enum {
    LATHE_TRANSFORM_NEEDS_TARGET = 1u << 0,
    LATHE_TRANSFORM_TRAINING_ROWS =
        1u << 1 /* runs in training only and chooses rows: `rows` instead of
                                             * fit, schema and apply; leaves no trace in the model */
};

/* What fit sees. */
typedef struct lathe_transform_fit {
    uint32_t struct_size;
    int32_t task;
    const lathe_table *table;   /* the training rows */
    const lathe_column *target; /* their target: FLOAT64, or CATEGORY; NULL: none */
    const double *weight;       /* [n_rows]; NULL: all 1 */
    const int32_t *fold;        /* [n_rows] 0 … n_folds-1, for out-of-fold fitting; NULL: none */
    int32_t n_folds;
    int32_t reserved0;
    uint64_t key; /* of random numbers */
} lathe_transform_fit;

typedef struct lathe_transform {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [worker & !fitted] Once an instance; what `in` points to is valid during the call. */
    int32_t (*fit)(void *self, const lathe_transform_fit *in, lathe_error *err);
    /* [any & fitted] The output columns, valid until destroy. */
    int32_t (*schema)(const void *self, const lathe_field **fields, int64_t *n_fields,
                      lathe_error *err);
    /* [worker|serve & fitted] `in` has the schema of fit's table, any number of rows. `out` has the schema's
     * columns with host memory for in->n_rows rows; columns with source >= 0 are already there and not to
     * be written. No allocation. Row by row: a row's result does not depend on the other rows. STRING
     * values written point into `in` or into the instance. */
    int32_t (*apply)(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err);
    int32_t (*save)(const void *self, const lathe_writer *writer,
                    lathe_error *err); /* [worker & fitted] */
    int32_t (*load)(void *self, const lathe_reader *reader,
                    lathe_error *err); /* [worker & !fitted] */

    /* Optional [worker & fitted]: the training rows' own output where it differs from apply's: out-of-fold
     * target encoding. The host calls it right after fit, with fit's input, instead of apply. NULL: apply. */
    int32_t (*apply_training)(void *self, const lathe_transform_fit *in, lathe_table *out,
                              lathe_error *err);
    /* With LATHE_TRANSFORM_TRAINING_ROWS [worker]: the rows to keep, in order, repeats allowed; at most
     * `capacity` of them are written, *n says how many there are. */
    int32_t (*rows)(void *self, const lathe_transform_fit *in, int64_t *rows, int64_t capacity,
                    int64_t *n, lathe_error *err);
} lathe_transform;

/* Service LATHE_HOST_TABLES. */
typedef struct lathe_tables {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [any] The columns of `table` that a selector means, in the table's order; columns[capacity]. A name
     * that the table lacks is LATHE_E_NOT_FOUND with the nearest name; more than `capacity` columns are
     * LATHE_E_SHAPE. NULL selector: all. */
    int32_t (*select)(const lathe_host *host, const lathe_selector *selector,
                      const lathe_table *table, int32_t *columns, int64_t capacity, int64_t *n,
                      lathe_error *err);
} lathe_tables;

#ifdef __cplusplus
}
#endif
#endif

/* model/chain.h: the fitted transforms of `prepare`, in order: raw table in, prepared table out.
 *
 * The chain is fitted on the training rows alone and is part of the model. What a transform declares as
 * untouched (lathe_field.source) is shared, never copied. Training-row transforms (drop_duplicates, …) run in
 * lathe_chain_fit only and leave no trace. [worker]
 */
#ifndef LATHE_MODEL_CHAIN_H
#define LATHE_MODEL_CHAIN_H

#include "data/frame.h"
#include "plugin/runtime.h"
#include "plugin/state.h"

#include <lathe/transform.h>

typedef struct lathe_chain lathe_chain;

/* What one transform did to the training rows, for the report of `prepare`. */
typedef struct lathe_chain_step {
    const char *plugin; /* "impute" */
    int64_t rows_in, rows_out;
    int64_t columns_in, columns_out;
    int64_t
        filled; /* missing values before less missing values after, in columns of the same name */
    double seconds;
} lathe_chain_step;

/* What a chain is fitted on. Row i has target and weight i. */
typedef struct lathe_chain_data {
    const lathe_frame *rows;   /* training rows, raw features only (no target) */
    const lathe_frame *target; /* one column, CATEGORY or FLOAT64 */
    const double *weight;      /* NULL: all 1 */
    const int32_t *fold;       /* NULL: none */
    int32_t n_folds;
    int32_t task;
    uint64_t key;
} lathe_chain_data;

/* Fits the components in order. *kept gets the indices (into data->rows) of the training rows that the
 * training-row transforms kept, in order, malloc'ed, with *n_kept; *prepared gets the prepared training rows
 * (those kept). An error names the transform: where = "/prepare/transforms/2". Stops between transforms when
 * asked. n == 0 gives a chain that changes nothing. */
int32_t lathe_chain_fit(lathe_runtime *runtime, const lathe_component *const *components, size_t n,
                        const lathe_chain_data *data, lathe_chain **chain, lathe_frame **prepared,
                        int64_t **kept, int64_t *n_kept, lathe_error *err);

/* Maps any rows that have the raw schema; columns that pass untouched are shared. */
int32_t lathe_chain_apply(const lathe_chain *chain, const lathe_frame *rows, lathe_frame **prepared,
                          lathe_error *err);

/* Columns of the prepared table (a table of no rows), valid as long as the chain. */
const lathe_table *lathe_chain_schema(const lathe_chain *chain);
size_t lathe_chain_steps(const lathe_chain *chain, const lathe_chain_step **steps);

/* The state of each transform, in order: (*states)[*n], malloc'ed, each to be freed by lathe_state_free. */
int32_t lathe_chain_save(const lathe_chain *chain, lathe_state ***states, size_t *n,
                         lathe_error *err);
/* Makes a chain of states; `raw` is the schema that apply() will get; the schemas of neighbours are checked against
 * each other. */
int32_t lathe_chain_load(lathe_runtime *runtime, lathe_state *const *states, size_t n,
                         const lathe_table *raw, lathe_chain **chain, lathe_error *err);

/* The transforms that serving applies, in order: how many, and each (fitted; lives as long as the chain). For what
 * calls their tables directly (serve/infer/plan.h). [any] */
size_t lathe_chain_length(const lathe_chain *chain);
const lathe_instance *lathe_chain_at(const lathe_chain *chain, size_t index);

void lathe_chain_free(lathe_chain *chain);

#endif

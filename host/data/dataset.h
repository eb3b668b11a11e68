/* data/dataset.h: the host's side of lathe/dataset.h: what learners train on.
 *
 * A dataset made from a table or a spec holds its float32 matrix, made at once; its bins (one
 * encoding per max_bins) are made on first use. A view holds its row numbers, targets and weights;
 * its matrix and bins are made on first use, with the bin edges of the dataset at the root of its
 * chain of views.
 *
 * Datasets are reference-counted and read-only: every function here is [any]. What is made lazily
 * is made once: threads that ask for the same thing at the same time do its parts together, so no
 * thread waits for one that waits for the pool. Bits do not depend on the threads.
 *
 * Bins: see lathe/dataset.h for their meaning. Numeric edges are midpoints between neighbouring
 * distinct values where there are at most max_bins of them; else the greedy equal-frequency cut of
 * LightGBM (Ke et al., NIPS 2017; GreedyFindBin), where a value with more than its share has a bin
 * of its own. Over 200 000 rows the edges come from a sample of about that many, chosen by row_id;
 * whether a value is missing and the frequencies of categories come from all rows. Row weights do
 * not matter.
 */
#ifndef LATHE_DATA_DATASET_H
#define LATHE_DATA_DATASET_H

#include "base/error.h"
#include "base/pool.h"

#include <lathe/dataset.h>
#include <lathe/table.h>

/* Fill it with {0}, then set what is needed. */
typedef struct lathe_dataset_source {
    const lathe_table *table; /* prepared rows */
    const int64_t *features;  /* [n_features] columns of `table`; NULL: all but the target */
    int64_t n_features;
    int64_t target_column;      /* with target NULL: column of `table`, -1: none */
    const lathe_column *target; /* a column outside of the table; NULL: target_column */
    const double *weight;       /* [n_rows], finite and >= 0; NULL: all 1 */
    const int64_t *row_id;      /* [n_rows]; NULL: 0 … n_rows-1 */
    int32_t task;               /* LATHE_TASK_… */
    int64_t n_classes; /* classification: size of the target's dictionary; 0 for regression */
} lathe_dataset_source;

/* Makes a dataset; everything is copied. Numeric columns become float32, CATEGORY columns codes
 * (missing: NaN, unseen: -1). The target: regression takes FLOAT64 or INT64, classification
 * CATEGORY (the code is the class). A STRING or TIMESTAMP feature: LATHE_E_UNSUPPORTED, with
 * advice; a target that is missing, unseen or not finite, a bad weight: LATHE_E_DATA with the row.
 * pool NULL: one thread. It must outlive the dataset. */
int32_t lathe_dataset_from_table(lathe_pool *pool, const lathe_dataset_source *source,
                                 lathe_dataset **data, lathe_error *err);
/* lathe_datasets.make on a pool of the caller's choice. */
int32_t lathe_dataset_make(lathe_pool *pool, const lathe_dataset_spec *spec, lathe_dataset **data,
                           lathe_error *err);
int32_t lathe_dataset_view(const lathe_dataset *data, const int32_t *rows, int64_t n,
                           lathe_dataset **view, lathe_error *err);
lathe_dataset *lathe_dataset_ref(lathe_dataset *data);
void lathe_dataset_release(lathe_dataset *data); /* NULL is fine */

/* Direct access, without struct_size ceremony. */
int64_t lathe_dataset_rows(const lathe_dataset *data);
int64_t lathe_dataset_features(const lathe_dataset *data);
int32_t lathe_dataset_task(const lathe_dataset *data);
int64_t lathe_dataset_classes(const lathe_dataset *data);
/* Bytes it holds itself, without what it shares with a parent or derived. */
int64_t lathe_dataset_bytes(const lathe_dataset *data);

/* The table of the service LATHE_HOST_DATASETS. `make` uses the pool last given to
 * lathe_datasets_set_pool (none: one thread): the runtime sets the process's pool once, before
 * plugins run. */
const lathe_datasets *lathe_datasets_service(void);
void lathe_datasets_set_pool(lathe_pool *pool);

#endif

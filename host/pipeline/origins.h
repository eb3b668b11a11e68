/* pipeline/origins.h: which columns of the source a prepared column is made of. [worker]
 *
 * Found by trying, so that it holds for every transform, whoever wrote it: one raw column takes the values that the
 * training rows have while the others stand still, and the prepared columns that move depend on it.
 */
#ifndef LATHE_PIPELINE_ORIGINS_H
#define LATHE_PIPELINE_ORIGINS_H

#include "pipeline/job.h"

typedef struct lathe_origins {
    int64_t n_raw;
    int64_t n_prepared;
    int64_t *first; /* [n_prepared + 1] where a prepared column's begin in `raw` */
    int32_t *raw;   /* raw columns, ascending for each prepared one; none where nothing moves it */
} lathe_origins;

/* Of the job's chain. Where trying would take too long (thousands of columns), by names: the raw column of the same
 * name, else that of the longest name with which the prepared one begins. */
int32_t lathe_origins_find(lathe_job *job, lathe_origins **origins, lathe_error *err);
void lathe_origins_free(lathe_origins *origins); /* NULL is fine */

/* Adds values of prepared columns up by raw column; one of several origins is shared out evenly. raw: [n_raw]. */
void lathe_origins_add_up(const lathe_origins *origins, const double *prepared, double *raw);

#endif

/* store/fits.h: does a version take the columns that endpoints validate by name?
 *
 * An endpoint may have rules of its own ("validation" of its settings), also for single columns. A version that lacks such a
 * column would be served without these rules, so that it is refused wherever it is to be served: at a promotion, for a share
 * of the requests, and where an alias moves that endpoints follow. A rollback is not refused: it goes back to what was served
 * before. [any]
 */
#ifndef LATHE_STORE_FITS_H
#define LATHE_STORE_FITS_H

#include "store/models.h"

#include <cjson/cJSON.h>

/* What is to be served, and where. */
typedef struct lathe_fits_question {
    const char *model, *sha256;
    const char *label; /* for messages: "m@3" */
    const char *alias; /* that is to move: all endpoints that follow it are asked; NULL: none */
    const char
        *endpoint; /* that is to be moved; one that is not there yet has no rules; NULL: none */
} lathe_fits_question;

/* LATHE_E_STATE with a sentence that names endpoints, columns and what to do. missing (may be NULL; delete it) gets
 * [{"endpoint", "column"}, …], an empty list where all fits. */
int32_t lathe_fits_check(lathe_store *store, const lathe_fits_question *question, cJSON **missing,
                         lathe_error *err);

/* What a forced promotion leaves in the audit log: "validation.overridden" with what is missing. Nothing where nothing is. */
int32_t lathe_fits_override(lathe_store *store, const lathe_fits_question *question,
                            const char *reason, lathe_error *err);

/* Columns of settings (a member "columns" of "validation") that a model's description lacks: *missing as above. */
void lathe_fits_columns(const cJSON *validation, const cJSON *description, const char *endpoint,
                        cJSON *missing);

#endif

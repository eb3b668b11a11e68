/* store/gates.h: the acceptance gates of a version's goal, enforced again whenever it is to serve.
 *
 * A version keeps the checks of its training run: {"metric", "require", "value", "met"}. They are judged anew: the metrics
 * and latencies by the values of the immutable record, model_mb by the file's bytes. A check that did not hold then, does not
 * hold now, has no value or cannot be read fails. A version without checks has no gates. [any]
 */
#ifndef LATHE_STORE_GATES_H
#define LATHE_STORE_GATES_H

#include "store/models.h"

#include <cjson/cJSON.h>

/* The checks that fail, [{"metric", "require", "value", "met": false}, …], to be deleted by the caller; an empty list: it may
 * serve. NULL: out of memory. */
cJSON *lathe_gates_failed(const lathe_version_record *version);

/* LATHE_E_STATE with a sentence that names the failed checks; LATHE_OK where there are none. failed (may be NULL) gets the
 * list. */
int32_t lathe_gates_check(const lathe_version_record *version, cJSON **failed, lathe_error *err);

/* What a forced promotion leaves in the audit log: "gates.overridden" with the failed checks. Nothing where none fails. */
int32_t lathe_gates_override(lathe_store *store, const lathe_version_record *version,
                             const char *reason, lathe_error *err);

#endif

/* pipeline/validation.h: the settings of validation at the door (monitor/rules.h), checked where they stand: in a
 * document's "deploy", or in a request that sets an endpoint's. [any]
 *
 *     "validation": {"type": "reject", "range": "flag", "domain": "flag", "nulls": "flag", "margin": 0.1,
 *                    "columns": {"age": {"range": "reject", "min": 0, "max": 120}, "note": "pass"},
 *                    "statistics": true}
 *     "validation": "pass"
 *
 * `statistics`: are the served rows counted, feature by feature (monitor/live.h)?
 */
#ifndef LATHE_PIPELINE_VALIDATION_H
#define LATHE_PIPELINE_VALIDATION_H

#include "pipeline/check.h"

/* Each fault is a diagnostic at its node. Whether a named column exists only the data can tell. */
void lathe_validation_check(const lathe_check *c, const cJSON *node);

#endif

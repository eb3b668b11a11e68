/* serve/config/sources.h: which kinds of sources the documents may use that a role submits.
 *
 * The configuration's "sources" has a list of names, short or full, for a role: {"operate": ["csv", "idx"]}. A role that is not
 * named may use them all; an empty list allows none. [any]
 */
#ifndef LATHE_SERVE_SOURCES_H
#define LATHE_SERVE_SOURCES_H

#include "pipeline/check.h"
#include "pipeline/document.h"
#include "store/tokens.h"

/* Names by role; NULL: all are allowed. Each list ends with NULL. */
typedef struct lathe_sources {
    const char *const *by_role[LATHE_ROLE_ADMIN + 1];
} lathe_sources;

/* Reads the configuration's member over what is there; node NULL: nothing. */
void lathe_sources_read(const lathe_check *c, const cJSON *node, lathe_sources *sources);

/* Looks at every source of a document, replays included; each that the role may not use is a diagnostic. */
void lathe_sources_check(const lathe_sources *sources, lathe_role role,
                         const lathe_pipeline *pipeline, lathe_diags *diags);

#endif

/* pipeline/digest.h: keys of cached steps: what a result depends on, and nothing else. [worker] */
#ifndef LATHE_PIPELINE_DIGEST_H
#define LATHE_PIPELINE_DIGEST_H

#include "pipeline/job.h"

/* {"<id>": {"version", "sha256"}} of a component's plugin and those nested in it, added to `plugins`. */
void lathe_digest_plugins(const lathe_component *component, cJSON *plugins);

/* {"<path as written>": {"sha256", "bytes"}} of the files that a component names, added to `data`. */
int32_t lathe_digest_files(const lathe_component *component, cJSON *data, lathe_error *err);

/* job->data_key from goal, prepare, seed, the files' content and the plugins. */
int32_t lathe_digest_data(lathe_job *job, const cJSON *data, lathe_error *err);

/* The key of a trained candidate. */
int32_t lathe_digest_candidate(const lathe_job *job, const char *name,
                               const lathe_component *component, char key[LATHE_SHA256_HEX],
                               lathe_error *err);

#endif

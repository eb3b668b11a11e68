/* plugin/call.h: the host's calls into plugins, guarded.
 *
 * Each notes a breadcrumb (plugin, function, step) before it calls, keeps the descriptor's
 * concurrency rule, gives the plugin outputs with red zones around, looks at the zones of
 * outputs and of the instance's own blocks after it, turns unknown codes into LATHE_E_INTERNAL,
 * makes the message valid UTF-8 and puts the plugin's id in front of err->where. Outputs are
 * written to the caller's memory on success only.
 *
 * They cost a copy of the outputs and are for coarse calls: training, preparation, reports.
 * Serving calls the tables directly. `step` is what a crash report shows ("train/net"); NULL:
 * the instance's scope. The instance must be of the kind that the name says. [worker]
 */
#ifndef LATHE_PLUGIN_CALL_H
#define LATHE_PLUGIN_CALL_H

#include "plugin/runtime.h"

/* ---- learners and ensembles ---- */
int32_t lathe_call_open(const lathe_instance *learner, const lathe_open *open, void **context,
                        lathe_error *err);
/* Checks `fitted` for NaN where it is asked for: LATHE_E_NUMERIC. */
int32_t lathe_call_fit(const lathe_instance *learner, void *context, const lathe_fit *fit,
                       lathe_error *err);
void lathe_call_close(const lathe_instance *learner, void *context);
/* Checked: type known, 1 … 65536 outputs. */
int32_t lathe_call_output(const lathe_instance *learner, lathe_output *output, lathe_error *err);
/* out: float32 [n, n_outputs]; scratch is made inside. Runs the rows in fixed chunks over the
 * pool, unless the descriptor says that calls are serial. A NaN in the output is
 * LATHE_E_NUMERIC, with the row. */
int32_t lathe_call_predict(const lathe_instance *learner, int64_t n, const float *x, int64_t stride,
                           float *out, lathe_error *err);
/* LATHE_E_UNSUPPORTED where the plugin gives none. */
int32_t lathe_call_importance(const lathe_instance *learner, int32_t type, int64_t n_features,
                              double *importance, lathe_error *err);

/* ---- transforms ---- */
int32_t lathe_call_transform_fit(const lathe_instance *transform, const lathe_transform_fit *in,
                                 lathe_error *err);
/* Checked: names, types, sources within n_input_columns, dictionaries. */
int32_t lathe_call_transform_schema(const lathe_instance *transform, int64_t n_input_columns,
                                    const lathe_field **fields, int64_t *n_fields,
                                    lathe_error *err);
/* `out` as in lathe_transform.apply; category codes are checked against the dictionaries. */
int32_t lathe_call_transform_apply(const lathe_instance *transform, const lathe_table *in,
                                   lathe_table *out, lathe_error *err);
/* apply_training where the plugin has it, else apply. */
int32_t lathe_call_transform_apply_training(const lathe_instance *transform,
                                            const lathe_transform_fit *in, lathe_table *out,
                                            lathe_error *err);
/* Row choosing transforms: *rows is malloc'ed, every one within the table. */
int32_t lathe_call_transform_rows(const lathe_instance *transform, const lathe_transform_fit *in,
                                  int64_t **rows, int64_t *n, lathe_error *err);

/* ---- sources ---- */
int32_t lathe_call_source_open(const lathe_instance *source, void **stream, lathe_error *err);
int32_t lathe_call_source_schema(const lathe_instance *source, void *stream,
                                 const lathe_table **schema, lathe_error *err);
/* Checked: rows within max_rows, columns and types as in the schema, codes within dictionaries. */
int32_t lathe_call_source_next(const lathe_instance *source, void *stream, int64_t max_rows,
                               lathe_table *block, lathe_error *err);
/* False: the plugin has no note. */
bool lathe_call_source_note(const lathe_instance *source, void *stream, lathe_source_note *note);
void lathe_call_source_close(const lathe_instance *source, void *stream);

/* ---- the rest ---- */
int32_t lathe_call_split_folds(const lathe_instance *split, int64_t *n_folds, lathe_error *err);
/* part [n_rows], fold [n_rows] or NULL: values are checked. */
int32_t lathe_call_split(const lathe_instance *split, const lathe_split_input *in, int32_t *part,
                         int32_t *fold, lathe_error *err);
/* LATHE_OK with *value NaN: undefined, and err->message says why. */
int32_t lathe_call_metric(const lathe_instance *metric, const lathe_metric_input *in, double *value,
                          lathe_error *err);
int32_t lathe_call_drift(const lathe_instance *drift, const lathe_distribution *reference,
                         const lathe_distribution *current, lathe_drift_result *result,
                         lathe_error *err);

#endif

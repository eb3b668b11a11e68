/* serve/oip/oip.h: the Open Inference Protocol v2 (REST) as functions on bytes: bodies in, bodies out; no sockets.
 *
 * A request goes straight from its bytes into a serving plan, and the plan's output straight into the answer's bytes.
 * Inputs are either one tensor of all raw columns, [n, columns] under any name that is no column's, or one tensor [n] or
 * [n, 1] for each raw column by its name. Data as JSON (flat or nested; null is a missing value) or binary
 * (Inference-Header-Content-Length). Outputs: `prediction` [n, 1], BYTES (the class) or FP32, and for classes
 * `probability` [n, classes] FP32.
 *
 *     lathe_oip_parse(oip, model, body, len, header_length, grow, me, &err)   // fills a plan
 *     lathe_plan_run(lathe_oip_plan(oip), &output, &err)
 *     bound = lathe_oip_bound(oip); room for so many bytes …
 *     lathe_oip_write(oip, &output, room, &json_len, &len, &err)
 *
 * Errors are sentences with the input, the row (from 1) and the rule; lathe_oip_status gives their HTTP status. Spec:
 * kserve/open-inference-protocol, specification/protocol/inference_rest.md; extensions: Triton's binary_tensor_data,
 * classification, model_configuration, statistics, model_repository.
 */
#ifndef LATHE_SERVE_OIP_H
#define LATHE_SERVE_OIP_H

#include "base/buf.h"
#include "serve/infer/plan.h"
#include "serve/slots.h"

#include <stdbool.h>

#define LATHE_OIP_MAX_ROWS 65536

/* ---- a model as the protocol shows it; immutable once made ---- */

typedef struct lathe_oip_model lathe_oip_model;

/* [worker] name and version as they stand in the path and the answers. The model must outlive it. */
int32_t lathe_oip_model_new(const lathe_model *model, const char *name, const char *version,
                            lathe_oip_model **out, lathe_error *err);
void lathe_oip_model_free(lathe_oip_model *model); /* NULL is fine */
/* The bodies of GET /v2/models/M and /v2/models/M/config; versions: [n] texts. */
void lathe_oip_metadata(const lathe_oip_model *model, const char *const *versions, size_t n,
                        lathe_buf *out);
void lathe_oip_config(const lathe_oip_model *model, lathe_buf *out);

/* ---- one inference at a time per context [serve] ---- */

typedef struct lathe_oip lathe_oip;
lathe_oip *lathe_oip_new(void); /* NULL: out of memory */
void lathe_oip_free(lathe_oip *oip);

/* A plan of the model for at least `rows` rows; NULL: err says why. */
typedef lathe_plan *(*lathe_oip_plan_fn)(void *user, int64_t rows, lathe_error *err);

/* Reads a body of `len` bytes; its first header_length bytes are JSON, tensors follow. header_length -1: the header is not
 * there, all is JSON; 0: all is one binary tensor. The body must stay until the plan has run. No allocation once the
 * context has seen as large a body. */
int32_t lathe_oip_parse(lathe_oip *oip, const lathe_oip_model *model, const uint8_t *body,
                        size_t len, int64_t header_length, lathe_oip_plan_fn plan_for, void *user,
                        lathe_error *err);
/* The same, but the rows join those that the plan has (lathe_plan_append). After an error they are gone again. */
int32_t lathe_oip_append(lathe_oip *oip, const lathe_oip_model *model, const uint8_t *body,
                         size_t len, int64_t header_length, lathe_oip_plan_fn plan_for, void *user,
                         lathe_error *err);
int64_t lathe_oip_first(const lathe_oip *oip); /* row of the plan; 0 after parse */
/* Rows [first, first + n), another request's, have left the plan. */
void lathe_oip_removed(lathe_oip *oip, int64_t first, int64_t n);
/* The request's parameter "timeout"; 0: none. */
int64_t lathe_oip_timeout_us(const lathe_oip *oip);
/* The same of a body that is not parsed, passing over its tensors; 0: none, or it is no such body. [any] */
int64_t lathe_oip_peek_timeout_us(const uint8_t *body, size_t len);
lathe_plan *lathe_oip_plan(const lathe_oip *oip);
int64_t lathe_oip_rows(const lathe_oip *oip);
/* The request's "id" as it stands in its JSON, without quotes; ptr NULL: none. It points into the request. */
lathe_str lathe_oip_id(const lathe_oip *oip);

/* The request's rows of the plan's output. */
lathe_plan_output lathe_oip_output(const lathe_oip *oip, const lathe_plan_output *output);
/* Bytes that the answer has at most. */
size_t lathe_oip_bound(const lathe_oip *oip);
/* Writes it. *json_len < *len: binary tensors follow the JSON, and the header Inference-Header-Content-Length is
 * *json_len. An infinite number that JSON cannot say: LATHE_E_NUMERIC. */
/* output: of the plan's run; the request's rows are taken out of it. */
int32_t lathe_oip_write(const lathe_oip *oip, const lathe_plan_output *output, uint8_t *out,
                        size_t *json_len, size_t *len, lathe_error *err);

/* 400 for what the client did, 404, 501, 503 for memory, 504 for a deadline, 500 for what a plugin did. */
int lathe_oip_status(int32_t code);

/* ---- other bodies ---- */

void lathe_oip_server(lathe_buf *out);
/* One entry of {"model_stats": […]}, summed over the workers of the page. */
void lathe_oip_stats(lathe_slots *slots, int slot, const char *name, const char *version,
                     lathe_buf *out);

#endif

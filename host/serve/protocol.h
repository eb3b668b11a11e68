/* serve/protocol.h: what supervisor and inference worker say to each other: newline JSON on a socket pair (descriptor 3).
 *
 * Supervisor → worker
 *   {"serve": {"worker": k, "socket": 4, "slots": 5, "crumbs": 6, "plugin_cache": "…", "executable": "…", "limits": {…},
 *              "max_inline_cells": n, "tls": {…}, "await_routes": bool}}   first line; descriptors are inherited;
 *                                                                           await_routes: no connection is taken before
 *                                                                           there are routes
 *   {"generation": g, "routes": [{"name": "income", "model": "adult-income", "project": "…", "version": 3,
 *              "sha256": "…", "path": "…", "slot": 7, "weight": 1.0, "validation": {…}}, …],
 *              "batching": {"max_rows": n, "delay_us": d, "endpoints": {"income": {…}}},   off without; a route may have its own
 *              "queue": {"rows": n, "timeout_us": t},                      0: no bound, no deadline
 *              "unloaded": {"name": "its project", …}}                              the whole table; replaces the last
 *   {"auth": {"required": bool, "insecure": bool, "tokens": [{"name": "…", "sha256": "…", "role": "infer", "project": "…",
 *             "bucket": k, "rate": n, "expires_us": t, "previous": "<sha256>", "previous_until_us": t}]}}
 *                                                                           the whole table (serve/auth/auth.h reads it); a worker
 *                                                                           that has had none yet refuses; buckets are
 *                                                                           token_ns of slot 0
 *   {"log_level": "info"}                                                   the threshold of the log
 *   {"tls": {"certificate", "key"}}                                          PEM files to read again
 *   {"limits": {…}}                                                         of HTTP, for what begins from now on
 *   {"drain": true}                                                         not ready, finish, end
 * Worker → supervisor
 *   {"ready": true}                                    plugins are known, the socket is served
 *   {"generation": g, "loaded": true} | {"generation": g, "failed": [{"name", "endpoint", "shadow", "error"}]}   those keep the old model
 *   {"forward": id, "verb": "load" | "unload" | "log_level", "token": "…", "body": {"name": "…"}}   the answer is
 *   {"answer": id, "status": 200, "body": {…}}                                  (supervisor → worker)
 *   {"event": "…", …}                                  for the log
 *
 * Further members of a route, each may be absent: "rank" (order on the line of keys), "arm" (counters of a rollout), "sticky"
 * ("id" or "header:NAME": where a client's key is), "shown" (its version in paths and answers, where that is not the number),
 * "shadow": {"model", "version", "sha256", "path", "slot"} (predicts copies; slot is of the shadows' counters).
 *
 * A name in a path is an endpoint first, else a model; both are routes. Several routes of one name share its traffic by
 * weight, sticky by key. Models load on another thread; then the table's pointer is swapped, and the old models go
 * when their last request is answered.
 */
#ifndef LATHE_SERVE_PROTOCOL_H
#define LATHE_SERVE_PROTOCOL_H

#define LATHE_SERVE_CONTROL_FD 3
#define LATHE_SERVE_SOCKET_FD 4
#define LATHE_SERVE_SLOTS_FD 5
#define LATHE_SERVE_CRUMBS_FD 6

#endif

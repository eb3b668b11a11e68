/* serve/infer/infer.h: the process behind `lathe worker infer`: answers the inference port's requests.
 *
 * Speaks serve/protocol.h with the supervisor on descriptor 3, serves the inherited socket on one libuv loop. A request of a
 * usual size is parsed, predicted and answered inline on the loop's thread, without an allocation; above a bound of rows ×
 * measured cost it goes to another thread. Models load on another thread too; then the table's pointer is swapped.
 */
#ifndef LATHE_SERVE_INFER_H
#define LATHE_SERVE_INFER_H

/* Returns the exit code: 0 drained, or the supervisor is gone; 1: it could not start. */
int lathe_worker_infer(void);

#endif

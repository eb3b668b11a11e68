/* pipeline/worker.h: the process behind `lathe worker run`: executes one pipeline for its parent. */
#ifndef LATHE_PIPELINE_WORKER_H
#define LATHE_PIPELINE_WORKER_H

/* Reads the job from standard input, speaks events on descriptor 3, keeps breadcrumbs on descriptor 4 where
 * there is one. Returns the exit code: 0 done, 1 failed, 3 the goal was not met, 130 stopped. */
int lathe_worker_run(void);

#endif

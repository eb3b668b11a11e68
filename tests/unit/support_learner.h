/* tests/unit/support_learner.h: fitting, predicting, saving and comparing learners in a test.
 *
 *     static trial t;
 *     trial_open(&t, 2);
 *     lathe_instance m = trial_fit(&t, LATHE_KIND_LEARNER, "{\"linear\": {}}", data, NULL, 7);
 *     trial_predict(&t, &m, n, x, stride, out);
 *     trial_check(&t, &m, n, x, stride);   // a row alone = in a batch, reloaded = as fitted
 *     lathe_instance_destroy(&m);
 *     trial_close(&t);
 *
 * Everything fails the test where something goes wrong, except trial_try.
 */
#ifndef LATHE_TEST_SUPPORT_LEARNER_H
#define LATHE_TEST_SUPPORT_LEARNER_H

#include "plugin_fixture.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>

enum { TRIAL_POINTS = 4096 };

/* A point of a curve that a plugin reported. */
typedef struct trial_point {
    char name[32];
    int64_t step;
    double value;
    int32_t depth;
} trial_point;

typedef struct trial {
    fixture fx;
    pthread_mutex_t lock;
    int64_t n_points;
    trial_point points[TRIAL_POINTS];
    char last_log[512];
    atomic_int stop;
    int64_t stop_after; /* metrics after which it asks to stop; 0: never */
} trial;

void trial_open(trial *t, int threads);
/* The same with the plugins of one more folder. */
void trial_open_with(trial *t, int threads, const char *folder);
void trial_close(trial *t);

/* Points named `name`, and the value of the one at `step` (NaN where there is none). */
int64_t trial_count(trial *t, const char *name);
double trial_value(trial *t, const char *name, int64_t step);

/* Makes and fits; fit may be NULL (all defaults, key 7). `needs` and wrapping as in
 * lathe_instance_create where `wrap`; else the bare plugin. */
int32_t trial_try(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                  const lathe_dataset *validation, const lathe_fit *fit, bool wrap,
                  lathe_instance *out, lathe_error *err);
lathe_instance trial_fit(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                         const lathe_dataset *validation, uint64_t key);
lathe_instance trial_fit_with(trial *t, const char *kind, const char *use,
                              const lathe_dataset *data, const lathe_fit *fit, bool wrap);
/* The code of a fit that must fail, with `message` in its sentence. */
void trial_refused(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                   const lathe_fit *fit, int32_t code, const char *message);

int64_t trial_outputs(const lathe_instance *m);
/* out[n, n_outputs] */
void trial_predict(const lathe_instance *m, int64_t n, const float *x, int64_t stride, float *out);

/* Rows alone and in batches of several sizes give the same bits; saved and loaded back gives the
 * same bits and the same state. */
void trial_check(trial *t, const lathe_instance *m, int64_t n, const float *x, int64_t stride);

bool trial_same_state(const lathe_state *a, const lathe_state *b);
/* Are the two fitted models equal, byte for byte? */
bool trial_same_model(const lathe_instance *a, const lathe_instance *b);

/* Loading a copy of m's state in which `change` has altered something must be refused as corrupt:
 * the change replaces tensor `name` by `data` of the same shape and type. */
void trial_corrupt_tensor(trial *t, const lathe_instance *m, const char *name, const void *data);
void trial_corrupt_integer(trial *t, const lathe_instance *m, const char *name, int64_t value);

/* A tensor of m's state: its bytes are copied into `out` (room for `bytes`), their number is
 * returned. */
size_t trial_tensor(const lathe_instance *m, const char *name, void *out, size_t bytes);
/* The model of m's state with that tensor replaced. */
lathe_instance trial_replaced(trial *t, const lathe_instance *m, const char *name,
                              const void *data);

/* Numbers for data: a linear congruential generator of its own. */
double trial_uniform(uint64_t *seed);
double trial_normal(uint64_t *seed);

#endif

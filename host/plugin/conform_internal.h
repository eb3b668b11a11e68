/* plugin/conform_internal.h: what the files plugin/conform_*.c share. */
#ifndef LATHE_PLUGIN_CONFORM_INTERNAL_H
#define LATHE_PLUGIN_CONFORM_INTERNAL_H

#include "plugin/call.h"
#include "plugin/conform.h"

#define CONFORM_SKIP INT32_C(-1) /* the check says why in err->message */

typedef struct conform {
    lathe_runtime *runtime;
    const lathe_plugin *plugin;
    const lathe_conform_options *options;
    const lathe_descriptor *d; /* loaded */
    int32_t task;              /* that this pass is for; 0: any */
} conform;

/* LATHE_OK: it holds; CONFORM_SKIP; else what does not hold stands in err->message. */
typedef int32_t (*conform_fn)(conform *c, lathe_error *err);

typedef struct conform_check {
    const char *what;
    conform_fn run;
} conform_check;

/* What does not hold. */
int32_t conform_fault(lathe_error *err, const char *fmt, ...) LATHE_PRINTF(2, 3);
int32_t conform_skip(lathe_error *err, const char *why);
/* A new instance with the parameters given. */
int32_t conform_create(conform *c, lathe_instance *out, lathe_error *err);
/* Saves the instance and makes another of what was saved; LATHE_OK without one (out->self NULL) where the kind or the plugin
 * has no state. */
int32_t conform_reload(conform *c, const lathe_instance *instance, lathe_instance *out,
                       lathe_error *err);

/* Same bits, or both NaN? */
bool conform_same_float(float a, float b);
bool conform_same_double(double a, double b);

/* Tables of checks, each ended by {0}; conform.c knows which kind has which. */
extern const conform_check conform_activation[], conform_loss[], conform_optimizer[],
    conform_schedule[], conform_learner[], conform_transform[], conform_source[], conform_split[],
    conform_metric[], conform_drift[];

#endif

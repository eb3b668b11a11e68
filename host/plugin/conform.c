#include "plugin/conform_internal.h"

#include "plugin/kinds.h"
#include "plugin/state.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what checks share ---- */

int32_t conform_fault(lathe_error *err, const char *fmt, ...) {
    va_list ap;
    *err = (lathe_error){.code = LATHE_E_INTERNAL};
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    return LATHE_E_INTERNAL;
}

int32_t conform_skip(lathe_error *err, const char *why) {
    *err = (lathe_error){.code = LATHE_E_UNSUPPORTED};
    snprintf(err->message, sizeof err->message, "%s", why);
    return CONFORM_SKIP;
}

bool conform_same_float(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

bool conform_same_double(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

int32_t conform_create(conform *c, lathe_instance *out, lathe_error *err) {
    const lathe_binder binder = {
        .catalogue = lathe_runtime_catalogue(c->runtime), .task = c->task, .load = true};
    lathe_component *component = NULL;
    *out = (lathe_instance){0};
    int32_t rc =
        lathe_bind_text(&binder, c->d->kind, c->d->id, c->options->params, &component, err);
    if (rc == LATHE_OK)
        rc = lathe_instance_create(c->runtime, component, 0, NULL, out, err);
    lathe_component_free(component);
    return rc;
}

int32_t conform_reload(conform *c, const lathe_instance *instance, lathe_instance *out,
                       lathe_error *err) {
    lathe_state *state = NULL;
    *out = (lathe_instance){0};
    int32_t rc = lathe_state_save(instance, &state, err);
    if (rc == LATHE_OK)
        rc = lathe_state_load(c->runtime, state, 0, out, err);
    lathe_state_free(state);
    return rc;
}

/* ---- of every kind ---- */

static int32_t loads(conform *c, lathe_error *err) {
    return lathe_catalogue_load(c->plugin, &c->d, err);
}

/* Twice at once, and once more after that. Without parameters that it needs nothing can be shown. */
static int32_t is_created(conform *c, lathe_error *err) {
    const lathe_binder binder = {
        .catalogue = lathe_runtime_catalogue(c->runtime), .task = c->task, .load = true};
    lathe_component *component = NULL;
    lathe_instance a, b;
    if (c->options->params == NULL &&
        lathe_bind_text(&binder, c->d->kind, c->d->id, NULL, &component, err) != LATHE_OK)
        return CONFORM_SKIP;
    lathe_component_free(component);
    int32_t rc = conform_create(c, &a, err);
    if (rc == LATHE_OK)
        rc = conform_create(c, &b, err);
    if (rc == LATHE_OK) {
        lathe_instance_destroy(&a);
        rc = conform_create(c, &a, err);
        lathe_instance_destroy(&b);
    }
    lathe_instance_destroy(&a);
    return rc;
}

static int32_t leaks_nothing(conform *c, lathe_error *err) {
    const int64_t leaks = lathe_runtime_leaks(c->runtime);
    return leaks == 0
               ? LATHE_OK
               : conform_fault(err,
                               "%lld blocks of memory were not freed when their instances were "
                               "destroyed (the log names them)",
                               (long long)leaks);
}

static const conform_check before[] = {
    {"it is described, and loads", loads},
    {"instances are created and destroyed, several at once", is_created},
    {0}};
static const conform_check after[] = {{"all memory is given back", leaks_nothing}, {0}};

/* ---- running ---- */

static const struct {
    const char *kind;
    const conform_check *checks;
    bool by_task; /* once for each task that it serves */
} kinds[] = {{LATHE_KIND_ACTIVATION, conform_activation, false},
             {LATHE_KIND_LOSS, conform_loss, true},
             {LATHE_KIND_OPTIMIZER, conform_optimizer, false},
             {LATHE_KIND_SCHEDULE, conform_schedule, false},
             {LATHE_KIND_LEARNER, conform_learner, true},
             {LATHE_KIND_ENSEMBLE, conform_learner, true},
             {LATHE_KIND_TRANSFORM, conform_transform, false},
             {LATHE_KIND_SOURCE, conform_source, false},
             {LATHE_KIND_SPLIT, conform_split, false},
             {LATHE_KIND_METRIC, conform_metric, true},
             {LATHE_KIND_DRIFT, conform_drift, false}};

/* *on becomes false where nothing else can be shown. */
static int run_checks(conform *c, const conform_check *all, bool *on) {
    const lathe_conform_options *o = c->options;
    int failed = 0;
    for (const conform_check *checks = all; checks->what != NULL; checks++) {
        lathe_error err = {0};
        char what[200];
        snprintf(what, sizeof what, "%s%s%s", checks->what, c->task != 0 ? ", for " : "",
                 c->task != 0 ? lathe_task_name(c->task) : "");
        o->tell(o->user, what, LATHE_CONFORM_BEGINS, "");
        const int32_t rc = checks->run(c, &err);
        char why[700];
        snprintf(why, sizeof why, "%s%s%s", err.where, err.where[0] ? ": " : "", err.message);
        failed += rc != LATHE_OK && rc != CONFORM_SKIP;
        o->tell(o->user, what,
                rc == LATHE_OK       ? LATHE_CONFORM_HOLDS
                : rc == CONFORM_SKIP ? LATHE_CONFORM_SKIPPED
                                     : LATHE_CONFORM_FAILS,
                rc == LATHE_OK ? "" : why);
        if (rc != LATHE_OK && all == before) {
            *on = false;
            break;
        }
    }
    return failed;
}

static int run_kind(conform *c, size_t k) {
    int failed = 0;
    const uint32_t tasks = c->d->tasks != 0 ? c->d->tasks : LATHE_TASKS_ALL;
    if (!kinds[k].by_task)
        return run_checks(c, kinds[k].checks, NULL);
    for (c->task = LATHE_TASK_REGRESSION; c->task <= LATHE_TASK_MULTICLASS; c->task++)
        if ((tasks & LATHE_TASK_BIT(c->task)) != 0)
            failed += run_checks(c, kinds[k].checks, NULL);
    c->task = 0;
    return failed;
}

int lathe_conform(lathe_runtime *runtime, const lathe_plugin *plugin,
                  const lathe_conform_options *options) {
    conform c = {.runtime = runtime, .plugin = plugin, .options = options};
    const uint32_t tasks = plugin->descriptor->tasks;
    for (int32_t t = LATHE_TASK_MULTICLASS; t >= LATHE_TASK_REGRESSION; t--)
        if ((tasks & LATHE_TASK_BIT(t)) != 0)
            c.task = t; /* of the checks that need any: the simplest that it serves */
    bool on = true;
    int failed = run_checks(&c, before, &on);
    c.task = 0;
    for (size_t k = 0; on && k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k].kind, plugin->descriptor->kind) == 0)
            failed += run_kind(&c, k);
    return failed + (on ? run_checks(&c, after, NULL) : 0);
}

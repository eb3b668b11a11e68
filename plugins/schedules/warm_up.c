/* warm_up: the rate rises in a straight line from `from` η to the base rate η, then follows
 * another schedule:
 *     η (φ + (1 - φ) t) while t < 1, t the share of the way (φ: from);
 *     then `then`, counted from its end.
 *
 * P. Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2. The way is `steps` where
 * given, else `epochs`. What is left of the training is the whole of it for `then`, so that a
 * cosine still ends at its end.
 */
#include <lathe/component.h>
#include <lathe/math.h>
#include <lathe/optimizer.h>

#include <stdio.h>

typedef struct config {
    int64_t steps;
    double epochs;
    double from;
    const lathe_component *then;
} config;

static const lathe_param params[] = {
    LATHE_P_INT(config, steps, LATHE_PARAM_NULLABLE, "null", 1, 1e12,
                "Length of the rise; null: see epochs.", .unit = "steps"),
    LATHE_P_FLOAT(config, epochs, LATHE_PARAM_EXCL_MIN, "1.0", 0, 1e9,
                  "Length of the rise where steps is null.", .unit = "epochs"),
    LATHE_P_FLOAT(config, from, LATHE_PARAM_TUNABLE, "0.1", 0, 1,
                  "Where it begins, as a share of the base rate."),
    LATHE_P_COMPONENT(config, then, 0, "\"constant\"", LATHE_KIND_SCHEDULE,
                      "The schedule that follows."),
};

typedef struct warm_up {
    const lathe_host *host;
    const config *config;
    lathe_instance then;
} warm_up;

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    const warm_up *w = (const warm_up *)self;
    const config *c = w->config;
    const int in_steps = c->steps != LATHE_INT_NULL;
    const double t = in_steps ? (double)step / (double)c->steps : epoch / c->epochs;
    if (!(t >= 1.0)) {
        return base * (c->from + (1.0 - c->from) * (t > 0.0 ? t : 0.0));
    }
    /* the rise in both units: step / epoch is the number of steps in an epoch */
    double steps = in_steps ? (double)c->steps : c->epochs;
    double epochs = c->epochs;
    if (in_steps) {
        epochs = epoch * (steps / (double)step);
    } else {
        steps = (double)step * (epochs / epoch);
    }
    const int64_t gone = (int64_t)(steps + 0.5);
    const lathe_schedule *then = (const lathe_schedule *)w->then.interface;
    return then->rate(w->then.self, base, step > gone ? step - gone : 0,
                      total > gone ? total - gone : (total > 0 ? 1 : 0),
                      epoch > epochs ? epoch - epochs : 0.0);
}

static void destroy(void *self) {
    warm_up *w = (warm_up *)self;
    if (w == NULL) {
        return;
    }
    const lathe_host *host = w->host;
    const lathe_components *children =
        (const lathe_components *)host->get(host, LATHE_HOST_COMPONENTS);
    if (children != NULL) {
        children->destroy(host, &w->then);
    }
    host->free(host, w);
}

static int32_t create(const lathe_host *host, const void *config, void **self, lathe_error *err) {
    const lathe_components *children =
        (const lathe_components *)host->get(host, LATHE_HOST_COMPONENTS);
    warm_up *w = (warm_up *)host->alloc(host, sizeof *w);
    if (w == NULL || children == NULL) {
        host->free(host, w);
        err->code = w == NULL ? LATHE_E_MEMORY : LATHE_E_UNSUPPORTED;
        snprintf(err->message, sizeof err->message, "%s",
                 w == NULL ? "no memory for the schedule"
                           : "this host makes no nested plugins, which warm_up needs");
        return err->code;
    }
    w->host = host;
    w->config = config;
    w->then.struct_size = LATHE_SIZED(lathe_instance);
    const int32_t rc = children->create(host, w->config->then, 0, NULL, &w->then, err);
    if (rc != LATHE_OK) {
        host->free(host, w);
        return rc;
    }
    *self = w;
    return LATHE_OK;
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.schedule.warm_up",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "warm_up",
    .version = "1.0.0",
    .doc = "Rises in a straight line, then follows another schedule.",
    .license = "Apache-2.0",
    LATHE_PARAMS(params, config),
    .interface = &interface,
    .create = create,
    .destroy = destroy,
};

LATHE_PLUGIN(&descriptor)

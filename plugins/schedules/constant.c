/* constant: the base rate at every step. */
#include <lathe/optimizer.h>

static double rate(const void *self, double base, int64_t step, int64_t total, double epoch) {
    (void)self;
    (void)step;
    (void)total;
    (void)epoch;
    return base;
}

static const lathe_schedule interface = {
    .struct_size = LATHE_SIZED(lathe_schedule),
    .rate = rate,
};

static const lathe_descriptor descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.schedule.constant",
    .kind = LATHE_KIND_SCHEDULE,
    .name = "constant",
    .version = "1.0.0",
    .doc = "The same rate at every step.",
    .license = "Apache-2.0",
    .interface = &interface,
};

LATHE_PLUGIN(&descriptor)

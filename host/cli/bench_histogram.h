/* cli/bench_histogram.h: latencies, counted in buckets that grow with their value: 128 to each doubling, so a quantile is
 * at most 0.8 % above the true one.
 */
#ifndef LATHE_CLI_BENCH_HISTOGRAM_H
#define LATHE_CLI_BENCH_HISTOGRAM_H

#include <stdint.h>

#define BENCH_BUCKETS ((64 - 7 + 1) * 128)

typedef struct bench_histogram {
    uint64_t counts[BENCH_BUCKETS];
    uint64_t n, max;
} bench_histogram;

void bench_histogram_add(bench_histogram *h, uint64_t value);

/* The value that a share q of all does not exceed, as the top of its bucket; 0 where there is none. */
uint64_t bench_histogram_quantile(const bench_histogram *h, double q);

#endif

#include "cli/bench_histogram.h"

#include <math.h>
#include <stddef.h>

/* Below 128 a bucket a value; above, the 7 bits after the leading one. */
static size_t bucket_of(uint64_t value) {
    if (value < 128)
        return (size_t)value;
    const int shift = 63 - __builtin_clzll(value) - 7;
    return (size_t)(shift + 1) * 128 + (size_t)((value >> shift) - 128);
}

static uint64_t top_of(size_t bucket) {
    if (bucket < 128)
        return bucket;
    const size_t shift = bucket / 128 - 1;
    return ((uint64_t)(bucket % 128 + 128) << shift) + (((uint64_t)1 << shift) - 1);
}

void bench_histogram_add(bench_histogram *h, uint64_t value) {
    h->counts[bucket_of(value)]++;
    h->n++;
    if (value > h->max)
        h->max = value;
}

uint64_t bench_histogram_quantile(const bench_histogram *h, double q) {
    const uint64_t rank = (uint64_t)ceil(q * (double)h->n);
    uint64_t seen = 0;
    for (size_t b = 0; b < BENCH_BUCKETS && h->n > 0; b++) {
        seen += h->counts[b];
        if (seen >= rank && h->counts[b] > 0)
            return top_of(b) < h->max ? top_of(b) : h->max;
    }
    return h->max;
}

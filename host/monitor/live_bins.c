#include "monitor/live_bins.h"

#include "base/cpu.h"
#include "data/memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#define SHIFT 18  /* of a float's bits: 32 cells a power of two */
#define HALF 384  /* cells on either side of the center: 12 powers of two */
#define AT_ONCE 4 /* edges of the cell that are looked at first */

struct live_finder {
    _Alignas(64) uint16_t start[2 * HALF + 1]; /* edges below the cell */
    int32_t low;                               /* steps from 0 to the cell next to the center */
    double center;
    int64_t n_edges;
    _Alignas(64) double edges[LIVE_MOST_EDGES + AT_ONCE]; /* and infinities behind them */
};

static int32_t bits_of(double offset) {
    const float narrow = (float)offset;
    int32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return bits;
}

static int32_t cell_of(double offset, int32_t low) {
    const int32_t bits = bits_of(offset), sign = bits < 0 ? -1 : 0;
    int32_t steps = ((bits & INT32_MAX) >> SHIFT) - low;
    steps = steps < 0 ? 0 : steps;
    steps = steps > HALF - 1 ? HALF - 1 : steps;
    return HALF + (steps ^ sign); /* -1 - steps on the lower side */
}

/* The outermost edge lies in the last cell but one. */
static int32_t find_low(const double *edges, int64_t n, double center) {
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t steps = (bits_of(edges[i] - center) & INT32_MAX) >> SHIFT;
        most = steps > most ? steps : most;
    }
    return most > HALF - 2 ? most - (HALF - 2) : 0;
}

live_finder *live_finder_new(const double *edges, int64_t n, double center) {
    live_finder *f = lathe_aligned_zeroed(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->low = find_low(edges, n, center);
    f->center = center;
    f->n_edges = n;
    for (int64_t i = 0; i < LIVE_MOST_EDGES + AT_ONCE; i++)
        f->edges[i] = i < n ? edges[i] : (double)INFINITY;
    int64_t at = 0;
    for (int32_t cell = 0; cell <= 2 * HALF; cell++) {
        f->start[cell] = (uint16_t)at;
        while (at < n && cell_of(edges[at] - center, f->low) <= cell)
            at++;
    }
    return f;
}

void live_finder_fetch(const live_finder *f) {
    const char *begin = (const char *)f, *end = (const char *)(f->edges + f->n_edges);
    for (; begin <= end; begin += 64)
        __builtin_prefetch(begin);
}

void live_lanes_set(live_lanes *lanes, int lane, const live_finder *f) {
    lanes->center[lane] = f->center;
    lanes->low[lane] = f->low;
}

/* The edges below a number that has at least AT_ONCE of its cell's below it. */
__attribute__((noinline)) static unsigned search(const live_finder *f, uint32_t cell,
                                                 double value) {
    unsigned low = f->start[cell] + AT_ONCE, high = f->start[cell + 1];
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (f->edges[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- any processor: what the others do, one by one ---- */

static void begin_moments(live_moments *m) {
    for (int k = 0; k < LIVE_LANES; k++) {
        m->smallest[k] = (double)INFINITY;
        m->largest[k] = -(double)INFINITY;
        m->sum[k] = m->squares[k] = 0;
    }
}

static void measure_any(const live_lanes *lanes, const double *rows, int64_t stride, int64_t n,
                        live_tile *tile, live_moments *m) {
    begin_moments(m);
    for (int64_t i = 0; i < n; i++, rows += stride)
        for (int k = 0; k < LIVE_LANES; k++) {
            const double value = rows[k], offset = value - lanes->center[k];
            m->smallest[k] = value < m->smallest[k] ? value : m->smallest[k];
            m->largest[k] = value > m->largest[k] ? value : m->largest[k];
            m->sum[k] += offset;
            m->squares[k] += offset * offset;
            tile->cell[i][k] = (uint16_t)cell_of(offset, lanes->low[k]);
        }
}

static void bin_any(const live_finder *f, const double *rows, int64_t stride, const live_tile *tile,
                    int lane, int64_t n, uint16_t *bins) {
    const double *value = rows + lane;
    for (int64_t i = 0; i < n; i++, value += stride) {
        const uint32_t in = tile->cell[i][lane];
        unsigned bin = f->start[in];
        const unsigned most = bin + AT_ONCE;
        while (bin < most && f->edges[bin] < *value)
            bin++;
        if (bin == most)
            bin = search(f, in, *value);
        bins[i] = (uint16_t)bin;
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,popcnt")))

AVX2 static void measure_avx2(const live_lanes *lanes, const double *rows, int64_t stride,
                              int64_t n, live_tile *tile, live_moments *m) {
    const __m256d center = _mm256_load_pd(lanes->center);
    const __m128i low = _mm_load_si128((const __m128i *)lanes->low), zero = _mm_setzero_si128(),
                  last = _mm_set1_epi32(HALF - 1), middle = _mm_set1_epi32(HALF),
                  magnitude = _mm_set1_epi32(INT32_MAX);
    __m256d smallest = _mm256_set1_pd((double)INFINITY),
            largest = _mm256_set1_pd(-(double)INFINITY), sum = _mm256_setzero_pd(), squares = sum;
    for (int64_t i = 0; i < n; i++, rows += stride) {
        const __m256d value = _mm256_loadu_pd(rows), offset = _mm256_sub_pd(value, center);
        const __m128i bits = _mm_castps_si128(_mm256_cvtpd_ps(offset));
        __m128i steps = _mm_sub_epi32(_mm_srli_epi32(_mm_and_si128(bits, magnitude), SHIFT), low);
        steps = _mm_min_epi32(_mm_max_epi32(steps, zero), last);
        const __m128i cell = _mm_add_epi32(middle, _mm_xor_si128(steps, _mm_srai_epi32(bits, 31)));
        smallest = _mm256_min_pd(value, smallest);
        largest = _mm256_max_pd(value, largest);
        sum = _mm256_add_pd(sum, offset);
        squares = _mm256_add_pd(squares, _mm256_mul_pd(offset, offset));
        _mm_storel_epi64((__m128i *)tile->cell[i], _mm_packus_epi32(cell, cell));
    }
    _mm256_store_pd(m->smallest, smallest);
    _mm256_store_pd(m->largest, largest);
    _mm256_store_pd(m->sum, sum);
    _mm256_store_pd(m->squares, squares);
}

AVX2 static void bin_avx2(const live_finder *f, const double *rows, int64_t stride,
                          const live_tile *tile, int lane, int64_t n, uint16_t *bins) {
    const double *value = rows + lane;
    for (int64_t i = 0; i < n; i++, value += stride) {
        const uint32_t in = tile->cell[i][lane];
        unsigned bin = f->start[in];
        const int below = _mm256_movemask_pd(
            _mm256_cmp_pd(_mm256_loadu_pd(f->edges + bin), _mm256_broadcast_sd(value), _CMP_LT_OQ));
        bin += (unsigned)__builtin_popcount((unsigned)below);
        if (__builtin_expect(below == (1 << AT_ONCE) - 1, 0))
            bin = search(f, in, *value);
        bins[i] = (uint16_t)bin;
    }
}

live_kernels live_bins_kernels(void) {
    return lathe_cpu_level() & LATHE_CPU_AVX2_FMA ? (live_kernels){measure_avx2, bin_avx2}
                                                  : (live_kernels){measure_any, bin_any};
}
#else
live_kernels live_bins_kernels(void) {
    return (live_kernels){measure_any, bin_any};
}
#endif

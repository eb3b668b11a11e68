#include "monitor/live_bins.h"

#include "base/cpu.h"
#include "data/memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>

struct live_tree {
    _Alignas(64) float pivots[LIVE_FAN];
    float blocks[LIVE_FAN + 1]
                [2 * LIVE_FAN];        /* behind each the pivot that follows it; then nothing */
    double edges[LIVE_MOST_EDGES + 1]; /* all of them, and an infinity */
};

live_tree *live_tree_new(const double *edges, int64_t n) {
    live_tree *t = lathe_aligned_zeroed(1, sizeof *t);
    if (t == NULL)
        return NULL;
    for (int64_t at = 0; at <= LIVE_MOST_EDGES; at++) {
        const int64_t k = at / (LIVE_FAN + 1), i = at % (LIVE_FAN + 1);
        t->edges[at] = at < n ? edges[at] : (double)INFINITY;
        t->blocks[k][i] = (float)t->edges[at];
        if (i == LIVE_FAN && k < LIVE_FAN)
            t->pivots[k] = (float)t->edges[at];
    }
    return t;
}

void live_tree_fetch(const live_tree *t) {
    __builtin_prefetch(t->pivots);
    for (int k = 0; k <= LIVE_FAN; k++)
        __builtin_prefetch(t->blocks[k]);
}

/* below_…(numbers, value): how many of 16 numbers, aligned to 64 bytes, are below the value. Edges that equal it as
 * float32 come next; they alone are looked at as they are, one by one, up to the infinity behind the last. */
#define KERNEL(suffix, target)                                                                     \
    target static void bins_##suffix(const live_tree *t, const double *values, int64_t n,          \
                                     uint16_t *bins) {                                             \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const float value = (float)values[i];                                                  \
            const unsigned block = below_##suffix(t->pivots, value);                               \
            const unsigned at = below_##suffix(t->blocks[block], value);                           \
            unsigned bin = (LIVE_FAN + 1) * block + at;                                            \
            if (t->blocks[block][at] == value)                                                     \
                while (t->edges[bin] < values[i])                                                  \
                    bin++;                                                                         \
            bins[i] = (uint16_t)bin;                                                               \
        }                                                                                          \
    }

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")))

static inline unsigned below_sse2(const float *numbers, float value) {
    const __m128 v = _mm_set1_ps(value);
    __m128i is_below[4]; /* the first ones */
    for (int i = 0; i < 4; i++)
        is_below[i] = _mm_castps_si128(_mm_cmplt_ps(_mm_load_ps(numbers + 4 * i), v));
    const __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(is_below[0], is_below[1]),
                                          _mm_packs_epi32(is_below[2], is_below[3]));
    return (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(bytes));
}

AVX2 static inline unsigned below_avx2(const float *numbers, float value) {
    const __m256 v = _mm256_set1_ps(value);
    const __m256i a = _mm256_castps_si256(_mm256_cmp_ps(_mm256_load_ps(numbers), v, _CMP_LT_OQ)),
                  b = _mm256_castps_si256(
                      _mm256_cmp_ps(_mm256_load_ps(numbers + 8), v, _CMP_LT_OQ));
    const int two_each = _mm256_movemask_epi8(_mm256_packs_epi32(a, b));
    return (unsigned)__builtin_popcount((unsigned)two_each) / 2;
}

AVX512 static inline unsigned below_avx512(const float *numbers, float value) {
    const __mmask16 is_below =
        _mm512_cmp_ps_mask(_mm512_load_ps(numbers), _mm512_set1_ps(value), _CMP_LT_OQ);
    return (unsigned)__builtin_popcount(is_below);
}

KERNEL(sse2, )
KERNEL(avx2, AVX2)
KERNEL(avx512, AVX512)

live_bins_fn *live_bins_kernel(void) {
    const uint32_t level = lathe_cpu_level();
    if (level & LATHE_CPU_AVX512)
        return bins_avx512;
    return level & LATHE_CPU_AVX2_FMA ? bins_avx2 : bins_sse2;
}
#else
static inline unsigned below_any(const float *numbers, float value) {
    unsigned n = 0;
    for (int i = 0; i < LIVE_FAN; i++)
        n += numbers[i] < value;
    return n;
}

KERNEL(any, )

live_bins_fn *live_bins_kernel(void) {
    return bins_any;
}
#endif

/* ---- moments ---- */

#define LANES 4
typedef struct lanes {
    _Alignas(32) double smallest[LANES], largest[LANES], sum[LANES], squares[LANES];
} lanes;

/* Adds the numbers from `at` on to the first lane, and the lanes together. */
static live_moments gather(lanes *l, const double *values, int64_t at, int64_t n, double center) {
    for (; at < n; at++) {
        const double value = values[at], offset = value - center;
        l->smallest[0] = value < l->smallest[0] ? value : l->smallest[0];
        l->largest[0] = value > l->largest[0] ? value : l->largest[0];
        l->sum[0] += offset;
        l->squares[0] += offset * offset;
    }
    for (int k = 1; k < LANES; k++) {
        l->smallest[0] = l->smallest[k] < l->smallest[0] ? l->smallest[k] : l->smallest[0];
        l->largest[0] = l->largest[k] > l->largest[0] ? l->largest[k] : l->largest[0];
    }
    return (live_moments){l->smallest[0], l->largest[0],
                          (l->sum[0] + l->sum[1]) + (l->sum[2] + l->sum[3]),
                          (l->squares[0] + l->squares[1]) + (l->squares[2] + l->squares[3])};
}

static live_moments measure_any(const double *values, int64_t n, double center) {
    lanes l = {.sum = {0}, .squares = {0}};
    int64_t at = 0;
    for (int k = 0; k < LANES; k++)
        l.smallest[k] = l.largest[k] = values[0];
    for (; at + LANES <= n; at += LANES)
        for (int k = 0; k < LANES; k++) {
            const double value = values[at + k], offset = value - center;
            l.smallest[k] = value < l.smallest[k] ? value : l.smallest[k];
            l.largest[k] = value > l.largest[k] ? value : l.largest[k];
            l.sum[k] += offset;
            l.squares[k] += offset * offset;
        }
    return gather(&l, values, at, n, center);
}

#if defined(__x86_64__)
AVX2 static live_moments measure_avx2(const double *values, int64_t n, double center) {
    lanes l;
    int64_t at = 0;
    const __m256d middle = _mm256_set1_pd(center);
    __m256d smallest = _mm256_set1_pd(values[0]), largest = smallest;
    __m256d sum = _mm256_setzero_pd(), squares = sum;
    for (; at + LANES <= n; at += LANES) {
        const __m256d value = _mm256_loadu_pd(values + at), offset = _mm256_sub_pd(value, middle);
        smallest = _mm256_min_pd(value, smallest);
        largest = _mm256_max_pd(value, largest);
        sum = _mm256_add_pd(sum, offset);
        squares = _mm256_add_pd(squares, _mm256_mul_pd(offset, offset));
    }
    _mm256_store_pd(l.smallest, smallest);
    _mm256_store_pd(l.largest, largest);
    _mm256_store_pd(l.sum, sum);
    _mm256_store_pd(l.squares, squares);
    return gather(&l, values, at, n, center);
}

live_measure_fn *live_measure_kernel(void) {
    return lathe_cpu_level() & LATHE_CPU_AVX2_FMA ? measure_avx2 : measure_any;
}
#else
live_measure_fn *live_measure_kernel(void) {
    return measure_any;
}
#endif

#include "monitor/live_bins.h"

#include "base/cpu.h"
#include "data/memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>

struct live_tree {
    _Alignas(64) float pivots[LIVE_FAN];
    float blocks[LIVE_FAN + 1][LIVE_FAN];
    double edges[LIVE_MOST_EDGES + 1]; /* all of them, and an infinity */
};

live_tree *live_tree_new(const double *edges, int64_t n) {
    live_tree *t = lathe_aligned_zeroed(1, sizeof *t);
    if (t == NULL)
        return NULL;
    for (int64_t at = 0; at <= LIVE_MOST_EDGES; at++) {
        const int64_t k = at / (LIVE_FAN + 1), i = at % (LIVE_FAN + 1);
        t->edges[at] = at < n ? edges[at] : (double)INFINITY;
        if (i < LIVE_FAN)
            t->blocks[k][i] = (float)t->edges[at];
        else if (k < LIVE_FAN)
            t->pivots[k] = (float)t->edges[at];
    }
    return t;
}

/* below_…(numbers, value): how many of 16 numbers, aligned to 64 bytes, are below the value. The edges that equal it as
 * float32, which come next, are taken one by one. */
#define KERNEL(suffix, target)                                                                     \
    target static void bins_##suffix(const live_tree *t, const double *values, int64_t n,          \
                                     uint16_t *bins) {                                             \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const float value = (float)values[i];                                                  \
            const unsigned block = below_##suffix(t->pivots, value);                               \
            unsigned bin = (LIVE_FAN + 1) * block + below_##suffix(t->blocks[block], value);       \
            while (t->edges[bin] < values[i]) /* the last one is an infinity */                    \
                bin++;                                                                             \
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

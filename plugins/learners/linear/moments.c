/* The sums for each kind of CPU: moments_body.h with its vectors. */
#include "moments.h"

#include <lathe/abi.h>

/* Loops over a register block: unrolled wholly, or the sums would not be registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

enum { MOST_ABREAST = 8 }; /* vectors of columns whose sums are registers at once */

/* ---- any CPU: vectors of two doubles, which the compiler maps to what there is ---- */

typedef double vector2 __attribute__((vector_size(16)));
typedef double vector2_at __attribute__((vector_size(16), aligned(8), may_alias));

#define NAME(x) x##_plain
#define TARGET
#define W 2
#define V vector2
#define LOAD(p) ((V) * (const vector2_at *)(p))
#define STORE(p, v) (*(vector2_at *)(p) = (v))
#define SPREAD(d) ((V){(d), (d)})
#define FMA(a, b, c) ((a) * (b) + (c))
#define WIDEN(p) ((V){(double)(p)[0], (double)(p)[1]})
#include "moments_body.h"

static const moments plain = {"baseline",       standardise_plain,  scores_plain, gradient_plain,
                              raw_scores_plain, raw_gradient_plain, gram_plain};

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define W 4
#define V __m256d
#define LOAD(p) _mm256_loadu_pd(p)
#define STORE(p, v) _mm256_storeu_pd(p, v)
#define SPREAD(d) _mm256_set1_pd(d)
#define FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define WIDEN(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#include "moments_body.h"

static const moments avx2 = {"avx2",          standardise_avx2,  scores_avx2, gradient_avx2,
                             raw_scores_avx2, raw_gradient_avx2, gram_avx2};
#endif

const moments *linear_choose_moments(uint32_t level) {
#if defined(__x86_64__)
    if (level & LATHE_CPU_AVX2_FMA)
        return &avx2;
#endif
    (void)level;
    return &plain;
}

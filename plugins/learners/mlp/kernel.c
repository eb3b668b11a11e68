/* The products for each kind of CPU: kernel_body.h with its vectors. */
#include "kernel.h"

#include <lathe/abi.h>
#include <stddef.h>

enum { PIECE = 256 }; /* rows of a panel that the first cache holds: 16 KiB */

static const float zeros[2 * PANEL];

/* Loops over the rows of a register block: unrolled wholly, or the sums would not be registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* ---- any CPU: vectors of four floats, which the compiler maps to what there is ---- */

typedef float vector4 __attribute__((vector_size(16)));
/* the same without an alignment of its own */
typedef float vector4_at __attribute__((vector_size(16), aligned(4), may_alias));

#define NAME(x) x##_plain
#define TARGET
#define W 4
#define V vector4
#define LOAD(p) ((V) * (const vector4_at *)(p))
#define STORE(p, v) (*(vector4_at *)(p) = (v))
#define SPREAD(f) ((V){(f), (f), (f), (f)})
#define FMA(a, b, c) ((a) * (b) + (c))
#define MOST 6
#include "kernel_body.h"

static const mlp_kernels plain = {"baseline", rows_plain, weights_plain};

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define W 8
#define V __m256
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SPREAD(f) _mm256_set1_ps(f)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MOST 6
#include "kernel_body.h"

static const mlp_kernels avx2 = {"avx2", rows_avx2, weights_avx2};

#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#define W 16
#define V __m512
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SPREAD(f) _mm512_set1_ps(f)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MOST 12
#include "kernel_body.h"

static const mlp_kernels avx512 = {"avx512", rows_avx512, weights_avx512};
#endif

const mlp_kernels *mlp_choose_kernels(uint32_t level) {
#if defined(__x86_64__)
    if (level & LATHE_CPU_AVX512)
        return &avx512;
    if (level & LATHE_CPU_AVX2_FMA)
        return &avx2;
#endif
    (void)level;
    return &plain;
}

/* The products for each kind of CPU: kernel_body.h with its vectors. */
#include "kernel.h"

#include <lathe/abi.h>
#include <stddef.h>

enum { PIECE = 256 }; /* rows of a panel that the first cache holds: 16 KiB */
enum { LINE = PANEL * sizeof(float) };
enum { ABREAST = 8 }; /* vectors of a row alone: so many sums hide how long an addition takes */

static const float zeros[PANEL];

/* Loops over the rows of a register block: unrolled wholly, or the sums would not be registers. Not where
 * clang checks every access: 72 unrolled blocks, each load in them with its checks, take it many minutes;
 * rolled and not inlined they are two functions for each kind of CPU, checked the same, to the same bits. */
#if defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define UNROLL
#define BLOCK static __attribute__((noinline))
#else
#define UNROLL _Pragma("clang loop unroll(full)")
#endif
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch((const void *)(address))
#else
#define PREFETCH(address) ((void)(address))
#endif
#ifndef BLOCK
#define BLOCK static inline __attribute__((always_inline))
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
#define ACCUMULATE(c, a, b) ((c) = FMA(a, b, c))
#define MOST 6
#include "kernel_body.h"

static const mlp_kernels plain = {"baseline", rows_plain, weights_plain};

#if defined(__x86_64__)
#include <immintrin.h>

/* c += a b in c's own register. The 15 registers of a block just suffice: free to choose, the compiler lets the sums
 * wander through them and keeps one in memory, on the longest chain (70 % of the machine's rate instead of 90 %). */
#define IN_PLACE "vfmadd231ps %2, %1, %0"

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define W 8
#define V __m256
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SPREAD(f) _mm256_set1_ps(f)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ACCUMULATE(c, a, b) __asm__(IN_PLACE : "+x"(c) : "x"(a), "x"(b))
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
#define ACCUMULATE(c, a, b) __asm__(IN_PLACE : "+v"(c) : "v"(a), "v"(b))
#define MOST 12
#include "kernel_body.h"

static const mlp_kernels avx512 = {"avx512", rows_avx512, weights_avx512};
#endif

/* Four rows of four, transposed. */
static void transpose_block(const float *w, float *panel) {
    vector4 a = *(const vector4_at *)w, b = *(const vector4_at *)(w + PANEL);
    vector4 c = *(const vector4_at *)(w + 2 * PANEL), d = *(const vector4_at *)(w + 3 * PANEL);
    vector4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    vector4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    vector4 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    vector4 cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(vector4_at *)panel = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(vector4_at *)(panel + PANEL) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(vector4_at *)(panel + 2 * PANEL) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(vector4_at *)(panel + 3 * PANEL) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

void mlp_transpose(int64_t n, int64_t lanes, const float *w, float *panel) {
    int64_t whole = n / 4 * 4, across = lanes / 4 * 4;
    for (int64_t u = 0; u < across; u += 4)
        for (int64_t i = 0; i < whole; i += 4)
            transpose_block(w + i * PANEL + u, panel + u * PANEL + i);
    for (int64_t u = 0; u < lanes; u++)
        for (int64_t i = u < across ? whole : 0; i < n; i++)
            panel[u * PANEL + i] = w[i * PANEL + u];
}

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

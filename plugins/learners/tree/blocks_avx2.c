/* blocks_avx2.c: programs of trees on a block of 128 rows, in vectors of 32. */
#include "score.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

enum { VECTOR = 32, VECTORS = 4, ROWS = VECTOR * VECTORS };

AVX2 static inline __m256i load(const uint8_t *from) {
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

AVX2 static inline void put(uint8_t *to, __m256i v) {
    _mm256_storeu_si256((__m256i *)(void *)to, v);
}

AVX2 static inline void run_op(const score_op *op, uint8_t *memory, int64_t vectors) {
    const uint8_t *column = memory + op->column * ROWS;
    const uint8_t *left = memory + op->left * ROWS, *right = memory + op->right * ROWS;
    uint8_t *to = memory + op->to * ROWS;
    __m256i below = _mm256_set1_epi8(op->below);
    for (int64_t j = 0; j < vectors; j++) {
        __m256i goes = _mm256_cmpgt_epi8(below, load(column + j * VECTOR));
        put(to + j * VECTOR,
            _mm256_blendv_epi8(load(right + j * VECTOR), load(left + j * VECTOR), goes));
    }
}

AVX2 static void run(const score_op *op, int64_t n, uint8_t *memory, int64_t vectors) {
    const score_op *end = op + n;
    if (vectors == VECTORS)
        for (; op < end; op++)
            run_op(op, memory, VECTORS);
    else
        for (; op < end; op++)
            run_op(op, memory, vectors);
}

AVX2 static void test(const score_set *set, int64_t n, uint8_t *memory, int64_t vectors) {
    for (const score_set *end = set + n; set < end; set++) {
        const uint8_t *byte = memory + set->column * ROWS, *bit = byte + ROWS;
        uint8_t *to = memory + set->to * ROWS;
        __m256i all = load(set->bits);
        __m256i first = _mm256_permute4x64_epi64(all, 0x44);  /* bytes 0–15, twice */
        __m256i second = _mm256_permute4x64_epi64(all, 0xee); /* bytes 16–31 */
        for (int64_t j = 0; j < vectors; j++) {
            __m256i at = load(byte + j * VECTOR), one = load(bit + j * VECTOR);
            __m256i high = _mm256_slli_epi16(at, 3); /* bit 4 of a byte's number becomes its sign */
            __m256i found = _mm256_blendv_epi8(_mm256_shuffle_epi8(first, at),
                                               _mm256_shuffle_epi8(second, at), high);
            put(to + j * VECTOR, _mm256_cmpeq_epi8(_mm256_and_si256(found, one), one));
        }
    }
}

/* Thresholds below v: first among every 16th, then among 16. */
AVX2 static inline int32_t count_below(const float *table, __m256 v) {
    uint32_t rough =
        (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(table), v, _CMP_LT_OQ)) |
        (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(table + 8), v, _CMP_LT_OQ)) << 8;
    int32_t n = __builtin_popcount(rough) * 16;
    const float *edges = table + 16 + n;
    uint32_t fine =
        (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(edges), v, _CMP_LT_OQ)) |
        (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(edges + 8), v, _CMP_LT_OQ)) << 8;
    return n + __builtin_popcount(fine);
}

__attribute__((target("avx2,popcnt"))) static void encode(const float *table, const float *x,
                                                          int64_t stride, int64_t rows, int8_t *low,
                                                          int8_t *high) {
    for (int64_t r = 0; r < rows; r++) {
        float v = x[r * stride];
        int32_t code = count_below(table, _mm256_set1_ps(v)) - 128;
        if (low)
            low[r] = (int8_t)code;
        if (high)
            high[r] = (int8_t)(v != v ? 127 : code);
    }
}

const score_kernels score_kernels_avx2 = {
    .rows = ROWS, .run = run, .test = test, .encode = encode, .vector = VECTOR};

#else
typedef int score_no_avx2; /* a file is not empty */
#endif

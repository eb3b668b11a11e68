/* blocks_avx512.c: programs of trees on a block of 256 rows, in vectors of 64 (AVX-512 BW, VL). */
#include "score.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,popcnt")))

enum { VECTOR = 64, VECTORS = 4, ROWS = VECTOR * VECTORS };

AVX512 static inline __m512i load(const uint8_t *from) {
    return _mm512_loadu_si512(from);
}

AVX512 static inline void run_op(const score_op *op, uint8_t *memory, int64_t vectors) {
    const uint8_t *column = memory + op->column * ROWS;
    const uint8_t *left = memory + op->left * ROWS, *right = memory + op->right * ROWS;
    uint8_t *to = memory + op->to * ROWS;
    __m512i below = _mm512_set1_epi8(op->below);
    for (int64_t j = 0; j < vectors; j++) {
        __mmask64 goes = _mm512_cmplt_epi8_mask(load(column + j * VECTOR), below);
        _mm512_storeu_si512(to + j * VECTOR, _mm512_mask_blend_epi8(goes, load(right + j * VECTOR),
                                                                    load(left + j * VECTOR)));
    }
}

AVX512 static void run(const score_op *op, int64_t n, uint8_t *memory, int64_t vectors) {
    const score_op *end = op + n;
    if (vectors == VECTORS)
        for (; op < end; op++)
            run_op(op, memory, VECTORS);
    else
        for (; op < end; op++)
            run_op(op, memory, vectors);
}

AVX512 static void test(const score_set *set, int64_t n, uint8_t *memory, int64_t vectors) {
    for (const score_set *end = set + n; set < end; set++) {
        const uint8_t *byte = memory + set->column * ROWS, *bit = byte + ROWS;
        uint8_t *to = memory + set->to * ROWS;
        __m512i first = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)set->bits));
        __m512i second = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(set->bits + 16)));
        for (int64_t j = 0; j < vectors; j++) {
            __m512i at = load(byte + j * VECTOR), one = load(bit + j * VECTOR);
            __mmask64 high = _mm512_test_epi8_mask(at, _mm512_set1_epi8(16));
            __m512i found = _mm512_mask_blend_epi8(high, _mm512_shuffle_epi8(first, at),
                                                   _mm512_shuffle_epi8(second, at));
            _mm512_storeu_si512(to + j * VECTOR,
                                _mm512_movm_epi8(_mm512_test_epi8_mask(found, one)));
        }
    }
}

/* Thresholds below v: first among every 16th, then among 16. */
AVX512 static void encode(const float *table, const float *x, int64_t stride, int64_t rows,
                          int8_t *low, int8_t *high) {
    __m512 every = _mm512_loadu_ps(table);
    for (int64_t r = 0; r < rows; r++) {
        float v = x[r * stride];
        __m512 all = _mm512_set1_ps(v);
        int32_t n = 16 * __builtin_popcount(_mm512_cmp_ps_mask(every, all, _CMP_LT_OQ));
        __m512 edges = _mm512_loadu_ps(table + 16 + n);
        n += __builtin_popcount(_mm512_cmp_ps_mask(edges, all, _CMP_LT_OQ));
        if (low)
            low[r] = (int8_t)(n - 128);
        if (high)
            high[r] = (int8_t)(v != v ? 127 : n - 128);
    }
}

const score_kernels score_kernels_avx512 = {
    .rows = ROWS, .run = run, .test = test, .encode = encode, .vector = VECTOR};

#else
typedef int score_no_avx512; /* a file is not empty */
#endif

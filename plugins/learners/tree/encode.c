/* encode.c: the values of a block of rows as bytes, by columns (score.h). */
#include "score.h"

/* Thresholds below v, of 255 that are padded with infinity. NaN: 0. */
static inline int32_t count_below(const float *edges, float v) {
    int32_t n = 0;
    for (int32_t step = 128; step > 0; step /= 2)
        n += edges[n + step - 1] < v ? step : 0;
    return n;
}

void score_encode_plain(const float *table, const float *x, int64_t stride, int64_t rows,
                        int8_t *low, int8_t *high) {
    for (int64_t r = 0; r < rows; r++) {
        float v = x[r * stride];
        int32_t code = count_below(table + 16, v) - 128;
        if (low)
            low[r] = (int8_t)code;
        if (high)
            high[r] = (int8_t)(v != v ? 127 : code);
    }
}

/* Codes of categories as two columns: which byte of a set, and which bit of it. */
static void encode_category(const score_coder *c, const float *x, int64_t stride, int64_t rows,
                            uint8_t *byte, uint8_t *bit) {
    for (int64_t r = 0; r < rows; r++) {
        uint32_t code = score_code(c, x[r * stride]);
        byte[r] = (uint8_t)(code / 8);
        bit[r] = (uint8_t)(1u << code % 8);
    }
}

void score_encode(const tree_scorer *s, const float *x, int64_t stride, int64_t rows,
                  uint8_t *memory) {
    int64_t unit = s->kernels->rows;
    for (int64_t j = 0; j < s->n_coders; j++) {
        const score_coder *c = s->coder + j;
        uint8_t *low = memory + c->low * unit, *high = memory + c->high * unit;
        if (c->is_category)
            encode_category(c, x + c->feature, stride, rows, low, low + unit);
        else
            s->kernels->encode(s->table + c->table * SCORE_TABLE, x + c->feature, stride, rows,
                               c->low ? (int8_t *)low : NULL, c->high ? (int8_t *)high : NULL);
    }
}

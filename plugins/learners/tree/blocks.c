/* blocks.c: programs of trees on a block of rows, for every processor: vectors of 16 rows, which
 * the compiler makes SSE2 or whatever there is. */
#include "score.h"

enum { VECTOR = 16, VECTORS = 4, ROWS = VECTOR * VECTORS };

typedef int8_t rows16 __attribute__((vector_size(VECTOR)));

static inline rows16 load(const uint8_t *from) {
    rows16 v;
    memcpy(&v, from, sizeof v);
    return v;
}

static void run(const score_op *op, int64_t n, uint8_t *memory, int64_t vectors) {
    for (const score_op *end = op + n; op < end; op++) {
        const uint8_t *column = memory + op->column * ROWS;
        const uint8_t *left = memory + op->left * ROWS, *right = memory + op->right * ROWS;
        uint8_t *to = memory + op->to * ROWS;
        rows16 below = (rows16){0} + op->below;
        for (int64_t j = 0; j < vectors; j++) {
            rows16 goes = load(column + j * VECTOR) < below;
            rows16 v = (goes & load(left + j * VECTOR)) | (~goes & load(right + j * VECTOR));
            memcpy(to + j * VECTOR, &v, sizeof v);
        }
    }
}

void score_test_plain(const score_set *set, int64_t n, uint8_t *memory, int64_t vectors) {
    for (const score_set *end = set + n; set < end; set++) {
        const uint8_t *byte = memory + set->column * ROWS, *bit = byte + ROWS;
        uint8_t *to = memory + set->to * ROWS;
        for (int64_t r = 0; r < vectors * VECTOR; r++)
            to[r] = set->bits[byte[r] & 31] & bit[r] ? 255 : 0;
    }
}

const score_kernels score_kernels_plain = {.rows = ROWS,
                                           .run = run,
                                           .test = score_test_plain,
                                           .encode = score_encode_plain,
                                           .vector = VECTOR};

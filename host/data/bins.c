/* data/bins.c: sorting, edges, codes and encoding. See bins.h.
 *
 * Sorting is LSD radix sort on keys whose unsigned order is the order of the numbers: the sign bit
 * flipped for positive ones, all bits for negative ones (M. Herf, "Radix Tricks", 2001). Digits
 * that all keys share cost no pass.
 */
#include "data/bins.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 256
#define SMALL 48 /* below: insertion sort */
#define FEW 6    /* distinct values that are told apart without sorting */

static uint32_t float_key(float x) {
    uint32_t u;
    x += 0.0f; /* -0 → 0 */
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static float key_float(uint32_t k) {
    float x;
    k = k & 0x80000000u ? k & 0x7fffffffu : ~k;
    memcpy(&x, &k, sizeof x);
    return x;
}

static uint64_t double_key(double x) {
    uint64_t u;
    x += 0.0;
    memcpy(&u, &x, sizeof u);
    return u >> 63 ? ~u : u | (UINT64_C(1) << 63);
}

static double key_double(uint64_t k) {
    double x;
    k = k >> 63 ? k & ~(UINT64_C(1) << 63) : ~k;
    memcpy(&x, &k, sizeof x);
    return x;
}

/* Turns counts into begins; false where all keys have the same digit. */
static bool digit_begins(int64_t counts[DIGITS], int64_t n) {
    int64_t sum = 0;
    for (int d = 0; d < DIGITS; d++) {
        if (counts[d] == n)
            return false;
        int64_t c = counts[d];
        counts[d] = sum;
        sum += c;
    }
    return true;
}

void lathe_floats_sort(float *values, float *scratch, int64_t n) {
    if (n <= SMALL) {
        for (int64_t i = 0; i < n; i++) {
            float x = values[i] + 0.0f;
            int64_t j = i;
            for (; j > 0 && values[j - 1] > x; j--)
                values[j] = values[j - 1];
            values[j] = x;
        }
        return;
    }
    /* Keys are kept as bits in the two float arrays, so nothing is allocated. */
    int64_t counts[4][DIGITS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        uint32_t k = float_key(values[i]);
        memcpy(&values[i], &k, sizeof k);
        for (int p = 0; p < 4; p++)
            counts[p][k >> (8 * p) & 255]++;
    }
    float *from = values, *to = scratch;
    for (int p = 0; p < 4; p++) {
        if (!digit_begins(counts[p], n))
            continue;
        for (int64_t i = 0; i < n; i++) {
            uint32_t k;
            memcpy(&k, &from[i], sizeof k);
            memcpy(&to[counts[p][k >> (8 * p) & 255]++], &k, sizeof k);
        }
        float *swap = from;
        from = to;
        to = swap;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t k;
        memcpy(&k, &from[i], sizeof k);
        values[i] = key_float(k);
    }
}

void lathe_doubles_sort(double *values, double *scratch, int64_t n) {
    if (n <= SMALL) {
        for (int64_t i = 0; i < n; i++) {
            double x = values[i] + 0.0;
            int64_t j = i;
            for (; j > 0 && values[j - 1] > x; j--)
                values[j] = values[j - 1];
            values[j] = x;
        }
        return;
    }
    int64_t counts[8][DIGITS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        uint64_t k = double_key(values[i]);
        memcpy(&values[i], &k, sizeof k);
        for (int p = 0; p < 8; p++)
            counts[p][k >> (8 * p) & 255]++;
    }
    double *from = values, *to = scratch;
    for (int p = 0; p < 8; p++) {
        if (!digit_begins(counts[p], n))
            continue;
        for (int64_t i = 0; i < n; i++) {
            uint64_t k;
            memcpy(&k, &from[i], sizeof k);
            memcpy(&to[counts[p][k >> (8 * p) & 255]++], &k, sizeof k);
        }
        double *swap = from;
        from = to;
        to = swap;
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t k;
        memcpy(&k, &from[i], sizeof k);
        values[i] = key_double(k);
    }
}

/* A float m with a <= m < b, half way where floats allow it: "x <= m" parts a from b. */
static float midpoint(float a, float b) {
    float m = (float)((double)a + 0.5 * ((double)b - (double)a));
    return m >= a && m < b ? m : a;
}

/* Distinct values and how often each occurs. */
static int64_t count_distinct(const float *sorted, int64_t n, float *distinct, int64_t *counts) {
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        if (m > 0 && distinct[m - 1] == sorted[i]) {
            counts[m - 1]++;
        } else {
            distinct[m] = sorted[i];
            counts[m++] = 1;
        }
    }
    return m;
}

/* LightGBM, src/io/bin.cpp, GreedyFindBin, without its minimum rows a bin: a value with at least
 * the mean bin's rows gets a bin of its own; the others fill bins up to the mean of what remains.
 * */
static int32_t greedy_edges(const float *distinct, const int64_t *counts, int64_t m, int64_t n,
                            int32_t max_bins, float *edges) {
    double mean = (double)n / max_bins;
    int64_t rest_bins = max_bins, rest_rows = n;
    for (int64_t i = 0; i < m; i++) {
        if ((double)counts[i] >= mean) {
            rest_bins--;
            rest_rows -= counts[i];
        }
    }
    double big = mean; /* the bound for a bin of one's own stays, the mean of the rest moves */
    mean = rest_bins > 0 ? (double)rest_rows / (double)rest_bins : (double)n;
    int32_t n_edges = 0;
    int64_t in_bin = 0;
    for (int64_t i = 0; i + 1 < m && n_edges < max_bins - 1; i++) {
        bool is_big = (double)counts[i] >= big;
        bool next_big = (double)counts[i + 1] >= big;
        if (!is_big)
            rest_rows -= counts[i];
        in_bin += counts[i];
        if (is_big || (double)in_bin >= mean ||
            (next_big && (double)in_bin >= fmax(1.0, 0.5 * mean))) {
            edges[n_edges++] = midpoint(distinct[i], distinct[i + 1]);
            in_bin = 0;
            if (!is_big) {
                rest_bins--;
                mean = rest_bins > 0 ? (double)rest_rows / (double)rest_bins : (double)n;
            }
        }
    }
    return n_edges;
}

static int32_t edges_between(const float *distinct, const int64_t *counts, int64_t m, int64_t n,
                             int32_t max_bins, float *edges) {
    if (m > max_bins)
        return greedy_edges(distinct, counts, m, n, max_bins, edges);
    for (int64_t i = 0; i + 1 < m; i++)
        edges[i] = midpoint(distinct[i], distinct[i + 1]);
    return m > 0 ? (int32_t)(m - 1) : 0;
}

int32_t lathe_bin_edges(const float *sorted, int64_t n, int32_t max_bins, float *distinct,
                        int64_t *counts, float *edges) {
    int64_t m = count_distinct(sorted, n, distinct, counts);
    return edges_between(distinct, counts, m, n, max_bins, edges);
}

/* Which of the values seen so far this is; a new one is added, -1 where there is no room. */
static int find_value(float *distinct, int64_t *counts, int *m, float x) {
    for (int i = 0; i < *m; i++)
        if (distinct[i] == x)
            return i;
    if (*m == FEW)
        return -1;
    distinct[*m] = x + 0.0f; /* -0 → 0 */
    counts[*m] = 0;
    return (*m)++;
}

int32_t lathe_bin_edges_of_few(const float *values, int64_t n, int32_t max_bins, float *edges) {
    float distinct[FEW], last = 0;
    int64_t counts[FEW];
    int m = 0, at = n > 0 ? find_value(distinct, counts, &m, last = values[0]) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (values[i] != last) {
            last = values[i];
            at = find_value(distinct, counts, &m, last);
            if (at < 0)
                return -1;
        }
        counts[at]++;
    }
    for (int i = 1; i < m; i++) {
        float x = distinct[i];
        int64_t count = counts[i];
        int j = i;
        for (; j > 0 && distinct[j - 1] > x; j--) {
            distinct[j] = distinct[j - 1];
            counts[j] = counts[j - 1];
        }
        distinct[j] = x;
        counts[j] = count;
    }
    return edges_between(distinct, counts, m, n, max_bins, edges);
}

typedef struct code_count {
    int64_t count;
    int32_t code;
} code_count;

static int by_count(const void *pa, const void *pb) {
    const code_count *a = pa, *b = pb;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->code < b->code ? -1 : a->code > b->code;
}

int32_t lathe_bin_codes(const int64_t *counts, int32_t n_categories, int32_t limit,
                        int32_t *codes) {
    code_count *order = malloc((size_t)(n_categories > 0 ? n_categories : 1) * sizeof *order);
    if (order == NULL)
        return -1;
    int32_t m = 0;
    for (int32_t c = 0; c < n_categories; c++) {
        if (counts[c] > 0)
            order[m++] = (code_count){counts[c], c};
    }
    qsort(order, (size_t)m, sizeof *order, by_count);
    if (m > limit)
        m = limit;
    for (int32_t i = 0; i < m; i++)
        codes[i] = order[i].code;
    free(order);
    return m;
}

void lathe_bin_table(const float *edges, int32_t n_edges, float table[LATHE_BINS_TABLE]) {
    for (int32_t i = 0; i < LATHE_BINS_TABLE; i++)
        table[i] = i < n_edges ? edges[i] : INFINITY;
}

int32_t lathe_bin_of(const float *edges, int32_t n_edges, float x) {
    int32_t b = 0;
    while (b < n_edges && edges[b] < x)
        b++;
    return b;
}

/* How many of 16 edges are below x: compared four at a time, without a branch. Vectors of the
 * compiler, since neither gcc nor clang makes such code of a loop. */
#define BLOCK 16
_Static_assert(BLOCK *BLOCK == LATHE_BINS_TABLE, "two levels cover the table");

typedef float float4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t int4 __attribute__((vector_size(16)));

static inline uint32_t count_below(const float *edges, float x) {
    const float4 *e = (const float4 *)edges;
    float4 v = {x, x, x, x};
    int4 below = (e[0] < v) + (e[1] < v) + ((e[2] < v) + (e[3] < v)); /* -1 for true */
    return (uint32_t) - (below[0] + below[1] + (below[2] + below[3]));
}

/* Two levels: the last edge of each block tells the block, then its edges tell the bin. The last
 * block ends with +infinity, so there is always a block. NaN is never above an edge. */
void lathe_bin_encode(const float table[LATHE_BINS_TABLE], int32_t n_edges, int32_t missing_bin,
                      const float *values, int64_t stride, int64_t n, uint8_t *bins) {
    float ends[BLOCK];
    for (int b = 0; b < BLOCK; b++)
        ends[b] = table[b * BLOCK + BLOCK - 1];
    uint8_t missing = (uint8_t)(missing_bin >= 0 ? missing_bin : 0);
    bool one_block = n_edges < BLOCK;
    for (int64_t i = 0; i < n; i++) {
        float x = values[i * stride];
        uint32_t first = one_block ? 0 : BLOCK * count_below(ends, x);
        uint32_t bin = first + count_below(table + first, x);
        bins[i] = x != x ? missing : (uint8_t)bin;
    }
}

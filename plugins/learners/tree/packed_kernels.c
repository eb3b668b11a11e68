/* packed_kernels.c: the loops that gain from wider vectors, compiled once for each level of
 * processor. The source is the same, the operations are IEEE's and contraction is off: so are the
 * results.
 */
#include "packed.h"

#include <string.h>

enum {
    FEW = 3, /* cuts that are scored at once in double */
    NEAR =
        PACKED_NEAR /* scores that are looked at together; their number is rounded up to a multiple */
};

typedef int32_t int8_vector __attribute__((vector_size(32), aligned(4), may_alias));
typedef int64_t long4_vector __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))

/* ---- rounding at random ---------------------------------------------------------------------- */

/* The finaliser of MurmurHash3 (A. Appleby, 2011): every bit depends on every bit. */
INLINE uint32_t mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

INLINE int32_t round_down(float x) {
    int32_t i = (int32_t)x;
    return i - ((float)i > x);
}

INLINE int32_t within(int32_t x, int32_t least, int32_t most) {
    x = x < least ? least : x;
    return x > most ? most : x;
}

INLINE tree_entry round_one(const packed_rounding *r, uint32_t row, uint32_t id, float g, float h,
                            int is_short) {
    uint32_t u = mix(id * 0x9e3779b1u ^ r->seed);
    int32_t qg = round_down(g * r->g_scale + (float)(int32_t)(u >> 16) * 0x1p-16f);
    int32_t qh = round_down(h * r->h_scale + (float)(int32_t)(u & 0xffff) * 0x1p-16f);
    qg = within(qg, -r->g_most, r->g_most);
    qh = within(qh, 0, r->h_most);
    if (is_short)
        return row << 8 | ((uint32_t)qg & 15) << 4 | (uint32_t)qh;
    return (uint64_t)((uint32_t)qg << 16 | (uint32_t)qh) << 32 | row;
}

INLINE void round_rows(const packed_rounding *r, int64_t begin, int64_t n, void *out,
                       int is_short) {
    const float *g = r->gradient, *h = r->hessian;
    if (!r->rows && r->stride == 1 && h) { /* the usual case, in a form that becomes vectors */
        const int64_t *id = r->row_id;
        for (int64_t i = begin; i < begin + n; i++)
            packed_put(
                out, i - begin,
                round_one(r, (uint32_t)i, id ? (uint32_t)id[i] : (uint32_t)i, g[i], h[i], is_short),
                is_short);
        return;
    }
    for (int64_t i = begin; i < begin + n; i++) {
        int64_t row = r->rows ? r->rows[i] : i;
        uint32_t id = (uint32_t)(r->row_id ? r->row_id[row] : row);
        packed_put(out, i - begin,
                   round_one(r, (uint32_t)row, id, g[row * r->stride],
                             h ? h[row * r->stride] : 1.0f, is_short),
                   is_short);
    }
}

INLINE void weigh_rows(const packed_rounding *r, int64_t begin, int64_t n, tree_entry *out) {
    const float *target = r->gradient, *weight = r->hessian;
    for (int64_t i = begin; i < begin + n; i++) {
        int64_t row = r->rows ? r->rows[i] : i;
        uint32_t id = (uint32_t)(r->row_id ? r->row_id[row] : row);
        uint32_t u = mix(id * 0x9e3779b1u ^ r->seed);
        float w = weight[row];
        int32_t h = round_down(w * r->h_scale + (float)(int32_t)(u >> 16) * 0x1p-16f);
        h = within(h, w > 0, r->h_most);
        uint32_t g = target[row] > 0 ? (uint32_t)h : 0;
        out[i - begin] = (uint64_t)(g << 16 | (uint32_t)h) << 32 | (uint32_t)row;
    }
}

/* ---- the best cut ---------------------------------------------------------------------------- */

/* Few are greater than all before them, so the branch is foreseen. -1: none. */
INLINE double first_greatest(const double *score, int n, int *position) {
    double best = -1;
    int at = -1;
    for (int b = 0; b < n; b++)
        if (score[b] > best) {
            best = score[b];
            at = b;
        }
    *position = at;
    return best;
}

/* Score of a cut with these sums on the left; -1: not allowed. One division for both sides. */
INLINE double score_of(packed_node node, int gini, double gl, double hl, double cl) {
    double gr = node.g - gl, hr = node.h - hl, cr = node.count - cl, l2 = node.l2, score;
    if (gini) { /* as in scan.c */
        double d = gl * node.h - node.g * hl;
        score = d * d / (hl * hr);
    } else {
        double a = hl + l2, b = hr + l2;
        score = (gl * gl * b + gr * gr * a) / (a * b);
    }
    double least_c = cl < cr ? cl : cr, least_h = hl < hr ? hl : hr;
    int ok = (least_c >= node.min_rows) & (least_h >= node.min_hessian) & (least_h + l2 > 0);
    return ok ? score : -1;
}

INLINE double best_wide(const packed_node *node, const packed_sums *s, int n, int gini,
                        int *position) {
    double score[PACKED_BINS];
    packed_node all = *node;
    for (int b = 0; b < n; b++)
        score[b] = score_of(all, gini, s->g[b], s->h[b], s->count[b]);
    return first_greatest(score, n, position);
}

/* 2^52 + bits, for bits below 2^52: they are the mantissa. Vectors have no other way from 64 bits. */
INLINE double above_2_52(uint64_t bits) {
    double x;
    bits |= 0x4330000000000000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Score of the cut after these narrow cells. */
INLINE double score_narrow(packed_node all, uint64_t sum, int count_is_h, int gini) {
    double g = above_2_52(sum >> 40 ^ 0x800000u) - (0x1p52 + 0x1p23);
    double h = above_2_52(sum >> 16 & 0xffffffu) - 0x1p52;
    double count = count_is_h ? h : above_2_52(sum & 0xffffu) - 0x1p52;
    return score_of(all, gini, g, h, count);
}

INLINE double best_narrow(const packed_node *node, const uint64_t *sum, int n, int count_is_h,
                          int gini, int *position) {
    double score[PACKED_BINS];
    packed_node all = *node;
    for (int b = 0; b < n; b++)
        score[b] = score_narrow(all, sum[b], count_is_h, gini);
    return first_greatest(score, n, position);
}

/* What a side of a cut must have at least, as a whole number; h above 0 where nothing is added to it. */
INLINE int32_t whole_least(double least) {
    int32_t whole = least < 0x1p30 ? (int32_t)least : 1 << 30;
    return whole + ((double)whole < least);
}

/* The bits of the scores in float, which are in the order of the scores; -1: not allowed. The fields of narrow cells are
 * whole numbers below 2^24, which floats hold, on both sides of the cut; nothing cancels after that. So a score is within
 * 12 * 2^-24 of itself: two roundings with l2, three products, a sum, a product and a quotient of these. */
INLINE void score_roughly(const packed_node *node, const uint64_t *sum, int n, int32_t *bits) {
    int32_t g[PACKED_BINS], h[PACKED_BINS], count[PACKED_BINS];
    int32_t all_g = (int32_t)node->g, all_h = (int32_t)node->h, all_count = (int32_t)node->count;
    int32_t least_count = whole_least(node->min_rows), least_h = whole_least(node->min_hessian);
    float l2 = (float)node->l2;
    least_h = least_h < 1 && !(node->l2 > 0) ? 1 : least_h;
    for (int b = 0; b < n; b += NEAR)
        for (int l = b; l < b + NEAR; l++) {
            uint32_t high = (uint32_t)(sum[l] >> 32), low = (uint32_t)sum[l];
            g[l] = (int32_t)high >> 8;
            h[l] = (int32_t)((high << 16 | low >> 16) & 0xffffff);
            count[l] = (int32_t)(low & 0xffff);
        }
    for (int b = 0; b < n; b += NEAR)
        for (int l = b; l < b + NEAR; l++) {
            int32_t other_h = all_h - h[l], other_count = all_count - count[l];
            float gl = (float)g[l], gr = (float)(all_g - g[l]);
            float x = (float)h[l] + l2, y = (float)other_h + l2;
            float score = (gl * gl * y + gr * gr * x) / (x * y);
            int32_t few = count[l] < other_count ? count[l] : other_count, one;
            int32_t least = h[l] < other_h ? h[l] : other_h;
            memcpy(&one, &score, sizeof one);
            bits[l] = ((few >= least_count) & (least >= least_h)) ? one : -1;
        }
}

/* Is one of NEAR at least `low`? */
INLINE int any_near(const int32_t *bits, int32_t low) {
    int8_vector least = {low, low, low, low, low, low, low, low};
    const int8_vector *v = (const int8_vector *)(const void *)bits;
    long4_vector any = (long4_vector)((v[0] >= least) | (v[1] >= least));
    return ((any[0] | any[1]) | (any[2] | any[3])) != 0;
}

/* The bits of the scores that are not told apart from the greatest; -1: none is allowed. n is a multiple of NEAR. */
INLINE int32_t near_top(const int32_t *bits, int n) {
    int32_t tops[NEAR], top = -1, low;
    float near;
    for (int l = 0; l < NEAR; l++)
        tops[l] = -1;
    for (int b = 0; b < n; b += NEAR)
        for (int l = 0; l < NEAR; l++)
            tops[l] = bits[b + l] > tops[l] ? bits[b + l] : tops[l];
    for (int l = 0; l < NEAR; l++)
        top = tops[l] > top ? tops[l] : top;
    if (top < 0)
        return -1;
    memcpy(&near, &top, sizeof near);
    near *= 1.0f - 0x1p-18f; /* more than twice as far as a score is from itself */
    memcpy(&low, &near, sizeof low);
    return low;
}

/* The same as best_narrow, of sums of squares: twice as many scores at a time in float, and in double those alone that
 * come near the greatest. n is a multiple of NEAR. */
INLINE double best_squares(const packed_node *node, const uint64_t *sum, int n, int *position) {
    int32_t bits[PACKED_BINS];
    packed_node all = *node;
    double best = -1;
    score_roughly(node, sum, n, bits);
    int32_t low = near_top(bits, n);
    *position = -1;
    for (int b = 0; b < n && low >= 0; b += NEAR) {
        if (!any_near(bits + b, low))
            continue;
        for (int i = b; i < b + NEAR; i++) {
            if (bits[i] < low || (i > 0 && sum[i] == sum[i - 1])) /* the first of equal ones */
                continue;
            double score = score_narrow(all, sum[i], 0, 0);
            if (score > best) {
                best = score;
                *position = i;
            }
        }
    }
    return best;
}

INLINE int find_near(const packed_node *node, const int64_t *left, int n, uint8_t *found) {
    int32_t bits[PACKED_BINS];
    int count = 0;
    score_roughly(node, (const uint64_t *)left, n, bits);
    int32_t low = near_top(bits, n);
    for (int i = 0; i < n && low >= 0; i++) {
        found[count] = (uint8_t)i;
        count += bits[i] >= low;
    }
    return count;
}

/* Running sums of n cells, up to the next multiple of NEAR with 0, which has no rows. Returns that multiple. */
INLINE int run_narrow(const uint64_t *cells, int n, uint64_t v, uint64_t *sum) {
    int b = 0;
    for (; b + 4 <= n; b += 4) { /* two additions wait for each other, not four */
        uint64_t low = cells[b] + cells[b + 1], high = cells[b + 2] + cells[b + 3];
        sum[b] = v + cells[b];
        sum[b + 1] = v + low;
        sum[b + 2] = v + low + cells[b + 2];
        v = v + low + high;
        sum[b + 3] = v;
    }
    for (; b < n; b++) {
        v += cells[b];
        sum[b] = v;
    }
    for (; b % NEAR != 0; b++)
        sum[b] = 0;
    return b;
}

/* Empty cells at the ends are left out: with them cuts have no rows on one side, or are equal to one before them. */
INLINE double best_cut(const packed_node *node, const int64_t *cells, int n, int64_t first,
                       int count_is_h, int gini, int *position, int64_t *left) {
    uint64_t sum[PACKED_BINS];
    int from = 0;
    while (first == 0 && from < n && cells[from] == 0)
        from++;
    while (n > from && cells[n - 1] == 0)
        n--;
    n = n == from && first != 0 ? 1 : n - from;
    int m = run_narrow((const uint64_t *)cells + from, n, (uint64_t)first, sum);
    double best = !gini && n > FEW && node->l2 < PACKED_ROUGH_L2
                      ? best_squares(node, sum, m, position)
                      : best_narrow(node, sum, n, count_is_h, gini, position);
    if (best >= 0) {
        *left = (int64_t)sum[*position];
        *position += from;
    }
    return best;
}

/* 64 bits: g signed above 32 bits of h. */
INLINE double best_tight(const packed_node *node, const void *cells, int is_wide, int n,
                         int64_t first, int *position, int64_t *left) {
    uint64_t sum[PACKED_BINS], v = (uint64_t)first;
    double score[PACKED_BINS];
    packed_node all = *node;
    for (int b = 0; b < n; b++) {
        v += is_wide ? ((const uint64_t *)cells)[b]
                     : (uint64_t)packed_loosen(((const uint32_t *)cells)[b]);
        sum[b] = v;
    }
    for (int b = 0; b < n; b++) {
        double g = above_2_52(sum[b] >> 32 ^ 0x80000000u) - (0x1p52 + 0x1p31);
        double h = above_2_52(sum[b] & 0xffffffffu) - 0x1p52;
        score[b] = score_of(all, 0, g, h, h * all.rows_per_h);
    }
    double best = first_greatest(score, n, position);
    if (best >= 0)
        *left = (int64_t)sum[*position];
    return best;
}

INLINE double best_of_counts(const uint32_t *sums, int n, uint32_t all, int32_t least,
                             int *position) {
    double score[PACKED_BINS];
    double G = (double)(int32_t)(all >> 16), H = (double)(int32_t)(all & 0xffff);
    int32_t most = (int32_t)(all & 0xffff) - least;
    for (int i = 0; i < n; i++) {
        int32_t h = (int32_t)(sums[i] & 0xffff), g = (int32_t)(sums[i] >> 16);
        double hl = (double)h, d = (double)g * H - G * hl, q = d * d / (hl * (H - hl));
        score[i] = ((h >= least) & (h <= most)) ? q : -1;
    }
    return first_greatest(score, n, position);
}

/* ---- joined columns -------------------------------------------------------------------------- */

#define COLLAPSE(name, word)                                                                       \
    INLINE void name(word *restrict cells, int weight, int n, word *restrict sums) {               \
        for (int d = 0; d < n; d++) {                                                              \
            const word *row = cells + d * weight;                                                  \
            word sum = 0;                                                                          \
            for (int i = 0; i < weight; i++)                                                       \
                sum += row[i];                                                                     \
            sums[d] = sum;                                                                         \
        }                                                                                          \
        for (int d = 1; d < n; d++)                                                                \
            for (int i = 0; i < weight; i++)                                                       \
                cells[i] += cells[d * weight + i];                                                 \
    }

COLLAPSE(collapse_wide, uint64_t)
COLLAPSE(collapse_tight, uint32_t)

/* ---- one set a level ------------------------------------------------------------------------- */

#define KERNELS(level, attribute)                                                                  \
    attribute static void round_##level(const packed_rounding *r, int64_t begin, int64_t n,        \
                                        void *out, int is_short) {                                 \
        if (is_short)                                                                              \
            round_rows(r, begin, n, out, 1);                                                       \
        else                                                                                       \
            round_rows(r, begin, n, out, 0);                                                       \
    }                                                                                              \
    attribute static void weigh_##level(const packed_rounding *r, int64_t begin, int64_t n,        \
                                        tree_entry *out) {                                         \
        weigh_rows(r, begin, n, out);                                                              \
    }                                                                                              \
    attribute static double wide_##level(const packed_node *node, const packed_sums *sums, int n,  \
                                         int *position) {                                          \
        return node->gini ? best_wide(node, sums, n, 1, position)                                  \
                          : best_wide(node, sums, n, 0, position);                                 \
    }                                                                                              \
    attribute static double narrow_##level(const packed_node *node, const int64_t *cells, int n,   \
                                           int64_t first, int count_is_h, int *position,           \
                                           int64_t *left) {                                        \
        if (count_is_h)                                                                            \
            return best_cut(node, cells, n, first, 1, 1, position, left);                          \
        return node->gini ? best_cut(node, cells, n, first, 0, 1, position, left)                  \
                          : best_cut(node, cells, n, first, 0, 0, position, left);                 \
    }                                                                                              \
    attribute static double tight_##level(const packed_node *node, const void *cells, int is_wide, \
                                          int n, int64_t first, int *position, int64_t *left) {    \
        return is_wide ? best_tight(node, cells, 1, n, first, position, left)                      \
                       : best_tight(node, cells, 0, n, first, position, left);                     \
    }                                                                                              \
    attribute static double counts_##level(const uint32_t *sums, int n, uint32_t all,              \
                                           int32_t least, int *position) {                         \
        return best_of_counts(sums, n, all, least, position);                                      \
    }                                                                                              \
    attribute static int near_##level(const packed_node *node, const int64_t *left, int n,         \
                                      uint8_t *found) {                                            \
        return find_near(node, left, n, found);                                                    \
    }                                                                                              \
    attribute static void collapse_##level(int64_t *cells, int weight, int n, int is_tight,        \
                                           int64_t *sums) {                                        \
        if (is_tight)                                                                              \
            collapse_tight((uint32_t *)(void *)cells, weight, n, (uint32_t *)(void *)sums);        \
        else                                                                                       \
            collapse_wide((uint64_t *)cells, weight, n, (uint64_t *)sums);                         \
    }                                                                                              \
    static const packed_kernels kernels_##level = {                                                \
        round_##level, weigh_##level,  wide_##level, narrow_##level,                               \
        tight_##level, counts_##level, near_##level, collapse_##level}

KERNELS(plain, );

#if defined(__x86_64__)
KERNELS(avx2, __attribute__((target("avx2"))));
KERNELS(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))));
#endif

const packed_kernels *packed_kernels_choose(const lathe_host *host) {
#if defined(__x86_64__)
    const lathe_cpu *cpu = host->get(host, LATHE_HOST_CPU);
    uint32_t level = cpu ? cpu->level : 0;
    if (level & LATHE_CPU_AVX512)
        return &kernels_avx512;
    if (level & LATHE_CPU_AVX2_FMA)
        return &kernels_avx2;
#endif
    (void)host;
    return &kernels_plain;
}

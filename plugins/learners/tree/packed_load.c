/* packed_load.c: rows into packed entries, and the values of leaves.
 *
 * Levels. With m = the least of the rows and 65535, a gradient is rounded to one of 2 q + 1 levels,
 * q = (2^23 - 1) / m but at most 2^15 - 1, of max|g| / q each, and a hessian to (2^24 - 1) / m
 * levels: 128 and 256 for many rows, more for few. x is rounded to floor(x + u), u uniform in [0, 1)
 * by the row's number in the source and the fit's key: its expectation is x. Only the search for
 * splits sees the rounded sums; the values of leaves come from sums of the gradients themselves, in
 * fixed point as in rows.c.
 */
#include "packed.h"

#include <math.h>
#include <string.h>

enum { AUTO_ROWS = 4096, ROWS_PER_CHUNK = 16384, MAX_CHUNKS = 4096, LARGEST_COUNT = 255 };

static int suits_counts(const tree_context *c, const lathe_fit *fit) {
    for (int64_t r = 0; fit->counts && r < c->n_rows; r++)
        if (fit->counts[r] > LARGEST_COUNT)
            return 0;
    return 1;
}

int packed_suits(const tree_context *c, const lathe_fit *fit, const float *weight) {
    int64_t n = fit->rows ? fit->n_rows_used : c->n_rows;
    if (c->config->sums == TREE_SUMS_EXACT || n < 1 || n > c->n_rows || c->n_rows > 1 << 30 ||
        (fit->rows && fit->counts))
        return 0;
    if (c->mode == TREE_MODE_BINARY)
        return !weight && !c->entropy && suits_counts(c, fit);
    if (c->mode != TREE_MODE_VARIANCE || !c->is_gradient || fit->counts)
        return 0;
    return n >= AUTO_ROWS || c->config->sums == TREE_SUMS_PACKED;
}

typedef struct load {
    tree_context *c;
    const lathe_fit *fit;
    packed_rounding rounding;
    int64_t n;
    uint32_t *g_top; /* [chunks] greatest bits of |g| */
    uint32_t *h_top; /* of h: a sign is greater than any number */
    int64_t *g_sum;
    int64_t *h_sum;
    int32_t bad_row;
} load;

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static int32_t top_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    load *l = user;
    const float *g = l->fit->gradient, *h = l->fit->hessian;
    const int32_t *rows = l->fit->rows;
    int64_t stride = l->fit->gradient_stride;
    uint32_t g_top = 0, h_top = 0;
    if (!rows && stride == 1 && h) {
        for (int64_t i = begin; i < end; i++) {
            uint32_t a = bits_of(g[i]) & 0x7fffffffu, b = bits_of(h[i]);
            g_top = a > g_top ? a : g_top;
            h_top = b > h_top ? b : h_top;
        }
    } else {
        for (int64_t i = begin; i < end; i++) {
            int64_t r = rows ? rows[i] : i;
            if (r < 0 || r >= l->c->n_rows) {
                g_top = UINT32_MAX; /* the exact way will say what is wrong */
                break;
            }
            uint32_t a = bits_of(g[r * stride]) & 0x7fffffffu;
            uint32_t b = bits_of(h ? h[r * stride] : 1.0f);
            g_top = a > g_top ? a : g_top;
            h_top = b > h_top ? b : h_top;
        }
    }
    l->g_top[begin / ROWS_PER_CHUNK] = g_top;
    l->h_top[begin / ROWS_PER_CHUNK] = h_top;
    return LATHE_OK;
}

static int32_t round_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    load *l = user;
    tree_entry *e = l->c->entry + begin;
    l->c->kernels->round(&l->rounding, begin, end - begin, e);
    int64_t g = 0, h = 0;
    for (int64_t i = 0; i < end - begin; i++) {
        g += (int64_t)e[i] >> 48;
        h += (int64_t)(e[i] >> 32 & 0xffff);
    }
    l->g_sum[begin / ROWS_PER_CHUNK] = g;
    l->h_sum[begin / ROWS_PER_CHUNK] = h;
    return LATHE_OK;
}

static int bits_for(int64_t n) {
    int bits = 1;
    while (bits < 40 && n >> bits)
        bits++;
    return bits;
}

static double power_of(double max, int bits) {
    int e = 0;
    frexp(max, &e);
    return max > 0 ? ldexp(1.0, bits - e) : 1.0;
}

/* Units and scales from the greatest values; 0: not for packing. */
static int set_levels(load *l, int64_t n_chunks) {
    tree_context *c = l->c;
    uint32_t g_top = 0, h_top = 0;
    for (int64_t i = 0; i < n_chunks; i++) {
        g_top = l->g_top[i] > g_top ? l->g_top[i] : g_top;
        h_top = l->h_top[i] > h_top ? l->h_top[i] : h_top;
    }
    if (g_top >= 0x7f800000u || h_top >= 0x7f800000u) /* not finite, or below 0 */
        return 0;
    float g_max, h_max;
    memcpy(&g_max, &g_top, sizeof g_max);
    memcpy(&h_max, &h_top, sizeof h_max);
    int64_t m = l->n < PACKED_MAX_COUNT ? l->n : PACKED_MAX_COUNT;
    int64_t g_most = ((1 << 23) - 1) / m, h_most = ((1 << 24) - 1) / m;
    g_most = g_most < 32767 ? g_most : 32767;
    h_most = h_most < 65535 ? h_most : 65535;
    c->count_bits = bits_for(l->n);
    while (h_most * l->n >= (int64_t)1 << (62 - c->count_bits))
        h_most /= 2;
    double g_scale = g_max > 0 ? (double)g_most / g_max : 1.0;
    double h_scale = h_max > 0 ? (double)h_most / h_max : 1.0;
    if (!(g_scale < 1e30) || !(h_scale < 1e30) || h_most < 1) /* all but 0: exactly, then */
        return 0;
    c->g_unit = 1.0 / g_scale;
    c->h_unit = 1.0 / h_scale;
    l->rounding.g_scale = (float)g_scale;
    l->rounding.h_scale = (float)h_scale;
    l->rounding.g_most = (int32_t)g_most;
    l->rounding.h_most = (int32_t)h_most;
    int exact = 62 - c->count_bits < 46 ? 62 - c->count_bits : 46;
    c->g_scale = power_of(g_max, exact);
    c->h_scale = power_of(h_max, exact);
    return 1;
}

static int32_t load_gradients(load *l, lathe_error *err) {
    tree_context *c = l->c;
    const lathe_host *host = c->host;
    int64_t chunks = (l->n + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK;
    int64_t *sums = host->alloc(host, (uint64_t)chunks * 24);
    if (!sums)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    l->g_sum = sums;
    l->h_sum = sums + chunks;
    l->g_top = (uint32_t *)(void *)(sums + 2 * chunks);
    l->h_top = l->g_top + chunks;
    int32_t rc = host->parallel_for(host, l->n, ROWS_PER_CHUNK, top_chunk, l);
    c->packed = rc == LATHE_OK && set_levels(l, chunks);
    if (c->packed) {
        uint64_t key = c->host->random_key(host, c->key, 0x726f756e64);
        l->rounding.seed = (uint32_t)(key ^ key >> 32);
        rc = host->parallel_for(host, l->n, ROWS_PER_CHUNK, round_chunk, l);
        c->root_sum = (tree_cell){0, l->n};
        for (int64_t i = 0; i < chunks; i++) {
            c->root_sum.g += l->g_sum[i];
            c->root_sum.hc += l->h_sum[i] << c->count_bits;
        }
    }
    host->free(host, sums);
    c->n_used = l->n;
    c->block_rows = PACKED_MAX_COUNT;
    return rc == LATHE_OK ? rc : tree_fail(err, rc, "tree", "loading the rows was stopped");
}

/* Two classes, unweighted: counts. */
static int32_t load_counts(load *l, const float *target, lathe_error *err) {
    tree_context *c = l->c;
    const lathe_fit *fit = l->fit;
    int64_t used = 0, most = 1;
    tree_cell sum = {0, 0};
    for (int64_t i = 0; i < l->n; i++) {
        int64_t r = fit->rows ? fit->rows[i] : i, n = fit->counts ? fit->counts[r] : 1;
        if (r < 0 || r >= c->n_rows || (n > 0 && target[r] != 0 && target[r] != 1)) {
            c->packed = 0; /* the exact way will say what is wrong */
            return LATHE_OK;
        }
        int64_t g = target[r] > 0 ? n : 0;
        c->entry[used] = (uint64_t)g << 48 | (uint64_t)n << 32 | (uint64_t)r;
        used += n > 0;
        most = n > most ? n : most;
        sum.g += g;
        sum.hc += n;
    }
    if (used == 0)
        return tree_fail(err, LATHE_E_DATA, "tree",
                         "there is no row to fit: every row has weight 0 or is out of the bag");
    c->count_bits = bits_for(sum.hc);
    c->root_sum = (tree_cell){sum.g, (sum.hc << c->count_bits) + sum.hc};
    c->n_used = used;
    c->count_is_h = 1;
    c->block_rows = (int32_t)(PACKED_MAX_COUNT / most);
    c->g_unit = c->h_unit = 1;
    return LATHE_OK;
}

int32_t packed_load(tree_context *c, const lathe_fit *fit, const float *target, lathe_error *err) {
    load l = {.c = c, .fit = fit, .n = fit->rows ? fit->n_rows_used : c->n_rows};
    int32_t rc = tree_context_packed(c, err);
    if (rc != LATHE_OK)
        return rc;
    c->packed = 1;
    c->count_is_h = 0;
    c->centre = 0;
    c->gradient = fit->gradient;
    c->hessian = fit->hessian;
    c->gradient_stride = fit->gradient_stride;
    if (c->mode == TREE_MODE_BINARY)
        return load_counts(&l, target, err);
    l.rounding.gradient = fit->gradient;
    l.rounding.hessian = fit->hessian;
    l.rounding.stride = fit->gradient_stride;
    l.rounding.rows = fit->rows;
    l.rounding.row_id = c->datasets->row_id(c->data);
    return load_gradients(&l, err);
}

/* ---- values of leaves ------------------------------------------------------------------------ */

typedef struct leaves {
    tree_context *c;
    const lathe_fit *fit;
    int64_t *item; /* [n_leaves] */
    float *value;
} leaves;

static int32_t value_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const leaves *l = user;
    const tree_context *c = l->c;
    for (int64_t k = begin; k < end; k++) {
        const tree_item *item = &c->item[l->item[k]];
        const tree_entry *e = c->entry;
        int64_t g = 0, h = 0, stride = c->gradient_stride;
        for (int64_t i = item->begin; i < item->end; i++) {
            int64_t at = packed_row(e[i]) * stride;
            g += llrint((double)c->gradient[at] * c->g_scale);
            h += llrint((c->hessian ? (double)c->hessian[at] : 1.0) * c->h_scale);
        }
        double G = (double)g / c->g_scale, H = (double)h / c->h_scale + c->l2;
        l->value[k] = H > 0 ? (float)(0.0 - G / H) : 0.0f; /* never -0 */
        if (l->fit->fitted && c->n_used == c->n_rows)
            for (int64_t i = item->begin; i < item->end; i++)
                l->fit->fitted[packed_row(e[i]) * l->fit->fitted_stride] = l->value[k];
    }
    return LATHE_OK;
}

int32_t packed_leaf_values(tree_context *c, float *value, const lathe_fit *fit, lathe_error *err) {
    leaves l = {c, fit, NULL, value};
    int64_t n = 0;
    l.item = c->host->alloc(c->host, (uint64_t)(c->n_nodes + 1) * sizeof *l.item);
    if (!l.item)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    for (int64_t i = 0; i < c->n_items; i++)
        if (c->item[i].leaf >= 0)
            l.item[n++] = i;
    int64_t rows = c->n_used / n + 1, grain = 1 + ROWS_PER_CHUNK / rows;
    int32_t rc = c->host->parallel_for(c->host, n, grain, value_chunk, &l);
    c->host->free(c->host, l.item);
    return rc == LATHE_OK ? rc : tree_fail(err, rc, "tree", "the fit was stopped");
}

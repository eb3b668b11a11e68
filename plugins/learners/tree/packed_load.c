/* packed_load.c: rows into packed entries.
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

enum {
    AUTO_ROWS = 4096,
    ROWS_PER_CHUNK = 4096, /* at least */
    CACHED_ROWS = 1 << 16, /* each thread meets the same ones again, in its cache */
    LARGEST_COUNT = 255,
    WEIGHT_ROWS =
        16384 /* of a block: fewer, so that weights, which differ more, have more levels */
};

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
    int large = n >= AUTO_ROWS || c->config->sums == TREE_SUMS_PACKED;
    if (c->mode == TREE_MODE_BINARY)
        return !c->entropy && (weight ? !fit->counts && large : suits_counts(c, fit));
    if (c->mode != TREE_MODE_VARIANCE || !c->is_gradient || fit->counts)
        return 0;
    return large;
}

typedef struct load {
    tree_context *c;
    const lathe_fit *fit;
    packed_rounding rounding;
    int64_t n;
    int64_t grain;
    uint32_t *g_top; /* [chunks] greatest bits of |g| */
    uint32_t *h_top; /* of h: a sign is greater than any number */
    int64_t *g_sum;
    int64_t *h_sum;
    const float *g, *h; /* what is rounded: gradients and hessians, or targets and weights */
    int64_t stride;
} load;

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static int32_t top_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    load *l = user;
    const float *g = l->g, *h = l->h;
    const int32_t *rows = l->fit->rows;
    int64_t stride = l->stride;
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
    l->g_top[begin / l->grain] = g_top;
    l->h_top[begin / l->grain] = h_top;
    return LATHE_OK;
}

static int32_t round_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    load *l = user;
    int is_short = l->c->is_short;
    void *e = packed_at(l->c->entry, begin, is_short);
    if (l->c->is_gradient)
        l->c->kernels->round(&l->rounding, begin, end - begin, e, is_short);
    else
        l->c->kernels->weigh(&l->rounding, begin, end - begin, e);
    int64_t g = 0, h = 0;
    for (int64_t i = 0; i < end - begin; i++) {
        tree_entry one = packed_get(e, i, is_short);
        g += packed_entry_g(one, is_short);
        h += packed_entry_h(one, is_short);
    }
    l->g_sum[begin / l->grain] = g;
    l->h_sum[begin / l->grain] = h;
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
    c->narrow_count = c->is_gradient ? PACKED_MAX_COUNT : WEIGHT_ROWS;
    int64_t m = l->n < c->narrow_count ? l->n : c->narrow_count;
    int64_t g_most = ((1 << 23) - 1) / m, h_most = ((1 << 24) - 1) / m;
    g_most = g_most < 32767 ? g_most : 32767;
    h_most = h_most < 65535 ? h_most : 65535;
    int64_t levels = c->config->gradient_levels;
    if (c->is_gradient && levels != LATHE_INT_NULL) {
        g_most = levels / 2 < g_most ? levels / 2 : g_most;
        h_most = levels < h_most ? levels : h_most;
    }
    if (!c->is_gradient) /* a weight stands in both fields */
        h_most = g_most;
    int64_t g_room = 32767 / (g_most > 0 ? g_most : 1), h_room = 65535 / (h_most > 0 ? h_most : 1);
    c->tight_count = (int32_t)(g_room < h_room ? g_room : h_room);
    c->count_bits = bits_for(l->n);
    while (h_most * l->n >= (int64_t)1 << (62 - c->count_bits))
        h_most /= 2;
    double g_scale = g_max > 0 ? (double)g_most / g_max : 1.0;
    double h_scale = h_max > 0 ? (double)h_most / h_max : 1.0;
    if (!(g_scale < 1e30) || !(h_scale < 1e30) || h_most < 1) /* all but 0: exactly, then */
        return 0;
    c->g_unit = 1.0 / g_scale;
    c->h_unit = 1.0 / h_scale;
    if (!c->is_gradient)
        c->g_unit = c->h_unit;
    l->rounding.g_scale = (float)g_scale;
    l->rounding.h_scale = (float)h_scale;
    l->rounding.g_most = (int32_t)g_most;
    l->rounding.h_most = (int32_t)h_most;
    c->h_most = h_most;
    int exact = 62 - c->count_bits < 46 ? 62 - c->count_bits : 46;
    c->g_scale = power_of(g_max, exact);
    c->h_scale = power_of(h_max, exact);
    return 1;
}

static int32_t no_rows(lathe_error *err) {
    return tree_fail(err, LATHE_E_DATA, "tree",
                     "there is no row to fit: every row has weight 0 or is out of the bag");
}

/* Drops the rows of weight 0. */
static void drop_absent(tree_context *c) {
    tree_entry *entry = c->entry;
    int64_t used = 0;
    for (int64_t i = 0; i < c->n_used; i++) {
        entry[used] = entry[i];
        used += packed_entry_h(entry[i], 0) != 0;
    }
    c->root_sum.hc -= c->n_used - used;
    c->n_used = used;
}

static int are_classes(const load *l) {
    int bad = 0;
    for (int64_t i = 0; i < l->n; i++) {
        float y = l->g[l->fit->rows ? l->fit->rows[i] : i];
        bad |= (y != 0) & (y != 1);
    }
    return !bad;
}

static int32_t load_rounded(load *l, lathe_error *err) {
    tree_context *c = l->c;
    const lathe_host *host = c->host;
    l->grain = tree_even_grain(l->n, ROWS_PER_CHUNK, c->n_workers, l->n <= CACHED_ROWS ? 1 : 16);
    int64_t chunks = (l->n + l->grain - 1) / l->grain;
    int64_t *sums = host->alloc(host, (uint64_t)chunks * 24);
    if (!sums)
        return tree_fail(err, LATHE_E_MEMORY, "tree", "out of memory");
    l->g_sum = sums;
    l->h_sum = sums + chunks;
    l->g_top = (uint32_t *)(void *)(sums + 2 * chunks);
    l->h_top = l->g_top + chunks;
    int32_t rc = host->parallel_for(host, l->n, l->grain, top_chunk, l);
    c->packed = rc == LATHE_OK && set_levels(l, chunks) && (c->is_gradient || are_classes(l));
    if (c->packed) {
        uint64_t key = c->host->random_key(host, c->key, 0x726f756e64);
        l->rounding.seed = (uint32_t)(key ^ key >> 32);
        rc = host->parallel_for(host, l->n, l->grain, round_chunk, l);
        c->root_sum = (tree_cell){0, l->n};
        for (int64_t i = 0; i < chunks; i++) {
            c->root_sum.g += l->g_sum[i];
            c->root_sum.hc += l->h_sum[i] << c->count_bits;
        }
    }
    host->free(host, sums);
    c->n_used = l->n;
    c->block_rows = c->narrow_count;
    if (c->packed && !c->is_gradient)
        drop_absent(c);
    if (rc == LATHE_OK && c->n_used == 0)
        return no_rows(err);
    return rc == LATHE_OK ? rc : tree_fail(err, rc, "tree", "loading the rows was stopped");
}

/* Two classes, unweighted: counts. */
static int32_t load_counts(load *l, const float *target, lathe_error *err) {
    tree_context *c = l->c;
    const lathe_fit *fit = l->fit;
    tree_entry *entry = c->entry;
    int64_t used = 0, most = 1;
    tree_cell sum = {0, 0};
    for (int64_t i = 0; i < l->n; i++) {
        int64_t r = fit->rows ? fit->rows[i] : i, n = fit->counts ? fit->counts[r] : 1;
        if (r < 0 || r >= c->n_rows || (n > 0 && target[r] != 0 && target[r] != 1)) {
            c->packed = 0; /* the exact way will say what is wrong */
            return LATHE_OK;
        }
        int64_t g = target[r] > 0 ? n : 0;
        entry[used] = (uint64_t)g << 48 | (uint64_t)n << 32 | (uint64_t)r;
        used += n > 0;
        most = n > most ? n : most;
        sum.g += g;
        sum.hc += n;
    }
    if (used == 0)
        return no_rows(err);
    c->count_bits = bits_for(sum.hc);
    c->root_sum = (tree_cell){sum.g, (sum.hc << c->count_bits) + sum.hc};
    c->n_used = used;
    c->count_is_h = 1;
    c->narrow_count = PACKED_MAX_COUNT;
    c->block_rows = (int32_t)(PACKED_MAX_COUNT / most);
    c->g_unit = c->h_unit = 1;
    return LATHE_OK;
}

int32_t packed_load(tree_context *c, const lathe_fit *fit, const float *target, const float *weight,
                    lathe_error *err) {
    load l = {.c = c, .fit = fit, .n = fit->rows ? fit->n_rows_used : c->n_rows};
    int64_t levels = c->config->gradient_levels;
    c->is_short = c->is_gradient && levels != LATHE_INT_NULL && levels <= PACKED_SHORT_LEVELS &&
                  c->n_rows <= PACKED_SHORT_ROWS;
    int32_t rc = tree_context_packed(c, err);
    if (rc != LATHE_OK)
        return rc;
    c->packed = 1;
    c->count_is_h = 0;
    c->centre = 0;
    if (c->mode == TREE_MODE_BINARY && !weight)
        return load_counts(&l, target, err);
    l.g = c->gradient = c->is_gradient ? fit->gradient : target;
    l.h = c->hessian = c->is_gradient ? fit->hessian : weight;
    l.stride = c->gradient_stride = c->is_gradient ? fit->gradient_stride : 1;
    l.rounding.gradient = l.g;
    l.rounding.hessian = l.h;
    l.rounding.stride = l.stride;
    l.rounding.rows = fit->rows;
    l.rounding.row_id = c->datasets->row_id(c->data);
    return load_rounded(&l, err);
}

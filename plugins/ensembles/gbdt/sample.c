/* sample.c: which rows and features a round sees.
 *
 * Rows uniformly (J. H. Friedman, "Stochastic gradient boosting", 2002): each with probability row_share. Or by
 * gradient (G. Ke et al., "LightGBM", 2017, algorithm 2, one-side sampling): the top_share of the rows with the largest
 * |g| (for k classes the sum of theirs) are all kept, and of the others so many as other_share of all rows are; these
 * stand for those left out too, so their g and h are divided by the probability of being taken, and every sum keeps its
 * expectation. Of rows with the same |g| at the border as many as fit are chosen at random.
 *
 * What happens to a row follows from its gradient, the border and a random number of its own (by its number in the
 * source): so the sample does not depend on the threads. The border is found by counting the digits of the floats'
 * bits, from the highest on.
 */
#include "gbdt.h"

enum { SAMPLE_GRAIN = 4096, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, LEVELS = 3 };

typedef struct sampling {
    gbdt_run *r;
    uint64_t key;
    int64_t *taken; /* [chunks] rows that each took, at the front of its part of r->rows */
    /* uniformly */
    double share;
    /* by gradient: those above `border` are kept, of those at it the share `at_border`, of the rest `share` with
     * `factor` */
    int by_gradient;
    uint32_t border;
    double at_border;
    float factor;
    /* the digit that is counted: of rows whose bits under `mask` are `prefix` */
    uint32_t mask, prefix;
    int shift;
    int64_t *counts; /* [DIGITS] */
} sampling;

static int32_t row_at(const gbdt_run *r, int64_t i) {
    return r->used ? r->used[i] : (int32_t)i;
}

/* |g| of a row as bits, which order as the numbers do. */
static uint32_t size_bits(const gbdt_run *r, int64_t row) {
    float size = 0;
    uint32_t bits;
    for (int64_t j = 0; j < r->k; j++)
        size += fabsf(r->gradient[j * r->train.n + row]);
    memcpy(&bits, &size, sizeof bits);
    return bits;
}

/* ---- the border ------------------------------------------------------------------------------ */

static int32_t count_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const sampling *s = user;
    int32_t counts[DIGITS] = {0};
    for (int64_t i = begin; i < end; i++) {
        uint32_t bits = size_bits(s->r, row_at(s->r, i));
        if ((bits & s->mask) == s->prefix)
            counts[bits >> s->shift & (DIGITS - 1)]++;
    }
    for (int d = 0; d < DIGITS; d++)
        if (counts[d] > 0)
            __atomic_fetch_add(&s->counts[d], counts[d], __ATOMIC_RELAXED);
    return LATHE_OK;
}

/* The border below which all but the `wanted` largest lie, and how many at it are wanted. */
static int32_t find_border(sampling *s, int64_t wanted) {
    static const int shifts[LEVELS] = {21, 10, 0};
    const lathe_host *host = s->r->g->host;
    s->mask = s->prefix = 0;
    for (int level = 0; level < LEVELS; level++) {
        memset(s->counts, 0, DIGITS * sizeof *s->counts);
        s->shift = shifts[level];
        int32_t rc = host->parallel_for(host, s->r->n_used, SAMPLE_GRAIN, count_chunk, s);
        if (rc != LATHE_OK)
            return rc;
        /* the last digit has a bit in common with the one before, which all rows share by then */
        int d = DIGITS - 1;
        for (; d > 0 && s->counts[d] < wanted; d--)
            wanted -= s->counts[d];
        s->prefix |= (uint32_t)d << s->shift;
        s->mask |= (uint32_t)(DIGITS - 1) << s->shift;
        s->at_border = s->counts[d] > 0 ? (double)wanted / (double)s->counts[d] : 1;
    }
    s->border = s->prefix;
    return LATHE_OK;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static void random_of_rows(const sampling *s, int64_t begin, int64_t n, uint64_t *random) {
    const gbdt_run *r = s->r;
    const int64_t *id = r->g->members.datasets->row_id(r->c->data);
    int64_t ids[SAMPLE_GRAIN];
    for (int64_t i = 0; i < n; i++) {
        int32_t row = row_at(r, begin + i);
        ids[i] = id ? id[row] : row;
    }
    members_random_rows(r->g->host, s->key, ids, n, random);
}

/* Is the row taken? What a taken one's gradients are multiplied with. */
static int takes(const sampling *s, int32_t row, double u, float *factor) {
    *factor = 1;
    if (!s->by_gradient)
        return u < s->share;
    uint32_t bits = size_bits(s->r, row);
    if (bits > s->border)
        return 1;
    if (bits == s->border) {
        if (u < s->at_border)
            return 1;
        u = (u - s->at_border) / (1 - s->at_border);
    }
    *factor = s->factor;
    return u < s->share;
}

static int32_t take_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    const sampling *s = user;
    gbdt_run *r = s->r;
    uint64_t random[SAMPLE_GRAIN];
    int64_t n = 0;
    random_of_rows(s, begin, end - begin, random);
    for (int64_t i = begin; i < end; i++) {
        int32_t row = row_at(r, i);
        float factor;
        if (!takes(s, row, (double)(random[i - begin] >> 11) * 0x1p-53, &factor))
            continue;
        r->rows[begin + n++] = row;
        for (int64_t j = 0; factor != 1 && j < r->k; j++) {
            r->gradient[j * r->train.n + row] *= factor;
            r->hessian[j * r->train.n + row] *= factor;
        }
    }
    s->taken[begin / SAMPLE_GRAIN] = n;
    return LATHE_OK;
}

static int32_t take_rows(sampling *s) {
    gbdt_run *r = s->r;
    const lathe_host *host = r->g->host;
    int64_t chunks = (r->n_used + SAMPLE_GRAIN - 1) / SAMPLE_GRAIN;
    s->taken = members_alloc(host, chunks, sizeof *s->taken);
    if (!s->taken)
        return LATHE_E_MEMORY;
    int32_t rc = host->parallel_for(host, r->n_used, SAMPLE_GRAIN, take_chunk, s);
    r->n_rows = 0;
    for (int64_t k = 0; rc == LATHE_OK && k < chunks; k++) {
        memmove(r->rows + r->n_rows, r->rows + k * SAMPLE_GRAIN,
                (size_t)s->taken[k] * sizeof *r->rows);
        r->n_rows += s->taken[k];
    }
    host->free(host, s->taken);
    return rc;
}

static int32_t prepare_gradient(sampling *s) {
    const gbdt_run *r = s->r;
    const lathe_host *host = r->g->host;
    double top = r->g->config->top_share, other = r->g->config->other_share;
    int64_t n = r->n_used, kept = (int64_t)ceil(top * (double)n);
    s->by_gradient = 1;
    s->counts = members_alloc(host, DIGITS, sizeof *s->counts);
    if (!s->counts)
        return LATHE_E_MEMORY;
    int32_t rc = find_border(s, kept);
    host->free(host, s->counts);
    s->share = n > kept ? other * (double)n / (double)(n - kept) : 1;
    s->share = s->share < 1 ? s->share : 1;
    s->factor = (float)(1 / s->share);
    return rc;
}

int32_t gbdt_sample_rows(gbdt_run *r, uint64_t key, lathe_error *err) {
    sampling s = {.r = r,
                  .key = r->g->host->random_key(r->g->host, key, 0),
                  .share = r->g->config->row_share};
    r->n_rows = 0;
    if (!r->samples_rows)
        return LATHE_OK;
    int32_t rc = LATHE_OK;
    if (r->g->config->sampling == GBDT_SAMPLING_GRADIENT)
        rc = prepare_gradient(&s);
    if (rc == LATHE_OK)
        rc = take_rows(&s);
    if (rc != LATHE_OK)
        return members_fail(err, rc, "gbdt", "sampling the rows of round %lld failed",
                            (long long)r->round);
    for (int64_t i = 0; r->n_rows == 0 && i < r->n_used; i++) /* an empty sample becomes all */
        r->rows[i] = row_at(r, i);
    if (r->n_rows == 0)
        r->n_rows = r->n_used;
    return LATHE_OK;
}

/* ---- features -------------------------------------------------------------------------------- */

/* Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): keeps the order. */
void gbdt_sample_features(const gbdt_run *r, uint64_t key, int32_t *features) {
    const lathe_host *host = r->g->host;
    int64_t taken = 0;
    for (int64_t i = 0; i < r->n_pool && taken < r->n_features; i++) {
        uint64_t random;
        host->random_u64(host, key, (uint64_t)i, &random, 1);
        double u = (double)(random >> 11) * 0x1p-53;
        features[taken] = r->pool[i];
        taken += u * (double)(r->n_pool - i) < (double)(r->n_features - taken);
    }
}

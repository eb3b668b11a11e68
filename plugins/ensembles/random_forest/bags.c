/* bags.c: drawing the bags.
 *
 * The number of a row in a bag is a function of (key, tree, the row's number in the source) alone.
 */
#include "forest.h"

/* Cumulative probabilities of the Poisson distribution, or of one trial. */
void forest_bag_limits(growing *g) {
    double share = g->f->config->sample_share, p = lathe_exp(-share), sum = 0;
    for (int i = 0; i < FOREST_MAX_COUNT; i++) {
        if (!g->f->config->bootstrap)
            p = i == 0 ? 1 - share : i == 1 ? share : 0;
        else if (i > 0)
            p *= share / i;
        sum += p;
        g->limit[i] = i == FOREST_MAX_COUNT - 1 ? 2 : sum;
    }
}

static uint16_t draw_count(const growing *g, uint64_t random) {
    double u = (double)(random >> 11) * 0x1p-53;
    int count = 0;
    while (count < FOREST_MAX_COUNT - 1 && u >= g->limit[count])
        count++;
    return (uint16_t)count;
}

void forest_draw_bag(const growing *g, int64_t t, uint64_t *random, uint16_t *counts) {
    const forest *f = g->f;
    const forest_context *c = g->c;
    uint64_t key =
        f->host->random_key(f->host, f->host->random_key(f->host, g->fit->key, 0), (uint64_t)t);
    members_random_rows(f->host, key, f->members.datasets->row_id(c->data), c->n_rows, random);
    int64_t total = 0;
    for (int64_t i = 0; i < c->n_rows; i++) {
        int64_t n = draw_count(g, random[i]);
        n *= g->in_set ? g->in_set[i] : 1;
        if (g->fit->counts)
            n *= g->fit->counts[i];
        counts[i] = (uint16_t)(n < 65535 ? n : 65535);
        total += n;
    }
    for (int64_t i = 0; total == 0 && i < c->n_rows; i++)
        counts[i] = g->fit->counts ? g->fit->counts[i] : g->in_set ? g->in_set[i] : 1;
}

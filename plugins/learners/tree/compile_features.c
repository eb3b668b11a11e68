/* compile_features.c: the features that trees ask, and their thresholds (compile.h). */
#include "compile.h"

#include <math.h>

enum { MAX_CODES = 65536, USES_LOW = 1, USES_HIGH = 2 };

static uint32_t scatter(uint64_t v) {
    return (uint32_t)((v * 0x9e3779b97f4a7c15u) >> 32);
}

static int64_t power_above(int64_t n) {
    int64_t p = 4;
    while (p < n)
        p *= 2;
    return p;
}

static int32_t feature_of(compiler *c, const tree_node *node) {
    uint64_t name =
        (uint64_t)(node->meta & TREE_FEATURE_MASK) << 1 | ((node->meta & TREE_IS_CATEGORY) != 0);
    uint64_t at = scatter(name) & c->index_mask;
    for (; c->index[at] != 0; at = (at + 1) & c->index_mask)
        if (c->feature[c->index[at] - 1].name == name)
            return c->index[at] - 1;
    c->feature[c->n_features].name = name;
    c->index[at] = (int32_t)++c->n_features;
    return c->index[at] - 1;
}

/* Room for every feature that nodes can name, and the feature of every node. */
int32_t compile_find_features(compiler *c) {
    const tree_model *m = c->m;
    int64_t most = 2 * m->n_features < m->n_nodes ? 2 * m->n_features : m->n_nodes;
    c->index_mask = (uint64_t)power_above(2 * most) - 1;
    c->feature = compile_array(c->host, most, sizeof *c->feature);
    c->index = compile_array(c->host, (int64_t)c->index_mask + 1, sizeof *c->index);
    c->of_node = compile_array(c->host, m->n_nodes, sizeof *c->of_node);
    if (!c->feature || !c->index || !c->of_node)
        return 0;
    for (int64_t i = 0; i < m->n_nodes; i++) {
        const tree_node *node = m->node + i;
        found *f = c->feature + (c->of_node[i] = feature_of(c, node));
        f->n++;
        f->uses |= node->meta & TREE_MISSING_LEFT ? USES_LOW : USES_HIGH;
        if (node->meta & TREE_IS_CATEGORY) {
            uint64_t codes = (uint64_t)m->words[node->u.bits] * 32;
            if (codes > MAX_CODES)
                codes = MAX_CODES + 1;
            if (codes > f->n_codes)
                f->n_codes = (uint32_t)codes;
        }
    }
    return 1;
}

/* Distinct thresholds of every numeric feature. */
int32_t compile_find_thresholds(compiler *c) {
    const tree_model *m = c->m;
    int64_t slots = 0;
    for (int64_t j = 0; j < c->n_features; j++) {
        found *f = c->feature + j;
        f->first = slots;
        f->mask = power_above(2 * f->n) - 1;
        slots += f->mask + 1;
    }
    c->slot = compile_array(c->host, m->n_nodes, sizeof *c->slot);
    c->key = compile_array(c->host, slots, sizeof *c->key);
    c->rank = compile_array(c->host, slots, 1);
    if (!c->slot || !c->key || !c->rank)
        return 0;
    for (int64_t i = 0; i < m->n_nodes; i++) {
        const tree_node *node = m->node + i;
        if (node->meta & TREE_IS_CATEGORY)
            continue;
        found *f = c->feature + c->of_node[i];
        uint32_t key = score_key(node->u.threshold), *keys = c->key + f->first;
        uint32_t at = scatter(key) & (uint32_t)f->mask;
        while (keys[at] != 0 && keys[at] != key)
            at = (at + 1) & (uint32_t)f->mask;
        f->n_keys += keys[at] == 0;
        keys[at] = key;
        c->slot[i] = at;
    }
    return 1;
}

static float key_value(uint32_t key) {
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The table of a numeric feature's thresholds, and their ranks. */
static void rank_thresholds(compiler *c, const found *f, float *table) {
    int32_t slot[SCORE_EDGES], n = 0;
    const uint32_t *keys = c->key + f->first;
    for (int64_t i = 0; i <= f->mask; i++) {
        if (keys[i] == 0)
            continue;
        int32_t at = n++;
        for (; at > 0 && keys[slot[at - 1]] > keys[i]; at--)
            slot[at] = slot[at - 1];
        slot[at] = (int32_t)i;
    }
    for (int32_t i = 0; i < SCORE_TABLE - 16; i++)
        table[16 + i] = i < n ? key_value(keys[slot[i]]) : INFINITY;
    for (int32_t i = 0; i < n; i++)
        c->rank[f->first + slot[i]] = (uint8_t)i;
    for (int32_t i = 0; i < 16; i++)
        table[i] = table[16 + 16 * i + 15];
}

/* Columns and keys: numeric ones first. */
void compile_place_features(compiler *c, int64_t unit) {
    tree_scorer *s = c->s;
    int64_t tables = 0, key = SCORE_END + 1;
    for (int32_t category = 0; category < 2; category++) {
        if (category)
            s->first_category = (uint32_t)key;
        for (int64_t j = 0; j < c->n_features; j++) {
            const found *f = c->feature + j;
            score_coder *to = s->coder + j;
            if ((int32_t)(f->name & 1) != category)
                continue;
            *to = (score_coder){
                .feature = (int32_t)(f->name >> 1), .is_category = category, .n_codes = f->n_codes};
            if (category || f->uses & USES_LOW) {
                to->low_key = (uint16_t)key++;
                to->low = (uint16_t)unit++;
            }
            if (category) {
                unit++;
            } else if (f->uses & USES_HIGH) {
                to->high_key = (uint16_t)key++;
                to->high = (uint16_t)unit++;
            }
            if (!category && c->is_small) {
                to->table = tables;
                rank_thresholds(c, f, s->table + tables++ * SCORE_TABLE);
            }
        }
    }
    s->n_keys = key;
}

/* Does every feature fit? Keys and units are 16-bit numbers. */
int32_t compile_check_features(compiler *c) {
    int64_t units = SCORE_AT_CONSTANTS + SCORE_LEAVES + SCORE_LEAVES, keys = SCORE_END + 1;
    c->is_small = 1;
    for (int64_t j = 0; j < c->n_features; j++) {
        const found *f = c->feature + j;
        if (f->n_codes > MAX_CODES)
            return 0;
        if (f->n_keys > SCORE_EDGES || f->n_codes > SCORE_CODES)
            c->is_small = 0;
        units += 2;
        keys += 2;
    }
    if (units > UINT16_MAX)
        c->is_small = 0;
    return keys <= UINT16_MAX;
}

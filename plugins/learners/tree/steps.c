/* steps.c: one row through eight trees side by side (score.h). */
#include "score.h"

static void make_keys(const tree_scorer *s, const float *x, uint32_t *keys) {
    keys[0] = 0; /* a leaf's: never above anything */
    for (int64_t j = 0; j < s->n_coders; j++) {
        const score_coder *c = s->coder + j;
        float v = x[c->feature];
        uint32_t key = score_key(v);
        if (c->is_category) {
            keys[c->low_key] = score_code(c, v);
            continue;
        }
        /* place 0 is nobody's but the leaves', which is set again below */
        keys[c->low_key] = v != v ? 0 : key;
        keys[c->high_key] = v != v ? UINT32_MAX : key;
    }
    keys[0] = 0;
}

#define STEP(k)                                                                                    \
    do {                                                                                           \
        const score_step *p = step + i##k;                                                         \
        left##k = p->left;                                                                         \
        i##k += left##k + (p->value < keys[p->key]);                                               \
    } while (0)

#define STEPS                                                                                      \
    STEP(0);                                                                                       \
    STEP(1);                                                                                       \
    STEP(2);                                                                                       \
    STEP(3);                                                                                       \
    STEP(4);                                                                                       \
    STEP(5);                                                                                       \
    STEP(6);                                                                                       \
    STEP(7)

/* Where the row's leaf is in each lane. */
static void walk_lanes(const score_step *step, const score_lanes *l, const uint32_t *keys,
                       uint32_t *at) {
    uint32_t i0 = l->root[0], i1 = l->root[1], i2 = l->root[2], i3 = l->root[3];
    uint32_t i4 = l->root[4], i5 = l->root[5], i6 = l->root[6], i7 = l->root[7];
    uint32_t left0, left1, left2, left3, left4, left5, left6, left7;
    for (int32_t round = 0; round < l->rounds; round++) {
        STEPS;
    }
    do {
        STEPS;
        STEPS;
    } while (left0 | left1 | left2 | left3 | left4 | left5 | left6 | left7);
    at[0] = i0, at[1] = i1, at[2] = i2, at[3] = i3;
    at[4] = i4, at[5] = i5, at[6] = i6, at[7] = i7;
}

/* The same with categories among the questions. */
static void walk_mixed(const tree_scorer *s, const score_lanes *l, const uint32_t *keys,
                       uint32_t *at) {
    uint32_t moved;
    memcpy(at, l->root, sizeof l->root);
    do {
        moved = 0;
        for (int32_t k = 0; k < SCORE_LANES; k++) {
            const score_step *p = s->step + at[k];
            uint32_t key = keys[p->key], is_set = p->key >= s->first_category;
            uint32_t word = s->bits[is_set ? p->value + key / 32 : 0];
            uint32_t right = is_set ? ~(word >> key % 32) & 1 : p->value < key;
            moved |= p->left;
            at[k] += p->left + right;
        }
    } while (moved);
}

void score_row(const tree_scorer *s, const tree_model *m, const float *x, uint32_t *keys,
               double *sum) {
    int64_t k = m->n_outputs;
    const score_tree *tree = s->tree;
    make_keys(s, x, keys);
    memcpy(sum, m->bias, (size_t)k * sizeof *sum);
    for (const score_lanes *l = s->lanes, *end = l + s->n_lanes; l < end; l++) {
        uint32_t at[SCORE_LANES];
        if (l->has_categories)
            walk_mixed(s, l, keys, at);
        else
            walk_lanes(s->step, l, keys, at);
        for (int32_t i = 0; i < l->n; i++, tree++) {
            int64_t leaf = tree->leaf + s->step[at[i]].value;
            if (s->value) {
                sum[tree->output] += s->value[leaf];
                continue;
            }
            const float *value = m->value + (int64_t)s->leaf[leaf] * k;
            for (int64_t o = 0; o < k; o++)
                sum[o] += tree->scale * (double)value[o];
        }
    }
}

/* steps.c: one row through all trees, eight lanes side by side (score.h). */
#include "score.h"

int64_t score_row_bytes(const tree_scorer *s, const tree_model *m) {
    return score_align(s->n_keys * (int64_t)sizeof(uint32_t)) +
           score_align(m->n_outputs * (int64_t)sizeof(double)) +
           score_align(SCORE_LANES * s->per_lane * (int64_t)sizeof(uint32_t));
}

static void make_keys(const tree_scorer *s, const float *x, uint32_t *keys) {
    for (int64_t j = 0; j < s->n_coders; j++) {
        const score_coder *c = s->coder + j;
        float v = x[c->feature];
        uint32_t key = score_key(v);
        if (c->is_category) {
            keys[c->low_key] = score_code(c, v);
            continue;
        }
        /* an absent one is SCORE_LEAF, which is set below */
        keys[c->low_key] = v != v ? 0 : key;
        keys[c->high_key] = v != v ? UINT32_MAX : key;
    }
    keys[SCORE_LEAF] = keys[SCORE_END] = 0;
}

/* A step of lane k, and a note of where it was if that was a leaf. */
#define STEP(k)                                                                                    \
    do {                                                                                           \
        const score_step *p = step + i##k;                                                         \
        uint32_t key = p->key;                                                                     \
        *to##k = (uint32_t)i##k;                                                                   \
        to##k += key == SCORE_LEAF;                                                                \
        left##k = p->left;                                                                         \
        i##k += left##k + (p->value < keys[key]);                                                  \
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

/* The leaves' steps of lane l at at[l * per_lane …], in the lane's order. */
static void walk(const tree_scorer *s, const uint32_t *keys, uint32_t *at) {
    const score_step *step = s->step;
    const int64_t *lane = s->lane, n = s->per_lane;
    uint64_t i0 = (uint64_t)lane[0], i1 = (uint64_t)lane[1], i2 = (uint64_t)lane[2];
    uint64_t i3 = (uint64_t)lane[3], i4 = (uint64_t)lane[4], i5 = (uint64_t)lane[5];
    uint64_t i6 = (uint64_t)lane[6], i7 = (uint64_t)lane[7];
    uint32_t *to0 = at, *to1 = to0 + n, *to2 = to1 + n, *to3 = to2 + n;
    uint32_t *to4 = to3 + n, *to5 = to4 + n, *to6 = to5 + n, *to7 = to6 + n;
    uint32_t left0, left1, left2, left3, left4, left5, left6, left7;
    do {
        STEPS;
        STEPS;
        STEPS;
        STEPS;
    } while (left0 | left1 | left2 | left3 | left4 | left5 | left6 | left7);
}

/* The same with categories among the questions; without a branch, as which kind comes is not to be
 * guessed. */
static void walk_mixed(const tree_scorer *s, const uint32_t *keys, uint32_t *at) {
    uint64_t i[SCORE_LANES];
    uint32_t *to[SCORE_LANES], moved;
    for (int32_t l = 0; l < SCORE_LANES; l++) {
        i[l] = (uint64_t)s->lane[l];
        to[l] = at + l * s->per_lane;
    }
    do {
        moved = 0;
        for (int32_t l = 0; l < SCORE_LANES; l++) {
            const score_step *p = s->step + i[l];
            uint32_t key = keys[p->key], is_set = 0u - (p->key >= s->first_category);
            uint32_t word = s->bits[(p->value + key / 32) & is_set];
            uint32_t right = (~(word >> key % 32) & is_set) | ((p->value < key) & ~is_set);
            *to[l] = (uint32_t)i[l];
            to[l] += p->key == SCORE_LEAF;
            moved |= p->left;
            i[l] += p->left + (right & 1);
        }
    } while (moved);
}

static inline uint32_t leaf_of(const tree_scorer *s, const uint32_t *at, int64_t t) {
    return s->step[at[t % SCORE_LANES * s->per_lane + t / SCORE_LANES]].value;
}

/* Adds the values of the leaves in the trees' order; those of one output follow each other, so that
 * the sum stays in a register. */
static void add_values(const tree_scorer *s, const uint32_t *at, double *sum) {
    const score_tree *tree = s->tree;
    for (int64_t t = 0; t < s->n_trees;) {
        int32_t output = tree[t].output;
        double all = sum[output];
        for (; t < s->n_trees && tree[t].output == output; t++) {
            uint32_t bits = leaf_of(s, at, t);
            float value;
            memcpy(&value, &bits, sizeof value);
            all += tree[t].scale * (double)value;
        }
        sum[output] = all;
    }
}

static void add_vectors(const tree_scorer *s, const tree_model *m, const uint32_t *at,
                        double *sum) {
    int64_t k = m->n_outputs;
    for (int64_t t = 0; t < s->n_trees; t++) {
        const float *value = m->value + (int64_t)leaf_of(s, at, t) * k;
        double scale = s->tree[t].scale;
        for (int64_t o = 0; o < k; o++)
            sum[o] += scale * (double)value[o];
    }
}

void score_row(const tree_scorer *s, const tree_model *m, const float *x, float *out,
               void *scratch) {
    int64_t k = m->n_outputs;
    uint32_t *keys = scratch;
    double *sum =
        (double *)(void *)((char *)scratch + score_align(s->n_keys * (int64_t)sizeof *keys));
    uint32_t *at = (uint32_t *)(void *)((char *)sum + score_align(k * (int64_t)sizeof *sum));
    make_keys(s, x, keys);
    if (s->first_category < s->n_keys)
        walk_mixed(s, keys, at);
    else
        walk(s, keys, at);
    memcpy(sum, m->bias, (size_t)k * sizeof *sum);
    if (s->value)
        add_values(s, at, sum);
    else
        add_vectors(s, m, at, sum);
    for (int64_t o = 0; o < k; o++)
        out[o] = (float)sum[o];
}

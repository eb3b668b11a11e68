/* compile.c: from the flat arrays to programs for blocks and steps for rows (score.h).
 *
 * A state that was loaded may be any acyclic graph (children come after their parents), so trees are
 * unfolded first, and one that unfolds to more than SCORE_LEAVES leaves ends the compilation.
 */
#include "score.h"

#include <math.h>

enum { RECORDS = 2 * SCORE_LEAVES - 1, MAX_CODES = 65536, USES_LOW = 1, USES_HIGH = 2 };

/* One tree unfolded, breadth first: the children of an inner record are adjacent. */
typedef struct unfolded {
    int32_t n;
    int32_t n_leaves;
    int32_t at[RECORDS];   /* node of the model, or ~leaf */
    int32_t left[RECORDS]; /* record of the left child; 0: a leaf */
    int32_t leaf[RECORDS]; /* number of the leaf in this tree */
    int32_t need[RECORDS]; /* slots to evaluate it (Sethi & Ullman 1970); a leaf needs none */
    double depth;          /* of a row that goes each way equally often */
} unfolded;

/* What is known of a feature while compiling. */
typedef struct found {
    uint64_t name;  /* feature, and whether as a category */
    int64_t n;      /* nodes */
    int64_t first;  /* of its slots in `key` and `rank` */
    int64_t mask;   /* slots - 1 */
    int32_t n_keys; /* distinct thresholds */
    uint32_t uses;
    uint32_t n_codes;
} found;

typedef struct compiler {
    const lathe_host *host;
    const tree_model *m;
    tree_scorer *s;
    found *feature; /* [n_features] */
    int64_t n_features;
    int32_t *index; /* [index_mask + 1] open addressing: feature + 1; 0: empty */
    uint64_t index_mask;
    int32_t *of_node;   /* [n_nodes] feature */
    uint32_t *slot;     /* [n_nodes] where the threshold's key is, from its feature's first */
    uint32_t *key;      /* open addressing by feature; 0: empty (no float has this key) */
    uint8_t *rank;      /* of each key among its feature's */
    int32_t *n_records; /* [n_trees] of each, unfolded */
    int64_t n_sets, n_ops, n_steps, n_leaves, n_words;
    double depth; /* of all trees */
    int64_t most_sets;
    int32_t is_small; /* do blocks hold it? */
} compiler;

static void *new_array(const lathe_host *host, int64_t n, size_t size) {
    return host->alloc(host, (uint64_t)(n > 0 ? n : 1) * size);
}

static uint32_t scatter(uint64_t v) {
    return (uint32_t)((v * 0x9e3779b97f4a7c15u) >> 32);
}

static int64_t power_above(int64_t n) {
    int64_t p = 4;
    while (p < n)
        p *= 2;
    return p;
}

/* ---- features -------------------------------------------------------------------------------- */

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
static int32_t find_features(compiler *c) {
    const tree_model *m = c->m;
    int64_t most = 2 * m->n_features < m->n_nodes ? 2 * m->n_features : m->n_nodes;
    c->index_mask = (uint64_t)power_above(2 * most) - 1;
    c->feature = new_array(c->host, most, sizeof *c->feature);
    c->index = new_array(c->host, (int64_t)c->index_mask + 1, sizeof *c->index);
    c->of_node = new_array(c->host, m->n_nodes, sizeof *c->of_node);
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
static int32_t find_thresholds(compiler *c) {
    const tree_model *m = c->m;
    int64_t slots = 0;
    for (int64_t j = 0; j < c->n_features; j++) {
        found *f = c->feature + j;
        f->first = slots;
        f->mask = power_above(2 * f->n) - 1;
        slots += f->mask + 1;
    }
    c->slot = new_array(c->host, m->n_nodes, sizeof *c->slot);
    c->key = new_array(c->host, slots, sizeof *c->key);
    c->rank = new_array(c->host, slots, 1);
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
static void place_features(compiler *c, int64_t unit) {
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
static int32_t check_features(compiler *c) {
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

/* ---- trees ----------------------------------------------------------------------------------- */

/* Unfolds the tree with this root; 0: it is too large. */
static int32_t unfold(const tree_model *m, int32_t root, unfolded *u) {
    double share[RECORDS];
    u->n = 1;
    u->n_leaves = 0;
    u->at[0] = root;
    u->depth = 0;
    share[0] = 1;
    for (int32_t i = 0; i < u->n; i++) {
        u->left[i] = 0;
        if (u->at[i] < 0) {
            if (u->n_leaves == SCORE_LEAVES)
                return 0;
            u->leaf[i] = u->n_leaves++;
            continue;
        }
        if (u->n + 2 > RECORDS)
            return 0;
        u->left[i] = u->n;
        u->depth += share[i];
        for (int32_t side = 0; side < 2; side++) {
            share[u->n] = share[i] / 2;
            u->at[u->n++] = m->node[u->at[i]].child[side];
        }
    }
    for (int32_t i = u->n - 1; i >= 0; i--) {
        int32_t l = u->left[i] ? u->need[u->left[i]] : 0;
        int32_t r = u->left[i] ? u->need[u->left[i] + 1] : 0;
        u->need[i] = !u->left[i] ? 0 : l == r ? l + 1 : l > r ? l : r;
    }
    return 1;
}

/* Words of the bits of a category feature's codes, those of ours included. */
static int64_t words_of(const found *f) {
    return ((int64_t)f->n_codes + 2 + 31) / 32;
}

/* Sizes of everything; 0: too large. */
static int32_t measure(compiler *c) {
    const tree_model *m = c->m;
    unfolded u;
    c->n_steps = SCORE_LANES;
    for (int64_t t = 0; t < m->n_trees; t++) {
        int64_t sets = 0;
        if (!unfold(m, m->root[t], &u))
            return 0;
        for (int32_t i = 0; i < u.n; i++) {
            if (u.at[i] < 0 || !(m->node[u.at[i]].meta & TREE_IS_CATEGORY))
                continue;
            sets++;
            c->n_words += words_of(c->feature + c->of_node[u.at[i]]);
        }
        c->n_records[t] = u.n;
        c->depth += u.depth;
        c->n_steps += u.n;
        c->n_leaves += u.n_leaves;
        c->n_ops += u.n_leaves > 1 ? u.n_leaves - 1 : 1;
        c->n_sets += sets;
        if (sets > c->most_sets)
            c->most_sets = sets;
        if (u.n_leaves > c->s->n_constants)
            c->s->n_constants = u.n_leaves;
        /* what is shared by many trees or nodes would take memory out of proportion to the state */
        if (c->n_words > 8 * (m->n_words + m->n_nodes) || c->n_words > UINT32_MAX ||
            c->n_leaves > 2 * (m->n_leaves + m->n_trees))
            return 0;
    }
    return c->n_steps <= INT32_MAX;
}

/* Codes of a category node that go left, missing and unknown ones included. */
static void fill_bits(const compiler *c, const found *f, const tree_node *node, uint32_t *bits) {
    const uint32_t *words = c->m->words + node->u.bits;
    memset(bits, 0, (size_t)words_of(f) * sizeof *bits);
    memcpy(bits, words + 1, (size_t)words[0] * sizeof *bits);
    if (node->meta & TREE_MISSING_LEFT)
        bits[(f->n_codes + 1) / 32] |= 1u << (f->n_codes + 1) % 32;
}

/* The steps of a tree, from `to` on; `after` it is the root of its lane's next tree. */
static void add_steps(compiler *c, const unfolded *u, score_step *to) {
    tree_scorer *s = c->s;
    for (int32_t i = 0; i < u->n; i++, to++) {
        if (!u->left[i]) {
            int32_t leaf = ~u->at[i];
            *to = (score_step){.value = (uint32_t)leaf, .left = (uint16_t)(u->n - i)};
            if (s->value)
                memcpy(&to->value, c->m->value + leaf, sizeof to->value);
            continue;
        }
        const tree_node *node = c->m->node + u->at[i];
        const found *f = c->feature + c->of_node[u->at[i]];
        const score_coder *coder = s->coder + (f - c->feature);
        int32_t is_set = (node->meta & TREE_IS_CATEGORY) != 0;
        to->left = (uint16_t)(u->left[i] - i);
        to->key = is_set || node->meta & TREE_MISSING_LEFT ? coder->low_key : coder->high_key;
        if (is_set) {
            fill_bits(c, f, node, s->bits + c->n_words);
            to->value = (uint32_t)c->n_words;
            c->n_words += words_of(f);
        } else {
            to->value = c->key[f->first + c->slot[u->at[i]]];
        }
    }
}

/* The unit that a category node's answers go to. */
static uint16_t add_set(compiler *c, score_tree *tree, const found *f, const tree_node *node) {
    tree_scorer *s = c->s;
    const score_coder *coder = s->coder + (f - c->feature);
    score_set *set = s->set + c->n_sets++;
    uint32_t bits[(SCORE_CODES + 2 + 31) / 32];
    fill_bits(c, f, node, bits);
    set->column = coder->low;
    set->to = (uint16_t)(s->n_units - 1 - tree->n_sets++);
    memset(set->bits, 0, sizeof set->bits);
    for (uint32_t code = 0; code < f->n_codes + 2; code++)
        if (bits[code / 32] >> code % 32 & 1)
            set->bits[code / 8] |= (uint8_t)(1u << code % 8);
    return set->to;
}

/* Evaluates record i into slot `to`, with slots from `free` on to use. Gives where the result is: a
 * leaf's is a constant. No deeper than a tree of SCORE_LEAVES leaves. */
static uint16_t add_ops(compiler *c, score_tree *tree, const unfolded *u, int32_t i, int32_t free,
                        int32_t to) {
    if (!u->left[i])
        return (uint16_t)(SCORE_AT_CONSTANTS + u->leaf[i]);
    const tree_node *node = c->m->node + u->at[i];
    const found *f = c->feature + c->of_node[u->at[i]];
    int32_t child[2] = {u->left[i], u->left[i] + 1};
    int32_t first = u->need[child[1]] > u->need[child[0]]; /* the one that needs more */
    uint16_t operand[2];
    operand[first] = add_ops(c, tree, u, child[first], free, free);
    int32_t used = u->left[child[first]] != 0;
    operand[!first] = add_ops(c, tree, u, child[!first], free + used, free + used);
    score_op op = {.left = operand[0], .right = operand[1], .to = (uint8_t)to};
    if (node->meta & TREE_IS_CATEGORY) {
        op.column = add_set(c, tree, f, node);
    } else {
        const score_coder *coder = c->s->coder + (f - c->feature);
        op.column = node->meta & TREE_MISSING_LEFT ? coder->low : coder->high;
        op.below = (int8_t)(c->rank[f->first + c->slot[u->at[i]]] - 127);
    }
    c->s->op[c->n_ops++] = op;
    tree->n_ops++;
    return (uint16_t)to;
}

static void add_leaves(compiler *c, const unfolded *u, const score_tree *tree) {
    tree_scorer *s = c->s;
    for (int32_t i = 0; i < u->n; i++) {
        if (u->left[i])
            continue;
        if (s->value)
            s->value[c->n_leaves++] = tree->scale * (double)c->m->value[~u->at[i]];
        else
            s->leaf[c->n_leaves++] = ~u->at[i];
    }
}

static void add_tree(compiler *c, int64_t from, int64_t to, const unfolded *u) {
    tree_scorer *s = c->s;
    score_tree *tree = s->tree + to;
    const tree_model *m = c->m;
    tree->scale = m->scale[from];
    tree->output = m->column[from] < 0 ? 0 : m->column[from];
    tree->leaf = c->n_leaves;
    tree->op = c->n_ops;
    tree->set = c->n_sets;
    add_leaves(c, u, tree);
    if (!s->n_units)
        return;
    int32_t root = SCORE_AT_LEAVES + (int32_t)(to % SCORE_GROUP);
    if (add_ops(c, tree, u, 0, 0, root) != root) { /* a tree of one leaf */
        s->op[c->n_ops++] = (score_op){.column = SCORE_AT_CONSTANTS,
                                       .left = SCORE_AT_CONSTANTS,
                                       .right = SCORE_AT_CONSTANTS,
                                       .to = (uint8_t)root};
        tree->n_ops = 1;
    }
}

/* Trees by output, each output's in their order; order[] is the k-th tree's number. */
static int32_t order_trees(compiler *c, int32_t *order) {
    const tree_model *m = c->m;
    int64_t *first = new_array(c->host, m->n_outputs + 1, sizeof *first);
    if (!first)
        return 0;
    for (int64_t t = 0; t < m->n_trees; t++)
        first[(m->column[t] < 0 ? 0 : m->column[t]) + 1]++;
    for (int64_t o = 0; o < m->n_outputs; o++)
        first[o + 1] += first[o];
    for (int64_t t = 0; t < m->n_trees; t++)
        order[first[m->column[t] < 0 ? 0 : m->column[t]]++] = (int32_t)t;
    c->host->free(c->host, first);
    return 1;
}

/* Where each tree's steps begin; a step that ends its lane follows the last. */
static void place_steps(compiler *c, const int32_t *order, int64_t *first) {
    tree_scorer *s = c->s;
    int64_t at = 0;
    for (int64_t lane = 0; lane < SCORE_LANES; lane++) {
        s->lane[lane] = at;
        for (int64_t t = lane; t < s->n_trees; t += SCORE_LANES) {
            first[t] = at;
            at += c->n_records[order[t]];
        }
        s->step[at++].key = SCORE_END;
    }
    s->per_lane = (s->n_trees + SCORE_LANES - 1) / SCORE_LANES + 1;
}

/* How many rows cost as much one by one as a vector of them in a block. */
static int64_t few_rows(const compiler *c) {
    const tree_scorer *s = c->s;
    double n = (double)s->n_trees;
    double block =
        1.5 * (double)c->n_ops + 6.0 * (double)c->n_sets + (double)s->kernels->vector * n;
    return s->n_units ? 1 + (int64_t)(block / (3.0 * (c->depth + n))) : INT64_MAX;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int32_t make_room(compiler *c, int64_t first_unit) {
    tree_scorer *s = c->s;
    const tree_model *m = c->m;
    int64_t units = first_unit, tables = 0;
    for (int64_t j = 0; j < c->n_features; j++) {
        units += 2;
        tables += !(c->feature[j].name & 1);
    }
    s->n_coders = c->n_features;
    s->n_trees = m->n_trees;
    s->n_units = c->is_small ? units + c->most_sets : 0;
    s->coder = new_array(c->host, s->n_coders, sizeof *s->coder);
    s->table = new_array(c->host, c->is_small ? tables * SCORE_TABLE : 0, sizeof *s->table);
    s->tree = new_array(c->host, s->n_trees, sizeof *s->tree);
    s->op = new_array(c->host, c->is_small ? c->n_ops : 0, sizeof *s->op);
    s->set = new_array(c->host, c->is_small ? c->n_sets : 0, sizeof *s->set);
    s->step = new_array(c->host, c->n_steps, sizeof *s->step);
    s->bits = new_array(c->host, c->n_words, sizeof *s->bits);
    if (m->leaf_width == 1)
        s->value = new_array(c->host, c->n_leaves, sizeof *s->value);
    else
        s->leaf = new_array(c->host, c->n_leaves, sizeof *s->leaf);
    return s->coder && s->table && s->tree && s->op && s->set && s->step && s->bits &&
           (s->value || s->leaf);
}

static int32_t fill(compiler *c, int64_t first_unit) {
    tree_scorer *s = c->s;
    int32_t *order = new_array(c->host, s->n_trees, sizeof *order);
    int64_t *first = new_array(c->host, s->n_trees, sizeof *first);
    int32_t ok = order && first && order_trees(c, order);
    if (ok) {
        unfolded u;
        place_features(c, first_unit);
        place_steps(c, order, first);
        s->few = few_rows(c);
        c->n_ops = c->n_sets = c->n_leaves = c->n_words = 0;
        for (int64_t t = 0; t < s->n_trees; t++) {
            unfold(c->m, c->m->root[order[t]], &u);
            add_tree(c, order[t], t, &u);
            add_steps(c, &u, s->step + first[t]);
        }
    }
    c->host->free(c->host, order);
    c->host->free(c->host, first);
    return ok;
}

static const score_kernels *choose_kernels(const lathe_host *host) {
    const lathe_cpu *cpu = host->get(host, LATHE_HOST_CPU);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu && cpu->level & LATHE_CPU_AVX512)
        return &score_kernels_avx512;
    if (cpu && cpu->level & LATHE_CPU_AVX2_FMA)
        return &score_kernels_avx2;
#endif
    return &score_kernels_plain;
}

int32_t tree_scorer_make(const lathe_host *host, const tree_model *m, tree_scorer **scorer,
                         lathe_error *err) {
    *scorer = NULL;
    if (m->n_leaves > SCORE_LEAVES * m->n_trees)
        return LATHE_OK;
    compiler c = {.host = host, .m = m};
    int32_t rc = LATHE_OK, room = 1, fits = 0;
    c.s = host->alloc(host, sizeof *c.s);
    if (c.s) {
        c.s->kernels = choose_kernels(host);
        room = find_features(&c) && find_thresholds(&c);
        c.n_records = new_array(host, m->n_trees, sizeof *c.n_records);
        room = room && c.n_records;
        fits = room && check_features(&c) && measure(&c);
    }
    if (fits) {
        int64_t first_unit = SCORE_AT_CONSTANTS + c.s->n_constants;
        room = make_room(&c, first_unit) && fill(&c, first_unit);
    }
    if (!c.s || !room)
        rc = tree_fail(err, LATHE_E_MEMORY, "tree", "no memory to compile %lld nodes",
                       (long long)m->n_nodes);
    host->free(host, c.feature);
    host->free(host, c.index);
    host->free(host, c.of_node);
    host->free(host, c.slot);
    host->free(host, c.key);
    host->free(host, c.rank);
    host->free(host, c.n_records);
    if (rc == LATHE_OK && fits)
        *scorer = c.s;
    else
        tree_scorer_free(host, c.s);
    return rc;
}

void tree_scorer_free(const lathe_host *host, tree_scorer *s) {
    if (!s)
        return;
    host->free(host, s->coder);
    host->free(host, s->table);
    host->free(host, s->tree);
    host->free(host, s->op);
    host->free(host, s->set);
    host->free(host, s->value);
    host->free(host, s->leaf);
    host->free(host, s->step);
    host->free(host, s->bits);
    host->free(host, s);
}

/* compile_trees.c: trees to programs for blocks and to steps for rows (compile.h).
 *
 * A state that was loaded may be any acyclic graph (children come after their parents), so trees are
 * unfolded first, and one that unfolds to more than SCORE_LEAVES leaves ends the compilation.
 */
#include "compile.h"

/* Unfolds the tree with this root; 0: it is too large. */
static int32_t unfold(const tree_model *m, int32_t root, unfolded *u) {
    double share[COMPILE_RECORDS];
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
        if (u->n + 2 > COMPILE_RECORDS)
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

/* Sizes of everything; 0: too large. */
int32_t compile_measure(compiler *c) {
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
            c->n_words += compile_words(c->feature + c->of_node[u.at[i]]);
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
    memset(bits, 0, (size_t)compile_words(f) * sizeof *bits);
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
            c->n_words += compile_words(f);
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

void compile_add_tree(compiler *c, int64_t from, int64_t to, int64_t first) {
    tree_scorer *s = c->s;
    score_tree *tree = s->tree + to;
    const tree_model *m = c->m;
    unfolded u;
    unfold(m, m->root[from], &u);
    tree->scale = m->scale[from];
    tree->output = m->column[from] < 0 ? 0 : m->column[from];
    tree->leaf = c->n_leaves;
    tree->op = c->n_ops;
    tree->set = c->n_sets;
    add_leaves(c, &u, tree);
    add_steps(c, &u, s->step + first);
    if (!s->n_units)
        return;
    int32_t root = SCORE_AT_LEAVES + (int32_t)(to % SCORE_GROUP);
    if (add_ops(c, tree, &u, 0, 0, root) != root) { /* a tree of one leaf */
        s->op[c->n_ops++] = (score_op){.column = SCORE_AT_CONSTANTS,
                                       .left = SCORE_AT_CONSTANTS,
                                       .right = SCORE_AT_CONSTANTS,
                                       .to = (uint8_t)root};
        tree->n_ops = 1;
    }
}

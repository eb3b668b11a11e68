/* partition.c: the rows of a node, divided among its children.
 *
 * Stable: both sides stay ascending, so memory is read forward at every depth. The side of a row is
 * one look-up by its bin, and a row is written to both lists while only one of the two ends moves:
 * no branch depends on the data. Large nodes are divided in chunks whose places follow from the
 * sizes of those before them; the result is the same.
 */
#include "tree.h"

#include <string.h>

enum { ROWS_PER_CHUNK = 16384, MAX_CHUNKS = 1024 };

typedef struct partition {
    tree_context *c;
    int32_t *rows; /* of the node */
    const uint8_t *column;
    uint8_t is_left[256];
    int64_t grain;
    int64_t n_left[MAX_CHUNKS];
    int64_t left_at[MAX_CHUNKS];
    int64_t right_at[MAX_CHUNKS];
} partition;

/* Writes the left rows to `left`, the right ones to `right`; returns how many went left. `left` may
 * be `rows`. */
static int64_t divide(const partition *p, const int32_t *rows, int64_t n, int32_t *left,
                      int32_t *right) {
    int64_t l = 0, r = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t row = rows[i];
        int64_t is_left = p->is_left[p->column[row]];
        left[l] = row;
        right[r] = row;
        l += is_left;
        r += 1 - is_left;
    }
    return l;
}

/* Both lists of a chunk go to scratch: left ones to spare, right ones n_rows further. */
static int32_t divide_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    partition *p = user;
    int64_t at = p->rows - p->c->rows + begin;
    p->n_left[begin / p->grain] =
        divide(p, p->rows + begin, end - begin, p->c->spare + at, p->c->spare + p->c->n_rows + at);
    return LATHE_OK;
}

static int32_t place_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    partition *p = user;
    int64_t at = p->rows - p->c->rows + begin, k = begin / p->grain, n_left = p->n_left[k];
    memcpy(p->rows + p->left_at[k], p->c->spare + at, (size_t)n_left * sizeof(int32_t));
    memcpy(p->rows + p->right_at[k], p->c->spare + p->c->n_rows + at,
           (size_t)(end - begin - n_left) * sizeof(int32_t));
    return LATHE_OK;
}

/* Returns the rows on the left, or -1 where the loop was stopped before it changed anything. */
static int64_t divide_parallel(partition *p, int64_t n) {
    const lathe_host *host = p->c->host;
    p->grain = ROWS_PER_CHUNK;
    while ((n + p->grain - 1) / p->grain > MAX_CHUNKS)
        p->grain *= 2;
    if (host->parallel_for(host, n, p->grain, divide_chunk, p) != LATHE_OK)
        return -1;
    int64_t chunks = (n + p->grain - 1) / p->grain, left = 0;
    for (int64_t k = 0; k < chunks; k++) {
        p->left_at[k] = left;
        left += p->n_left[k];
    }
    int64_t right = left;
    for (int64_t k = 0; k < chunks; k++) {
        int64_t size = k + 1 < chunks ? p->grain : n - k * p->grain;
        p->right_at[k] = right;
        right += size - p->n_left[k];
    }
    if (host->parallel_for(host, n, p->grain, place_chunk, p) != LATHE_OK)
        for (int64_t k = 0; k < chunks; k++) /* the scratch is whole: place again, here */
            place_chunk(p, k * p->grain, k + 1 < chunks ? (k + 1) * p->grain : n, 0);
    return left;
}

int64_t tree_partition(tree_context *c, const tree_item *item) {
    partition p;
    p.c = c;
    p.rows = c->rows + item->begin;
    p.column = tree_column(c, item->split.feature);
    for (int b = 0; b < 256; b++)
        p.is_left[b] = (uint8_t)tree_bin_is_left(item->split.left_bins, b);
    int64_t n = item->end - item->begin;
    if (n > 2 * ROWS_PER_CHUNK && c->n_workers > 1) {
        int64_t left = divide_parallel(&p, n);
        if (left >= 0)
            return left;
    }
    int32_t *right = c->spare + item->begin;
    int64_t left = divide(&p, p.rows, n, p.rows, right);
    memcpy(p.rows + left, right, (size_t)(n - left) * sizeof(int32_t));
    return left;
}

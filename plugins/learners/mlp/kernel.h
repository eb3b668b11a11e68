/* kernel.h: the three matrix products of training, on panels.
 *
 * A panel is PANEL columns of a matrix, stored row after row: [rows, PANEL]. A matrix [rows, cols] is
 * cols / PANEL of them, rounded up; the lanes beyond cols hold anything finite or not, and are never
 * read as anything but lanes. With it each product reads memory in order and needs no packing:
 *
 *   z[r, u] = b[u] + sum_j x[r, j] w[j, u]      rows    all in panels, w's rows are the inputs
 *   dx[r, j] = sum_u dz[r, u] w[j, u]           rows    with the panels of the transposed w
 *   dw[j, u] = sum_r x[r, j] dz[r, u]           weights all in panels
 *
 * Each element is one sum in ascending order whatever the shape of the blocks, so it does not depend
 * on how the rows or the units are shared out. Between kinds of CPU the bits differ (fused
 * multiply-add or not).
 */
#ifndef LATHE_MLP_KERNEL_H
#define LATHE_MLP_KERNEL_H

#include <stdint.h>

enum { PANEL = 16 };

static inline int64_t panels(int64_t cols) {
    return (cols + PANEL - 1) / PANEL;
}

/* Neighbouring panels of z from n inputs. `lanes`: columns that matter; the others of their panels get what w
 * and bias hold there, or 0. */
typedef struct rows_product {
    int64_t rows, n, lanes;
    const float *x; /* panels of the inputs, `x_panel` floats apart */
    int64_t x_panel;
    const float *w; /* panels [n, PANEL] of the units, `w_panel` floats apart */
    int64_t w_panel;
    const float *bias; /* [PANEL] for each panel, `w_panel` floats apart; NULL: none */
    float *z;          /* panels [rows, PANEL], `z_panel` floats apart */
    int64_t z_panel;
} rows_product;

/* Rows j = 0 … n_in - 1 (at most PANEL) of `n` panels of dw, all of their lanes. */
typedef struct weights_product {
    int64_t n_in, rows, n;
    const float *x;  /* one panel [rows, PANEL] */
    const float *dz; /* panels [rows, PANEL] of the units, `dz_panel` floats apart */
    int64_t dz_panel;
    int32_t add; /* 0: overwrites dw */
    float *dw;   /* panels [n_in, PANEL], `dw_panel` floats apart */
    int64_t dw_panel;
} weights_product;

typedef struct mlp_kernels {
    const char *name;
    void (*rows)(const rows_product *p);
    void (*weights)(const weights_product *p);
} mlp_kernels;

/* panel[u, i] = w[i, u]: n (at most PANEL) rows of a panel of w, its first `lanes` lanes, to rows of another. */
void mlp_transpose(int64_t n, int64_t lanes, const float *w, float *panel);

/* The fastest of those that `level` (LATHE_CPU_… bits) allows. */
const mlp_kernels *mlp_choose_kernels(uint32_t level);

#endif

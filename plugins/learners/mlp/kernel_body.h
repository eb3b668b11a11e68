/* kernel_body.h: the products of kernel.h for one kind of CPU; included by kernel.c once for each.
 *
 * Before it: NAME(x), TARGET (a function attribute or nothing), W (floats of a vector), V (its type),
 * LOAD(p), STORE(p, v), SPREAD(f), FMA(a, b, c) = a b + c, ACCUMULATE(c, a, b): c += a b where c is, MOST
 * (rows of a register block: MOST * 2 + 3 vectors are at hand). A register block is MR rows by NV vectors,
 * NV 1 or 2; the row counts are spread evenly over the blocks, so that none is too small to keep the units busy.
 */

/* One block of z. x: its first row; w[v], z[v]: where vector v begins; ahead: `step` bytes from one panel of x
 * to the next, of which each asks for two lines of w that later blocks read, and for the next of x; init:
 * what the sums begin with, rows init_row floats apart. */
TARGET BLOCK void NAME(rows_block)(const int MR, const int NV, int64_t n, const float *x,
                                   int64_t x_panel, const float *const *w, uintptr_t ahead,
                                   uintptr_t step, const float *const *init, int64_t init_row,
                                   float *const *z) {
    V sum[MOST][2];
    const float *w0 = w[0], *w1 = w[NV - 1];
    UNROLL
    for (int r = 0; r < MR; r++)
        for (int v = 0; v < NV; v++)
            sum[r][v] = LOAD(init[v] + r * init_row);
#define STEP(j)                                                                                    \
    do {                                                                                           \
        V b0 = LOAD(w0 + (j)*PANEL), b1 = NV > 1 ? LOAD(w1 + (j)*PANEL) : b0;                      \
        UNROLL                                                                                     \
        for (int r = 0; r < MR; r++) {                                                             \
            V a = SPREAD(x[r * PANEL + (j)]);                                                      \
            ACCUMULATE(sum[r][0], a, b0);                                                          \
            if (NV > 1)                                                                            \
                ACCUMULATE(sum[r][1], a, b1);                                                      \
        }                                                                                          \
    } while (0)
    for (; n >= PANEL; n -= PANEL, x += x_panel, w0 += PANEL * PANEL, w1 += PANEL * PANEL) {
        PREFETCH(ahead);
        PREFETCH(ahead + LINE);
        UNROLL
        for (int r = 0; r < MR; r++)
            PREFETCH(x + x_panel + r * PANEL);
        ahead += step;
        for (int j = 0; j < PANEL; j += 4) {
            STEP(j);
            STEP(j + 1);
            STEP(j + 2);
            STEP(j + 3);
        }
    }
    for (int64_t j = 0; j < n; j++)
        STEP(j);
#undef STEP
    UNROLL
    for (int r = 0; r < MR; r++)
        for (int v = 0; v < NV; v++)
            STORE(z[v] + r * PANEL, sum[r][v]);
}

/* One block of dw: MR inputs by NV vectors of units; x, dz[v]: at the first row. */
TARGET BLOCK void NAME(weights_block)(const int MR, const int NV, int64_t rows, const float *x,
                                      const float *const *dz, float *const *dw, int32_t add) {
    V sum[MOST][2];
    const float *d0 = dz[0], *d1 = dz[NV - 1];
    UNROLL
    for (int r = 0; r < MR; r++)
        for (int v = 0; v < NV; v++)
            sum[r][v] = add ? LOAD(dw[v] + r * PANEL) : SPREAD(0.0f);
#define STEP(i)                                                                                    \
    do {                                                                                           \
        V b0 = LOAD(d0 + (i)*PANEL), b1 = NV > 1 ? LOAD(d1 + (i)*PANEL) : b0;                      \
        UNROLL                                                                                     \
        for (int r = 0; r < MR; r++) {                                                             \
            V a = SPREAD(x[(i)*PANEL + r]);                                                        \
            ACCUMULATE(sum[r][0], a, b0);                                                          \
            if (NV > 1)                                                                            \
                ACCUMULATE(sum[r][1], a, b1);                                                      \
        }                                                                                          \
    } while (0)
    for (; rows >= 4; rows -= 4, x += 4 * PANEL, d0 += 4 * PANEL, d1 += 4 * PANEL) {
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
    }
    for (int64_t i = 0; i < rows; i++)
        STEP(i);
#undef STEP
    UNROLL
    for (int r = 0; r < MR; r++)
        for (int v = 0; v < NV; v++)
            STORE(dw[v] + r * PANEL, sum[r][v]);
}

#define CASE(F, MR, ...)                                                                           \
    case MR:                                                                                       \
        if (nv > 1)                                                                                \
            F(MR, 2, __VA_ARGS__);                                                                 \
        else                                                                                       \
            F(MR, 1, __VA_ARGS__);                                                                 \
        break;
#if MOST == 12
#define CASES(F, ...)                                                                              \
    CASE(F, 1, __VA_ARGS__)                                                                        \
    CASE(F, 2, __VA_ARGS__)                                                                        \
    CASE(F, 3, __VA_ARGS__)                                                                        \
    CASE(F, 4, __VA_ARGS__)                                                                        \
    CASE(F, 5, __VA_ARGS__)                                                                        \
    CASE(F, 6, __VA_ARGS__)                                                                        \
    CASE(F, 7, __VA_ARGS__)                                                                        \
    CASE(F, 8, __VA_ARGS__)                                                                        \
    CASE(F, 9, __VA_ARGS__)                                                                        \
    CASE(F, 10, __VA_ARGS__)                                                                       \
    CASE(F, 11, __VA_ARGS__)                                                                       \
    CASE(F, 12, __VA_ARGS__)
#else
#define CASES(F, ...)                                                                              \
    CASE(F, 1, __VA_ARGS__)                                                                        \
    CASE(F, 2, __VA_ARGS__)                                                                        \
    CASE(F, 3, __VA_ARGS__)                                                                        \
    CASE(F, 4, __VA_ARGS__)                                                                        \
    CASE(F, 5, __VA_ARGS__)                                                                        \
    CASE(F, 6, __VA_ARGS__)
#endif

TARGET static void NAME(rows_blocks)(const rows_product *p, int64_t from, int64_t n, int64_t lane,
                                     int nv) {
    const float *w[2], *begin[2];
    float *z[2];
    const float *x = p->x + from / PANEL * p->x_panel;
    int64_t blocks = (p->rows + MOST - 1) / MOST, at = 0;
    /* w's panels follow each other: n lines on is the next piece, or soon will be */
    int64_t asked = 0, each = 2 * (n / PANEL);

    for (int v = 0; v < 2; v++) {
        int64_t l = lane + v * W, panel = v < nv ? l / PANEL : lane / PANEL;
        w[v] = p->w + panel * p->w_panel + from * PANEL + l % PANEL;
    }
    for (int64_t b = 0; b < blocks; b++) {
        int64_t m = p->rows / blocks + (b < p->rows % blocks);
        int64_t row = from > 0 ? PANEL : 0;
        for (int v = 0; v < nv; v++) {
            int64_t l = lane + v * W;
            z[v] = p->z + l / PANEL * p->z_panel + at * PANEL + l % PANEL;
            begin[v] = from > 0          ? z[v]
                       : p->bias != NULL ? p->bias + l / PANEL * p->w_panel + l % PANEL
                                         : zeros + l % PANEL;
        }
        int32_t ask = asked < n;
        uintptr_t ahead = (uintptr_t)w[0] + (uintptr_t)(ask ? n + asked : 0) * LINE;
        switch (m) {
            CASES(NAME(rows_block), n, x + at * PANEL, p->x_panel, w, ahead, ask ? 2 * LINE : 0,
                  begin, row, z)
        default:
            break;
        }
        asked += each;
        at += m;
    }
}

/* One row alone, NV vectors of its z from `lane` on. */
TARGET BLOCK void NAME(one_row)(const int NV, const rows_product *p, int64_t lane) {
    V sum[ABREAST];
    const float *w[ABREAST], *x = p->x;
    UNROLL
    for (int v = 0; v < NV; v++) {
        int64_t l = lane + v * W, at = l / PANEL * p->w_panel + l % PANEL;
        w[v] = p->w + at;
        sum[v] = LOAD(p->bias + at);
    }
    for (int64_t n = p->n; n > 0; n -= PANEL, x += p->x_panel) {
        int64_t m = n < PANEL ? n : PANEL;
        for (int64_t j = 0; j < m; j++) {
            V a = SPREAD(x[j]);
            UNROLL
            for (int v = 0; v < NV; v++)
                sum[v] = FMA(a, LOAD(w[v] + j * PANEL), sum[v]);
        }
        UNROLL
        for (int v = 0; v < NV; v++)
            w[v] += PANEL * PANEL;
    }
    UNROLL
    for (int v = 0; v < NV; v++) {
        int64_t l = lane + v * W;
        STORE(p->z + l / PANEL * p->z_panel + l % PANEL, sum[v]);
    }
}

TARGET static void NAME(rows)(const rows_product *p) {
    int64_t covered = 0, whole = panels(p->lanes) * PANEL;
    int64_t pieces = (p->n + PIECE - 1) / PIECE;
    int64_t piece = pieces > 1 ? panels((p->n + pieces - 1) / pieces) * PANEL : p->n;
    if (p->rows == 1 && p->bias != NULL) {
        for (; whole - covered >= ABREAST * W; covered += ABREAST * W)
            NAME(one_row)(ABREAST, p, covered);
        for (; whole - covered >= PANEL; covered += PANEL)
            NAME(one_row)(PANEL / W, p, covered);
        return;
    }
    for (int64_t lane = 0; lane < p->lanes; lane = covered) {
        int nv = p->lanes - lane > W ? 2 : 1;
        /* inputs in pieces, so that the piece of w stays in the first cache while the rows pass */
        for (int64_t from = 0; from < p->n; from += piece)
            NAME(rows_blocks)(p, from, p->n - from < piece ? p->n - from : piece, lane, nv);
        covered = lane + nv * W;
    }
    for (int64_t lane = covered; lane < whole; lane++)
        for (int64_t r = 0; r < p->rows; r++)
            p->z[lane / PANEL * p->z_panel + r * PANEL + lane % PANEL] = 0.0f;
}

/* Rows [from, from + rows) of the batch, units from `lane` on. */
TARGET static void NAME(weights_blocks)(const weights_product *p, int64_t from, int64_t rows,
                                        int64_t lane, int nv) {
    const float *dz[2];
    float *dw[2];
    int64_t blocks = (p->n_in + MOST - 1) / MOST, at = 0;

    for (int64_t b = 0; b < blocks; b++) {
        int64_t m = p->n_in / blocks + (b < p->n_in % blocks);
        for (int v = 0; v < nv; v++) {
            int64_t l = lane + v * W;
            dz[v] = p->dz + l / PANEL * p->dz_panel + from * PANEL + l % PANEL;
            dw[v] = p->dw + l / PANEL * p->dw_panel + at * PANEL + l % PANEL;
        }
        switch (m) {
            CASES(NAME(weights_block), rows, p->x + from * PANEL + at, dz, dw, p->add || from > 0)
        default:
            break;
        }
        at += m;
    }
}

TARGET static void NAME(weights)(const weights_product *p) {
    for (int64_t from = 0; from < p->rows; from += PIECE) {
        int64_t rows = p->rows - from < PIECE ? p->rows - from : PIECE;
        int nv;
        for (int64_t lane = 0; lane < p->n * PANEL; lane += nv * W) {
            nv = p->n * PANEL - lane > W ? 2 : 1;
            NAME(weights_blocks)(p, from, rows, lane, nv);
        }
    }
}

#undef CASE
#undef CASES
#undef NAME
#undef TARGET
#undef W
#undef V
#undef LOAD
#undef STORE
#undef SPREAD
#undef FMA
#undef ACCUMULATE
#undef MOST

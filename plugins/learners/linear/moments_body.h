/* moments_body.h: moments.h for one kind of CPU; included by moments.c once for each.
 *
 * Before it: NAME(x), TARGET, W (doubles of a vector, 2 or 4), V, LOAD(p), STORE(p, v), SPREAD(d),
 * FMA(a, b, c) = a b + c, WIDEN(p): W floats as doubles. */

TARGET static void NAME(standardise)(int64_t p, const float *x, const double *mean,
                                     const double *inverse, double *z, int64_t to) {
    z += to * LANES;
    for (; p >= LANES; p -= LANES, x += LANES, mean += LANES, inverse += LANES, z += LINES * LANES)
        for (int j = 0; j < LANES; j++)
            z[j] = ((double)x[j] - mean[j]) * inverse[j];
    for (int64_t j = 0; j < p; j++)
        z[j] = ((double)x[j] - mean[j]) * inverse[j];
}

TARGET static void NAME(scores)(int64_t m, int64_t q, const double *z, const double *theta,
                                double *score) {
    int64_t np = panels(q);
    for (int64_t i = 0; i < m; i++) {
        const double *row = z + i * LANES;
        V s[LANES / W];
        double part[W];
        for (int v = 0; v < LANES / W; v++)
            s[v] = SPREAD(0.0);
        for (int64_t a = 0; a < np; a++)
            for (int v = 0; v < LANES / W; v++)
                s[v] = FMA(LOAD(row + a * LINES * LANES + v * W), LOAD(theta + a * LANES + v * W),
                           s[v]);
        for (int v = 1; v < LANES / W; v++)
            s[0] = s[0] + s[v];
        STORE(part, s[0]);
        score[i] = W == 4 ? (part[0] + part[2]) + (part[1] + part[W - 1]) : part[0] + part[1];
    }
}

/* One panel's part of the gradient, in two sums of every other row. */
TARGET static void NAME(gradient)(int64_t m, int64_t q, const double *z, const double *r,
                                  double *sum) {
    int64_t np = panels(q);
    for (int64_t a = 0; a < np; a++, z += LINES * LANES, sum += LANES) {
        V even[LANES / W], odd[LANES / W];
        for (int v = 0; v < LANES / W; v++)
            even[v] = odd[v] = SPREAD(0.0);
        int64_t i = 0;
        for (; i + 2 <= m; i += 2) {
            V r0 = SPREAD(r[i]), r1 = SPREAD(r[i + 1]);
            for (int v = 0; v < LANES / W; v++) {
                even[v] = FMA(r0, LOAD(z + i * LANES + v * W), even[v]);
                odd[v] = FMA(r1, LOAD(z + (i + 1) * LANES + v * W), odd[v]);
            }
        }
        for (; i < m; i++)
            for (int v = 0; v < LANES / W; v++)
                even[v] = FMA(SPREAD(r[i]), LOAD(z + i * LANES + v * W), even[v]);
        for (int v = 0; v < LANES / W; v++)
            STORE(sum + v * W, LOAD(sum + v * W) + (even[v] + odd[v]));
    }
}

/* `R` rows at once, 1 or 4: so that the sums of one do not wait for each other. */
TARGET static inline __attribute__((always_inline)) void NAME(raw_rows)(const int R, int64_t p,
                                                                        const float *const *row,
                                                                        double begin,
                                                                        const double *beta,
                                                                        double *score) {
    V s[4];
    double rest[4] = {begin, begin, begin, begin}, part[W];
    int64_t j = 0;
    UNROLL
    for (int r = 0; r < R; r++)
        s[r] = SPREAD(0.0);
    for (; j + W <= p; j += W) {
        V b = LOAD(beta + j);
        UNROLL
        for (int r = 0; r < R; r++)
            s[r] = FMA(WIDEN(row[r] + j), b, s[r]);
    }
    for (; j < p; j++)
        for (int r = 0; r < R; r++)
            rest[r] += (double)row[r][j] * beta[j];
    for (int r = 0; r < R; r++) {
        STORE(part, s[r]);
        score[r] =
            rest[r] + (W == 4 ? (part[0] + part[2]) + (part[1] + part[W - 1]) : part[0] + part[1]);
    }
}

TARGET static void NAME(raw_scores)(int64_t m, int64_t p, const float *const *row, double begin,
                                    const double *beta, double *score) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4)
        NAME(raw_rows)(4, p, row + i, begin, beta, score + i);
    for (; i < m; i++)
        NAME(raw_rows)(1, p, row + i, begin, beta, score + i);
}

/* NV vectors of columns from j on, all rows. */
TARGET static inline __attribute__((always_inline)) void NAME(raw_columns)(
    const int NV, int64_t m, int64_t j, const float *const *row, const double *r, double *sum) {
    V s[MOST_ABREAST];
    UNROLL
    for (int v = 0; v < NV; v++)
        s[v] = LOAD(sum + j + v * W);
    for (int64_t i = 0; i < m; i++) {
        const float *x = row[i] + j;
        V by = SPREAD(r[i]);
        UNROLL
        for (int v = 0; v < NV; v++)
            s[v] = FMA(by, WIDEN(x + v * W), s[v]);
    }
    UNROLL
    for (int v = 0; v < NV; v++)
        STORE(sum + j + v * W, s[v]);
}

TARGET static void NAME(raw_gradient)(int64_t m, int64_t p, const float *const *row,
                                      const double *r, double *sum) {
    int64_t j = 0;
    for (; p - j >= MOST_ABREAST * W; j += MOST_ABREAST * W)
        NAME(raw_columns)(MOST_ABREAST, m, j, row, r, sum);
#define SOME(NV)                                                                                   \
    if (p - j >= (NV)*W) {                                                                         \
        NAME(raw_columns)(NV, m, j, row, r, sum);                                                  \
        j += (NV)*W;                                                                               \
    }
    SOME(7)
    SOME(4)
    SOME(2)
    SOME(1)
#undef SOME
    for (; j < p; j++)
        for (int64_t i = 0; i < m; i++)
            sum[j] += r[i] * (double)row[i][j];
}

/* TALL rows of the Gram matrix, NV vectors of its columns: 2 TALL sums, so that the multipliers, whose
 * result takes 4 cycles, never wait. */
TARGET static inline __attribute__((always_inline)) void NAME(gram_part)(const int NV, int64_t m,
                                                                         const double *scaled,
                                                                         const double *z,
                                                                         double *block) {
    V s[TALL][2];
    UNROLL
    for (int r = 0; r < TALL; r++) {
        s[r][0] = LOAD(block + r * LANES);
        s[r][1] = NV > 1 ? LOAD(block + r * LANES + W) : s[r][0];
    }
    for (int64_t i = 0; i < m; i++, scaled += TALL, z += LANES) {
        V b0 = LOAD(z), b1 = NV > 1 ? LOAD(z + W) : b0;
        UNROLL
        for (int r = 0; r < TALL; r++) {
            V a = SPREAD(scaled[r]);
            s[r][0] = FMA(a, b0, s[r][0]);
            if (NV > 1)
                s[r][1] = FMA(a, b1, s[r][1]);
        }
    }
    UNROLL
    for (int r = 0; r < TALL; r++) {
        STORE(block + r * LANES, s[r][0]);
        if (NV > 1)
            STORE(block + r * LANES + W, s[r][1]);
    }
}

TARGET static void NAME(gram)(int64_t m, int64_t q, const double *z, const double *w,
                              double *scaled, double *blocks) {
    int64_t np = panels(q);
    for (int64_t at = 0; at < q; at += TALL) {
        for (int r = 0; r < TALL; r++) {
            const double *from = z + (at + r) / LANES * LINES * LANES + (at + r) % LANES;
            for (int64_t i = 0; i < m; i++)
                scaled[i * TALL + r] = at + r < q ? w[i] * from[i * LANES] : 0.0;
        }
        for (int64_t b = at / LANES; b < np; b++, blocks += TALL * LANES) {
            const double *zb = z + b * LINES * LANES;
            int64_t columns = q - b * LANES < LANES ? q - b * LANES : LANES;
            for (int64_t c = 0; c < columns; c += 2 * W) {
                if (columns - c > W)
                    NAME(gram_part)(2, m, scaled, zb + c, blocks + c);
                else
                    NAME(gram_part)(1, m, scaled, zb + c, blocks + c);
            }
        }
    }
}

#undef NAME
#undef TARGET
#undef W
#undef V
#undef LOAD
#undef STORE
#undef SPREAD
#undef FMA
#undef WIDEN

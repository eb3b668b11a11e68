/* moments_body.h: moments.h for one kind of CPU; included by moments.c once for each.
 *
 * Before it: NAME(x), TARGET, W (doubles of a vector, 2 or 4), V, LOAD(p), STORE(p, v), SPREAD(d),
 * FMA(a, b, c) = a b + c. */

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

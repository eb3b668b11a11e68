/* moments_body.h: moments.h for one kind of CPU; included by moments.c once for each.
 *
 * Before it: NAME(x), TARGET, W (doubles of a vector, 2 or 4), V, LOAD(p), STORE(p, v), SPREAD(d),
 * FMA(a, b, c) = a b + c. */

TARGET static void NAME(standardise)(int64_t p, const float *x, const double *mean,
                                     const double *inverse, double *z, int64_t to) {
    z += to * LANES;
    for (; p >= LANES; p -= LANES, x += LANES, mean += LANES, inverse += LANES, z += CHUNK * LANES)
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
                s[v] = FMA(LOAD(row + a * CHUNK * LANES + v * W), LOAD(theta + a * LANES + v * W),
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
    for (int64_t a = 0; a < np; a++, z += CHUNK * LANES, sum += LANES) {
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

/* Four rows of a block, two vectors of its columns. */
TARGET static inline __attribute__((always_inline)) void NAME(gram_part)(const int NV, int64_t m,
                                                                         const double *scaled,
                                                                         const double *z,
                                                                         double *block) {
    V s[4][2];
    for (int r = 0; r < 4; r++)
        for (int v = 0; v < NV; v++)
            s[r][v] = LOAD(block + r * LANES + v * W);
    for (int64_t i = 0; i < m; i++, scaled += LANES, z += LANES) {
        V b0 = LOAD(z), b1 = NV > 1 ? LOAD(z + W) : b0;
        for (int r = 0; r < 4; r++) {
            V a = SPREAD(scaled[r]);
            s[r][0] = FMA(a, b0, s[r][0]);
            if (NV > 1)
                s[r][1] = FMA(a, b1, s[r][1]);
        }
    }
    for (int r = 0; r < 4; r++)
        for (int v = 0; v < NV; v++)
            STORE(block + r * LANES + v * W, s[r][v]);
}

TARGET static void NAME(gram)(int64_t m, int64_t q, const double *z, const double *w,
                              double *scaled, double *blocks) {
    int64_t np = panels(q);
    for (int64_t a = 0; a < np; a++) {
        const double *za = z + a * CHUNK * LANES;
        int64_t rows = q - a * LANES < LANES ? q - a * LANES : LANES;
        for (int64_t i = 0; i < m; i++)
            for (int j = 0; j < LANES; j++)
                scaled[i * LANES + j] = w[i] * za[i * LANES + j];
        for (int64_t b = a; b < np; b++, blocks += LANES * LANES) {
            const double *zb = z + b * CHUNK * LANES;
            int64_t columns = q - b * LANES < LANES ? q - b * LANES : LANES;
            for (int64_t r = 0; r < rows; r += 4)
                for (int64_t c = 0; c < columns; c += 2 * W) {
                    if (columns - c > W)
                        NAME(gram_part)(2, m, scaled + r, zb + c, blocks + r * LANES + c);
                    else
                        NAME(gram_part)(1, m, scaled + r, zb + c, blocks + r * LANES + c);
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

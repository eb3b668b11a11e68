/* Matrix products by CBLAS, one thread a call, large ones split over the pool.
 *
 * The tiles depend on (m, n, k) alone, so each element of C is computed by the same call
 * whatever the number of threads, and has the same bits.
 */
#include "plugin/blas.h"
#include "plugin/runtime_internal.h"

#include <limits.h>
#include <string.h>

#define SMALL (1LL << 20)     /* multiply-adds below which a product is one call */
#define TILE_WORK (1LL << 19) /* least multiply-adds of a tile */
#define TILE_MULTIPLE 32      /* rows or columns of a tile are a multiple: whole register blocks */
#define MAX_TILES 64

typedef struct product {
    const lathe_blas *blas;
    bool f64, split_rows;
    CBLAS_TRANSPOSE ta, tb;
    int64_t m, n, k, lda, ldb, ldc;
    const char *a, *b;
    char *c;
    double alpha, beta;
} product;

/* Rows [begin, end) of C, or columns. */
static int32_t run_tile(void *user, int64_t begin, int64_t end, int32_t worker) {
    const product *p = user;
    size_t size = p->f64 ? sizeof(double) : sizeof(float);
    int64_t m = p->split_rows ? end - begin : p->m, n = p->split_rows ? p->n : end - begin;
    const char *a = p->a, *b = p->b;
    char *c = p->c;
    (void)worker;
    if (p->split_rows) {
        a += (size_t)begin * size * (p->ta == CblasNoTrans ? (size_t)p->lda : 1);
        c += (size_t)begin * size * (size_t)p->ldc;
    } else {
        b += (size_t)begin * size * (p->tb == CblasNoTrans ? 1 : (size_t)p->ldb);
        c += (size_t)begin * size;
    }
    if (p->f64)
        p->blas->dgemm(CblasRowMajor, p->ta, p->tb, (int)m, (int)n, (int)p->k, p->alpha,
                       (const double *)(const void *)a, (int)p->lda,
                       (const double *)(const void *)b, (int)p->ldb, p->beta, (double *)(void *)c,
                       (int)p->ldc);
    else
        p->blas->sgemm(CblasRowMajor, p->ta, p->tb, (int)m, (int)n, (int)p->k, (float)p->alpha,
                       (const float *)(const void *)a, (int)p->lda, (const float *)(const void *)b,
                       (int)p->ldb, (float)p->beta, (float *)(void *)c, (int)p->ldc);
    return LATHE_OK;
}

/* C = beta C, for k = 0. */
static void scale(const product *p) {
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            if (p->f64) {
                double *c = (double *)(void *)p->c + i * p->ldc + j;
                *c = p->beta == 0 ? 0 : *c * p->beta;
            } else {
                float *c = (float *)(void *)p->c + i * p->ldc + j;
                *c = p->beta == 0 ? 0 : *c * (float)p->beta;
            }
        }
}

static bool sane(const product *p) {
    int64_t a_row = p->ta == CblasNoTrans ? p->k : p->m;
    int64_t b_row = p->tb == CblasNoTrans ? p->n : p->k;
    return p->m >= 0 && p->n >= 0 && p->k >= 0 && p->m <= INT_MAX && p->n <= INT_MAX &&
           p->k <= INT_MAX && p->lda <= INT_MAX && p->ldb <= INT_MAX && p->ldc <= INT_MAX &&
           p->lda >= a_row && p->ldb >= b_row && p->ldc >= p->n;
}

static int64_t round_up(int64_t v, int64_t to) {
    return (v + to - 1) / to * to;
}

static int32_t multiply(lathe_pool *pool, product *p) {
    if (!sane(p))
        return LATHE_E_SHAPE;
    if (p->m == 0 || p->n == 0)
        return LATHE_OK;
    if (p->k == 0) {
        scale(p);
        return LATHE_OK;
    }
    p->blas = lathe_blas_get();
    if (p->blas == NULL)
        return LATHE_E_NOT_FOUND;
    p->split_rows = p->m >= p->n;
    int64_t length = p->split_rows ? p->m : p->n, across = p->split_rows ? p->n : p->m;
    /* as doubles: the product of three ints may not fit 64 bits */
    double work = (double)p->m * (double)p->n * (double)p->k;
    if (work < (double)SMALL)
        return run_tile(p, 0, length, 0);
    double each = (double)across * (double)p->k; /* work of one row or column */
    int64_t tile = (int64_t)((double)TILE_WORK / each) + 1;
    int64_t least = (length + MAX_TILES - 1) / MAX_TILES;
    tile = round_up(tile > least ? tile : least, TILE_MULTIPLE);
    return lathe_pool_run(pool, length, tile, run_tile, p);
}

int32_t lathe_gemm_f32(lathe_pool *pool, int32_t trans_a, int32_t trans_b, int64_t m, int64_t n,
                       int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                       int64_t ldb, float beta, float *c, int64_t ldc) {
    product p = {.ta = trans_a ? CblasTrans : CblasNoTrans,
                 .tb = trans_b ? CblasTrans : CblasNoTrans,
                 .m = m,
                 .n = n,
                 .k = k,
                 .lda = lda,
                 .ldb = ldb,
                 .ldc = ldc,
                 .a = (const char *)a,
                 .b = (const char *)b,
                 .c = (char *)c,
                 .alpha = (double)alpha,
                 .beta = (double)beta};
    return multiply(pool, &p);
}

int32_t lathe_gemm_f64(lathe_pool *pool, int32_t trans_a, int32_t trans_b, int64_t m, int64_t n,
                       int64_t k, double alpha, const double *a, int64_t lda, const double *b,
                       int64_t ldb, double beta, double *c, int64_t ldc) {
    product p = {.f64 = true,
                 .ta = trans_a ? CblasTrans : CblasNoTrans,
                 .tb = trans_b ? CblasTrans : CblasNoTrans,
                 .m = m,
                 .n = n,
                 .k = k,
                 .lda = lda,
                 .ldb = ldb,
                 .ldc = ldc,
                 .a = (const char *)a,
                 .b = (const char *)b,
                 .c = (char *)c,
                 .alpha = alpha,
                 .beta = beta};
    return multiply(pool, &p);
}

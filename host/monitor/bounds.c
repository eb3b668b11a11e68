#include "monitor/bounds.h"

#include "base/cpu.h"
#include "data/memory.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <math.h>
#include <stdlib.h>

#define LANES 4
#define EXPECTED 16 /* bounds that are asked for ahead, at most */

typedef struct bound {
    _Alignas(64) double low[LANES], high[LANES];
} bound;

typedef bool hold_fn(const lathe_bounds *bounds, const double *numbers);

struct lathe_bounds {
    hold_fn *hold;
    int64_t n;
    bound bounds[]; /* [n] of LANES numbers each */
};

static bool hold_any(const lathe_bounds *b, const double *numbers) {
    bool within = true;
    for (int64_t i = 0; i < b->n; i++)
        for (int k = 0; k < LANES; k++)
            within &= (numbers[LANES * i + k] >= b->bounds[i].low[k]) &
                      (numbers[LANES * i + k] <= b->bounds[i].high[k]);
    return within;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static bool hold_avx2(const lathe_bounds *b,
                                                      const double *numbers) {
    __m256d within = _mm256_castsi256_pd(_mm256_set1_epi32(-1));
    for (const bound *at = b->bounds, *end = at + b->n; at < end; at++, numbers += LANES) {
        const __m256d value = _mm256_load_pd(numbers);
        within = _mm256_and_pd(
            within, _mm256_and_pd(_mm256_cmp_pd(value, _mm256_load_pd(at->low), _CMP_GE_OQ),
                                  _mm256_cmp_pd(value, _mm256_load_pd(at->high), _CMP_LE_OQ)));
    }
    return _mm256_movemask_pd(within) == (1 << LANES) - 1;
}

static hold_fn *pick_kernel(void) {
    return lathe_cpu_level() & LATHE_CPU_AVX2_FMA ? hold_avx2 : hold_any;
}
#else
static hold_fn *pick_kernel(void) {
    return hold_any;
}
#endif

static int32_t fill(lathe_bounds *b, const lathe_rules *rules, const int64_t *columns, int64_t n,
                    bool *enough, lathe_error *err) {
    double *low = calloc((size_t)n + 1, sizeof *low), *high = calloc((size_t)n + 1, sizeof *high);
    const bool room = low != NULL && high != NULL;
    *enough = room && lathe_rules_bounds(rules, columns, n, low, high);
    for (int64_t i = 0; i < LANES * b->n; i++) {
        bound *to = &b->bounds[i / LANES];
        to->low[i % LANES] = room && i < n ? low[i] : -(double)INFINITY;
        to->high[i % LANES] = room && i < n ? high[i] : (double)INFINITY;
    }
    free(low);
    free(high);
    return room ? LATHE_OK : lathe_fail_memory(err, "validation", "the validation rules");
}

int32_t lathe_bounds_new(const lathe_rules *rules, const int64_t *columns, int64_t n,
                         lathe_bounds **out, lathe_error *err) {
    const int64_t groups = (n + LANES - 1) / LANES;
    bool enough;
    *out = NULL;
    lathe_bounds *b = lathe_aligned_zeroed(groups + 1, sizeof *b->bounds);
    if (b == NULL)
        return lathe_fail_memory(err, "validation", "the validation rules");
    b->hold = pick_kernel();
    b->n = groups;
    const int32_t rc = fill(b, rules, columns, n, &enough, err);
    if (rc == LATHE_OK && enough)
        *out = b;
    else
        lathe_bounds_free(b);
    return rc;
}

void lathe_bounds_free(lathe_bounds *b) {
    free(b);
}

void lathe_bounds_expect(const lathe_bounds *b) {
    const int64_t n = b->n < EXPECTED ? b->n : EXPECTED;
    for (int64_t i = 0; i < n; i++)
        __builtin_prefetch(&b->bounds[i]);
}

bool lathe_bounds_hold(const lathe_bounds *b, const double *numbers) {
    return b->hold(b, numbers);
}

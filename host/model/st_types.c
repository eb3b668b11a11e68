#include "model/st_types.h"

#include "base/hash.h"

#include <lathe/tensor.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t dtype, bits;
} types[] = {
    {"F64", LATHE_FLOAT, 64},   {"F32", LATHE_FLOAT, 32}, {"F16", LATHE_FLOAT, 16},
    {"BF16", LATHE_BFLOAT, 16}, {"I64", LATHE_INT, 64},   {"I32", LATHE_INT, 32},
    {"I16", LATHE_INT, 16},     {"I8", LATHE_INT, 8},     {"U64", LATHE_UINT, 64},
    {"U32", LATHE_UINT, 32},    {"U16", LATHE_UINT, 16},  {"U8", LATHE_UINT, 8},
    {"BOOL", LATHE_BOOL, 8},
};

const char *lathe_st_dtype_name(uint8_t dtype, uint8_t bits) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype && types[i].bits == bits)
            return types[i].name;
    return NULL;
}

bool lathe_st_dtype_parse(const char *name, uint8_t *dtype, uint8_t *bits) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) {
            *dtype = types[i].dtype;
            *bits = types[i].bits;
            return true;
        }
    return false;
}

uint32_t lathe_st_sum_entry(uint32_t sum, const char *name, const char *dtype, int32_t ndim,
                            const int64_t *shape) {
    char text[32];
    sum = lathe_crc32(sum, name, strlen(name) + 1);
    sum = lathe_crc32(sum, dtype, strlen(dtype) + 1);
    for (int32_t i = 0; i < ndim; i++) {
        const int n = snprintf(text, sizeof text, "%lld,", (long long)shape[i]);
        sum = lathe_crc32(sum, text, (size_t)n);
    }
    return sum;
}

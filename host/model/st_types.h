/* model/st_types.h: names of element types in a safetensors header. [any] */
#ifndef LATHE_MODEL_ST_TYPES_H
#define LATHE_MODEL_ST_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define LATHE_ST_METADATA "__metadata__"

/* "F32" for (LATHE_FLOAT, 32), …; NULL: the format has no such type. */
const char *lathe_st_dtype_name(uint8_t dtype, uint8_t bits);
/* Adds a tensor's name, type and shape to a checksum. */
uint32_t lathe_st_sum_entry(uint32_t sum, const char *name, const char *dtype, int32_t ndim,
                            const int64_t *shape);

bool lathe_st_dtype_parse(const char *name, uint8_t *dtype, uint8_t *bits);

#endif

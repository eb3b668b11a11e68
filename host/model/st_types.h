/* model/st_types.h: names of element types in a safetensors header. [any] */
#ifndef LATHE_MODEL_ST_TYPES_H
#define LATHE_MODEL_ST_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define LATHE_ST_METADATA "__metadata__"

/* "F32" for (LATHE_FLOAT, 32), …; NULL: the format has no such type. */
const char *lathe_st_dtype_name(uint8_t dtype, uint8_t bits);
bool lathe_st_dtype_parse(const char *name, uint8_t *dtype, uint8_t *bits);

#endif

/* lathe/tensor.h: a view on an n-dimensional array, laid out like DLPack's DLTensor. Frozen. */
#ifndef LATHE_TENSOR_H
#define LATHE_TENSOR_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* dtype codes, DLPack's numbering */
enum { LATHE_INT = 0, LATHE_UINT = 1, LATHE_FLOAT = 2, LATHE_BFLOAT = 4, LATHE_BOOL = 6 };
enum { LATHE_DEVICE_CPU = 1 };

#define LATHE_MAX_DIMS 8

/* A view: who allocated `data`, `shape` and `strides` frees them. Buffers of the host are 64-byte aligned.
 * strides are in elements; NULL means row-major and compact. Inputs are never written. */
typedef struct lathe_tensor {
    void *data;
    int32_t device_type;
    int32_t device_id;
    int32_t ndim;
    uint8_t dtype; /* LATHE_FLOAT, … */
    uint8_t bits;  /* 8, 16, 32, 64 */
    uint16_t lanes;
    const int64_t *shape;
    const int64_t *strides;
    uint64_t byte_offset;
} lathe_tensor;

#ifdef __cplusplus
}
#endif
#endif

/* lathe/state.h: saving and loading a fitted instance as named tensors and attributes.
 *
 * The host owns the container: it checks names, bounds and sums, aligns, nests children and maps the file.
 * A plugin names each piece once. Names are [a-z0-9_.]+, unique per instance. What save() writes is a pure
 * function of the fitted state: no times, paths, addresses or thread counts, so equal models are equal
 * bytes. load() runs on an instance that was created with the same config.
 */
#ifndef LATHE_STATE_H
#define LATHE_STATE_H

#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lathe_instance;

/* [worker] Every function copies what it is given. An error ends the save: return it. */
typedef struct lathe_writer {
    uint32_t struct_size;
    uint32_t reserved0;
    void *impl;
    int32_t (*tensor)(const struct lathe_writer *w, const char *name, const lathe_tensor *tensor,
                      lathe_error *err); /* compact, on the CPU */
    int32_t (*integer)(const struct lathe_writer *w, const char *name, int64_t value,
                       lathe_error *err);
    int32_t (*number)(const struct lathe_writer *w, const char *name, double value,
                      lathe_error *err);
    int32_t (*string)(const struct lathe_writer *w, const char *name, lathe_str value,
                      lathe_error *err);
    int32_t (*strings)(const struct lathe_writer *w, const char *name, const lathe_str *values,
                       int64_t n, lathe_error *err);
    /* A child made by lathe_components.create: its plugin, config and state go under "name". */
    int32_t (*child)(const struct lathe_writer *w, const char *name,
                     const struct lathe_instance *child, lathe_error *err);
} lathe_writer;

/* [worker] Every pointer that comes out stays valid until the instance is destroyed (the file is mapped).
 * A missing name is LATHE_E_NOT_FOUND, another type or shape LATHE_E_CORRUPT. The host has checked bounds
 * and sums, not meaning: a plugin checks every index and length that it reads before it uses it, and
 * returns LATHE_E_CORRUPT where one is out of range. */
typedef struct lathe_reader {
    uint32_t struct_size;
    uint32_t state_version; /* the version that wrote it */
    void *impl;
    /* dtype and bits must match; ndim must match; shape[i] < 0: any length, and tensor->shape tells. */
    int32_t (*tensor)(const struct lathe_reader *r, const char *name, uint8_t dtype, uint8_t bits,
                      int32_t ndim, const int64_t *shape, lathe_tensor *tensor, lathe_error *err);
    int32_t (*integer)(const struct lathe_reader *r, const char *name, int64_t min, int64_t max,
                       int64_t *value, lathe_error *err); /* outside [min, max]: LATHE_E_CORRUPT */
    int32_t (*number)(const struct lathe_reader *r, const char *name, double *value,
                      lathe_error *err);
    int32_t (*string)(const struct lathe_reader *r, const char *name, lathe_str *value,
                      lathe_error *err);
    int32_t (*strings)(const struct lathe_reader *r, const char *name, const lathe_str **values,
                       int64_t *n, lathe_error *err);
    /* Makes and loads the child; destroy it with lathe_components.destroy. */
    int32_t (*child)(const struct lathe_reader *r, const char *name, struct lathe_instance *child,
                     lathe_error *err);
} lathe_reader;

/* Short forms for the usual tensors. */
static inline int32_t lathe_write_array(const lathe_writer *w, const char *name, uint8_t dtype,
                                        uint8_t bits, const void *data, int64_t n,
                                        lathe_error *err) {
    lathe_tensor t = {(void *)(uintptr_t)data, LATHE_DEVICE_CPU, 0, 1, dtype, bits, 1, &n, NULL, 0};
    return w->tensor(w, name, &t, err);
}
/* n >= 0: exactly n elements; n < 0: any number. *count may be NULL. */
static inline int32_t lathe_read_array(const lathe_reader *r, const char *name, uint8_t dtype,
                                       uint8_t bits, int64_t n, const void **data, int64_t *count,
                                       lathe_error *err) {
    lathe_tensor t;
    int32_t rc = r->tensor(r, name, dtype, bits, 1, &n, &t, err);
    if (rc != LATHE_OK)
        return rc;
    *data = (const char *)t.data + t.byte_offset;
    if (count)
        *count = t.shape[0];
    return LATHE_OK;
}

#ifdef __cplusplus
}
#endif
#endif

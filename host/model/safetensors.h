/* model/safetensors.h: the container. Any safetensors reader opens what this writes. [any] */
#ifndef LATHE_MODEL_SAFETENSORS_H
#define LATHE_MODEL_SAFETENSORS_H

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"

#include <lathe/tensor.h>

/* ---- writing: tensors in the order of adding, aligned to 64 bytes by padding tensors ---- */

typedef struct lathe_st_writer lathe_st_writer;

lathe_st_writer *lathe_st_writer_new(void); /* NULL: out of memory */
/* `data` must live until write; name unique. shape has ndim entries. */
int32_t lathe_st_add(lathe_st_writer *w, const char *name, uint8_t dtype, uint8_t bits,
                     int32_t ndim, const int64_t *shape, const void *data, lathe_error *err);
/* A string of `__metadata__`; the key is unique. */
int32_t lathe_st_meta(lathe_st_writer *w, const char *key, const char *value, lathe_error *err);
/* Streams the file out, fsyncs it, and gives the digest of its bytes. CRC-32s of the tensors and of the metadata go
 * into the metadata string "crc32". */
int32_t lathe_st_write(lathe_st_writer *w, const char *path, char sha256[65], int64_t *bytes,
                       lathe_error *err);
void lathe_st_writer_free(lathe_st_writer *w);

/* ---- reading: mapped ---- */

typedef struct lathe_st_tensor {
    const char *name;
    uint8_t dtype, bits;
    int32_t ndim;
    int64_t shape[LATHE_MAX_DIMS];
    const void *data; /* in the mapping, 64-byte aligned where the writer was ours */
    int64_t bytes;
    uint32_t crc;
    bool has_crc;
} lathe_st_tensor;

typedef struct lathe_st_file lathe_st_file;

/* Maps and checks: header length (at most 100 MB), JSON, types, shapes, offsets without holes or overlaps, the end of
 * the file. Any defect is LATHE_E_CORRUPT, and says what. */
int32_t lathe_st_open(const char *path, lathe_st_file **file, lathe_error *err);
/* Reference-counted: open gives one; the last close unmaps. */
lathe_st_file *lathe_st_retain(lathe_st_file *file);
void lathe_st_close(lathe_st_file *file); /* NULL is fine */
const char *lathe_st_path(const lathe_st_file *file);
size_t lathe_st_count(const lathe_st_file *file);
const lathe_st_tensor *lathe_st_at(const lathe_st_file *file, size_t index); /* padding included */
const lathe_st_tensor *lathe_st_find(const lathe_st_file *file, const char *name);
const char *lathe_st_get_meta(const lathe_st_file *file, const char *key); /* NULL: none */
const cJSON *lathe_st_metadata(const lathe_st_file *file); /* all of it; NULL: none */
/* What lies between the tensors is empty: the one part that no checksum covers. Touches the whole file. */
int32_t lathe_st_check_padding(const lathe_st_file *file, lathe_error *err);
/* Nobody needs it soon: its pages leave the process's memory, and come again from the system's cache. */
void lathe_st_rest(const lathe_st_file *file);
/* Recomputes one tensor's CRC-32. */
int32_t lathe_st_check(const lathe_st_tensor *tensor, lathe_error *err);

#endif

/* Writing a safetensors container. The header lists tensors in the order of adding, each aligned to 64 bytes by a
 * padding tensor before it; metadata keys are sorted. So equal contents give equal bytes. */
#include "base/hash.h"
#include "base/jsonw.h"
#include "base/size.h"
#include "model/safetensors.h"
#include "model/st_types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 64

typedef struct entry {
    char *name;
    const char *dtype;
    int32_t ndim;
    int64_t shape[LATHE_MAX_DIMS];
    const void *data;
    size_t bytes;
} entry;

typedef struct meta {
    char *key, *value;
} meta;

struct lathe_st_writer {
    entry *entries;
    size_t n_entries, cap_entries;
    meta *metas;
    size_t n_metas, cap_metas;
};

lathe_st_writer *lathe_st_writer_new(void) {
    return calloc(1, sizeof(lathe_st_writer));
}

void lathe_st_writer_free(lathe_st_writer *w) {
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->n_entries; i++)
        free(w->entries[i].name);
    for (size_t i = 0; i < w->n_metas; i++) {
        free(w->metas[i].key);
        free(w->metas[i].value);
    }
    free(w->entries);
    free(w->metas);
    free(w);
}

/* Room for one more element of `item` bytes; false: out of memory. */
static bool grow(void **items, size_t count, size_t *cap, size_t item) {
    if (count < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 64;
    void *p = realloc(*items, more * item);
    if (p == NULL)
        return false;
    *items = p;
    *cap = more;
    return true;
}

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a model file");
}

int32_t lathe_st_add(lathe_st_writer *w, const char *name, uint8_t dtype, uint8_t bits,
                     int32_t ndim, const int64_t *shape, const void *data, lathe_error *err) {
    entry e = {.dtype = lathe_st_dtype_name(dtype, bits), .ndim = ndim, .data = data};
    if (e.dtype == NULL || ndim < 0 || ndim > LATHE_MAX_DIMS)
        return lathe_fail(err, LATHE_E_UNSUPPORTED, name,
                          "a tensor of type %u, %u bits, %d dimensions cannot be written", dtype,
                          bits, ndim);
    size_t cells = 1;
    for (int32_t i = 0; i < ndim; i++) {
        if (shape[i] < 0 || !lathe_mul_size(cells, (size_t)shape[i], &cells))
            return lathe_fail(err, LATHE_E_SHAPE, name,
                              "a tensor's shape is negative or too large");
        e.shape[i] = shape[i];
    }
    if (!lathe_mul_size(cells, bits / 8u, &e.bytes))
        return lathe_fail(err, LATHE_E_SHAPE, name, "a tensor is too large");
    if (!grow((void **)&w->entries, w->n_entries, &w->cap_entries, sizeof e) ||
        (e.name = strdup(name)) == NULL)
        return no_memory(err);
    w->entries[w->n_entries++] = e;
    return LATHE_OK;
}

int32_t lathe_st_meta(lathe_st_writer *w, const char *key, const char *value, lathe_error *err) {
    meta m = {strdup(key), strdup(value)};
    if (!m.key || !m.value || !grow((void **)&w->metas, w->n_metas, &w->cap_metas, sizeof m)) {
        free(m.key);
        free(m.value);
        return no_memory(err);
    }
    w->metas[w->n_metas++] = m;
    return LATHE_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const meta *)a)->key, ((const meta *)b)->key);
}

static int by_entry_name(const void *a, const void *b) {
    return strcmp((*(entry *const *)a)->name, (*(entry *const *)b)->name);
}

static int32_t check_unique(const lathe_st_writer *w, lathe_error *err) {
    int32_t rc = LATHE_OK;
    const entry **names = calloc(w->n_entries + 1, sizeof *names);
    if (names == NULL)
        return no_memory(err);
    for (size_t i = 0; i < w->n_entries; i++)
        names[i] = &w->entries[i];
    qsort(names, w->n_entries, sizeof *names, by_entry_name);
    for (size_t i = 1; rc == LATHE_OK && i < w->n_entries; i++)
        if (strcmp(names[i]->name, names[i - 1]->name) == 0)
            rc = lathe_fail(err, LATHE_E_EXISTS, names[i]->name, "two tensors have this name");
    for (size_t i = 1; rc == LATHE_OK && i < w->n_metas; i++)
        if (strcmp(w->metas[i].key, w->metas[i - 1].key) == 0)
            rc = lathe_fail(err, LATHE_E_EXISTS, w->metas[i].key,
                            "two metadata strings have this name");
    free(names);
    return rc;
}

/* The header but for the sums: keys and values in their order, then what the tensors are, by name. */
static bool sum_header(const lathe_st_writer *w, uint32_t *sum) {
    const entry **sorted = calloc(w->n_entries + 1, sizeof *sorted);
    *sum = 0;
    if (sorted == NULL)
        return false;
    for (size_t i = 0; i < w->n_metas; i++) {
        *sum = lathe_crc32(*sum, w->metas[i].key, strlen(w->metas[i].key) + 1);
        *sum = lathe_crc32(*sum, w->metas[i].value, strlen(w->metas[i].value) + 1);
    }
    for (size_t i = 0; i < w->n_entries; i++)
        sorted[i] = &w->entries[i];
    qsort(sorted, w->n_entries, sizeof *sorted, by_entry_name);
    for (size_t i = 0; i < w->n_entries; i++)
        *sum = lathe_st_sum_entry(*sum, sorted[i]->name, sorted[i]->dtype, sorted[i]->ndim,
                                  sorted[i]->shape);
    free(sorted);
    return true;
}

/* The checksums of all tensors, and of the header so far, as JSON text. */
static int32_t add_sums(lathe_st_writer *w, lathe_error *err) {
    lathe_buf text = {0};
    uint32_t sum;
    char hex[16];
    if (!sum_header(w, &sum))
        return no_memory(err);
    lathe_jsonw j = lathe_jsonw_to(&text);
    lathe_jsonw_begin_object(&j);
    snprintf(hex, sizeof hex, "%08x", sum);
    lathe_jsonw_kv_str(&j, LATHE_ST_METADATA, hex);
    for (size_t i = 0; i < w->n_entries; i++) {
        snprintf(hex, sizeof hex, "%08x", lathe_crc32(0, w->entries[i].data, w->entries[i].bytes));
        lathe_jsonw_kv_str(&j, w->entries[i].name, hex);
    }
    lathe_jsonw_end_object(&j);
    int32_t rc =
        text.failed ? no_memory(err) : lathe_st_meta(w, "crc32", lathe_buf_str(&text), err);
    lathe_buf_free(&text);
    return rc;
}

static void header_entry(lathe_jsonw *j, const char *name, const char *dtype, int32_t ndim,
                         const int64_t *shape, size_t begin, size_t end) {
    lathe_jsonw_key(j, name);
    lathe_jsonw_begin_object(j);
    lathe_jsonw_kv_str(j, "dtype", dtype);
    lathe_jsonw_key(j, "shape");
    lathe_jsonw_begin_array(j);
    for (int32_t i = 0; i < ndim; i++)
        lathe_jsonw_int(j, shape[i]);
    lathe_jsonw_end_array(j);
    lathe_jsonw_key(j, "data_offsets");
    lathe_jsonw_begin_array(j);
    lathe_jsonw_int(j, (int64_t)begin);
    lathe_jsonw_int(j, (int64_t)end);
    lathe_jsonw_end_array(j);
    lathe_jsonw_end_object(j);
}

/* Bytes that bring `offset` to the alignment. */
static size_t padding(size_t offset) {
    return (ALIGNMENT - offset % ALIGNMENT) % ALIGNMENT;
}

/* The header, padded with blanks so that the data part begins aligned. */
static void make_header(const lathe_st_writer *w, lathe_buf *out) {
    lathe_jsonw j = lathe_jsonw_to(out);
    size_t offset = 0, pads = 0;
    lathe_jsonw_begin_object(&j);
    lathe_jsonw_key(&j, LATHE_ST_METADATA);
    lathe_jsonw_begin_object(&j);
    for (size_t i = 0; i < w->n_metas; i++)
        lathe_jsonw_kv_str(&j, w->metas[i].key, w->metas[i].value);
    lathe_jsonw_end_object(&j);
    for (size_t i = 0; i < w->n_entries; i++) {
        const entry *e = &w->entries[i];
        const int64_t pad = (int64_t)padding(offset);
        if (pad > 0) {
            char name[32];
            snprintf(name, sizeof name, "pad.%zu", pads++);
            header_entry(&j, name, "U8", 1, &pad, offset, offset + (size_t)pad);
            offset += (size_t)pad;
        }
        header_entry(&j, e->name, e->dtype, e->ndim, e->shape, offset, offset + e->bytes);
        offset += e->bytes;
    }
    lathe_jsonw_end_object(&j);
    while ((out->len + 8) % ALIGNMENT != 0 && !out->failed)
        lathe_buf_append_char(out, ' ');
}

/* A file that is written and hashed at once. */
typedef struct sink {
    int fd;
    lathe_sha256 *hash;
    int64_t bytes;
} sink;

static bool put(sink *s, const void *data, size_t len) {
    lathe_sha256_update(s->hash, data, len);
    s->bytes += (int64_t)len;
    for (const char *p = data; len > 0;) {
        ssize_t n = write(s->fd, p, len < ((size_t)1 << 30) ? len : (size_t)1 << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool put_all(const lathe_st_writer *w, const lathe_buf *header, sink *s) {
    static const uint8_t zeros[ALIGNMENT];
    const uint64_t header_size = header->len;
    size_t offset = 0;
    if (!put(s, &header_size, 8) || !put(s, header->data, header->len))
        return false;
    for (size_t i = 0; i < w->n_entries; i++) {
        const size_t pad = padding(offset);
        if (!put(s, zeros, pad) || !put(s, w->entries[i].data, w->entries[i].bytes))
            return false;
        offset += pad + w->entries[i].bytes;
    }
    return fsync(s->fd) == 0;
}

int32_t lathe_st_write(lathe_st_writer *w, const char *path, char sha256[65], int64_t *bytes,
                       lathe_error *err) {
    lathe_buf header = {0};
    uint8_t digest[LATHE_SHA256_BYTES];
    sink s = {.fd = -1};
    qsort(w->metas, w->n_metas, sizeof *w->metas, by_key);
    int32_t rc = add_sums(w, err);
    if (rc != LATHE_OK)
        return rc;
    qsort(w->metas, w->n_metas, sizeof *w->metas, by_key);
    rc = check_unique(w, err);
    if (rc != LATHE_OK)
        return rc;
    make_header(w, &header);
    s.hash = lathe_sha256_new();
    if (header.failed || s.hash == NULL) {
        rc = no_memory(err);
        goto done;
    }
    s.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (s.fd < 0 || !put_all(w, &header, &s))
        rc = lathe_fail_errno(err, errno, path, "the model file cannot be written");
    else if (!lathe_sha256_final(s.hash, digest))
        rc = lathe_fail(err, LATHE_E_INTERNAL, path, "the digest could not be computed");
    if (s.fd >= 0 && close(s.fd) != 0 && rc == LATHE_OK)
        rc = lathe_fail_errno(err, errno, path, "the model file cannot be closed");
    if (rc == LATHE_OK) {
        lathe_hex(digest, sizeof digest, sha256);
        *bytes = s.bytes;
    }
done:
    lathe_sha256_free(s.hash);
    lathe_buf_free(&header);
    return rc;
}

/* Reading a safetensors container; writing is in safetensors_write.c. Format: github.com/huggingface/safetensors, "Format". */
#include "model/safetensors.h"

#include "base/hash.h"
#include "base/size.h"
#include "model/st_types.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_HEADER ((uint64_t)100 << 20)
#define MAX_TENSORS 4000000

struct lathe_st_file {
    atomic_int users;
    lathe_map_file map;
    lathe_json *header;
    lathe_st_tensor *tensors; /* in file order */
    lathe_st_tensor **by_name;
    size_t count;
    const cJSON *metadata;
    char *path;
};

static int32_t corrupt(const char *path, lathe_error *err, const char *what) {
    return lathe_fail(err, LATHE_E_CORRUPT, path, "this is no intact model file: %s", what);
}

#define BAD_ENTRY "has a bad dtype, shape or data_offsets"

static int32_t corrupt_entry(const lathe_st_file *file, const cJSON *entry, const char *how,
                             lathe_error *err) {
    char what[256];
    snprintf(what, sizeof what, "tensor \"%.100s\" %s", entry->string, how);
    return corrupt(file->path, err, what);
}

/* One entry's dtype, shape and offsets. `data_size` is the length of the data part. */
static int32_t read_entry(lathe_st_file *file, const cJSON *entry, uint64_t data_size,
                          const uint8_t *data, lathe_st_tensor *t, lathe_error *err) {
    uint64_t offsets[2];
    const cJSON *dtype = lathe_json_get(entry, "dtype");
    const cJSON *shape = lathe_json_get(entry, "shape");
    const cJSON *range = lathe_json_get(entry, "data_offsets");
    if (!cJSON_IsString(dtype) || !lathe_st_dtype_parse(dtype->valuestring, &t->dtype, &t->bits) ||
        !cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > LATHE_MAX_DIMS ||
        !cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2)
        return corrupt_entry(file, entry, BAD_ENTRY, err);
    size_t cells = 1;
    const cJSON *dim;
    cJSON_ArrayForEach(dim, shape) {
        int64_t length;
        if (!lathe_json_int64(file->header, dim, &length) || length < 0 ||
            !lathe_mul_size(cells, (size_t)length, &cells))
            return corrupt_entry(file, entry, BAD_ENTRY, err);
        t->shape[t->ndim++] = length;
    }
    for (int i = 0; i < 2; i++) {
        int64_t offset;
        if (!lathe_json_int64(file->header, cJSON_GetArrayItem(range, i), &offset) || offset < 0 ||
            (uint64_t)offset > data_size)
            return corrupt_entry(file, entry, BAD_ENTRY, err);
        offsets[i] = (uint64_t)offset;
    }
    size_t bytes;
    if (!lathe_mul_size(cells, t->bits / 8u, &bytes) || offsets[1] < offsets[0] ||
        offsets[1] - offsets[0] != bytes)
        return corrupt_entry(file, entry, "does not fill its data_offsets", err);
    t->name = entry->string;
    t->data = data + offsets[0];
    t->bytes = (int64_t)bytes;
    return LATHE_OK;
}

static int by_offset(const void *a, const void *b) {
    const lathe_st_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(lathe_st_tensor *const *)a)->name, (*(lathe_st_tensor *const *)b)->name);
}

/* Tensors must follow each other without holes and end where the file ends. */
static int32_t check_layout(lathe_st_file *file, const uint8_t *data, uint64_t data_size,
                            lathe_error *err) {
    const uint8_t *next = data;
    qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    for (size_t i = 0; i < file->count; i++) {
        if (file->tensors[i].data != next)
            return corrupt(file->path, err, "its tensors overlap or have holes between them");
        next += file->tensors[i].bytes;
    }
    if (next != data + data_size)
        return corrupt(file->path, err,
                       "the last tensor does not end where the file ends; it is cut short or "
                       "something was appended");
    return LATHE_OK;
}

/* As sum_header() of the writer; padding has no sum and counts not. */
static uint32_t sum_header(const lathe_st_file *file) {
    uint32_t sum = 0;
    const cJSON *meta;
    cJSON_ArrayForEach(meta, file->metadata) {
        if (!cJSON_IsString(meta) || strcmp(meta->string, "crc32") == 0)
            continue;
        sum = lathe_crc32(sum, meta->string, strlen(meta->string) + 1);
        sum = lathe_crc32(sum, meta->valuestring, strlen(meta->valuestring) + 1);
    }
    for (size_t i = 0; i < file->count; i++) {
        const lathe_st_tensor *t = file->by_name[i];
        if (t->has_crc)
            sum = lathe_st_sum_entry(sum, t->name, lathe_st_dtype_name(t->dtype, t->bits), t->ndim,
                                     t->shape);
    }
    return sum;
}

/* The k-th of what the writer puts between tensors: a few bytes. */
static bool has_padding_name(const lathe_st_tensor *t, size_t k) {
    char name[32];
    snprintf(name, sizeof name, "pad.%zu", k);
    return strcmp(t->name, name) == 0 && t->bytes < 64;
}

/* Eight digits as "%08x" writes them. */
static bool read_hex(const char *text, uint32_t *value) {
    int n = 0;
    for (*value = 0; n < 8; n++) {
        const char c = text[n];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return text[n] == '\0';
}

/* One of the sums. */
static int32_t read_sum(lathe_st_file *file, const cJSON *sum, int64_t *header_sum,
                        lathe_error *err) {
    const char *name = sum->string ? sum->string : "";
    uint32_t value;
    if (!cJSON_IsString(sum) || !read_hex(sum->valuestring, &value))
        return corrupt(file->path, err, "a checksum is no number");
    if (strcmp(name, LATHE_ST_METADATA) == 0) {
        *header_sum = value;
        return LATHE_OK;
    }
    lathe_st_tensor *t = (lathe_st_tensor *)(uintptr_t)lathe_st_find(file, name);
    if (t == NULL)
        return corrupt(file->path, err, "a checksum names a tensor that is not there");
    t->crc = value;
    t->has_crc = true;
    return LATHE_OK;
}

/* "crc32" of the metadata: {"name": "8 hexadecimal digits"}; that of the header is checked at once. */
static int32_t read_sums(lathe_st_file *file, lathe_error *err) {
    const char *text = lathe_st_get_meta(file, "crc32");
    if (text == NULL)
        return LATHE_OK; /* another program's file */
    const lathe_json_limits limits = {.no_places = true};
    lathe_json *doc = lathe_json_read(text, strlen(text), NULL, &limits, NULL);
    if (doc == NULL)
        return corrupt(file->path, err, "the list of checksums is no JSON");
    const cJSON *sum;
    int64_t header_sum = -1;
    int32_t rc = LATHE_OK;
    cJSON_ArrayForEach(sum, lathe_json_root(doc)) {
        if (rc == LATHE_OK)
            rc = read_sum(file, sum, &header_sum, err);
    }
    for (size_t i = 0, pads = 0; rc == LATHE_OK && i < file->count; i++)
        if (!file->tensors[i].has_crc && !has_padding_name(&file->tensors[i], pads++))
            rc = corrupt(file->path, err, "a tensor is not in the list of checksums");
    const uint32_t sum_now = sum_header(file);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    header_sum = sum_now;
#endif
    if (rc == LATHE_OK && header_sum != sum_now)
        rc = corrupt(file->path, err, "its metadata does not match its checksum");
    lathe_json_free(doc);
    return rc;
}

static int32_t read_header(lathe_st_file *file, lathe_error *err) {
    uint64_t header_size;
    char what[200];
    if (file->map.size < 8)
        return corrupt(file->path, err, "it is shorter than 8 bytes");
    memcpy(&header_size, file->map.data, 8);
    if (header_size > MAX_HEADER || header_size > file->map.size - 8) {
        snprintf(what, sizeof what, "its header claims %llu bytes of a file of %zu",
                 (unsigned long long)header_size, file->map.size);
        return corrupt(file->path, err, what);
    }
    const lathe_json_limits limits = {
        .max_bytes = (size_t)MAX_HEADER, .max_depth = 8, .no_places = true};
    lathe_error why = {0};
    file->header =
        lathe_json_read((const char *)file->map.data + 8, (size_t)header_size, NULL, &limits, &why);
    const cJSON *root = file->header ? lathe_json_root(file->header) : NULL;
    if (!cJSON_IsObject(root)) {
        snprintf(what, sizeof what, "its header is no JSON object (%.120s)", why.message);
        return corrupt(file->path, err, what);
    }
    const int entries = cJSON_GetArraySize(root);
    if (entries > MAX_TENSORS)
        return corrupt(file->path, err, "it has too many tensors");
    file->metadata = lathe_json_get(root, LATHE_ST_METADATA);
    file->tensors = calloc((size_t)entries + 1, sizeof *file->tensors);
    file->by_name = calloc((size_t)entries + 1, sizeof *file->by_name);
    if (file->tensors == NULL || file->by_name == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, file->path, "out of memory for its header");
    const uint8_t *data = file->map.data + 8 + header_size;
    const uint64_t data_size = file->map.size - 8 - header_size;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, root) {
        if (entry == file->metadata)
            continue;
        int32_t rc = read_entry(file, entry, data_size, data, &file->tensors[file->count], err);
        if (rc != LATHE_OK)
            return rc;
        file->count++;
    }
    return check_layout(file, data, data_size, err);
}

int32_t lathe_st_open(const char *path, lathe_st_file **out, lathe_error *err) {
    *out = NULL;
    lathe_st_file *file = calloc(1, sizeof *file);
    if (file == NULL || (file->path = strdup(path)) == NULL) {
        free(file);
        return lathe_fail(err, LATHE_E_MEMORY, path, "out of memory");
    }
    atomic_init(&file->users, 1);
    int32_t rc = lathe_map_open(path, &file->map, err);
    if (rc == LATHE_OK)
        rc = read_header(file, err);
    for (size_t i = 0; rc == LATHE_OK && i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    if (rc == LATHE_OK) {
        qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
        rc = read_sums(file, err);
    }
    if (rc != LATHE_OK) {
        lathe_st_close(file);
        return rc;
    }
    *out = file;
    return LATHE_OK;
}

lathe_st_file *lathe_st_retain(lathe_st_file *file) {
    atomic_fetch_add(&file->users, 1);
    return file;
}

void lathe_st_close(lathe_st_file *file) {
    if (file == NULL || atomic_fetch_sub(&file->users, 1) != 1)
        return;
    lathe_json_free(file->header);
    lathe_map_close(&file->map);
    free(file->by_name);
    free(file->tensors);
    free(file->path);
    free(file);
}

const char *lathe_st_path(const lathe_st_file *file) {
    return file->path;
}

size_t lathe_st_count(const lathe_st_file *file) {
    return file->count;
}

const lathe_st_tensor *lathe_st_at(const lathe_st_file *file, size_t index) {
    return index < file->count ? &file->tensors[index] : NULL;
}

const lathe_st_tensor *lathe_st_find(const lathe_st_file *file, const char *name) {
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(file->by_name[mid]->name, name);
        if (order == 0)
            return file->by_name[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const char *lathe_st_get_meta(const lathe_st_file *file, const char *key) {
    const cJSON *value = lathe_json_get(file->metadata, key);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

const cJSON *lathe_st_metadata(const lathe_st_file *file) {
    return file->metadata;
}

int32_t lathe_st_check_padding(const lathe_st_file *file, lathe_error *err) {
    if (lathe_st_get_meta(file, "crc32") == NULL)
        return LATHE_OK; /* another program's file: its tensors are what they are */
    for (size_t i = 0; i < file->count; i++) {
        const lathe_st_tensor *t = &file->tensors[i];
        const uint8_t *bytes = t->data;
        for (int64_t b = 0; !t->has_crc && b < t->bytes; b++)
            if (bytes[b] != 0)
                return corrupt(file->path, err, "its padding is not empty");
    }
    return LATHE_OK;
}

void lathe_st_rest(const lathe_st_file *file) {
    madvise((void *)(uintptr_t)file->map.data, file->map.size, MADV_DONTNEED);
}

int32_t lathe_st_check(const lathe_st_tensor *tensor, lathe_error *err) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)lathe_crc32(0, tensor->data,
                      (size_t)tensor->bytes); /* what lies behind sums is to be reached */
    return err != NULL && tensor->bytes < 0 ? err->code : LATHE_OK;
#else
    if (!tensor->has_crc || lathe_crc32(0, tensor->data, (size_t)tensor->bytes) == tensor->crc)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_CORRUPT, tensor->name,
                      "the tensor's bytes do not match their checksum: the file is damaged");
#endif
}

/* idx.c: images and their labels in the idx format of MNIST (Y. LeCun, C. Cortes, C. Burges, "The MNIST database
 * of handwritten digits"), plain or gzip. All numbers are big-endian:
 *
 *     images  int32 2051 (unsigned bytes, 3 dimensions)  int32 count  int32 rows  int32 columns  then bytes
 *     labels  int32 2049 (unsigned bytes, 1 dimension)   int32 count                             then bytes
 *
 * A table has one column a pixel, pixel0 … in row-major order, and the label as a category. Where the files of a
 * test part are given too, its rows follow those of the training part, and the column "part" says "train" or
 * "test": split by it to keep the published test part.
 */
#define _GNU_SOURCE /* open, pread */
#include "bytes.h"

#include <lathe/lathe.h>

#define IMAGES_MAGIC 2051
#define LABELS_MAGIC 2049
#define MAX_PIXELS 100000
#define BLOCK_BYTES (64 << 20)

typedef struct idx_config {
    const char *images;
    const char *labels;
    const char *test_images;
    const char *test_labels;
    const char *label;
    const char *part;
    int64_t limit;
} idx_config;

static const lathe_param idx_params[] = {
    LATHE_P_STRING(idx_config, images, LATHE_PARAM_REQUIRED | LATHE_PARAM_PATH, NULL,
                   "The images, plain or gzip."),
    LATHE_P_STRING(idx_config, labels, LATHE_PARAM_REQUIRED | LATHE_PARAM_PATH, NULL,
                   "Their labels, plain or gzip."),
    LATHE_P_STRING(idx_config, test_images, LATHE_PARAM_NULLABLE | LATHE_PARAM_PATH, "null",
                   "The images of the published test part."),
    LATHE_P_STRING(idx_config, test_labels, LATHE_PARAM_NULLABLE | LATHE_PARAM_PATH, "null",
                   "The labels of the published test part."),
    LATHE_P_STRING(idx_config, label, 0, "\"label\"", "Name of the label's column."),
    LATHE_P_STRING(idx_config, part, 0, "\"part\"",
                   "Name of the column that says train or test, made where a test part is given."),
    LATHE_P_INT(idx_config, limit, LATHE_PARAM_NULLABLE, "null", 1, 1e15,
                "Read at most so many rows of each part; null: all.", .unit = "rows"),
};

typedef struct idx_source {
    const lathe_host *host;
    const idx_config *config;
} idx_source;

typedef struct idx_part {
    const char *path;
    byte_file images;
    uint8_t *labels; /* [n] */
    int64_t n;       /* rows to be read */
    int64_t n_pixels;
} idx_part;

typedef struct idx_stream {
    const lathe_host *host;
    const idx_config *config;
    idx_part parts[2];
    int64_t n_parts;
    int64_t at_part;
    int64_t at_row; /* of that part */
    int64_t n_pixels;
    int64_t n_columns;
    lathe_column *columns; /* [n_columns] */
    char (*names)[32];     /* [n_pixels] */
    int64_t *values;       /* [n_pixels, capacity] */
    int32_t *codes;        /* [2, capacity]: label, part */
    uint8_t *row;          /* [n_pixels] */
    int64_t capacity;
    char digits[256][4];
    lathe_str label_dict[256];
    int64_t n_labels;
    int32_t code_of[256];
    lathe_str part_dict[2];
    lathe_table schema;
    int64_t rows;
    char note[64];
} idx_stream;

/* Exactly n bytes. */
static int32_t read_exactly(byte_file *f, uint8_t *out, int64_t n, const char *what,
                            lathe_error *err) {
    int64_t done = 0, got = 0;
    while (done < n) {
        int32_t rc = bytes_read(f, out + done, n - done, &got, err);
        if (rc != LATHE_OK)
            return rc;
        if (got == 0)
            return bytes_fail(
                err, LATHE_E_CORRUPT, f->path, 0,
                "the file ends inside %s: %lld of %lld bytes are there; fetch it again", what,
                (long long)done, (long long)n);
        done += got;
    }
    return LATHE_OK;
}

static int32_t expect_end(byte_file *f, lathe_error *err) {
    uint8_t extra;
    int64_t got = 0;
    int32_t rc = bytes_read(f, &extra, 1, &got, err);
    if (rc == LATHE_OK && got != 0)
        rc = bytes_fail(err, LATHE_E_CORRUPT, f->path, 0,
                        "the file goes on behind what its header announces");
    return rc;
}

static int64_t big_endian(const uint8_t *p) {
    return (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | p[3];
}

static int32_t check_magic(const byte_file *f, const uint8_t *head, int64_t magic, const char *what,
                           lathe_error *err) {
    int64_t found = big_endian(head);
    if (found == magic)
        return LATHE_OK;
    return bytes_fail(err, LATHE_E_CORRUPT, f->path, 0,
                      "expected idx %s (first number %lld), found %lld%s", what, (long long)magic,
                      (long long)found,
                      found == IMAGES_MAGIC   ? ", which is a file of images: are the two swapped?"
                      : found == LABELS_MAGIC ? ", which is a file of labels: are the two swapped?"
                                              : "");
}

static int32_t read_labels(idx_stream *s, idx_part *p, const char *path, int64_t n_images,
                           lathe_error *err) {
    byte_file f;
    uint8_t head[8];
    int32_t rc = bytes_open(&f, s->host, path, err);
    if (rc != LATHE_OK)
        return rc;
    if ((rc = read_exactly(&f, head, sizeof head, "its header", err)) != LATHE_OK ||
        (rc = check_magic(&f, head, LABELS_MAGIC, "labels", err)) != LATHE_OK)
        goto done;
    if (big_endian(head + 4) != n_images) {
        rc = bytes_fail(err, LATHE_E_SHAPE, path, 0,
                        "there are %lld labels for the %lld images of %.100s",
                        (long long)big_endian(head + 4), (long long)n_images, bytes_name(p->path));
        goto done;
    }
    p->labels = s->host->alloc(s->host, (uint64_t)n_images);
    if (p->labels == NULL) {
        rc = bytes_no_memory(err, path);
        goto done;
    }
    if ((rc = read_exactly(&f, p->labels, n_images, "the labels", err)) == LATHE_OK)
        rc = expect_end(&f, err);
done:
    bytes_close(&f);
    return rc;
}

static int32_t open_part(idx_stream *s, idx_part *p, const char *images, const char *labels,
                         lathe_error *err) {
    uint8_t head[16];
    p->path = images;
    int32_t rc = bytes_open(&p->images, s->host, images, err);
    if (rc != LATHE_OK)
        return rc;
    if ((rc = read_exactly(&p->images, head, sizeof head, "its header", err)) != LATHE_OK ||
        (rc = check_magic(&p->images, head, IMAGES_MAGIC, "images", err)) != LATHE_OK)
        return rc;
    int64_t n = big_endian(head + 4), height = big_endian(head + 8), width = big_endian(head + 12);
    if (n < 1)
        return bytes_fail(err, LATHE_E_DATA, images, 0, "the file holds no image");
    if (height < 1 || width < 1 || height > MAX_PIXELS || width > MAX_PIXELS / height)
        return bytes_fail(err, LATHE_E_CORRUPT, images, 0,
                          "images of %lld x %lld pixels; expected 1 to %d in all",
                          (long long)height, (long long)width, MAX_PIXELS);
    p->n_pixels = height * width;
    rc = read_labels(s, p, labels, n, err);
    p->n = s->config->limit != LATHE_INT_NULL && s->config->limit < n ? s->config->limit : n;
    return rc;
}

/* Labels that occur, as text in the order of its bytes. */
static void make_dictionary(idx_stream *s) {
    int32_t seen[256] = {0};
    for (int64_t k = 0; k < s->n_parts; k++)
        for (int64_t i = 0; i < s->parts[k].n; i++)
            seen[s->parts[k].labels[i]] = 1;
    for (int32_t v = 0; v < 256; v++) {
        snprintf(s->digits[v], sizeof s->digits[v], "%d", v);
        if (!seen[v])
            continue;
        int64_t at = s->n_labels++;
        lathe_str text = {s->digits[v], (int64_t)strlen(s->digits[v])};
        for (; at > 0 && strcmp(s->label_dict[at - 1].ptr, text.ptr) > 0; at--)
            s->label_dict[at] = s->label_dict[at - 1];
        s->label_dict[at] = text;
    }
    for (int64_t i = 0; i < s->n_labels; i++) {
        int64_t v = s->label_dict[i].ptr - s->digits[0];
        s->code_of[v / (int64_t)sizeof s->digits[0]] = (int32_t)i;
    }
    s->part_dict[0] = (lathe_str){"test", 4};
    s->part_dict[1] = (lathe_str){"train", 5};
}

static int32_t make_columns(idx_stream *s, lathe_error *err) {
    s->n_columns = s->n_pixels + 1 + (s->n_parts > 1);
    s->columns = s->host->alloc(s->host, (uint64_t)s->n_columns * sizeof *s->columns);
    s->names = s->host->alloc(s->host, (uint64_t)s->n_pixels * sizeof *s->names);
    s->row = s->host->alloc(s->host, (uint64_t)s->n_pixels);
    if (s->columns == NULL || s->names == NULL || s->row == NULL)
        return bytes_no_memory(err, s->config->images);
    for (int64_t j = 0; j < s->n_pixels; j++) {
        snprintf(s->names[j], sizeof s->names[j], "pixel%lld", (long long)j);
        s->columns[j] = (lathe_column){.name = s->names[j], .type = LATHE_COLUMN_INT64};
    }
    s->columns[s->n_pixels] = (lathe_column){.name = s->config->label,
                                             .type = LATHE_COLUMN_CATEGORY,
                                             .dict = s->label_dict,
                                             .dict_size = s->n_labels};
    if (s->n_parts > 1)
        s->columns[s->n_pixels + 1] = (lathe_column){.name = s->config->part,
                                                     .type = LATHE_COLUMN_CATEGORY,
                                                     .dict = s->part_dict,
                                                     .dict_size = 2};
    s->schema = (lathe_table){0, s->n_columns, s->columns};
    snprintf(s->note, sizeof s->note, "%lld pixels, %lld labels", (long long)s->n_pixels,
             (long long)s->n_labels);
    return LATHE_OK;
}

static void idx_close(void *stream) {
    idx_stream *s = stream;
    if (s == NULL)
        return;
    for (int k = 0; k < 2; k++) {
        bytes_close(&s->parts[k].images);
        s->host->free(s->host, s->parts[k].labels);
    }
    s->host->free(s->host, s->columns);
    s->host->free(s->host, s->names);
    s->host->free(s->host, s->row);
    s->host->free(s->host, s->values);
    s->host->free(s->host, s->codes);
    s->host->free(s->host, s);
}

static int32_t idx_open(void *self, void **stream, lathe_error *err) {
    const idx_source *source = self;
    const idx_config *c = source->config;
    idx_stream *s = source->host->alloc(source->host, sizeof *s);
    int32_t rc;
    *stream = NULL;
    if (s == NULL)
        return bytes_no_memory(err, c->images);
    s->host = source->host;
    s->config = c;
    for (int k = 0; k < 2; k++) { /* closed, as far as idx_close is concerned */
        s->parts[k].images.fd = -1;
        s->parts[k].images.host = s->host;
    }
    s->n_parts = c->test_images != NULL ? 2 : 1;
    rc = open_part(s, &s->parts[0], c->images, c->labels, err);
    if (rc == LATHE_OK && s->n_parts > 1)
        rc = open_part(s, &s->parts[1], c->test_images, c->test_labels, err);
    if (rc != LATHE_OK)
        goto fail;
    s->n_pixels = s->parts[0].n_pixels;
    if (s->n_parts > 1 && s->parts[1].n_pixels != s->n_pixels) {
        rc = bytes_fail(err, LATHE_E_SHAPE, c->test_images, 0,
                        "test images have %lld pixels, training images %lld",
                        (long long)s->parts[1].n_pixels, (long long)s->n_pixels);
        goto fail;
    }
    make_dictionary(s);
    rc = make_columns(s, err);
    if (rc != LATHE_OK)
        goto fail;
    *stream = s;
    return LATHE_OK;
fail:
    idx_close(s);
    return rc;
}

static int32_t idx_schema(void *stream, const lathe_table **schema, lathe_error *err) {
    (void)err;
    *schema = &((idx_stream *)stream)->schema;
    return LATHE_OK;
}

static int32_t make_room(idx_stream *s, int64_t max_rows, int64_t *rows, lathe_error *err) {
    int64_t most = BLOCK_BYTES / 8 / s->n_pixels;
    *rows = max_rows < most ? max_rows : most > 0 ? most : 1;
    if (*rows <= s->capacity)
        return LATHE_OK;
    s->host->free(s->host, s->values);
    s->host->free(s->host, s->codes);
    s->capacity = 0;
    s->values = s->host->alloc(s->host, (uint64_t)(*rows * s->n_pixels) * sizeof *s->values);
    s->codes = s->host->alloc(s->host, (uint64_t)*rows * 2 * sizeof *s->codes);
    if (s->values == NULL || s->codes == NULL)
        return bytes_no_memory(err, s->config->images);
    s->capacity = *rows;
    for (int64_t j = 0; j < s->n_pixels; j++)
        s->columns[j].values = s->values + j * s->capacity;
    s->columns[s->n_pixels].values = s->codes;
    if (s->n_parts > 1)
        s->columns[s->n_pixels + 1].values = s->codes + s->capacity;
    return LATHE_OK;
}

/* Where a part is read to its announced end, nothing may follow. */
static int32_t finish_part(idx_stream *s, lathe_error *err) {
    idx_part *p = &s->parts[s->at_part];
    int32_t rc = s->config->limit == LATHE_INT_NULL ? expect_end(&p->images, err) : LATHE_OK;
    s->at_part++;
    s->at_row = 0;
    return rc;
}

static int32_t idx_next(void *stream, int64_t max_rows, lathe_table *block, lathe_error *err) {
    idx_stream *s = stream;
    int64_t room, n = 0;
    *block = (lathe_table){0, s->n_columns, s->columns};
    if (max_rows < 1)
        return bytes_fail(err, LATHE_E_INVALID, s->config->images, 0,
                          "a block of %lld rows was asked for", (long long)max_rows);
    int32_t rc = make_room(s, max_rows, &room, err);
    while (rc == LATHE_OK && n < room && s->at_part < s->n_parts) {
        idx_part *p = &s->parts[s->at_part];
        if (s->at_row == p->n) {
            rc = finish_part(s, err);
            continue;
        }
        rc = read_exactly(&p->images, s->row, s->n_pixels, "the images", err);
        for (int64_t j = 0; j < s->n_pixels; j++)
            s->values[j * s->capacity + n] = s->row[j];
        s->codes[n] = s->code_of[p->labels[s->at_row++]];
        s->codes[s->capacity + n] = s->at_part == 0;
        n++;
    }
    if (rc != LATHE_OK)
        return rc;
    s->rows += n;
    block->n_rows = n;
    return LATHE_OK;
}

static int32_t idx_note(void *stream, lathe_source_note *note) {
    idx_stream *s = stream;
    lathe_source_note full = {.struct_size = note->struct_size,
                              .bytes_read =
                                  s->parts[0].images.bytes_read + s->parts[1].images.bytes_read,
                              .rows_read = s->rows,
                              .text = s->note};
    memcpy(note, &full, note->struct_size < sizeof full ? note->struct_size : sizeof full);
    return LATHE_OK;
}

static int32_t idx_check(const void *config, lathe_error *err) {
    const idx_config *c = config;
    if ((c->test_images == NULL) == (c->test_labels == NULL))
        return LATHE_OK;
    err->code = LATHE_E_INVALID;
    snprintf(err->where, sizeof err->where, "%s",
             c->test_images == NULL ? "test_images" : "test_labels");
    snprintf(err->message, sizeof err->message,
             "\"test_images\" and \"test_labels\" go together; one is missing");
    return err->code;
}

static int32_t idx_create(const lathe_host *host, const void *config, void **self,
                          lathe_error *err) {
    idx_source *s = host->alloc(host, sizeof *s);
    if (s == NULL)
        return bytes_no_memory(err, ((const idx_config *)config)->images);
    s->host = host;
    s->config = config;
    *self = s;
    return LATHE_OK;
}

static void idx_destroy(void *self) {
    idx_source *s = self;
    s->host->free(s->host, s);
}

static const lathe_source idx_interface = {.struct_size = LATHE_SIZED(lathe_source),
                                           .open = idx_open,
                                           .schema = idx_schema,
                                           .next = idx_next,
                                           .note = idx_note,
                                           .close = idx_close};

static const lathe_descriptor idx_descriptor = {
    .struct_size = LATHE_SIZED(lathe_descriptor),
    .id = "lathe.source.idx",
    .kind = LATHE_KIND_SOURCE,
    .name = "idx",
    .version = "1.0.0",
    .doc = "Images and labels in the idx format of MNIST, plain or gzip.",
    .license = "Apache-2.0",
    LATHE_PARAMS(idx_params, idx_config),
    .interface = &idx_interface,
    .check_config = idx_check,
    .create = idx_create,
    .destroy = idx_destroy,
};

LATHE_PLUGIN(&idx_descriptor)

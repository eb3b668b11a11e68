/* model/documents.h: JSON documents in a model's file. Small ones are strings of `__metadata__`, which every opening reads
 * and checks; a large one is a tensor of bytes "<key>.json", with a checksum of its own, untouched until somebody asks. [any] */
#ifndef LATHE_MODEL_DOCUMENTS_H
#define LATHE_MODEL_DOCUMENTS_H

#include "model/safetensors.h"

/* As a string; a NULL tree is left out. */
int32_t lathe_documents_put(lathe_st_writer *w, const char *key, const cJSON *tree,
                            lathe_error *err);
/* As a tensor; `text` is the caller's and must live until the file is written. A NULL tree is left out. */
int32_t lathe_documents_put_large(lathe_st_writer *w, const char *key, const cJSON *tree,
                                  lathe_buf *text, lathe_error *err);
/* From either place, a tree of the caller's; NULL where it is absent. LATHE_E_CORRUPT: it is there and broken. */
int32_t lathe_documents_get(const lathe_st_file *file, const char *key, cJSON **tree,
                            lathe_error *err);

#endif

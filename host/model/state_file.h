/* model/state_file.h: a state tree (plugin/state.h) in a safetensors file: of a model, of a cached candidate.
 *
 * Tensor "w" of node <prefix> is the tensor "<prefix>.w"; a child "base.0" is the node "<prefix>/base.0". Each node's
 * identity and attributes are one metadata string "node:<prefix>", JSON with sorted keys; numbers in it round-trip
 * exactly (NaN and infinities too), strings that are no valid UTF-8 are hexadecimal. [any]
 */
#ifndef LATHE_MODEL_STATE_FILE_H
#define LATHE_MODEL_STATE_FILE_H

#include "model/safetensors.h"
#include "plugin/state.h"

/* Adds a tree. The writer refers to the tree's memory: it must live until lathe_st_write. */
int32_t lathe_state_put(lathe_st_writer *w, const char *prefix, const lathe_state *node,
                        lathe_error *err);

/* Builds the tree from the mapping, without copying tensors; each tensor's CRC-32 is checked. The tree holds a
 * reference to the file. Depth and counts are bounded; defects are LATHE_E_CORRUPT. */
int32_t lathe_state_get(lathe_st_file *file, const char *prefix, lathe_state **node,
                        lathe_error *err);

#endif

/* pipeline/read.h: a source read to its end. [worker] */
#ifndef LATHE_PIPELINE_READ_H
#define LATHE_PIPELINE_READ_H

#include "data/frame.h"
#include "plugin/runtime.h"

/* What reading noticed. */
typedef struct lathe_read_note {
    int64_t rows, bytes, skipped;
    char text[256];
} lathe_read_note;

/* Reads everything into a finished frame; the stop flag is looked at between blocks. note may be NULL. */
int32_t lathe_read_source(lathe_runtime *runtime, const lathe_component *source,
                          lathe_frame **frame, lathe_read_note *note, lathe_error *err);

#endif

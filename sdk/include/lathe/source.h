/* lathe/source.h: where tables come from. The only kind that does I/O.
 *
 * A source is read as a stream of blocks, so that a file larger than memory, and a replay in windows, need
 * nothing special. Types are decided before the first block and do not change.
 */
#ifndef LATHE_SOURCE_H
#define LATHE_SOURCE_H

#include "host.h"
#include "param.h"
#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What reading noticed, for the report of `prepare`. */
typedef struct lathe_source_note {
    uint32_t struct_size;
    uint32_t reserved0;
    int64_t bytes_read;
    int64_t rows_read;
    int64_t rows_skipped; /* with a rule that allows it */
    const char *text;     /* "delimiter ';', quoted with \"", or NULL */
} lathe_source_note;

typedef struct lathe_source {
    uint32_t struct_size;
    uint32_t reserved0;
    /* [worker] Opens a stream at its start; an instance may have several, each used by one thread at a time,
     * and outlives them. After an error there is no stream. */
    int32_t (*open)(void *self, void **stream, lathe_error *err);
    /* [worker] Column names and types, as a table of no rows; valid until close. The dictionary of a CATEGORY
     * column may still grow. */
    int32_t (*schema)(void *stream, const lathe_table **schema, lathe_error *err);
    /* [worker] The next at most max_rows rows, in the source's order, in memory of the plugin that is valid
     * until the next call; n_rows == 0 at the end. A dictionary only grows: codes given before stay.
     * Errors name file and line in err->where. */
    int32_t (*next)(void *stream, int64_t max_rows, lathe_table *block, lathe_error *err);
    int32_t (*note)(void *stream,
                    lathe_source_note *note); /* [worker] set struct_size first; may be NULL */
    void (*close)(void *stream);              /* [worker] */
} lathe_source;

#ifdef __cplusplus
}
#endif
#endif

#include "pipeline/read.h"

#include "plugin/call.h"

#define BLOCK_ROWS 65536

static int32_t read_blocks(lathe_runtime *runtime, const lathe_instance *source, void *stream,
                           lathe_frame *frame, lathe_error *err) {
    for (;;) {
        lathe_table block = {0};
        if (lathe_runtime_stopped(runtime))
            return lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped while reading the source");
        int32_t rc = lathe_call_source_next(source, stream, BLOCK_ROWS, &block, err);
        if (rc != LATHE_OK)
            return rc;
        if (block.n_rows == 0)
            return lathe_frame_finish(frame, err);
        rc = lathe_frame_append(frame, &block, err);
        if (rc != LATHE_OK)
            return rc;
    }
}

static void take_note(const lathe_instance *source, void *stream, lathe_read_note *note) {
    lathe_source_note found = {.struct_size = LATHE_SIZED(lathe_source_note)};
    if (!lathe_call_source_note(source, stream, &found))
        return;
    note->bytes = found.bytes_read;
    note->skipped = found.rows_skipped;
    snprintf(note->text, sizeof note->text, "%s", found.text ? found.text : "");
}

int32_t lathe_read_source(lathe_runtime *runtime, const lathe_component *component,
                          lathe_frame **frame, lathe_read_note *note, lathe_error *err) {
    lathe_instance source = {0};
    void *stream = NULL;
    const lathe_table *schema = NULL;
    *frame = NULL;
    int32_t rc = lathe_instance_create(runtime, component, 0, NULL, &source, err);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_call_source_open(&source, &stream, err);
    if (rc != LATHE_OK)
        goto fail_source;
    rc = lathe_call_source_schema(&source, stream, &schema, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_begin(schema, frame, err);
    if (rc == LATHE_OK)
        rc = read_blocks(runtime, &source, stream, *frame, err);
    if (rc == LATHE_OK && note != NULL) {
        *note = (lathe_read_note){.rows = lathe_frame_rows(*frame)};
        take_note(&source, stream, note);
    }
    if (rc != LATHE_OK) {
        lathe_frame_free(*frame);
        *frame = NULL;
    }
    lathe_call_source_close(&source, stream);
fail_source:
    lathe_instance_destroy(&source);
    return rc;
}

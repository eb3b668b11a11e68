/* tests/fuzz/fuzz.h: what the harnesses share. Each is one file, fuzz_NAME.c, with LLVMFuzzerTestOneInput; ./dev fuzz runs
 * them. A harness checks what must hold for any input, beside what the sanitizers see. */
#ifndef LATHE_FUZZ_H
#define LATHE_FUZZ_H

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "plugin/bind.h"
#include "plugin/call.h"
#include "plugin/catalogue.h"
#include "plugin/runtime.h"

#include <lathe/lathe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Bytes as a file; its path is good until the next call with this slot (0 … 3). */
static inline const char *fuzz_file(int slot, const uint8_t *data, size_t size) {
    static int fds[4] = {-1, -1, -1, -1};
    static char paths[4][40];
    if (fds[slot] < 0)
        fds[slot] = memfd_create("fuzz", 0);
    FUZZ_CHECK(fds[slot] >= 0 && ftruncate(fds[slot], 0) == 0 &&
               pwrite(fds[slot], data, size, 0) == (ssize_t)size);
    snprintf(paths[slot], sizeof paths[slot], "/proc/%d/fd/%d", (int)getpid(), fds[slot]);
    return paths[slot];
}

typedef struct fuzz_plugins {
    lathe_catalogue *catalogue;
    lathe_pool *pool;
    lathe_runtime *runtime;
} fuzz_plugins;

/* The built plugins, opened once a process. */
static inline fuzz_plugins *fuzz_open(void) {
    static fuzz_plugins p;
    if (p.runtime == NULL) {
        const lathe_catalogue_options options = {.builtin_dir = LATHE_PLUGIN_DIR,
                                                 .no_environment = true};
        lathe_log_set_level(LATHE_LEVEL_ERROR);
        FUZZ_CHECK(lathe_catalogue_open(&options, &p.catalogue, NULL) == LATHE_OK);
        FUZZ_CHECK((p.pool = lathe_pool_new(1)) != NULL);
        const lathe_runtime_options run = {.catalogue = p.catalogue, .pool = p.pool};
        FUZZ_CHECK(lathe_runtime_new(&run, &p.runtime, NULL) == LATHE_OK);
    }
    return &p;
}

/* Reads a source to its end, or a hundred thousand rows, and looks at every cell. */
static inline void fuzz_source(const char *use) {
    fuzz_plugins *p = fuzz_open();
    const lathe_binder binder = {.catalogue = p->catalogue, .load = true};
    lathe_component *component = NULL;
    lathe_instance source = {0};
    lathe_error err = {0};
    void *stream = NULL;
    FUZZ_CHECK(lathe_bind_use(&binder, LATHE_KIND_SOURCE, use, &component, &err) == LATHE_OK);
    FUZZ_CHECK(lathe_instance_create(p->runtime, component, 0, NULL, &source, &err) == LATHE_OK);
    int32_t rc = lathe_call_source_open(&source, &stream, &err);
    if (rc == LATHE_OK) {
        const lathe_table *schema;
        lathe_table block = {0};
        int64_t rows = 0;
        rc = lathe_call_source_schema(&source, stream, &schema, &err);
        do {
            if (rc == LATHE_OK)
                rc = lathe_call_source_next(&source, stream, 1000, &block, &err);
            rows += block.n_rows;
            for (int64_t c = 0; rc == LATHE_OK && c < block.n_columns; c++) {
                volatile uint8_t sum = 0;
                const size_t bytes =
                    (size_t)block.n_rows * (size_t)lathe_value_size(block.columns[c].type);
                for (size_t i = 0; i < bytes; i++)
                    sum = (uint8_t)(sum + ((const uint8_t *)block.columns[c].values)[i]);
            }
        } while (rc == LATHE_OK && block.n_rows > 0 && rows < 100000);
        lathe_call_source_close(&source, stream);
    }
    if (rc != LATHE_OK)
        FUZZ_CHECK(err.message[0] != 0);
    lathe_instance_destroy(&source);
    lathe_component_free(component);
}

#endif

/* Configurations of the service: refused with a reason and left as they were, or within their bounds. */
#include "fuzz.h"
#include "serve/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lathe_diags diags = {0};
    lathe_serve_config config, before;
    lathe_arena *arena = lathe_arena_new();
    lathe_buf text = {0};
    FUZZ_CHECK(arena != NULL);
    lathe_serve_config_init(&config);
    before = config;
    const bool good = lathe_serve_config_load(fuzz_file(0, data, size), arena, &config, &diags);
    FUZZ_CHECK(good != lathe_diags_any(&diags));
    if (!good)
        FUZZ_CHECK(config.workers == before.workers && config.listen == before.listen);
    FUZZ_CHECK(config.workers >= 1 && config.workers <= 64 && config.run_concurrent >= 1);
    lathe_diags_format(&diags, &text);
    lathe_buf_free(&text);
    lathe_diags_free(&diags);
    lathe_arena_free(arena);
    return 0;
}

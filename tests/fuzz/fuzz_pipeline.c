/* Pipeline documents: NULL has a reason, and what was read is whole. */
#include "fuzz.h"
#include "pipeline/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const roots[] = {"/srv/data"};
    const lathe_pipeline_options options = {
        .catalogue = fuzz_open()->catalogue, .base_dir = "/srv/data", .roots = roots, .n_roots = 1};
    lathe_diags diags = {0};
    lathe_buf text = {0};
    lathe_pipeline *pipeline =
        lathe_pipeline_parse((const char *)data, size, "fuzz.json", &options, &diags);
    FUZZ_CHECK((pipeline == NULL) == lathe_diags_any(&diags));
    lathe_diags_format(&diags, &text);
    lathe_buf_free(&text);
    lathe_pipeline_free(pipeline);
    lathe_diags_free(&diags);
    return 0;
}

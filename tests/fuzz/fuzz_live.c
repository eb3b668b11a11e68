/* Statistics of served rows as a worker may have left them: any bytes give numbers, and windows of them. The features are
 * those of $LATHE_FUZZ_MODEL. */
#include "fuzz.h"
#include "model/model.h"
#include "monitor/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static lathe_baseline *baseline;
    static lathe_live *live;
    static uint8_t *region;
    if (live == NULL) {
        cJSON *description = NULL;
        const char *path = getenv("LATHE_FUZZ_MODEL");
        FUZZ_CHECK(path != NULL && lathe_model_describe(path, &description, NULL) == LATHE_OK);
        FUZZ_CHECK(lathe_baseline_from_json(lathe_json_get(description, "baseline"), &baseline,
                                            NULL) == LATHE_OK);
        FUZZ_CHECK(lathe_live_new(baseline, NULL, (size_t)1 << 20, &live, NULL) == LATHE_OK);
        FUZZ_CHECK((region = aligned_alloc(64, lathe_live_bytes(live))) != NULL);
        cJSON_Delete(description);
    }
    const size_t bytes = lathe_live_bytes(live);
    memset(region, 0, bytes);
    memcpy(region, data, size < bytes ? size : bytes);
    lathe_live_total *total = lathe_live_total_new(live), *before = lathe_live_total_new(live);
    FUZZ_CHECK(total != NULL && before != NULL);
    lathe_live_sum(region, total);
    lathe_live_total_copy(before, total);
    lathe_live_sum(region, total);
    for (int64_t f = 0; f < lathe_live_features(live); f++)
        for (int32_t r = LATHE_BINS_COARSE; r <= LATHE_BINS_FINE; r++) {
            lathe_live_feature feature;
            lathe_live_describe(total, before, f, r, &feature);
            FUZZ_CHECK(feature.n_bins > 0 && feature.counts != NULL);
            volatile double sum = 0;
            for (int64_t b = 0; b < feature.n_bins; b++)
                sum = sum + feature.counts[b];
        }
    lathe_window *window = lathe_window_new(baseline);
    FUZZ_CHECK(window != NULL);
    lathe_live_window(total, before, window);
    lathe_window_free(window);
    lathe_live_total_free(before);
    lathe_live_total_free(total);
    return 0;
}

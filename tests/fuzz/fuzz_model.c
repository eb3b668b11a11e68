/* Model files: refused with a reason, or usable: a row of missing values through it. (Built with
 * LATHE_FUZZ, checksums that do not fit are taken for right, so that what lies behind them is reached.) */
#include "fuzz.h"
#include "serve/infer/plan.h"

static void use(const char *path) {
    fuzz_plugins *p = fuzz_open();
    lathe_error err = {0};
    lathe_model *model = NULL;
    lathe_plan *plan = NULL;
    lathe_plan_output output;
    cJSON *description = NULL;
    if (lathe_model_describe(path, &description, &err) == LATHE_OK)
        cJSON_Delete(description);
    else
        FUZZ_CHECK(err.message[0] != 0);
    (void)lathe_model_verify(path, &err);
    int32_t rc = lathe_model_open(p->runtime, path, &model, &err);
    if (rc == LATHE_OK) {
        for (int part = LATHE_MODEL_DOCUMENT; part <= LATHE_MODEL_BASELINE; part++) {
            cJSON *tree = NULL;
            FUZZ_CHECK(lathe_model_document(model, (lathe_model_part)part, &tree, &err) ==
                           LATHE_OK ||
                       (tree == NULL && err.message[0] != 0));
            cJSON_Delete(tree);
        }
        rc = lathe_plan_new(model, 4, &plan, &err);
    }
    if (rc == LATHE_OK)
        rc = lathe_plan_begin(plan, 1, &err);
    if (rc == LATHE_OK)
        rc = lathe_plan_run(plan, &output, &err);
    FUZZ_CHECK(rc == LATHE_OK || err.message[0] != 0);
    lathe_plan_free(plan);
    lathe_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    use(fuzz_file(0, data, size));
    return 0;
}

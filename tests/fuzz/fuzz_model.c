/* Model files: refused with a reason, or usable: a row of missing values through it. (Built with
 * LATHE_FUZZ, checksums that do not fit are taken for right, so that what lies behind them is reached.) */
#include "fuzz.h"
#include "serve/infer/plan.h"

static void use(const char *path, size_t size) {
    fuzz_plugins *p = fuzz_open();
    lathe_error err = {0};
    lathe_model *model = NULL;
    lathe_plan *plan = NULL;
    lathe_plan_output output;
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
    /* What opening refuses is mostly refused by the same code here: half of those inputs are enough. */
    if ((rc == LATHE_OK || size % 2 == 0) && lathe_model_verify(path, &err) != LATHE_OK)
        FUZZ_CHECK(err.message[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    use(fuzz_file(0, data, size), size);
    return 0;
}

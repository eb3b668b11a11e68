/* Inference requests, JSON and binary, against a model of numbers and categories ($LATHE_FUZZ_MODEL). The first byte says
 * where the JSON ends: 0: all is JSON; 1: all is one tensor; else after so many pieces of 16 bytes. */
#include "fuzz.h"
#include "serve/oip/oip.h"

static lathe_model *model;
static lathe_oip_model *shown;
static lathe_plan *plan;
static lathe_oip *oip;

static void prepare(void) {
    const char *path = getenv("LATHE_FUZZ_MODEL");
    lathe_error err = {0};
    if (path == NULL) {
        fputs("set LATHE_FUZZ_MODEL to a model file (./dev fuzz does)\n", stderr);
        exit(1);
    }
    FUZZ_CHECK(lathe_model_open(fuzz_open()->runtime, path, &model, &err) == LATHE_OK);
    FUZZ_CHECK(lathe_oip_model_new(model, "m", "1", &shown, &err) == LATHE_OK);
    FUZZ_CHECK(lathe_plan_new(model, 64, &plan, &err) == LATHE_OK);
    FUZZ_CHECK((oip = lathe_oip_new()) != NULL);
}

static lathe_plan *plan_for(void *user, int64_t rows, lathe_error *err) {
    (void)user;
    if (rows <= 64)
        return plan;
    lathe_fail(err, LATHE_E_MEMORY, NULL, "too many rows for this test");
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lathe_error err = {0};
    lathe_plan_output output;
    if (model == NULL)
        prepare();
    if (size < 1)
        return 0;
    const int64_t header = data[0] == 0 ? -1 : data[0] == 1 ? 0 : (data[0] - 1) * 16;
    uint8_t *body = aligned_alloc(64, (size + 63) / 64 * 64); /* as the HTTP layer gives it */
    memcpy(body, data + 1, size - 1);
    int32_t rc = lathe_oip_parse(oip, shown, body, size - 1, header, plan_for, NULL, &err);
    if (rc == LATHE_OK)
        rc = lathe_plan_run(lathe_oip_plan(oip), &output, &err);
    if (rc == LATHE_OK) {
        size_t json_len = 0, len = 0;
        uint8_t *out = malloc(lathe_oip_bound(oip));
        rc = lathe_oip_write(oip, &output, out, &json_len, &len, &err);
        FUZZ_CHECK(rc != LATHE_OK || (len <= lathe_oip_bound(oip) && json_len <= len));
        if (rc == LATHE_OK) { /* what we write is JSON */
            lathe_json *doc = lathe_json_read((const char *)out, json_len, NULL, NULL, &err);
            FUZZ_CHECK(doc != NULL);
            lathe_json_free(doc);
        }
        free(out);
    }
    if (rc != LATHE_OK)
        FUZZ_CHECK(err.message[0] != 0 && lathe_oip_status(rc) >= 400);
    free(body);
    return 0;
}

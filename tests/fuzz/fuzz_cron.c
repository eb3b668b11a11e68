/* Cron expressions: refused with a reason, or due again and again, each time later, in any zone. */
#include "base/cron.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"UTC", "Europe/Berlin", "Australia/Lord_Howe"};
    static const int64_t begins[] = {0, 1711846799, 1729990800, 1e9};
    static lathe_timezone *zones[3];
    char *text = malloc(size + 1);
    lathe_cron cron;
    lathe_error err = {0};
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    const int32_t rc = lathe_cron_parse(text, &cron, &err);
    FUZZ_CHECK(rc == LATHE_OK || err.message[0] != 0);
    for (size_t z = 0; rc == LATHE_OK && z < 3; z++) {
        if (zones[z] == NULL && lathe_timezone_open(names[z], &zones[z], NULL) != LATHE_OK)
            continue; /* a machine without tzdata */
        for (size_t b = 0; b < sizeof begins / sizeof *begins; b++)
            for (int64_t at = begins[b], i = 0; i < 3; i++) {
                const int64_t next = lathe_cron_next(&cron, zones[z], at);
                FUZZ_CHECK(next > at);
                at = next;
            }
    }
    free(text);
    return 0;
}

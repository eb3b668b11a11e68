/* CSV files, plain and gzip'd: the first byte chooses among settings. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const settings[] = {"", ", \"missing\": [\"NA\", \"?\"]",
                                           ", \"delimiter\": \";\"", ", \"header\": false"};
    char use[256];
    if (size < 1)
        return 0;
    snprintf(use, sizeof use, "{\"csv\": {\"path\": \"%s\"%s}}", fuzz_file(0, data + 1, size - 1),
             settings[data[0] % 4]);
    fuzz_source(use);
    return 0;
}

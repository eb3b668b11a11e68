/* idx images and labels: the first two bytes are the length of the images. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char use[256];
    if (size < 2)
        return 0;
    size_t images = (size_t)data[0] * 256 + data[1];
    images = images < size - 2 ? images : size - 2;
    const char *first = fuzz_file(0, data + 2, images);
    const char *second = fuzz_file(1, data + 2 + images, size - 2 - images);
    snprintf(use, sizeof use, "{\"idx\": {\"images\": \"%s\", \"labels\": \"%s\"}}", first, second);
    fuzz_source(use);
    return 0;
}

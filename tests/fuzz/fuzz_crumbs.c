/* The page of breadcrumbs as a plugin may have left it: what the parent reads of it is text that ends. The first two bytes say
 * where in an orderly page the rest lies. */
#include "fuzz.h"
#include "plugin/crumbs.h"

static bool ends(const char *text, size_t size) {
    return memchr(text, 0, size) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void *orderly, *page;
    lathe_crash crash;
    char text[300];
    if (orderly == NULL) {
        orderly = aligned_alloc(4096, LATHE_CRUMBS_BYTES);
        page = aligned_alloc(4096, LATHE_CRUMBS_BYTES);
        FUZZ_CHECK(orderly != NULL && page != NULL);
        memset(orderly, 0, LATHE_CRUMBS_BYTES);
        FUZZ_CHECK(lathe_crumbs_attach(orderly, LATHE_CRUMBS_BYTES) != NULL);
    }
    if (size < 2)
        return 0;
    const size_t at = ((size_t)data[0] | (size_t)data[1] << 8) * 4;
    const size_t room = LATHE_CRUMBS_BYTES - at;
    memcpy(page, orderly, LATHE_CRUMBS_BYTES);
    memcpy((uint8_t *)page + at, data + 2, size - 2 < room ? size - 2 : room);
    if (!lathe_crumbs_read(page, LATHE_CRUMBS_BYTES, &crash))
        return 0;
    FUZZ_CHECK(ends(crash.plugin, sizeof crash.plugin) &&
               ends(crash.function, sizeof crash.function));
    FUZZ_CHECK(ends(crash.step, sizeof crash.step) && ends(crash.file, sizeof crash.file));
    FUZZ_CHECK(ends(crash.running, sizeof crash.running));
    FUZZ_CHECK(lathe_crash_text(&crash, text, sizeof text) == text && ends(text, sizeof text));
    return 0;
}

#include "plugin/guard.h"

#include "base/size.h"
#include "plugin/runtime_internal.h"

#include <stdlib.h>
#include <string.h>

int32_t lathe_guard_new(lathe_guard *g, int64_t count, size_t item, lathe_error *err) {
    size_t bytes, total;
    memset(g, 0, sizeof *g);
    if (!lathe_count_bytes(count, item, &bytes) ||
        !lathe_add_size(bytes, 2 * LATHE_ZONE + 63, &total))
        return lathe_fail(err, LATHE_E_SHAPE, NULL, "%lld elements of %zu bytes are no size",
                          (long long)count, item);
    g->raw = malloc(total);
    if (g->raw == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "no memory for %zu bytes", bytes);
    g->data = (void *)(((uintptr_t)g->raw + LATHE_ZONE + 63) & ~(uintptr_t)63);
    g->bytes = bytes;
    memset((char *)g->data - LATHE_ZONE, LATHE_ZONE_BYTE, LATHE_ZONE);
    memset(g->data, 0xFF, bytes);
    memset((char *)g->data + bytes, LATHE_ZONE_BYTE, LATHE_ZONE);
    return LATHE_OK;
}

int32_t lathe_guard_check(const lathe_guard *g, const char *plugin, const char *what,
                          lathe_error *err) {
    if (g->raw == NULL)
        return LATHE_OK;
    const unsigned char *before = (const unsigned char *)g->data - LATHE_ZONE;
    const unsigned char *after = (const unsigned char *)g->data + g->bytes;
    int n_before = 0, n_after = 0;
    for (int i = 0; i < LATHE_ZONE; i++) {
        n_before += before[i] != LATHE_ZONE_BYTE;
        n_after += after[i] != LATHE_ZONE_BYTE;
    }
    if (n_before == 0 && n_after == 0)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_CORRUPT, plugin,
                      "%s wrote %d bytes %s %s (%zu bytes); its results cannot be trusted: ask its "
                      "author",
                      plugin, n_before ? n_before : n_after,
                      n_before ? "before the begin of" : "past the end of", what, g->bytes);
}

void lathe_guard_free(lathe_guard *g) {
    free(g->raw);
    memset(g, 0, sizeof *g);
}

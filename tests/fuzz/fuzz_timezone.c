/* Files of time zones (TZif): refused, or offsets within a day; the moment of a clock's time shows that time or lies in a gap. */
#include "base/timezone.h"
#include "fuzz.h"

#include <sys/stat.h>

static const char *folder(void) {
    static char path[40];
    if (path[0] == 0) {
        strcpy(path, "/tmp/lathe-fuzz-XXXXXX");
        FUZZ_CHECK(mkdtemp(path) != NULL && setenv("TZDIR", path, 1) == 0);
    }
    return path;
}

static void leave(void) {
    char path[64];
    snprintf(path, sizeof path, "%s/Fuzz", folder());
    unlink(path);
    rmdir(folder());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t moments[] = {INT32_MIN, -1, 0, 1711846800, 1729990800, 4102444800, 1e11};
    static bool known;
    char path[64];
    lathe_timezone *zone = NULL;
    lathe_error err = {0};
    snprintf(path, sizeof path, "%s/Fuzz", folder());
    if (!known)
        atexit(leave);
    known = true;
    FILE *f = fopen(path, "w");
    FUZZ_CHECK(f != NULL && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    const int32_t rc = lathe_timezone_open("Fuzz", &zone, &err);
    FUZZ_CHECK((rc == LATHE_OK) == (zone != NULL) && (rc == LATHE_OK || err.message[0] != 0));
    for (size_t i = 0; zone != NULL && i < sizeof moments / sizeof *moments; i++) {
        const int64_t offset = lathe_timezone_offset(zone, moments[i]);
        FUZZ_CHECK(offset > -86400 && offset < 86400);
        const int64_t moment = lathe_timezone_moment(zone, moments[i]);
        FUZZ_CHECK(llabs(moment - moments[i]) < 4 * 86400);
    }
    lathe_timezone_free(zone);
    return 0;
}

/* Runs a harness over files without libFuzzer: replay_NAME FILE|FOLDER …. Each input is run as it is, cut short, and with single
 * bits turned, the same each time, so that a regression is found by any compiler in a second. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

#define CUTS 16
#define FLIPS 64
#define LARGE ((size_t)64 << 10) /* larger ones as they are alone */

static long runs;

static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + !size); /* of that very size, for the sanitizers */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void replay(uint8_t *data, size_t size) {
    run(data, size);
    for (size_t k = 0; k < CUTS && size <= LARGE; k++)
        run(data, size * k / CUTS);
    for (size_t k = 0; k < FLIPS && size > 0 && size <= LARGE; k++) {
        const size_t at = (k * 2654435761u) % size;
        data[at] ^= (uint8_t)(1u << k % 8);
        run(data, size);
        data[at] ^= (uint8_t)(1u << k % 8);
    }
}

static void replay_file(const char *path) {
    char *data = NULL;
    size_t len = 0;
    FUZZ_CHECK(lathe_read_file(path, (size_t)64 << 20, &data, &len, NULL) == LATHE_OK);
    setenv("FUZZ_INPUT", path, 1); /* for a debugger */
    replay((uint8_t *)data, len);
    free(data);
}

static void replay_folder(const char *path) {
    DIR *folder = opendir(path);
    const struct dirent *entry;
    FUZZ_CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        char *file = entry->d_name[0] != '.' ? lathe_path_join(path, entry->d_name) : NULL;
        if (file != NULL)
            replay_file(file);
        free(file);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        (lathe_is_dir(argv[i]) ? replay_folder : replay_file)(argv[i]);
    printf("%ld inputs\n", runs);
    return runs > 0 ? 0 : 1;
}

#include "support_model.h"

#include "base/json.h"
#include "base/sanitizer.h"

#include <stdatomic.h>
#include <sys/wait.h>

#define DATA LATHE_SOURCE_DIR "/pipelines/data/"

const char *const model_penguins =
    "{\"lathe\": 1, \"name\": \"penguins\", \"seed\": 3, \"goal\": {\"task\": \"classification\", "
    "\"target\": \"species\", \"metric\": \"accuracy\"}, \"prepare\": {\"source\": {\"csv\": "
    "{\"path\": \"" DATA "penguins.csv\", \"missing\": [\"NA\", \"\"]}}, \"transforms\": "
    "[{\"impute\": {\"columns\": \"numeric\", \"strategy\": \"median\"}}, {\"one_hot\": {}}, "
    "{\"standardize\": {}}], \"split\": {\"stratified\": {\"test\": 0.2}}}, \"train\": "
    "{\"candidates\": {\"a\": {\"linear\": {}}}}}";
const char *const model_adult =
    "{\"lathe\": 1, \"name\": \"adult\", \"seed\": 7, \"goal\": {\"task\": \"classification\", "
    "\"target\": \"income\", \"positive\": \">50K\", \"metric\": \"auc\"}, \"prepare\": "
    "{\"source\": {\"csv\": {\"path\": \"" DATA "adult.csv.gz\", \"missing\": [\"?\"], \"limit\": "
    "4000}}, \"transforms\": [{\"impute\": {\"columns\": \"numeric\", \"strategy\": "
    "\"median\"}}], \"split\": {\"stratified\": {\"test\": 0.2}}}, \"train\": {\"candidates\": "
    "{\"a\": {\"gbdt\": {\"rounds\": 30, \"learning_rate\": 0.1, \"base\": {\"tree\": "
    "{\"max_leaves\": 31}}}}}}}";
const char *const model_bikes =
    "{\"lathe\": 1, \"name\": \"bikes\", \"seed\": 7, \"goal\": {\"task\": \"regression\", "
    "\"target\": \"cnt\", \"metric\": \"rmse\"}, \"prepare\": {\"source\": {\"csv\": {\"path\": "
    "\"" DATA "bike_sharing_hour.csv.gz\", \"limit\": 3000}}, \"transforms\": [{\"drop\": "
    "{\"columns\": [\"casual\", \"registered\"]}}, {\"date_parts\": {}}], \"split\": "
    "{\"random\": {\"test\": 0.2}}}, \"train\": {\"candidates\": {\"a\": {\"random_forest\": "
    "{\"trees\": 8}}}}}";

/* ---- counting the heap ---- */

static atomic_long allocations;

long heap_count(void) {
    return atomic_load(&allocations);
}

#if LATHE_ASAN || LATHE_TSAN
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
static void on_malloc(const volatile void *block, size_t size) {
    (void)block;
    (void)size;
    atomic_fetch_add(&allocations, 1);
}
static void on_free(const volatile void *block) {
    (void)block;
}
__attribute__((constructor)) static void watch_heap(void) {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
/* glibc's own under their other names; everything in the process calls these. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
__attribute__((visibility("default"))) void *malloc(size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_malloc(size);
}
__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void *realloc(void *block, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(block, size);
}
__attribute__((visibility("default"))) int posix_memalign(void **block, size_t align, size_t size) {
    atomic_fetch_add(&allocations, 1);
    *block = __libc_memalign(align, size);
    return *block != NULL ? 0 : 12;
}
__attribute__((visibility("default"))) void *aligned_alloc(size_t align, size_t size) {
    atomic_fetch_add(&allocations, 1);
    return __libc_memalign(align, size);
}
#endif

/* ---- models ---- */

static void remove_folder(const char *folder) {
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

lathe_model *model_train(fixture *f, const char *document) {
    char folder[] = "/tmp/lathe-model-XXXXXX", path[96], command[1024];
    lathe_error err = {0};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/p.json", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(document, file);
    fclose(file);
    snprintf(command, sizeof command,
             "'%s' run '%s' --home '%s/home' --json --threads 1 > '%s/out.json' 2> '%s/log'",
             LATHE_BIN, path, folder, folder, folder);
    const int status = system(command);
    snprintf(path, sizeof path, "%s/out.json", folder);
    lathe_json *out = lathe_json_load(path, NULL);
    const cJSON *at =
        out ? lathe_json_get(lathe_json_get(lathe_json_root(out), "model"), "file") : NULL;
    if (!cJSON_IsString(at)) {
        snprintf(command, sizeof command, "cat '%s/log' '%s/out.json'", folder, folder);
        (void)!system(command);
        ck_abort_msg("training ended with %d", status);
    }
    lathe_model *model;
    fixture_ok(lathe_model_open(f->runtime, at->valuestring, &model, &err), &err, "model");
    lathe_json_free(out);
    remove_folder(folder); /* the model stays mapped */
    return model;
}

void model_rows_open(fixture *f, const char *csv, int64_t limit, model_rows *rows) {
    char use[512];
    lathe_error err = {0};
    memset(rows, 0, sizeof *rows);
    snprintf(use, sizeof use, "{\"csv\": {\"path\": \"" DATA "%s\", \"missing\": [\"?\", \"NA\"]}}",
             csv);
    fixture_create(f, LATHE_KIND_SOURCE, use, 0, &rows->source);
    fixture_ok(lathe_call_source_open(&rows->source, &rows->stream, &err), &err, "open");
    fixture_ok(lathe_call_source_next(&rows->source, rows->stream, limit, &rows->table, &err), &err,
               "rows");
}

void model_rows_close(model_rows *rows) {
    lathe_call_source_close(&rows->source, rows->stream);
    lathe_instance_destroy(&rows->source);
}

#include "plugin/load.h"

#include "plugin/text.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

typedef struct range {
    uintptr_t inside; /* an address of the file searched for */
    uintptr_t begin;
    uintptr_t end;
} range;

static int find_range(struct dl_phdr_info *info, size_t size, void *user) {
    range *r = user;
    (void)size;
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t to = from + info->dlpi_phdr[i].p_memsz;
        begin = from < begin ? from : begin;
        end = to > end ? to : end;
    }
    if (r->inside < begin || r->inside >= end)
        return 0;
    r->begin = begin;
    r->end = end;
    return 1;
}

/* "…/x.so cannot be used: <what>" */
static int32_t say_file(const char *path, int32_t code, lathe_error *err, const char *what) {
    return lathe_fail(err, code, NULL, "%s cannot be used: %s", path, what);
}

int32_t lathe_load_file(const char *path, lathe_arena *arena, lathe_loaded_file *out,
                        lathe_error *err) {
    char text[400];
    memset(out, 0, sizeof *out);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        lathe_text_clean(why != NULL ? why : "the system gives no reason", 300, text, sizeof text);
        return say_file(path, LATHE_E_INVALID, err, text);
    }
    /* POSIX lets an object pointer from dlsym be a function's; the copy avoids C's missing
     * conversion. */
    void *symbol = dlsym(handle, LATHE_ENTRY_SYMBOL);
    if (symbol == NULL)
        return say_file(path, LATHE_E_INVALID, err,
                        "it exports no " LATHE_ENTRY_SYMBOL "(); make it with LATHE_PLUGIN(…) and "
                        "build it as a shared object, or move the file out of the plugin folder");
    range r = {(uintptr_t)symbol, 0, 0};
    dl_iterate_phdr(find_range, &r);
    out->begin = r.begin;
    out->end = r.end;
    lathe_entry_fn entry;
    memcpy(&entry, &symbol, sizeof entry);
    lathe_error e = {0};
    int32_t rc = lathe_check_entry(entry(), arena, &out->checked, &e);
    if (rc == LATHE_OK)
        return LATHE_OK;
    /* cut to the sentence's room, whole characters */
    lathe_text_clean(e.message, sizeof e.message, text, sizeof text);
    return say_file(path, rc, err, text);
}

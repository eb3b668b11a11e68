#include "pipeline/setup.h"

#include "base/fs.h"
#include "data/dataset.h"
#include "pipeline/link.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

lathe_crumbs *lathe_setup_crumbs(void) {
    struct stat st;
    if (fstat(LATHE_LINK_CRUMBS_FD, &st) != 0 || st.st_size < (off_t)LATHE_CRUMBS_BYTES)
        return NULL;
    void *page =
        mmap(NULL, LATHE_CRUMBS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, LATHE_LINK_CRUMBS_FD, 0);
    if (page == MAP_FAILED)
        return NULL;
    close(LATHE_LINK_CRUMBS_FD); /* the mapping stays; plugins need not find it */
    lathe_crumbs *crumbs = lathe_crumbs_attach(page, LATHE_CRUMBS_BYTES);
    if (crumbs != NULL)
        lathe_crumbs_catch_signals(crumbs, NULL);
    return crumbs;
}

int32_t lathe_setup_open(lathe_setup *s, const lathe_setup_options *options, lathe_error *err) {
    char *self = options->executable ? NULL : lathe_path_self();
    const lathe_catalogue_options catalogue = {.dirs = &options->folder,
                                               .n_dirs = options->folder != NULL,
                                               .cache_file = options->plugin_cache,
                                               .scanner = options->executable ? options->executable
                                                                              : self};
    int32_t rc = lathe_catalogue_open(&catalogue, &s->catalogue, err);
    free(self);
    if (rc != LATHE_OK)
        return rc;
    if (s->crumbs != NULL)
        lathe_catalogue_on_load(s->catalogue, lathe_crumbs_loaded, s->crumbs);
    s->pool = s->crumbs
                  ? lathe_pool_new_with(options->threads, lathe_crumbs_thread_start, s->crumbs)
                  : lathe_pool_new(options->threads);
    if (s->pool == NULL) {
        lathe_setup_close(s);
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "cannot start %d compute threads",
                          options->threads);
    }
    lathe_datasets_set_pool(s->pool);
    const lathe_runtime_options runtime = {.catalogue = s->catalogue,
                                           .pool = s->pool,
                                           .on_event = options->on_event,
                                           .user = options->user,
                                           .stop = options->stop,
                                           .crumbs = s->crumbs};
    rc = lathe_runtime_new(&runtime, &s->runtime, err);
    if (rc != LATHE_OK)
        lathe_setup_close(s);
    return rc;
}

void lathe_setup_close(lathe_setup *s) {
    lathe_runtime_free(s->runtime);
    lathe_datasets_set_pool(NULL);
    lathe_pool_free(s->pool);
    lathe_catalogue_close(s->catalogue);
    s->runtime = NULL;
    s->pool = NULL;
    s->catalogue = NULL;
}

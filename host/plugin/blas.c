#include "plugin/blas.h"

#include "base/log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static lathe_blas blas;

/* Function pointers from dlsym's object pointer, which ISO C lets nobody cast. */
static void find(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
    void *library = dlopen(LATHE_BLAS_SONAME, RTLD_NOW | RTLD_LOCAL);
    void (*set_num_threads)(int) = NULL;
    if (library == NULL) {
        lathe_log(
            LATHE_LEVEL_ERROR, "blas",
            "the matrix library cannot be loaded: %s; install it again (Debian: libopenblas0)",
            dlerror());
        return;
    }
    find(library, "cblas_sgemm", &blas.sgemm);
    find(library, "cblas_dgemm", &blas.dgemm);
    find(library, "openblas_set_num_threads", &set_num_threads); /* another CBLAS has none */
    if (set_num_threads != NULL)
        set_num_threads(1);
    if (blas.sgemm == NULL || blas.dgemm == NULL)
        lathe_log(LATHE_LEVEL_ERROR, "blas", "%s has no cblas_sgemm or cblas_dgemm",
                  LATHE_BLAS_SONAME);
}

const lathe_blas *lathe_blas_get(void) {
    pthread_once(&once, load);
    return blas.sgemm != NULL && blas.dgemm != NULL ? &blas : NULL;
}

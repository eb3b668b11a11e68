/* plugin/blas.h: the CBLAS library, loaded at the first matrix product.
 *
 * OpenBLAS maps tens of megabytes, reserves buffers and starts threads as soon as it is loaded; most processes (the service, its
 * inference workers, every command that shows something) never multiply a matrix. [any]
 */
#ifndef LATHE_PLUGIN_BLAS_H
#define LATHE_PLUGIN_BLAS_H

#include <cblas.h>

typedef struct lathe_blas {
    __typeof__(&cblas_sgemm) sgemm;
    __typeof__(&cblas_dgemm) dgemm;
} lathe_blas;

/* NULL: the library cannot be loaded; the reason has been logged once. */
const lathe_blas *lathe_blas_get(void);

#endif

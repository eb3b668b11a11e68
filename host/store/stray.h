/* store/stray.h: INTERNAL to host/store: files of the home that no row knows. */
#ifndef LATHE_STORE_STRAY_H
#define LATHE_STORE_STRAY_H

#include "store/types.h"

/* path: absolute. A staging folder is one stray. */
typedef int32_t (*lathe_stray_fn)(void *user, const char *path, int64_t bytes, lathe_error *err);

/* Calls fn with what lies in artifacts/sha256 without a row, in artifacts/tmp, and in staging without a
 * running run. fn may remove it. Beside an owner some of these may be on their way in. */
int32_t lathe_store_strays(lathe_store *store, lathe_stray_fn fn, void *user, lathe_error *err);

#endif

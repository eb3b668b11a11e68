/* store/types.h: what every header of the store needs: the handle, arenas, errors. */
#ifndef LATHE_STORE_TYPES_H
#define LATHE_STORE_TYPES_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lathe_store lathe_store;

#endif

/* base/nearest.h: "did you mean …?" [any], allocates nothing. */
#ifndef LATHE_BASE_NEAREST_H
#define LATHE_BASE_NEAREST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours; case does not count) between two names: the
 * restricted Damerau–Levenshtein distance in bytes. Names over 63 bytes: 64. */
int lathe_name_distance(const char *a, const char *b);

/* The candidate nearest to `name`, or NULL where none is near enough to be a likely slip: at most
 * 1 edit for 3 bytes or less, 2 up to 6, else 3; or one of which `name` is a prefix of 3 bytes or more.
 * Ties: the first. NULL candidates are skipped. */
const char *lathe_nearest(const char *name, const char *const *candidates, size_t count);

#endif

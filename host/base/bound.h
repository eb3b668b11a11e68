/* base/bound.h: bounds of a figure as text: ">= 0.92", "<= 2". [any] */
#ifndef LATHE_BASE_BOUND_H
#define LATHE_BASE_BOUND_H

#include <stdbool.h>

typedef enum lathe_compare {
    LATHE_AT_LEAST,
    LATHE_AT_MOST,
    LATHE_MORE_THAN,
    LATHE_LESS_THAN,
    LATHE_EQUAL
} lathe_compare;

/* A sign (>=, <=, ==, >, <) and a finite number, blanks around them. */
bool lathe_bound_parse(const char *text, lathe_compare *compare, double *bound);
/* A NaN holds no bound. */
bool lathe_bound_holds(lathe_compare compare, double bound, double value);

#endif

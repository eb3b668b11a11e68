/* monitor/bounds.h: the numbers of one row, side by side, held against their rules' bounds all at once: what nearly every row
 * passes, so that the rules (monitor/rules.h) look at the others alone. Never changes: reading is [any].
 */
#ifndef LATHE_MONITOR_BOUNDS_H
#define LATHE_MONITOR_BOUNDS_H

#include "monitor/rules.h"

typedef struct lathe_bounds lathe_bounds;

/* For numbers of `columns` in that order. NULL: some rule is about a number of another column. LATHE_E_MEMORY. */
int32_t lathe_bounds_new(const lathe_rules *rules, const int64_t *columns, int64_t n,
                         lathe_bounds **bounds, lathe_error *err);
void lathe_bounds_free(lathe_bounds *bounds); /* NULL is fine */

/* True: the numbers break no rule. False: the rules must look. numbers: [n], missing ones NaN, and behind them zeros up to a
 * multiple of 4; aligned to 32 bytes. [serve] */
bool lathe_bounds_hold(const lathe_bounds *bounds, const double *numbers);

/* Asks for the memory of the next call, some time ahead. [serve] */
void lathe_bounds_expect(const lathe_bounds *bounds);

#endif

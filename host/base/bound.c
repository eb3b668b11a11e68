#include "base/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool lathe_bound_parse(const char *text, lathe_compare *compare, double *bound) {
    static const struct {
        const char *sign;
        lathe_compare compare;
    } signs[] = {{">=", LATHE_AT_LEAST},
                 {"<=", LATHE_AT_MOST},
                 {"==", LATHE_EQUAL},
                 {">", LATHE_MORE_THAN},
                 {"<", LATHE_LESS_THAN}};
    while (*text == ' ')
        text++;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t len = strlen(signs[i].sign);
        if (strncmp(text, signs[i].sign, len) != 0)
            continue;
        char *end;
        *compare = signs[i].compare;
        *bound = strtod(text + len, &end);
        while (*end == ' ')
            end++;
        return end != text + len && *end == 0 && isfinite(*bound);
    }
    return false;
}

bool lathe_bound_holds(lathe_compare compare, double bound, double value) {
    switch (compare) {
    case LATHE_AT_LEAST:
        return value >= bound;
    case LATHE_MORE_THAN:
        return value > bound;
    case LATHE_AT_MOST:
        return value <= bound;
    case LATHE_LESS_THAN:
        return value < bound;
    case LATHE_EQUAL:
        return value == bound;
    }
    return false;
}

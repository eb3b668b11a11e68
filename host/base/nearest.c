#include "base/nearest.h"

#include <string.h>

#define LONGEST 63

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static int min3(int a, int b, int c) {
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* The optimal string alignment distance; three rows of the table suffice. */
int lathe_name_distance(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b);
    if (la > LONGEST || lb > LONGEST)
        return LONGEST + 1;
    int rows[3][LONGEST + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= lb; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= la; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= lb; j++) {
            int ca = lower(a[i - 1]), cb = lower(b[j - 1]);
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == lower(b[j - 2]) && lower(a[i - 2]) == cb &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        int *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[lb];
}

const char *lathe_nearest(const char *name, const char *const *candidates, size_t count) {
    size_t len = strlen(name);
    int bound = len <= 3 ? 1 : len <= 6 ? 2 : 3;
    const char *best = NULL;
    const char *prefixed = NULL;
    int best_distance = bound + 1;
    for (size_t i = 0; i < count; i++) {
        if (candidates[i] == NULL)
            continue;
        int d = lathe_name_distance(name, candidates[i]);
        /* a "near" name that shares no letter is no slip */
        if (d < best_distance && (size_t)d < len) {
            best_distance = d;
            best = candidates[i];
        }
        if (prefixed == NULL && len >= 3 && strncmp(name, candidates[i], len) == 0)
            prefixed = candidates[i];
    }
    return best != NULL ? best : prefixed;
}

/* lathe/table.h: named, typed columns of equal length: what sources make and transforms map.
 *
 * Missing values have one form per type, so that no column needs a second array:
 *   FLOAT64    NaN
 *   INT64      LATHE_MISSING_INT
 *   TIMESTAMP  LATHE_MISSING_INT
 *   CATEGORY   LATHE_CODE_MISSING; LATHE_CODE_UNSEEN for a value that is not in the dictionary
 *   STRING     ptr == NULL
 */
#ifndef LATHE_TABLE_H
#define LATHE_TABLE_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LATHE_COLUMN_FLOAT64 = 1,   /* values: double    [n_rows] */
    LATHE_COLUMN_INT64 = 2,     /* values: int64_t   [n_rows] */
    LATHE_COLUMN_TIMESTAMP = 3, /* values: int64_t   [n_rows], microseconds since 1970-01-01 UTC */
    LATHE_COLUMN_CATEGORY = 4,  /* values: int32_t   [n_rows], codes into dict */
    LATHE_COLUMN_STRING = 5     /* values: lathe_str [n_rows] */
};

#define LATHE_MISSING_INT INT64_MIN
#define LATHE_CODE_MISSING (-1)
#define LATHE_CODE_UNSEEN (-2)

/* One column. Frozen. dict holds the distinct values of a CATEGORY column in the order of their codes. */
typedef struct lathe_column {
    const char *name;
    int32_t type;
    int32_t reserved0;
    void *values;
    const lathe_str *dict;
    int64_t dict_size;
} lathe_column;

/* Frozen. A schema is a table with n_rows 0 whose columns have values NULL. */
typedef struct lathe_table {
    int64_t n_rows;
    int64_t n_columns;
    const lathe_column *columns;
} lathe_table;

/* One column of a transform's output. Frozen. */
typedef struct lathe_field {
    const char *name;
    int32_t type;
    int32_t
        source; /* >= 0: an untouched copy of that input column: the host shares its memory and the
                     * plugin must not write it; -1: written by apply() */
    const lathe_str *dict; /* CATEGORY with source -1: the dictionary, fixed after fit */
    int64_t dict_size;
} lathe_field;

/* Bytes of one value of a column of this type; 0 for an unknown type. */
static inline int64_t lathe_value_size(int32_t type) {
    return type == LATHE_COLUMN_CATEGORY ? 4
           : type == LATHE_COLUMN_STRING ? (int64_t)sizeof(lathe_str)
           : type >= LATHE_COLUMN_FLOAT64 && type <= LATHE_COLUMN_TIMESTAMP ? 8
                                                                            : 0;
}

/* Is the column one of numbers (FLOAT64 or INT64)? */
static inline int32_t lathe_is_numeric(const lathe_column *c) {
    return c->type == LATHE_COLUMN_FLOAT64 || c->type == LATHE_COLUMN_INT64;
}

/* Is the value at `row` missing? */
static inline int32_t lathe_is_missing(const lathe_column *c, int64_t row) {
    switch (c->type) {
    case LATHE_COLUMN_FLOAT64: {
        double v = ((const double *)c->values)[row];
        return v != v;
    }
    case LATHE_COLUMN_INT64:
    case LATHE_COLUMN_TIMESTAMP:
        return ((const int64_t *)c->values)[row] == LATHE_MISSING_INT;
    case LATHE_COLUMN_CATEGORY:
        return ((const int32_t *)c->values)[row] == LATHE_CODE_MISSING;
    case LATHE_COLUMN_STRING:
        return ((const lathe_str *)c->values)[row].ptr == NULL;
    default:
        return 1;
    }
}

/* The value of a FLOAT64, INT64 or TIMESTAMP column as a double; `missing` (a NaN of the caller's) where
 * it is missing. */
static inline double lathe_number_at(const lathe_column *c, int64_t row, double missing) {
    if (c->type == LATHE_COLUMN_FLOAT64)
        return ((const double *)c->values)[row];
    int64_t v = ((const int64_t *)c->values)[row];
    return v == LATHE_MISSING_INT ? missing : (double)v;
}

#ifdef __cplusplus
}
#endif
#endif

/* lathe/param.h: a plugin's parameters as one static table.
 *
 * The host parses and checks the JSON, fills in defaults and writes each value into the plugin's config
 * struct at `offset`; the plugin holds no parser. The same table yields the JSON Schema, `lathe plugins
 * info`, the reference documentation and a tuner's search space. A name is part of the ABI: to rename a
 * parameter, keep the old name as `alias`.
 *
 * What is written at `offset`, by type (LIST and MAP wrap it):
 *   BOOL        int32_t 0 or 1
 *   INT         int64_t
 *   FLOAT       double
 *   STRING      const char *
 *   ENUM        int32_t, an index into `choices`
 *   INT_OR_ENUM lathe_int_or_enum
 *   SCALAR      lathe_scalar: a number, a string or a bool, as the author wrote it
 *   RECORD      the record's struct itself, `record_size` bytes, described by `fields`
 *   COMPONENT   const lathe_component *: a nested plugin of one of the kinds in `kind`
 *   COLUMNS     const lathe_selector *: which columns; resolved against a table by the host
 *   with LATHE_PARAM_LIST   lathe_list of the above
 *   with LATHE_PARAM_MAP    lathe_map from string to the above
 * A value null, where LATHE_PARAM_NULLABLE allows it: BOOL, ENUM: -1; INT: LATHE_INT_NULL; INT_OR_ENUM:
 * choice -1 and value LATHE_INT_NULL; FLOAT: NaN; SCALAR: LATHE_SCALAR_NULL; pointers: NULL; LIST, MAP:
 * count -1. Everything that is pointed to lives until destroy.
 */
#ifndef LATHE_PARAM_H
#define LATHE_PARAM_H

#include "abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LATHE_PARAM_BOOL = 1,
    LATHE_PARAM_INT = 2,
    LATHE_PARAM_FLOAT = 3,
    LATHE_PARAM_STRING = 4,
    LATHE_PARAM_ENUM = 5,
    LATHE_PARAM_INT_OR_ENUM = 6,
    LATHE_PARAM_SCALAR = 7,
    LATHE_PARAM_RECORD = 8,
    LATHE_PARAM_COMPONENT = 9,
    LATHE_PARAM_COLUMNS = 10
};

enum {
    LATHE_PARAM_REQUIRED = 1u << 0, /* no default: the author must give it */
    LATHE_PARAM_NULLABLE = 1u << 1,
    LATHE_PARAM_LIST = 1u << 2,
    LATHE_PARAM_MAP = 1u << 3,
    LATHE_PARAM_HAS_MIN = 1u << 4, /* min applies, inclusive */
    LATHE_PARAM_HAS_MAX = 1u << 5,
    LATHE_PARAM_EXCL_MIN = 1u << 6, /* min itself is not allowed */
    LATHE_PARAM_EXCL_MAX = 1u << 7,
    LATHE_PARAM_PATH =
        1u << 8, /* STRING: a file; the host resolves it against the document, keeps it
                                     * inside the allowed roots, and hashes its content for the cache */
    LATHE_PARAM_SINGLE = 1u << 9,  /* LIST: one bare element stands for a list of one */
    LATHE_PARAM_TUNABLE = 1u << 10 /* a tuner may vary it; min, max and scale are its range */
};

enum { LATHE_SCALE_LINEAR = 0, LATHE_SCALE_LOG = 1 };

#define LATHE_INT_NULL INT64_MIN

typedef struct lathe_int_or_enum {
    int64_t value;  /* where choice is -1 */
    int32_t choice; /* index into choices, or -1 */
    int32_t reserved0;
} lathe_int_or_enum;

enum {
    LATHE_SCALAR_NULL = 0,
    LATHE_SCALAR_NUMBER = 1,
    LATHE_SCALAR_STRING = 2,
    LATHE_SCALAR_BOOL = 3
};

typedef struct lathe_scalar {
    int32_t type; /* LATHE_SCALAR_… */
    int32_t boolean;
    double number;
    const char *string;
} lathe_scalar;

typedef struct lathe_list {
    const void *items; /* count elements of the type above, tightly packed */
    int64_t count;
} lathe_list;

typedef struct lathe_map {
    const char *const *keys; /* [count], in the author's order */
    const void *values;      /* [count] */
    int64_t count;
} lathe_map;

/* A nested plugin with its bound parameters, not yet an instance; make one by lathe_components.create. */
typedef struct lathe_component lathe_component;
/* "numeric", "categorical", "all", a name, a pattern with * and ?, a list of these, or
 * {"except": …}; resolved by lathe_tables.select. */
typedef struct lathe_selector lathe_selector;

/* A default for one task, see lathe_param.by_task. */
typedef struct lathe_task_default {
    int32_t task; /* LATHE_TASK_… ; 0 ends the array */
    int32_t reserved0;
    const char *value; /* JSON text */
} lathe_task_default;

typedef struct lathe_param {
    const char *name; /* snake_case */
    const char *doc;  /* one sentence, never empty; the unit goes into `unit` */
    int32_t type;     /* LATHE_PARAM_BOOL, … */
    uint32_t flags;   /* LATHE_PARAM_REQUIRED, … */
    uint32_t offset;  /* offsetof(config, member) */
    int32_t scale;    /* LATHE_SCALE_… */
    const char
        *def; /* the default as JSON text: "0.001", "\"adam\"", "null", "[]"; NULL if REQUIRED */
    const lathe_task_default *by_task; /* defaults that depend on the task; NULL: none */
    double min;
    double max;
    const char *const *choices;       /* ENUM, INT_OR_ENUM: NULL-terminated */
    const char *kind;                 /* COMPONENT: LATHE_KIND_…, several joined by '|' */
    const struct lathe_param *fields; /* RECORD */
    uint32_t n_fields;
    uint32_t record_size;
    int64_t min_count; /* LIST, MAP */
    int64_t max_count; /* 0: no bound */
    const char *unit;  /* "rows", "seconds", …; NULL: none */
    const char *alias; /* an older name that still works; NULL: none */
} lathe_param;

#ifndef __cplusplus
/* Short forms for a C plugin's table; `t` is the config struct, `m` its member, `f` flags beyond the
 * bounds (or 0), `d` the default as JSON text. The last argument is the doc text, after which further
 * designated initialisers may follow: LATHE_P_INT(cfg, epochs, 0, "20", 1, 1e6, "Passes.", .unit = "epochs"). */
#define LATHE_P_(t, m, ty, f, d)                                                                   \
    .name = #m, .type = ty, .flags = f, .offset = offsetof(t, m), .def = d
#define LATHE_P_RANGE_(f) ((f) | LATHE_PARAM_HAS_MIN | LATHE_PARAM_HAS_MAX)
#define LATHE_P_BOOL(t, m, f, d, ...)                                                              \
    { LATHE_P_(t, m, LATHE_PARAM_BOOL, f, d), .doc = __VA_ARGS__ }
#define LATHE_P_INT(t, m, f, d, lo, hi, ...)                                                       \
    {                                                                                              \
        LATHE_P_(t, m, LATHE_PARAM_INT, LATHE_P_RANGE_(f), d), .min = lo, .max = hi,               \
                                                               .doc = __VA_ARGS__                  \
    }
#define LATHE_P_FLOAT(t, m, f, d, lo, hi, ...)                                                     \
    {                                                                                              \
        LATHE_P_(t, m, LATHE_PARAM_FLOAT, LATHE_P_RANGE_(f), d), .min = lo, .max = hi,             \
                                                                 .doc = __VA_ARGS__                \
    }
#define LATHE_P_INT_OR_ENUM(t, m, f, d, lo, hi, list, ...)                                         \
    {                                                                                              \
        LATHE_P_(t, m, LATHE_PARAM_INT_OR_ENUM, LATHE_P_RANGE_(f), d),                             \
            .min = lo, .max = hi, .choices = list, .doc = __VA_ARGS__                              \
    }
#define LATHE_P_STRING(t, m, f, d, ...)                                                            \
    { LATHE_P_(t, m, LATHE_PARAM_STRING, f, d), .doc = __VA_ARGS__ }
#define LATHE_P_SCALAR(t, m, f, d, ...)                                                            \
    { LATHE_P_(t, m, LATHE_PARAM_SCALAR, f, d), .doc = __VA_ARGS__ }
#define LATHE_P_ENUM(t, m, f, d, list, ...)                                                        \
    { LATHE_P_(t, m, LATHE_PARAM_ENUM, f, d), .choices = list, .doc = __VA_ARGS__ }
#define LATHE_P_RECORD(t, m, f, d, table, type, ...)                                               \
    {                                                                                              \
        LATHE_P_(t, m, LATHE_PARAM_RECORD, f, d), .fields = table,                                 \
                                                  .n_fields = sizeof(table) / sizeof(table[0]),    \
                                                  .record_size = sizeof(type), .doc = __VA_ARGS__  \
    }
#define LATHE_P_COMPONENT(t, m, f, d, k, ...)                                                      \
    { LATHE_P_(t, m, LATHE_PARAM_COMPONENT, f, d), .kind = k, .doc = __VA_ARGS__ }
#define LATHE_P_COLUMNS(t, m, f, d, ...)                                                           \
    { LATHE_P_(t, m, LATHE_PARAM_COLUMNS, f, d), .doc = __VA_ARGS__ }
/* In a descriptor: `LATHE_PARAMS(params, config)` fills config_size, params, n_params and param_size. */
#define LATHE_PARAMS(array, type)                                                                  \
    .config_size = sizeof(type), .params = array, .n_params = sizeof(array) / sizeof(array[0]),    \
    .param_size = sizeof(lathe_param)
#endif

#ifdef __cplusplus
}
#endif
#endif

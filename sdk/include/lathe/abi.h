/* lathe/abi.h: versions, status codes, errors, the plugin entry and the descriptor.
 *
 * A plugin is a shared object that exports exactly one function, lathe_plugin_entry(). It returns a
 * `static const` lathe_entry that lists descriptors; one file may hold several plugins. The function
 * allocates nothing, reads nothing and runs no plugin logic: scanning a folder of plugins is safe and
 * fast. A plugin links nothing of ours: every call into the host goes through the lathe_host table
 * that `create` receives. Build one with
 *
 *     cc -shared -fPIC -fvisibility=hidden -O2 -I$SDK/include my_plugin.c -o my_plugin.so
 *
 * Growth. Within ABI major 1 tables only grow at their end; a changed meaning is a new interface id
 * ("lathe.learner/2"). Method tables, descriptors and data structs begin with `struct_size`; write it
 * with LATHE_SIZED(type). A reader copies min(sizes) and zero-fills the rest, so a member that an older
 * plugin lacks reads as NULL or 0. A reader that is a plugin (an ensemble calls its children's tables
 * directly) tests a member newer than its LATHE_TARGET_MINOR with LATHE_HAS before it reads it. Whoever fills
 * a struct of the caller's writes it member by member, never `*out = …`: the caller's may be shorter.
 * Frozen, for ever as they are: the value structs lathe_error, lathe_str, lathe_tensor, lathe_column, lathe_table,
 * lathe_field, lathe_feature, lathe_segment; what a config holds (lathe_int_or_enum, lathe_scalar, lathe_list,
 * lathe_map); lathe_task_default; lathe_instance.
 *
 * Thread tags, in every comment of these headers:
 *   [loop]    the event loop's thread: never blocks; the host calls no plugin there
 *   [worker]  a compute thread of a worker process
 *   [serve]   the serving thread: no allocation, lock, system call or blocking
 *   [any]     any thread
 * Calls are serial per instance; a function whose `self` is const may run concurrently with itself and
 * with other const functions of the same instance once the instance is fitted.
 */
#ifndef LATHE_ABI_H
#define LATHE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LATHE_ABI_MAJOR 1
#define LATHE_ABI_MINOR 0
#define LATHE_SDK_VERSION "0.1.0"

/* The oldest host minor a plugin needs. Default: the oldest there is. Declarations newer than the
 * target are compiled away, so that using one without raising the target fails at compile time. */
#ifndef LATHE_TARGET_MINOR
#define LATHE_TARGET_MINOR 0
#endif

#define LATHE_ENTRY_MAGIC 0x4854414Cu /* "LATH", little-endian */
#define LATHE_ENTRY_SYMBOL "lathe_plugin_entry"

/* For a struct's first member: `.struct_size = LATHE_SIZED(lathe_learner)`. */
#define LATHE_SIZED(type) ((uint32_t)sizeof(type))

/* Does *object, of a type that begins with struct_size, hold `member`? */
#define LATHE_HAS(type, object, member)                                                            \
    ((object)->struct_size >= offsetof(type, member) + sizeof((object)->member))

#if defined(_WIN32)
#define LATHE_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define LATHE_EXPORT __attribute__((visibility("default")))
#else
#define LATHE_EXPORT
#endif

/* Status of a call. 0 is success. A receiver treats an unknown code as LATHE_E_INTERNAL. */
enum {
    LATHE_OK = 0,
    LATHE_E_INVALID = 1,     /* an argument or a configuration that breaks a documented rule */
    LATHE_E_UNSUPPORTED = 2, /* a valid request that this plugin or host does not offer */
    LATHE_E_SHAPE = 3,       /* rows, columns or dimensions do not fit together */
    LATHE_E_STATE = 4,       /* called in the wrong order, or a saved state that makes no sense */
    LATHE_E_MEMORY = 5,      /* out of memory, or a size beyond a limit */
    LATHE_E_CANCELLED = 6,   /* stopped because host->stopped() said so */
    LATHE_E_NUMERIC = 7,     /* NaN or infinity where a number is needed; divergence */
    LATHE_E_NOT_CONVERGED = 8,
    LATHE_E_IO = 9,       /* a file, pipe or device */
    LATHE_E_VERSION = 10, /* built for, or saved by, a version that this one cannot take */
    LATHE_E_DATA = 11,    /* input data that cannot be used (no rows, one class, unparsable cell) */
    LATHE_E_NOT_FOUND = 12,
    LATHE_E_EXISTS = 13,
    LATHE_E_CORRUPT = 14, /* a checksum, magic or length that is wrong */
    LATHE_E_TIMEOUT = 15,
    LATHE_E_CRASHED = 16, /* a plugin's process ended by a signal */
    LATHE_E_INTERNAL = 99
};

/* Caller-owned, frozen. `where` says in which object ("/train/candidates/net", "income.csv:17"),
 * `message` says what was found, what was expected and what to do. Both are UTF-8 and NUL-terminated. */
typedef struct lathe_error {
    int32_t code;
    int32_t detail; /* errno, line number, … or 0 */
    char where[128];
    char message[512];
} lathe_error;

/* A run of bytes, not NUL-terminated. Frozen. ptr == NULL: missing. */
typedef struct lathe_str {
    const char *ptr;
    int64_t len;
} lathe_str;

/* What a document asks for. Classes are ordered by their bytes; class 1 of a binary task is the second. */
enum {
    LATHE_TASK_REGRESSION = 1,
    LATHE_TASK_BINARY = 2,     /* two classes: one score, one probability, that of class 1 */
    LATHE_TASK_MULTICLASS = 3, /* k > 2 classes: k scores */
};
#define LATHE_TASK_BIT(task) (1u << (task))
#define LATHE_TASKS_CLASSIFICATION                                                                 \
    (LATHE_TASK_BIT(LATHE_TASK_BINARY) | LATHE_TASK_BIT(LATHE_TASK_MULTICLASS))
#define LATHE_TASKS_ALL (LATHE_TASKS_CLASSIFICATION | LATHE_TASK_BIT(LATHE_TASK_REGRESSION))

/* Interface ids, the `kind` of a descriptor. */
#define LATHE_KIND_ACTIVATION "lathe.activation/1"
#define LATHE_KIND_LOSS "lathe.loss/1"
#define LATHE_KIND_OPTIMIZER "lathe.optimizer/1"
#define LATHE_KIND_SCHEDULE "lathe.schedule/1"
#define LATHE_KIND_LEARNER "lathe.learner/1"
#define LATHE_KIND_ENSEMBLE "lathe.ensemble/1" /* its table is lathe_learner; it has children */
#define LATHE_KIND_TRANSFORM "lathe.transform/1"
#define LATHE_KIND_SOURCE "lathe.source/1"
#define LATHE_KIND_SPLIT "lathe.split/1"
#define LATHE_KIND_METRIC "lathe.metric/1"
#define LATHE_KIND_DRIFT "lathe.drift/1"

/* How an instance may be called, descriptor.concurrency. */
enum {
    LATHE_CONCURRENCY_CONST =
        0, /* functions with a const self run concurrently after fit (default) */
    LATHE_CONCURRENCY_SERIAL = 1, /* one call at a time per instance, even const ones */
    LATHE_CONCURRENCY_GLOBAL =
        2 /* one call at a time in the process: wraps a library with globals */
};

/* descriptor.cpu_required: the plugin is offered only on a processor that has all these bits. Two
 * descriptors of one id that differ in these bits are variants; the host takes the most demanding that fits. */
enum {
    LATHE_CPU_AVX2_FMA = 1u << 0,
    LATHE_CPU_AVX512 = 1u << 1 /* F, BW, DQ, VL */
};

/* The bits that this source is being compiled for. A plugin whose loops the compiler vectorises says
 * `.cpu_required = LATHE_CPU_COMPILED` and is built twice, plainly and with -mavx2 -mfma: two variants. */
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define LATHE_CPU_COMPILED (LATHE_CPU_AVX2_FMA | LATHE_CPU_AVX512)
#elif defined(__AVX2__) && defined(__FMA__)
#define LATHE_CPU_COMPILED LATHE_CPU_AVX2_FMA
#else
#define LATHE_CPU_COMPILED 0
#endif

struct lathe_param;
struct lathe_host;

/* One plugin. `static const`, pure data. */
typedef struct lathe_descriptor {
    uint32_t struct_size;
    uint32_t flags;         /* the kind's own flags: LATHE_LEARNER_…, LATHE_LOSS_…, … */
    const char *id;         /* unique: "lathe.activation.relu", third parties "org.example.rff" */
    const char *kind;       /* LATHE_KIND_… */
    const char *name;       /* short name used in documents, snake_case, unique within the kind */
    const char *version;    /* of the plugin, "major.minor.patch" */
    const char *doc;        /* one sentence in English */
    const char *license;    /* SPDX expression */
    const char *url;        /* may be NULL */
    uint32_t concurrency;   /* LATHE_CONCURRENCY_… */
    uint32_t cpu_required;  /* LATHE_CPU_… bits or 0 */
    uint32_t state_version; /* version of the state that save() writes; 0: no state */
    uint32_t state_version_min; /* oldest that load() takes */
    uint32_t config_size;       /* sizeof the config struct, at most 64 KiB; 0: no parameters */
    uint32_t param_size;        /* sizeof(lathe_param) */
    uint32_t n_params;
    uint32_t tasks; /* LATHE_TASK_BIT(…) it can serve; 0: does not depend on the task */
    const struct lathe_param *params;
    const void *interface; /* the kind's method table */

    /* [worker] Cross-field rules that a parameter table cannot say; NULL: none. `config` is bound and
     * has every default. On error fill err->message, and err->where with the parameter's name. */
    int32_t (*check_config)(const void *config, lathe_error *err);

    /* [worker] Makes an instance. `host` and `config` stay valid until destroy. NULL: the instance has
     * no state of its own, and `self` is the config. */
    int32_t (*create)(const struct lathe_host *host, const void *config, void **self,
                      lathe_error *err);

    /* [worker] Frees an instance, also after a failed call. NULL when create is NULL. */
    void (*destroy)(void *self);

    /* [any] Further interfaces by id ("org.example.explain/1"); NULL: none. */
    const void *(*get_interface)(const char *id);
} lathe_descriptor;

/* What the one exported function returns. The first 20 bytes never change. */
typedef struct lathe_entry {
    uint32_t magic; /* LATHE_ENTRY_MAGIC */
    uint32_t struct_size;
    uint16_t abi_major;
    uint16_t abi_built_minor;
    uint16_t abi_min_minor;
    uint16_t reserved0;
    const char *sdk_version;
    const lathe_descriptor *const *descriptors; /* NULL-terminated */
} lathe_entry;

typedef const lathe_entry *(*lathe_entry_fn)(void);

/* The whole boilerplate of a plugin file:
 *     LATHE_PLUGIN(&relu_descriptor, &leaky_relu_descriptor)
 */
#ifdef __cplusplus
#define LATHE_EXTERN_C extern "C"
#else
#define LATHE_EXTERN_C extern
#endif
#define LATHE_PLUGIN(...)                                                                          \
    LATHE_EXTERN_C LATHE_EXPORT const lathe_entry *lathe_plugin_entry(void);                       \
    const lathe_entry *lathe_plugin_entry(void) {                                                  \
        static const lathe_descriptor *const list[] = {__VA_ARGS__, NULL};                         \
        static const lathe_entry entry = {LATHE_ENTRY_MAGIC,  LATHE_SIZED(lathe_entry),            \
                                          LATHE_ABI_MAJOR,    LATHE_ABI_MINOR,                     \
                                          LATHE_TARGET_MINOR, 0,                                   \
                                          LATHE_SDK_VERSION,  list};                               \
        return &entry;                                                                             \
    }

#ifdef __cplusplus
}
#endif
#endif

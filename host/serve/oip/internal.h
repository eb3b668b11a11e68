/* serve/oip/internal.h: the insides of oip.h, for serve/oip alone. */
#ifndef LATHE_SERVE_OIP_INTERNAL_H
#define LATHE_SERVE_OIP_INTERNAL_H

#include "serve/oip/json.h"
#include "serve/oip/oip.h"

/* Datatypes of the protocol. */
typedef enum oip_type {
    OIP_BOOL,
    OIP_UINT8,
    OIP_UINT16,
    OIP_UINT32,
    OIP_UINT64,
    OIP_INT8,
    OIP_INT16,
    OIP_INT32,
    OIP_INT64,
    OIP_FP16,
    OIP_BF16,
    OIP_FP32,
    OIP_FP64,
    OIP_BYTES,
    OIP_TYPES
} oip_type;

typedef struct oip_type_info {
    const char *name;
    int size;      /* bytes; 0: each element has its own length */
    int64_t low;   /* of an integer type */
    uint64_t high; /* 0: no integer type */
} oip_type_info;
extern const oip_type_info oip_types[OIP_TYPES];

struct lathe_oip_model {
    const lathe_model *model;
    const lathe_table *raw;
    const lathe_model_info *info;
    char *name, *version;
    lathe_str *columns;   /* [raw->n_columns] names */
    lathe_buf head;       /* {"model_name":"…","model_version":"…" */
    lathe_buf *labels;    /* [n_classes] the classes as JSON strings */
    size_t longest_label; /* of them, in JSON or binary with its length */
};

enum { OIP_PREDICTION, OIP_PROBABILITY, OIP_OUTPUTS };
extern const char *const oip_output_names[OIP_OUTPUTS];

typedef struct oip_output {
    bool wanted;
    int8_t binary;   /* -1: as the request says for all */
    int64_t classes; /* of the classification extension; 0: none */
} oip_output;

struct lathe_oip {
    const lathe_oip_model *model;
    lathe_plan *plan;
    lathe_oip_plan_fn plan_for;
    void *user;
    oip_cursor c;
    char *text; /* [text_cap] for c.text */
    size_t text_cap;
    uint8_t *seen; /* [seen_cap] columns that have come */
    size_t seen_cap;
    const uint8_t *tensors, *tensors_end; /* the binary part that is not taken yet */
    bool has_tensors;
    int64_t rows;  /* 0: not known yet */
    int64_t first; /* row of the plan */
    bool appends;
    int64_t timeout_us;
    int64_t n_inputs;
    bool has_matrix, has_inputs, has_outputs;
    lathe_str id; /* as JSON, with its quotes; ptr NULL: none */
    bool binary_output;
    oip_output outputs[OIP_OUTPUTS];
    int order[OIP_OUTPUTS]; /* of the answer's outputs */
    int n_outputs;
};

/* The type by which a column is advertised. */
static inline oip_type oip_type_of(int32_t column_type) {
    return column_type == LATHE_COLUMN_FLOAT64 ? OIP_FP64
           : column_type == LATHE_COLUMN_INT64 ? OIP_INT64
                                               : OIP_BYTES;
}

/* One input on its way. */
typedef struct oip_input {
    lathe_str name;
    oip_type type;
    int64_t shape[2];
    int n_dims;
    bool has_type;
    const char *data; /* JSON, not read yet */
    bool filled;
    int64_t binary_size; /* -1: JSON */
    int64_t column;      /* -1: all of them */
} oip_input;

/* For messages: at most 80 bytes of a text. */
static inline int oip_len(lathe_str s) {
    return (int)(s.len < 80 ? s.len : 80);
}

/* Is the value of a parameter's `key` handled? Else it is skipped. */
typedef int32_t (*oip_parameter_fn)(lathe_oip *o, void *user, lathe_str key, bool *handled,
                                    lathe_error *err);
/* oip/request.c: an object of parameters. */
int32_t oip_read_parameters(lathe_oip *o, oip_parameter_fn on_parameter, void *user,
                            lathe_error *err);
bool oip_is_shared_memory(lathe_str key);
int32_t oip_no_shared_memory(lathe_str name, const char *what, lathe_error *err);

/* oip/input.c: an object of the list of inputs. */
int32_t oip_read_input(lathe_oip *o, lathe_error *err);
/* Rows agree among the inputs; the first one begins the plan's batch. `in` has name and shape. */
int32_t oip_begin_rows(lathe_oip *o, const oip_input *in, lathe_error *err);

/* oip/fill.c: elements into the plan. `in` has name, type and shape. */
int32_t oip_fill_json(lathe_oip *o, const oip_input *in, lathe_error *err);
int32_t oip_fill_binary(lathe_oip *o, const oip_input *in, const uint8_t *data, size_t size,
                        lathe_error *err);
/* LATHE_E_INVALID with the cursor's fault and its byte. */
int32_t oip_broken(const lathe_oip *o, lathe_error *err);

#endif

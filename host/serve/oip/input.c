/* Inputs of an inference request: which column each is, and its elements on their way into the plan. */
#include "serve/oip/internal.h"

#include <string.h>

static int32_t input_parameter(lathe_oip *o, void *user, lathe_str key, bool *handled,
                               lathe_error *err) {
    oip_input *in = user;
    if (oip_is_shared_memory(key))
        return oip_no_shared_memory(in->name, in->name.ptr ? "input " : "an input", err);
    *handled = oip_is(key, "binary_data_size");
    if (!*handled)
        return LATHE_OK;
    if (!oip_int(&o->c, &in->binary_size))
        return oip_broken(o, err);
    return in->binary_size >= 0
               ? LATHE_OK
               : lathe_fail(err, LATHE_E_INVALID, NULL, "a \"binary_data_size\" is below 0");
}

static int32_t find_type(lathe_str name, oip_type *type, lathe_error *err) {
    for (int t = 0; t < OIP_TYPES; t++)
        if (oip_is(name, oip_types[t].name)) {
            *type = (oip_type)t;
            return LATHE_OK;
        }
    return lathe_fail(
        err, LATHE_E_INVALID, NULL,
        "\"%.*s\" is no datatype; BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, FP32, "
        "FP64 and BYTES are",
        oip_len(name), name.ptr);
}

/* Lists of column names are in the model's order as a rule: the one after the last comes first. */
static int64_t find_column(const lathe_oip *o, lathe_str name) {
    const int64_t n = o->model->raw->n_columns;
    const lathe_str *columns = o->model->columns;
    for (int64_t k = 0, c = n > 0 ? o->n_inputs % n : 0; k < n; k++) {
        if (columns[c].len == name.len && memcmp(columns[c].ptr, name.ptr, (size_t)name.len) == 0)
            return c;
        c = c + 1 < n ? c + 1 : 0;
    }
    return -1;
}

static int32_t read_shape(lathe_oip *o, oip_input *in, lathe_error *err) {
    oip_cursor *c = &o->c;
    bool closed = false;
    in->n_dims = 0;
    if (!oip_take(c, '[', "a list of dimensions"))
        return oip_broken(o, err);
    if (oip_peek(c) == ']')
        return lathe_fail(err, LATHE_E_SHAPE, NULL, "a \"shape\" has no dimension");
    do {
        int64_t dim;
        if (!oip_int(c, &dim))
            return oip_broken(o, err);
        if (dim < 0 || in->n_dims == 2)
            return lathe_fail(
                err, LATHE_E_SHAPE, NULL,
                "a \"shape\" has a dimension below 0 or more than two; [rows, columns] is "
                "expected for all columns, [rows, 1] or [rows] for one");
        in->shape[in->n_dims++] = dim;
    } while (oip_more(c, ']', &closed));
    return closed ? LATHE_OK : oip_broken(o, err);
}

static int32_t unknown_input(const lathe_oip *o, lathe_str name, lathe_error *err) {
    return lathe_fail(
        err, LATHE_E_INVALID, NULL,
        "the model has no column \"%.*s\"; inputs are its %lld columns by name, or one tensor "
        "of shape [rows, %lld]",
        oip_len(name), name.ptr, (long long)o->model->raw->n_columns,
        (long long)o->model->raw->n_columns);
}

int32_t oip_begin_rows(lathe_oip *o, const oip_input *in, lathe_error *err) {
    const int64_t rows = in->shape[0];
    if (o->rows > 0 && o->rows == rows)
        return LATHE_OK;
    if (o->rows > 0)
        return lathe_fail(err, LATHE_E_SHAPE, NULL,
                          "input \"%.*s\" has %lld rows, others have %lld", oip_len(in->name),
                          in->name.ptr, (long long)rows, (long long)o->rows);
    if (rows < 1 || rows > LATHE_OIP_MAX_ROWS)
        return lathe_fail(err, LATHE_E_SHAPE, NULL,
                          "input \"%.*s\" has %lld rows; 1 to %d are possible", oip_len(in->name),
                          in->name.ptr, (long long)rows, LATHE_OIP_MAX_ROWS);
    o->plan = o->plan_for(o->user, rows, err);
    if (o->plan == NULL)
        return err != NULL && err->code != LATHE_OK ? err->code : LATHE_E_MEMORY;
    const int32_t rc = o->appends ? lathe_plan_append(o->plan, rows, &o->first, err)
                                  : lathe_plan_begin(o->plan, rows, err);
    o->rows = rc == LATHE_OK ? rows : 0;
    return rc;
}

/* Name, type and shape are known: which column is it, and does all that fit? */
static int32_t check_input(lathe_oip *o, oip_input *in, lathe_error *err) {
    const int64_t k = o->model->raw->n_columns;
    in->column = find_column(o, in->name);
    if (in->column < 0) {
        const bool matrix = in->n_dims == 2 && in->shape[1] == k;
        if (o->n_inputs > 0 || (!matrix && in->n_dims == 1))
            return unknown_input(o, in->name, err);
        if (!matrix)
            return lathe_fail(
                err, LATHE_E_SHAPE, NULL, "input \"%.*s\" has %lld columns; the model has %lld",
                oip_len(in->name), in->name.ptr, (long long)in->shape[1], (long long)k);
        o->has_matrix = true;
        return oip_begin_rows(o, in, err);
    }
    if (o->has_matrix || o->seen[in->column])
        return lathe_fail(err, LATHE_E_INVALID, NULL, "input \"%.*s\" comes twice",
                          oip_len(in->name), in->name.ptr);
    if (in->n_dims == 2 && in->shape[1] != 1)
        return lathe_fail(err, LATHE_E_SHAPE, NULL,
                          "input \"%.*s\" is one column: [rows] or [rows, 1] is expected",
                          oip_len(in->name), in->name.ptr);
    o->seen[in->column] = 1;
    return oip_begin_rows(o, in, err);
}

static bool is_ready(const oip_input *in) {
    return in->name.ptr != NULL && in->has_type && in->n_dims > 0;
}

static int32_t read_data(lathe_oip *o, oip_input *in, lathe_error *err) {
    if (!is_ready(in)) { /* told later what this is */
        oip_peek(&o->c);
        in->data = o->c.at;
        return oip_skip(&o->c, 1) ? LATHE_OK : oip_broken(o, err);
    }
    in->filled = true;
    const int32_t rc = check_input(o, in, err);
    return rc == LATHE_OK ? oip_fill_json(o, in, err) : rc;
}

static int32_t read_input_key(lathe_oip *o, oip_input *in, lathe_str key, lathe_error *err) {
    lathe_str text;
    if (in->filled && (oip_is(key, "name") || oip_is(key, "shape") || oip_is(key, "datatype")))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "an input has two times \"%.*s\"",
                          oip_len(key), key.ptr);
    if (oip_is(key, "name"))
        return oip_string(&o->c, &in->name) ? LATHE_OK : oip_broken(o, err);
    if (oip_is(key, "shape"))
        return read_shape(o, in, err);
    if (oip_is(key, "datatype")) {
        in->has_type = true;
        return oip_string(&o->c, &text) ? find_type(text, &in->type, err) : oip_broken(o, err);
    }
    if (oip_is(key, "parameters"))
        return oip_read_parameters(o, input_parameter, in, err);
    if (oip_is(key, "data")) {
        if (in->filled || in->data != NULL)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "an input has two times \"data\"");
        return read_data(o, in, err);
    }
    return oip_skip(&o->c, 1) ? LATHE_OK : oip_broken(o, err);
}

/* The next tensor of the binary part. */
static int32_t take_tensor(lathe_oip *o, const oip_input *in, lathe_error *err) {
    const size_t left = (size_t)(o->tensors_end - o->tensors);
    if (!o->has_tensors)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "input \"%.*s\" is binary, and the request has no header "
                          "Inference-Header-Content-Length",
                          oip_len(in->name), in->name.ptr);
    if ((uint64_t)in->binary_size > left)
        return lathe_fail(err, LATHE_E_SHAPE, NULL,
                          "input \"%.*s\" has %lld bytes of binary data; %zu are left in the body",
                          oip_len(in->name), in->name.ptr, (long long)in->binary_size, left);
    const uint8_t *data = o->tensors;
    o->tensors += in->binary_size;
    return oip_fill_binary(o, in, data, (size_t)in->binary_size, err);
}

/* What could not be filled on the way. */
static int32_t finish_input(lathe_oip *o, oip_input *in, lathe_error *err) {
    int32_t rc = LATHE_OK;
    if (in->filled && in->binary_size >= 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "input \"%.*s\" has \"data\" and \"binary_data_size\"", oip_len(in->name),
                          in->name.ptr);
    if (!in->filled) {
        if (!is_ready(in))
            return lathe_fail(err, LATHE_E_INVALID, NULL,
                              "input %lld lacks its \"name\", \"shape\" or \"datatype\"",
                              (long long)o->n_inputs + 1);
        if ((in->data == NULL) == (in->binary_size < 0))
            return lathe_fail(err, LATHE_E_INVALID, NULL,
                              "input \"%.*s\" needs either \"data\" or \"binary_data_size\"",
                              oip_len(in->name), in->name.ptr);
        rc = check_input(o, in, err);
        const char *after = o->c.at;
        o->c.at = in->data;
        if (rc == LATHE_OK)
            rc = in->data != NULL ? oip_fill_json(o, in, err) : take_tensor(o, in, err);
        o->c.at = after;
    }
    o->n_inputs++;
    return rc;
}

int32_t oip_read_input(lathe_oip *o, lathe_error *err) {
    oip_cursor *c = &o->c;
    oip_input in = {.binary_size = -1};
    bool closed = false;
    if (!oip_take(c, '{', "an input, which is an object"))
        return oip_broken(o, err);
    do {
        lathe_str key;
        if (!oip_key(c, &key))
            return oip_broken(o, err);
        const int32_t rc = read_input_key(o, &in, key, err);
        if (rc != LATHE_OK)
            return rc;
    } while (oip_more(c, '}', &closed));
    return closed ? finish_input(o, &in, err) : oip_broken(o, err);
}

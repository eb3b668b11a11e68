/* Reading an inference request. What each part may be: oip.h and the specifications it names. */
#include "base/utf8.h"
#include "serve/oip/internal.h"

#include <stdlib.h>
#include <string.h>

const char *const oip_output_names[OIP_OUTPUTS] = {"prediction", "probability"};

lathe_oip *lathe_oip_new(void) {
    return calloc(1, sizeof(lathe_oip));
}

void lathe_oip_free(lathe_oip *o) {
    if (o == NULL)
        return;
    free(o->text);
    free(o->seen);
    free(o);
}

lathe_plan *lathe_oip_plan(const lathe_oip *o) {
    return o->plan;
}

lathe_str lathe_oip_id(const lathe_oip *o) {
    return o->id.ptr != NULL && o->id.len >= 2 ? (lathe_str){o->id.ptr + 1, o->id.len - 2}
                                               : (lathe_str){NULL, 0};
}

int64_t lathe_oip_rows(const lathe_oip *o) {
    return o->rows;
}

int lathe_oip_status(int32_t code) {
    switch (code) {
    case LATHE_OK:
        return 200;
    case LATHE_E_INVALID:
    case LATHE_E_SHAPE:
    case LATHE_E_DATA:
        return 400;
    case LATHE_E_NOT_FOUND:
        return 404;
    case LATHE_E_UNSUPPORTED:
        return 501;
    case LATHE_E_MEMORY:
    case LATHE_E_CANCELLED:
        return 503;
    case LATHE_E_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

int32_t oip_broken(const lathe_oip *o, lathe_error *err) {
    return lathe_fail(
        err, LATHE_E_INVALID, NULL, "the body is no valid JSON: at byte %lld %s is expected",
        (long long)(o->c.fault_at - o->c.begin), o->c.fault ? o->c.fault : "something else");
}

/* ---- parameters ---- */

int32_t oip_read_parameters(lathe_oip *o, oip_parameter_fn on_parameter, void *user,
                            lathe_error *err) {
    oip_cursor *c = &o->c;
    bool closed = false;
    if (!oip_take(c, '{', "an object of parameters"))
        return oip_broken(o, err);
    if (oip_peek(c) == '}') {
        c->at++;
        return LATHE_OK;
    }
    do {
        lathe_str key;
        bool handled = false;
        if (!oip_key(c, &key))
            return oip_broken(o, err);
        const int32_t rc = on_parameter(o, user, key, &handled, err);
        if (rc != LATHE_OK)
            return rc;
        if (!handled && !oip_skip(c, 1))
            return oip_broken(o, err);
    } while (oip_more(c, '}', &closed));
    return closed ? LATHE_OK : oip_broken(o, err);
}

static int32_t request_parameter(lathe_oip *o, void *user, lathe_str key, bool *handled,
                                 lathe_error *err) {
    (void)user;
    if (key.len >= 7 && memcmp(key.ptr, "triton_", 7) == 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "the parameter \"%.*s\" begins with \"triton_\", which is reserved",
                          oip_len(key), key.ptr);
    if (oip_is(key, "timeout")) { /* microseconds, as Triton's */
        *handled = true;
        if (!oip_int(&o->c, &o->timeout_us))
            return oip_broken(o, err);
        return o->timeout_us >= 0
                   ? LATHE_OK
                   : lathe_fail(err, LATHE_E_INVALID, NULL, "the parameter \"timeout\" is below 0");
    }
    *handled = oip_is(key, "binary_data_output");
    return *handled && !oip_bool(&o->c, &o->binary_output) ? oip_broken(o, err) : LATHE_OK;
}

/* Regions are of the server's machine and its users': none is taken. */
int32_t oip_no_shared_memory(lathe_str name, const char *what, lathe_error *err) {
    const char *quote = name.ptr ? "\"" : "";
    return lathe_fail(err, LATHE_E_UNSUPPORTED, NULL,
                      "%s%s%.*s%s is in shared memory, which this server does not take; send its "
                      "data in the body",
                      what, quote, oip_len(name), name.ptr ? name.ptr : "", quote);
}

bool oip_is_shared_memory(lathe_str key) {
    return key.len >= 14 && memcmp(key.ptr, "shared_memory_", 14) == 0;
}

static int32_t output_parameter(lathe_oip *o, void *user, lathe_str key, bool *handled,
                                lathe_error *err) {
    oip_output *out = user;
    bool binary;
    if (oip_is_shared_memory(key))
        return oip_no_shared_memory((lathe_str){NULL, 0}, "an output", err);
    if (oip_is(key, "binary_data")) {
        *handled = true;
        if (!oip_bool(&o->c, &binary))
            return oip_broken(o, err);
        out->binary = binary;
    } else if (oip_is(key, "classification")) {
        *handled = true;
        if (!oip_int(&o->c, &out->classes))
            return oip_broken(o, err);
        if (out->classes < 1)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "\"classification\" is below 1");
    }
    return LATHE_OK;
}

/* ---- outputs ---- */

static int32_t read_output(lathe_oip *o, lathe_error *err) {
    oip_cursor *c = &o->c;
    oip_output out = {.wanted = true, .binary = -1};
    lathe_str name = {NULL, 0};
    bool closed = false;
    if (!oip_take(c, '{', "an output, which is an object"))
        return oip_broken(o, err);
    do {
        lathe_str key;
        int32_t rc = LATHE_OK;
        if (!oip_key(c, &key))
            return oip_broken(o, err);
        if (oip_is(key, "parameters"))
            rc = oip_read_parameters(o, output_parameter, &out, err);
        else if (!(oip_is(key, "name") ? oip_string(c, &name) : oip_skip(c, 1)))
            return oip_broken(o, err);
        if (rc != LATHE_OK)
            return rc;
    } while (oip_more(c, '}', &closed));
    if (!closed)
        return oip_broken(o, err);
    const bool classes = o->model->info->n_classes > 0;
    const int which = oip_is(name, "prediction")               ? OIP_PREDICTION
                      : oip_is(name, "probability") && classes ? OIP_PROBABILITY
                                                               : -1;
    if (which < 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "the model has no output \"%.*s\"; it gives %s", oip_len(name),
                          name.ptr ? name.ptr : "",
                          classes ? "\"prediction\" and \"probability\"" : "\"prediction\"");
    if (o->outputs[which].wanted)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "output \"%s\" comes twice",
                          oip_output_names[which]);
    if (out.classes > 0 && which == OIP_PREDICTION)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "\"classification\" is for the output \"probability\" of a classifier");
    if (out.classes > o->model->info->n_classes)
        out.classes = o->model->info->n_classes;
    o->outputs[which] = out;
    o->order[o->n_outputs++] = which;
    return LATHE_OK;
}

/* ---- the whole ---- */

static int32_t read_list(lathe_oip *o, const char *expected,
                         int32_t (*read_one)(lathe_oip *, lathe_error *), lathe_error *err) {
    oip_cursor *c = &o->c;
    bool closed = false;
    if (!oip_take(c, '[', expected))
        return oip_broken(o, err);
    if (oip_peek(c) == ']') {
        c->at++;
        return LATHE_OK;
    }
    do {
        const int32_t rc = read_one(o, err);
        if (rc != LATHE_OK)
            return rc;
    } while (oip_more(c, ']', &closed));
    return closed ? LATHE_OK : oip_broken(o, err);
}

static int32_t read_id(lathe_oip *o, lathe_error *err) {
    lathe_str text;
    oip_peek(&o->c);
    const char *start = o->c.at;
    if (!oip_string(&o->c, &text))
        return oip_broken(o, err);
    o->id = (lathe_str){start, o->c.at - start};
    if (!lathe_utf8_valid(start, (size_t)o->id.len, NULL))
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"id\" is no valid UTF-8");
    if (memchr(text.ptr, 0, (size_t)text.len) != NULL) /* our own readers refuse it in the answer */
        return lathe_fail(err, LATHE_E_INVALID, NULL, "\"id\" holds \\u0000: leave it out");
    return LATHE_OK;
}

static int32_t read_key(lathe_oip *o, lathe_str key, lathe_error *err) {
    if (oip_is(key, "inputs")) {
        if (o->has_inputs)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "\"inputs\" comes twice");
        o->has_inputs = true;
        return read_list(o, "a list of inputs", oip_read_input, err);
    }
    if (oip_is(key, "outputs")) {
        if (o->has_outputs)
            return lathe_fail(err, LATHE_E_INVALID, NULL, "\"outputs\" comes twice");
        o->has_outputs = true;
        return read_list(o, "a list of outputs", read_output, err);
    }
    if (oip_is(key, "parameters"))
        return oip_read_parameters(o, request_parameter, NULL, err);
    if (oip_is(key, "id"))
        return read_id(o, err);
    return oip_skip(&o->c, 1) ? LATHE_OK : oip_broken(o, err);
}

static int32_t read_request(lathe_oip *o, lathe_error *err) {
    oip_cursor *c = &o->c;
    bool closed = false;
    if (!oip_take(c, '{', "an object"))
        return oip_broken(o, err);
    if (oip_peek(c) != '}') {
        do {
            lathe_str key;
            if (!oip_key(c, &key))
                return oip_broken(o, err);
            const int32_t rc = read_key(o, key, err);
            if (rc != LATHE_OK)
                return rc;
        } while (oip_more(c, '}', &closed));
        if (!closed)
            return oip_broken(o, err);
    } else {
        c->at++;
    }
    oip_peek(c);
    if (c->at != c->end) {
        oip_fail(c, "the end of the body");
        return oip_broken(o, err);
    }
    return LATHE_OK;
}

/* Has every column come? */
static int32_t check_complete(const lathe_oip *o, lathe_error *err) {
    const lathe_table *raw = o->model->raw;
    if (o->n_inputs == 0)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "the request has no \"inputs\"");
    for (int64_t c = 0; !o->has_matrix && c < raw->n_columns; c++)
        if (!o->seen[c])
            return lathe_fail(
                err, LATHE_E_INVALID, raw->columns[c].name,
                "input \"%.80s\" is not there; send every column, with null for missing values",
                raw->columns[c].name);
    if (o->has_tensors && o->tensors != o->tensors_end)
        return lathe_fail(err, LATHE_E_SHAPE, NULL, "%zu bytes follow the last binary tensor",
                          (size_t)(o->tensors_end - o->tensors));
    return LATHE_OK;
}

/* A body that is one tensor: one row of a model of one column; all answers are binary. */
static int32_t read_raw(lathe_oip *o, const uint8_t *body, size_t len, lathe_error *err) {
    const lathe_table *raw = o->model->raw;
    if (raw->n_columns != 1)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "a body without JSON is for models of one input; this one has %lld",
                          (long long)raw->n_columns);
    const oip_input in = {.name = {raw->columns[0].name, (int64_t)strlen(raw->columns[0].name)},
                          .type = oip_type_of(raw->columns[0].type),
                          .shape = {1, 1},
                          .n_dims = 2};
    o->n_inputs = 1;
    o->seen[0] = 1;
    o->binary_output = true;
    const int32_t rc = oip_begin_rows(o, &in, err);
    return rc == LATHE_OK ? oip_fill_binary(o, &in, body, len, err) : rc;
}

/* Room for texts of a body of so many bytes, and for the model's columns. */
static int32_t make_room(lathe_oip *o, size_t len, lathe_error *err) {
    const size_t columns = (size_t)o->model->raw->n_columns + 1;
    if (o->text_cap < len) {
        char *text = realloc(o->text, len);
        if (text == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a body of %zu bytes",
                              len);
        o->text = text;
        o->text_cap = len;
    }
    if (o->seen_cap < columns) {
        uint8_t *seen = realloc(o->seen, columns);
        if (seen == NULL)
            return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for %zu columns", columns);
        o->seen = seen;
        o->seen_cap = columns;
    }
    memset(o->seen, 0, columns);
    return LATHE_OK;
}

static void want_all(lathe_oip *o) {
    const int n = o->model->info->n_classes > 0 ? 2 : 1;
    for (int i = 0; i < n; i++) {
        o->outputs[i] = (oip_output){.wanted = true, .binary = -1};
        o->order[i] = i;
    }
    o->n_outputs = n;
}

static int32_t parse(lathe_oip *o, const lathe_oip_model *model, const uint8_t *body, size_t len,
                     int64_t header_length, lathe_oip_plan_fn plan_for, void *user, bool appends,
                     lathe_error *err) {
    if (header_length > 0 && (uint64_t)header_length > len)
        return lathe_fail(err, LATHE_E_INVALID, NULL,
                          "Inference-Header-Content-Length is %lld, and the body has %zu bytes",
                          (long long)header_length, len);
    const size_t json = header_length >= 0 ? (size_t)header_length : len;
    *o = (lathe_oip){.model = model,
                     .plan_for = plan_for,
                     .user = user,
                     .appends = appends,
                     .text = o->text,
                     .text_cap = o->text_cap,
                     .seen = o->seen,
                     .seen_cap = o->seen_cap,
                     .has_tensors = header_length >= 0,
                     .tensors = body + json,
                     .tensors_end = body + len};
    int32_t rc = make_room(o, json, err);
    if (rc != LATHE_OK)
        return rc;
    o->c = (oip_cursor){.at = (const char *)body,
                        .begin = (const char *)body,
                        .end = (const char *)body + json,
                        .text = o->text};
    if (header_length == 0)
        rc = read_raw(o, body, len, err);
    else
        rc = read_request(o, err);
    if (rc == LATHE_OK && header_length != 0)
        rc = check_complete(o, err);
    if (rc == LATHE_OK && o->n_outputs == 0)
        want_all(o);
    return rc;
}

int32_t lathe_oip_parse(lathe_oip *o, const lathe_oip_model *model, const uint8_t *body, size_t len,
                        int64_t header_length, lathe_oip_plan_fn plan_for, void *user,
                        lathe_error *err) {
    return parse(o, model, body, len, header_length, plan_for, user, false, err);
}

int32_t lathe_oip_append(lathe_oip *o, const lathe_oip_model *model, const uint8_t *body,
                         size_t len, int64_t header_length, lathe_oip_plan_fn plan_for, void *user,
                         lathe_error *err) {
    const int32_t rc = parse(o, model, body, len, header_length, plan_for, user, true, err);
    if (rc != LATHE_OK && o->rows > 0) /* it had joined */
        lathe_plan_remove(o->plan, o->first, o->rows);
    return rc;
}

/* ---- the deadline of a body that waits ---- */

/* The value of `key` among the parameters; 0: it is not there. */
static int64_t peek_parameters(oip_cursor *c, const char *name) {
    bool closed = false;
    int64_t value = 0;
    lathe_str key;
    if (!oip_take(c, '{', "") || oip_peek(c) == '}')
        return 0;
    do {
        if (!oip_key(c, &key))
            return 0;
        if (oip_is(key, name))
            return oip_int(c, &value) && value > 0 ? value : 0;
    } while (oip_skip(c, 2) && oip_more(c, '}', &closed));
    return 0;
}

int64_t lathe_oip_peek_timeout_us(const uint8_t *body, size_t len) {
    oip_cursor c = {
        .at = (const char *)body, .begin = (const char *)body, .end = (const char *)body + len};
    bool closed = false;
    lathe_str key;
    /* strings with escapes would need room to be unescaped: such bodies are told by their parse, later */
    if (!oip_take(&c, '{', "") || memchr(body, '\\', len) != NULL)
        return 0;
    do {
        if (!oip_key(&c, &key))
            return 0;
        if (oip_is(key, "parameters"))
            return peek_parameters(&c, "timeout");
    } while (oip_skip(&c, 1) && oip_more(&c, '}', &closed));
    return 0;
}

int64_t lathe_oip_first(const lathe_oip *o) {
    return o->first;
}

void lathe_oip_removed(lathe_oip *o, int64_t first, int64_t n) {
    if (o->first > first)
        o->first -= n;
}

int64_t lathe_oip_timeout_us(const lathe_oip *o) {
    return o->timeout_us;
}

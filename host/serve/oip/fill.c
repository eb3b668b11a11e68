/* Elements of one input tensor, JSON or binary, into the plan's columns. */
#include "serve/oip/internal.h"

#include <math.h>
#include <string.h>

#define RUN 64 /* numbers that go into the plan at once */

const oip_type_info oip_types[OIP_TYPES] = {
    [OIP_BOOL] = {"BOOL", 1, 0, 0},
    [OIP_UINT8] = {"UINT8", 1, 0, UINT8_MAX},
    [OIP_UINT16] = {"UINT16", 2, 0, UINT16_MAX},
    [OIP_UINT32] = {"UINT32", 4, 0, UINT32_MAX},
    [OIP_UINT64] = {"UINT64", 8, 0, UINT64_MAX},
    [OIP_INT8] = {"INT8", 1, INT8_MIN, INT8_MAX},
    [OIP_INT16] = {"INT16", 2, INT16_MIN, INT16_MAX},
    [OIP_INT32] = {"INT32", 4, INT32_MIN, INT32_MAX},
    [OIP_INT64] = {"INT64", 8, INT64_MIN, INT64_MAX},
    [OIP_FP16] = {"FP16", 2, 0, 0},
    [OIP_BF16] = {"BF16", 2, 0, 0},
    [OIP_FP32] = {"FP32", 4, 0, 0},
    [OIP_FP64] = {"FP64", 8, 0, 0},
    [OIP_BYTES] = {"BYTES", 0, 0, 0},
};

static int name_len(const oip_input *in) {
    return (int)(in->name.len < 80 ? in->name.len : 80);
}

/* Where element `index` goes. */
static void place(const lathe_oip *o, const oip_input *in, int64_t index, int64_t *column,
                  int64_t *row) {
    const int64_t k = o->model->raw->n_columns;
    *column = in->column >= 0 ? in->column : index % k;
    *row = in->column >= 0 ? index : index / k;
}

static int32_t bad_element(const lathe_oip *o, const oip_input *in, int64_t index,
                           const char *expected, lathe_error *err) {
    int64_t column, row;
    place(o, in, index, &column, &row);
    return lathe_fail(err, LATHE_E_DATA, o->model->raw->columns[column].name,
                      "input \"%.*s\", row %lld, column \"%.80s\": %s is expected for %s",
                      name_len(in), in->name.ptr, (long long)row + 1,
                      o->model->raw->columns[column].name, expected, oip_types[in->type].name);
}

static int32_t put_number(lathe_oip *o, const oip_input *in, int64_t index, double value,
                          lathe_error *err) {
    int64_t column, row;
    place(o, in, index, &column, &row);
    return lathe_plan_number(o->plan, column, row, value, err);
}

static int32_t put_integer(lathe_oip *o, const oip_input *in, int64_t index, int64_t value,
                           lathe_error *err) {
    int64_t column, row;
    place(o, in, index, &column, &row);
    return lathe_plan_integer(o->plan, column, row, value, err);
}

/* An empty text is a missing value, as in CSV. */
static int32_t put_text(lathe_oip *o, const oip_input *in, int64_t index, lathe_str text,
                        lathe_error *err) {
    int64_t column, row;
    place(o, in, index, &column, &row);
    if (text.len == 0)
        text.ptr = NULL;
    return lathe_plan_text(o->plan, column, row, text, err);
}

/* A truth value is 1 or 0 for a number, "true" or "false" for a category. */
static int32_t put_bool(lathe_oip *o, const oip_input *in, int64_t index, bool value,
                        lathe_error *err) {
    int64_t column, row;
    place(o, in, index, &column, &row);
    const lathe_column *c = &o->model->raw->columns[column];
    if (c->type != LATHE_COLUMN_CATEGORY && c->type != LATHE_COLUMN_STRING)
        return lathe_plan_integer(o->plan, column, row, value, err);
    return lathe_plan_text(o->plan, column, row,
                           value ? (lathe_str){"true", 4} : (lathe_str){"false", 5}, err);
}

/* ---- JSON ---- */

static int32_t fill_number(lathe_oip *o, const oip_input *in, int64_t index,
                           const lathe_number *number, lathe_error *err) {
    const oip_type_info *type = &oip_types[in->type];
    if (in->type == OIP_BOOL)
        return number->is_integer && (number->integer == 0 || number->integer == 1)
                   ? put_bool(o, in, index, number->integer == 1, err)
                   : bad_element(o, in, index, "true or false", err);
    if (type->high == 0)
        return number->is_integer && in->type == OIP_BYTES
                   ? put_integer(o, in, index, number->integer, err)
                   : put_number(o, in, index, number->value, err);
    if (number->is_integer && number->integer >= type->low &&
        (number->integer < 0 || (uint64_t)number->integer <= type->high))
        return put_integer(o, in, index, number->integer, err);
    /* 3.0 is whole; beyond int64 only UINT64 goes on */
    if (number->value == floor(number->value) && number->value >= (double)type->low &&
        number->value <= (double)type->high)
        return put_number(o, in, index, number->value, err);
    return bad_element(o, in, index, "a whole number within the range", err);
}

static int32_t fill_word(lathe_oip *o, const oip_input *in, int64_t index, lathe_error *err) {
    oip_cursor *c = &o->c;
    const bool fraction = oip_types[in->type].high == 0 && in->type != OIP_BOOL;
    if (oip_word(c, "null"))
        return put_number(o, in, index, (double)NAN, err);
    if (fraction && oip_word(c, "NaN"))
        return put_number(o, in, index, (double)NAN, err);
    if (fraction && oip_word(c, "Infinity"))
        return put_number(o, in, index, (double)INFINITY, err);
    if (fraction && oip_word(c, "-Infinity"))
        return put_number(o, in, index, -(double)INFINITY, err);
    if (in->type == OIP_BOOL && oip_word(c, "true"))
        return put_bool(o, in, index, true, err);
    if (in->type == OIP_BOOL && oip_word(c, "false"))
        return put_bool(o, in, index, false, err);
    return bad_element(o, in, index,
                       in->type == OIP_BYTES  ? "a string or null"
                       : in->type == OIP_BOOL ? "true, false or null"
                                              : "a number or null",
                       err);
}

static int32_t fill_element(lathe_oip *o, const oip_input *in, int64_t index, lathe_error *err) {
    lathe_number number;
    const char first = oip_peek(&o->c);
    if (first == '"') {
        lathe_str text;
        if (in->type != OIP_BYTES)
            return bad_element(o, in, index, "a number or null, not a string,", err);
        return oip_string(&o->c, &text) ? put_text(o, in, index, text, err) : oip_broken(o, err);
    }
    const char *next = lathe_number_read(o->c.at, o->c.end, &number);
    if (next == NULL)
        return fill_word(o, in, index, err);
    o->c.at = next;
    return fill_number(o, in, index, &number, err);
}

/* Fractions, whose usual form is read many at a time. */
static bool is_fraction(oip_type type) {
    return type == OIP_FP32 || type == OIP_FP64 || type == OIP_FP16 || type == OIP_BF16;
}

/* The elements from `index` on, at most `most`, as far as they are plain numbers; *n gets how many. */
static int32_t fill_plain(lathe_oip *o, const oip_input *in, int64_t index, int64_t most,
                          int64_t *n, lathe_error *err) {
    double values[RUN];
    oip_peek(&o->c);
    *n = most < RUN ? most : RUN;
    const char *next = lathe_numbers_read(o->c.at, o->c.end, values, n);
    if (next == NULL)
        return LATHE_OK;
    o->c.at = next;
    return lathe_plan_numbers(o->plan, in->column, index, *n, values, err);
}

static int32_t wrong_count(const oip_input *in, const char *what, int64_t want, lathe_error *err) {
    return lathe_fail(err, LATHE_E_SHAPE, NULL,
                      "input \"%.*s\": its data has %s than the %lld elements of its shape",
                      name_len(in), in->name.ptr, what, (long long)want);
}

/* A flat list of `count` elements, from `first` on. */
static int32_t fill_list(lathe_oip *o, const oip_input *in, int64_t first, int64_t count,
                         lathe_error *err) {
    oip_cursor *c = &o->c;
    bool closed = false;
    int64_t i = 0;
    if (!oip_take(c, '[', "a list of data"))
        return oip_broken(o, err);
    do {
        if (i == count)
            return wrong_count(in, "more", count, err);
        if (i == 0 && oip_peek(c) == ']')
            return wrong_count(in, "fewer", count, err);
        int64_t n = 0;
        int32_t rc =
            is_fraction(in->type) ? fill_plain(o, in, first + i, count - i, &n, err) : LATHE_OK;
        if (rc == LATHE_OK && n == 0) {
            rc = fill_element(o, in, first + i, err);
            n = 1;
        }
        if (rc != LATHE_OK)
            return rc;
        i += n;
    } while (oip_more(c, ']', &closed));
    if (!closed)
        return oip_broken(o, err);
    return i == count ? LATHE_OK : wrong_count(in, "fewer", count, err);
}

int32_t oip_fill_json(lathe_oip *o, const oip_input *in, lathe_error *err) {
    oip_cursor *c = &o->c;
    const int64_t rows = in->shape[0], width = in->n_dims > 1 ? in->shape[1] : 1;
    bool closed = false;
    if (oip_peek(c) != '[')
        return lathe_fail(err, LATHE_E_INVALID, NULL, "input \"%.*s\": its data is no list",
                          name_len(in), in->name.ptr);
    const char *start = c->at++;
    const bool nested = in->n_dims > 1 && oip_peek(c) == '[';
    if (!nested) {
        c->at = start;
        return fill_list(o, in, 0, rows * width, err);
    }
    int64_t i = 0;
    do {
        if (i == rows)
            return wrong_count(in, "more", rows * width, err);
        const int32_t rc = fill_list(o, in, i * width, width, err);
        if (rc != LATHE_OK)
            return rc;
        i++;
    } while (oip_more(c, ']', &closed));
    if (!closed)
        return oip_broken(o, err);
    return i == rows ? LATHE_OK : wrong_count(in, "fewer", rows * width, err);
}

/* ---- binary, little-endian ---- */

/* IEEE 754 half to double: exact. */
static double half(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double magnitude = exponent == 31  ? (mantissa ? (double)NAN : (double)INFINITY)
                             : exponent == 0 ? ldexp(mantissa, -24)
                                             : ldexp(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static double brain(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

static int32_t fill_fixed(lathe_oip *o, const oip_input *in, int64_t index, const uint8_t *p,
                          lathe_error *err) {
    uint64_t bits = 0;
    for (int b = oip_types[in->type].size - 1; b >= 0; b--)
        bits = bits << 8 | p[b];
    float f;
    double d;
    const uint32_t low = (uint32_t)bits;
    switch (in->type) {
    case OIP_BOOL:
        return bits <= 1 ? put_bool(o, in, index, bits == 1, err)
                         : bad_element(o, in, index, "a byte of 0 or 1", err);
    case OIP_INT8:
        return put_integer(o, in, index, (int8_t)bits, err);
    case OIP_INT16:
        return put_integer(o, in, index, (int16_t)bits, err);
    case OIP_INT32:
        return put_integer(o, in, index, (int32_t)bits, err);
    case OIP_INT64:
        return put_integer(o, in, index, (int64_t)bits, err);
    case OIP_FP16:
        return put_number(o, in, index, half((uint16_t)bits), err);
    case OIP_BF16:
        return put_number(o, in, index, brain((uint16_t)bits), err);
    case OIP_FP32:
        memcpy(&f, &low, sizeof f);
        return put_number(o, in, index, (double)f, err);
    case OIP_FP64:
        memcpy(&d, &bits, sizeof d);
        return put_number(o, in, index, d, err);
    default: /* unsigned */
        return bits <= (uint64_t)INT64_MAX ? put_integer(o, in, index, (int64_t)bits, err)
                                           : put_number(o, in, index, (double)bits, err);
    }
}

static const bool is_little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

static int32_t wrong_size(const oip_input *in, size_t size, lathe_error *err) {
    return lathe_fail(err, LATHE_E_SHAPE, NULL,
                      "input \"%.*s\": its %zu bytes of binary data do not fit its shape and %s",
                      name_len(in), in->name.ptr, size, oip_types[in->type].name);
}

/* FP32 and FP64, the usual ones, in runs. */
static int32_t fill_floats(lathe_oip *o, const oip_input *in, const uint8_t *data, int64_t count,
                           lathe_error *err) {
    const size_t item = (size_t)oip_types[in->type].size;
    double values[RUN];
    int32_t rc = LATHE_OK;
    for (int64_t at = 0; rc == LATHE_OK && at < count; at += RUN) {
        const int64_t n = count - at < RUN ? count - at : RUN;
        if (in->type == OIP_FP64) {
            memcpy(values, data + (size_t)at * item, (size_t)n * item);
        } else {
            float singles[RUN];
            memcpy(singles, data + (size_t)at * item, (size_t)n * item);
            for (int64_t i = 0; i < n; i++)
                values[i] = (double)singles[i];
        }
        rc = lathe_plan_numbers(o->plan, in->column, at, n, values, err);
    }
    return rc;
}

int32_t oip_fill_binary(lathe_oip *o, const oip_input *in, const uint8_t *data, size_t size,
                        lathe_error *err) {
    const int64_t count = in->shape[0] * (in->n_dims > 1 ? in->shape[1] : 1);
    const size_t item = (size_t)oip_types[in->type].size;
    size_t at = 0;
    int32_t rc = LATHE_OK;
    if (item > 0 && size != (size_t)count * item)
        return wrong_size(in, size, err);
    if (is_little && (in->type == OIP_FP32 || in->type == OIP_FP64))
        return fill_floats(o, in, data, count, err);
    for (int64_t i = 0; rc == LATHE_OK && i < count; i++) {
        if (item > 0) {
            rc = fill_fixed(o, in, i, data + (size_t)i * item, err);
            continue;
        }
        if (size - at < 4)
            return wrong_size(in, size, err);
        const size_t len = (size_t)data[at] | (size_t)data[at + 1] << 8 |
                           (size_t)data[at + 2] << 16 | (size_t)data[at + 3] << 24;
        at += 4;
        if (size - at < len)
            return wrong_size(in, size, err);
        rc = put_text(o, in, i, (lathe_str){(const char *)data + at, (int64_t)len}, err);
        at += len;
    }
    return rc == LATHE_OK && item == 0 && at != size ? wrong_size(in, size, err) : rc;
}

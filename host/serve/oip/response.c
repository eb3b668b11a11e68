/* Writing an inference response. */
#include "serve/oip/internal.h"

#include <math.h>
#include <string.h>

/* Does this output go out as bytes after the JSON? */
static bool is_binary(const lathe_oip *o, int which) {
    const int8_t own = o->outputs[which].binary;
    return own < 0 ? o->binary_output : own != 0;
}

/* Elements of an output. */
static int64_t width_of(const lathe_oip *o, int which) {
    const int64_t classes = o->outputs[which].classes;
    return which == OIP_PREDICTION ? 1 : classes > 0 ? classes : o->model->info->n_classes;
}

static bool is_text(const lathe_oip *o, int which) {
    return which == OIP_PREDICTION ? o->model->info->n_classes > 0 : o->outputs[which].classes > 0;
}

#define FRAME_BYTES 256 /* names, shape and brackets of one output */

size_t lathe_oip_bound(const lathe_oip *o) {
    size_t bound = o->model->head.len + (size_t)o->id.len + FRAME_BYTES;
    for (int i = 0; i < o->n_outputs; i++) {
        const size_t cells = (size_t)o->rows * (size_t)width_of(o, o->order[i]);
        bound += FRAME_BYTES + cells * (LATHE_FLOAT_TEXT + 2);
        if (is_text(o, o->order[i])) /* a value, an index and the label */
            bound += cells * (LATHE_FLOAT_TEXT + 8 + o->model->longest_label);
    }
    return bound;
}

typedef struct writer {
    uint8_t *at;
    bool infinite;
} writer;

static void put(writer *w, const void *bytes, size_t len) {
    memcpy(w->at, bytes, len);
    w->at += len;
}

static void put_word(writer *w, const char *word) {
    put(w, word, strlen(word));
}

static void put_int(writer *w, int64_t value) {
    w->at += lathe_int_write(value, (char *)w->at);
}

static void put_float(writer *w, float value) {
    if (isfinite(value)) {
        w->at += lathe_float_write(value, (char *)w->at);
        return;
    }
    w->infinite |= !isnan(value);
    put(w, "null", 4);
}

static void put_u32(writer *w, size_t value) {
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                             (uint8_t)(value >> 24)};
    put(w, bytes, 4);
}

/* ---- classification: "value:index:label" of the largest, ties to the first ---- */

/* The class of rank `rank` in a row. n is the number of classes, small as a rule. */
static int64_t ranked(const float *row, int64_t n, int64_t rank) {
    for (int64_t c = 0; c < n; c++) {
        int64_t before = 0;
        for (int64_t d = 0; d < n; d++)
            before += row[d] > row[c] || (row[d] == row[c] && d < c);
        if (before == rank)
            return c;
    }
    return 0;
}

/* In JSON with the label's quoted form, in binary raw. Returns where it ends. */
static void put_class(writer *w, const lathe_oip *o, const float *row, int64_t rank, bool json) {
    const lathe_oip_model *m = o->model;
    const int64_t c = ranked(row, m->info->n_classes, rank);
    uint8_t *length = w->at;
    if (json)
        put(w, "\"", 1);
    else
        w->at += 4;
    w->at += lathe_float_write(row[c], (char *)w->at);
    put(w, ":", 1);
    put_int(w, c);
    put(w, ":", 1);
    if (json) {
        put(w, m->labels[c].data + 1, m->labels[c].len - 1); /* its closing quote is ours too */
        return;
    }
    put_word(w, m->info->classes[c]);
    uint8_t *end = w->at;
    w->at = length;
    put_u32(w, (size_t)(end - length) - 4);
    w->at = end;
}

/* ---- one output ---- */

static void put_json_data(writer *w, const lathe_oip *o, int which, const lathe_plan_output *out) {
    const lathe_oip_model *m = o->model;
    const int64_t width = width_of(o, which), k = m->info->n_classes;
    put_word(w, ",\"data\":[");
    for (int64_t i = 0; i < o->rows * width; i++) {
        if (i > 0)
            put(w, ",", 1);
        if (which == OIP_PREDICTION && k > 0)
            put(w, m->labels[out->label[i]].data, m->labels[out->label[i]].len);
        else if (which == OIP_PREDICTION)
            put_float(w, out->value[i]);
        else if (o->outputs[which].classes > 0)
            put_class(w, o, out->probability + i / width * k, i % width, true);
        else
            put_float(w, out->probability[i]);
    }
    put(w, "]", 1);
}

static void put_floats(writer *w, const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        put_u32(w, bits);
    }
}

static void put_binary_data(writer *w, const lathe_oip *o, int which,
                            const lathe_plan_output *out) {
    const lathe_oip_model *m = o->model;
    const int64_t width = width_of(o, which), k = m->info->n_classes, n = o->rows * width;
    if (which == OIP_PREDICTION && k == 0) {
        put_floats(w, out->value, n);
        return;
    }
    if (which == OIP_PROBABILITY && o->outputs[which].classes == 0) {
        put_floats(w, out->probability, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (which == OIP_PROBABILITY) {
            put_class(w, o, out->probability + i / width * k, i % width, false);
            continue;
        }
        const char *label = m->info->classes[out->label[i]];
        put_u32(w, strlen(label));
        put_word(w, label);
    }
}

/* Bytes that put_binary_data writes: told before it, since the JSON comes first. */
static size_t binary_size(const lathe_oip *o, int which, const lathe_plan_output *out) {
    const lathe_oip_model *m = o->model;
    const int64_t width = width_of(o, which), k = m->info->n_classes, n = o->rows * width;
    if (!is_text(o, which))
        return (size_t)n * sizeof(float);
    size_t size = 0;
    for (int64_t i = 0; i < n; i++) {
        if (which == OIP_PREDICTION) {
            size += 4 + strlen(m->info->classes[out->label[i]]);
            continue;
        }
        char text[LATHE_FLOAT_TEXT];
        const float *row = out->probability + i / width * k;
        const int64_t c = ranked(row, k, i % width);
        size += 4 + lathe_float_write(row[c], text) + 1 + lathe_int_write(c, text) + 1 +
                strlen(m->info->classes[c]);
    }
    return size;
}

static void put_output(writer *w, const lathe_oip *o, int which, const lathe_plan_output *out) {
    put_word(w, "{\"name\":\"");
    put_word(w, oip_output_names[which]);
    put_word(w, "\",\"datatype\":\"");
    put_word(w, is_text(o, which) ? "BYTES" : "FP32");
    put_word(w, "\",\"shape\":[");
    put_int(w, o->rows);
    put(w, ",", 1);
    put_int(w, width_of(o, which));
    put(w, "]", 1);
    if (is_binary(o, which)) {
        put_word(w, ",\"parameters\":{\"binary_data_size\":");
        put_int(w, (int64_t)binary_size(o, which, out));
        put(w, "}", 1);
    } else {
        put_json_data(w, o, which, out);
    }
    put(w, "}", 1);
}

lathe_plan_output lathe_oip_output(const lathe_oip *o, const lathe_plan_output *whole) {
    lathe_plan_output mine = *whole;
    if (mine.value != NULL)
        mine.value += o->first;
    if (mine.probability != NULL)
        mine.probability += o->first * o->model->info->n_classes;
    if (mine.label != NULL)
        mine.label += o->first;
    return mine;
}

int32_t lathe_oip_write(const lathe_oip *o, const lathe_plan_output *whole, uint8_t *out,
                        size_t *json_len, size_t *len, lathe_error *err) {
    writer w = {out, false};
    const lathe_plan_output mine = lathe_oip_output(o, whole), *output = &mine;
    put(&w, o->model->head.data, o->model->head.len);
    if (o->id.ptr != NULL) {
        put_word(&w, ",\"id\":");
        put(&w, o->id.ptr, (size_t)o->id.len);
    }
    put_word(&w, ",\"outputs\":[");
    for (int i = 0; i < o->n_outputs; i++) {
        if (i > 0)
            put(&w, ",", 1);
        put_output(&w, o, o->order[i], output);
    }
    put_word(&w, "]}");
    *json_len = (size_t)(w.at - out);
    for (int i = 0; i < o->n_outputs; i++)
        if (is_binary(o, o->order[i]))
            put_binary_data(&w, o, o->order[i], output);
    *len = (size_t)(w.at - out);
    if (w.infinite)
        return lathe_fail(
            err, LATHE_E_NUMERIC, NULL,
            "a prediction is infinite, which JSON cannot say; ask for binary outputs, and look "
            "at the model");
    return LATHE_OK;
}

/* Compiling a model into a plan, and running it. Filling is in plan_fill.c. */
#include "base/size.h"
#include "model/matrix.h"
#include "plugin/call.h"
#include "plugin/text.h"
#include "serve/infer/plan_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 65536
#define CHUNK_ROWS 1024 /* of the matrix and the learner's scratch */

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a serving plan");
}

/* ---- compiling ---- */

/* count values of `item` bytes, 64-byte aligned, zeroed; NULL where it does not fit. */
static void *new_values(lathe_plan *p, int64_t count, int64_t item) {
    int64_t cells;
    size_t bytes;
    if (!lathe_mul_i64(count, item, &cells) || !lathe_count_bytes(cells + 64, 1, &bytes))
        return NULL;
    return lathe_arena_alloc_aligned(p->arena, bytes, 64);
}

static int32_t compile_raw(lathe_plan *p, lathe_error *err) {
    const lathe_table *raw = lathe_schema_table(p->schema);
    const size_t n = (size_t)raw->n_columns;
    p->columns = lathe_arena_array(p->arena, n + 1, sizeof *p->columns);
    p->printed = lathe_arena_array(p->arena, n + 1, sizeof *p->printed);
    p->unseen = lathe_arena_array(p->arena, n + 1, sizeof *p->unseen);
    p->marks = new_values(p, p->max_rows, 1);
    p->values = lathe_arena_array(p->arena, n + 1, sizeof *p->values);
    if (p->columns == NULL || p->printed == NULL || p->unseen == NULL || p->marks == NULL ||
        p->values == NULL)
        return no_memory(err);
    for (size_t c = 0; c < n; c++) {
        p->columns[c] = raw->columns[c];
        p->columns[c].values = new_values(p, p->max_rows, lathe_value_size(raw->columns[c].type));
        if (raw->columns[c].type == LATHE_COLUMN_STRING)
            p->printed[c] = new_values(p, p->max_rows, LATHE_CELL_TEXT);
        if (p->columns[c].values == NULL ||
            (raw->columns[c].type == LATHE_COLUMN_STRING && p->printed[c] == NULL))
            return no_memory(err);
        if (raw->columns[c].type != LATHE_COLUMN_CATEGORY)
            continue;
        p->unseen[c] = lathe_arena_alloc(p->arena, sizeof **p->unseen);
        if (p->unseen[c] == NULL)
            return no_memory(err);
        p->unseen[c]->row = -1;
    }
    p->raw = (lathe_table){0, raw->n_columns, p->columns};
    p->all_floats = true;
    for (size_t c = 0; c < n; c++) {
        p->values[c] = p->columns[c].values;
        p->all_floats &= p->columns[c].type == LATHE_COLUMN_FLOAT64;
    }
    p->flat = new_values(p, raw->n_columns, sizeof *p->flat);
    p->flat_row = -1;
    return p->flat != NULL ? LATHE_OK : no_memory(err);
}

/* Output columns of a transform whose input are `before`. */
static int32_t compile_step(lathe_plan *p, plan_step *step, const lathe_column *before,
                            int64_t n_before, lathe_error *err) {
    const lathe_field *fields;
    int64_t n;
    const int32_t rc = lathe_call_transform_schema(step->instance, n_before, &fields, &n, err);
    if (rc != LATHE_OK)
        return rc;
    step->columns = lathe_arena_array(p->arena, (size_t)n + 1, sizeof *step->columns);
    step->codes = lathe_arena_array(p->arena, (size_t)n + 1, sizeof *step->codes);
    step->strings = lathe_arena_array(p->arena, (size_t)n + 1, sizeof *step->strings);
    if (step->columns == NULL || step->codes == NULL || step->strings == NULL)
        return no_memory(err);
    step->n_columns = n;
    step->guarded = lathe_instance_concurrency(step->instance) != LATHE_CONCURRENCY_CONST;
    for (int64_t i = 0; i < n; i++) {
        const lathe_field *f = &fields[i];
        if (f->source >= 0) {
            step->columns[i] = before[f->source];
            step->columns[i].name = f->name;
            continue;
        }
        step->columns[i] =
            (lathe_column){.name = f->name,
                           .type = f->type,
                           .values = new_values(p, p->max_rows, lathe_value_size(f->type)),
                           .dict = f->dict,
                           .dict_size = f->dict_size};
        if (step->columns[i].values == NULL)
            return no_memory(err);
        if (f->type == LATHE_COLUMN_CATEGORY)
            step->codes[step->n_codes++] = (int32_t)i;
        if (f->type == LATHE_COLUMN_STRING)
            step->strings[step->n_strings++] = (int32_t)i;
    }
    return LATHE_OK;
}

static int32_t compile_steps(lathe_plan *p, lathe_error *err) {
    const lathe_chain *chain = lathe_model_chain(p->model);
    const lathe_column *columns = p->columns;
    int64_t n_columns = p->raw.n_columns;
    p->n_steps = lathe_chain_length(chain);
    p->steps = lathe_arena_array(p->arena, p->n_steps + 1, sizeof *p->steps);
    if (p->steps == NULL)
        return no_memory(err);
    for (size_t i = 0; i < p->n_steps; i++) {
        plan_step *step = &p->steps[i];
        step->instance = lathe_chain_at(chain, i);
        const int32_t rc = compile_step(p, step, columns, n_columns, err);
        if (rc != LATHE_OK)
            return rc;
        columns = step->columns;
        n_columns = step->n_columns;
    }
    p->stride = n_columns;
    const lathe_table prepared = {0, n_columns, columns};
    return lathe_matrix_check(&prepared, err);
}

static int32_t compile_learner(lathe_plan *p, lathe_error *err) {
    const lathe_learner *table = p->learner->interface;
    const int32_t rc = lathe_learner_output(p->learner, p->n_classes, p->stride, &p->output, err);
    if (rc != LATHE_OK)
        return rc;
    p->guarded = lathe_instance_concurrency(p->learner) != LATHE_CONCURRENCY_CONST;
    p->chunk = p->max_rows < CHUNK_ROWS ? p->max_rows : CHUNK_ROWS;
    const int64_t scratch = table->scratch ? table->scratch(p->learner->self, p->chunk) : 0;
    int64_t cells;
    if (!lathe_mul_i64(p->chunk, p->stride, &cells))
        return no_memory(err);
    p->matrix = new_values(p, cells, sizeof(float));
    p->scratch = new_values(p, scratch, 1);
    if (!lathe_mul_i64(p->max_rows, p->output.n_outputs, &cells))
        return no_memory(err);
    p->out = new_values(p, cells, sizeof(float));
    if (!lathe_mul_i64(p->max_rows, p->n_classes, &cells))
        return no_memory(err);
    p->probability = new_values(p, cells, sizeof(float));
    p->label = new_values(p, p->max_rows, sizeof *p->label);
    return p->matrix && p->scratch && p->out && p->probability && p->label ? LATHE_OK
                                                                           : no_memory(err);
}

int32_t lathe_plan_new(const lathe_model *model, int64_t max_rows, lathe_plan **out,
                       lathe_error *err) {
    *out = NULL;
    if (max_rows < 1 || max_rows > MAX_ROWS)
        return lathe_fail(err, LATHE_E_INVALID, NULL, "a plan of %lld rows; 1 to %d are possible",
                          (long long)max_rows, MAX_ROWS);
    lathe_arena *arena = lathe_arena_new();
    lathe_plan *p = arena ? lathe_arena_alloc(arena, sizeof *p) : NULL;
    if (p == NULL) {
        lathe_arena_free(arena);
        return no_memory(err);
    }
    p->arena = arena;
    p->model = model;
    p->learner = lathe_model_learner(model);
    p->schema = lathe_model_get_info(model)->raw;
    p->n_classes = lathe_model_get_info(model)->n_classes;
    p->max_rows = max_rows;
    int32_t rc = compile_raw(p, err);
    if (rc == LATHE_OK)
        rc = compile_steps(p, err);
    if (rc == LATHE_OK)
        rc = compile_learner(p, err);
    if (rc != LATHE_OK) {
        lathe_arena_free(arena);
        return rc;
    }
    *out = p;
    return LATHE_OK;
}

void lathe_plan_free(lathe_plan *plan) {
    if (plan != NULL)
        lathe_arena_free(plan->arena);
}

int64_t lathe_plan_max_rows(const lathe_plan *plan) {
    return plan->max_rows;
}

const lathe_model *lathe_plan_model(const lathe_plan *plan) {
    return plan->model;
}

void lathe_plan_stop_on(lathe_plan *plan, const _Atomic bool *stop) {
    plan->stop = stop;
}

const lathe_table *lathe_plan_rows(const lathe_plan *plan) {
    return &plan->raw;
}

const void *const *lathe_plan_values(const lathe_plan *plan) {
    return (const void *const *)plan->values;
}

const double *lathe_plan_flat(const lathe_plan *plan, int64_t row) {
    return row == plan->flat_row ? plan->flat : NULL;
}

void lathe_plan_tolerate(lathe_plan *plan, const uint8_t *tolerate) {
    plan->tolerate = tolerate;
}

uint8_t *lathe_plan_marks(const lathe_plan *plan) {
    return plan->marks;
}

const lathe_plan_unseen *lathe_plan_get_unseen(const lathe_plan *plan, int64_t column) {
    return column >= 0 && column < plan->raw.n_columns ? plan->unseen[column] : NULL;
}

/* ---- running ---- */

/* What a plugin says went wrong, made fit for printing, under its id. */
static int32_t plugin_error(const lathe_instance *i, int32_t rc, const lathe_error *theirs,
                            lathe_error *err) {
    char text[sizeof theirs->message];
    lathe_text_clean(theirs->message, sizeof theirs->message, text, sizeof text);
    if (rc < LATHE_OK || rc > LATHE_E_CRASHED)
        rc = LATHE_E_INTERNAL;
    return lathe_fail(err, rc, i->descriptor->id, "%s",
                      text[0] != '\0' ? text : "it failed without a message");
}

/* Codes outside of the dictionary would be an index of the next transform's. */
static int32_t check_codes(const plan_step *step, int64_t n, lathe_error *err) {
    for (int64_t k = 0; k < step->n_codes; k++) {
        const lathe_column *c = &step->columns[step->codes[k]];
        const int32_t *codes = c->values;
        for (int64_t i = 0; i < n; i++)
            if (codes[i] < LATHE_CODE_UNSEEN || codes[i] >= c->dict_size)
                return lathe_fail(err, LATHE_E_INTERNAL, step->instance->descriptor->id,
                                  "%s gave row %lld of column \"%.80s\" a code outside of its "
                                  "dictionary of %lld; ask its author",
                                  step->instance->descriptor->id, (long long)i + 1, c->name,
                                  (long long)c->dict_size);
    }
    return LATHE_OK;
}

static int32_t run_step(const plan_step *step, const lathe_table *in, lathe_error *err) {
    const lathe_transform *table = step->instance->interface;
    lathe_table out = {in->n_rows, step->n_columns, step->columns};
    lathe_error theirs;
    for (int64_t k = 0; k < step->n_strings; k++) /* what is not written is missing */
        memset(step->columns[step->strings[k]].values, 0, (size_t)in->n_rows * sizeof(lathe_str));
    if (step->guarded)
        return lathe_call_transform_apply(step->instance, in, &out, err);
    theirs.where[0] = theirs.message[0] = '\0';
    const int32_t rc = table->apply(step->instance->self, in, &out, &theirs);
    return rc == LATHE_OK ? check_codes(step, in->n_rows, err)
                          : plugin_error(step->instance, rc, &theirs, err);
}

/* Rows [begin, begin + n) of the prepared table through the learner. */
static int32_t run_learner(lathe_plan *p, const lathe_table *prepared, int64_t begin, int64_t n,
                           lathe_error *err) {
    const lathe_learner *table = p->learner->interface;
    const int64_t k = p->output.n_outputs;
    float *out = p->out + begin * k;
    lathe_error theirs;
    lathe_matrix_rows(prepared, begin, begin + n, p->matrix);
    if (p->guarded)
        return lathe_call_predict(p->learner, n, p->matrix, p->stride, out, err);
    theirs.where[0] = theirs.message[0] = '\0';
    const int32_t rc =
        table->predict(p->learner->self, n, p->matrix, p->stride, out, p->scratch, &theirs);
    if (rc != LATHE_OK)
        return plugin_error(p->learner, rc, &theirs, err);
    for (int64_t i = 0; i < n * k; i++)
        if (out[i] != out[i])
            return lathe_fail(err, LATHE_E_NUMERIC, p->learner->descriptor->id,
                              "%s gave NaN as the prediction of row %lld; its training diverged or "
                              "the plugin is faulty",
                              p->learner->descriptor->id, (long long)(begin + i / k) + 1);
    return LATHE_OK;
}

int32_t lathe_plan_run(lathe_plan *p, lathe_plan_output *output, lathe_error *err) {
    lathe_table table = p->raw;
    const int64_t n = table.n_rows;
    int32_t rc = LATHE_OK;
    for (size_t i = 0; rc == LATHE_OK && i < p->n_steps; i++) {
        rc = run_step(&p->steps[i], &table, err);
        table = (lathe_table){n, p->steps[i].n_columns, p->steps[i].columns};
    }
    for (int64_t begin = 0; rc == LATHE_OK && begin < n; begin += p->chunk) {
        if (p->stop != NULL && atomic_load_explicit(p->stop, memory_order_relaxed))
            rc = lathe_fail(err, LATHE_E_CANCELLED, NULL, "nobody waits for the answer any more");
        else
            rc = run_learner(p, &table, begin, begin + p->chunk < n ? p->chunk : n - begin, err);
    }
    *output = (lathe_plan_output){0};
    if (rc != LATHE_OK)
        return rc;
    if (p->n_classes == 0) {
        output->value = p->out;
        return LATHE_OK;
    }
    lathe_learner_classes(&p->output, p->out, n, p->n_classes, p->probability, p->label);
    output->probability = p->probability;
    output->label = p->label;
    return LATHE_OK;
}

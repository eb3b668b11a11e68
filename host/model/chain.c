#include "model/chain.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "data/schema.h"
#include "plugin/call.h"

#include <stdlib.h>
#include <string.h>

/* One transform that serving applies. */
typedef struct link {
    lathe_instance instance;
    lathe_schema *input; /* what it was fitted on, in this order */
} link;

struct lathe_chain {
    link *links;
    size_t n;
    lathe_schema *output;
    lathe_chain_step *steps;
    size_t n_steps;
};

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the transforms");
}

static int32_t wrap(lathe_error *err, size_t index) {
    char where[48];
    snprintf(where, sizeof where, "/prepare/transforms/%zu", index);
    return lathe_error_wrap(err, where);
}

void lathe_chain_free(lathe_chain *chain) {
    if (chain == NULL)
        return;
    for (size_t i = 0; i < chain->n; i++) {
        lathe_instance_destroy(&chain->links[i].instance);
        lathe_schema_free(chain->links[i].input);
    }
    lathe_schema_free(chain->output);
    free(chain->links);
    free(chain->steps);
    free(chain);
}

static lathe_chain *new_chain(size_t n) {
    lathe_chain *chain = calloc(1, sizeof *chain);
    if (chain == NULL)
        return NULL;
    chain->links = calloc(n + 1, sizeof *chain->links);
    chain->steps = calloc(n + 1, sizeof *chain->steps);
    if (chain->links == NULL || chain->steps == NULL) {
        lathe_chain_free(chain);
        return NULL;
    }
    return chain;
}

/* Refuses an output larger than the memory there is: the kernel would promise it and kill us later. */
static int32_t check_room(const link *l, int64_t n_rows, const lathe_field *fields,
                          int64_t n_fields, lathe_error *err) {
    const double memory = (double)lathe_memory_limit();
    int64_t row = 0;
    for (int64_t i = 0; i < n_fields; i++)
        row += fields[i].source < 0 ? lathe_value_size(fields[i].type) : 0;
    const double need = (double)n_rows * (double)row;
    if (memory <= 0 || need <= memory)
        return LATHE_OK;
    return lathe_fail(err, LATHE_E_MEMORY, l->instance.descriptor->id,
                      "%lld columns of %lld rows are %.1f GB, and there are %.1f GB of "
                      "memory; make fewer columns, or leave out those of very many values",
                      (long long)n_fields, (long long)n_rows, need * 1e-9, memory * 1e-9);
}

/* One transform applied: `training` uses its own output for the rows it was fitted on. */
static int32_t apply_one(const link *l, const lathe_frame *in, const lathe_transform_fit *training,
                         lathe_frame **out, lathe_error *err) {
    const lathe_field *fields;
    int64_t n_fields;
    *out = NULL;
    int32_t rc =
        lathe_call_transform_schema(&l->instance, lathe_frame_columns(in), &fields, &n_fields, err);
    if (rc == LATHE_OK)
        rc = check_room(l, lathe_frame_table(in)->n_rows, fields, n_fields, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_for_fields(in, fields, n_fields, out, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_table table = *lathe_frame_table(*out);
    rc = training ? lathe_call_transform_apply_training(&l->instance, training, &table, err)
                  : lathe_call_transform_apply(&l->instance, lathe_frame_table(in), &table, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_own_strings(*out, err);
    if (rc != LATHE_OK) {
        lathe_frame_free(*out);
        *out = NULL;
    }
    return rc;
}

/* Missing values less those after it, in columns that keep their name. */
static int64_t count_filled(const lathe_frame *before, const lathe_frame *after) {
    const lathe_table *a = lathe_frame_table(before), *b = lathe_frame_table(after);
    int64_t filled = 0;
    for (int64_t c = 0; c < a->n_columns; c++) {
        const int64_t at = lathe_table_find(b, a->columns[c].name);
        if (at < 0 || b->columns[at].values == a->columns[c].values || a->n_rows != b->n_rows)
            continue;
        for (int64_t i = 0; i < a->n_rows; i++)
            filled += lathe_is_missing(&a->columns[c], i) && !lathe_is_missing(&b->columns[at], i);
    }
    return filled;
}

/* ---- fitting ---- */

/* The training rows on their way through the chain; what belongs to a row moves with it. */
typedef struct rows {
    lathe_frame *frame, *target;
    double *weight;
    int32_t *fold;
    int64_t *kept; /* [n] indices into the rows at the beginning */
    int64_t n;
} rows;

static void free_rows(rows *r) {
    lathe_frame_free(r->frame);
    lathe_frame_free(r->target);
    free(r->weight);
    free(r->fold);
    free(r->kept);
}

static int32_t begin_rows(const lathe_chain_data *data, rows *r, lathe_error *err) {
    r->n = lathe_frame_rows(data->rows);
    const size_t n = (size_t)r->n;
    int32_t rc = lathe_frame_clone(data->rows, &r->frame, err);
    if (rc == LATHE_OK && data->target != NULL)
        rc = lathe_frame_clone(data->target, &r->target, err);
    if (rc != LATHE_OK)
        return rc;
    r->kept = calloc(n + 1, sizeof *r->kept);
    r->weight = data->weight ? calloc(n + 1, sizeof *r->weight) : NULL;
    r->fold = data->fold ? calloc(n + 1, sizeof *r->fold) : NULL;
    if (!r->kept || (data->weight && !r->weight) || (data->fold && !r->fold))
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        r->kept[i] = (int64_t)i;
    if (data->weight != NULL)
        memcpy(r->weight, data->weight, n * sizeof *r->weight);
    if (data->fold != NULL)
        memcpy(r->fold, data->fold, n * sizeof *r->fold);
    return LATHE_OK;
}

/* Keeps rows[0 … n-1] of r. */
static int32_t choose_rows(rows *r, const int64_t *chosen, int64_t n, lathe_error *err) {
    rows out = {.n = n};
    int32_t rc = lathe_frame_take(r->frame, chosen, n, &out.frame, err);
    if (rc == LATHE_OK && r->target != NULL)
        rc = lathe_frame_take(r->target, chosen, n, &out.target, err);
    out.kept = calloc((size_t)n + 1, sizeof *out.kept);
    out.weight = r->weight ? calloc((size_t)n + 1, sizeof *out.weight) : NULL;
    out.fold = r->fold ? calloc((size_t)n + 1, sizeof *out.fold) : NULL;
    if (rc == LATHE_OK && (!out.kept || (r->weight && !out.weight) || (r->fold && !out.fold)))
        rc = no_memory(err);
    for (int64_t i = 0; rc == LATHE_OK && i < n; i++) {
        out.kept[i] = r->kept[chosen[i]];
        if (r->weight)
            out.weight[i] = r->weight[chosen[i]];
        if (r->fold)
            out.fold[i] = r->fold[chosen[i]];
    }
    rows *gone = rc == LATHE_OK ? r : &out;
    rows keep = rc == LATHE_OK ? out : *r;
    free_rows(gone);
    *r = keep;
    return rc;
}

static int32_t fit_one(lathe_chain *chain, lathe_instance *instance, const lathe_transform_fit *in,
                       rows *r, lathe_error *err) {
    lathe_frame *out = NULL;
    if (instance->descriptor->flags & LATHE_TRANSFORM_TRAINING_ROWS) {
        int64_t *chosen = NULL, n = 0;
        int32_t rc = lathe_call_transform_rows(instance, in, &chosen, &n, err);
        if (rc == LATHE_OK)
            rc = choose_rows(r, chosen, n, err);
        free(chosen);
        lathe_instance_destroy(instance); /* leaves no trace in the model */
        return rc;
    }
    link *l = &chain->links[chain->n];
    l->instance = *instance;
    chain->n++;
    int32_t rc = lathe_call_transform_fit(&l->instance, in, err);
    if (rc == LATHE_OK)
        rc = lathe_schema_from_table(in->table, &l->input, err);
    if (rc == LATHE_OK)
        rc = apply_one(l, r->frame, in, &out, err);
    if (rc != LATHE_OK)
        return rc;
    chain->steps[chain->n_steps].filled = count_filled(r->frame, out);
    lathe_frame_free(r->frame);
    r->frame = out;
    return LATHE_OK;
}

static int32_t fit_step(lathe_chain *chain, lathe_runtime *runtime,
                        const lathe_component *component, const lathe_chain_data *data,
                        size_t index, rows *r, lathe_error *err) {
    lathe_chain_step *step = &chain->steps[chain->n_steps];
    lathe_instance instance = {0};
    const double start = lathe_now_seconds();
    if (lathe_runtime_stopped(runtime))
        return lathe_fail(err, LATHE_E_CANCELLED, NULL, "stopped while preparing");
    int32_t rc = lathe_instance_create(runtime, component, 0, NULL, &instance, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_instance_set_scope(&instance, "prepare");
    const lathe_transform_fit in = {.struct_size = LATHE_SIZED(lathe_transform_fit),
                                    .task = data->task,
                                    .table = lathe_frame_table(r->frame),
                                    .target = r->target ? &lathe_frame_table(r->target)->columns[0]
                                                        : NULL,
                                    .weight = r->weight,
                                    .fold = r->fold,
                                    .n_folds = data->n_folds,
                                    .key = lathe_rng_key(data->key, "transform", index)};
    *step = (lathe_chain_step){.plugin = component->descriptor->name,
                               .rows_in = r->n,
                               .columns_in = lathe_frame_columns(r->frame)};
    rc = fit_one(chain, &instance, &in, r, err);
    step->rows_out = r->n;
    step->columns_out = lathe_frame_columns(r->frame);
    step->seconds = lathe_now_seconds() - start;
    chain->n_steps++;
    return rc;
}

int32_t lathe_chain_fit(lathe_runtime *runtime, const lathe_component *const *components, size_t n,
                        const lathe_chain_data *data, lathe_chain **out, lathe_frame **prepared,
                        int64_t **kept, int64_t *n_kept, lathe_error *err) {
    rows r = {0};
    *out = NULL;
    lathe_chain *chain = new_chain(n);
    int32_t rc = chain ? begin_rows(data, &r, err) : no_memory(err);
    for (size_t i = 0; rc == LATHE_OK && i < n; i++) {
        rc = fit_step(chain, runtime, components[i], data, i, &r, err);
        if (rc != LATHE_OK)
            wrap(err, i);
    }
    if (rc == LATHE_OK)
        rc = lathe_schema_from_table(lathe_frame_table(r.frame), &chain->output, err);
    if (rc != LATHE_OK) {
        lathe_chain_free(chain);
        free_rows(&r);
        return rc;
    }
    *prepared = r.frame;
    *kept = r.kept;
    *n_kept = r.n;
    r.frame = NULL;
    r.kept = NULL;
    free_rows(&r);
    *out = chain;
    return LATHE_OK;
}

/* ---- applying ---- */

int32_t lathe_chain_apply(const lathe_chain *chain, const lathe_frame *rows, lathe_frame **prepared,
                          lathe_error *err) {
    lathe_frame *frame = NULL;
    *prepared = NULL;
    int32_t rc = lathe_frame_clone(rows, &frame, err);
    for (size_t i = 0; rc == LATHE_OK && i < chain->n; i++) {
        lathe_frame *next = NULL;
        rc = apply_one(&chain->links[i], frame, NULL, &next, err);
        lathe_frame_free(frame);
        frame = next;
        if (rc != LATHE_OK)
            wrap(err, i);
    }
    *prepared = frame;
    return rc;
}

const lathe_table *lathe_chain_schema(const lathe_chain *chain) {
    return lathe_schema_table(chain->output);
}

size_t lathe_chain_length(const lathe_chain *chain) {
    return chain->n;
}

const lathe_instance *lathe_chain_at(const lathe_chain *chain, size_t index) {
    return &chain->links[index].instance;
}

size_t lathe_chain_steps(const lathe_chain *chain, const lathe_chain_step **steps) {
    *steps = chain->steps;
    return chain->n_steps;
}

/* ---- state ---- */

int32_t lathe_chain_save(const lathe_chain *chain, lathe_state ***states, size_t *n,
                         lathe_error *err) {
    *n = 0;
    *states = calloc(chain->n + 1, sizeof **states);
    if (*states == NULL)
        return no_memory(err);
    for (size_t i = 0; i < chain->n; i++) {
        int32_t rc = lathe_state_save(&chain->links[i].instance, &(*states)[i], err);
        if (rc != LATHE_OK) {
            for (size_t k = 0; k < *n; k++)
                lathe_state_free((*states)[k]);
            free(*states);
            *states = NULL;
            return wrap(err, i);
        }
        (*n)++;
    }
    return LATHE_OK;
}

/* The schema after a transform, from its fields and the schema before it. */
static int32_t next_schema(const link *l, const lathe_table *before, lathe_schema **after,
                           lathe_error *err) {
    const lathe_field *fields;
    int64_t n;
    int32_t rc = lathe_call_transform_schema(&l->instance, before->n_columns, &fields, &n, err);
    if (rc != LATHE_OK)
        return rc;
    lathe_column *columns = calloc((size_t)n + 1, sizeof *columns);
    if (columns == NULL)
        return no_memory(err);
    for (int64_t i = 0; i < n; i++) {
        const lathe_field *f = &fields[i];
        columns[i] = (lathe_column){
            .name = f->name, .type = f->type, .dict = f->dict, .dict_size = f->dict_size};
        if (f->source >= 0) {
            columns[i] = before->columns[f->source];
            columns[i].name = f->name;
        }
    }
    const lathe_table table = {0, n, columns};
    rc = lathe_schema_from_table(&table, after, err);
    free(columns);
    return rc;
}

/* A table of no rows through the chain: each transform looks at what its neighbour gives. */
static int32_t try_empty(const lathe_chain *chain, const lathe_table *raw, lathe_error *err) {
    const lathe_table none = {0, raw->n_columns, raw->columns};
    lathe_frame *in = NULL, *out = NULL;
    int32_t rc = lathe_frame_copy_table(&none, NULL, &in, err);
    if (rc == LATHE_OK)
        rc = lathe_chain_apply(chain, in, &out, err);
    lathe_frame_free(out);
    lathe_frame_free(in);
    return rc;
}

int32_t lathe_chain_load(lathe_runtime *runtime, lathe_state *const *states, size_t n,
                         const lathe_table *raw, lathe_chain **out, lathe_error *err) {
    *out = NULL;
    lathe_chain *chain = new_chain(n);
    int32_t rc = chain ? lathe_schema_from_table(raw, &chain->output, err) : no_memory(err);
    for (size_t i = 0; rc == LATHE_OK && i < n; i++) {
        link *l = &chain->links[i];
        lathe_schema *after = NULL;
        rc = lathe_state_load(runtime, states[i], 0, &l->instance, err);
        if (rc == LATHE_OK) {
            chain->n++;
            rc = next_schema(l, lathe_schema_table(chain->output), &after, err);
        }
        if (rc == LATHE_OK) {
            l->input = chain->output;
            chain->output = after;
        } else {
            wrap(err, i);
        }
    }
    if (rc == LATHE_OK)
        rc = try_empty(chain, raw, err);
    if (rc != LATHE_OK) {
        lathe_chain_free(chain);
        return rc;
    }
    *out = chain;
    return LATHE_OK;
}

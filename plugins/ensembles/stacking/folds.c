/* Dealing out folds, and predicting each by a base that has not seen it. */
#include "stacking.h"

enum { FOLD_BLOCK = 1024 }; /* rows predicted at once: large trees stay in the cache for them */

int32_t stack_check_base(const lathe_instance *child, int64_t k, int64_t n_features, int32_t code,
                         lathe_output *gives, lathe_error *err) {
    int32_t rc = child_output(child, gives, err);
    if (rc == LATHE_OK && (gives->n_outputs != k || gives->n_features != n_features))
        return fail(err, code,
                    "The base \"%s\" gives %lld outputs from %lld features; %lld from %lld were "
                    "expected.",
                    child->descriptor->name, (long long)gives->n_outputs,
                    (long long)gives->n_features, (long long)k, (long long)n_features);
    return rc;
}

/* ---- folds ---- */

typedef struct fold_item {
    uint64_t number;
    int64_t id;
    int32_t at;
    int32_t stratum;
} fold_item;

static int fold_compare(const void *a, const void *b) {
    const fold_item *x = a, *y = b;
    if (x->stratum != y->stratum)
        return x->stratum < y->stratum ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

int32_t stack_deal_folds(stack_job *job, const float *target, lathe_error *err) {
    const lathe_host *host = job->m->host;
    const int64_t *row_id = get_datasets(host)->row_id(job->c->open.data);
    uint64_t key = host->random_key(host, job->fit->key, UINT64_MAX);
    int64_t n = job->rows.n, next = -1;
    fold_item *items = alloc_array(host, n, sizeof *items);

    if (items == NULL)
        return fail_memory(err, "the folds", n * (int64_t)sizeof *items);
    for (int64_t i = 0; i < n; i++) {
        int32_t row = job->rows.row[i];
        items[i].at = (int32_t)i;
        items[i].id = row_id != NULL ? row_id[row] : row;
        items[i].stratum = job->c->open.task == LATHE_TASK_REGRESSION ? 0 : (int32_t)target[row];
        host->random_u64(host, key, (uint64_t)items[i].id, &items[i].number, 1);
    }
    qsort(items, (size_t)n, sizeof *items, fold_compare);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || items[i].id != items[i - 1].id || items[i].stratum != items[i - 1].stratum)
            next++;
        job->fold[items[i].at] = (int32_t)(next % job->m->config->folds);
    }
    host->free(host, items);
    if (next < 1)
        return fail(err, LATHE_E_DATA, "Stacking needs at least two different rows; there is one.");
    return LATHE_OK;
}

/* ---- out-of-fold predictions ---- */

static void part_free(const lathe_host *host, fold_part *p) {
    get_datasets(host)->release(p->view);
    host->free(host, p->rows);
    host->free(host, p->target);
    host->free(host, p->weight);
    host->free(host, p->counts);
    p->view = NULL;
    p->rows = NULL;
    p->target = p->weight = NULL;
    p->counts = NULL;
}

static int32_t part_make(const stack_job *job, int64_t fold, fold_part *p, lathe_error *err) {
    const lathe_host *host = job->m->host;
    const lathe_fit *fit = job->fit;
    int64_t n = job->rows.n;

    atomic_init(&p->users, job->m->n);
    p->rows = alloc_array(host, n, sizeof *p->rows);
    p->target = fit->target != NULL ? alloc_array(host, n, sizeof *p->target) : NULL;
    p->weight = fit->weight != NULL ? alloc_array(host, n, sizeof *p->weight) : NULL;
    p->counts = fit->counts != NULL ? alloc_array(host, n, sizeof *p->counts) : NULL;
    if (p->rows == NULL || (fit->target != NULL && p->target == NULL) ||
        (fit->weight != NULL && p->weight == NULL) || (fit->counts != NULL && p->counts == NULL))
        return fail_memory(err, "a fold", n * 14);
    for (int64_t i = 0; i < n; i++) {
        int32_t row = job->rows.row[i];
        if (job->fold[i] == fold)
            continue;
        p->rows[p->n] = row;
        if (p->target != NULL)
            p->target[p->n] = fit->target[row];
        if (p->weight != NULL)
            p->weight[p->n] = fit->weight[row];
        if (p->counts != NULL)
            p->counts[p->n] = fit->counts[row];
        p->n++;
    }
    return get_datasets(host)->view(job->c->open.data, p->rows, p->n, &p->view, err);
}

int32_t stack_make_parts(stack_job *job, lathe_error *err) {
    int64_t folds = job->m->config->folds;
    int32_t rc = LATHE_OK;
    job->part = alloc_array(job->m->host, folds, sizeof *job->part);
    if (job->part == NULL)
        return fail_memory(err, "the folds", folds * (int64_t)sizeof *job->part);
    for (int64_t f = 0; rc == LATHE_OK && f < folds; f++)
        rc = part_make(job, f, &job->part[f], err);
    return rc;
}

void stack_free_parts(stack_job *job) {
    for (int64_t f = 0; job->part != NULL && f < job->m->config->folds; f++)
        part_free(job->m->host, &job->part[f]);
    job->m->host->free(job->m->host, job->part);
    job->part = NULL;
}

/* The predictions of `child` of the rows of `fold` into the meta features of base b. */
static int32_t predict_fold(const stack_job *job, const lathe_instance *child, int64_t b,
                            int64_t fold, lathe_error *err) {
    const stacking *m = job->m;
    const lathe_host *host = m->host;
    const lathe_learner *learner = child->interface;
    int64_t f = job->c->info.n_features, k = m->k, held = 0, bytes;
    lathe_output gives;
    int32_t rc = stack_check_base(child, k, f, LATHE_E_SHAPE, &gives, err), at[FOLD_BLOCK];

    if (rc != LATHE_OK)
        return rc;
    bytes = learner->scratch(child->self, FOLD_BLOCK);
    float *x = alloc_array(host, FOLD_BLOCK * f, sizeof *x);
    float *out = alloc_array(host, FOLD_BLOCK * k, sizeof *out);
    void *own = bytes < 0 ? NULL : host->alloc(host, bytes > 0 ? (uint64_t)bytes : 1);
    if (x == NULL || out == NULL || own == NULL)
        rc = fail_memory(err, "predicting a fold", FOLD_BLOCK * (f + k) * 4 + bytes);
    for (int64_t i = 0; rc == LATHE_OK && i <= job->rows.n; i++) {
        if (i < job->rows.n && job->fold[i] == fold) {
            memcpy(x + held * f, job->c->x + job->rows.row[i] * job->c->stride, (size_t)f * 4);
            at[held++] = (int32_t)i;
        }
        if (held < FOLD_BLOCK && i < job->rows.n)
            continue;
        rc = child_predict(child, &gives, held, x, f, out, own, err);
        for (int64_t r = 0; rc == LATHE_OK && r < held; r++)
            memcpy(job->meta + at[r] * m->width + b * k, out + r * k, (size_t)k * 4);
        held = 0;
    }
    host->free(host, own);
    host->free(host, out);
    host->free(host, x);
    return rc;
}

int32_t stack_one_fold(stack_job *job, int64_t b, int64_t fold, uint64_t key, lathe_error *err) {
    const stacking *m = job->m;
    const lathe_component *const *base = m->config->base.items;
    const lathe_components *kids = get_components(m->host);
    fold_part *part = &job->part[fold];
    lathe_instance child = {0};
    lathe_open open = job->c->open;
    lathe_fit fit = *job->fit;

    open.data = part->view;
    fit.key = key;
    fit.target = part->target;
    fit.weight = part->weight;
    fit.counts = part->counts;
    fit.rows = NULL;
    fit.n_rows_used = 0;
    fit.fitted = NULL;
    int32_t rc = child_fit(m->host, base[b], child_needs(&fit, open.task, job->c->info.flags),
                           &open, &fit, &child, err);
    if (rc == LATHE_OK)
        rc = predict_fold(job, &child, b, fold, err);
    kids->destroy(m->host, &child);
    if (atomic_fetch_sub(&part->users, 1) == 1)
        part_free(m->host, part);
    return rc;
}

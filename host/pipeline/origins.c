#include "pipeline/origins.h"

#include <stdlib.h>
#include <string.h>

#define BASES 2          /* rows that stand still, so that one odd row does not hide a dependence */
#define SPREAD_ROWS 16   /* of a numeric column, besides its extremes and a missing value */
#define MAX_VALUES 4096  /* rows a column */
#define MAX_WORK 2e8     /* cells that all trying may write */
#define COLUMN_WORK 50.0 /* what a column costs besides its cells, in cells */

/* What has been found: pairs (prepared, raw), by raw column. */
typedef struct pairs {
    int32_t (*at)[2];
    int64_t n, capacity;
} pairs;

typedef struct trial {
    lathe_job *job;
    const lathe_frame *raw; /* training rows */
    const lathe_table *table;
    int64_t n_prepared;
    pairs found;
    uint8_t *known; /* [n_prepared] has an origin */
} trial;

static int32_t no_memory(lathe_error *err) {
    return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the origins of columns");
}

static int32_t add_pair(trial *t, int64_t prepared, int64_t raw, lathe_error *err) {
    pairs *p = &t->found;
    if (p->n == p->capacity) {
        int64_t more = p->capacity > 0 ? 2 * p->capacity : 256;
        void *grown = realloc(p->at, (size_t)more * sizeof *p->at);
        if (grown == NULL)
            return no_memory(err);
        p->at = grown;
        p->capacity = more;
    }
    p->at[p->n][0] = (int32_t)prepared;
    p->at[p->n++][1] = (int32_t)raw;
    t->known[prepared] = 1;
    return LATHE_OK;
}

/* ---- values to try --------------------------------------------------------------------------- */

/* One row of each category, and one that misses it. */
static int64_t category_rows(const lathe_column *c, int64_t n_rows, int64_t *rows) {
    int64_t n = 0, size = c->dict_size + 1;
    uint8_t *seen = calloc((size_t)size, 1);
    for (int64_t i = 0; seen != NULL && i < n_rows && n < size && n < MAX_VALUES; i++) {
        int32_t code = ((const int32_t *)c->values)[i];
        int64_t at = code >= 0 && code < c->dict_size ? code : c->dict_size;
        if (!seen[at])
            rows[n++] = i;
        seen[at] = 1;
    }
    free(seen);
    return n;
}

/* Rows here and there, those of the least and the greatest value, and one that misses it. */
static int64_t spread_rows(const lathe_column *c, int64_t n_rows, int64_t *rows) {
    int64_t n = 0, least = -1, greatest = -1, missing = -1;
    for (int64_t k = 0; k < SPREAD_ROWS && k < n_rows; k++)
        rows[n++] = k * n_rows / SPREAD_ROWS;
    for (int64_t i = 0; c->type != LATHE_COLUMN_STRING && i < n_rows; i++) {
        if (lathe_is_missing(c, i)) {
            missing = i;
            continue;
        }
        double v = lathe_number_at(c, i, 0);
        if (least < 0 || v < lathe_number_at(c, least, 0))
            least = i;
        if (greatest < 0 || v > lathe_number_at(c, greatest, 0))
            greatest = i;
    }
    if (least >= 0)
        rows[n++] = least;
    if (greatest >= 0)
        rows[n++] = greatest;
    if (missing >= 0)
        rows[n++] = missing;
    return n;
}

static int64_t value_rows(const trial *t, int64_t column, int64_t *rows) {
    const lathe_column *c = &t->table->columns[column];
    return c->type == LATHE_COLUMN_CATEGORY ? category_rows(c, t->table->n_rows, rows)
                                            : spread_rows(c, t->table->n_rows, rows);
}

/* ---- one trial ------------------------------------------------------------------------------- */

static bool same_value(const lathe_column *c, int64_t a, int64_t b) {
    if (c->type == LATHE_COLUMN_STRING) {
        const lathe_str *x = (const lathe_str *)c->values + a,
                        *y = (const lathe_str *)c->values + b;
        return x->len == y->len && (x->ptr == NULL) == (y->ptr == NULL) &&
               (x->ptr == NULL || memcmp(x->ptr, y->ptr, (size_t)x->len) == 0);
    }
    const size_t size = (size_t)lathe_value_size(c->type);
    const char *values = c->values;
    return memcmp(values + (size_t)a * size, values + (size_t)b * size, size) == 0;
}

/* Does the column move while the base stands still? Rows: BASES times n. */
static bool moves(const lathe_column *c, int64_t n) {
    for (int64_t b = 0; b < BASES; b++)
        for (int64_t i = 1; i < n; i++)
            if (!same_value(c, b * n, b * n + i))
                return true;
    return false;
}

/* Rows of bases in which column `column` goes through the values of rows[n]. column -1: none does. */
static int32_t trial_frame(const trial *t, int64_t column, const int64_t *rows, int64_t n,
                           lathe_frame **out, lathe_error *err) {
    int64_t *still = calloc((size_t)(BASES * n) + 1, sizeof *still),
            *moving = calloc((size_t)(BASES * n) + 1, sizeof *moving);
    lathe_frame *base = NULL, *one = NULL, *changed = NULL;
    *out = NULL;
    int32_t rc = still && moving ? LATHE_OK : no_memory(err);
    for (int64_t i = 0; rc == LATHE_OK && i < BASES * n; i++) {
        still[i] = i / n * t->table->n_rows / BASES;
        moving[i] = rows[i % n];
    }
    if (rc == LATHE_OK)
        rc = lathe_frame_take(t->raw, still, BASES * n, &base, err);
    if (rc == LATHE_OK && column >= 0)
        rc = lathe_frame_select(t->raw, &column, 1, &one, err);
    if (rc == LATHE_OK && column >= 0)
        rc = lathe_frame_take(one, moving, BASES * n, &changed, err);
    if (rc == LATHE_OK)
        rc = lathe_frame_new(BASES * n, NULL, out, err);
    for (int64_t c = 0; rc == LATHE_OK && c < t->table->n_columns; c++)
        rc = c == column ? lathe_frame_share_column(*out, changed, 0, NULL, err)
                         : lathe_frame_share_column(*out, base, c, NULL, err);
    lathe_frame_free(changed);
    lathe_frame_free(one);
    lathe_frame_free(base);
    free(moving);
    free(still);
    if (rc != LATHE_OK) {
        lathe_frame_free(*out);
        *out = NULL;
    }
    return rc;
}

/* Which prepared columns move with this raw one. A transform that refuses the mixed rows is no error: names decide. */
static int32_t try_column(trial *t, int64_t column, int64_t *rows, lathe_error *err) {
    const int64_t n = value_rows(t, column, rows);
    lathe_frame *frame = NULL, *prepared = NULL;
    lathe_error refused = {0};
    if (n < 2)
        return LATHE_OK;
    int32_t rc = trial_frame(t, column, rows, n, &frame, err);
    if (rc == LATHE_OK &&
        lathe_chain_apply(t->job->chain, frame, &prepared, &refused) == LATHE_OK) {
        const lathe_table *p = lathe_frame_table(prepared);
        for (int64_t j = 0; rc == LATHE_OK && j < p->n_columns; j++)
            if (moves(&p->columns[j], n))
                rc = add_pair(t, j, column, err);
    }
    lathe_frame_free(prepared);
    lathe_frame_free(frame);
    return rc;
}

/* Columns that no transform touches share the memory of the raw ones; are all of that kind? */
static int32_t find_untouched(trial *t, bool *all, lathe_error *err) {
    const int64_t row = 0;
    lathe_frame *frame = NULL, *prepared = NULL;
    int64_t n = 0;
    int32_t rc = trial_frame(t, -1, &row, 1, &frame, err);
    if (rc == LATHE_OK)
        rc = lathe_chain_apply(t->job->chain, frame, &prepared, err);
    const lathe_table *p = rc == LATHE_OK ? lathe_frame_table(prepared) : NULL;
    const lathe_table *r = rc == LATHE_OK ? lathe_frame_table(frame) : NULL;
    int64_t c = 0; /* both are mostly in the same order */
    for (int64_t j = 0; p != NULL && rc == LATHE_OK && j < p->n_columns; j++)
        for (int64_t k = 0; k < r->n_columns; k++, c++) {
            c = c < r->n_columns ? c : 0;
            if (r->columns[c].values != p->columns[j].values)
                continue;
            rc = add_pair(t, j, c, err);
            n++;
            break;
        }
    *all = rc == LATHE_OK && n == t->n_prepared;
    lathe_frame_free(prepared);
    lathe_frame_free(frame);
    return rc;
}

static bool is_cheap(const trial *t, int64_t *rows) {
    double work = 0;
    for (int64_t c = 0; c < t->table->n_columns && work <= MAX_WORK; c++)
        work += ((double)(BASES * value_rows(t, c, rows)) + COLUMN_WORK) *
                (double)(t->n_prepared + t->table->n_columns);
    return work <= MAX_WORK;
}

static int32_t try_all(trial *t, lathe_error *err) {
    int64_t *rows = calloc(MAX_VALUES + SPREAD_ROWS + 8, sizeof *rows);
    int32_t rc = rows ? LATHE_OK : no_memory(err);
    if (rc == LATHE_OK && is_cheap(t, rows)) {
        t->found.n = 0; /* trying finds the untouched ones too */
        memset(t->known, 0, (size_t)t->n_prepared);
        for (int64_t c = 0; rc == LATHE_OK && c < t->table->n_columns; c++)
            rc = try_column(t, c, rows, err);
    }
    free(rows);
    return rc;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int64_t origin_by_name(const trial *t, const char *name) {
    const int64_t same = lathe_table_find(t->table, name);
    int64_t best = -1;
    size_t longest = 0;
    for (int64_t c = 0; same < 0 && c < t->table->n_columns; c++) {
        const size_t n = strlen(t->table->columns[c].name);
        if (n > longest && strncmp(t->table->columns[c].name, name, n) == 0) {
            longest = n;
            best = c;
        }
    }
    return same >= 0 ? same : best;
}

static int32_t add_by_name(trial *t, lathe_error *err) {
    const lathe_table *p = lathe_chain_schema(t->job->chain);
    int32_t rc = LATHE_OK;
    for (int64_t j = 0; rc == LATHE_OK && j < p->n_columns; j++) {
        const int64_t c = t->known[j] ? -1 : origin_by_name(t, p->columns[j].name);
        if (c >= 0)
            rc = add_pair(t, j, c, err);
    }
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int by_prepared(const void *a, const void *b) {
    const int32_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

static int32_t gather(trial *t, lathe_origins **out, lathe_error *err) {
    const pairs *p = &t->found;
    lathe_origins *o = calloc(1, sizeof *o);
    if (o == NULL)
        return no_memory(err);
    o->n_raw = t->table->n_columns;
    o->n_prepared = t->n_prepared;
    o->first = calloc((size_t)t->n_prepared + 2, sizeof *o->first);
    o->raw = calloc((size_t)p->n + 1, sizeof *o->raw);
    if (o->first == NULL || o->raw == NULL) {
        lathe_origins_free(o);
        return no_memory(err);
    }
    if (p->n > 0)
        qsort(p->at, (size_t)p->n, sizeof *p->at, by_prepared);
    for (int64_t i = 0; i < p->n; i++) {
        o->first[p->at[i][0] + 1]++;
        o->raw[i] = p->at[i][1];
    }
    for (int64_t j = 0; j < t->n_prepared; j++)
        o->first[j + 1] += o->first[j];
    *out = o;
    return LATHE_OK;
}

int32_t lathe_origins_find(lathe_job *job, lathe_origins **origins, lathe_error *err) {
    const lathe_frame *raw = job->parts[PART_TRAIN].raw;
    trial t = {.job = job,
               .raw = raw,
               .table = lathe_frame_table(raw),
               .n_prepared = lathe_chain_schema(job->chain)->n_columns};
    bool all = false;
    *origins = NULL;
    t.known = calloc((size_t)t.n_prepared + 1, 1);
    int32_t rc = t.known ? LATHE_OK : no_memory(err);
    if (rc == LATHE_OK && t.table->n_rows > 0)
        rc = find_untouched(&t, &all, err);
    if (rc == LATHE_OK && t.table->n_rows > 0 && !all)
        rc = try_all(&t, err);
    if (rc == LATHE_OK && !all)
        rc = add_by_name(&t, err);
    if (rc == LATHE_OK)
        rc = gather(&t, origins, err);
    free(t.found.at);
    free(t.known);
    return rc;
}

void lathe_origins_free(lathe_origins *o) {
    if (o == NULL)
        return;
    free(o->first);
    free(o->raw);
    free(o);
}

void lathe_origins_add_up(const lathe_origins *o, const double *prepared, double *raw) {
    memset(raw, 0, (size_t)o->n_raw * sizeof *raw);
    for (int64_t j = 0; j < o->n_prepared; j++) {
        const int64_t n = o->first[j + 1] - o->first[j];
        for (int64_t k = o->first[j]; k < o->first[j + 1]; k++)
            raw[o->raw[k]] += prepared[j] / (double)n;
    }
}

/* monitor/rules.c: validation rules compiled from a baseline and settings, and applied. See rules.h. */
#include "monitor/rules.h"

#include "base/json.h"
#include "data/frame.h"
#include "data/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lathe_rule_names[] = {"type", "range", "domain", "nulls", NULL};
const char *const lathe_action_names[] = {"pass", "flag", "reject", NULL};

static const uint8_t usual[LATHE_RULE_COUNT] = {LATHE_ACTION_REJECT, LATHE_ACTION_FLAG,
                                                LATHE_ACTION_FLAG, LATHE_ACTION_FLAG};

/* A column that some rule is on for. */
typedef struct checked {
    int32_t column, type;
    double low, high;      /* of range; infinite where it is off */
    const double *seen;    /* [n_seen] training counts of a CATEGORY column; NULL: domain is off */
    int64_t n_seen;        /* of the dictionary */
    uint8_t range, domain; /* marks; 0: off */
    uint8_t nulls;         /* mark; 0: off, or training had missing values */
    double trained_low, trained_high; /* for messages: of training */
} checked;

/* What a float64 column is looked at by at first: most values are within. */
typedef struct gate {
    double low, high;
    int64_t column;
} gate;

struct lathe_rules {
    const lathe_table *raw;
    checked *checks; /* [n_checks] float64 columns, other numbers, categories */
    gate *gates;     /* [n_gates] of the first */
    int64_t n_checks, n_gates, n_numbers;
    uint8_t (*actions)[LATHE_RULE_COUNT]; /* [raw.n_columns] */
    uint8_t *tolerated;                   /* [raw.n_columns] */
};

/* ---- settings ---- */

static bool read_action(const cJSON *node, uint8_t *action) {
    for (int i = 0; cJSON_IsString(node) && i < LATHE_ACTION_COUNT; i++)
        if (strcmp(node->valuestring, lathe_action_names[i]) == 0) {
            *action = (uint8_t)i;
            return true;
        }
    return false;
}

/* {"range": "flag", …}, or one action for all. */
static void read_actions(const cJSON *node, uint8_t actions[LATHE_RULE_COUNT]) {
    uint8_t one;
    const bool all = read_action(node, &one);
    for (int r = 0; r < LATHE_RULE_COUNT; r++) {
        if (all)
            actions[r] = one;
        else
            read_action(lathe_json_get(node, lathe_rule_names[r]), &actions[r]);
    }
}

static double number_or(const cJSON *object, const char *key, double def) {
    const cJSON *node = lathe_json_get(object, key);
    return cJSON_IsNumber(node) && isfinite(node->valuedouble) ? node->valuedouble : def;
}

/* ---- compiling ---- */

static uint8_t mark_of(lathe_rule rule, uint8_t action) {
    return (uint8_t)(action == LATHE_ACTION_PASS   ? 0
                     : action == LATHE_ACTION_FLAG ? LATHE_MARK_FLAG(rule)
                                                   : LATHE_MARK_REJECT(rule));
}

/* Smallest and largest value of training; NaN where it had none. */
static void trained_range(const lathe_baseline *baseline, int64_t feature, double *low,
                          double *high) {
    lathe_distribution d;
    lathe_baseline_distribution(baseline, feature, LATHE_BINS_FINE, &d);
    *low = *high = (double)NAN;
    for (int64_t b = 0; b < d.n_bins; b++) {
        if (isnan(*low))
            *low = d.lower[b];
        if (!isnan(d.upper[b]))
            *high = d.upper[b];
    }
}

static void compile_range(checked *k, const lathe_baseline *baseline, int64_t feature,
                          const cJSON *settings, const cJSON *own) {
    trained_range(baseline, feature, &k->trained_low, &k->trained_high);
    double margin = number_or(own, "margin", number_or(settings, "margin", 0));
    margin = margin >= 0 && margin <= 1e6 ? margin : 0;
    const double pad = (k->trained_high - k->trained_low) * margin;
    k->low = number_or(own, "min", k->trained_low - (isfinite(pad) ? pad : 0));
    k->high = number_or(own, "max", k->trained_high + (isfinite(pad) ? pad : 0));
    if (isnan(k->low)) /* training had no number: there is no range */
        k->low = -(double)INFINITY;
    if (isnan(k->high))
        k->high = (double)INFINITY;
}

/* False: no rule is on for the column. */
static bool compile_column(lathe_rules *rules, int64_t column, const lathe_baseline *baseline,
                           const cJSON *settings) {
    const lathe_column *c = &rules->raw->columns[column];
    const cJSON *own = lathe_json_get(lathe_json_get(settings, "columns"), c->name);
    uint8_t *actions = rules->actions[column];
    memcpy(actions, usual, sizeof usual);
    read_actions(settings, actions);
    read_actions(own, actions);
    rules->tolerated[column] = actions[LATHE_RULE_TYPE] == LATHE_ACTION_FLAG   ? 1
                               : actions[LATHE_RULE_TYPE] == LATHE_ACTION_PASS ? 2
                                                                               : 0;
    const int64_t feature = baseline ? lathe_baseline_find(baseline, c->name) : -1;
    const bool categorical = c->type == LATHE_COLUMN_CATEGORY;
    if (feature < 0 || lathe_baseline_categorical(baseline, feature) != categorical ||
        (!categorical && !lathe_is_numeric(c)))
        return false;
    checked *k = &rules->checks[rules->n_checks];
    *k = (checked){.column = (int32_t)column, .type = c->type};
    lathe_distribution d;
    lathe_baseline_distribution(baseline, feature, LATHE_BINS_COARSE, &d);
    k->nulls = d.missing > 0 ? 0 : mark_of(LATHE_RULE_NULLS, actions[LATHE_RULE_NULLS]);
    if (categorical && d.n_bins == c->dict_size + 1) {
        k->domain = mark_of(LATHE_RULE_DOMAIN, actions[LATHE_RULE_DOMAIN]);
        k->seen = d.counts;
        k->n_seen = c->dict_size;
    } else if (!categorical) {
        k->range = mark_of(LATHE_RULE_RANGE, actions[LATHE_RULE_RANGE]);
        compile_range(k, baseline, feature, settings, own);
    }
    return (k->nulls | k->domain | k->range) != 0;
}

static int32_t check_names(const lathe_table *raw, const cJSON *settings, lathe_error *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, lathe_json_get(settings, "columns")) {
        int64_t at;
        const int32_t rc = lathe_table_need(raw, item->string, "the validated column", &at, err);
        if (rc != LATHE_OK)
            return rc;
    }
    return LATHE_OK;
}

/* float64, other numbers, categories */
static int order_of(const checked *k) {
    return k->type == LATHE_COLUMN_FLOAT64 ? 0 : k->type == LATHE_COLUMN_CATEGORY ? 2 : 1;
}

static int by_kind(const void *a, const void *b) {
    const checked *x = a, *y = b;
    const int order = order_of(x) - order_of(y);
    return order != 0 ? order : (x->column > y->column) - (x->column < y->column);
}

static void make_gates(lathe_rules *rules) {
    if (rules->n_checks > 0)
        qsort(rules->checks, (size_t)rules->n_checks, sizeof *rules->checks, by_kind);
    for (int64_t c = 0; c < rules->n_checks; c++) {
        const checked *k = &rules->checks[c];
        rules->n_numbers += order_of(k) < 2;
        if (k->type == LATHE_COLUMN_FLOAT64)
            rules->gates[rules->n_gates++] = (gate){k->low, k->high, k->column};
    }
}

int32_t lathe_rules_new(const lathe_table *raw, const lathe_baseline *baseline,
                        const cJSON *settings, lathe_rules **out, lathe_error *err) {
    *out = NULL;
    const int32_t rc = check_names(raw, settings, err);
    if (rc != LATHE_OK)
        return rc;
    const size_t n = (size_t)raw->n_columns + 1;
    lathe_rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return lathe_fail_memory(err, "validation", "the validation rules");
    rules->raw = raw;
    rules->checks = calloc(n, sizeof *rules->checks);
    rules->gates = calloc(n, sizeof *rules->gates);
    rules->actions = calloc(n, sizeof *rules->actions);
    rules->tolerated = calloc(n, 1);
    if (rules->checks == NULL || rules->gates == NULL || rules->actions == NULL ||
        rules->tolerated == NULL) {
        lathe_rules_free(rules);
        return lathe_fail_memory(err, "validation", "the validation rules");
    }
    for (int64_t c = 0; c < raw->n_columns; c++)
        rules->n_checks += compile_column(rules, c, baseline, settings);
    make_gates(rules);
    *out = rules;
    return LATHE_OK;
}

void lathe_rules_free(lathe_rules *rules) {
    if (rules == NULL)
        return;
    free(rules->checks);
    free(rules->gates);
    free(rules->actions);
    free(rules->tolerated);
    free(rules);
}

lathe_rule_action lathe_rules_action(const lathe_rules *rules, lathe_rule rule, int64_t column) {
    return (lathe_rule_action)rules->actions[column][rule];
}

const uint8_t *lathe_rules_tolerated(const lathe_rules *rules) {
    return rules->tolerated;
}

/* ---- checking ---- */

/* NaN: missing. */
static double number_of(const checked *k, const void *values, int64_t row) {
    if (k->type == LATHE_COLUMN_FLOAT64)
        return ((const double *)values)[row];
    const int64_t whole = ((const int64_t *)values)[row];
    return whole == LATHE_MISSING_INT ? (double)NAN : (double)whole;
}

/* The mark of one value; 0: it is as in training. */
static inline unsigned judge(const checked *k, const void *values, int64_t row) {
    if (k->type == LATHE_COLUMN_CATEGORY) {
        const int32_t code = ((const int32_t *)values)[row];
        if (code == LATHE_CODE_MISSING)
            return k->nulls;
        return code >= 0 && code < k->n_seen && k->seen[code] > 0 ? 0 : k->domain;
    }
    const double value = number_of(k, values, row);
    if (value >= k->low && value <= k->high)
        return 0;
    return isnan(value) ? k->nulls : k->range;
}

static const lathe_rule_place nowhere = {-1, -1};

static void begin_report(lathe_rule_report *report) {
    memset(report, 0, sizeof *report);
    for (int r = 0; r < LATHE_RULE_COUNT; r++)
        for (int a = 0; a < LATHE_ACTION_COUNT; a++)
            report->first[r][a] = nowhere;
}

/* The first row counts, and in it the first column. */
static void note(lathe_rule_report *report, unsigned mark, int64_t column, int64_t row) {
    for (int r = 0; r < LATHE_RULE_COUNT; r++) {
        const int action = mark & LATHE_MARK_FLAG(r)     ? LATHE_ACTION_FLAG
                           : mark & LATHE_MARK_REJECT(r) ? LATHE_ACTION_REJECT
                                                         : LATHE_ACTION_PASS;
        lathe_rule_place *first = &report->first[r][action];
        if (action != LATHE_ACTION_PASS && (first->column < 0 || row < first->row ||
                                            (row == first->row && column < first->column)))
            *first = (lathe_rule_place){column, row};
    }
}

static void count_rows(const uint8_t *marks, int64_t n, lathe_rule_report *report) {
    const unsigned flags = (1u << LATHE_RULE_COUNT) - 1;
    for (int64_t i = 0; i < n; i++) {
        if (marks[i] == 0)
            continue;
        report->flagged += (marks[i] & flags) != 0;
        report->rejected += (marks[i] & ~flags) != 0;
        for (int r = 0; r < LATHE_RULE_COUNT; r++) {
            report->rows[r][LATHE_ACTION_FLAG] += (marks[i] & LATHE_MARK_FLAG(r)) != 0;
            report->rows[r][LATHE_ACTION_REJECT] += (marks[i] & LATHE_MARK_REJECT(r)) != 0;
        }
    }
}

static inline bool all_within(const gate *g, const lathe_table *rows, int64_t begin, int64_t n) {
    const double *numbers = (const double *)rows->columns[g->column].values + begin;
    int64_t i = 0;
    while (i < n && numbers[i] >= g->low && numbers[i] <= g->high)
        i++;
    return i == n;
}

/* By the checks from c on. */
static bool check_from(const lathe_rules *rules, int64_t c, const lathe_table *rows, int64_t begin,
                       int64_t n, uint8_t *marks, lathe_rule_report *report) {
    bool fired = false;
    for (int64_t i = 0; i < n && !fired; i++)
        fired = marks[i] != 0;
    if (fired)
        begin_report(report);
    for (; c < rules->n_checks; c++) {
        if (c < rules->n_gates && all_within(&rules->gates[c], rows, begin, n))
            continue;
        const checked *k = &rules->checks[c];
        const void *values = rows->columns[k->column].values;
        for (int64_t i = 0; i < n; i++) {
            const unsigned mark = judge(k, values, begin + i);
            if (mark == 0)
                continue;
            if (!fired)
                begin_report(report);
            fired = true;
            marks[i] |= (uint8_t)mark;
            note(report, mark, k->column, begin + i);
        }
    }
    if (fired)
        count_rows(marks, n, report);
    return fired;
}

bool lathe_rules_check(const lathe_rules *rules, const lathe_table *rows, int64_t begin, int64_t n,
                       uint8_t *marks, lathe_rule_report *report) {
    return check_from(rules, 0, rows, begin, n, marks, report);
}

bool lathe_rules_check_others(const lathe_rules *rules, const lathe_table *rows, int64_t row,
                              uint8_t *mark, lathe_rule_report *report) {
    return check_from(rules, rules->n_numbers, rows, row, 1, mark, report);
}

bool lathe_rules_are_numbers(const lathe_rules *rules) {
    return rules->n_checks == rules->n_numbers;
}

bool lathe_rules_bounds(const lathe_rules *rules, const int64_t *columns, int64_t n, double *low,
                        double *high) {
    int64_t set = 0;
    for (int64_t i = 0; i < n; i++) {
        low[i] = -(double)INFINITY;
        high[i] = (double)INFINITY;
        for (int64_t c = 0; c < rules->n_numbers; c++) {
            const checked *k = &rules->checks[c];
            if (k->column != columns[i])
                continue;
            low[i] = k->low;
            high[i] = k->high;
            set++;
        }
    }
    return set == rules->n_numbers;
}

/* ---- explaining ---- */

lathe_rule lathe_rules_refused(const lathe_rule_report *report, lathe_rule_place *place) {
    lathe_rule rule = LATHE_RULE_TYPE;
    *place = nowhere;
    for (int r = 0; r < LATHE_RULE_COUNT; r++) {
        const lathe_rule_place *at = &report->first[r][LATHE_ACTION_REJECT];
        if (at->column >= 0 && (place->column < 0 || at->row < place->row ||
                                (at->row == place->row && at->column < place->column))) {
            *place = *at;
            rule = (lathe_rule)r;
        }
    }
    return rule;
}

static const checked *find_check(const lathe_rules *rules, int64_t column) {
    for (int64_t c = 0; c < rules->n_checks; c++)
        if (rules->checks[c].column == column)
            return &rules->checks[c];
    return NULL;
}

/* `text` as it can stand in a sentence: no control bytes, at most `most` bytes, not cut within a character. */
static void put_text(char *out, size_t size, lathe_str text, int64_t most) {
    int64_t n = text.len < most ? text.len : most;
    while (n > 0 && n < text.len && ((uint8_t)text.ptr[n] & 0xC0) == 0x80)
        n--;
    if (n > (int64_t)size - 4)
        n = (int64_t)size - 4;
    for (int64_t i = 0; i < n; i++)
        out[i] = (uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F ? '?' : text.ptr[i];
    snprintf(out + n, size - (size_t)n, "%s", n < text.len ? "..." : "");
}

/* The most frequent categories of training: `"male", "female" and 3 more`. */
static void put_domain(char *out, size_t size, const checked *k, const lathe_column *c) {
    enum { SHOWN = 5 };
    int64_t best[SHOWN], n = 0, all = 0;
    for (int64_t v = 0; v < k->n_seen; v++) {
        if (!(k->seen[v] > 0))
            continue;
        all++;
        int64_t at = n < SHOWN ? n++ : SHOWN;
        for (; at > 0 && k->seen[best[at - 1]] < k->seen[v]; at--)
            if (at < SHOWN)
                best[at] = best[at - 1];
        if (at < SHOWN)
            best[at] = v;
    }
    size_t len = (size_t)snprintf(out, size, "%s", all == 0 ? "nothing" : "");
    for (int64_t i = 0; i < n; i++) {
        char text[32];
        put_text(text, sizeof text, c->dict[best[i]], 24);
        len += (size_t)snprintf(out + len, size - len, "%s\"%s\"", i > 0 ? ", " : "", text);
    }
    if (all > n)
        snprintf(out + len, size - len, " and %lld more", (long long)(all - n));
}

static int32_t explain_domain(const checked *k, const lathe_column *c, int32_t code,
                              const lathe_rule_place *at, lathe_str unseen, lathe_error *err) {
    char value[64] = "a value that is not known", domain[256];
    if (code >= 0 && code < c->dict_size)
        unseen = c->dict[code];
    if (unseen.ptr != NULL)
        put_text(value, sizeof value, unseen, 48);
    put_domain(domain, sizeof domain, k, c);
    return lathe_fail(err, LATHE_E_DATA, c->name,
                      "row %lld, column \"%.80s\": \"%s\" is none of the categories of training, "
                      "which were %s (rule \"domain\")",
                      (long long)at->row + 1, c->name, value, domain);
}

int32_t lathe_rules_explain(const lathe_rules *rules, const lathe_table *rows,
                            const lathe_rule_report *report, lathe_str unseen, lathe_error *err) {
    lathe_rule_place at;
    const lathe_rule rule = lathe_rules_refused(report, &at);
    const checked *k = at.column >= 0 ? find_check(rules, at.column) : NULL;
    if (k == NULL)
        return lathe_fail(err, LATHE_E_DATA, NULL, "a row breaks a rule of validation");
    const lathe_column *c = &rules->raw->columns[at.column];
    const void *values = rows->columns[at.column].values;
    const long long row = (long long)at.row + 1;
    if (rule == LATHE_RULE_NULLS)
        return lathe_fail(err, LATHE_E_DATA, c->name,
                          "row %lld, column \"%.80s\": the value is missing, which it never was in "
                          "training (rule \"nulls\")",
                          row, c->name);
    if (rule == LATHE_RULE_DOMAIN)
        return explain_domain(k, c, ((const int32_t *)values)[at.row], &at, unseen, err);
    char allowed[96] = "";
    if (k->low != k->trained_low || k->high != k->trained_high)
        snprintf(allowed, sizeof allowed, "; %.9g to %.9g is taken", k->low, k->high);
    return lathe_fail(err, LATHE_E_DATA, c->name,
                      "row %lld, column \"%.80s\": %.9g is outside of what training saw, %.9g to "
                      "%.9g%s (rule \"range\")",
                      row, c->name, number_of(k, values, at.row), k->trained_low, k->trained_high,
                      allowed);
}

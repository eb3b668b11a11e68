/* monitor/rules.h: validation at the door: rows that are asked about, held against what training saw.
 *
 *     rule     fires where                                                           usual action
 *     type     a value is not of its column's type, a text that is no number         reject
 *     range    a number lies outside of those of training                            flag
 *     domain   a category is none of those of training                               flag
 *     nulls    a value is missing where training had none missing                    flag
 *
 * Actions: `reject` refuses the whole request with column, row, value and what training saw; `flag` answers it and
 * counts the row; `pass` does nothing. A value of the wrong type that is not rejected counts as missing.
 *
 * Settings are the document's "deploy"/"validation" (or an endpoint's own), e.g.
 *
 *     {"range": "reject", "margin": 0.1, "columns": {"age": {"max": 120}, "note": "pass"}}
 *
 * one action a rule; `margin` widens the range of training on both sides by a share of its width (0); `columns` says
 * otherwise for single columns, which may also have `min` and `max` in place of the training's. A single action in place
 * of an object stands for all rules. Keys are checked where the document is (pipeline/validation.h); what does not make
 * sense here is as if it were not there. TIMESTAMP and STRING columns have no profile: of them only `type` is looked at.
 *
 * Rules never change: reading is [any].
 */
#ifndef LATHE_MONITOR_RULES_H
#define LATHE_MONITOR_RULES_H

#include "data/baseline.h"

typedef enum lathe_rule {
    LATHE_RULE_TYPE,
    LATHE_RULE_RANGE,
    LATHE_RULE_DOMAIN,
    LATHE_RULE_NULLS,
    LATHE_RULE_COUNT
} lathe_rule;

typedef enum lathe_rule_action {
    LATHE_ACTION_PASS,
    LATHE_ACTION_FLAG,
    LATHE_ACTION_REJECT,
    LATHE_ACTION_COUNT
} lathe_rule_action;

extern const char *const lathe_rule_names[LATHE_RULE_COUNT + 1];     /* NULL-terminated */
extern const char *const lathe_action_names[LATHE_ACTION_COUNT + 1]; /* NULL-terminated */

typedef struct lathe_rules lathe_rules;

/* For rows of the columns of `raw`. The baseline may be NULL (no profile: types alone) and must outlive the rules, as must raw;
 * settings may be NULL. LATHE_E_NOT_FOUND: the settings name a column that is not there, with the nearest. */
int32_t lathe_rules_new(const lathe_table *raw, const lathe_baseline *baseline,
                        const cJSON *settings, lathe_rules **rules, lathe_error *err);
void lathe_rules_free(lathe_rules *rules); /* NULL is fine */

lathe_rule_action lathe_rules_action(const lathe_rules *rules, lathe_rule rule, int64_t column);
/* [columns] not 0: a value of the wrong type there is no error but missing; odd: and its row has the mark 1, which is that of
 * a flag of LATHE_RULE_TYPE. */
const uint8_t *lathe_rules_tolerated(const lathe_rules *rules);

/* The bits of a row's mark: the rule fired, with an action of flag or of reject. */
#define LATHE_MARK_FLAG(rule) (1u << (rule))
#define LATHE_MARK_REJECT(rule) (1u << ((rule) + LATHE_RULE_COUNT))

/* Where a rule fired first. */
typedef struct lathe_rule_place {
    int64_t column, row; /* column -1: it did not */
} lathe_rule_place;

typedef struct lathe_rule_report {
    int64_t rows[LATHE_RULE_COUNT][LATHE_ACTION_COUNT]; /* that a rule fired for; of PASS 0 */
    int64_t flagged, rejected;                          /* rows that any did */
    lathe_rule_place first[LATHE_RULE_COUNT][LATHE_ACTION_COUNT];
} lathe_rule_report;

/* Looks at rows [begin, begin + n) of a table with the columns of raw. marks: [n], 0 or the mark of LATHE_RULE_TYPE; gets the
 * others. A type's first place is not known here. False: nothing fired, and the report is not written. Allocates
 * nothing. [serve] */
bool lathe_rules_check(const lathe_rules *rules, const lathe_table *rows, int64_t begin, int64_t n,
                       uint8_t *marks, lathe_rule_report *report);

/* For rows whose numbers are looked at together (monitor/bounds.h). A row whose numbers in `columns` all lie within low … high
 * [n] breaks no rule about numbers. False: some rule is about a number of another column. */
bool lathe_rules_bounds(const lathe_rules *rules, const int64_t *columns, int64_t n, double *low,
                        double *high);
/* Are there no rules but those? */
bool lathe_rules_are_numbers(const lathe_rules *rules);
/* As lathe_rules_check of one row whose numbers are known to break no rule. [serve] */
bool lathe_rules_check_others(const lathe_rules *rules, const lathe_table *rows, int64_t row,
                              uint8_t *mark, lathe_rule_report *report);

/* The sentence for a report with rejected rows: LATHE_E_DATA. unseen: the text of a category that the dictionary lacks (`len`
 * bytes of it; ptr NULL: not known). */
int32_t lathe_rules_explain(const lathe_rules *rules, const lathe_table *rows,
                            const lathe_rule_report *report, lathe_str unseen, lathe_error *err);
/* The rule and place that explain is about. */
lathe_rule lathe_rules_refused(const lathe_rule_report *report, lathe_rule_place *place);

#endif

#include "pipeline/validation.h"

#include "monitor/rules.h"

#include <string.h>

/* One action for all rules, in place of an object? Anything else than a text is for lathe_check_object. */
static bool check_text(const lathe_check *c, const cJSON *node) {
    if (!cJSON_IsString(node))
        return false;
    for (int i = 0; lathe_action_names[i] != NULL; i++)
        if (strcmp(node->valuestring, lathe_action_names[i]) == 0)
            return true;
    lathe_diag_add(c->diags, c->doc, node,
                   "\"%s\" is \"%.40s\"; expected \"pass\", \"flag\", \"reject\" or an object of "
                   "rules",
                   node->string != NULL ? node->string : "validation", node->valuestring);
    return true;
}

static void check_rules(const lathe_check *c, const cJSON *node) {
    for (int r = 0; r < LATHE_RULE_COUNT; r++)
        lathe_check_choice(c, node, lathe_rule_names[r], lathe_action_names, LATHE_ACTION_FLAG);
    lathe_check_number(c, node, "margin", 0, 1e6, 0);
}

static void check_column(const lathe_check *c, const cJSON *node) {
    static const char *const keys[] = {"type",   "range", "domain", "nulls",
                                       "margin", "min",   "max",    NULL};
    if (check_text(c, node) || !lathe_check_object(c, node, "a column's validation", keys))
        return;
    check_rules(c, node);
    const double low = lathe_check_number(c, node, "min", -1e308, 1e308, -1e308),
                 high = lathe_check_number(c, node, "max", -1e308, 1e308, 1e308);
    if (low > high)
        lathe_diag_add(c->diags, c->doc, node, "\"min\" is %g, which is above \"max\", %g", low,
                       high);
}

void lathe_validation_check(const lathe_check *c, const cJSON *node) {
    static const char *const keys[] = {"type",   "range",   "domain",     "nulls",
                                       "margin", "columns", "statistics", NULL};
    if (node == NULL || check_text(c, node) || !lathe_check_object(c, node, "\"validation\"", keys))
        return;
    check_rules(c, node);
    lathe_check_bool(c, node, "statistics", true);
    const cJSON *columns = lathe_json_get(node, "columns"), *column;
    if (columns == NULL)
        return;
    if (!cJSON_IsObject(columns)) {
        lathe_diag_add(c->diags, c->doc, columns,
                       "\"columns\" is %s; expected an object of column: rules",
                       lathe_json_type_name(columns));
        return;
    }
    cJSON_ArrayForEach(column, columns) check_column(c, column);
}

/* The "goal" stage: what to predict, how good is good, what must hold before anything is deployed. */
#include "pipeline/stages.h"

#include <lathe/metric.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const goal_keys[] = {"task",    "target",       "positive", "metric", "metrics",
                                        "require", "class_weight", "weight",   NULL};
static const char *const tasks[] = {"classification", "regression", NULL};

/* Reported beside the chosen metric where they are installed. */
static const char *const usual_classification[] = {"accuracy", "auc", "log_loss", "f1", NULL};
static const char *const usual_regression[] = {"rmse", "mae", "r2", NULL};

void lathe_stage_goal_kind(const lathe_check *c, lathe_pipeline *p, const cJSON *root) {
    const cJSON *goal = lathe_check_required(c, root, "the document", "goal");
    if (goal == NULL || !lathe_check_object(c, goal, "\"goal\"", goal_keys))
        return;
    if (lathe_check_required(c, goal, "\"goal\"", "task") != NULL) {
        const int task = lathe_check_choice(c, goal, "task", tasks, -1);
        p->goal.task_known = task >= 0;
        p->goal.classification = task == 0;
    }
}

typedef struct metric_list {
    lathe_metric_use *items;
    size_t count, cap;
} metric_list;

static size_t find_metric(const metric_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* Adds a bound metric, which the list now owns; returns its index, SIZE_MAX where memory is out. */
static size_t add_metric(const lathe_check *c, metric_list *list, const char *name,
                         lathe_component *component) {
    if (list->count == list->cap) {
        lathe_component_free(component);
        return SIZE_MAX;
    }
    list->items[list->count] =
        (lathe_metric_use){lathe_arena_strdup(c->arena, name), component,
                           (component->descriptor->flags & LATHE_METRIC_HIGHER_IS_BETTER) != 0};
    return list->count++;
}

/* The metric that a node names: "auc" or {"recall": {…}}. */
static size_t bind_metric(const lathe_check *c, const lathe_binder *binder, metric_list *list,
                          const cJSON *node) {
    lathe_component *component = lathe_bind(binder, c->doc, node, LATHE_KIND_METRIC, c->diags);
    if (component == NULL)
        return SIZE_MAX;
    const char *use = component->descriptor->name;
    const size_t at = find_metric(list, use);
    if (at == SIZE_MAX)
        return add_metric(c, list, use, component);
    if (strcmp(list->items[at].component->resolved, component->resolved) != 0)
        lathe_diag_add(
            c->diags, c->doc, node,
            "the metric \"%s\" is named before with other parameters; a goal has it once", use);
    lathe_component_free(component);
    return at;
}

/* A metric by bare name, bound from text: for "require" keys and the usual ones. */
static size_t metric_by_name(const lathe_check *c, const lathe_binder *binder, metric_list *list,
                             const char *name, lathe_error *err) {
    size_t at = find_metric(list, name);
    if (at != SIZE_MAX)
        return at;
    lathe_component *component = NULL;
    if (lathe_bind_text(binder, LATHE_KIND_METRIC, name, NULL, &component, err) != LATHE_OK)
        return SIZE_MAX;
    return add_metric(c, list, name, component);
}

/* One that nobody named, where it is installed. One that is there and cannot be used is told: another would stand in for it. */
static void usual_metric(const lathe_check *c, const lathe_binder *binder, metric_list *list,
                         const char *name, const cJSON *goal) {
    const lathe_plugin *plugin =
        lathe_catalogue_find(binder->catalogue, LATHE_KIND_METRIC, name, NULL);
    const lathe_descriptor *loaded;
    lathe_error err = {0};
    if (plugin != NULL && binder->load && lathe_catalogue_load(plugin, &loaded, &err) != LATHE_OK)
        lathe_diag_add(c->diags, c->doc, goal, "the metric \"%s\" cannot be used: %s", name,
                       err.message);
    else
        metric_by_name(c, binder, list, name, NULL);
}

static lathe_measure measure_of(const char *name) {
    static const struct {
        const char *name;
        lathe_measure measure;
    } measures[] = {{"latency_p50_ms", LATHE_MEASURE_LATENCY_P50_MS},
                    {"latency_p99_ms", LATHE_MEASURE_LATENCY_P99_MS},
                    {"model_mb", LATHE_MEASURE_MODEL_MB},
                    {"train_seconds", LATHE_MEASURE_TRAIN_SECONDS}};
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
        if (strcmp(measures[i].name, name) == 0)
            return measures[i].measure;
    return LATHE_MEASURE_METRIC;
}

static void parse_require(const lathe_check *c, const lathe_binder *binder, lathe_goal *goal,
                          metric_list *list, const cJSON *require) {
    if (require == NULL)
        return;
    if (!cJSON_IsObject(require)) {
        lathe_diag_add(c->diags, c->doc, require,
                       "\"require\" is %s; expected an object such as {\"auc\": \">= 0.9\"}",
                       lathe_json_type_name(require));
        return;
    }
    lathe_requirement *items =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(require), sizeof *items);
    const cJSON *node;
    cJSON_ArrayForEach(node, require) {
        lathe_requirement r = {.measure = measure_of(node->string), .metric = SIZE_MAX};
        if (r.measure == LATHE_MEASURE_METRIC) {
            lathe_error err = {0};
            r.metric = metric_by_name(c, binder, list, node->string, &err);
            if (r.metric == SIZE_MAX) {
                lathe_diag_add_key(c->diags, c->doc, node,
                                   "%s; besides metrics \"require\" takes latency_p50_ms, "
                                   "latency_p99_ms, model_mb and train_seconds",
                                   err.message);
                continue;
            }
        }
        if (!cJSON_IsString(node) || !lathe_bound_parse(node->valuestring, &r.compare, &r.bound)) {
            char brief[48];
            lathe_diag_add(
                c->diags, c->doc, node,
                "the requirement on \"%s\" is %s; expected a text such as \">= 0.92\" with one "
                "of >=, >, <=, <, ==",
                node->string, lathe_json_brief(node, brief, sizeof brief));
            continue;
        }
        r.name = lathe_arena_strdup(c->arena, node->string);
        r.text = lathe_arena_strdup(c->arena, node->valuestring);
        if (items != NULL)
            items[goal->n_require++] = r;
    }
    goal->require = items;
}

static void parse_class_weight(const lathe_check *c, lathe_goal *goal, const cJSON *node) {
    if (node == NULL)
        return;
    if (goal->task_known && !goal->classification) {
        lathe_diag_add(c->diags, c->doc, node, "\"class_weight\" is for classification alone");
        return;
    }
    if (cJSON_IsString(node) && strcmp(node->valuestring, "balanced") == 0) {
        goal->balanced = true;
        return;
    }
    if (!cJSON_IsObject(node)) {
        lathe_diag_add(
            c->diags, c->doc, node,
            "\"class_weight\" is %s; expected \"balanced\" or an object of class: weight",
            lathe_json_type_name(node));
        return;
    }
    lathe_class_weight *items =
        lathe_arena_array(c->arena, (size_t)cJSON_GetArraySize(node), sizeof *items);
    const cJSON *item;
    cJSON_ArrayForEach(item, node) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1e9))
            lathe_diag_add(c->diags, c->doc, item,
                           "the weight of class \"%s\" must be a number from 0 to 1e9",
                           item->string);
        else if (items != NULL)
            items[goal->n_class_weights++] =
                (lathe_class_weight){lathe_arena_strdup(c->arena, item->string), item->valuedouble};
    }
    goal->class_weights = items;
}

/* More metrics to report: a list of uses. */
static void parse_metrics(const lathe_check *c, const lathe_binder *binder, metric_list *list,
                          const cJSON *metrics) {
    const cJSON *node;
    if (metrics != NULL && !cJSON_IsArray(metrics)) {
        lathe_diag_add(c->diags, c->doc, metrics, "\"metrics\" is %s; expected a list of metrics",
                       lathe_json_type_name(metrics));
        return;
    }
    cJSON_ArrayForEach(node, metrics) bind_metric(c, binder, list, node);
}

void lathe_stage_goal(const lathe_check *c, const lathe_binder *binder, lathe_pipeline *p,
                      const cJSON *root) {
    lathe_goal *goal = &p->goal;
    const cJSON *node = lathe_json_get(root, "goal");
    if (!cJSON_IsObject(node))
        return;
    lathe_check_required(c, node, "\"goal\"", "target");
    goal->target = lathe_check_string(c, node, "target", "");
    goal->positive = lathe_check_string(c, node, "positive", NULL);
    goal->weight_column = lathe_check_string(c, node, "weight", NULL);
    if (goal->positive != NULL && goal->task_known && !goal->classification)
        lathe_diag_add(c->diags, c->doc, lathe_json_get(node, "positive"),
                       "\"positive\" names a class and is for classification alone");
    parse_class_weight(c, goal, lathe_json_get(node, "class_weight"));

    const cJSON *require = lathe_json_get(node, "require");
    const cJSON *metrics = lathe_json_get(node, "metrics");
    size_t cap = 8 + (size_t)(cJSON_IsObject(require) ? cJSON_GetArraySize(require) : 0) +
                 (size_t)(cJSON_IsArray(metrics) ? cJSON_GetArraySize(metrics) : 0);
    metric_list list = {lathe_arena_array(c->arena, cap, sizeof(lathe_metric_use)), 0, cap};
    if (list.items == NULL)
        return;
    const cJSON *metric = lathe_json_get(node, "metric");
    if (metric != NULL)
        bind_metric(c, binder, &list, metric);
    else if (goal->task_known)
        usual_metric(c, binder, &list, goal->classification ? "log_loss" : "rmse", node);
    parse_metrics(c, binder, &list, metrics);
    parse_require(c, binder, goal, &list, require);
    const char *const *usual = goal->classification ? usual_classification : usual_regression;
    for (; *usual != NULL && list.count < list.cap; usual++)
        usual_metric(c, binder, &list, *usual, node);
    goal->metrics = list.items;
    goal->n_metrics = list.count;
    if (list.count == 0 && !lathe_diags_any(c->diags))
        lathe_diag_add(c->diags, c->doc, node,
                       "no metric is installed; see `lathe plugins list` for what was refused");
}

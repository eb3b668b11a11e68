#include "plugin/kinds.h"

#include <stdio.h>
#include <string.h>

#define MUST(type, member)                                                                         \
    { #member, offsetof(type, member), true, 0, 0 }
#define MAY(type, member)                                                                          \
    { #member, offsetof(type, member), false, 0, 0 }
#define WHEN(type, member, set)                                                                    \
    { #member, offsetof(type, member), true, set, 0 }
#define UNLESS(type, member, clear)                                                                \
    { #member, offsetof(type, member), true, 0, clear }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const lathe_kind_function activation_functions[] = {
    MUST(lathe_activation, forward),
    MUST(lathe_activation, backward),
};
static const lathe_kind_flag activation_flags[] = {
    {LATHE_ACTIVATION_ELEMENTWISE, "elementwise"},
    {LATHE_ACTIVATION_INPLACE, "in_place"},
    {LATHE_ACTIVATION_NEEDS_INPUT, "needs_input"},
    {LATHE_ACTIVATION_NEEDS_OUTPUT, "needs_output"},
};

static const lathe_kind_function loss_functions[] = {
    MUST(lathe_loss, n_scores),     MUST(lathe_loss, value),
    MUST(lathe_loss, gradient),     MUST(lathe_loss, start),
    MUST(lathe_loss, link),         WHEN(lathe_loss, renew, LATHE_LOSS_ZERO_HESSIAN),
    MAY(lathe_loss, hessian_block),
};
static const lathe_kind_flag loss_flags[] = {
    {LATHE_LOSS_ZERO_HESSIAN, "zero_hessian"},
    {LATHE_LOSS_UNCALIBRATED, "uncalibrated"},
    {LATHE_LOSS_NON_NEGATIVE_TARGET, "non_negative_target"},
};

static const lathe_kind_function optimizer_functions[] = {
    MUST(lathe_optimizer, n_slots),
    MUST(lathe_optimizer, rate),
    MUST(lathe_optimizer, step),
};
static const lathe_kind_flag optimizer_flags[] = {
    {LATHE_OPTIMIZER_ELEMENTWISE, "elementwise"},
};

static const lathe_kind_function schedule_functions[] = {
    MUST(lathe_schedule, rate),
};

static const lathe_kind_function learner_functions[] = {
    MUST(lathe_learner, open),
    MUST(lathe_learner, fit),
    MUST(lathe_learner, close),
    MUST(lathe_learner, output),
    MUST(lathe_learner, scratch),
    MUST(lathe_learner, predict),
    MUST(lathe_learner, save),
    MUST(lathe_learner, load),
    WHEN(lathe_learner, leaves, LATHE_LEARNER_GIVES_LEAVES),
    WHEN(lathe_learner, leaf_values, LATHE_LEARNER_GIVES_LEAVES),
    WHEN(lathe_learner, set_leaf_values, LATHE_LEARNER_GIVES_LEAVES),
    WHEN(lathe_learner, combine, LATHE_LEARNER_COMBINES),
    WHEN(lathe_learner, importance, LATHE_LEARNER_GIVES_IMPORTANCE),
};
static const lathe_kind_flag learner_flags[] = {
    {LATHE_LEARNER_TAKES_MISSING, "takes_missing"},
    {LATHE_LEARNER_TAKES_CATEGORIES, "takes_categories"},
    {LATHE_LEARNER_TAKES_GRADIENTS, "takes_gradients"},
    {LATHE_LEARNER_TAKES_WEIGHTS, "takes_weights"},
    {LATHE_LEARNER_TAKES_ROWS, "takes_rows"},
    {LATHE_LEARNER_TAKES_FEATURES, "takes_features"},
    {LATHE_LEARNER_TAKES_MULTICLASS, "takes_multiclass"},
    {LATHE_LEARNER_WANTS_SCALED, "wants_scaled"},
    {LATHE_LEARNER_GIVES_FITTED, "gives_fitted"},
    {LATHE_LEARNER_GIVES_LEAVES, "gives_leaves"},
    {LATHE_LEARNER_COMBINES, "combines"},
    {LATHE_LEARNER_GIVES_IMPORTANCE, "gives_importance"},
    {LATHE_LEARNER_FITS_IN_PLACE, "fits_in_place"},
};

static const lathe_kind_function transform_functions[] = {
    UNLESS(lathe_transform, fit, LATHE_TRANSFORM_TRAINING_ROWS),
    UNLESS(lathe_transform, schema, LATHE_TRANSFORM_TRAINING_ROWS),
    UNLESS(lathe_transform, apply, LATHE_TRANSFORM_TRAINING_ROWS),
    UNLESS(lathe_transform, save, LATHE_TRANSFORM_TRAINING_ROWS),
    UNLESS(lathe_transform, load, LATHE_TRANSFORM_TRAINING_ROWS),
    MAY(lathe_transform, apply_training),
    WHEN(lathe_transform, rows, LATHE_TRANSFORM_TRAINING_ROWS),
};
static const lathe_kind_flag transform_flags[] = {
    {LATHE_TRANSFORM_NEEDS_TARGET, "needs_target"},
    {LATHE_TRANSFORM_TRAINING_ROWS, "training_rows"},
};

static const lathe_kind_function source_functions[] = {
    MUST(lathe_source, open), MUST(lathe_source, schema), MUST(lathe_source, next),
    MAY(lathe_source, note),  MUST(lathe_source, close),
};

static const lathe_kind_function split_functions[] = {
    MUST(lathe_split, n_folds),
    MUST(lathe_split, assign),
};
static const lathe_kind_flag split_flags[] = {
    {LATHE_SPLIT_USES_UP_COLUMN, "uses_up_column"},
};

static const lathe_kind_function metric_functions[] = {
    MUST(lathe_metric, compute),
};
static const lathe_kind_flag metric_flags[] = {
    {LATHE_METRIC_HIGHER_IS_BETTER, "higher_is_better"},
    {LATHE_METRIC_NEEDS_PROBABILITY, "needs_probability"},
};

static const lathe_kind_function drift_functions[] = {
    MUST(lathe_drift, compare),
};
static const lathe_kind_flag drift_flags[] = {
    {LATHE_DRIFT_NUMERIC, "numeric"},
    {LATHE_DRIFT_CATEGORICAL, "categorical"},
    {LATHE_DRIFT_GIVES_P_VALUE, "gives_p_value"},
};

static const lathe_kind kinds[] = {
    {LATHE_KIND_SOURCE, "source", "sources", "a source", sizeof(lathe_source), source_functions,
     COUNT(source_functions), NULL, 0, false},
    {LATHE_KIND_SPLIT, "split", "splits", "a split", sizeof(lathe_split), split_functions,
     COUNT(split_functions), split_flags, COUNT(split_flags), false},
    {LATHE_KIND_TRANSFORM, "transform", "transforms", "a transform", sizeof(lathe_transform),
     transform_functions, COUNT(transform_functions), transform_flags, COUNT(transform_flags),
     true},
    {LATHE_KIND_LEARNER, "learner", "learners", "a learner", sizeof(lathe_learner),
     learner_functions, COUNT(learner_functions), learner_flags, COUNT(learner_flags), true},
    {LATHE_KIND_ENSEMBLE, "ensemble", "ensembles", "an ensemble", sizeof(lathe_learner),
     learner_functions, COUNT(learner_functions), learner_flags, COUNT(learner_flags), true},
    {LATHE_KIND_ACTIVATION, "activation", "activations", "an activation", sizeof(lathe_activation),
     activation_functions, COUNT(activation_functions), activation_flags, COUNT(activation_flags),
     false},
    {LATHE_KIND_LOSS, "loss", "losses", "a loss", sizeof(lathe_loss), loss_functions,
     COUNT(loss_functions), loss_flags, COUNT(loss_flags), false},
    {LATHE_KIND_OPTIMIZER, "optimizer", "optimizers", "an optimizer", sizeof(lathe_optimizer),
     optimizer_functions, COUNT(optimizer_functions), optimizer_flags, COUNT(optimizer_flags),
     false},
    {LATHE_KIND_SCHEDULE, "schedule", "schedules", "a schedule", sizeof(lathe_schedule),
     schedule_functions, COUNT(schedule_functions), NULL, 0, false},
    {LATHE_KIND_METRIC, "metric", "metrics", "a metric", sizeof(lathe_metric), metric_functions,
     COUNT(metric_functions), metric_flags, COUNT(metric_flags), false},
    {LATHE_KIND_DRIFT, "drift", "drift tests", "a drift test", sizeof(lathe_drift), drift_functions,
     COUNT(drift_functions), drift_flags, COUNT(drift_flags), false},
};

size_t lathe_kind_count(void) {
    return COUNT(kinds);
}

const lathe_kind *lathe_kind_at(size_t i) {
    return i < COUNT(kinds) ? &kinds[i] : NULL;
}

const lathe_kind *lathe_kind_find(const char *id) {
    if (id == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(kinds[i].id, id) == 0 || strcmp(kinds[i].name, id) == 0)
            return &kinds[i];
    return NULL;
}

/* Is `word` one of the '|'-separated parts of `list`? */
static bool part_of(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list;;) {
        const char *end = strchr(p, '|');
        size_t len = end != NULL ? (size_t)(end - p) : strlen(p);
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        if (end == NULL)
            return false;
        p = end + 1;
    }
}

bool lathe_kind_in(const char *kind, const char *list) {
    if (list == NULL)
        return true;
    if (kind == NULL)
        return false;
    return part_of(list, kind) ||
           (strcmp(kind, LATHE_KIND_ENSEMBLE) == 0 && part_of(list, LATHE_KIND_LEARNER));
}

/* Appends to a text of fixed size. */
static void put(char *buf, size_t size, const char *text) {
    size_t len = strlen(buf);
    if (len + 1 < size)
        snprintf(buf + len, size - len, "%s", text);
}

const char *lathe_kind_words(const char *list, char *buf, size_t size) {
    if (size == 0)
        return buf;
    buf[0] = '\0';
    if (list == NULL) {
        put(buf, size, "a plugin");
        return buf;
    }
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (!part_of(list, kinds[i].id))
            continue;
        if (buf[0] != '\0')
            put(buf, size, " or ");
        put(buf, size, kinds[i].article);
    }
    if (buf[0] == '\0')
        put(buf, size, list);
    return buf;
}

const char *lathe_task_name(int32_t task) {
    switch (task) {
    case 0:
        return "any task";
    case LATHE_TASK_REGRESSION:
        return "regression";
    case LATHE_TASK_BINARY:
        return "binary classification";
    case LATHE_TASK_MULTICLASS:
        return "multiclass classification";
    default:
        return "an unknown task";
    }
}

const char *lathe_task_words(uint32_t tasks, char *buf, size_t size) {
    if (size == 0)
        return buf;
    buf[0] = '\0';
    if (tasks == 0 || (tasks & LATHE_TASKS_ALL) == LATHE_TASKS_ALL) {
        put(buf, size, "any task");
        return buf;
    }
    for (int32_t t = LATHE_TASK_REGRESSION; t <= LATHE_TASK_MULTICLASS; t++) {
        if (!(tasks & LATHE_TASK_BIT(t)))
            continue;
        if (buf[0] != '\0')
            put(buf, size, " and ");
        put(buf, size, lathe_task_name(t));
    }
    return buf;
}

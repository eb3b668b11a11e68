/* plugin/kinds.h: the kinds of plugin that this host knows, and what each one's table must hold.
 *
 * A kind is an interface id ("lathe.learner/1"). Several joined by '|' form a kind list, as in
 * lathe_param.kind; a list that names "lathe.learner/1" also takes ensembles, which are learners
 * with children. Everything here is constant: [any].
 */
#ifndef LATHE_PLUGIN_KINDS_H
#define LATHE_PLUGIN_KINDS_H

#include <lathe/lathe.h>

#include <stdbool.h>
#include <stddef.h>

/* One function of a method table. It is mandatory if `required`, and the descriptor's flags hold
 * all of `when_set` and none of `when_clear`. */
typedef struct lathe_kind_function {
    const char *name;
    uint32_t offset;
    bool required;
    uint32_t when_set;
    uint32_t when_clear;
} lathe_kind_function;

/* A bit of descriptor.flags, by name, for `plugins info`. */
typedef struct lathe_kind_flag {
    uint32_t bit;
    const char *name;
} lathe_kind_flag;

typedef struct lathe_kind {
    const char *id;      /* "lathe.learner/1" */
    const char *name;    /* "learner" */
    const char *plural;  /* "learners" */
    const char *article; /* "a learner" */
    size_t table_size;   /* sizeof the method table in this host */
    const lathe_kind_function *functions;
    size_t n_functions;
    const lathe_kind_flag *flags;
    size_t n_flags;
    bool has_state; /* instances are saved */
} lathe_kind;

size_t lathe_kind_count(void);
const lathe_kind *lathe_kind_at(size_t i); /* in the order of the pipeline's stages */

/* By interface id, or by bare name ("learner"); NULL: unknown. */
const lathe_kind *lathe_kind_find(const char *id);

/* Is `kind` (one id) among `kinds` (ids joined by '|')? kinds NULL: every kind. */
bool lathe_kind_in(const char *kind, const char *kinds);

/* "a learner", "a loss or an activation": what a kind list takes, for messages. Returns `buf`. */
const char *lathe_kind_words(const char *kinds, char *buf, size_t size);

/* "regression", "binary classification", "multiclass classification"; "any task" for 0. */
const char *lathe_task_name(int32_t task);
/* The tasks of a bit set in words: "regression and binary classification". Returns `buf`. */
const char *lathe_task_words(uint32_t tasks, char *buf, size_t size);

#endif

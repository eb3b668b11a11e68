/* store/labels.h: served answers whose truth is known: the newest of each version that has any.
 *
 * What is kept is bounded: the newest LATHE_LABELS_KEPT of a version, of the LATHE_LABELS_VERSIONS versions that had one last.
 * A row has the number in the order in which its version's labels came; it takes the place of the one that is
 * LATHE_LABELS_KEPT older. So who writes again what was written already changes nothing.
 */
#ifndef LATHE_STORE_LABELS_H
#define LATHE_STORE_LABELS_H

#include "store/types.h"

#define LATHE_LABELS_KEPT 4096
#define LATHE_LABELS_VERSIONS 256
#define LATHE_LABELS_VALUES 8

typedef struct lathe_label_row {
    int64_t number;  /* from 0 */
    int64_t when_ms; /* of the answer */
    double truth;    /* the value, or the number of the class */
    int32_t label;   /* that was answered; -1: a regression */
    int32_t n;       /* probabilities; of a regression 1 */
    float values[LATHE_LABELS_VALUES];
} lathe_label_row;

/* Of one version, in the order of their numbers. */
typedef struct lathe_label_batch {
    const char *model;
    int64_t version;
    lathe_label_row *rows;
    size_t count;
} lathe_label_batch;

typedef struct lathe_label_list {
    lathe_label_batch *items;
    size_t count;
} lathe_label_list;

/* All of them in one transaction. LATHE_E_NOT_FOUND: no such version. */
int32_t lathe_store_labels_add(lathe_store *store, const lathe_label_list *list, lathe_error *err);

/* What is kept of a version, in the order of their numbers; none is no error. */
int32_t lathe_store_labels(lathe_store *store, const char *model, int64_t version,
                           lathe_arena *arena, lathe_label_batch *batch, lathe_error *err);

/* The versions that have any, without their rows (count 0). */
int32_t lathe_store_labelled(lathe_store *store, lathe_arena *arena, lathe_label_list *list,
                             lathe_error *err);

#endif

/* store/alerts.h: what the monitor found. */
#ifndef LATHE_STORE_ALERTS_H
#define LATHE_STORE_ALERTS_H

#include "store/types.h"

typedef struct lathe_alert_new {
    const char *severity; /* "info", "warning" or "critical" */
    const char *kind;     /* "drift", "quality", "schema", … */
    const char *message;  /* a sentence */
    const char *endpoint; /* NULL: none, as all below */
    const char *model;
    int64_t version; /* 0: none */
    const char *run;
    const char *feature;
    const char *detail; /* JSON */
    int64_t time;       /* 0: now */
} lathe_alert_new;

typedef struct lathe_alert_record {
    int64_t id;
    int64_t time;
    const char *severity;
    const char *kind;
    const char *message;
    const char *endpoint; /* "" where none, as all below */
    const char *model;
    int64_t version;
    const char *run;
    const char *feature;
    const char *detail; /* JSON, "{}" where none */
    int64_t acknowledged;
    const char *acknowledged_by;
} lathe_alert_record;

typedef struct lathe_alert_list {
    lathe_alert_record *items;
    size_t count;
} lathe_alert_list;

/* NULL, 0 and false members do not filter. */
typedef struct lathe_alert_filter {
    const char *endpoint;
    const char *model;
    const char *run;
    const char *kind;
    int64_t version;
    int64_t since;
    bool open;      /* those not acknowledged alone */
    int64_t before; /* the id of an alert: those that come after it in the list (older ones) */
    int64_t limit;
} lathe_alert_filter;

/* Adds alerts in one transaction. LATHE_E_INVALID: an unknown severity, no kind or no message. */
int32_t lathe_store_alerts_add(lathe_store *store, const lathe_alert_new *alerts, size_t count,
                               lathe_error *err);

/* Adds one alert, and with it a row of the audit log: `action` ("alert.raise") of its model's version, so that who follows that
 * log learns of it. */
int32_t lathe_store_alert_tell(lathe_store *store, const lathe_alert_new *alert, const char *action,
                               lathe_error *err);

/* Newest first. filter may be NULL. */
int32_t lathe_store_alerts(lathe_store *store, const lathe_alert_filter *filter, lathe_arena *arena,
                           lathe_alert_list *list, lathe_error *err);

/* Marks one as seen. One that is already stays as it was. LATHE_E_NOT_FOUND. */
int32_t lathe_store_alert_acknowledge(lathe_store *store, int64_t id, lathe_error *err);

#endif

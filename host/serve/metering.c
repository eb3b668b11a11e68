#include "serve/metering.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_NS ((int64_t)LATHE_METERING_SECONDS * 1000000000)

struct lathe_metering {
    lathe_store *store;
    lathe_slots *slots;
    lathe_auth *auth;
    int64_t day, saved_ns;
    lathe_usage saved[LATHE_SLOTS_USAGES]; /* by place: requests and rows that are written */
    char projects[LATHE_SLOTS_QUOTAS][LATHE_AUTH_ACTOR]; /* by place among the quotas; "": free */
    int n_projects;
};

static int64_t today(void) {
    return lathe_wall_us() / LATHE_DAY_US;
}

static int64_t seconds_left(void) {
    return (LATHE_DAY_US - lathe_wall_us() % LATHE_DAY_US + 999999) / 1000000;
}

/* ---- the serving thread ---- */

static uint64_t used(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void refuse(const lathe_auth *auth, lathe_exchange *exchange, const char *quota,
                   int64_t limit, int place) {
    char headers[64];
    const long long seconds = (long long)seconds_left();
    snprintf(headers, sizeof headers, "retry-after: %lld\r\n", seconds);
    lathe_http_fail(exchange, 429, headers,
                    "the project \"%.100s\" has used its quota \"%s\" of %lld for today; it begins "
                    "anew in %lld s",
                    lathe_auth_quota_project(auth, place), quota, (long long)limit, seconds);
}

static lathe_slot_usage *usage_of(const lathe_auth_meter *m, lathe_slot *slot) {
    const bool inside = m->usage >= 0 && m->usage < LATHE_SLOTS_USAGES - 1;
    return &slot->usages[inside ? m->usage : LATHE_SLOTS_USAGES - 1];
}

/* Of all workers; NULL: there is none. */
static lathe_slot_usage *quota_of(const lathe_auth_meter *m, lathe_slots *slots) {
    return m->quota >= 0 && m->quota < LATHE_SLOTS_QUOTAS && slots != NULL
               ? &lathe_slots_at(slots, 0)->quotas[m->quota]
               : NULL;
}

bool lathe_metering_admit(const lathe_auth *auth, lathe_slots *slots, lathe_slot *slot,
                          lathe_exchange *exchange) {
    const lathe_auth_meter *m = lathe_auth_last(auth);
    lathe_slot_usage *quota = quota_of(m, slots);
    if (quota != NULL && m->max_rows > 0 && used(&quota->rows) >= (uint64_t)m->max_rows) {
        refuse(auth, exchange, lathe_quota_names[1], m->max_rows, m->quota);
        return false;
    }
    if (quota != NULL &&
        atomic_fetch_add_explicit(&quota->requests, 1, memory_order_relaxed) >=
            (uint64_t)m->max_requests &&
        m->max_requests > 0) {
        atomic_fetch_sub_explicit(&quota->requests, 1, memory_order_relaxed);
        refuse(auth, exchange, lathe_quota_names[0], m->max_requests, m->quota);
        return false;
    }
    lathe_slot_add(&usage_of(m, slot)->requests, 1);
    return true;
}

void lathe_metering_rows(const lathe_auth_meter *m, lathe_slots *slots, lathe_slot *slot,
                         int64_t rows) {
    lathe_slot_usage *quota = quota_of(m, slots);
    lathe_slot_add(&usage_of(m, slot)->rows, (uint64_t)rows);
    if (quota != NULL)
        atomic_fetch_add_explicit(&quota->rows, (uint64_t)rows, memory_order_relaxed);
}

/* ---- the supervisor ---- */

int32_t lathe_metering_new(lathe_store *store, lathe_slots *slots, lathe_auth *auth,
                           lathe_metering **out, lathe_error *err) {
    lathe_metering *m = calloc(1, sizeof *m);
    *out = NULL;
    if (m == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the usage");
    m->store = store;
    m->slots = slots;
    m->auth = auth;
    m->day = today();
    m->saved_ns = lathe_now_ns();
    *out = m;
    return LATHE_OK;
}

void lathe_metering_free(lathe_metering *m) {
    lathe_error err = {0};
    if (m == NULL)
        return;
    if (lathe_metering_save(m, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the usage could not be written: %s", err.message);
    free(m);
}

/* Sum over the workers of one place. */
static lathe_usage sum_of(const lathe_metering *m, int place) {
    lathe_usage sum = {0};
    for (int w = 0; w < lathe_slots_count(m->slots); w++) {
        const lathe_slot_usage *u = &lathe_slots_at(m->slots, w)->usages[place];
        sum.requests += (int64_t)used(&u->requests);
        sum.rows += (int64_t)used(&u->rows);
    }
    return sum;
}

int32_t lathe_metering_save(lathe_metering *m, lathe_error *err) {
    static lathe_usage news[LATHE_SLOTS_USAGES], now[LATHE_SLOTS_USAGES]; /* [loop] alone */
    size_t n = 0;
    m->saved_ns = lathe_now_ns();
    for (int p = 0; p < LATHE_SLOTS_USAGES; p++) {
        now[p] = sum_of(m, p);
        lathe_usage u = {.day = m->day,
                         .token = p == 0 ? "" : "(others)",
                         .project = LATHE_METERING_PROJECT,
                         .requests = now[p].requests - m->saved[p].requests,
                         .rows = now[p].rows - m->saved[p].rows};
        if (p > 0 && p < LATHE_SLOTS_USAGES - 1)
            lathe_auth_token_at(m->auth, (size_t)p - 1, &u.token, &u.project);
        if (u.requests > 0 || u.rows > 0)
            news[n++] = u;
    }
    const int32_t rc = n > 0 ? lathe_store_usage_add(m->store, news, n, err) : LATHE_OK;
    if (rc == LATHE_OK)
        memcpy(m->saved, now, sizeof now);
    return rc;
}

void lathe_metering_tick(lathe_metering *m) {
    lathe_error err = {0};
    const int64_t day = today();
    if (m == NULL || (day == m->day && lathe_now_ns() - m->saved_ns < SAVE_NS))
        return;
    if (lathe_metering_save(m, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the usage could not be written yet: %s",
                  err.message);
    if (day == m->day)
        return;
    m->day = day;
    for (int q = 0; q < m->n_projects; q++) {
        lathe_slot_usage *u = &lathe_slots_at(m->slots, 0)->quotas[q];
        atomic_store(&u->requests, 0);
        atomic_store(&u->rows, 0);
    }
}

/* The place of a project among the quotas; a new one begins with what the store says of today. -1: all are taken. */
static int place_of(lathe_metering *m, const char *project, lathe_error *err) {
    lathe_usage sum;
    for (int q = 0; q < m->n_projects; q++)
        if (strcmp(m->projects[q], project) == 0)
            return q;
    if (m->n_projects == LATHE_SLOTS_QUOTAS ||
        strlen(project) >= sizeof m->projects[0] /* no such name is in the store */)
        return -1;
    if (lathe_metering_save(m, err) != LATHE_OK ||
        lathe_store_usage_of(m->store, m->day, project, &sum, err) != LATHE_OK)
        return -1;
    lathe_slot_usage *u = &lathe_slots_at(m->slots, 0)->quotas[m->n_projects];
    atomic_store(&u->requests, (uint64_t)sum.requests);
    atomic_store(&u->rows, (uint64_t)sum.rows);
    snprintf(m->projects[m->n_projects], sizeof m->projects[0], "%s", project);
    return m->n_projects++;
}

int32_t lathe_metering_reload(lathe_metering *m, lathe_error *err) {
    lathe_project_list list;
    if (m == NULL)
        return LATHE_OK;
    lathe_arena *arena = lathe_arena_new();
    int32_t rc = arena ? lathe_store_projects(m->store, arena, &list, err)
                       : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    lathe_auth_clear_quotas(m->auth);
    for (size_t i = 0; rc == LATHE_OK && i < list.count; i++) {
        const lathe_quota *q = &list.items[i].quota;
        lathe_auth_meter meter = {.max_requests = q->requests_per_day, .max_rows = q->rows_per_day};
        if (q->requests_per_day == 0 && q->rows_per_day == 0)
            continue;
        lathe_error why = {0};
        meter.quota = place_of(m, list.items[i].name, &why);
        if (meter.quota >= 0)
            lathe_auth_set_quota(m->auth, list.items[i].name,
                                 strcmp(list.items[i].name, LATHE_METERING_PROJECT) == 0, &meter);
        else
            lathe_log(LATHE_LEVEL_ERROR, "serve", "the quota of project \"%s\" does not hold: %s",
                      list.items[i].name,
                      why.message[0] ? why.message : "too many projects have one");
    }
    lathe_arena_free(arena);
    return rc;
}

void lathe_metering_run(lathe_metering *m, const char *run, const char *actor, double seconds) {
    static const char prefix[] = "token:";
    lathe_run_record record;
    lathe_error err = {0};
    lathe_arena *arena = m != NULL ? lathe_arena_new() : NULL;
    if (arena == NULL)
        return;
    const bool is_token = strncmp(actor, prefix, sizeof prefix - 1) == 0;
    lathe_usage u = {.day = today(),
                     .token = is_token                              ? actor + sizeof prefix - 1
                              : strncmp(actor, "schedule:", 9) == 0 ? actor
                                                                    : "",
                     .project = LATHE_METERING_PROJECT,
                     .training_ms = (int64_t)(seconds * 1000)};
    if (lathe_store_run(m->store, run, arena, &record, &err) == LATHE_OK)
        u.project = record.project;
    if (lathe_store_usage_add(m->store, &u, 1, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_ERROR, "serve", "the time of run %s could not be written: %s", run,
                  err.message);
    lathe_arena_free(arena);
}

/* ---- runs ---- */

int32_t lathe_metering_check_run(lathe_store *store, const char *project, int64_t *retry_after,
                                 lathe_error *err) {
    lathe_project_record record;
    lathe_usage sum;
    int64_t runs = 0;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    int32_t rc = lathe_store_project(store, project, arena, &record, err);
    lathe_arena_free(arena);
    if (rc == LATHE_E_NOT_FOUND) { /* its first run makes it */
        lathe_error_clear(err);
        return LATHE_OK;
    }
    if (rc == LATHE_OK)
        rc = lathe_store_usage_of(store, today(), project, &sum, err);
    if (rc == LATHE_OK)
        rc = lathe_store_project_runs(store, project, &runs, err);
    if (rc != LATHE_OK)
        return rc;
    const lathe_quota *q = &record.quota;
    if (q->concurrent_runs > 0 && runs >= q->concurrent_runs) {
        *retry_after = 10;
        return lathe_fail(err, LATHE_E_STATE, NULL,
                          "%lld runs of project \"%.100s\" wait or run; its quota "
                          "\"concurrent_runs\" is %lld",
                          (long long)runs, project, (long long)q->concurrent_runs);
    }
    if (q->training_seconds_per_day > 0 && sum.training_ms >= q->training_seconds_per_day * 1000) {
        *retry_after = seconds_left();
        return lathe_fail(err, LATHE_E_STATE, NULL,
                          "the project \"%.100s\" has used its quota \"training_seconds_per_day\" "
                          "of %lld for today; it begins anew in %lld s",
                          project, (long long)q->training_seconds_per_day, (long long)*retry_after);
    }
    return LATHE_OK;
}

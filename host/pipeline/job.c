#include "pipeline/job.h"

#include <stdarg.h>
#include <stdio.h>

void lathe_job_begin(lathe_job *job, const char *step) {
    job->step = step;
    cJSON *event = lathe_link_event("step");
    cJSON_AddStringToObject(event, "step", step);
    cJSON_AddStringToObject(event, "state", "started");
    lathe_link_emit(job->link, event);
}

void lathe_job_end(lathe_job *job, const char *state, double seconds) {
    cJSON *event = lathe_link_event("step");
    cJSON_AddStringToObject(event, "step", job->step);
    cJSON_AddStringToObject(event, "state", state);
    cJSON_AddNumberToObject(event, "seconds", seconds);
    lathe_link_emit(job->link, event);
}

void lathe_job_log(lathe_job *job, int level, const char *fmt, ...) {
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON *event = lathe_link_event("log");
    cJSON_AddStringToObject(event, "level", levels[level < 0 || level > 3 ? 3 : level]);
    cJSON_AddStringToObject(event, "step", job->step ? job->step : "");
    cJSON_AddStringToObject(event, "message", text);
    lathe_link_emit(job->link, event);
}

bool lathe_job_stopped(const lathe_job *job) {
    return lathe_runtime_stopped(job->runtime);
}

cJSON *lathe_job_section(lathe_job *job, const char *name) {
    cJSON *section = lathe_json_get(job->report, name);
    return section ? section : cJSON_AddObjectToObject(job->report, name);
}

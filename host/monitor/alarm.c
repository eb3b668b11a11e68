#include "monitor/alarm.h"

#include <math.h>

lathe_alarm_change lathe_alarm_note(lathe_alarm *a, lathe_alarm_level level, int after) {
    if (level == LATHE_ALARM_UNKNOWN)
        return LATHE_ALARM_SAME;
    a->beyond = level != LATHE_ALARM_BEYOND ? 0 : a->beyond < after ? a->beyond + 1 : after;
    a->within = level != LATHE_ALARM_WITHIN ? 0 : a->within < after ? a->within + 1 : after;
    if (!a->raised && a->beyond >= after) {
        a->raised = true;
        return LATHE_ALARM_RAISED;
    }
    if (a->raised && a->within >= after) {
        a->raised = false;
        return LATHE_ALARM_ENDED;
    }
    return LATHE_ALARM_SAME;
}

lathe_alarm_level lathe_alarm_level_of(double statistic, double threshold, bool beyond) {
    if (!isfinite(statistic))
        return LATHE_ALARM_UNKNOWN;
    if (beyond)
        return LATHE_ALARM_BEYOND;
    return statistic <= LATHE_ALARM_END * threshold ? LATHE_ALARM_WITHIN : LATHE_ALARM_NEAR;
}

/* monitor/alarm.h: when scores become an alert, and when that ends. [any]
 *
 * An alarm is raised by so many windows in a row beyond the threshold, and ends after as many in a row that are well within
 * it, below LATHE_ALARM_END of it. What lies between keeps a raised alarm and raises none; so a score that wavers about its
 * threshold neither raises one alert after another nor ends one.
 *
 *     threshold    ───────────────── beyond
 *     0.8 × it     ───────────────── near: what is stays, nothing begins
 *                                    within
 */
#ifndef LATHE_MONITOR_ALARM_H
#define LATHE_MONITOR_ALARM_H

#include <stdbool.h>

#define LATHE_ALARM_END 0.8

typedef enum lathe_alarm_level {
    LATHE_ALARM_UNKNOWN, /* too few rows, or no score: as if the window had not been */
    LATHE_ALARM_WITHIN,
    LATHE_ALARM_NEAR,
    LATHE_ALARM_BEYOND
} lathe_alarm_level;

typedef enum lathe_alarm_change {
    LATHE_ALARM_SAME,
    LATHE_ALARM_RAISED,
    LATHE_ALARM_ENDED
} lathe_alarm_change;

typedef struct lathe_alarm {
    int beyond, within; /* windows in a row */
    bool raised;
} lathe_alarm;

/* after: windows in a row that raise it, and that end it; 1 or more. */
lathe_alarm_change lathe_alarm_note(lathe_alarm *alarm, lathe_alarm_level level, int after);

/* The level of a statistic that grows with distance. beyond: it exceeds the threshold, and chance does not explain it. */
lathe_alarm_level lathe_alarm_level_of(double statistic, double threshold, bool beyond);

#endif

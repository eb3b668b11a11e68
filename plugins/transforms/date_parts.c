/* date_parts.c: a timestamp as numbers: year, month, day, … of UTC in the proleptic Gregorian calendar.
 *
 *     weekday      0 Monday … 6 Sunday (ISO 8601 counts from 1)
 *     day_of_year  1 … 366
 *     epoch_days   days since 1970-01-01, with their fraction: the one part that grows with time
 *
 * With `cyclic`, each part that comes round (month, day, weekday, hour, minute, second, day_of_year) becomes two
 * columns, the sine and cosine of 2π·(part − first)/period, so that December lies next to January; the periods of day
 * and day_of_year are the length of the month and of the year. Missing stays missing. The date from the count of
 * days: H. Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days).
 */
#include "step.h"

#include <lathe/math.h>

typedef struct date_config {
    const lathe_selector *columns;
    lathe_list parts; /* int32_t */
    int32_t cyclic;
    int32_t keep;
} date_config;

enum { YEAR, QUARTER, MONTH, DAY, WEEKDAY, DAY_OF_YEAR, HOUR, MINUTE, SECOND, EPOCH_DAYS };
static const char *const part_choices[] = {"year",    "quarter",     "month", "day",
                                           "weekday", "day_of_year", "hour",  "minute",
                                           "second",  "epoch_days",  NULL};

static const lathe_param date_params[] = {
    LATHE_P_COLUMNS(date_config, columns, 0, "\"time\"", "Columns of times."),
    {LATHE_P_(date_config, parts, LATHE_PARAM_ENUM, LATHE_PARAM_LIST,
              "[\"year\", \"month\", \"day\", \"weekday\", \"hour\"]"),
     .doc = "Which parts become columns <name>_<part>.", .choices = part_choices, .min_count = 1},
    LATHE_P_BOOL(date_config, cyclic, 0, "false",
                 "Give parts that come round as sine and cosine, <name>_<part>_sin and _cos."),
    LATHE_P_BOOL(date_config, keep, 0, "false", "Keep the column of times itself too."),
};

typedef struct date_parts {
    step base;
    const int32_t *first; /* [n_chosen] first made column of each */
} date_parts;

#define DAY_MICROS 86400000000
#define TWO_PI 6.283185307179586

typedef struct moment {
    int64_t time;
    int64_t days;   /* since 1970-01-01 */
    int64_t micros; /* of the day */
    int64_t year, month, day, day_of_year;
    int64_t month_length, year_length;
} moment;

static int is_leap(int64_t y) {
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static void split_time(int64_t t, moment *m) {
    static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    m->time = t;
    m->days = t / DAY_MICROS - (t % DAY_MICROS < 0);
    m->micros = t - m->days * DAY_MICROS;
    int64_t z = m->days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    m->day = doy - (153 * mp + 2) / 5 + 1;
    m->month = mp < 10 ? mp + 3 : mp - 9;
    m->year = yoe + era * 400 + (m->month <= 2);
    int leap = is_leap(m->year);
    m->day_of_year = before[m->month - 1] + m->day + (m->month > 2 && leap);
    m->month_length = before[m->month] - before[m->month - 1] + (m->month == 2 && leap);
    m->year_length = 365 + leap;
}

/* The part's value; *phase: its place in its period, 0 … 1, or -1 where it does not come round. */
static double part_value(const moment *m, int32_t part, double *phase) {
    int64_t weekday = ((m->days + 3) % 7 + 7) % 7, v;
    *phase = -1;
    switch (part) {
    case YEAR:
        return (double)m->year;
    case QUARTER:
        *phase = (double)((m->month - 1) / 3) / 4;
        return (double)((m->month - 1) / 3 + 1);
    case MONTH:
        *phase = (double)(m->month - 1) / 12;
        return (double)m->month;
    case DAY:
        *phase = (double)(m->day - 1) / (double)m->month_length;
        return (double)m->day;
    case WEEKDAY:
        *phase = (double)weekday / 7;
        return (double)weekday;
    case DAY_OF_YEAR:
        *phase = (double)(m->day_of_year - 1) / (double)m->year_length;
        return (double)m->day_of_year;
    case HOUR:
        v = m->micros / 3600000000;
        *phase = (double)v / 24;
        return (double)v;
    case MINUTE:
        v = m->micros / 60000000 % 60;
        *phase = (double)v / 60;
        return (double)v;
    case SECOND:
        v = m->micros / 1000000 % 60;
        *phase = (double)v / 60;
        return (double)v;
    default:
        return (double)m->time / (double)DAY_MICROS;
    }
}

static int comes_round(int32_t part) {
    return part != YEAR && part != EPOCH_DAYS;
}

static int64_t count_made(const date_config *c) {
    int64_t n = 0;
    for (int64_t p = 0; p < c->parts.count; p++)
        n += c->cyclic && comes_round(((const int32_t *)c->parts.items)[p]) ? 2 : 1;
    return n;
}

static int32_t add_parts(step *s, const char *column, lathe_error *err) {
    const date_config *c = s->config;
    int32_t rc = LATHE_OK;
    for (int64_t p = 0; p < c->parts.count && rc == LATHE_OK; p++) {
        int32_t part = ((const int32_t *)c->parts.items)[p];
        int two = c->cyclic && comes_round(part);
        for (int i = 0; i <= two && rc == LATHE_OK; i++) {
            char end[32];
            int n = snprintf(end, sizeof end, "_%s%s", part_choices[part],
                             !two     ? ""
                             : i == 0 ? "_sin"
                                      : "_cos");
            rc = step_add_made(s, column, "", (lathe_str){end, n}, s->n_out, LATHE_COLUMN_FLOAT64,
                               err);
        }
    }
    return rc;
}

static int32_t fit(void *self, const lathe_transform_fit *in, lathe_error *err) {
    date_parts *m = self;
    step *s = &m->base;
    const date_config *c = s->config;
    int32_t rc = step_begin(s, c->columns, in, err);
    if (rc != LATHE_OK)
        return rc;
    int32_t *first = step_take(s, s->n_chosen + 1, sizeof *first);
    if (first == NULL)
        return step_no_memory(err);
    for (int64_t i = 0, k = 0; i < s->n_in && rc == LATHE_OK; i++) {
        int is_chosen = k < s->n_chosen && s->chosen[k] == i;
        if (is_chosen && in->table->columns[i].type != LATHE_COLUMN_TIMESTAMP)
            return step_fail(
                err, LATHE_E_INVALID,
                "date_parts needs times, and column '%.150s' holds none; write them as ISO "
                "8601, or declare the column a timestamp in the source",
                in->table->columns[i].name);
        if (!is_chosen || c->keep)
            rc = step_pass(s, in->table, i, err);
        if (!is_chosen || rc != LATHE_OK)
            continue;
        first[k++] = (int32_t)s->n_out;
        rc = add_parts(s, in->table->columns[i].name, err);
    }
    m->first = first;
    return rc == LATHE_OK ? step_finish(s, err) : rc;
}

static void put_row(const date_config *c, int64_t t, const lathe_column *out, int64_t row) {
    moment m;
    int64_t at = 0;
    if (t == LATHE_MISSING_INT) {
        for (int64_t j = count_made(c); j > 0; j--)
            ((double *)out[j - 1].values)[row] = NAN;
        return;
    }
    split_time(t, &m);
    for (int64_t p = 0; p < c->parts.count; p++) {
        double phase;
        double v = part_value(&m, ((const int32_t *)c->parts.items)[p], &phase);
        if (c->cyclic && phase >= 0) {
            ((double *)out[at++].values)[row] = lathe_sin(TWO_PI * phase);
            ((double *)out[at++].values)[row] = lathe_cos(TWO_PI * phase);
        } else {
            ((double *)out[at++].values)[row] = v;
        }
    }
}

static int32_t apply(const void *self, const lathe_table *in, lathe_table *out, lathe_error *err) {
    const date_parts *m = self;
    int32_t rc = step_check_input(&m->base, in, err);
    for (int64_t k = 0; rc == LATHE_OK && k < m->base.n_chosen; k++) {
        const int64_t *t = in->columns[m->base.chosen[k]].values;
        for (int64_t i = 0; i < in->n_rows; i++)
            put_row(m->base.config, t[i], out->columns + m->first[k], i);
    }
    return rc;
}

static int32_t save(const void *self, const lathe_writer *w, lathe_error *err) {
    const date_parts *m = self;
    int32_t rc = step_save(&m->base, w, err);
    if (rc != LATHE_OK)
        return rc;
    return lathe_write_array(w, "first", LATHE_INT, 32, m->first, m->base.n_chosen, err);
}

static int32_t load(void *self, const lathe_reader *r, lathe_error *err) {
    date_parts *m = self;
    step *s = &m->base;
    const void *first;
    int32_t rc = step_load(s, r, err);
    if (rc != LATHE_OK || (rc = lathe_read_array(r, "first", LATHE_INT, 32, s->n_chosen, &first,
                                                 NULL, err)) != LATHE_OK)
        return rc;
    m->first = first;
    int64_t made = count_made(s->config), before = 0;
    for (int64_t k = 0; k < s->n_chosen; k++) {
        if (s->in_types[s->chosen[k]] != LATHE_COLUMN_TIMESTAMP || m->first[k] < before ||
            m->first[k] + made > s->n_out)
            return step_corrupt(err, "a column of times is not there");
        for (int64_t j = 0; j < made; j++)
            if (s->fields[m->first[k] + j].source >= 0 ||
                s->fields[m->first[k] + j].type != LATHE_COLUMN_FLOAT64)
                return step_corrupt(err, "a part's column is not one of numbers");
        before = m->first[k] + made;
    }
    if (step_count_made(s) != made * s->n_chosen)
        return step_corrupt(err, "a column that nothing fills");
    s->fitted = 1;
    return LATHE_OK;
}

STEP_CREATE(date_parts)

static const lathe_transform interface = {.struct_size = LATHE_SIZED(lathe_transform),
                                          .fit = fit,
                                          .schema = step_schema,
                                          .apply = apply,
                                          .save = save,
                                          .load = load};

STEP_DESCRIPTOR(date_parts, 0, 1, interface,
                "A time as year, month, day, weekday, hour and so on, or as sine and cosine.",
                LATHE_PARAMS(date_params, date_config));

LATHE_PLUGIN(&date_parts_descriptor)

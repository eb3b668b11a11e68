#include "plugin/bind_internal.h"
#include "plugin/kinds.h"

#include <stdio.h>
#include <string.h>

typedef struct words {
    char *buf;
    size_t size;
    size_t len;
} words;

static void LATHE_PRINTF(2, 3) say(words *w, const char *fmt, ...) {
    if (w->len + 1 >= w->size)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(w->buf + w->len, w->size - w->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        w->len = w->len + (size_t)n < w->size ? w->len + (size_t)n : w->size - 1;
}

static void say_number(words *w, double v) {
    char text[LATHE_DOUBLE_TEXT];
    lathe_double_text(v, text);
    say(w, "%s", text);
}

/* " from 1 to 10 rows", " above 0 and below 1", "" */
static void say_range(words *w, const lathe_param *p) {
    bool lo = p->flags & LATHE_PARAM_HAS_MIN, hi = p->flags & LATHE_PARAM_HAS_MAX;
    bool above = p->flags & LATHE_PARAM_EXCL_MIN, below = p->flags & LATHE_PARAM_EXCL_MAX;
    if (lo && hi && !above && !below) {
        say(w, " from ");
        say_number(w, p->min);
        say(w, " to ");
        say_number(w, p->max);
    } else {
        if (lo) {
            say(w, above ? " above " : " of at least ");
            say_number(w, p->min);
        }
        if (lo && hi)
            say(w, " and");
        if (hi) {
            say(w, below ? " below " : lo ? " at most " : " of at most ");
            say_number(w, p->max);
        }
    }
    if (p->unit != NULL)
        say(w, lo || hi ? " %s" : " of %s", p->unit);
}

static void say_choices(words *w, const lathe_param *p) {
    if (p->choices[1] == NULL) {
        say(w, "\"%s\"", p->choices[0]);
        return;
    }
    say(w, "one of ");
    for (size_t i = 0; p->choices[i] != NULL; i++)
        say(w, "%s\"%s\"", i == 0 ? "" : ", ", p->choices[i]);
}

static void say_element(words *w, const lathe_param *p) {
    char kinds[128];
    switch (p->type) {
    case LATHE_PARAM_BOOL:
        say(w, "true or false");
        break;
    case LATHE_PARAM_INT:
        say(w, "an integer");
        say_range(w, p);
        break;
    case LATHE_PARAM_FLOAT:
        say(w, "a number");
        say_range(w, p);
        break;
    case LATHE_PARAM_STRING:
        say(w, p->flags & LATHE_PARAM_PATH ? "a path" : "a string");
        break;
    case LATHE_PARAM_ENUM:
        say_choices(w, p);
        break;
    case LATHE_PARAM_INT_OR_ENUM:
        say(w, "an integer");
        say_range(w, p);
        say(w, " or ");
        say_choices(w, p);
        break;
    case LATHE_PARAM_SCALAR:
        say(w, "a number, a string, true or false");
        break;
    case LATHE_PARAM_RECORD:
        say(w, "an object");
        break;
    case LATHE_PARAM_COMPONENT:
        say(w, "%s, as \"name\" or {\"name\": {…}}",
            lathe_kind_words(p->kind, kinds, sizeof kinds));
        break;
    case LATHE_PARAM_COLUMNS:
        say(w, "columns: \"numeric\", \"categorical\", \"text\", \"time\", \"all\", a name, a "
               "pattern, a "
               "list of these or {\"except\": …}");
        break;
    default:
        say(w, "a value");
    }
}

static void say_count(words *w, const lathe_param *p, const char *what) {
    if (p->min_count > 0 && p->max_count > 0)
        say(w, " of %lld to %lld %s", (long long)p->min_count, (long long)p->max_count, what);
    else if (p->min_count > 0)
        say(w, " of at least %lld %s", (long long)p->min_count, what);
    else if (p->max_count > 0)
        say(w, " of at most %lld %s", (long long)p->max_count, what);
}

const char *lathe_bind_expected(const lathe_param *p, bool element, char *buf, size_t size) {
    words w = {buf, size, 0};
    if (size > 0)
        buf[0] = '\0';
    if (!element && (p->flags & LATHE_PARAM_LIST)) {
        say(&w, "a list");
        say_count(&w, p, "elements");
        say(&w, ", each ");
        say_element(&w, p);
        if (p->flags & LATHE_PARAM_SINGLE)
            say(&w, "; or one such element alone");
    } else if (!element && (p->flags & LATHE_PARAM_MAP)) {
        say(&w, "an object from names");
        say_count(&w, p, "members");
        say(&w, " to ");
        say_element(&w, p);
    } else {
        say_element(&w, p);
    }
    if (!element && (p->flags & LATHE_PARAM_NULLABLE))
        say(&w, ", or null");
    return buf;
}

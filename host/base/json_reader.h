/* base/json_reader.h: inside the JSON reader: where it stands, and what it reads between the brackets. Only json_read.c
 * and json_scan.c include this. Functions that return bool have added a diagnostic where they return false. */
#ifndef LATHE_BASE_JSON_READER_H
#define LATHE_BASE_JSON_READER_H

#include "base/json.h"
#include "base/json_place.h"

typedef struct json_reader {
    const char *text; /* where reading begins, after a byte order mark */
    const char *p;
    const char *end;
    int line;
    const char *counted; /* columns up to here are counted: */
    int column;          /* that of `counted` */
    int depth;
    int max_depth;
    lathe_json *doc;
    const cJSON *inside; /* container being filled, for messages */
    lathe_diags *diags;
    lathe_buf scratch; /* the string being decoded */
} json_reader;

/* Adds a diagnostic at a place on the current line; returns false. */
bool lathe_jsonr_fail(json_reader *r, const char *at, const char *fmt, ...) LATHE_PRINTF(3, 4);
bool lathe_jsonr_fail_memory(json_reader *r);
/* For "found … where a value is needed": names the likely slip. */
bool lathe_jsonr_fail_word(json_reader *r);

/* What stands at p, for messages: "'x'", "the end of the document", …; may use `text`. */
const char *lathe_jsonr_found(const json_reader *r, const char *p, char text[48]);

/* Column of p, which must be on the current line, at or after all earlier questions. */
int lathe_jsonr_column(json_reader *r, const char *p);

void lathe_jsonr_skip_blanks(json_reader *r);
bool lathe_jsonr_at(const json_reader *r, char c);
bool lathe_jsonr_word_is(const json_reader *r, const char *word);
/* Length of the run of letters, digits, '_', '.', '+', '-' at p: a word as a person sees it. */
int lathe_jsonr_word_length(const json_reader *r, const char *p);

/* p at the opening quote; the text is in scratch afterwards. */
bool lathe_jsonr_scan_string(json_reader *r);
/* p at '-' or a digit; sets place->exact and integer too. */
bool lathe_jsonr_scan_number(json_reader *r, double *value, json_place *place);

/* To be called before the first number is read; false: out of memory. */
bool lathe_jsonr_scan_prepare(void);

#endif

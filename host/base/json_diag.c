/* Diagnostics: a bounded list of all that is wrong with a document. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(lathe_diags *diags) {
    if (diags->count < diags->cap)
        return true;
    if (diags->count >= LATHE_DIAGS_MAX)
        return false;
    size_t cap = diags->cap == 0 ? 8 : diags->cap * 2;
    lathe_diag *items = realloc(diags->items, cap * sizeof *items);
    if (items == NULL)
        return false;
    diags->items = items;
    diags->cap = cap;
    return true;
}

static void free_diag(lathe_diag *d) {
    free(d->file);
    free(d->pointer);
    free(d->message);
}

static void add(lathe_diags *diags, const char *file, int line, int column, const char *pointer,
                const char *fmt, va_list ap) {
    if (diags == NULL)
        return;
    if (diags->count >= LATHE_DIAGS_MAX || !make_room(diags)) {
        diags->more++;
        return;
    }
    lathe_buf message = {0};
    lathe_buf_vprintf(&message, fmt, ap);
    lathe_diag d = {.line = line, .column = column};
    d.file = strdup(file != NULL ? file : "");
    d.pointer = strdup(pointer != NULL ? pointer : "");
    d.message = lathe_buf_take(&message);
    if (d.file == NULL || d.pointer == NULL || d.message == NULL) {
        free_diag(&d);
        diags->more++;
        return;
    }
    diags->items[diags->count++] = d;
}

void lathe_diag_add_at(lathe_diags *diags, const char *file, int line, int column,
                       const char *pointer, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(diags, file, line, column, pointer, fmt, ap);
    va_end(ap);
}

static void add_node(lathe_diags *diags, const lathe_json *doc, const cJSON *node, bool at_key,
                     const char *fmt, va_list ap) {
    int line, column;
    char pointer[1024];
    bool known = (at_key && lathe_json_key_where(doc, node, &line, &column)) ||
                 lathe_json_where(doc, node, &line, &column);
    if (!known && doc != NULL)
        known = lathe_json_where(doc, lathe_json_root(doc), &line, &column);
    lathe_json_pointer(doc, node, pointer, sizeof pointer);
    add(diags, lathe_json_file(doc), known ? line : 0, known ? column : 0, pointer, fmt, ap);
}

void lathe_diag_add(lathe_diags *diags, const lathe_json *doc, const cJSON *node, const char *fmt,
                    ...) {
    va_list ap;
    va_start(ap, fmt);
    add_node(diags, doc, node, false, fmt, ap);
    va_end(ap);
}

void lathe_diag_add_key(lathe_diags *diags, const lathe_json *doc, const cJSON *node,
                        const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_node(diags, doc, node, true, fmt, ap);
    va_end(ap);
}

bool lathe_diags_any(const lathe_diags *diags) {
    return diags != NULL && (diags->count > 0 || diags->more > 0);
}

/* Number of the first item with the same file: files keep the order in which they appeared. */
static size_t file_rank(const lathe_diags *diags, const lathe_diag *d) {
    for (size_t i = 0; i < diags->count; i++) {
        if (strcmp(diags->items[i].file, d->file) == 0)
            return i;
    }
    return diags->count;
}

typedef struct ranked {
    lathe_diag diag;
    size_t file;
    size_t order;
} ranked;

static int by_place(const void *pa, const void *pb) {
    const ranked *a = pa, *b = pb;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->diag.line != b->diag.line)
        return a->diag.line < b->diag.line ? -1 : 1;
    if (a->diag.column != b->diag.column)
        return a->diag.column < b->diag.column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void lathe_diags_sort(lathe_diags *diags) {
    static const size_t item = sizeof(ranked);
    ranked *all = diags->count > 1 ? malloc(diags->count * item) : NULL;
    if (all == NULL)
        return; /* unsorted is still complete */
    for (size_t i = 0; i < diags->count; i++)
        all[i] = (ranked){diags->items[i], file_rank(diags, &diags->items[i]), i};
    qsort(all, diags->count, item, by_place);
    for (size_t i = 0; i < diags->count; i++)
        diags->items[i] = all[i].diag;
    free(all);
}

static bool same_place(const lathe_diag *a, const lathe_diag *b) {
    return a->line > 0 && a->line == b->line && a->column == b->column &&
           strcmp(a->file, b->file) == 0;
}

void lathe_diags_drop_echoes(lathe_diags *diags, size_t n) {
    size_t kept = n;
    for (size_t i = n; i < diags->count; i++) {
        size_t k = 0;
        while (k < n && !same_place(&diags->items[k], &diags->items[i]))
            k++;
        if (k < n)
            free_diag(&diags->items[i]);
        else
            diags->items[kept++] = diags->items[i];
    }
    if (n < diags->count)
        diags->count = kept;
}

static void format_place(const lathe_diag *d, lathe_buf *out) {
    lathe_buf_append_str(out, d->file[0] != '\0' ? d->file : "document");
    if (d->line > 0)
        lathe_buf_printf(out, ":%d:%d", d->line, d->column);
}

void lathe_diags_format(const lathe_diags *diags, lathe_buf *out) {
    for (size_t i = 0; i < diags->count; i++) {
        const lathe_diag *d = &diags->items[i];
        format_place(d, out);
        lathe_buf_printf(out, ": %s", d->message);
        if (d->pointer[0] != '\0')
            lathe_buf_printf(out, " (at %s)", d->pointer);
        lathe_buf_append_char(out, '\n');
    }
    if (diags->more > 0)
        lathe_buf_printf(out, "… and %zu more\n", diags->more);
}

cJSON *lathe_diags_json(const lathe_diags *diags) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < diags->count; i++) {
        const lathe_diag *d = &diags->items[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "file", d->file);
        cJSON_AddNumberToObject(item, "line", d->line);
        cJSON_AddNumberToObject(item, "column", d->column);
        cJSON_AddStringToObject(item, "pointer", d->pointer);
        cJSON_AddStringToObject(item, "message", d->message);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

bool lathe_diags_from_json(lathe_diags *diags, const cJSON *list) {
    const cJSON *item;
    if (!cJSON_IsArray(list))
        return false;
    cJSON_ArrayForEach(item, list) {
        const cJSON *line = lathe_json_get(item, "line"), *column = lathe_json_get(item, "column");
        const char *file = cJSON_GetStringValue(lathe_json_get(item, "file")),
                   *pointer = cJSON_GetStringValue(lathe_json_get(item, "pointer")),
                   *message = cJSON_GetStringValue(lathe_json_get(item, "message"));
        if (cJSON_IsNumber(line) && cJSON_IsNumber(column) && file && pointer && message)
            lathe_diag_add_at(diags, file, line->valueint, column->valueint, pointer, "%s",
                              message);
    }
    return true;
}

void lathe_diags_print(const lathe_diags *diags, FILE *stream) {
    lathe_buf text = {0};
    lathe_diags_format(diags, &text);
    fwrite(lathe_buf_str(&text), 1, text.len, stream);
    lathe_buf_free(&text);
}

int32_t lathe_diags_error(const lathe_diags *diags, int32_t code, lathe_error *err) {
    if (!lathe_diags_any(diags))
        return LATHE_OK;
    if (diags->no_memory)
        code = LATHE_E_MEMORY;
    if (diags->count == 0)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory while noting %zu errors",
                          diags->more);
    lathe_buf where = {0};
    format_place(&diags->items[0], &where);
    size_t rest = diags->count - 1 + diags->more;
    if (rest > 0)
        lathe_fail(err, code, lathe_buf_str(&where), "%s (and %zu more errors)",
                   diags->items[0].message, rest);
    else
        lathe_fail(err, code, lathe_buf_str(&where), "%s", diags->items[0].message);
    lathe_buf_free(&where);
    return code;
}

void lathe_diags_free(lathe_diags *diags) {
    if (diags == NULL)
        return;
    for (size_t i = 0; i < diags->count; i++)
        free_diag(&diags->items[i]);
    free(diags->items);
    *diags = (lathe_diags){0};
}

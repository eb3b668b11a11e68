/* data/stats_text.c: statistics of a CATEGORY or STRING column. See stats.h. */
#include "data/memory.h"
#include "data/stats.h"
#include "data/text.h"

#include <math.h>
#include <stdlib.h>

/* How often each text occurs, and which texts they are. */
typedef struct text_counts {
    lathe_text_count *items;
    int64_t n;
} text_counts;

static int by_count(const void *pa, const void *pb) {
    const lathe_text_count *a = pa, *b = pb;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return lathe_str_compare(a->text, b->text);
}

static bool count_codes(const lathe_column *c, int64_t n_rows, text_counts *out,
                        lathe_text_stats *s) {
    const int32_t *codes = c->values;
    out->items = lathe_aligned_zeroed(c->dict_size, sizeof *out->items);
    if (out->items == NULL)
        return false;
    for (int64_t i = 0; i < n_rows; i++) {
        if (codes[i] >= 0 && codes[i] < c->dict_size)
            out->items[codes[i]].count++;
        else if (codes[i] == LATHE_CODE_MISSING)
            s->missing++;
        else
            s->unseen++;
    }
    for (int64_t k = 0; k < c->dict_size; k++) {
        if (out->items[k].count > 0)
            out->items[out->n++] = (lathe_text_count){c->dict[k], out->items[k].count};
    }
    return true;
}

static bool count_strings(const lathe_column *c, int64_t n_rows, text_counts *out,
                          lathe_text_stats *s) {
    const lathe_str *texts = c->values;
    lathe_text_map map = {0};
    int64_t room = 0;
    bool good = true;
    for (int64_t i = 0; good && i < n_rows; i++) {
        if (texts[i].ptr == NULL) {
            s->missing++;
            continue;
        }
        int32_t k = lathe_text_map_add(&map, texts[i]); /* the column outlives the map */
        if (map.n > room) {
            int64_t larger = room > 0 ? 2 * room : 64;
            lathe_text_count *items = realloc(out->items, (size_t)larger * sizeof *items);
            good = items != NULL;
            if (good)
                out->items = items;
            for (int64_t z = room; good && z < larger; z++)
                items[z] = (lathe_text_count){{NULL, 0}, 0};
            room = good ? larger : room;
        }
        good = good && k >= 0;
        if (good)
            out->items[k] = (lathe_text_count){map.keys[k], out->items[k].count + 1};
    }
    out->n = map.n;
    lathe_text_map_free(&map);
    return good;
}

static void summarise(text_counts *counts, lathe_text_stats *s) {
    double total = (double)(s->n - s->missing - s->unseen), bytes = 0;
    qsort(counts->items, (size_t)counts->n, sizeof *counts->items, by_count);
    s->distinct = counts->n;
    for (int64_t k = 0; k < counts->n; k++) {
        const lathe_text_count *t = &counts->items[k];
        double share = (double)t->count / total;
        s->entropy -= share * log2(share);
        s->empty += t->text.len == 0 ? t->count : 0;
        s->min_len = k == 0 || t->text.len < s->min_len ? t->text.len : s->min_len;
        s->max_len = t->text.len > s->max_len ? t->text.len : s->max_len;
        bytes += (double)t->text.len * (double)t->count;
        if (k < LATHE_STATS_TOP)
            s->top[s->n_top++] = *t;
    }
    s->mean_len = total > 0 ? bytes / total : 0;
    if (counts->n < 2)
        s->entropy = 0; /* not -0 */
}

int32_t lathe_stats_text(const lathe_column *column, int64_t n_rows, lathe_text_stats *stats,
                         lathe_error *err) {
    text_counts counts = {0};
    *stats = (lathe_text_stats){.n = n_rows};
    bool good;
    if (column->type == LATHE_COLUMN_CATEGORY)
        good = count_codes(column, n_rows, &counts, stats);
    else if (column->type == LATHE_COLUMN_STRING)
        good = count_strings(column, n_rows, &counts, stats);
    else
        return lathe_fail(err, LATHE_E_INVALID, column->name, "the column is not one of texts");
    if (good && counts.n > 0)
        summarise(&counts, stats);
    free(counts.items);
    return good ? LATHE_OK : lathe_fail_memory(err, column->name, "its statistics");
}

#include "cli/cli.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cli_option *find_option(cli_option *options, size_t n, const char *name, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

bool cli_parse(int argc, char **argv, cli_option *options, size_t n_options, const char *usage,
               const char **args, size_t *n_args, bool *help) {
    bool ended = false;
    *n_args = 0;
    *help = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (ended || arg[0] != '-' || arg[1] == 0) {
            args[(*n_args)++] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            ended = true;
            continue;
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            *help = true;
            fputs(usage, stdout);
            return false;
        }
        const char *name = arg + (arg[1] == '-' ? 2 : 1);
        const char *eq = arg[1] == '-' ? strchr(name, '=') : NULL;
        cli_option *option =
            find_option(options, n_options, name, eq ? (size_t)(eq - name) : strlen(name));
        if (option == NULL) {
            cli_usage(usage, "there is no option \"%s\"", arg);
            return false;
        }
        option->seen = true;
        if (!option->takes_value && eq == NULL)
            continue;
        if (!option->takes_value || (eq == NULL && i + 1 >= argc)) {
            cli_usage(usage, "%s %s", arg,
                      option->takes_value ? "needs a value" : "takes no value");
            return false;
        }
        option->value = eq ? eq + 1 : argv[++i];
        if (option->list != NULL)
            option->list[option->count++] = option->value;
    }
    return true;
}

int cli_error(const lathe_error *err) {
    if (err->where[0] != 0)
        fprintf(stderr, "lathe: %s: %s\n", err->where, err->message);
    else
        fprintf(stderr, "lathe: %s\n",
                err->message[0] ? err->message : lathe_status_name(err->code));
    return EXIT_FAILED;
}

int cli_usage(const char *usage, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("lathe: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n%s", usage);
    return EXIT_USAGE;
}

int32_t cli_open_catalogue(const char *home, bool rescan, lathe_catalogue **catalogue,
                           lathe_error *err) {
    char *path = NULL, *cache = NULL, *self = lathe_path_self();
    if (lathe_store_home_path(home, &path, NULL) == LATHE_OK)
        cache = lathe_path_join(path, "plugins.json");
    const lathe_catalogue_options options = {
        .cache_file = cache, .scanner = self, .rescan = rescan};
    int32_t rc = self ? lathe_catalogue_open(&options, catalogue, err)
                      : lathe_fail(err, LATHE_E_INTERNAL, NULL, "the program cannot find itself");
    free(self);
    free(cache);
    free(path);
    return rc;
}

static bool is_short; /* the text of a tree could not be made */

void cli_print_json(const cJSON *tree) {
    lathe_buf text = {0};
    lathe_json_print(NULL, tree, &text);
    is_short = is_short || text.failed;
    puts(lathe_buf_str(&text));
    lathe_buf_free(&text);
}

void cli_print_tree(const cJSON *tree, bool json) {
    if (json) {
        cli_print_json(tree);
        return;
    }
    char *text = cJSON_Print(tree);
    is_short = is_short || text == NULL;
    puts(text != NULL ? text : "");
    cJSON_free(text);
}

bool cli_output_is_short(void) {
    return is_short || lathe_json_refused() > 0;
}

/* Characters that a terminal shows: code points. */
static size_t width_of(const char *text) {
    size_t n = 0;
    for (; text != NULL && *text != 0; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static bool is_number(const char *text) {
    char *end;
    if (text == NULL || *text == 0)
        return true;
    strtod(text, &end);
    return end != text && *end == 0;
}

void cli_print_table(const char *const *cells, size_t n_rows, size_t n_columns) {
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_columns; c++) {
            size_t width = 0;
            bool right = n_rows > 1;
            for (size_t k = 0; k < n_rows; k++) {
                size_t w = width_of(cells[k * n_columns + c]);
                width = w > width ? w : width;
                right = right &&
                        (k == 0 || is_number(cells[k * n_columns + c])); /* row 0 is the head */
            }
            const char *cell = cells[r * n_columns + c] ? cells[r * n_columns + c] : "";
            const size_t pad = width - width_of(cell);
            if (c > 0)
                fputs("  ", stdout);
            if (right)
                printf("%*s%s", (int)pad, "", cell);
            else
                printf("%s%*s", cell, c + 1 < n_columns ? (int)pad : 0, "");
        }
        putchar('\n');
    }
}

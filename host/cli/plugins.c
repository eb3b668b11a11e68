/* `lathe plugins list|info|rescan|check|new`. */
#include "cli/cli.h"
#include "cli/plugins_check.h"
#include "cli/plugins_new.h"
#include "plugin/describe.h"
#include "plugin/kinds.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: lathe plugins list [KIND] [--json] [--home D]\n"
    "       lathe plugins info NAME|ID [--kind KIND] [--json]\n"
    "       lathe plugins rescan\n"
    "       lathe plugins check FILE.so [--params JSON] [--json]   (does it keep what its kind "
    "promises?)\n"
    "       lathe plugins new KIND NAME [--id ID] [-o FOLDER]      (a source to begin with)\n"
    "\n"
    "Plugins are found beside the program and in the folders of $LATHE_PLUGIN_PATH.\n";

static int list(const lathe_catalogue *catalogue, const char *kind_name, bool json) {
    const lathe_kind *kind = kind_name ? lathe_kind_find(kind_name) : NULL;
    lathe_buf out = {0};
    if (kind_name != NULL && kind == NULL)
        return cli_usage(usage, "there is no kind \"%s\"", kind_name);
    if (json) {
        lathe_jsonw w = lathe_jsonw_to(&out);
        lathe_describe_list_json(catalogue, kind ? kind->id : NULL, &w);
        lathe_buf_append_char(&out, '\n');
    } else {
        lathe_describe_list_text(catalogue, kind ? kind->id : NULL, &out);
    }
    fputs(lathe_buf_str(&out), stdout);
    lathe_buf_free(&out);
    return EXIT_DONE;
}

/* Every plugin of that name or id, in all kinds or in one. */
static int info(const lathe_catalogue *catalogue, const char *name, const char *kind_name,
                bool json) {
    const lathe_kind *kind = kind_name ? lathe_kind_find(kind_name) : NULL;
    lathe_error err = {0};
    lathe_buf out = {0};
    lathe_jsonw w = lathe_jsonw_to(&out);
    size_t found = 0;
    if (kind_name != NULL && kind == NULL)
        return cli_usage(usage, "there is no kind \"%s\"", kind_name);
    if (json)
        lathe_jsonw_begin_array(&w);
    for (size_t i = 0; i < lathe_catalogue_count(catalogue); i++) {
        const lathe_plugin *p = lathe_catalogue_at(catalogue, i);
        const lathe_descriptor *d = p->descriptor;
        if (p->hidden || (strcmp(d->name, name) != 0 && strcmp(d->id, name) != 0) ||
            (kind != NULL && strcmp(d->kind, kind->id) != 0))
            continue;
        if (json)
            lathe_describe_plugin_json(p, &w);
        else
            lathe_describe_plugin_text(p, &out);
        found++;
    }
    if (json)
        lathe_jsonw_end_array(&w);
    if (json)
        lathe_buf_append_char(&out, '\n');
    if (found > 0)
        fputs(lathe_buf_str(&out), stdout);
    lathe_buf_free(&out);
    if (found > 0)
        return EXIT_DONE;
    lathe_catalogue_unknown(catalogue, kind ? kind->id : NULL, name, &err);
    return cli_error(&err);
}

int cli_plugins(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "json"},
                            {.name = "kind", .takes_value = true},
                            {.name = "home", .takes_value = true},
                            {.name = "params", .takes_value = true},
                            {.name = "id", .takes_value = true},
                            {.name = "o", .takes_value = true}};
    if (!cli_parse(argc, argv, options, 6, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    lathe_error err = {0};
    lathe_catalogue *catalogue = NULL;
    const char *verb = n_args > 0 ? args[0] : "list";
    const bool rescan = strcmp(verb, "rescan") == 0;
    int code;
    if (strcmp(verb, "check") == 0)
        return n_args == 2 ? cli_check_file(args[1], options[3].value, options[0].seen)
                           : cli_usage(usage, "\"check\" takes one file");
    if (strcmp(verb, "new") == 0)
        return n_args == 3 ? cli_new_plugin(args[1], args[2], options[4].value, options[5].value)
                           : cli_usage(usage, "\"new\" takes a kind and a name");
    if (cli_open_catalogue(options[2].value, rescan, &catalogue, &err) != LATHE_OK)
        return cli_error(&err);
    if (strcmp(verb, "list") == 0 && n_args <= 2)
        code = list(catalogue, n_args == 2 ? args[1] : NULL, options[0].seen);
    else if (strcmp(verb, "info") == 0 && n_args == 2)
        code = info(catalogue, args[1], options[1].value, options[0].seen);
    else if (rescan && n_args == 1)
        code = list(catalogue, NULL, options[0].seen);
    else
        code = cli_usage(usage, "it does not understand \"%s\" with %zu arguments", verb,
                         n_args > 0 ? n_args - 1 : 0);
    lathe_catalogue_close(catalogue);
    return code;
}

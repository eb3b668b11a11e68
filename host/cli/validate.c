/* `lathe validate PIPELINE.json`: everything about a document that can be told without reading data. */
#include "base/fs.h"
#include "cli/cli.h"
#include "cli/document.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: lathe validate PIPELINE.json [--set name=value] [--json] [--home D]\n";

int cli_validate(int argc, char **argv) {
    const char *args[argc + 1], *sets[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "set", .takes_value = true, .list = sets},
                            {.name = "json"},
                            {.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, 3, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 1)
        return cli_usage(usage, "it takes one pipeline");
    lathe_error err = {0};
    lathe_diags diags = {0};
    cli_document document = {0};
    lathe_catalogue *catalogue = NULL;
    int code = EXIT_DONE;
    if (cli_open_catalogue(options[2].value, false, &catalogue, &err) != LATHE_OK)
        return cli_error(&err);
    if (!cli_load_document(args[0], options[2].value, catalogue, sets, options[0].count, &document,
                           &diags))
        code = EXIT_USAGE;
    if (options[1].seen) {
        cJSON *tree = cli_diags_json(&diags);
        cli_print_json(tree);
        cJSON_Delete(tree);
    } else if (code == EXIT_DONE) {
        printf("%s: valid: %zu candidates, %zu transforms\n", args[0],
               document.pipeline->n_candidates, document.pipeline->prepare.n_transforms);
    } else {
        lathe_diags_print(&diags, stderr);
    }
    cli_free_document(&document);
    lathe_diags_free(&diags);
    lathe_catalogue_close(catalogue);
    return code;
}

/* `lathe schema`: JSON Schema of the pipeline document. */
#include "cli/cli.h"
#include "pipeline/schema_document.h"

#include <stdio.h>

static const char usage[] =
    "usage: lathe schema [--home D]\n"
    "Prints the JSON Schema of the pipeline document, with every installed plugin.\n";

int cli_schema(int argc, char **argv) {
    const char *args[argc + 1];
    size_t n_args;
    bool help;
    cli_option options[] = {{.name = "home", .takes_value = true}};
    if (!cli_parse(argc, argv, options, 1, usage, args, &n_args, &help))
        return help ? EXIT_DONE : EXIT_USAGE;
    if (n_args != 0)
        return cli_usage(usage, "it takes no argument");
    lathe_error err = {0};
    lathe_catalogue *catalogue = NULL;
    lathe_buf out = {0};
    if (cli_open_catalogue(options[0].value, false, &catalogue, &err) != LATHE_OK)
        return cli_error(&err);
    lathe_schema_document(catalogue, &out);
    int code = out.failed ? EXIT_FAILED : EXIT_DONE;
    if (code == EXIT_DONE)
        puts(lathe_buf_str(&out));
    lathe_buf_free(&out);
    lathe_catalogue_close(catalogue);
    return code;
}

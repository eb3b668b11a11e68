/* Verbs that work on the home itself: `lathe tokens …`, `lathe projects …`. */
#include "base/arena.h"
#include "cli/cli.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* "create, list or revoke" */
static void name_verbs(const cli_home_verb *verbs, char *text, size_t size) {
    size_t len = 0;
    text[0] = 0;
    for (const cli_home_verb *v = verbs; v->name != NULL && len < size; v++)
        len += (size_t)snprintf(text + len, size - len, "%s%s",
                                v == verbs  ? ""
                                : v[1].name ? ", "
                                            : " or ",
                                v->name);
}

int cli_run_home_verb(const cli_home_verb *verbs, const char *usage, const char *home,
                      const cli_option *options, const char *const *args, size_t n_args) {
    const cli_home_verb *v = verbs;
    char names[200];
    while (n_args > 0 && v->name != NULL && strcmp(v->name, args[0]) != 0)
        v++;
    name_verbs(verbs, names, sizeof names);
    if (n_args == 0)
        return cli_usage(usage, "%s?", names);
    if (v->name == NULL)
        return cli_usage(usage, "there is no verb \"%s\"; %s?", args[0], names);
    if (n_args != (v->takes_name ? 2 : 1))
        return cli_usage(usage, "%s takes %s", args[0], v->takes_name ? "one name" : "no argument");
    cli_home_call c = {
        .options = options, .name = n_args > 1 ? args[1] : NULL, .arena = lathe_arena_new()};
    int code = EXIT_FAILED;
    if (c.arena != NULL && lathe_store_open(home, v->writes ? LATHE_STORE_OWN : LATHE_STORE_READ,
                                            &c.store, &c.err) == LATHE_OK)
        code = v->run(&c);
    else
        cli_error(&c.err);
    lathe_store_close(c.store);
    lathe_arena_free(c.arena);
    return code;
}

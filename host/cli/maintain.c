/* `lathe backup|restore|verify|gc`: the home directory as a whole. */
#include "base/arena.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Options that all four take, and how the store is opened. */
typedef struct maintenance {
    const char *args[8];
    size_t n_args;
    cli_option options[4]; /* home, json, dry-run, days */
    int code;              /* where begin() says no */
} maintenance;

static bool begin(maintenance *m, int argc, char **argv, size_t want, const char *usage) {
    bool help;
    *m = (maintenance){.options = {{.name = "home", .takes_value = true},
                                   {.name = "json"},
                                   {.name = "dry-run"},
                                   {.name = "days", .takes_value = true}}};
    if (argc > 7) {
        m->code = cli_usage(usage, "too many arguments");
        return false;
    }
    if (!cli_parse(argc, argv, m->options, 4, usage, m->args, &m->n_args, &help)) {
        m->code = help ? EXIT_DONE : EXIT_USAGE;
        return false;
    }
    if (m->n_args != want) {
        m->code = cli_usage(usage, "it takes %zu argument%s", want, want == 1 ? "" : "s");
        return false;
    }
    signal(SIGXFSZ, SIG_IGN);
    return true;
}

int cli_backup(int argc, char **argv) {
    static const char usage[] =
        "usage: lathe backup DIR [--home D]\n"
        "Writes database and artifacts, verified, into an empty folder. Works beside a service.\n";
    maintenance m;
    lathe_error err = {0};
    lathe_store *store;
    lathe_backup_summary summary;
    if (!begin(&m, argc, argv, 1, usage))
        return m.code;
    if (lathe_store_open(m.options[0].value, LATHE_STORE_READ, &store, &err) != LATHE_OK)
        return cli_error(&err);
    int32_t rc = lathe_store_backup(store, m.args[0], &summary, &err);
    lathe_store_close(store);
    if (rc != LATHE_OK)
        return cli_error(&err);
    printf("%" PRId64 " files, %" PRId64 " bytes in %s\n", summary.files, summary.bytes, m.args[0]);
    return EXIT_DONE;
}

int cli_restore(int argc, char **argv) {
    static const char usage[] =
        "usage: lathe restore BACKUP_DIR [--home D]\n"
        "Makes the home from a backup; the home must be missing or empty.\n";
    maintenance m;
    lathe_error err = {0};
    lathe_backup_summary summary;
    if (!begin(&m, argc, argv, 1, usage))
        return m.code;
    if (lathe_store_restore(m.args[0], m.options[0].value, &summary, &err) != LATHE_OK)
        return cli_error(&err);
    printf("%" PRId64 " files, %" PRId64 " bytes restored\n", summary.files, summary.bytes);
    return EXIT_DONE;
}

int cli_verify(int argc, char **argv) {
    static const char usage[] =
        "usage: lathe verify [--home D]\n"
        "Checks every artifact, the database, histories and the audit chain.\n";
    maintenance m;
    lathe_error err = {0};
    lathe_store *store;
    lathe_verify_report report = {0};
    if (!begin(&m, argc, argv, 0, usage))
        return m.code;
    lathe_arena *arena = lathe_arena_new();
    if (arena == NULL ||
        lathe_store_open(m.options[0].value, LATHE_STORE_READ, &store, &err) != LATHE_OK) {
        lathe_arena_free(arena);
        return cli_error(&err);
    }
    int32_t rc = lathe_store_verify(store, arena, &report, &err);
    for (size_t i = 0; rc == LATHE_OK && i < report.count; i++)
        printf("%s: %s: %s\n", report.items[i].level == LATHE_FINDING_ERROR ? "error" : "note",
               report.items[i].subject, report.items[i].message);
    if (rc == LATHE_OK)
        printf("%" PRId64 " artifacts (%" PRId64 " bytes), %" PRId64 " versions, %" PRId64
               " audit rows: %zu errors\n",
               report.artifacts, report.bytes, report.versions, report.audit_rows, report.errors);
    lathe_store_close(store);
    lathe_arena_free(arena);
    return rc != LATHE_OK ? cli_error(&err) : report.errors > 0 ? EXIT_FAILED : EXIT_DONE;
}

int cli_gc(int argc, char **argv) {
    static const char usage[] =
        "usage: lathe gc [--days N] [--dry-run] [--home D]\n"
        "Removes what nothing refers to; with --days also cached steps unused for that long.\n";
    maintenance m;
    lathe_error err = {0};
    lathe_store *store;
    lathe_gc_result result;
    if (!begin(&m, argc, argv, 0, usage))
        return m.code;
    char *end = NULL;
    const double days = m.options[3].value ? strtod(m.options[3].value, &end) : 0;
    if (m.options[3].value &&
        (end == m.options[3].value || *end != 0 || !(days >= 0 && days < 1e5)))
        return cli_usage(usage, "--days is a number from 0");
    if (lathe_store_open(m.options[0].value, LATHE_STORE_OWN, &store, &err) != LATHE_OK)
        return cli_error(&err);
    const lathe_gc_options options = {.steps_max_age = (int64_t)(days * 86400e6),
                                      .dry_run = m.options[2].seen};
    int32_t rc = lathe_store_gc(store, &options, &result, &err);
    lathe_store_close(store);
    if (rc != LATHE_OK)
        return cli_error(&err);
    printf("%s%" PRId64 " cached steps, %" PRId64 " artifacts, %" PRId64 " files: %" PRId64
           " bytes\n",
           options.dry_run ? "would remove " : "removed ", result.steps, result.artifacts,
           result.files, result.bytes);
    return EXIT_DONE;
}

/* `lathe plugins new KIND NAME`: a plugin's source that builds and passes `lathe plugins check`, to be filled with one's own. */
#include "cli/plugins_new.h"

#include "base/buf.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "plugin/kinds.h"

#include "generated/skeleton_activation.h"
#include "generated/skeleton_drift.h"
#include "generated/skeleton_ensemble.h"
#include "generated/skeleton_learner.h"
#include "generated/skeleton_loss.h"
#include "generated/skeleton_makefile.h"
#include "generated/skeleton_metric.h"
#include "generated/skeleton_optimizer.h"
#include "generated/skeleton_schedule.h"
#include "generated/skeleton_source.h"
#include "generated/skeleton_split.h"
#include "generated/skeleton_transform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKELETON(kind)                                                                             \
    { #kind, lathe_skeleton_##kind, sizeof lathe_skeleton_##kind }

/* sdk/template/kinds */
static const struct {
    const char *kind;
    const unsigned char *text;
    size_t room;
} skeletons[] = {SKELETON(activation), SKELETON(loss),     SKELETON(optimizer), SKELETON(schedule),
                 SKELETON(learner),    SKELETON(ensemble), SKELETON(transform), SKELETON(source),
                 SKELETON(split),      SKELETON(metric),   SKELETON(drift)};

static bool is_word(const char *text, const char *also) {
    if (text[0] < 'a' || text[0] > 'z')
        return false;
    for (; *text != 0; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= '0' && *text <= '9') &&
            strchr(also, *text) == NULL)
            return false;
    return true;
}

/* The skeleton with its two words in place. */
static void fill_in(const char *text, size_t len, const char *name, const char *id,
                    lathe_buf *out) {
    for (size_t at = 0; at < len; at++) {
        if (strncmp(text + at, "@NAME@", 6) == 0) {
            lathe_buf_append_str(out, name);
            at += 5;
        } else if (strncmp(text + at, "@ID@", 4) == 0) {
            lathe_buf_append_str(out, id);
            at += 3;
        } else {
            lathe_buf_append_char(out, text[at]);
        }
    }
}

/* A file that is there already is left alone. */
static int32_t write_new(const char *folder, const char *name, const char *text, size_t len,
                         lathe_error *err) {
    char *path = lathe_path_join(folder, name);
    int32_t rc = path ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory");
    if (rc == LATHE_OK && lathe_is_file(path))
        rc = lathe_fail(err, LATHE_E_EXISTS, path, "it is there already; name another folder (-o)");
    if (rc == LATHE_OK)
        rc = lathe_write_file_atomic(path, text, len, err);
    free(path);
    return rc;
}

static int32_t write_all(size_t kind, const char *name, const char *id, const char *folder,
                         lathe_error *err) {
    lathe_buf source = {0};
    char file[140];
    fill_in((const char *)skeletons[kind].text,
            strnlen((const char *)skeletons[kind].text, skeletons[kind].room), name, id, &source);
    snprintf(file, sizeof file, "%s.c", name);
    int32_t rc = source.failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory")
                               : lathe_mkdirs(folder, err);
    if (rc == LATHE_OK)
        rc = write_new(folder, file, lathe_buf_str(&source), source.len, err);
    if (rc == LATHE_OK)
        rc = write_new(
            folder, "Makefile", (const char *)lathe_skeleton_makefile,
            strnlen((const char *)lathe_skeleton_makefile, sizeof lathe_skeleton_makefile), err);
    lathe_buf_free(&source);
    return rc;
}

int cli_new_plugin(const char *kind, const char *name, const char *id, const char *folder) {
    char own_id[300];
    lathe_error err = {0};
    size_t k = 0;
    while (k < sizeof skeletons / sizeof *skeletons && strcmp(skeletons[k].kind, kind) != 0)
        k++;
    if (k == sizeof skeletons / sizeof *skeletons)
        return cli_usage("",
                         "there is no kind \"%s\"; activation, loss, optimizer, schedule, learner, "
                         "ensemble, transform, source, split, metric and drift are",
                         kind);
    if (strlen(name) > 64 || !is_word(name, "_"))
        return cli_usage("",
                         "\"%s\" is no name for a plugin: a-z, 0-9 and '_', beginning with a "
                         "letter, at most 64",
                         name);
    if (id != NULL && (strlen(id) > 200 || !is_word(id, "._-") || strchr(id, '.') == NULL))
        return cli_usage("", "\"%s\" is no id: your domain reversed, such as org.example.%s.%s", id,
                         kind, name);
    snprintf(own_id, sizeof own_id, "org.example.%s.%s", kind, name);
    folder = folder != NULL ? folder : name;
    if (write_all(k, name, id != NULL ? id : own_id, folder, &err) != LATHE_OK)
        return cli_error(&err);
    printf("%s/%s.c\n%s/Makefile\n", folder, name, folder);
    fprintf(stderr,
            "next: make -C %s SDK=…/sdk, then: lathe plugins check %s/build/%s.so\n"
            "The folder of the .so in $LATHE_PLUGIN_PATH makes it known.\n",
            folder, folder, name);
    return EXIT_DONE;
}

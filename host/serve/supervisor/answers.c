/* Answers that wait for labels, from the service before and for the next. */
#include "base/fs.h"
#include "base/log.h"
#include "serve/recall.h"
#include "serve/supervisor/internal.h"

#include <inttypes.h>
#include <stdlib.h>

void lathe_answers_take(lathe_supervisor *s) {
    char *path = lathe_path_join(lathe_store_home(s->store), LATHE_RECALL_FILE);
    lathe_error err = {0};
    int64_t taken = 0;
    if (path != NULL && lathe_recall_load(s->slots, s->numbers.names, s->numbers.count, path,
                                          &taken, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "serve", "answers that waited for labels are forgotten: %s",
                  err.message);
    if (taken > 0)
        lathe_log(LATHE_LEVEL_INFO, "serve", "%" PRId64 " answers wait for labels", taken);
    free(path);
}

void lathe_answers_keep(lathe_supervisor *s) {
    char *path = lathe_path_join(lathe_store_home(s->store), LATHE_RECALL_FILE);
    lathe_error err = {0};
    if (path != NULL &&
        lathe_recall_save(s->slots, s->numbers.names, s->numbers.count, path, &err) != LATHE_OK)
        lathe_log(LATHE_LEVEL_WARN, "serve", "answers that wait for labels are forgotten: %s",
                  err.message);
    free(path);
}

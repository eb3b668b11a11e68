/* tests/unit/plugin_fixture.h: the built plugins in a unit test.
 *
 *     static fixture fx;
 *     static void setup(void) { fixture_open(&fx, 2); }        // checked fixture of a TCase
 *     static void teardown(void) { fixture_close(&fx); }       // also checks that nothing leaked
 *
 *     lathe_instance relu;
 *     fixture_create(&fx, LATHE_KIND_ACTIVATION, "{\"leaky_relu\": {\"alpha\": 0.1}}",
 *                    LATHE_TASK_BINARY, &relu);
 *     const lathe_activation *a = relu.interface;
 *     a->forward(relu.self, …);
 *     lathe_instance_destroy(&relu);
 *
 * Everything fails the test with a message where something is wrong. Learners that lack
 * something are not wrapped here: `needs` is 0 and `data` NULL; use lathe_instance_create for
 * that.
 */
#ifndef LATHE_TEST_PLUGIN_FIXTURE_H
#define LATHE_TEST_PLUGIN_FIXTURE_H

#include "base/fs.h"
#include "base/json.h"
#include "base/pool.h"
#include "plugin/bind.h"
#include "plugin/call.h"
#include "plugin/catalogue.h"
#include "plugin/runtime.h"
#include "plugin/state.h"

#include <check.h>
#include <lathe/lathe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    lathe_catalogue *catalogue;
    lathe_pool *pool;
    lathe_runtime *runtime;
    const lathe_host *host; /* the process's own, for making datasets and tables */
    char dir[64];           /* of fixture_open_some; else "" */
} fixture;

/* Fails the test with the error's text. */
static inline void fixture_ok(int32_t rc, const lathe_error *err, const char *what) {
    if (rc != LATHE_OK)
        ck_abort_msg("%s: code %d: %s: %s", what, (int)rc, err->where, err->message);
}

/* A runtime with the plugins of `dir` and a pool of `threads`. */
static inline void fixture_open_dir(fixture *f, const char *dir, int threads) {
    lathe_error err = {0};
    lathe_catalogue_options opt = {.builtin_dir = dir, .no_environment = true};
    memset(f, 0, sizeof *f);
    fixture_ok(lathe_catalogue_open(&opt, &f->catalogue, &err), &err, "catalogue");
    f->pool = lathe_pool_new(threads);
    ck_assert_ptr_nonnull(f->pool);
    lathe_runtime_options run = {.catalogue = f->catalogue, .pool = f->pool};
    fixture_ok(lathe_runtime_new(&run, &f->runtime, &err), &err, "runtime");
    f->host = lathe_runtime_host(f->runtime);
}

/* A runtime with some of tests/fixtures/plugins alone: names, ended by NULL. */
static inline void fixture_open_some(fixture *f, int threads, const char *const *names) {
    char dir[64] = "/tmp/lathe-fixture-XXXXXX", from[512], to[512];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (; *names != NULL; names++) {
        snprintf(from, sizeof from, "%s/%s.so", LATHE_FIXTURE_PLUGIN_DIR, *names);
        snprintf(to, sizeof to, "%s/%s.so", dir, *names);
        ck_assert_int_eq(symlink(from, to), 0);
    }
    fixture_open_dir(f, dir, threads);
    memcpy(f->dir, dir, sizeof dir);
}

/* The same with the plugins that the build made. */
static inline void fixture_open(fixture *f, int threads) {
    fixture_open_dir(f, LATHE_PLUGIN_DIR, threads);
}

static inline void fixture_close(fixture *f) {
    int64_t leaks = lathe_runtime_leaks(f->runtime);
    lathe_runtime_free(f->runtime);
    lathe_pool_free(f->pool);
    lathe_catalogue_close(f->catalogue);
    if (f->dir[0] != '\0')
        lathe_remove_tree(f->dir, NULL);
    memset(f, 0, sizeof *f);
    ck_assert_msg(leaks == 0, "%lld blocks leaked", (long long)leaks);
}

/* Binds "name" or {"name": {…}}; `use` may be the bare name without quotes too. Free it with
 * lathe_component_free. */
static inline lathe_component *fixture_component(fixture *f, const char *kind, const char *use,
                                                 int32_t task) {
    lathe_binder binder = {.catalogue = f->catalogue, .task = task, .load = true};
    lathe_component *c = NULL;
    lathe_error err = {0};
    int32_t rc = use[0] == '{' || use[0] == '"'
                     ? lathe_bind_use(&binder, kind, use, &c, &err)
                     : lathe_bind_text(&binder, kind, use, NULL, &c, &err);
    fixture_ok(rc, &err, use);
    return c;
}

/* An instance from JSON text. */
static inline void fixture_create(fixture *f, const char *kind, const char *use, int32_t task,
                                  lathe_instance *out) {
    lathe_error err = {0};
    lathe_component *c = fixture_component(f, kind, use, task);
    int32_t rc = lathe_instance_create(f->runtime, c, 0, NULL, out, &err);
    lathe_component_free(c); /* the instance holds it */
    fixture_ok(rc, &err, use);
}

/* The error of binding something that must not bind; `message` (may be NULL) must be part of it. */
static inline void fixture_refused(fixture *f, const char *kind, const char *use, int32_t task,
                                   const char *message) {
    lathe_binder binder = {.catalogue = f->catalogue, .task = task, .load = true};
    lathe_component *c = NULL;
    lathe_error err = {0};
    int32_t rc = use[0] == '{' || use[0] == '"'
                     ? lathe_bind_use(&binder, kind, use, &c, &err)
                     : lathe_bind_text(&binder, kind, use, NULL, &c, &err);
    ck_assert_msg(rc != LATHE_OK, "%s was accepted", use);
    if (message != NULL)
        ck_assert_msg(strstr(err.message, message) != NULL, "%s: \"%s\" lacks \"%s\"", use,
                      err.message, message);
}

/* The datasets service. */
static inline const lathe_datasets *fixture_datasets(fixture *f) {
    const lathe_datasets *d = f->host->get(f->host, LATHE_HOST_DATASETS);
    ck_assert_ptr_nonnull(d);
    return d;
}

/* A dataset of numeric features x0, x1, … from arrays: matrix [n_rows, n_features] compact;
 * weight may be NULL. Release it with fixture_datasets(f)->release. */
static inline lathe_dataset *fixture_dataset(fixture *f, int32_t task, int64_t n_classes,
                                             int64_t n_rows, int64_t n_features,
                                             const float *matrix, const float *target,
                                             const float *weight) {
    lathe_feature *features = calloc((size_t)n_features + 1, sizeof *features);
    char(*names)[16] = calloc((size_t)n_features + 1, sizeof *names);
    ck_assert(features != NULL && names != NULL);
    for (int64_t j = 0; j < n_features; j++) {
        snprintf(names[j], sizeof names[j], "x%lld", (long long)j);
        features[j] = (lathe_feature){.name = names[j], .type = LATHE_FEATURE_NUMERIC};
    }
    lathe_dataset_spec spec = {.struct_size = LATHE_SIZED(lathe_dataset_spec),
                               .task = task,
                               .n_rows = n_rows,
                               .n_features = n_features,
                               .n_classes = n_classes,
                               .features = features,
                               .matrix = matrix,
                               .stride = n_features,
                               .target = target,
                               .weight = weight};
    lathe_dataset *data = NULL;
    lathe_error err = {0};
    int32_t rc = fixture_datasets(f)->make(f->host, &spec, &data, &err);
    free(features);
    free(names);
    fixture_ok(rc, &err, "dataset");
    return data;
}

#endif

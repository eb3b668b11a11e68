#include "support_learner.h"

#include "plugin/call.h"

/* ---- opening ---- */

static void on_event(void *user, const lathe_event *e) {
    trial *t = user;
    pthread_mutex_lock(&t->lock);
    if (e->type == LATHE_EVENT_LOG)
        snprintf(t->last_log, sizeof t->last_log, "%s", e->text);
    if (e->type == LATHE_EVENT_METRIC && t->n_points < TRIAL_POINTS) {
        trial_point *p = &t->points[t->n_points++];
        snprintf(p->name, sizeof p->name, "%s", e->text);
        p->step = e->step;
        p->value = e->value;
        p->depth = e->depth;
        if (t->stop_after > 0 && t->n_points >= t->stop_after)
            atomic_store(&t->stop, 1);
    }
    pthread_mutex_unlock(&t->lock);
}

void trial_open_with(trial *t, int threads, const char *folder) {
    lathe_error err = {0};
    lathe_catalogue_options opt = {.builtin_dir = LATHE_PLUGIN_DIR,
                                   .dirs = &folder,
                                   .n_dirs = folder != NULL,
                                   .no_environment = true};
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    fixture_ok(lathe_catalogue_open(&opt, &t->fx.catalogue, &err), &err, "catalogue");
    t->fx.pool = lathe_pool_new(threads);
    ck_assert_ptr_nonnull(t->fx.pool);
    lathe_runtime_options run = {.catalogue = t->fx.catalogue,
                                 .pool = t->fx.pool,
                                 .on_event = on_event,
                                 .user = t,
                                 .stop = &t->stop};
    fixture_ok(lathe_runtime_new(&run, &t->fx.runtime, &err), &err, "runtime");
    t->fx.host = lathe_runtime_host(t->fx.runtime);
}

void trial_open(trial *t, int threads) {
    trial_open_with(t, threads, NULL);
}

void trial_close(trial *t) {
    fixture_close(&t->fx);
    pthread_mutex_destroy(&t->lock);
}

int64_t trial_count(trial *t, const char *name) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->n_points; i++)
        n += strcmp(t->points[i].name, name) == 0;
    return n;
}

double trial_value(trial *t, const char *name, int64_t step) {
    for (int64_t i = t->n_points - 1; i >= 0; i--)
        if (strcmp(t->points[i].name, name) == 0 && t->points[i].step == step)
            return t->points[i].value;
    return NAN;
}

/* ---- fitting ---- */

int32_t trial_try(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                  const lathe_dataset *validation, const lathe_fit *fit, bool wrap,
                  lathe_instance *out, lathe_error *err) {
    lathe_dataset_info info = {.struct_size = LATHE_SIZED(lathe_dataset_info)};
    lathe_fit plain = {.struct_size = LATHE_SIZED(lathe_fit), .key = 7};
    lathe_open open = {
        .struct_size = LATHE_SIZED(lathe_open), .data = data, .validation = validation};
    uint32_t needs = 0;
    void *context = NULL;

    fixture_datasets(&t->fx)->info(data, &info);
    if (fit == NULL)
        fit = &plain;
    open.task = fit->gradient != NULL ? LATHE_TASK_REGRESSION : info.task;
    open.n_classes = fit->gradient != NULL ? 0 : info.n_classes;
    if (wrap) {
        needs |= fit->rows != NULL || fit->counts != NULL ? LATHE_LEARNER_TAKES_ROWS : 0;
        needs |= fit->weight != NULL ? LATHE_LEARNER_TAKES_WEIGHTS : 0;
        needs |= fit->gradient != NULL ? LATHE_LEARNER_TAKES_GRADIENTS : 0;
        needs |= fit->features != NULL ? LATHE_LEARNER_TAKES_FEATURES : 0;
    }
    lathe_component *c = fixture_component(&t->fx, kind, use, info.task);
    int32_t rc = lathe_instance_create(t->fx.runtime, c, needs, wrap ? data : NULL, out, err);
    lathe_component_free(c);
    if (rc != LATHE_OK)
        return rc;
    rc = lathe_call_open(out, &open, &context, err);
    if (rc == LATHE_OK) {
        rc = lathe_call_fit(out, context, fit, err);
        lathe_call_close(out, context);
    }
    if (rc != LATHE_OK)
        lathe_instance_destroy(out);
    return rc;
}

lathe_instance trial_fit_with(trial *t, const char *kind, const char *use,
                              const lathe_dataset *data, const lathe_fit *fit, bool wrap) {
    lathe_instance m;
    lathe_error err = {0};
    fixture_ok(trial_try(t, kind, use, data, NULL, fit, wrap, &m, &err), &err, use);
    return m;
}

lathe_instance trial_fit(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                         const lathe_dataset *validation, uint64_t key) {
    lathe_fit fit = {.struct_size = LATHE_SIZED(lathe_fit), .key = key};
    lathe_instance m;
    lathe_error err = {0};
    fixture_ok(trial_try(t, kind, use, data, validation, &fit, false, &m, &err), &err, use);
    return m;
}

void trial_refused(trial *t, const char *kind, const char *use, const lathe_dataset *data,
                   const lathe_fit *fit, int32_t code, const char *message) {
    lathe_instance m;
    lathe_error err = {0};
    int32_t rc = trial_try(t, kind, use, data, NULL, fit, false, &m, &err);
    ck_assert_msg(rc == code, "%s: code %d instead of %d: %s", use, rc, code, err.message);
    ck_assert_msg(strstr(err.message, message) != NULL, "\"%s\" lacks \"%s\"", err.message,
                  message);
}

/* ---- predicting ---- */

int64_t trial_outputs(const lathe_instance *m) {
    lathe_output output = {.struct_size = LATHE_SIZED(lathe_output)};
    lathe_error err = {0};
    fixture_ok(lathe_call_output(m, &output, &err), &err, "output");
    return output.n_outputs;
}

void trial_predict(const lathe_instance *m, int64_t n, const float *x, int64_t stride, float *out) {
    lathe_error err = {0};
    fixture_ok(lathe_call_predict(m, n, x, stride, out, &err), &err, "predict");
}

/* In batches of `size`, straight through the table. */
static void predict_by(const lathe_instance *m, int64_t size, int64_t n, const float *x,
                       int64_t stride, float *out, int64_t k) {
    const lathe_learner *learner = m->interface;
    int64_t bytes = learner->scratch(m->self, size);
    lathe_error err = {0};
    ck_assert_int_ge(bytes, 0);
    void *scratch = aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64);
    memset(scratch, 0xff, ((size_t)bytes + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i += size) {
        int64_t rows = n - i < size ? n - i : size;
        fixture_ok(
            learner->predict(m->self, rows, x + i * stride, stride, out + i * k, scratch, &err),
            &err, "predict");
    }
    free(scratch);
}

void trial_check(trial *t, const lathe_instance *m, int64_t n, const float *x, int64_t stride) {
    static const int64_t sizes[] = {1, 3, 7, 64, 65, 1000};
    int64_t k = trial_outputs(m);
    size_t bytes = (size_t)(n * k) * sizeof(float);
    float *whole = malloc(bytes), *part = malloc(bytes);
    lathe_error err = {0};
    lathe_state *state = NULL, *again = NULL;
    lathe_instance loaded;

    trial_predict(m, n, x, stride, whole);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        predict_by(m, sizes[i], n, x, stride, part, k);
        ck_assert_msg(memcmp(whole, part, bytes) == 0, "batches of %lld differ",
                      (long long)sizes[i]);
    }
    fixture_ok(lathe_state_save(m, &state, &err), &err, "save");
    fixture_ok(lathe_state_load(t->fx.runtime, state, 0, &loaded, &err), &err, "load");
    predict_by(&loaded, 64, n, x, stride, part, k);
    ck_assert_msg(memcmp(whole, part, bytes) == 0, "the loaded model differs");
    fixture_ok(lathe_state_save(&loaded, &again, &err), &err, "save again");
    ck_assert_msg(trial_same_state(state, again), "the loaded model saves another state");
    lathe_instance_destroy(&loaded);
    lathe_state_free(again);
    lathe_state_free(state);
    free(part);
    free(whole);
}

/* ---- states ---- */

static bool same_attribute(const lathe_state_attribute *a, const lathe_state_attribute *b) {
    if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->n != b->n)
        return false;
    if (a->type == LATHE_STATE_INTEGER)
        return a->integer == b->integer;
    if (a->type == LATHE_STATE_NUMBER)
        return memcmp(&a->number, &b->number, sizeof a->number) == 0;
    for (int64_t i = 0; i < (a->type == LATHE_STATE_STRING ? 1 : a->n); i++)
        if (a->strings[i].len != b->strings[i].len ||
            memcmp(a->strings[i].ptr, b->strings[i].ptr, (size_t)a->strings[i].len) != 0)
            return false;
    return true;
}

bool trial_same_state(const lathe_state *a, const lathe_state *b) {
    const lathe_state_identity *x = lathe_state_who(a), *y = lathe_state_who(b);
    if (strcmp(x->plugin, y->plugin) != 0 || strcmp(x->config, y->config) != 0 ||
        lathe_state_tensor_count(a) != lathe_state_tensor_count(b) ||
        lathe_state_attribute_count(a) != lathe_state_attribute_count(b) ||
        lathe_state_child_count(a) != lathe_state_child_count(b))
        return false;
    for (size_t i = 0; i < lathe_state_tensor_count(a); i++) {
        const lathe_state_tensor *s = lathe_state_tensor_at(a, i), *u = lathe_state_tensor_at(b, i);
        if (strcmp(s->name, u->name) != 0 || s->bytes != u->bytes || s->dtype != u->dtype ||
            s->ndim != u->ndim || memcmp(s->shape, u->shape, (size_t)s->ndim * 8) != 0 ||
            (s->bytes > 0 && memcmp(s->data, u->data, s->bytes) != 0))
            return false;
    }
    for (size_t i = 0; i < lathe_state_attribute_count(a); i++)
        if (!same_attribute(lathe_state_attribute_at(a, i), lathe_state_attribute_at(b, i)))
            return false;
    for (size_t i = 0; i < lathe_state_child_count(a); i++) {
        const char *s, *u;
        lathe_state *c = lathe_state_child_at(a, i, &s), *d = lathe_state_child_at(b, i, &u);
        if (strcmp(s, u) != 0 || !trial_same_state(c, d))
            return false;
    }
    return true;
}

bool trial_same_model(const lathe_instance *a, const lathe_instance *b) {
    lathe_state *x = NULL, *y = NULL;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(a, &x, &err), &err, "save");
    fixture_ok(lathe_state_save(b, &y, &err), &err, "save");
    bool same = trial_same_state(x, y);
    lathe_state_free(x);
    lathe_state_free(y);
    return same;
}

/* A copy of a node, with one tensor's data or one integer replaced. */
static lathe_state *altered(const lathe_state *from, const char *name, const void *data,
                            const int64_t *integer) {
    lathe_state *to = NULL;
    lathe_error err = {0};
    bool found = false;
    fixture_ok(lathe_state_new(lathe_state_who(from), &to, &err), &err, "new state");
    for (size_t i = 0; i < lathe_state_tensor_count(from); i++) {
        const lathe_state_tensor *s = lathe_state_tensor_at(from, i);
        bool it = data != NULL && strcmp(s->name, name) == 0;
        lathe_tensor tensor = {(void *)(uintptr_t)(it ? data : s->data),
                               LATHE_DEVICE_CPU,
                               0,
                               s->ndim,
                               s->dtype,
                               s->bits,
                               1,
                               s->shape,
                               NULL,
                               0};
        found |= it;
        fixture_ok(lathe_state_add_tensor(to, s->name, &tensor, true, &err), &err, s->name);
    }
    for (size_t i = 0; i < lathe_state_attribute_count(from); i++) {
        const lathe_state_attribute *a = lathe_state_attribute_at(from, i);
        bool it = integer != NULL && strcmp(a->name, name) == 0;
        found |= it;
        if (a->type == LATHE_STATE_INTEGER)
            fixture_ok(lathe_state_add_integer(to, a->name, it ? *integer : a->integer, &err), &err,
                       a->name);
        else if (a->type == LATHE_STATE_NUMBER)
            fixture_ok(lathe_state_add_number(to, a->name, a->number, &err), &err, a->name);
    }
    for (size_t i = 0; i < lathe_state_child_count(from); i++) {
        const char *child;
        lathe_state *node = lathe_state_child_at(from, i, &child);
        fixture_ok(lathe_state_add_child(to, child, lathe_state_retain(node), &err), &err, child);
    }
    ck_assert_msg(found, "the state has no \"%s\"", name);
    return to;
}

static void refuse(trial *t, const lathe_instance *m, const char *name, const void *data,
                   const int64_t *integer) {
    lathe_state *state = NULL, *bad;
    lathe_instance loaded;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(m, &state, &err), &err, "save");
    bad = altered(state, name, data, integer);
    int32_t rc = lathe_state_load(t->fx.runtime, bad, 0, &loaded, &err);
    ck_assert_msg(rc == LATHE_E_CORRUPT, "a wrong \"%s\" gives code %d: %s", name, rc, err.message);
    ck_assert_msg(err.message[0] != '\0', "no sentence for a wrong \"%s\"", name);
    lathe_state_free(bad);
    lathe_state_free(state);
}

void trial_corrupt_tensor(trial *t, const lathe_instance *m, const char *name, const void *data) {
    refuse(t, m, name, data, NULL);
}

void trial_corrupt_integer(trial *t, const lathe_instance *m, const char *name, int64_t value) {
    refuse(t, m, name, NULL, &value);
}

size_t trial_tensor(const lathe_instance *m, const char *name, void *out, size_t bytes) {
    lathe_state *state = NULL;
    lathe_error err = {0};
    size_t got = 0;
    fixture_ok(lathe_state_save(m, &state, &err), &err, "save");
    for (size_t i = 0; i < lathe_state_tensor_count(state); i++) {
        const lathe_state_tensor *s = lathe_state_tensor_at(state, i);
        if (strcmp(s->name, name) != 0)
            continue;
        ck_assert_uint_le(s->bytes, bytes);
        memcpy(out, s->data, s->bytes);
        got = s->bytes;
    }
    ck_assert_msg(got > 0, "the state has no \"%s\"", name);
    lathe_state_free(state);
    return got;
}

lathe_instance trial_replaced(trial *t, const lathe_instance *m, const char *name,
                              const void *data) {
    lathe_state *state = NULL, *other;
    lathe_instance loaded;
    lathe_error err = {0};
    fixture_ok(lathe_state_save(m, &state, &err), &err, "save");
    other = altered(state, name, data, NULL);
    fixture_ok(lathe_state_load(t->fx.runtime, other, 0, &loaded, &err), &err, "load");
    lathe_state_free(other);
    lathe_state_free(state);
    return loaded;
}

/* ---- numbers ---- */

double trial_uniform(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

double trial_normal(uint64_t *seed) {
    double u = trial_uniform(seed) + 1e-300, v = trial_uniform(seed);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

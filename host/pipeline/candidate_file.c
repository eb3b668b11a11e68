#include "pipeline/candidate_file.h"

#include "model/state_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[N_PARTS] = {"train", "validation", "test"};

static const char *tensor_name(char *buf, size_t size, int part, const char *what) {
    snprintf(buf, size, "prediction.%s.%s", part_names[part], what);
    return buf;
}

static int32_t add_prediction(lathe_st_writer *w, int part, const lathe_prediction *p,
                              lathe_error *err) {
    char name[64];
    int32_t rc = LATHE_OK;
    const int64_t cells[2] = {p->n, p->n_classes};
    if (p->value != NULL)
        rc = lathe_st_add(w, tensor_name(name, sizeof name, part, "value"), LATHE_FLOAT, 32, 1,
                          &p->n, p->value, err);
    if (rc == LATHE_OK && p->probability != NULL)
        rc = lathe_st_add(w, tensor_name(name, sizeof name, part, "probability"), LATHE_FLOAT, 32,
                          2, cells, p->probability, err);
    if (rc == LATHE_OK && p->label != NULL)
        rc = lathe_st_add(w, tensor_name(name, sizeof name, part, "label"), LATHE_INT, 32, 1, &p->n,
                          p->label, err);
    return rc;
}

static int32_t add_json(lathe_st_writer *w, const char *key, const cJSON *tree, lathe_error *err) {
    lathe_buf text = {0};
    if (tree == NULL)
        return LATHE_OK;
    lathe_json_canonical(tree, &text);
    int32_t rc = text.failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for %s", key)
                             : lathe_st_meta(w, key, lathe_buf_str(&text), err);
    lathe_buf_free(&text);
    return rc;
}

int32_t lathe_candidate_save(const lathe_trained *trained, const char *path,
                             char sha256[LATHE_SHA256_HEX], lathe_error *err) {
    lathe_state *state = NULL;
    char seconds[32];
    int64_t bytes;
    lathe_st_writer *w = lathe_st_writer_new();
    int32_t rc = w ? lathe_state_save(&trained->learner, &state, err)
                   : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a candidate's file");
    if (rc == LATHE_OK)
        rc = lathe_state_put(w, "learner", state, err);
    for (int p = 0; rc == LATHE_OK && p < N_PARTS; p++)
        rc = add_prediction(w, p, &trained->predictions[p], err);
    snprintf(seconds, sizeof seconds, "%.9g", trained->seconds);
    if (rc == LATHE_OK)
        rc = lathe_st_meta(w, "seconds", seconds, err);
    if (rc == LATHE_OK)
        rc = add_json(w, "curves", trained->curves, err);
    if (rc == LATHE_OK)
        rc = add_json(w, "importance", trained->importance, err);
    if (rc == LATHE_OK)
        rc = lathe_st_write(w, path, sha256, &bytes, err);
    lathe_st_writer_free(w);
    lathe_state_free(state);
    return rc;
}

/* Copies a tensor of `cells` 4-byte elements; NULL where the file has none. */
static int32_t copy_tensor(const lathe_st_file *file, const char *name, uint8_t dtype,
                           int64_t cells, void **out, lathe_error *err) {
    const lathe_st_tensor *t = lathe_st_find(file, name);
    *out = NULL;
    if (t == NULL)
        return LATHE_OK;
    if (t->dtype != dtype || t->bits != 32 || t->bytes != cells * 4)
        return lathe_fail(err, LATHE_E_CORRUPT, name,
                          "the cached tensor has another type or length");
    int32_t rc = lathe_st_check(t, err);
    if (rc != LATHE_OK)
        return rc;
    *out = malloc((size_t)t->bytes + 1);
    if (*out == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for cached predictions");
    memcpy(*out, t->data, (size_t)t->bytes);
    return LATHE_OK;
}

static int32_t load_prediction(const lathe_job *job, const lathe_st_file *file, int part, int64_t n,
                               lathe_prediction *p, lathe_error *err) {
    char name[64];
    const bool classes = job->n_classes > 0;
    *p = (lathe_prediction){.n = n, .n_classes = job->n_classes};
    int32_t rc = copy_tensor(file, tensor_name(name, sizeof name, part, "value"), LATHE_FLOAT, n,
                             (void **)&p->value, err);
    if (rc == LATHE_OK)
        rc = copy_tensor(file, tensor_name(name, sizeof name, part, "probability"), LATHE_FLOAT,
                         n * job->n_classes, (void **)&p->probability, err);
    if (rc == LATHE_OK)
        rc = copy_tensor(file, tensor_name(name, sizeof name, part, "label"), LATHE_INT, n,
                         (void **)&p->label, err);
    if (rc == LATHE_OK && (classes ? !p->probability || !p->label : !p->value))
        rc = lathe_fail(err, LATHE_E_CORRUPT, part_names[part],
                        "the cached predictions are not there");
    for (int64_t i = 0; rc == LATHE_OK && classes && i < n; i++)
        if (p->label[i] < 0 || p->label[i] >= job->n_classes)
            rc = lathe_fail(err, LATHE_E_CORRUPT, part_names[part],
                            "a cached label is out of range");
    return rc;
}

int32_t lathe_candidate_load(lathe_job *job, const char *path, const int64_t rows[N_PARTS],
                             lathe_trained *trained, lathe_error *err) {
    lathe_st_file *file = NULL;
    lathe_state *state = NULL;
    int32_t rc = lathe_st_open(path, &file, err);
    if (rc == LATHE_OK && lathe_st_get_meta(file, "crc32") == NULL)
        rc = lathe_fail(err, LATHE_E_CORRUPT, path, "the cached file has no checksums");
    if (rc == LATHE_OK)
        rc = lathe_st_check_padding(file, err);
    if (rc == LATHE_OK)
        rc = lathe_state_get(file, "learner", &state, err);
    if (rc == LATHE_OK)
        rc = lathe_state_load(job->runtime, state, 0, &trained->learner, err);
    for (int p = 0; rc == LATHE_OK && p < N_PARTS; p++)
        if (rows[p] > 0)
            rc = load_prediction(job, file, p, rows[p], &trained->predictions[p], err);
    if (rc == LATHE_OK) {
        const char *seconds = lathe_st_get_meta(file, "seconds");
        const char *curves = lathe_st_get_meta(file, "curves");
        const char *importance = lathe_st_get_meta(file, "importance");
        trained->seconds = seconds ? strtod(seconds, NULL) : NAN;
        trained->curves = curves ? cJSON_Parse(curves) : NULL;
        trained->importance = importance ? cJSON_Parse(importance) : NULL;
    }
    lathe_state_free(state);
    lathe_st_close(file);
    return rc;
}

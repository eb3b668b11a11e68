#include "pipeline/digest.h"

#include "base/hash.h"

/* Changes whenever what a step computes from the same parameters changes. */
#define STEP_FORMAT 2

void lathe_digest_plugins(const lathe_component *component, cJSON *plugins) {
    if (component == NULL)
        return;
    const char *id = component->descriptor->id;
    if (lathe_json_get(plugins, id) == NULL) {
        cJSON *entry = cJSON_AddObjectToObject(plugins, id);
        cJSON_AddStringToObject(entry, "version", component->descriptor->version);
        cJSON_AddStringToObject(entry, "sha256", component->plugin->file->digest);
    }
    for (size_t i = 0; i < component->n_children; i++)
        lathe_digest_plugins(component->children[i], plugins);
}

int32_t lathe_digest_files(const lathe_component *component, cJSON *data, lathe_error *err) {
    for (size_t i = 0; component != NULL && i < component->n_paths; i++) {
        const lathe_bound_path *path = &component->paths[i];
        if (lathe_json_get(data, path->given) != NULL)
            continue;
        char hex[LATHE_SHA256_HEX];
        int64_t bytes;
        int32_t rc = lathe_sha256_file(path->resolved, hex, &bytes, err);
        if (rc != LATHE_OK)
            return rc;
        cJSON *entry = cJSON_AddObjectToObject(data, path->given);
        cJSON_AddStringToObject(entry, "sha256", hex);
        cJSON_AddNumberToObject(entry, "bytes", (double)bytes);
    }
    return LATHE_OK;
}

/* Hash of a tree's canonical text; deletes the tree. */
static int32_t hash_tree(cJSON *tree, char key[LATHE_SHA256_HEX], lathe_error *err) {
    lathe_buf text = {0};
    lathe_json_canonical(tree, &text);
    bool ok = !text.failed && lathe_sha256_hex(text.data, text.len, key);
    lathe_buf_free(&text);
    cJSON_Delete(tree);
    return ok ? LATHE_OK : lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a step's key");
}

static void add_component(cJSON *list, const lathe_component *component, cJSON *plugins) {
    cJSON_AddItemToArray(list,
                         component ? cJSON_CreateString(component->resolved) : cJSON_CreateNull());
    lathe_digest_plugins(component, plugins);
}

int32_t lathe_digest_data(lathe_job *job, const cJSON *data, lathe_error *err) {
    const lathe_pipeline *p = job->pipeline;
    cJSON *tree = cJSON_CreateObject();
    if (tree == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a step's key");
    cJSON_AddNumberToObject(tree, "format", STEP_FORMAT);
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->seed);
    cJSON_AddStringToObject(tree, "seed", seed);
    const cJSON *goal = lathe_json_get(lathe_json_root(p->doc), "goal");
    static const char *const goal_keys[] = {"task", "target", "weight", "class_weight"};
    for (size_t i = 0; i < sizeof goal_keys / sizeof *goal_keys; i++) {
        const cJSON *value = lathe_json_get(goal, goal_keys[i]);
        if (value != NULL)
            cJSON_AddItemToObject(tree, goal_keys[i], cJSON_Duplicate(value, 1));
    }
    cJSON *plugins = cJSON_AddObjectToObject(tree, "plugins");
    cJSON *parts = cJSON_AddArrayToObject(tree, "prepare");
    add_component(parts, p->prepare.source, plugins);
    add_component(parts, p->prepare.split, plugins);
    for (size_t i = 0; i < p->prepare.n_transforms; i++)
        add_component(parts, p->prepare.transforms[i], plugins);
    cJSON_AddItemToObject(tree, "data", cJSON_Duplicate(data, 1));
    return hash_tree(tree, job->data_key, err);
}

int32_t lathe_digest_candidate(const lathe_job *job, const char *name,
                               const lathe_component *component, char key[LATHE_SHA256_HEX],
                               lathe_error *err) {
    cJSON *tree = cJSON_CreateObject();
    if (tree == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for a step's key");
    cJSON_AddNumberToObject(tree, "format", STEP_FORMAT);
    cJSON_AddStringToObject(tree, "step", "train");
    cJSON_AddStringToObject(tree, "data", job->data_key);
    cJSON_AddStringToObject(tree, "candidate", name);
    cJSON_AddStringToObject(tree, "component", component->resolved);
    cJSON *plugins = cJSON_AddObjectToObject(tree, "plugins");
    lathe_digest_plugins(component, plugins);
    /* the host may put the adapter around any learner */
    const lathe_plugin *adapt = lathe_catalogue_find_id(job->catalogue, "lathe.ensemble.adapt");
    if (adapt != NULL)
        cJSON_AddStringToObject(tree, "adapt", adapt->file->digest);
    return hash_tree(tree, key, err);
}

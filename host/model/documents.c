#include "model/documents.h"

#include <stdio.h>
#include <string.h>

static int32_t print(const char *key, const cJSON *tree, lathe_buf *text, lathe_error *err) {
    lathe_json_canonical(tree, text);
    return text->failed ? lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for \"%s\"", key)
                        : LATHE_OK;
}

int32_t lathe_documents_put(lathe_st_writer *w, const char *key, const cJSON *tree,
                            lathe_error *err) {
    lathe_buf text = {0};
    if (tree == NULL)
        return LATHE_OK;
    int32_t rc = print(key, tree, &text, err);
    if (rc == LATHE_OK)
        rc = lathe_st_meta(w, key, lathe_buf_str(&text), err);
    lathe_buf_free(&text);
    return rc;
}

int32_t lathe_documents_put_large(lathe_st_writer *w, const char *key, const cJSON *tree,
                                  lathe_buf *text, lathe_error *err) {
    char name[128];
    if (tree == NULL)
        return LATHE_OK;
    int32_t rc = print(key, tree, text, err);
    const int64_t bytes = (int64_t)text->len;
    snprintf(name, sizeof name, "%s.json", key);
    return rc == LATHE_OK ? lathe_st_add(w, name, LATHE_UINT, 8, 1, &bytes, text->data, err) : rc;
}

int32_t lathe_documents_get(const lathe_st_file *file, const char *key, cJSON **tree,
                            lathe_error *err) {
    char name[128];
    const char *text = lathe_st_get_meta(file, key);
    size_t len = text ? strlen(text) : 0;
    lathe_error why = {0};
    *tree = NULL;
    snprintf(name, sizeof name, "%s.json", key);
    const lathe_st_tensor *large = text ? NULL : lathe_st_find(file, name);
    if (large != NULL) {
        int32_t rc = lathe_st_check(large, err);
        if (rc != LATHE_OK)
            return rc;
        text = large->data;
        len = (size_t)large->bytes;
    }
    if (text == NULL)
        return LATHE_OK;
    const lathe_json_limits limits = {.no_places = true};
    *tree = lathe_json_take(lathe_json_read(text, len, NULL, &limits, &why));
    if (*tree != NULL)
        return LATHE_OK;
    if (why.code == LATHE_E_MEMORY)
        return lathe_fail(err, LATHE_E_MEMORY, lathe_st_path(file), "out of memory for its \"%s\"",
                          key);
    return lathe_fail(err, LATHE_E_CORRUPT, lathe_st_path(file),
                      "this is no intact model file: its \"%s\" is no JSON (%.120s)", key,
                      why.message);
}

/* The list of route tables, and finding a route. */
#include "serve/api/api.h"

#include <stdio.h>
#include <string.h>

const api_route *const api_tables[] = {
    api_service_routes, api_model_routes, api_version_routes, api_endpoint_routes,
    api_run_routes,     api_token_routes, api_admin_routes,   api_feature_routes,
    api_project_routes, api_drift_routes, api_label_routes,   NULL, /* the end */
};

/* Do the pieces of a path fit a pattern such as "/api/v1/models/{model}"? A piece in braces fits any. */
static bool fits(const char *pattern, char *const *part, size_t n_parts) {
    size_t i = 0;
    while (*pattern == '/') {
        const char *piece = ++pattern;
        const size_t len = strcspn(piece, "/");
        if (i == n_parts)
            return false;
        if (piece[0] != '{' && (strlen(part[i]) != len || memcmp(part[i], piece, len) != 0))
            return false;
        pattern += len;
        i++;
    }
    return i == n_parts;
}

/* Adds a method to the list of those allowed. HEAD comes with GET. */
static void allow_method(const char *method, char *allow, size_t size) {
    const size_t len = strlen(allow);
    snprintf(allow + len, size - len, "%s%s%s", len > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

/* The same among the patterns with braces, or among those without. */
static const api_route *find_among(bool braces, const char *wanted, char *const *part,
                                   size_t n_parts, bool *known, char *allow, size_t size) {
    const api_route *found = NULL;
    for (size_t t = 0; api_tables[t] != NULL; t++) {
        for (const api_route *r = api_tables[t]; r->method != NULL; r++) {
            if ((strchr(r->path, '{') != NULL) != braces || !fits(r->path, part, n_parts))
                continue;
            *known = true;
            allow_method(r->method, allow, size);
            if (strcmp(r->method, wanted) == 0)
                found = r;
        }
    }
    return found;
}

const api_route *api_find(const char *method, char *const *part, size_t n_parts, bool *known,
                          char *allow, size_t size) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    *known = false;
    allow[0] = 0;
    /* "/runs/compare" is no run */
    const api_route *found = find_among(false, wanted, part, n_parts, known, allow, size);
    return *known ? found : find_among(true, wanted, part, n_parts, known, allow, size);
}

#include "web/report.h"

#include "web/page.h"
#include "web/slim.h"

#include <stdbool.h>

#define NO_MEMORY "out of memory for the page"

int32_t lathe_report_write(const cJSON *report, const char *path, lathe_error *err) {
    if (!cJSON_IsObject(report))
        return lathe_fail(err, LATHE_E_INVALID, path,
                          "a report is an object; there is none to write");
    cJSON *data = cJSON_Duplicate(report, 1);
    int32_t rc = data != NULL && lathe_slim_report(data)
                     ? lathe_page_write(data, path, err)
                     : lathe_fail(err, LATHE_E_MEMORY, path, NO_MEMORY);
    cJSON_Delete(data);
    return rc;
}

/* The page knows a profile of its own by the member "profile" at the top: {"title", "profile", "cut"}. */
int32_t lathe_profile_write(const cJSON *profile, const char *title, const char *path,
                            lathe_error *err) {
    if (!cJSON_IsObject(profile))
        return lathe_fail(err, LATHE_E_INVALID, path,
                          "a profile is an object; there is none to write");
    cJSON *data = cJSON_CreateObject(), *copy = cJSON_Duplicate(profile, 1);
    bool fine = cJSON_AddStringToObject(data, "title", title ? title : "") != NULL;
    if (!cJSON_AddItemToObject(data, "profile", copy)) {
        cJSON_Delete(copy);
        fine = false;
    }
    cJSON *cut = fine ? cJSON_AddObjectToObject(data, "cut") : NULL;
    int32_t rc = cut != NULL && lathe_slim_profile(copy, cut)
                     ? lathe_page_write(data, path, err)
                     : lathe_fail(err, LATHE_E_MEMORY, path, NO_MEMORY);
    cJSON_Delete(data);
    return rc;
}

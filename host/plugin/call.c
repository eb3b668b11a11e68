#include "plugin/call.h"

#include "plugin/runtime_internal.h"
#include "plugin/text.h"

#include <string.h>

static pthread_mutex_t global_calls = PTHREAD_MUTEX_INITIALIZER;

/* ---- around every call ---- */

void lathe_call_begin(lathe_call *call, lathe_impl *impl, const char *function) {
    call->impl = impl;
    call->function = function;
    call->zones_later = false;
    if (impl->descriptor->concurrency == LATHE_CONCURRENCY_SERIAL)
        pthread_mutex_lock(&impl->calls);
    else if (impl->descriptor->concurrency == LATHE_CONCURRENCY_GLOBAL)
        pthread_mutex_lock(&global_calls);
    lathe_crumb crumb = {impl->crumb, function, impl->scope};
    lathe_crumbs_enter(impl->runtime->options.crumbs, &crumb, &call->saved);
}

void lathe_call_end(lathe_call *call) {
    lathe_impl *impl = call->impl;
    lathe_crumbs_leave(impl->runtime->options.crumbs, &call->saved);
    if (impl->descriptor->concurrency == LATHE_CONCURRENCY_SERIAL)
        pthread_mutex_unlock(&impl->calls);
    else if (impl->descriptor->concurrency == LATHE_CONCURRENCY_GLOBAL)
        pthread_mutex_unlock(&global_calls);
}

static bool known_code(int32_t rc) {
    return rc >= LATHE_OK && rc <= LATHE_E_CRASHED;
}

int32_t lathe_call_finish(lathe_call *call, int32_t rc, const lathe_error *theirs,
                          lathe_error *err) {
    lathe_call_end(call);
    lathe_impl *impl = call->impl;
    char where[sizeof theirs->where], message[sizeof theirs->message];
    lathe_text_clean(theirs->where, sizeof theirs->where, where, sizeof where);
    lathe_text_clean(theirs->message, sizeof theirs->message, message, sizeof message);
    if (!call->zones_later && lathe_impl_check_zones(impl, err) != LATHE_OK)
        return LATHE_E_CORRUPT;
    if (rc == LATHE_OK) {
        /* a remark on a success: "undefined, since there is one class" */
        if (err != NULL) {
            lathe_error_clear(err);
            memcpy(err->message, message, sizeof err->message);
        }
        return LATHE_OK;
    }
    if (!known_code(rc))
        rc = lathe_fail(err, LATHE_E_INTERNAL, where, "%s() of %s gave the unknown code %d%s%s",
                        call->function, impl->id, (int)rc, message[0] ? ": " : "", message);
    else if (message[0] == '\0')
        lathe_fail(err, rc, where, "%s() of %s failed without a message (%s)", call->function,
                   impl->id, lathe_status_name(rc));
    else
        lathe_fail(err, rc, where, "%s", message);
    /* An error that a child's call has named already keeps that name alone. */
    if (strncmp(where, impl->id, strlen(impl->id)) != 0)
        lathe_error_wrap(err, impl->id);
    return rc;
}

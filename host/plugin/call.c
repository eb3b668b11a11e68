#include "plugin/call.h"

#include "plugin/runtime_internal.h"
#include "plugin/text.h"

#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#else
#include <fenv.h>
#endif

/* Recursive: such a plugin may have a child that is such a plugin. */
static pthread_mutex_t global_calls = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* Rounding, flushing of small numbers and traps; not the sticky exception flags. */
static unsigned float_mode(void) {
#if defined(__SSE2__)
    return _mm_getcsr() & ~0x3Fu;
#else
    return (unsigned)fegetround();
#endif
}

static void set_float_mode(unsigned mode) {
#if defined(__SSE2__)
    _mm_setcsr(mode);
#else
    fesetround((int)mode);
#endif
}

/* ---- around every call ---- */

void lathe_call_begin(lathe_call *call, lathe_impl *impl, const char *function) {
    call->impl = impl;
    call->function = function;
    call->zones_later = false;
    if (impl->concurrency == LATHE_CONCURRENCY_SERIAL)
        pthread_mutex_lock(&impl->calls);
    else if (impl->concurrency == LATHE_CONCURRENCY_GLOBAL)
        pthread_mutex_lock(&global_calls);
    call->float_mode = float_mode();
    lathe_crumb crumb = {impl->crumb, function, impl->scope};
    lathe_crumbs_enter(impl->runtime->options.crumbs, &crumb, &call->saved);
}

void lathe_call_end(lathe_call *call) {
    lathe_impl *impl = call->impl;
    call->mode_changed = float_mode() != call->float_mode;
    if (call->mode_changed)
        set_float_mode(call->float_mode);
    lathe_crumbs_leave(impl->runtime->options.crumbs, &call->saved);
    if (impl->concurrency == LATHE_CONCURRENCY_SERIAL)
        pthread_mutex_unlock(&impl->calls);
    else if (impl->concurrency == LATHE_CONCURRENCY_GLOBAL)
        pthread_mutex_unlock(&global_calls);
}

static bool known_code(int32_t rc) {
    return (rc >= LATHE_OK && rc <= LATHE_E_CRASHED) || rc == LATHE_E_INTERNAL;
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
    if (call->mode_changed)
        return lathe_fail(err, LATHE_E_INTERNAL, impl->id,
                          "%s changed the processor's floating-point mode in %s(), which changes "
                          "the results of everything else; ask its author",
                          impl->id, call->function);
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

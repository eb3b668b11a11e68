/* libuv closes descriptors by the bare system call, which ThreadSanitizer does not see: the next file of that number, in any
 * thread, would seem to be the old one still, and its use a race. libuv reaches the call through libc's syscall(), so the
 * program's own takes its place (--undefined=syscall in LatheOptions.cmake) and tells of each close as libuv itself
 * does where it is compiled with the sanitizer. */
#include "base/sanitizer.h"

#if LATHE_TSAN
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

void __sanitizer_syscall_pre_impl_close(long fd);

typedef long (*syscall_fn)(long number, ...);

static syscall_fn real_syscall(void) {
    static syscall_fn found;
    syscall_fn fn = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (fn == NULL) {
        *(void **)&fn = dlsym(RTLD_NEXT, "syscall");
        __atomic_store_n(&found, fn, __ATOMIC_RELAXED);
    }
    return fn;
}

__attribute__((constructor)) static void find_early(void) {
    real_syscall(); /* a forked child must not wait for the loader's lock */
}

__attribute__((visibility("default"))) long syscall(long number, ...) {
    const syscall_fn fn = real_syscall();
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (fn == NULL) {
        errno = ENOSYS;
        return -1;
    }
    if (number == SYS_close)
        __sanitizer_syscall_pre_impl_close((int)a[0]);
    return fn(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
#endif

/* base/sanitizer.h: which sanitizer the code is compiled with, alike for gcc and clang.
 *
 * LATHE_ASAN, LATHE_TSAN: 1 or 0. Under ThreadSanitizer, sanitizer.c shows it what libuv closes.
 */
#ifndef LATHE_BASE_SANITIZER_H
#define LATHE_BASE_SANITIZER_H

#if defined(__has_feature) /* clang */
#define LATHE_HAS_FEATURE(name) __has_feature(name)
#else
#define LATHE_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || LATHE_HAS_FEATURE(address_sanitizer)
#define LATHE_ASAN 1
#else
#define LATHE_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || LATHE_HAS_FEATURE(thread_sanitizer)
#define LATHE_TSAN 1
#else
#define LATHE_TSAN 0
#endif

#endif

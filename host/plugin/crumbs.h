/* plugin/crumbs.h: whose fault was it? A page shared with the parent that survives the process.
 *
 * Each thread of the worker has a slot where it notes plugin, function and step before it calls
 * a plugin. A fatal signal's handler, on a stack of its own, adds signal, program counter and
 * address and lets the process die. The parent reads the page after the death, trusting nothing
 * in it.
 *
 * Worker:
 *     lathe_crumbs *c = lathe_crumbs_attach(page, size);    // page: mmap'ed, shared
 *     lathe_crumbs_catch_signals(c);                        // once a process
 *     lathe_pool_new_with(n, lathe_crumbs_thread_start, c); // every thread: slot, signal stack
 * Parent:
 *     lathe_crash crash;
 *     if (lathe_crumbs_read(page, size, &crash)) puts(lathe_crash_text(&crash, buf, sizeof buf));
 */
#ifndef LATHE_PLUGIN_CRUMBS_H
#define LATHE_PLUGIN_CRUMBS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATHE_CRUMBS_BYTES ((size_t)256 << 10) /* of the page */

typedef struct lathe_crumbs lathe_crumbs;

/* Makes the page (of LATHE_CRUMBS_BYTES or more, 8-byte aligned, zeroed or used before) ready.
 * NULL: too small. The page is the only memory; there is nothing to free. */
lathe_crumbs *lathe_crumbs_attach(void *page, size_t size);

/* Handlers for SEGV, BUS, FPE, ILL, ABRT, SYS, TRAP, and the calling thread's signal stack. One
 * page a process. */
int32_t lathe_crumbs_catch_signals(lathe_crumbs *crumbs, lathe_error *err);
/* For lathe_pool_new_with and threads of one's own: slot and signal stack of the calling thread.
 * `crumbs` is a lathe_crumbs. */
void lathe_crumbs_thread_start(void *crumbs, int32_t worker);

/* A plugin's number in the page, for enter; -1 where the page is full. Takes a lock. */
int32_t lathe_crumbs_plugin(lathe_crumbs *crumbs, const char *id);
/* Notes that [begin, end) belongs to the file `path`. As a lathe_load_hook. */
void lathe_crumbs_loaded(void *crumbs, const char *path, uintptr_t begin, uintptr_t end);

/* What the thread does now. Nests: leave restores what was there. Some nanoseconds, no lock. */
typedef struct lathe_crumb {
    int32_t plugin;       /* from lathe_crumbs_plugin, or -1: the host itself */
    const char *function; /* a literal: "fit" */
    const char *step;     /* NULL: keep the outer one */
} lathe_crumb;

typedef struct lathe_crumb_saved {
    int32_t plugin;
    char function[24];
    char step[96];
    bool noted;
} lathe_crumb_saved;

/* crumbs NULL: nothing. */
void lathe_crumbs_enter(lathe_crumbs *crumbs, const lathe_crumb *crumb, lathe_crumb_saved *saved);
void lathe_crumbs_leave(lathe_crumbs *crumbs, const lathe_crumb_saved *saved);

/* What the parent learns. Texts are printable, cut and NUL-terminated whatever the page holds. */
typedef struct lathe_crash {
    int32_t signal;   /* 0: no handler ran (killed from outside, exit) */
    uint64_t pc;      /* program counter */
    uint64_t address; /* fault address */
    char plugin[128]; /* noted before the call: id, or "" */
    char function[24];
    char step[96];
    char file[512];    /* the plugin file that holds pc, or "" */
    char running[512]; /* where no handler ran: "id function step; …" of the busy slots */
} lathe_crash;

/* False: the page was never attached, or its header is destroyed. */
bool lathe_crumbs_read(const void *page, size_t size, lathe_crash *crash);
/* "lathe.learner.tree crashed in fit (segmentation fault at 0x…, in tree.so) while train/net".
 * Returns buf. */
const char *lathe_crash_text(const lathe_crash *crash, char *buf, size_t size);

#endif

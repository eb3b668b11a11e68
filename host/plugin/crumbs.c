#include "plugin/crumbs.h"

#include "plugin/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define MAGIC 0x4352554du /* "MURC" */
#define VERSION 1
#define MAX_SLOTS 256   /* threads */
#define MAX_PLUGINS 512 /* ids */
#define MAX_FILES 256
#define STACK_BYTES ((size_t)64 << 10)

typedef struct slot {
    int32_t plugin; /* number of an id, -1: none */
    int32_t depth;  /* calls that are open; 0: the slot is idle */
    char function[24];
    char step[96];
} slot;

typedef struct loaded_file {
    uint64_t begin, end;
    char path[360];
} loaded_file;

/* The page. Written by the worker's threads, each its own slot; ids and files under page_lock. */
struct lathe_crumbs {
    uint32_t magic, version;
    atomic_uint n_plugins, n_files;
    /* of the first fatal signal */
    atomic_int signal;
    int32_t slot;
    uint64_t pc, address;
    char plugins[MAX_PLUGINS][104];
    slot slots[MAX_SLOTS];
    loaded_file files[MAX_FILES];
};

_Static_assert(sizeof(struct lathe_crumbs) <= LATHE_CRUMBS_BYTES, "the page must fit");

static pthread_mutex_t page_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(lathe_crumbs *) active; /* the page of the signal handler */
static atomic_int next_slot;
static _Thread_local int thread_slot = -1; /* MAX_SLOTS and above: there was none left */

lathe_crumbs *lathe_crumbs_attach(void *page, size_t size) {
    if (page == NULL || size < sizeof(lathe_crumbs) || (uintptr_t)page % 8 != 0)
        return NULL;
    lathe_crumbs *c = page;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < MAX_SLOTS; i++)
        c->slots[i].plugin = -1;
    c->slot = -1;
    c->version = VERSION;
    c->magic = MAGIC;
    return c;
}

static int my_slot(void) {
    if (thread_slot < 0)
        thread_slot = atomic_fetch_add(&next_slot, 1);
    return thread_slot;
}

/* ---- fatal signals ---- */

static uint64_t program_counter(const void *context) {
#if defined(__x86_64__)
    return (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uint64_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* Async-signal-safe: writes the page and lets the default action end the process. */
static void on_fatal(int sig, siginfo_t *info, void *context) {
    lathe_crumbs *c = atomic_load(&active);
    int none = 0;
    if (c != NULL && atomic_compare_exchange_strong(&c->signal, &none, sig)) {
        c->slot = thread_slot;
        c->pc = program_counter(context);
        c->address = (uint64_t)(uintptr_t)info->si_addr;
    }
    raise(sig); /* the handler was reset on entry */
}

static pthread_key_t stack_key;
static pthread_once_t stack_once = PTHREAD_ONCE_INIT;

static void drop_stack(void *memory) {
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(memory, STACK_BYTES);
}

static void make_key(void) {
    if (pthread_key_create(&stack_key, drop_stack) != 0)
        abort();
}

/* A signal stack for this thread, unless it has one (a sanitizer's). */
static void give_stack(void) {
    stack_t old;
    if (sigaltstack(NULL, &old) != 0 || !(old.ss_flags & SS_DISABLE))
        return;
    pthread_once(&stack_once, make_key);
    void *memory =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    stack_t stack = {.ss_sp = memory, .ss_size = STACK_BYTES};
    if (sigaltstack(&stack, NULL) != 0 || pthread_setspecific(stack_key, memory) != 0)
        drop_stack(memory);
}

int32_t lathe_crumbs_catch_signals(lathe_crumbs *crumbs, lathe_error *err) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fatal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    atomic_store(&active, crumbs);
    lathe_crumbs_thread_start(crumbs, 0);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        if (sigaction(fatal[i], &action, NULL) != 0)
            return lathe_fail(err, LATHE_E_INTERNAL, NULL,
                              "the handler of signal %d could not be installed", fatal[i]);
    return LATHE_OK;
}

void lathe_crumbs_thread_start(void *crumbs, int32_t worker) {
    (void)worker;
    if (crumbs != NULL) {
        my_slot();
        give_stack();
    }
}

/* ---- notes ---- */

static void copy_text(char *to, size_t size, const char *from) {
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

int32_t lathe_crumbs_plugin(lathe_crumbs *c, const char *id) {
    int32_t number = -1;
    pthread_mutex_lock(&page_lock);
    uint32_t n = atomic_load(&c->n_plugins);
    for (uint32_t i = 0; i < n && number < 0; i++)
        if (strncmp(c->plugins[i], id, sizeof c->plugins[i] - 1) == 0)
            number = (int32_t)i;
    if (number < 0 && n < MAX_PLUGINS) {
        copy_text(c->plugins[n], sizeof c->plugins[n], id);
        number = (int32_t)n;
        atomic_store(&c->n_plugins, n + 1);
    }
    pthread_mutex_unlock(&page_lock);
    return number;
}

void lathe_crumbs_loaded(void *crumbs, const char *path, uintptr_t begin, uintptr_t end) {
    lathe_crumbs *c = crumbs;
    pthread_mutex_lock(&page_lock);
    uint32_t n = atomic_load(&c->n_files);
    if (n < MAX_FILES) {
        c->files[n].begin = begin;
        c->files[n].end = end;
        copy_text(c->files[n].path, sizeof c->files[n].path, path);
        atomic_store(&c->n_files, n + 1);
    }
    pthread_mutex_unlock(&page_lock);
}

void lathe_crumbs_enter(lathe_crumbs *c, const lathe_crumb *crumb, lathe_crumb_saved *saved) {
    saved->noted = false;
    int i = c != NULL ? my_slot() : MAX_SLOTS;
    if (i >= MAX_SLOTS)
        return;
    slot *s = &c->slots[i];
    saved->noted = true;
    saved->plugin = s->plugin;
    memcpy(saved->function, s->function, sizeof saved->function);
    memcpy(saved->step, s->step, sizeof saved->step);
    s->plugin = crumb->plugin;
    copy_text(s->function, sizeof s->function, crumb->function);
    if (crumb->step != NULL && crumb->step[0] != '\0')
        copy_text(s->step, sizeof s->step, crumb->step);
    s->depth++;
}

void lathe_crumbs_leave(lathe_crumbs *c, const lathe_crumb_saved *saved) {
    if (!saved->noted)
        return;
    slot *s = &c->slots[my_slot()];
    s->depth--;
    s->plugin = saved->plugin;
    memcpy(s->function, saved->function, sizeof s->function);
    memcpy(s->step, saved->step, sizeof s->step);
}

/* ---- the parent ---- */

static void name_plugin(const lathe_crumbs *c, int32_t plugin, char *out, size_t size) {
    if (plugin >= 0 && plugin < MAX_PLUGINS)
        lathe_text_clean(c->plugins[plugin], sizeof c->plugins[plugin], out, size);
    else
        out[0] = '\0';
}

static void take_slot(const lathe_crumbs *c, int32_t i, lathe_crash *crash) {
    if (i < 0 || i >= MAX_SLOTS)
        return;
    const slot *s = &c->slots[i];
    if (s->depth == 0)
        return;
    name_plugin(c, s->plugin, crash->plugin, sizeof crash->plugin);
    lathe_text_clean(s->function, sizeof s->function, crash->function, sizeof crash->function);
    lathe_text_clean(s->step, sizeof s->step, crash->step, sizeof crash->step);
}

/* Who was busy when the process went without a word. The first busy slot stands for all. */
static void take_running(const lathe_crumbs *c, lathe_crash *crash) {
    size_t len = 0;
    for (int32_t i = 0; i < MAX_SLOTS; i++) {
        if (c->slots[i].depth == 0)
            continue;
        lathe_crash one;
        memset(&one, 0, sizeof one);
        take_slot(c, i, &one);
        if (len == 0) {
            memcpy(crash->plugin, one.plugin, sizeof crash->plugin);
            memcpy(crash->function, one.function, sizeof crash->function);
            memcpy(crash->step, one.step, sizeof crash->step);
        }
        int n = snprintf(crash->running + len, sizeof crash->running - len, "%s%s %s %s",
                         len ? "; " : "", one.plugin, one.function, one.step);
        if (n < 0 || (size_t)n >= sizeof crash->running - len)
            return;
        len += (size_t)n;
    }
}

bool lathe_crumbs_read(const void *page, size_t size, lathe_crash *crash) {
    memset(crash, 0, sizeof *crash);
    if (page == NULL || size < sizeof(lathe_crumbs))
        return false;
    /* a copy: the page may change while it is read */
    lathe_crumbs *c = malloc(sizeof *c);
    if (c == NULL)
        return false;
    memcpy((void *)c, page, sizeof *c);
    bool good = c->magic == MAGIC && c->version == VERSION;
    if (good) {
        int sig = atomic_load(&c->signal);
        crash->signal = sig > 0 && sig < 65 ? sig : 0;
        if (crash->signal != 0) {
            crash->pc = c->pc;
            crash->address = c->address;
            take_slot(c, c->slot, crash);
            uint32_t n = atomic_load(&c->n_files);
            for (uint32_t i = 0; i < n && i < MAX_FILES; i++)
                if (c->pc >= c->files[i].begin && c->pc < c->files[i].end)
                    lathe_text_clean(c->files[i].path, sizeof c->files[i].path, crash->file,
                                     sizeof crash->file);
        } else {
            take_running(c, crash);
        }
    }
    free(c);
    return good;
}

static const char *signal_text(int32_t sig) {
    switch (sig) {
    case SIGSEGV:
        return "segmentation fault";
    case SIGBUS:
        return "bus error";
    case SIGFPE:
        return "arithmetic fault";
    case SIGILL:
        return "illegal instruction";
    case SIGABRT:
        return "abort";
    case SIGSYS:
        return "forbidden system call";
    case SIGTRAP:
        return "trap";
    default:
        return "signal";
    }
}

const char *lathe_crash_text(const lathe_crash *crash, char *buf, size_t size) {
    char who[200], what[700];
    if (crash->plugin[0] != '\0')
        snprintf(who, sizeof who, "plugin %s", crash->plugin);
    else
        snprintf(who, sizeof who, "%s", crash->file[0] ? "a plugin" : "the process");
    /* others give no address: they are sent, and say by whom */
    const bool at = crash->signal == SIGSEGV || crash->signal == SIGBUS ||
                    crash->signal == SIGFPE || crash->signal == SIGILL;
    char address[40] = "";
    if (at)
        snprintf(address, sizeof address, " at address 0x%llx", (unsigned long long)crash->address);
    if (crash->signal == 0)
        snprintf(what, sizeof what, "ended without a trace%s%s",
                 crash->running[0] ? "; busy were: " : "", crash->running);
    else
        snprintf(what, sizeof what, "crashed%s%s%s (%s%s%s%s)", crash->function[0] ? " in " : "",
                 crash->function, crash->function[0] ? "()" : "", signal_text(crash->signal),
                 address, crash->file[0] ? ", in the code of " : "", crash->file);
    snprintf(buf, size, "%s %s%s%s", who, what, crash->step[0] ? " during " : "", crash->step);
    return buf;
}

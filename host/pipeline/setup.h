/* pipeline/setup.h: what every worker process needs before it can call plugins. [worker] */
#ifndef LATHE_PIPELINE_SETUP_H
#define LATHE_PIPELINE_SETUP_H

#include "plugin/runtime.h"

typedef struct lathe_setup {
    lathe_crumbs *crumbs;
    lathe_catalogue *catalogue;
    lathe_pool *pool;
    lathe_runtime *runtime;
} lathe_setup;

typedef struct lathe_setup_options {
    const char *executable;   /* scans plugin files; NULL: this program */
    const char *plugin_cache; /* NULL: none */
    const char *folder;       /* of further plugins; NULL: none */
    int threads;              /* 0: the cores */
    const atomic_int *stop;
    void (*on_event)(void *user, const lathe_event *event);
    void *user;
} lathe_setup_options;

/* Breadcrumbs in the page that the parent shares on descriptor 4, and handlers of fatal signals; NULL where it gave
 * none. Once a process, before its threads. */
lathe_crumbs *lathe_setup_crumbs(void);

/* setup->crumbs is set before, or NULL. */
int32_t lathe_setup_open(lathe_setup *setup, const lathe_setup_options *options, lathe_error *err);
void lathe_setup_close(lathe_setup *setup);

#endif

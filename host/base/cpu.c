#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cpu_count;
static uint32_t cpu_level;
static pthread_once_t read_count = PTHREAD_ONCE_INIT;
static pthread_once_t read_level = PTHREAD_ONCE_INIT;

/* The first line of a small file; false: not there. */
static bool first_line(const char *path, char *line, size_t size) {
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool ok = fgets(line, (int)size, f) != NULL;
    fclose(f);
    return ok;
}

static int affinity_cores(void) {
    int cores = 0;
    for (int n = 1024; n <= 1 << 20 && cores == 0;
         n *= 4) { /* the kernel may know more than the set */
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (set == NULL)
            break;
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        CPU_ZERO_S(size, set);
        if (sched_getaffinity(0, size, set) == 0)
            cores = CPU_COUNT_S(size, set);
        CPU_FREE(set);
    }
    if (cores < 1)
        cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores;
}

/* This process's folder of a control group hierarchy: the line "0::/path" (version 2) or
 * "7:cpu,cpuacct:/path" (version 1) of /proc/self/cgroup. */
static bool group_path(const char *controller, char *path, size_t size) {
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (f == NULL)
        return false;
    char line[1024];
    bool found = false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':');
        char *at = names != NULL ? strchr(names + 1, ':') : NULL;
        if (at == NULL)
            continue;
        *at++ = '\0';
        names++;
        if (controller == NULL) {
            found = *names == '\0';
        } else {
            for (char *save, *name = strtok_r(names, ",", &save); name != NULL && !found;
                 name = strtok_r(NULL, ",", &save))
                found = strcmp(name, controller) == 0;
        }
        if (found)
            snprintf(path, size, "%s", strcmp(at, "/") == 0 ? "" : at);
    }
    fclose(f);
    return found;
}

/* Calls `lower` for the file in the process's own group and in each group above it, since any may limit. A
 * container that mounts its group as the root has it at the top. */
static void each_group(const char *mount, const char *controller, const char *file,
                       void (*lower)(const char *line, const char *folder, void *user),
                       void *user) {
    char group[512];
    if (!group_path(controller, group, sizeof group))
        return;
    for (;;) {
        char folder[640], path[768], line[128];
        snprintf(folder, sizeof folder, "%s%s", mount, group);
        snprintf(path, sizeof path, "%s/%s", folder, file);
        if (first_line(path, line, sizeof line))
            lower(line, folder, user);
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static void lower_count(double quota, double period, int *cores) {
    if (quota <= 0 || period <= 0)
        return;
    double share = quota / period;
    int whole = share >= 1e6 ? 1000000 : (int)share;
    if ((double)whole < share)
        whole++;
    if (whole < *cores)
        *cores = whole < 1 ? 1 : whole;
}

static void lower_by_v2(const char *line, const char *folder, void *cores) {
    (void)folder;
    double quota, period;
    if (sscanf(line, "%lf %lf", &quota, &period) == 2) /* "max 100000" gives no number */
        lower_count(quota, period, cores);
}

static void lower_by_v1(const char *line, const char *folder, void *cores) {
    char path[768], text[64];
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (first_line(path, text, sizeof text))
        lower_count(strtod(line, NULL), strtod(text, NULL), cores);
}

static void find_count(void) {
    cpu_count = affinity_cores();
    each_group("/sys/fs/cgroup", NULL, "cpu.max", lower_by_v2, &cpu_count);
    each_group("/sys/fs/cgroup/cpu", "cpu", "cpu.cfs_quota_us", lower_by_v1, &cpu_count);
}

int lathe_cpu_count(void) {
    pthread_once(&read_count, find_count);
    return cpu_count;
}

static void find_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init(); /* asks the operating system's part too (XGETBV) */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        cpu_level |= LATHE_CPU_AVX2_FMA;
    if ((cpu_level & LATHE_CPU_AVX2_FMA) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        cpu_level |= LATHE_CPU_AVX512;
#endif
    const char *wish = getenv("LATHE_CPU");
    if (wish != NULL && strcmp(wish, "baseline") == 0)
        cpu_level = 0;
    else if (wish != NULL && strcmp(wish, "avx2") == 0)
        cpu_level &= LATHE_CPU_AVX2_FMA;
}

uint32_t lathe_cpu_level(void) {
    pthread_once(&read_level, find_level);
    return cpu_level;
}

const char *lathe_cpu_level_name(uint32_t level) {
    return level & LATHE_CPU_AVX512 ? "avx512" : level & LATHE_CPU_AVX2_FMA ? "avx2" : "baseline";
}

void lathe_cpu_model(char *out, size_t size) {
    snprintf(out, size, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (f == NULL)
        return;
    char line[512];
    while (fgets(line, sizeof line, f) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(f);
}

static void lower_memory(const char *line, const char *folder, void *user) {
    (void)folder;
    int64_t *limit = user;
    char *end;
    long long v = strtoll(line, &end, 10); /* "max" gives no number */
    if (end != line && v > 0 && v < *limit)
        *limit = v;
}

int64_t lathe_memory_limit(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages < 1 || page < 1)
        return 0;
    int64_t limit = (int64_t)pages * page;
    each_group("/sys/fs/cgroup", NULL, "memory.max", lower_memory, &limit);
    each_group("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", lower_memory, &limit);
    return limit;
}

/* A field "VmRSS:   1234 kB" of /proc/self/status. */
static int64_t status_field(const char *name) {
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL)
        return 0;
    char line[256];
    long long kib = 0;
    size_t len = strlen(name);
    while (kib == 0 && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            kib = strtoll(line + len + 1, NULL, 10);
    }
    fclose(f);
    return (int64_t)kib * 1024;
}

int64_t lathe_memory_resident(void) {
    return status_field("VmRSS");
}

int64_t lathe_memory_peak(void) {
    return status_field("VmHWM");
}

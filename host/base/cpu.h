/* base/cpu.h: the processor this process may use. [any] */
#ifndef LATHE_BASE_CPU_H
#define LATHE_BASE_CPU_H

#include <lathe/abi.h>

#include <stddef.h>
#include <stdint.h>

/* Cores this process may run on: its affinity mask, lowered by a control group's CPU quota (rounded up).
 * At least 1. Read once. */
int lathe_cpu_count(void);

/* LATHE_CPU_AVX2_FMA | LATHE_CPU_AVX512 as processor and operating system both offer them; lowered by
 * LATHE_CPU=baseline|avx2|avx512 in the environment, for tests. Read once. */
uint32_t lathe_cpu_level(void);

/* "baseline", "avx2" or "avx512". */
const char *lathe_cpu_level_name(uint32_t level);

/* The processor's name as the system tells it, e.g. for a run's record; "unknown" where it cannot. */
void lathe_cpu_model(char *out, size_t size);

/* Bytes of memory this process may use: the machine's, lowered by a control group's limit. 0: unknown. */
int64_t lathe_memory_limit(void);

/* Resident memory of this process now, and its peak, in bytes; 0: unknown. */
int64_t lathe_memory_resident(void);
int64_t lathe_memory_peak(void);

#endif

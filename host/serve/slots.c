#include "serve/slots.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct lathe_slots {
    lathe_slot *page; /* [n_workers], shared */
    uint8_t *live;    /* behind it: [n_workers][AREAS][LATHE_SLOTS_MODELS][LATHE_SLOTS_LIVE] */
    int n_workers;
    lathe_recall_line *before; /* [n_before][LATHE_RECALL_LINES] */
    int n_before;
};

#define AREAS 2
#define LIVE_BYTES (AREAS * LATHE_SLOTS_MODELS * LATHE_SLOTS_LIVE) /* of a worker */
#define RECALL_BYTES                                                                               \
    (LATHE_RECALL_LINES * sizeof(lathe_recall_line)) /* likewise; behind all areas */

/* A multiple of LATHE_SLOTS_LIVE, so that what follows is aligned. */
static size_t page_bytes(int n_workers) {
    return ((size_t)n_workers * sizeof(lathe_slot) + LATHE_SLOTS_LIVE - 1) / LATHE_SLOTS_LIVE *
           LATHE_SLOTS_LIVE;
}

static size_t all_bytes(int n_workers) {
    return page_bytes(n_workers) + (size_t)n_workers * (LIVE_BYTES + RECALL_BYTES);
}

const double lathe_slots_bounds[LATHE_SLOTS_BUCKETS - 1] = {
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3,
    25e-3, 50e-3, 0.1,   0.25,   0.5,    1,      2.5,  5,      10};

static int32_t map_page(int fd, int n_workers, lathe_slots **out, lathe_error *err) {
    lathe_slots *slots = calloc(1, sizeof *slots);
    *out = NULL;
    if (slots == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for the counters");
    slots->n_workers = n_workers;
    slots->page =
        mmap(NULL, all_bytes(n_workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (slots->page == MAP_FAILED) {
        free(slots);
        return lathe_fail_errno(err, errno, NULL, "the counters cannot be mapped");
    }
    slots->live = (uint8_t *)slots->page + page_bytes(n_workers);
    *out = slots;
    return LATHE_OK;
}

int32_t lathe_slots_create(int n_workers, lathe_slots **slots, int *fd, lathe_error *err) {
    *slots = NULL;
    *fd = -1;
    if (n_workers < 1 || n_workers > LATHE_SLOTS_WORKERS)
        return lathe_fail(err, LATHE_E_INVALID, "workers", "%d workers; 1 to %d are possible",
                          n_workers, LATHE_SLOTS_WORKERS);
    *fd = memfd_create("lathe-slots", MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, (off_t)all_bytes(n_workers)) != 0) {
        const int32_t rc =
            lathe_fail_errno(err, errno, NULL, "no memory to share for the counters");
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return rc;
    }
    const int32_t rc = map_page(*fd, n_workers, slots, err);
    if (rc != LATHE_OK) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int32_t lathe_slots_attach(int fd, lathe_slots **slots, lathe_error *err) {
    struct stat st;
    *slots = NULL;
    if (fstat(fd, &st) != 0)
        return lathe_fail_errno(err, errno, NULL, "the counters' descriptor %d is not open", fd);
    const int64_t n =
        (int64_t)st.st_size / (int64_t)(LIVE_BYTES + RECALL_BYTES); /* the slots are far smaller */
    if (n < 1 || n > LATHE_SLOTS_WORKERS || st.st_size != (off_t)all_bytes((int)n))
        return lathe_fail(err, LATHE_E_VERSION, NULL,
                          "the counters have %lld bytes, which another version of the program made",
                          (long long)st.st_size);
    return map_page(fd, (int)n, slots, err);
}

void lathe_slots_close(lathe_slots *slots) {
    if (slots == NULL)
        return;
    munmap(slots->page, all_bytes(slots->n_workers));
    free(slots->before);
    free(slots);
}

int lathe_slots_count(const lathe_slots *slots) {
    return slots->n_workers;
}

lathe_slot *lathe_slots_at(lathe_slots *slots, int worker) {
    return worker >= 0 && worker < slots->n_workers ? &slots->page[worker] : NULL;
}

void *lathe_slots_live(lathe_slots *slots, int worker, int area, int model) {
    if (worker < 0 || worker >= slots->n_workers || area < 0 || area >= AREAS || model < 0 ||
        model >= LATHE_SLOTS_MODELS)
        return NULL;
    const size_t at = ((size_t)worker * AREAS + (size_t)area) * LATHE_SLOTS_MODELS + (size_t)model;
    return slots->live + at * LATHE_SLOTS_LIVE;
}

int lathe_slots_recalls(const lathe_slots *slots) {
    return slots->n_workers + slots->n_before;
}

lathe_recall_line *lathe_slots_recall(lathe_slots *slots, int table) {
    if (table < 0 || table >= lathe_slots_recalls(slots))
        return NULL;
    if (table >= slots->n_workers)
        return slots->before + (size_t)(table - slots->n_workers) * LATHE_RECALL_LINES;
    uint8_t *all = slots->live + (size_t)slots->n_workers * LIVE_BYTES;
    return (lathe_recall_line *)(void *)(all + (size_t)table * RECALL_BYTES);
}

int32_t lathe_slots_add_recalls(lathe_slots *slots, int n, lathe_error *err) {
    lathe_recall_line *before = slots->before == NULL ? calloc((size_t)n, RECALL_BYTES) : NULL;
    if (before == NULL)
        return lathe_fail(err, LATHE_E_MEMORY, NULL, "out of memory for %d tables of answers", n);
    slots->before = before;
    slots->n_before = n;
    return LATHE_OK;
}

void lathe_slot_latency(lathe_slot_model *model, uint64_t ns) {
    const double seconds = (double)ns * 1e-9;
    int b = 0;
    while (b < LATHE_SLOTS_BUCKETS - 1 && seconds > lathe_slots_bounds[b])
        b++;
    lathe_slot_add(&model->latency[b], 1);
}

/* Bucket b > 0 holds times from 2^((b - 1) / 4) µs up to 2^(b / 4) µs: by the exponent, then by two comparisons. */
void lathe_arm_latency(lathe_slot_arm *arm, uint64_t ns) {
    static const double quarter[3] = {1.189207115002721, 1.4142135623730951, 1.681792830507429};
    int exponent = 0;
    const double mantissa = frexp((double)ns * 1e-3, &exponent) * 2; /* [1, 2) × 2^(exponent - 1) */
    int b = 0;
    if (exponent >= 1) {
        b = 4 * (exponent - 1) + 1;
        b += mantissa >= quarter[1] ? 2 + (mantissa >= quarter[2]) : mantissa >= quarter[0];
    }
    b = b < LATHE_ARM_BUCKETS ? b : LATHE_ARM_BUCKETS - 1;
    lathe_slot_add(&arm->latency[b], 1);
}

double lathe_arm_bucket_seconds(int bucket) {
    return 1e-6 * exp2(bucket / 4.0);
}

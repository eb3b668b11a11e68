/* data/joint.c: see joint.h. */
#include "data/joint.h"

void lathe_joint_init(lathe_joint *joint, void *user) {
    pthread_mutex_init(&joint->lock, NULL);
    pthread_cond_init(&joint->finished, NULL);
    joint->n_phases = 0;
    joint->user = user;
    atomic_init(&joint->status, LATHE_OK);
    atomic_init(&joint->ready, false);
}

void lathe_joint_add(lathe_joint *joint, lathe_joint_fn fn, int64_t n) {
    lathe_joint_phase *p = &joint->phase[joint->n_phases++];
    p->fn = fn;
    p->n = n;
    atomic_init(&p->next, 0);
    atomic_init(&p->done, 0);
}

void lathe_joint_destroy(lathe_joint *joint) {
    pthread_cond_destroy(&joint->finished);
    pthread_mutex_destroy(&joint->lock);
}

/* Takes one item; false where none is left. */
static bool take_item(lathe_joint *joint, lathe_joint_phase *p) {
    int64_t item = atomic_fetch_add(&p->next, 1);
    if (item >= p->n)
        return false;
    if (atomic_load(&joint->status) == LATHE_OK) {
        int32_t code = p->fn(joint->user, item);
        if (code != LATHE_OK)
            atomic_store(&joint->status, code);
    }
    if (atomic_fetch_add(&p->done, 1) + 1 == p->n) {
        pthread_mutex_lock(&joint->lock);
        pthread_cond_broadcast(&joint->finished);
        pthread_mutex_unlock(&joint->lock);
    }
    return true;
}

typedef struct spread_job {
    lathe_joint *joint;
    lathe_joint_phase *phase;
} spread_job;

/* One item a chunk, whichever is next: others may have taken some. */
static int32_t spread_chunk(void *user, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    spread_job *job = user;
    for (int64_t i = begin; i < end && take_item(job->joint, job->phase); i++) {
    }
    return LATHE_OK;
}

int32_t lathe_joint_finish(lathe_joint *joint, lathe_pool *pool, bool starter) {
    if (atomic_load_explicit(&joint->ready, memory_order_acquire))
        return atomic_load(&joint->status);
    for (int i = 0; i < joint->n_phases; i++) {
        lathe_joint_phase *p = &joint->phase[i];
        if (starter && pool != NULL && p->n > 1) {
            spread_job job = {joint, p};
            lathe_pool_run(pool, p->n, 1, spread_chunk, &job);
        }
        while (take_item(joint, p)) {
        }
        if (atomic_load(&p->done) < p->n) {
            pthread_mutex_lock(&joint->lock);
            while (atomic_load(&p->done) < p->n)
                pthread_cond_wait(&joint->finished, &joint->lock);
            pthread_mutex_unlock(&joint->lock);
        }
    }
    atomic_store_explicit(&joint->ready, true, memory_order_release);
    return atomic_load(&joint->status);
}

/* SPDX-License-Identifier: MIT
 *
 * helper.c: the helper thread: makes slabs before they are needed, drains and stops the sources.
 * Must never wait for an application thread, nor take a signal that is meant for the program.
 */
#include "helper.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "pool.h"
#include "source.h"

static const struct vs_source_ops *const sources[] = {
#define X(name) &vs_source_##name,
    VS_SOURCE_LIST(X)
#undef X
};
enum { NSOURCES = sizeof sources / sizeof *sources };

static void wake(uint32_t *word)
{
    int saved = errno;
    __atomic_fetch_add(word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

void vs_helper_wake(void)
{
    wake(&vs_state->helper_wake);
}

static uint32_t look_at_once; /* atomic */
void vs_helper_look(void)
{
    __atomic_store_n(&look_at_once, 1, __ATOMIC_RELEASE);
    vs_helper_wake();
}

void vs_writer_wake(void)
{
    wake(&vs_state->writer_wake);
}

static void wait_for(uint32_t *word, uint32_t seen, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
}

/* Half of a small pool at most: what lies ready takes room in /dev/shm that a program in a container may be short of. */
static void keep_slabs_ready(struct vs_state *s)
{
    uint32_t want = s->max_chunks * VS_CHUNK_SLABS / 2;
    if (want > 2 * VS_POOL_LOW) want = 2 * VS_POOL_LOW;
    while (__atomic_load_n(&s->available, __ATOMIC_RELAXED) < want)
        if (vs_pool_grow(s)) break;
}

/* What one append costs here, for the report: the smallest of a few means, so that a preemption does not count. */
static void calibrate(struct vs_state *s)
{
    enum { ROUNDS = 8, APPENDS = 256 };
    uint64_t best = UINT64_MAX, i, j;
    for (i = 0; i < ROUNDS; i++) {
        uint64_t t0 = vs_now(), each;
        for (j = 0; j < APPENDS; j++) {
            struct vs_rec_free *r = vs_log_begin(VS_K_FREE, sizeof *r);
            if (!r)
                return;
            r->ts_ns = vs_now();
            vs_log_cancel(r);
        }
        each = (vs_now() - t0) / APPENDS;
        if (each < best)
            best = each;
    }
    for (i = 0; i < VS_NSOURCES; i++)
        s->control->calibrated_ns[i] = best + 5; /* + the lifetime number, which must not be taken in vain */
}

/* Something to do every so often. */
struct period {
    uint64_t every_ns, next_ns; /* 0: never */
};

static bool due(struct period *p, uint64_t now)
{
    if (!p->every_ns || now < p->next_ns)
        return false;
    p->next_ns = now + p->every_ns;
    return true;
}

static void serve(struct vs_state *s, uint32_t epoch)
{
    struct period flush = {(uint64_t)vs_config()->flush_ms * 1000000u, 0};
    struct period look = {(uint64_t)vs_config()->sample_ms * 1000000u, 0};
    uint32_t i;

    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE) && vs_log_epoch() == epoch) {
        uint32_t seen = __atomic_load_n(&s->helper_wake, __ATOMIC_ACQUIRE);
        uint64_t now = vs_now(), next;
        keep_slabs_ready(s);
        if ((__atomic_exchange_n(&look_at_once, 0, __ATOMIC_ACQUIRE) && look.every_ns) || due(&look, now))
            for (i = 0; i < NSOURCES; i++)
                if (sources[i]->sample)
                    sources[i]->sample();
        if (due(&flush, now)) {
            __atomic_store_n(&s->control->heartbeat_ns, now, __ATOMIC_RELAXED);
            for (i = 0; i < NSOURCES; i++)
                if (sources[i]->drain)
                    sources[i]->drain();
        }
        next = look.every_ns && look.next_ns < flush.next_ns ? look.next_ns : flush.next_ns;
        now = vs_now();
        if (now < next)
            wait_for(&s->helper_wake, seen, next - now);
    }
}

static void *helper_main(void *arg)
{
    struct vs_state *s = arg;
    uint32_t epoch = vs_log_epoch(), i;

    prctl(PR_SET_NAME, "vramscope", 0, 0, 0);
    vs_marks()->own++; /* calls into CUDA, CUPTI and NVML from here are ours */
    keep_slabs_ready(s);
    for (i = 0; i < NSOURCES; i++)
        if (sources[i]->start)
            sources[i]->start();
    calibrate(s);
    serve(s, epoch);
    for (i = NSOURCES; i-- > 0 && vs_log_epoch() == epoch;)
        if (sources[i]->stop)
            sources[i]->stop();
    __atomic_store_n(&s->helper_done, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &s->helper_done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return NULL;
}

static int start_thread(void *(*body)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int err;

    if ((err = pthread_attr_init(&attr)))
        return -err;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 512 * 1024); /* NVML and CUPTI run on it; the library's static TLS lies on it too */
    sigfillset(&all); /* the program's signals are for its own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&thread, &attr, body, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}

int vs_helper_start(void)
{
    int err = start_thread(vs_writer_main, vs_state);
    return err ? err : start_thread(helper_main, vs_state);
}

static bool wait_done(uint32_t *word, uint64_t deadline)
{
    while (!__atomic_load_n(word, __ATOMIC_ACQUIRE)) {
        uint64_t now = vs_now();
        if (now >= deadline)
            return false;
        wait_for(word, 0, deadline - now);
    }
    return true;
}

bool vs_helper_stop(enum vs_stop what, unsigned milliseconds)
{
    struct vs_state *s = vs_state;
    uint64_t deadline = vs_now() + (uint64_t)milliseconds * 1000000u;
    uint32_t now = __atomic_load_n(&s->stop, __ATOMIC_RELAXED);

    if (now < what)
        __atomic_store_n(&s->stop, what, __ATOMIC_RELEASE);
    vs_helper_wake();
    if (!wait_done(&s->helper_done, deadline))
        return false;
    if (what < VS_STOP_ALL)
        return true;
    vs_writer_wake();
    return wait_done(&s->writer_done, deadline);
}

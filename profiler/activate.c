/* SPDX-License-Identifier: MIT
 *
 * activate.c: makes a process active at its first event, and ends the recording when the process ends in order.
 * Must never fail the program: without storage or threads the process is simply not recorded, and that is said once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "activate.h"
#include "config.h"
#include "helper.h"
#include "log.h"
#include "pool.h"
#include "rank.h"
#include "say.h"
#include "source.h"

struct vs_state *vs_state;

static const struct vs_source_ops *const sources[] = {
#define X(name) &vs_source_##name,
    VS_SOURCE_LIST(X)
#undef X
};

void vs_phase_set(struct vs_state *s, enum vs_phase phase)
{
    if (phase == VS_PHASE_RUNNING) {
        uint32_t epoch = (uint32_t)vs_now() | 1u;
        __atomic_store_n(&s->epoch, epoch, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&s->epoch, 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&s->phase, phase, __ATOMIC_RELEASE);
}

bool vs_log_wanted(void)
{
    struct vs_state *s = vs_state;
    uint32_t phase = s ? __atomic_load_n(&s->phase, __ATOMIC_RELAXED) : VS_PHASE_STOPPED;
    if (phase != VS_PHASE_INACTIVE)
        return phase != VS_PHASE_STOPPED;
    if (vs_rank_wanted())
        return true;
    /* Asked once: a rank that is not wanted must not read its environment at every call. */
    __atomic_compare_exchange_n(&s->phase, &phase, VS_PHASE_STOPPED, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return false;
}

/* Another thread is at it: it needs well under a millisecond. The thread that is itself starting (an event raised by
 * what it calls) does not wait for itself. */
static bool wait_for_start(struct vs_state *s)
{
    const struct timespec moment = {0, 50000};
    int i;
    if (__atomic_load_n(&s->starter_tid, __ATOMIC_RELAXED) == (uint32_t)syscall(SYS_gettid)) {
        vs_log_lost(VS_SRC_PROCESS, VS_LOST_STARTING, 1);
        return false;
    }
    for (i = 0; i < 4000; i++) {
        uint32_t phase = __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE);
        if (phase == VS_PHASE_RUNNING)
            return true;
        if (phase == VS_PHASE_STOPPED)
            return false;
        nanosleep(&moment, NULL);
    }
    vs_log_lost(VS_SRC_PROCESS, VS_LOST_STARTING, 1);
    return false;
}

void vs_note_exit_status(int status)
{
    if (!vs_log_active())
        return;
    vs_state->exit_status = status & 0xff; /* what a parent is told */
    vs_state->has_exit_status = 1;
}

static void at_exit(int status, void *unused)
{
    (void)unused;
    vs_note_exit_status(status);
}

static void start(struct vs_state *s)
{
    int err;
    size_t i;

    if (!vs_rank_wanted()) {
        vs_phase_set(s, VS_PHASE_STOPPED);
        return;
    }
    err = vs_pool_create(s);
    if (err) {
        vs_say(VS_SAY_WARN, "not recording: no storage for live records: %s", strerror(-err));
        vs_phase_set(s, VS_PHASE_STOPPED);
        return;
    }
    for (i = 0; i < sizeof sources / sizeof *sources; i++)
        if (sources[i]->fork_child)
            sources[i]->fork_child(); /* statics may hold an ancestor's state; in a first process this is a no-op */
    vs_log_started(s->control);
    vs_phase_set(s, VS_PHASE_RUNNING);
    on_exit(at_exit, NULL);
    err = vs_helper_start();
    if (err) {
        vs_say(VS_SAY_WARN, "not recording: cannot start a thread: %s", strerror(-err));
        vs_phase_set(s, VS_PHASE_STOPPED);
        vs_pool_unlink(s);
    }
}

bool vs_activate(void)
{
    struct vs_state *s = vs_state;
    uint32_t expected = VS_PHASE_INACTIVE;
    int saved = errno;

    if (__atomic_compare_exchange_n(&s->phase, &expected, VS_PHASE_STARTING, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&s->starter_tid, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELAXED);
        start(s);
    } else if (expected == VS_PHASE_STARTING) {
        wait_for_start(s);
    }
    errno = saved;
    return __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE) == VS_PHASE_RUNNING;
}

/* Where the kernel cannot wipe the page (before 4.14, some sandboxes) at least libc's fork is noticed. */
static void fork_child(void)
{
    memset(vs_state, 0, sizeof *vs_state);
}

void vs_activate_constructed(void)
{
    size_t bytes = (sizeof *vs_state + 4095) & ~(size_t)4095;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return; /* vs_state stays NULL: nothing is ever recorded */
    if (madvise(at, bytes, MADV_WIPEONFORK))
        pthread_atfork(NULL, NULL, fork_child);
    vs_state = at;
}

/* Sources first (CUPTI needs a driver that still works), the rest when the library goes. */
void vs_activate_stop_sources(void)
{
    if (vs_log_active() && !vs_helper_stop(VS_STOP_SOURCES, 3000))
        vs_log_lost(VS_SRC_GPU, VS_LOST_UNDELIVERED, 1);
}

void vs_activate_end(void)
{
    if (vs_log_active() && !vs_helper_stop(VS_STOP_ALL, 10000))
        vs_say(VS_SAY_WARN, "the log could not be completed in 10 s; what is missing in %s is in %s",
               vs_state->control->folder, vs_state->control->memory);
}

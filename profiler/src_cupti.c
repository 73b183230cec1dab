/* SPDX-License-Identifier: MIT
 *
 * src_cupti.c: whose turn it is in CUPTI: ours, or that of a profiler the program runs itself. Must never make the program
 * wait for more than one flush, nor touch CUPTI while it is another's turn.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "src_cupti.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "cupti.h"
#include "cupti_names.h"
#include "cupti_pool.h"
#include "log.h"
#include "say.h"
#include "source.h"

enum {
    POOL_READY = 16, /* buffers kept free: 70 000 kernels between drains; first made in cuInit: 5 of its 100 ms */
    WAIT_FOR_US_MS = 500, /* longest a foreign call waits for our helper's flush */
    LAST_FLUSH_MS = 2000
};

static uint32_t turn = VS_TURN_OFF; /* enum vs_cupti_turn, atomic */
static uint32_t helper_busy;        /* the helper is inside CUPTI; atomic */
static const struct vs_cupti_functions *cupti;
static char gap_holder[64]; /* of the open gap; written by the owner of the turn, before it becomes ASIDE */
static bool gap_open;
static uint64_t unseen_since; /* it came past our wrappers: vs_deliver_count then; 0: no such holder */

static const char *const turn_names[] = {"off", "attaching", "on", "leaving", "aside", "stopping", "ended", "none"};

enum vs_cupti_turn vs_cupti_turn_now(void)
{
    return (enum vs_cupti_turn)__atomic_load_n(&turn, __ATOMIC_ACQUIRE);
}

/* The only place where the turn changes. False: it was not `from` any more. */
static bool turn_moves(enum vs_cupti_turn from, enum vs_cupti_turn to)
{
    uint32_t expected = from;
    if (!__atomic_compare_exchange_n(&turn, &expected, to, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
        return false;
    vs_say(VS_SAY_DEBUG, "cupti: %s -> %s", turn_names[from], turn_names[to]);
    return true;
}

bool vs_cupti_planned(void)
{
    const struct vs_config *c = vs_config();
    return c->cupti != VS_CUPTI_OFF && (c->trace >= VS_TRACE_KERNELS || c->cupti == VS_CUPTI_ON) && vs_log_wanted();
}

static uint32_t pool_limit(void)
{
    return (uint32_t)(((uint64_t)vs_config()->host_buffer_mb << 20) / VS_CUPTI_BUFFER_BYTES);
}

static void nap(void)
{
    struct timespec ms = {0, 1000000};
    nanosleep(&ms, NULL);
}

/* ---- gaps ---- */

static void record_gap(bool begins)
{
    size_t n = strlen(gap_holder);
    struct vs_rec_gap *r = vs_log_begin(VS_K_GAP, sizeof *r + n);

    gap_open = begins;
    if (begins)
        vs_log_lost(VS_SRC_GPU, VS_LOST_GAP, 1);
    if (!r)
        return;
    r->ts_ns = vs_now();
    r->source = VS_SRC_GPU;
    r->holder_bytes = (uint32_t)n;
    memcpy(r->holder, gap_holder, n);
    vs_rec_set(r, begins, -1);
    vs_log_commit(r);
}

static void gap_begins(const char *holder)
{
    if (gap_open)
        return;
    snprintf(gap_holder, sizeof gap_holder, "%s", holder && holder[0] ? holder : "another tool");
    record_gap(true);
}

static void holder_of(const void *caller, char name[64])
{
    Dl_info info;
    const char *slash;
    snprintf(name, 64, "another tool");
    if (!caller || !dladdr(caller, &info) || !info.dli_fname)
        return;
    slash = strrchr(info.dli_fname, '/');
    snprintf(name, 64, "%.63s", slash ? slash + 1 : info.dli_fname);
}

/* ---- attach ---- */

/* The caller owns the turn ATTACHING. */
static void attach(enum vs_cupti_turn otherwise)
{
    char holder[64];
    uint32_t err = vs_session_begin(cupti, holder);

    if (!err) {
        if (gap_open)
            record_gap(false);
        turn_moves(VS_TURN_ATTACHING, VS_TURN_ON);
        return;
    }
    if (err == VS_CUPTI_MULTIPLE_SUBSCRIBERS) {
        gap_begins(holder);
        vs_say_once(VS_SAY_WARN, "CUPTI is held by %s: kernels and copies are not recorded", gap_holder);
    } else {
        vs_say_once(VS_SAY_WARN, "CUPTI cannot be used here (error %u): kernels and copies are not recorded", err);
        vs_log_lost(VS_SRC_GPU, VS_LOST_GAP, !gap_open);
    }
    turn_moves(VS_TURN_ATTACHING, otherwise);
}

static void attach_first(void)
{
    const char *tool = vs_cupti_foreign_tool();
    char text[16];
    uint32_t version = 0;

    if (tool) {
        vs_say_once(VS_SAY_WARN, "%s is at work: kernels and copies are left to it", tool);
        gap_begins(tool);
        turn_moves(VS_TURN_OFF, VS_TURN_NONE);
        return;
    }
    cupti = vs_cupti_open(&version);
    if (!cupti) {
        vs_log_lost(VS_SRC_GPU, VS_LOST_GAP, 1);
        turn_moves(VS_TURN_OFF, VS_TURN_NONE);
        return;
    }
    snprintf(text, sizeof text, "%u", version);
    vs_log_meta("cupti_version", text);
    vs_cupti_pool_grow(POOL_READY, pool_limit());
    if (vs_foreign_present(vs_now())) { /* it began before the driver was there */
        gap_begins(NULL);
        turn_moves(VS_TURN_OFF, VS_TURN_ASIDE);
    } else if (turn_moves(VS_TURN_OFF, VS_TURN_ATTACHING)) {
        attach(VS_TURN_NONE);
    }
}

void vs_cupti_attach_early(void)
{
    int saved = errno;
    if (vs_cupti_planned() && vs_cupti_turn_now() == VS_TURN_OFF) {
        vs_marks()->own++;
        attach_first();
        vs_marks()->own--;
    }
    errno = saved;
}

/* ---- another user's turn ---- */

void vs_cupti_step_aside(const void *caller)
{
    int saved = errno, waited;
    char holder[64];

    for (waited = 0; waited < WAIT_FOR_US_MS; waited++) {
        enum vs_cupti_turn now = vs_cupti_turn_now();
        if (now != VS_TURN_ON && now != VS_TURN_ATTACHING && now != VS_TURN_LEAVING)
            break;
        if (now == VS_TURN_ON && turn_moves(VS_TURN_ON, VS_TURN_LEAVING)) {
            /* The helper looks at the turn after it raises its flag: once it is down, it stays out. */
            for (; __atomic_load_n(&helper_busy, __ATOMIC_SEQ_CST) && waited < WAIT_FOR_US_MS; waited++)
                nap();
            vs_marks()->own++;
            vs_session_end(true);
            vs_marks()->own--;
            holder_of(caller, holder);
            gap_begins(holder);
            vs_say(VS_SAY_INFO, "%s uses CUPTI now: kernels and copies are not recorded until it is done", gap_holder);
            turn_moves(VS_TURN_LEAVING, VS_TURN_ASIDE);
            break;
        }
        nap();
    }
    errno = saved;
}

static void come_back(void)
{
    if (unseen_since && unseen_since == vs_deliver_count())
        return;
    if (vs_foreign_present(vs_now()) || !turn_moves(VS_TURN_ASIDE, VS_TURN_ATTACHING))
        return;
    unseen_since = 0; /* CUPTI asked us for a buffer: it is ours after all */
    attach(VS_TURN_ASIDE); /* still held: the next drain tries again */
}

/* ---- the source ---- */

/* If CUPTI was finalised, it is free and we return with the next drain; if only our callbacks were replaced, that tool is
 * recording, and taking CUPTI back would break it. */
static void detached_unseen(enum vs_session_fate why)
{
    if (!turn_moves(VS_TURN_ON, VS_TURN_LEAVING))
        return;
    vs_say_once(VS_SAY_WARN, "another tool took CUPTI past the recorder: kernels and copies are missing from here on");
    vs_session_abandon(why);
    gap_begins(NULL);
    unseen_since = why == VS_SESSION_REPLACED ? vs_deliver_count() : 0;
    turn_moves(VS_TURN_LEAVING, VS_TURN_ASIDE);
}

static void drain(void)
{
    enum vs_session_fate fate;

    __atomic_store_n(&helper_busy, 1, __ATOMIC_SEQ_CST);
    if (vs_cupti_turn_now() == VS_TURN_ON) {
        uint64_t before = vs_now();
        vs_cupti_pool_grow(POOL_READY, pool_limit());
        vs_session_check_clock();
        cupti->flush(0);
        vs_session_count_dropped();
        /* Nothing outstanding: all that ended before the flush is here. Else no more is known than what came. */
        vs_log_set_delivered(vs_cupti_pool_out() ? vs_deliver_last_ns() : before);
        fate = vs_session_keep();
        if (fate != VS_SESSION_OURS)
            detached_unseen(fate);
    } else if (vs_cupti_turn_now() == VS_TURN_ASIDE) {
        come_back();
    }
    __atomic_store_n(&helper_busy, 0, __ATOMIC_SEQ_CST);
}

static uint32_t last_flush_done;

static void *last_flush(void *unused)
{
    (void)unused;
    vs_marks()->own++;
    vs_session_end(false);
    __atomic_store_n(&last_flush_done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The flush waits for CUPTI's own thread, which has been seen to hang at exit: so it runs apart, with a deadline. */
static void stop(void)
{
    uint64_t before = vs_now();
    pthread_t thread;
    int waited;

    if (turn_moves(VS_TURN_ASIDE, VS_TURN_ENDED) || !turn_moves(VS_TURN_ON, VS_TURN_STOPPING))
        return;
    if (!pthread_create(&thread, NULL, last_flush, NULL)) {
        pthread_detach(thread);
        for (waited = 0; waited < LAST_FLUSH_MS && !__atomic_load_n(&last_flush_done, __ATOMIC_ACQUIRE); waited++)
            nap();
    }
    if (__atomic_load_n(&last_flush_done, __ATOMIC_ACQUIRE)) {
        vs_log_set_delivered(before);
    } else {
        vs_log_lost(VS_SRC_GPU, VS_LOST_UNDELIVERED, 1);
        vs_say_once(VS_SAY_WARN, "CUPTI did not flush within %d ms: the last kernels and copies are missing", LAST_FLUSH_MS);
    }
    turn_moves(VS_TURN_STOPPING, VS_TURN_ENDED);
}

/* CUPTI's threads and the driver are not in the child. If the parent had attached, the child stays out; otherwise it may
 * start CUDA itself. */
static void fork_child(void)
{
    uint32_t now = __atomic_load_n(&turn, __ATOMIC_RELAXED);
    __atomic_store_n(&turn, now == VS_TURN_OFF ? VS_TURN_OFF : VS_TURN_NONE, __ATOMIC_RELAXED);
    helper_busy = last_flush_done = 0;
    gap_open = false;
    unseen_since = 0;
    vs_session_forget();
    vs_cupti_pool_forget();
    vs_cupti_names_forget();
}

const struct vs_source_ops vs_source_cupti = {.name = "cupti", .drain = drain, .stop = stop, .fork_child = fork_child};

/* SPDX-License-Identifier: MIT
 *
 * src_cupti.h: how the parts of the CUPTI source see each other.
 *     src_cupti.c      whose turn it is: the state, attach, step aside, come back, end
 *     cupti_session.c  what is put into CUPTI and taken out again: subscription, attributes, callbacks, kinds
 *     cupti_deliver.c  buffers and records: to us or to the foreign user they belong to
 *     cupti_foreign.c  what other users have in CUPTI (bookkeeping)
 *     cupti_exports.c  the wrappers through which other users are seen
 *
 * The program's own profiler wins. CUPTI has one subscription and one pair of buffer callbacks per process; both always
 * point to our functions, which hand on what is not ours. So no buffer of one user ever reaches the other.
 */
#ifndef VS_PROFILER_SRC_CUPTI_H
#define VS_PROFILER_SRC_CUPTI_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti_api.h"

enum vs_cupti_turn {
    VS_TURN_OFF,       /* nothing of ours is in CUPTI, and nothing ever was */
    VS_TURN_ATTACHING, /* one of our threads is putting our things in */
    VS_TURN_ON,        /* records are delivered to us */
    VS_TURN_LEAVING,   /* another user's thread is taking our things out, on its way to its own call */
    VS_TURN_ASIDE,     /* another user has CUPTI; the helper waits for it to leave */
    VS_TURN_STOPPING,  /* the program ends: the last flush */
    VS_TURN_ENDED,     /* flushed; final */
    VS_TURN_NONE       /* CUPTI cannot be used in this process; final */
};

/* ---- src_cupti.c ---- */
enum vs_cupti_turn vs_cupti_turn_now(void);
/* Is CUPTI to be used in this process at all? False: the wrappers pass everything on untouched. */
bool vs_cupti_planned(void);
/* Before a foreign call that needs CUPTI for itself: takes our things out. `caller`: return address of that call. */
void vs_cupti_step_aside(const void *caller);

/* ---- cupti_session.c: called by whoever owns the state (ATTACHING, LEAVING, STOPPING, or the helper's drain) ---- */
/* 0 or CUPTI's error; then nothing is left behind. `holder`: who has the subscription, "" if CUPTI does not tell. */
uint32_t vs_session_begin(const struct vs_cupti_functions *f, char holder[64]);
void vs_session_end(bool for_foreign);
enum vs_session_fate {
    VS_SESSION_OURS,
    VS_SESSION_FINALISED, /* somebody called cuptiFinalize past our wrapper: nothing of ours is left in CUPTI */
    VS_SESSION_REPLACED   /* somebody put its own buffer callbacks in place of ours, past our wrapper */
};
enum vs_session_fate vs_session_keep(void); /* with each drain */
void vs_session_count_dropped(void);
void vs_session_check_clock(void);
/* Without touching CUPTI's buffers and kinds: they are another's, or gone. */
void vs_session_abandon(enum vs_session_fate why);
void vs_session_forget(void); /* in a forked child */

/* ---- cupti_deliver.c ---- */
void vs_deliver_use(const struct vs_cupti_functions *f);
void vs_deliver_request(uint8_t **buffer, size_t *size, size_t *max_records);
void vs_deliver_complete(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid);
void vs_deliver_callback(void *userdata, uint32_t domain, uint32_t cbid, const void *data);
void vs_deliver_clock(bool lost); /* is CUPTI's clock not ours? */
bool vs_deliver_launch_cbid(uint32_t cbid);
uint64_t vs_deliver_count(void);    /* buffers asked for and returned, so far */
uint64_t vs_deliver_last_ns(void);  /* latest end of a delivered GPU activity */
bool vs_deliver_launched(void);     /* has anything been launched since the last call? */

/* ---- cupti_foreign.c ---- */
struct vs_foreign_callbacks {
    vs_cupti_request_fn request;
    vs_cupti_complete_fn complete;
};
vs_cupti_subscriber vs_foreign_subscriber(void);
struct vs_foreign_callbacks vs_foreign_buffers(void);
vs_cupti_clock_fn vs_foreign_clock(void); /* NULL: none */
/* Does it record now, or may it at any moment? */
bool vs_foreign_present(uint64_t now_ns);
bool vs_foreign_wants(uint32_t domain, uint32_t cbid);
void vs_foreign_forward(uint32_t domain, uint32_t cbid, const void *data);
void vs_foreign_buffer_out(int change);
uint32_t vs_foreign_buffers_out(void);

#endif

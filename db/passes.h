/* SPDX-License-Identifier: MIT
 *
 * passes.h: the training steps of a process, found in the order of its allocations. A pass is everything from the end of
 * one backward to the end of the next:
 *
 *      begin             forward        backward      end = begin of the next
 *        | the optimizer, |  forward     |  backward   |
 *        | inputs         |              |             |
 *
 * Backward runs on autograd's own threads (pt_autograd_N), or inside an NVTX range of that name. Forward begins at the
 * first piece that autograd later frees, or at an NVTX range. Both are known at the end of the backward only: until then
 * pieces that were freed wait here, unsettled. Then each gets its category, joins what was live at peaks and moments,
 * and goes.
 *
 * Ownership: vs_passes_free. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_PASSES_H
#define VS_DB_PASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "composition.h"
#include "id_map.h"
#include "series.h"
#include "sizes.h"

#include "live.h"

struct vs_process;
struct vs_range;

/* Who allocated or freed. */
enum vs_by {
    VS_BY_MAIN, /* the thread that allocates most, autograd's aside */
    VS_BY_AUTOGRAD,
    VS_BY_OTHER
};

struct vs_pass {
    int64_t begin, forward, backward, end; /* forward: 0 when nothing of it was saved */
    int64_t barrier;       /* forward cannot have begun before: what was made up to here stays; 0: not known */
    int64_t stepped;       /* last thing memory shows of the optimizer; 0: nothing */
    uint64_t gradients_freed; /* bytes, between begin and backward */
    uint64_t allocations;  /* by the main thread from begin to forward */
    bool made_state;       /* optimizer state was allocated */
};

struct vs_phase_row {
    uint8_t kind; /* enum vs_phase */
    bool named;   /* by an NVTX range */
    uint32_t pass;
    int64_t begin, end;
};
struct vs_phase_moment { /* of a device in a phase: indices of moments */
    uint32_t phase;
    int8_t device;
    uint32_t peak, end;
};

#define VS_PHASES(X) X(INIT, "init") X(OPTIMIZER, "optimizer") X(FORWARD, "forward") X(BACKWARD, "backward")
enum vs_phase {
#define X(id, name) VS_PH_##id,
    VS_PHASES(X)
#undef X
        VS_NPHASES
};
extern const char *const vs_phase_names[VS_NPHASES];

struct vs_live_event {
    int64_t ts, live;
    int8_t device;
};
struct vs_failed { /* the last allocation of a device that failed */
    int64_t ts;
    uint32_t pass;
    struct vs_groups groups;
};

struct vs_passes {
    /* finding */
    bool backward;      /* one is under way */
    bool returned;      /* the main thread has gone on: it is over unless autograd allocates before the main thread does */
    uint32_t main_thread;
    uint32_t by_thread; /* what `by` is of; 0: not known any more */
    uint8_t by;
    struct {
        uint32_t thread;
        uint64_t allocations;
    } counts[16];
    int64_t last_autograd;     /* last event of autograd */
    int64_t first_saved;       /* of this pass: allocated by others than autograd, freed by it */
    int64_t last_allocation;   /* of the process */
    int64_t last_state;        /* of the pass under way, when nothing more comes: last allocation of optimizer state */
    uint32_t named_backward_thread; /* has an NVTX range "backward" open */
    uint32_t named_depth;
    int64_t named_forward;     /* begin of an NVTX range "forward" in this pass */

    /* found */
    struct vs_pass *pass; /* count finished ones, and the one under way */
    size_t count, room;
    struct vs_sizes parameters, gradients;
    uint64_t parameter_bytes;
    uint64_t gradient_bytes; /* left by the last backward they were looked for in */
    uint64_t first_left;     /* by the first one */
    int64_t last_matched; /* id of the last parameter-like piece with a gradient of its size; 0: most have none */
    size_t after_matched; /* pieces like parameters after it */
    int64_t *allocated_at; /* moments of the main thread's allocations in this pass */
    size_t nallocated, allocated_room;
    int64_t settled_at; /* no backward: where the program begins to work with what it has loaded; 0: not known */
    bool labels;        /* a library has said which memory is its workspace */

    /* waiting */
    struct vs_piece *first, *last; /* freed, not settled: in the order of their frees, by next */
    size_t waiting;
    struct vs_live_event *events; /* of this pass, level sub */
    size_t nevents, events_room;
    int64_t cut_ts; /* up to here pieces were settled before the pass had ended: no other moments than there are */

    /* what it was */
    struct vs_composition *of[VS_NDEVICES]; /* by device + 1 */
    struct vs_failed *failed[VS_NDEVICES];
    struct vs_phase_row *phases;
    size_t nphases, phases_room;
    struct vs_phase_moment *moments;
    size_t nmoments, moments_room;
    size_t unplaced;       /* phases from here on have no moments yet */
    size_t phases_written; /* rows written with all that was known of them */
    uint8_t counted_by;    /* enum vs_counting of those */
    uint8_t named;         /* phases that ranges name, 1 << enum vs_phase */
    struct vs_id_map phase_names; /* string row -> what it names */
};

/* From live.c, for pieces in the totals of level sub: before it changes, and after. */
void vs_passes_before(struct vs_process *p, struct vs_piece *x, bool frees, int64_t ts);
void vs_passes_after(struct vs_process *p, const struct vs_piece *x, int64_t ts);
/* Takes a freed piece until vs_live_settle is called for it. */
void vs_passes_wait(struct vs_process *p, struct vs_piece *x);
void vs_passes_settled(struct vs_process *p, const struct vs_piece *x);         /* joins the moments it was live at */
int64_t vs_passes_forward(const struct vs_passes *s); /* where forward begins in the pass under way; 0: not seen */
void vs_passes_range(struct vs_process *p, const struct vs_range *r, bool begins);
void vs_passes_failure(struct vs_process *p, int device, int64_t ts);
void vs_passes_finish(struct vs_process *p); /* nothing more comes */
void vs_passes_free(struct vs_process *p);

/* The pass a moment belongs to: how many backwards had ended. */
static inline uint32_t vs_passes_now(const struct vs_passes *s)
{
    return (uint32_t)s->count + (s->backward && s->returned);
}
enum vs_by vs_passes_by(struct vs_process *p); /* the thread of the record being applied */
void vs_passes_end(struct vs_process *p, int64_t end); /* the backward under way ended then */
int vs_passes_grow(void *array, size_t *room, size_t count, size_t each); /* one more at the end of *array; -ENOMEM */

/* It was live when an allocation failed, and what has gone since went as the program gave up: nothing was allocated. */
static inline bool vs_passes_live_at_failure(const struct vs_passes *s, const struct vs_piece *x)
{
    const struct vs_failed *f = s->failed[x->device + 1];
    return f && x->level_ts <= f->ts && (!x->free_ts || (x->free_ts > s->last_allocation && x->free_ts > f->ts));
}

/* pass_learn.c */
void vs_pass_place(struct vs_process *p, struct vs_pass *now);
void vs_pass_place_last(struct vs_process *p, struct vs_pass *now);
void vs_pass_find_step(struct vs_passes *s, struct vs_pass *now); /* by what waits: may be called for portions of it */
void vs_pass_learn(struct vs_process *p);
void vs_pass_find_settled(struct vs_process *p);
int vs_passes_by_time(const void *a, const void *b); /* of two int64_t, for qsort */

/* phases.c */
void vs_phases_of_pass(struct vs_process *p, uint32_t pass); /* it has ended; what its memory was is still waiting */

/* phase_rows.c: tables phase, phase_memory, timeline_category */
void vs_phase_rows_write(struct vs_process *p);

/* at_peak.c: tables at_peak, at_failure */
void vs_at_peak_settled(struct vs_process *p, const struct vs_piece *x);
void vs_at_peak_write(struct vs_process *p);

#endif

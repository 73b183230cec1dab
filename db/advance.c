/* SPDX-License-Identifier: MIT
 *
 * advance.c: the order in which a process's log and memory are read, replayed and closed. It must never let the stored
 * position and the stored rows disagree.
 */
#include "advance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "liveness.h"
#include "log_reader.h"

#define COMMIT_ROWS  500000u           /* about a second of work */
#define WAIT_RUNNING ((size_t)1 << 20) /* running: go on when the missing record has come */
#define WAIT_OVER                                                                                                      \
    ((size_t)5 << 20) /* memory is read first, and the largest pool holds 4 M records: what is missing is lost */

void vs_process_save(struct vs_process *p)
{
    vs_live_write(p);
    vs_ranges_write(p);
    vs_nccl_write(p);
    VS_PUT(p->store, VS_ST_STATE, vs_int(p->id), vs_text("log_at"), vs_int((int64_t)p->log_at));
    VS_PUT(p->store, VS_ST_STATE, vs_int(p->id), vs_text("slabs_at"),
           vs_int(p->slabs_at == UINT64_MAX ? VS_NONE : (int64_t)p->slabs_at));
    VS_PUT(p->store, VS_ST_STATE, vs_int(p->id), vs_text("final"), vs_int(p->final));
}

/* Positions only: the log itself is read again from its start, muted, up to there. */
void vs_process_restore(struct vs_process *p)
{
    int64_t at = vs_store_state(p->store, p->id, "log_at"), final = vs_store_state(p->store, p->id, "final");
    int64_t slabs = vs_store_state(p->store, p->id, "slabs_at");
    p->final = final == 1;
    p->replay_to = at > 0 ? (uint64_t)at : 0;
    p->replay_slabs_at = slabs >= 0 ? (uint64_t)slabs : UINT64_MAX;
    if (p->final) p->log_at = p->replay_to;
}

static int take_memory(struct vs_process *p, struct vs_log_reader *r)
{
    struct vs_cover *cover = malloc(VS_MAX_SLABS * sizeof *cover);
    if (!cover) return -ENOMEM;
    memcpy(cover, p->cover, VS_MAX_SLABS * sizeof *cover);
    if (r->fd >= 0) vs_log_reader_survey(r, cover);
    int err = vs_memory_take(p, cover);
    free(cover);
    p->slabs_at = r->fd >= 0 ? r->at : 0;
    p->changed = true;
    return err;
}

static void end_replay(struct vs_process *p)
{
    vs_live_write(p);
    vs_ranges_write(p);
    vs_nccl_write(p);
    vs_store_mute(p->store, false);
    p->replay_to = 0;
}

static int read_frames(struct vs_process *p, struct vs_log_reader *r, bool over, const struct vs_advance *how)
{
    uint64_t rows = vs_store_rows(p->store);
    int err = 0, more = 1;
    while (more > 0 && !err) {
        if (p->replay_to && r->at >= p->replay_to) end_replay(p);
        if (p->slabs_at == UINT64_MAX && (p->replay_to ? r->at >= p->replay_slabs_at : over) &&
            (err = take_memory(p, r)))
            break;
        if (!over && p->order.waiting > WAIT_RUNNING) break;
        more = vs_log_reader_next(r, p);
        p->log_at = r->at;
        p->changed |= more > 0;
        if (p->nholes && p->slabs_at != UINT64_MAX) vs_memory_mend(p);
        if (over && p->order.waiting > WAIT_OVER) vs_order_give_up(&p->order);
        bool commit = !p->replay_to && vs_store_rows(p->store) - rows + p->live.nwaiting > COMMIT_ROWS;
        if (commit) vs_process_save(p);
        if (!(err = vs_store_error(p->store))) err = how->pause(how->arg, p, commit);
        if (commit) rows = vs_store_rows(p->store);
    }
    if (p->replay_to) /* a log shorter than it was, or one that ends just there */
        end_replay(p);
    return err ? err : more < 0 ? more : vs_store_error(p->store);
}

/* Nothing more comes. */
static void close_process(struct vs_process *p)
{
    vs_memory_mend(p);
    vs_order_skip_missing(&p->order);
    vs_names_finish(p);
    vs_lines_finish(p);
    if (!p->end_seen) p->ended = VS_KILLED;
    vs_ranges_write(p);
    vs_gpu_finish(p);
    vs_ranges_finish(p);
    vs_nccl_finish(p);
    vs_passes_finish(p);
    vs_summary_snapshot(p, p->lifetime_ns > p->end_ns ? p->lifetime_ns : p->end_ns, "end of process");
    p->final = p->changed = true;
}

static bool is_over(const struct vs_process *p, bool finishing)
{
    switch (vs_liveness(&p->who, &p->counters)) {
    case VS_LIFE_OVER: return true;
    case VS_LIFE_UNKNOWN: return finishing;
    default:
        return p->end_seen &&
               (finishing || !p->counters.control || p->counters.gone); /* it goes on, but not its recording */
    }
}

static int read_all(struct vs_process *p, bool over, const struct vs_advance *how)
{
    char path[4200];
    struct vs_log_reader r = {.fd = -1};
    int err = -ENOENT;
    if (p->folder) {
        snprintf(path, sizeof path, "%s/" VS_LOG_NAME, p->folder);
        err = vs_log_reader_open(&r, path, p->log_at, over);
    }
    if (err == -ENOENT && p->replay_to) /* what is stored is all there will ever be */
        return -ESTALE;
    if (err == -ENOENT) { /* all there is lies in memory */
        err = over && p->slabs_at == UINT64_MAX ? take_memory(p, &r) : 0;
        return err ? err : vs_store_error(p->store);
    }
    if (err) return err;
    if (p->replay_to) vs_store_mute(p->store, true);
    p->log_size = r.size;
    err = read_frames(p, &r, over, how);
    vs_store_mute(p->store, false);
    vs_log_reader_close(&r);
    return err;
}

/* Its log is gone, and with it the means to go on: it stays as it is stored. */
static int abandon(struct vs_process *p)
{
    VS_PUT(p->store, VS_ST_ABANDON, vs_int(p->id));
    VS_PUT(p->store, VS_ST_STATE, vs_int(p->id), vs_text("final"), vs_int(1));
    p->final = true;
    return vs_store_error(p->store);
}

/* Those of a program that has ended in the meantime are of some moment before its end: the log's last record knows. */
static void read_counters(struct vs_process *p)
{
    struct vs_counters counters;
    if (!vs_memory_counters(p->memory, &p->who, &counters) || !p->counters.control) p->counters = counters;
    else p->counters.known = !(p->counters.gone = true);
}

int vs_process_advance(struct vs_process *p, const struct vs_advance *how)
{
    int err;
    if (p->final) return 0;
    read_counters(p);
    bool over = is_over(p, how->finishing);
    /* a number beyond those the program has taken is not one; counters read before its end are too old to say so */
    if (over && p->counters.control && !p->counters.gone && p->counters.seq_next) p->order.limit = p->counters.seq_next;
    if ((err = read_all(p, over, how))) return err == -ESTALE ? over ? abandon(p) : 0 : err;
    if (!over && is_over(p, how->finishing)) {
        over = true;
        if ((err = read_all(p, over, how))) return err;
    }
    if (over) {
        read_counters(p);
        close_process(p);
    }
    if (p->changed || !p->known) {
        vs_process_save(p);
        vs_summary_write(p);
        vs_facts_write(p);
    }
    vs_balance_write(p, over);
    p->known = true;
    p->changed = false;
    return vs_store_error(p->store);
}

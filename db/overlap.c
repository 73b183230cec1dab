/* SPDX-License-Identifier: MIT
 *
 * overlap.c: what each GPU of a process did at each time: compute, communication, both, nothing. One sweep over kernels by
 * their begin. It must never count a nanosecond twice: what runs on several streams at once is one stretch of time.
 */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"
#include "match.h"
#include "process.h"

enum { BUCKETS = 2048 };

struct mark { /* an iteration on the host */
    int64_t begin_ns, end_ns, iteration;
};

struct window { /* on the GPU */
    int64_t begin_ns, sum[VS_LANE_STATES], kernels[2], first, last;
};

struct sweep {
    struct vs_store *store;
    int64_t process, device;
    struct mark *mark;
    int64_t marks;
    int64_t slot; /* 2 i: in iteration i; odd, or -1: between iterations */
    struct vs_lanes lanes;
    struct window all, step;
    int64_t origin;
    unsigned shift;
    int64_t bucket[BUCKETS][VS_LANE_STATES];
    int used;
};

static void fold(struct sweep *w)
{
    for (int i = 0; i < BUCKETS; i++) {
        int64_t pair[VS_LANE_STATES];
        for (int k = 0; k < VS_LANE_STATES; k++) pair[k] = 2 * i + 1 < BUCKETS ? w->bucket[2 * i][k] + w->bucket[2 * i + 1][k] : 0;
        memcpy(w->bucket[i], pair, sizeof pair);
    }
    w->used = (w->used + 1) / 2;
    w->shift++;
}

/* A stretch of the sweep. */
static void tell(void *arg, enum vs_lane_state state, int64_t from, int64_t to)
{
    struct sweep *w = arg;
    w->all.sum[state] += to - from;
    w->step.sum[state] += to - from;
    if (state == VS_LANE_IDLE) return;
    while ((to - w->origin - 1) >> w->shift >= BUCKETS) fold(w);
    for (int64_t at = from - w->origin, stop = to - w->origin; at < stop;) {
        int64_t i = at >> w->shift, next = (i + 1) << w->shift;
        if (next > stop) next = stop;
        w->bucket[i][state] += next - at;
        if (i >= w->used) w->used = (int)i + 1;
        at = next;
    }
}

static void put(const struct sweep *w, const struct window *x, int64_t iteration)
{
    VS_PUT(w->store, VS_ST_STEP_OVERLAP, vs_int(w->process), vs_int(w->device), vs_int(iteration), vs_int(x->begin_ns),
           vs_int(w->lanes.now), vs_int(x->sum[VS_LANE_COMPUTE]), vs_int(x->sum[VS_LANE_COMMUNICATION]), vs_int(x->sum[VS_LANE_BOTH]),
           vs_int(x->sum[VS_LANE_IDLE]), vs_int(x->kernels[0]), vs_int(x->kernels[1]), vs_int(x->first), vs_int(x->last));
}

static void end_step(struct sweep *w)
{
    if (w->slot >= 0 && w->slot % 2 == 0) put(w, &w->step, w->mark[w->slot / 2].iteration);
    w->step = (struct window){.begin_ns = w->lanes.now, .first = VS_NONE, .last = VS_NONE};
}

static int64_t slot_of(const struct sweep *w, int64_t launch_ns)
{
    int64_t low = 0, high = w->marks;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (w->mark[mid].begin_ns <= launch_ns) low = mid + 1;
        else high = mid;
    }
    return low ? 2 * (low - 1) + (launch_ns > w->mark[low - 1].end_ns) : -1;
}

static void count(struct window *x, int communication, int64_t id)
{
    x->kernels[communication]++;
    if (x->first == VS_NONE || id < x->first) x->first = id;
    if (x->last == VS_NONE || id > x->last) x->last = id;
}

static void begin_device(struct sweep *w, int64_t device, int64_t at)
{
    w->device = device;
    w->slot = -1;
    vs_lanes_begin(&w->lanes, w->origin = at);
    w->shift = 10; /* 1 us */
    w->used = 0;
    memset(w->bucket, 0, sizeof w->bucket);
    w->all = w->step = (struct window){.begin_ns = at, .first = VS_NONE, .last = VS_NONE};
}

static void end_device(struct sweep *w)
{
    if (w->device == VS_NONE) return;
    vs_lanes_finish(&w->lanes, tell, w);
    end_step(w);
    if (w->all.first != VS_NONE) put(w, &w->all, VS_NONE);
    for (int i = 0; i < w->used; i++) {
        const int64_t *b = w->bucket[i];
        if (b[VS_LANE_COMPUTE] || b[VS_LANE_COMMUNICATION] || b[VS_LANE_BOTH])
            VS_PUT(w->store, VS_ST_RANK_ACTIVITY, vs_int(w->process), vs_int(w->device),
                   vs_int(w->origin + ((int64_t)i << w->shift)), vs_int((int64_t)1 << w->shift), vs_int(b[VS_LANE_COMPUTE]),
                   vs_int(b[VS_LANE_COMMUNICATION]), vs_int(b[VS_LANE_BOTH]));
    }
    w->device = VS_NONE;
}

static void load_marks(struct sweep *w)
{
    sqlite3_stmt *q = vs_match_query(w->store, "SELECT iteration, MIN(begin_ns), MAX(COALESCE(end_ns, begin_ns)) FROM phase"
                                               " WHERE process_id = ?1 AND iteration IS NOT NULL GROUP BY 1 ORDER BY 2");
    if (q) sqlite3_bind_int64(q, 1, w->process);
    while (vs_match_next(w->store, &q)) {
        if (!(w->marks & (w->marks - 1))) {
            struct mark *bigger = realloc(w->mark, (w->marks ? 2 * (size_t)w->marks : 1) * sizeof *bigger);
            if (!bigger) {
                vs_store_fail(w->store, ENOMEM, "out of memory");
                continue;
            }
            w->mark = bigger;
        }
        w->mark[w->marks++] =
            (struct mark){sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2), sqlite3_column_int64(q, 0)};
    }
}

enum { DEVICE, BEGIN, END, LAUNCH, ID, IS_COMMUNICATION, THREAD };

static void keep_for_matching(struct vs_store *s, sqlite3_stmt *keep, int64_t process, sqlite3_stmt *q)
{
    static const int columns[] = {THREAD, LAUNCH, ID, DEVICE, BEGIN, END};
    if (vs_store_error(s) || sqlite3_column_type(q, LAUNCH) == SQLITE_NULL || sqlite3_column_type(q, THREAD) == SQLITE_NULL) return;
    sqlite3_bind_int64(keep, 1, process);
    for (int i = 0; i < 6; i++) sqlite3_bind_value(keep, i + 2, sqlite3_column_value(q, columns[i]));
    if (sqlite3_step(keep) != SQLITE_DONE) vs_store_fail(s, EIO, sqlite3_errmsg(vs_store_handle(s)));
    sqlite3_reset(keep);
}

static bool sweep_kernels(struct sweep *w)
{
    struct vs_store *s = w->store;
    int64_t base = (w->process - 1) * VS_ROWS_PER_PROCESS;
    bool any = false;
    sqlite3_stmt *q = vs_match_query(s, "SELECT COALESCE(device, -1), begin_ns, end_ns, launch_ns, id, name_id IN (SELECT id FROM"
                                        " temp.match_name), thread_id FROM kernel WHERE id > ?1 AND id <= ?2 AND begin_ns IS NOT"
                                        " NULL AND end_ns IS NOT NULL ORDER BY 1, 2");
    sqlite3_stmt *keep = vs_match_query(s, "INSERT INTO temp.match_kernel VALUES (?, ?, ?, ?, ?, ?, ?)");
    if (q) sqlite3_bind_int64(q, 1, base), sqlite3_bind_int64(q, 2, base + VS_ROWS_PER_PROCESS);
    while (vs_match_next(s, &q)) {
        int64_t begin = sqlite3_column_int64(q, BEGIN), end = sqlite3_column_int64(q, END);
        int communication = sqlite3_column_int(q, IS_COMMUNICATION);
        if (!any || w->device != sqlite3_column_int64(q, DEVICE)) {
            end_device(w);
            begin_device(w, sqlite3_column_int64(q, DEVICE), begin);
        }
        any = true;
        vs_lanes_advance(&w->lanes, begin, tell, w);
        if (w->marks && sqlite3_column_type(q, LAUNCH) != SQLITE_NULL) {
            int64_t slot = slot_of(w, sqlite3_column_int64(q, LAUNCH));
            if (slot > w->slot) {
                end_step(w);
                w->slot = slot;
            }
        }
        count(&w->all, communication, sqlite3_column_int64(q, ID));
        count(&w->step, communication, sqlite3_column_int64(q, ID));
        vs_lanes_add(&w->lanes, communication, end);
        if (communication) keep_for_matching(s, keep, w->process, q);
    }
    end_device(w);
    sqlite3_finalize(keep);
    return any;
}

/* What is known without kernels: when a thread was inside a collective, if that returns only when all is done (as in
 * match_calls.c). The time it takes to hand work to a GPU says nothing. */
static void sweep_calls(struct sweep *w)
{
    int64_t base = (w->process - 1) * VS_ROWS_PER_PROCESS;
    bool any = false;
    sqlite3_stmt *q = vs_match_query(w->store, "SELECT c.begin_ns, COALESCE(c.end_ns, p.end_ns) AS end FROM collective c JOIN"
                                               " process p ON p.id = c.process_id JOIN communicator m ON m.id ="
                                               " c.communicator_id WHERE c.id > ?1 AND c.id <= ?2 AND end > c.begin_ns AND"
                                               " c.origin = 'nvtx' AND m.device IS NULL ORDER BY 1");
    if (q) sqlite3_bind_int64(q, 1, base), sqlite3_bind_int64(q, 2, base + VS_ROWS_PER_PROCESS);
    while (vs_match_next(w->store, &q)) {
        int64_t begin = sqlite3_column_int64(q, 0), end = sqlite3_column_int64(q, 1);
        if (!any) begin_device(w, -1, begin);
        any = true;
        vs_lanes_advance(&w->lanes, begin, tell, w);
        vs_lanes_add(&w->lanes, 1, end);
    }
    if (any) end_device(w);
}

void vs_overlap_write(struct vs_store *s, int64_t process)
{
    struct sweep *w = calloc(1, sizeof *w);
    if (!w) {
        vs_store_fail(s, ENOMEM, "out of memory");
        return;
    }
    w->store = s;
    w->process = process;
    w->device = VS_NONE;
    load_marks(w);
    if (!sweep_kernels(w)) sweep_calls(w);
    free(w->mark);
    free(w);
}

/* SPDX-License-Identifier: MIT
 *
 * balance.c: the account of every record: appended = stored + lost in the log, and every other loss beside it. It must
 * never balance by assumption: where the program's counters are gone it says so.
 */
#include <string.h>

#include "process.h"

static const char *const source_names[VS_NSOURCES] = {
#define X(id, name) name,
    VS_SOURCES(X)
#undef X
};
static const char *const loss_names[VS_NLOSSES] = {
#define X(id, name, help) name,
    VS_LOSSES(X)
#undef X
};

/* What the recorder counted: its control file as it was left, or when that is gone its last record. */
static const uint64_t *recorder_lost(const struct vs_process *p, int source)
{
    static const uint64_t none[VS_NLOSSES];
    if (p->end_seen && (!p->counters.control || p->counters.gone)) return p->end.lost[source];
    return p->counters.control ? p->counters.lost[source] : none;
}

/* Numbers taken for records that were never counted as appended: under construction, of a source nobody knows. */
static uint64_t torn_before_count(const struct vs_process *p, uint64_t lost_in_log)
{
    uint64_t applied, taken = p->counters.seq_next;
    if (!p->counters.control || !taken || p->damage) return 0;
    applied = p->order.next - 1 - p->order.skipped;
    if (taken - 1 < applied || taken - 1 - applied > VS_ORDER_REACH) return 0;
    return taken - 1 - applied > lost_in_log ? taken - 1 - applied - lost_in_log : 0;
}

void vs_balance_write(struct vs_process *p, bool dead)
{
    uint64_t total = 0;
    uint64_t lost[VS_NSOURCES][VS_NLOSSES];
    for (int s = 0; s < VS_NSOURCES; s++) {
        bool known = p->end_seen || p->counters.known;
        uint64_t appended = p->counters.known ? p->counters.appended[s] : p->end.appended[s], in_log = 0;
        memcpy(lost[s], recorder_lost(p, s), sizeof lost[s]);
        if (dead && known && appended > p->stored[s]) in_log = appended - p->stored[s];
        else if (dead && !known)
            in_log = p->damaged[s] + (s == VS_SRC_PROCESS ? p->damaged_records : 0); /* whose they were is not known */
        lost[s][VS_LOST_UNMATCHED] += p->unmatched[s];
        lost[s][p->damage || p->damaged[s] ? VS_LOST_DAMAGED : VS_LOST_TORN] += in_log;
        total += in_log;
        VS_PUT(p->store, VS_ST_BALANCE, vs_int(p->id), vs_text(source_names[s]),
               vs_int(known ? vs_whole(appended) : VS_NONE), vs_int(vs_whole(p->stored[s])), vs_int(vs_whole(in_log)));
    }
    if (p->untimed > lost[VS_SRC_GPU][VS_LOST_UNTIMED]) lost[VS_SRC_GPU][VS_LOST_UNTIMED] = p->untimed;
    lost[VS_SRC_GPU][VS_LOST_UNDELIVERED] += p->undelivered;
    if (dead) lost[VS_SRC_PROCESS][VS_LOST_TORN] += torn_before_count(p, total);
    VS_PUT(p->store, VS_ST_CLEAR_LOSS, vs_int(p->id));
    for (int s = 0; s < VS_NSOURCES; s++)
        for (int r = 0; r < VS_NLOSSES; r++)
            if (lost[s][r])
                VS_PUT(p->store, VS_ST_LOSS, vs_int(p->id), vs_text(source_names[s]), vs_text(loss_names[r]),
                       vs_int(vs_whole(lost[s][r])));
}

/* SPDX-License-Identifier: MIT
 *
 * team_watch.c: which operations this rank began and completed, and rows about it for the others. vs_team_note and vs_team_done are
 * called around every collective, by any thread: they store a few words, and must never wait or call the system.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "workloads/team_parts.h"

static uint64_t load(const uint64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* Word by word, so that a reader that comes at the same time reads old or new ones, and then sees by `turn` that it did. */
static void store_what(struct vs_team_mark *m, const char *what)
{
    uint64_t words[VS_TEAM_WHAT / sizeof(uint64_t)] = {0};
    strncpy((char *)words, what ? what : "", sizeof words - 1);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) __atomic_store_n(&m->what[i], words[i], __ATOMIC_RELEASE);
}

void vs_team_note(struct vs_team *team, uint64_t step, size_t index, const char *what)
{
    struct vs_team_watch *w = &team->watch;
    uint64_t turn = __atomic_fetch_add(&w->begun, 1, __ATOMIC_RELAXED);
    struct vs_team_mark *m = &w->mark[turn % VS_TEAM_MARKS];
    __atomic_store_n(&m->turn, 0, __ATOMIC_RELAXED); /* not readable until it is whole */
    __atomic_store_n(&m->step, step, __ATOMIC_RELEASE);
    __atomic_store_n(&m->index, index, __ATOMIC_RELEASE);
    store_what(m, what);
    __atomic_store_n(&m->begun_ns, vs_team_now(), __ATOMIC_RELEASE);
    __atomic_store_n(&m->turn, turn + 1, __ATOMIC_RELEASE);
}

/* False: it is being written, or its place was taken by a later one. */
static bool read_mark(const struct vs_team_watch *w, uint64_t turn, struct vs_team_mark *out)
{
    const struct vs_team_mark *m = &w->mark[(turn - 1) % VS_TEAM_MARKS];
    if (load(&m->turn) != turn) return false;
    out->step = load(&m->step);
    out->index = load(&m->index);
    for (size_t i = 0; i < sizeof m->what / sizeof *m->what; i++) out->what[i] = load(&m->what[i]);
    out->begun_ns = __atomic_load_n(&m->begun_ns, __ATOMIC_ACQUIRE);
    return load(&m->turn) == turn;
}

void vs_team_done(struct vs_team *team, uint64_t step, size_t index)
{
    struct vs_team_watch *w = &team->watch;
    uint64_t begun = load(&w->begun), done = load(&w->done);
    struct vs_team_mark m;
    for (uint64_t turn = begun; turn > done && begun - turn < VS_TEAM_MARKS; turn--) {
        if (!read_mark(w, turn, &m) || m.step != step || m.index != index) continue;
        __atomic_store_n(&w->done_ns, vs_team_now(), __ATOMIC_RELEASE);
        while (done < turn &&
               !__atomic_compare_exchange_n(&w->done, &done, turn, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        }
        return;
    }
}

static void copy_step(struct vs_team_step *to, const struct vs_team_mark *m)
{
    to->step = m->step;
    to->index = m->index;
    vs_team_clean(to->what, sizeof to->what, m->what, strlen((const char *)m->what));
}

void vs_team_watch_row(struct vs_team *team, struct vs_team_row *row)
{
    struct vs_team_watch *w = &team->watch;
    struct vs_team_mark m;
    uint64_t done = load(&w->done), begun = load(&w->begun);
    int64_t done_ns = __atomic_load_n(&w->done_ns, __ATOMIC_ACQUIRE);
    row->state = VS_TEAM_BETWEEN;
    row->since_ns = done_ns;
    row->at = (struct vs_team_step){0};
    if (done && read_mark(w, done, &m)) {
        row->any_done = true;
        copy_step(&row->done, &m);
    }
    for (uint64_t turn = begun - done > VS_TEAM_MARKS ? begun - VS_TEAM_MARKS + 1 : done + 1; turn <= begun; turn++) {
        if (!read_mark(w, turn, &m)) continue;
        row->state = VS_TEAM_OPERATION;
        /* An operation queued behind others is waited for since its turn came. */
        row->since_ns = m.begun_ns > done_ns ? m.begun_ns : done_ns;
        copy_step(&row->at, &m);
        return;
    }
    if (team->ask.state == VS_TEAM_POSTED || team->ask.state == VS_TEAM_TAKEN) {
        static const char *const names[] = {
#define X(name) #name,
            VS_TEAM_EXCHANGES(X)
#undef X
        };
        row->state = VS_TEAM_EXCHANGES;
        row->since_ns = team->ask.since_ns;
        row->at = (struct vs_team_step){.index = team->ask.number};
        strcpy(row->at.what, names[team->ask.kind]);
    }
}

/* The time goes last: a row that differs in it alone is no news. */
void vs_team_row_pack(unsigned char out[VS_TEAM_ROW_BYTES], int rank, const struct vs_team_row *row, int64_t now)
{
    int64_t waited = row->since_ns ? (now - row->since_ns) / 1000000 : 0;
    memset(out, 0, VS_TEAM_ROW_BYTES);
    vs_team_put32(out, (uint32_t)rank);
    vs_team_put32(out + 4, (uint32_t)row->state << 1 | row->any_done);
    vs_team_put64(out + 8, row->done.step);
    vs_team_put64(out + 16, row->done.index);
    vs_team_put64(out + 24, row->at.step);
    vs_team_put64(out + 32, row->at.index);
    memcpy(out + 40, row->done.what, VS_TEAM_WHAT);
    memcpy(out + 40 + VS_TEAM_WHAT, row->at.what, VS_TEAM_WHAT);
    vs_team_put32(out + VS_TEAM_ROW_BYTES - 4, waited < 0 ? 0 : (uint32_t)waited);
}

int vs_team_row_unpack(struct vs_team_row *row, const struct vs_team_message *message, int world, int64_t now)
{
    const unsigned char *in = message->data;
    if (message->bytes != VS_TEAM_ROW_BYTES) return -EPROTO;
    uint32_t rank = vs_team_get32(in), state = vs_team_get32(in + 4);
    if (rank >= (uint32_t)world || state >> 1 >= VS_TEAM_STATE_COUNT) return -EPROTO;
    row += rank;
    row->state = state >> 1;
    row->any_done = state & 1;
    row->done.step = vs_team_get64(in + 8);
    row->done.index = vs_team_get64(in + 16);
    row->at.step = vs_team_get64(in + 24);
    row->at.index = vs_team_get64(in + 32);
    vs_team_clean(row->done.what, VS_TEAM_WHAT, in + 40, VS_TEAM_WHAT);
    vs_team_clean(row->at.what, VS_TEAM_WHAT, in + 40 + VS_TEAM_WHAT, VS_TEAM_WHAT);
    row->since_ns = now - (int64_t)vs_team_get32(in + VS_TEAM_ROW_BYTES - 4) * 1000000;
    return (int)rank;
}

const char *vs_team_step_text(const struct vs_team_row *row, const struct vs_team_step *step, char *text, size_t bytes)
{
    if (row->state == VS_TEAM_EXCHANGES && step == &row->at)
        snprintf(text, bytes, "the team's %s (exchange %llu)", step->what, (unsigned long long)step->index);
    else
        snprintf(text, bytes, "step %llu, operation %llu%s%s%s", (unsigned long long)step->step,
                 (unsigned long long)step->index, *step->what ? " (" : "", step->what, *step->what ? ")" : "");
    return text;
}

/* SPDX-License-Identifier: MIT
 *
 * team_report.c: what a rank says on stderr when the job ends: why, and what each rank did last. One write, so that the lines of ranks
 * do not mix. It decides nothing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workloads/team_parts.h"

enum { LINES = 16, NAMED = 4 };

struct report {
    struct vs_team *team;
    int64_t now;
    const struct vs_team_row *held_up; /* in the first operation that somebody waits in; NULL: nobody waits */
    size_t at;
    char text[(LINES + 3) * 512];
};

void vs_team_clean(char *to, size_t bytes, const void *from, size_t from_bytes)
{
    const unsigned char *in = from;
    size_t n = 0;
    for (; n + 1 < bytes && n < from_bytes && in[n]; n++) to[n] = in[n] >= 0x20 && in[n] < 0x7f ? (char)in[n] : '?';
    to[n] = 0;
}

static void write_all(const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(STDERR_FILENO, text, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text += n;
        bytes -= (size_t)n;
    }
}

void vs_team_say(int rank, const char *format, ...)
{
    char line[1024];
    va_list list;
    size_t at = (size_t)snprintf(line, sizeof line, "rank %d: ", rank);
    va_start(list, format);
    vsnprintf(line + at, sizeof line - at - 1, format, list);
    va_end(list);
    at = strlen(line);
    line[at++] = '\n';
    write_all(line, at);
}

size_t vs_team_add(char *text, size_t bytes, size_t at, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text + at, bytes - at, format, list);
    va_end(list);
    return n < 0 ? at : at + (size_t)n < bytes ? at + (size_t)n : bytes - 1;
}

static bool waits(const struct vs_team_row *row)
{
    return row->state == VS_TEAM_OPERATION || row->state == VS_TEAM_EXCHANGES;
}

static bool before(const struct vs_team_step *a, const struct vs_team_step *b)
{
    return a->step != b->step ? a->step < b->step : a->index < b->index;
}

static bool same(const struct vs_team_step *a, const struct vs_team_step *b)
{
    return a->step == b->step && a->index == b->index;
}

/* Operations before exchanges, whose numbers are another sequence. */
static const struct vs_team_row *find_held_up(const struct vs_team *team)
{
    const struct vs_team_row *found = NULL;
    for (int r = 0; r < team->place.world; r++) {
        const struct vs_team_row *row = &team->row[r];
        if (!waits(row) || (found && found->state < row->state)) continue;
        if (!found || row->state < found->state || before(&row->at, &found->at)) found = row;
    }
    return found;
}

/* It keeps others waiting: in the operation they wait in it is not, nor has it been. */
static bool absent(const struct report *r, const struct vs_team_row *row)
{
    const struct vs_team_row *held = r->held_up;
    if (!held || row == held || row->state == VS_TEAM_LOST) return false;
    if (row->state == held->state && same(&row->at, &held->at)) return false;
    if (held->state == VS_TEAM_EXCHANGES) return row->state != VS_TEAM_EXCHANGES;
    return !row->any_done || before(&row->done, &held->at);
}

static void add_absent(struct report *r)
{
    int count = 0, named = 0, world = r->team->place.world;
    for (int i = 0; i < world; i++) count += absent(r, &r->team->row[i]);
    for (int i = 0; i < world && named < NAMED; i++) {
        if (!absent(r, &r->team->row[i])) continue;
        r->at = vs_team_add(r->text, sizeof r->text, r->at, "%s %d", named ? "," : count > 1 ? "; ranks" : "; rank", i);
        named++;
    }
    if (count > named) r->at = vs_team_add(r->text, sizeof r->text, r->at, " and %d more", count - named);
    if (count) r->at = vs_team_add(r->text, sizeof r->text, r->at, " %s not begun it", count > 1 ? "have" : "has");
}

static void add_state(struct report *r, const struct vs_team_row *row)
{
    char step[128];
    double seconds = row->since_ns ? (double)(r->now - row->since_ns) / 1e9 : 0;
    size_t size = sizeof r->text;
    if (row->any_done)
        r->at = vs_team_add(r->text, size, r->at, "last completed %s",
                            vs_team_step_text(row, &row->done, step, sizeof step));
    else r->at = vs_team_add(r->text, size, r->at, "completed no operation");
    if (waits(row))
        r->at = vs_team_add(r->text, size, r->at, "; waits in %s for %.1f s",
                            vs_team_step_text(row, &row->at, step, sizeof step), seconds);
    else if (row->state == VS_TEAM_BETWEEN && row->since_ns)
        r->at = vs_team_add(r->text, size, r->at, "; between operations for %.1f s", seconds);
    else
        r->at = vs_team_add(r->text, size, r->at, "; %s",
                            row->state == VS_TEAM_LOST   ? "gone"
                            : row->state == VS_TEAM_LEFT ? "ended in order"
                                                         : "between operations");
    if (!absent(r, row)) return;
    r->at = vs_team_add(r->text, size, r->at,
                        row->state == VS_TEAM_OPERATION ? ": it left out %s" : ": it has not begun %s",
                        vs_team_step_text(r->held_up, &r->held_up->at, step, sizeof step));
}

static void add_rank(struct report *r, int rank)
{
    r->at = vs_team_add(r->text, sizeof r->text, r->at, "rank %d:   rank %d: ", r->team->place.rank, rank);
    if (r->team->row[rank].state == VS_TEAM_SILENT)
        r->at = vs_team_add(r->text, sizeof r->text, r->at, "nothing was heard from it");
    else add_state(r, &r->team->row[rank]);
    r->at = vs_team_add(r->text, sizeof r->text, r->at, "\n");
}

static bool alike(const struct vs_team_row *a, const struct vs_team_row *b)
{
    return a->state == b->state && a->any_done == b->any_done && same(&a->done, &b->done) && same(&a->at, &b->at);
}

/* If more than half of the ranks are alike it is one of these. */
static int usual(const struct vs_team *team)
{
    int candidate = 0, votes = 0;
    for (int r = 0; r < team->place.world; r++) {
        if (!votes) candidate = r;
        votes += alike(&team->row[r], &team->row[candidate]) ? 1 : -1;
    }
    return candidate;
}

/* Every rank, or of many those that differ from the others: they are what one looks for. */
static void add_ranks(struct report *r)
{
    const struct vs_team *team = r->team;
    int world = team->place.world, most = usual(team), others = 0, shown = 0, cut = 0;
    if (world <= LINES) {
        for (int i = 0; i < world; i++) add_rank(r, i);
        return;
    }
    for (int i = 0; i < world; i++) {
        if (alike(&team->row[i], &team->row[most])) others++;
        else if (shown < LINES) add_rank(r, i), shown++;
        else cut++;
    }
    if (cut)
        r->at = vs_team_add(r->text, sizeof r->text, r->at, "rank %d:   %d more that differ, like these\n",
                            team->place.rank, cut);
    r->at = vs_team_add(r->text, sizeof r->text, r->at, "rank %d:   %d ranks are where this one is:\n",
                        team->place.rank, others);
    add_rank(r, most);
}

void vs_team_report(struct vs_team *team, int64_t now)
{
    struct report r = {.team = team, .now = now, .held_up = find_held_up(team)};
    const struct vs_team_row *reason = &team->row[team->reason_rank];
    r.at = vs_team_add(r.text, sizeof r.text, 0, "rank %d: the job ends: rank %d %s", team->place.rank,
                       team->reason_rank, team->why);
    if (team->reason == VS_TEAM_LATE && r.held_up && waits(reason) && same(&reason->at, &r.held_up->at)) add_absent(&r);
    r.at = vs_team_add(r.text, sizeof r.text, r.at, "\n");
    add_ranks(&r);
    if (r.text[r.at - 1] != '\n') r.text[r.at - 1] = '\n';
    write_all(r.text, r.at);
}

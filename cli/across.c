/* SPDX-License-Identifier: MIT
 *
 * across.c: owns what is concluded from collectives that were matched across ranks. Must never blame a rank for what is
 * within the error of a clock, nor call a collective complete that is not.
 */
#include "across.h"

#include <string.h>

#include "human.h"

enum { NOISE_NS = 20000 }; /* a mean lateness below that may be the clocks and the launches */

#define INCOMPLETE "(missing IS NOT NULL OR unfinished IS NOT NULL OR unreported IS NOT NULL OR differs)"

static int has_table(struct vs_sheet *s)
{
    return vs_sheet_number(s, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'collective_match'") > 0;
}

static int64_t unmatchable(struct vs_sheet *s)
{
    if (!vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM communicator WHERE hash IS NULL)")) return 0;
    return vs_sheet_number(s, "SELECT COUNT(*) FROM collective c JOIN communicator m ON m.id = c.communicator_id"
                              " WHERE m.hash IS NULL AND c.sequence IS NOT NULL");
}

static void say_unmatchable(struct vs_sheet *s)
{
    int64_t n = unmatchable(s);
    if (n)
        vs_sheet_line(s, "  %lld call%s on communicators that nothing tells apart (NCCL gave no id) cannot be matched", (long long)n,
                      n == 1 ? "" : "s");
}

/* Numbers of collectives are counted: one that was not recorded shifts all that follow on its rank. */
static void say_lost(struct vs_sheet *s)
{
    int64_t n = vs_sheet_number(s, "SELECT SUM(count) FROM loss WHERE source = 'nccl'");
    if (n) vs_sheet_line(s, "!! %lld records of NCCL were lost (see LOSSES): collectives may be matched wrongly", (long long)n);
}

/* Of each rank there is one process, or several jobs were recorded into one database. */
static void say_runs(struct vs_sheet *s)
{
    int64_t n = vs_sheet_number(s, "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM process WHERE rank IS NOT NULL AND world_size > 1 AND id IN"
                                   " (SELECT process_id FROM communicator) GROUP BY rank)");
    if (n > 1) vs_sheet_line(s, "%lld runs are in this database, and counted together", (long long)n);
}

int vs_across_known(struct vs_sheet *s, const char *title)
{
    if (!has_table(s)) {
        vs_sheet_line(s, "%s  this database was made before collectives were matched; ingest its log folder again", title);
        return 0;
    }
    if (vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM collective_match)")) return 1;
    if (vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM collective WHERE sequence IS NOT NULL)")) {
        vs_sheet_line(s, "%s  none could be matched across ranks", title);
        say_unmatchable(s);
    } else {
        vs_sheet_line(s, "%s  no collective was recorded", title);
    }
    return 0;
}

static void incomplete_line(struct vs_sheet *s, sqlite3_stmt *q)
{
    char what[400], op[VS_CELL], name[VS_CELL], bytes[VS_CELL];
    size_t n = 0;
    static const char *const how[3] = {"never made by rank %.90s", "never returned on rank %.90s",
                                       "not reported by the GPU of rank %.90s, which died"};
    for (int i = 0; i < 3; i++) {
        const char *ranks = (const char *)sqlite3_column_text(q, 4 + i);
        char part[200];
        if (!ranks) continue;
        snprintf(part, sizeof part, how[i], ranks);
        n += (size_t)snprintf(what + n, sizeof what - n, "%s%s", n ? "; " : "", part);
    }
    if (sqlite3_column_int(q, 7)) n += (size_t)snprintf(what + n, sizeof what - n, "%sop or size differs between ranks", n ? "; " : "");
    vs_sheet_line(s, "!!   %s number %lld, %s, on %s: %s", vs_column_text(q, 0, "", 0, op), (long long)sqlite3_column_int64(q, 1),
                  vs_column_bytes(q, 2, 0, bytes), vs_column_text(q, 3, "a communicator without a name", 0, name), what);
}

void vs_across_incomplete(struct vs_sheet *s, int64_t most)
{
    int64_t all = vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match WHERE " INCOMPLETE);
    sqlite3_stmt *q;
    int64_t shown = 0;
    if (!all) return;
    vs_sheet_line(s, "!! %lld COLLECTIVE%s NOT COMPLETE; of each communicator the first:", (long long)all, all == 1 ? "" : "S");
    q = vs_sheet_query(s, "SELECT op, sequence, bytes, name, missing, unfinished, unreported, differs FROM collective_match JOIN"
                          " (SELECT team AS of, MIN(sequence) AS lowest FROM collective_match WHERE " INCOMPLETE " GROUP BY team)"
                          " ON team IS of AND sequence = lowest WHERE " INCOMPLETE " ORDER BY first_start_ns LIMIT ?2");
    if (q) sqlite3_bind_int64(q, 2, most);
    while (vs_sheet_next(s, &q)) {
        incomplete_line(s, q);
        shown++;
    }
    if (shown == most && all > most) vs_sheet_line(s, "!!   all of them: SELECT * FROM collective_match WHERE end_ns IS NULL");
}

int vs_across_enqueue_only(struct vs_sheet *s)
{
    return !vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM collective_match WHERE times <> 'enqueue')");
}

void vs_across_times(struct vs_sheet *s)
{
    int64_t enqueue = vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match WHERE times = 'enqueue'");
    int64_t calls = vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match WHERE times = 'call'");
    int64_t kernel = vs_sheet_number(s, "SELECT COUNT(*) FROM collective_match WHERE times = 'kernel'");
    if (kernel)
        vs_sheet_line(s, "times of %lld are of NCCL's kernels; duration: from the last rank's start to the end", (long long)kernel);
    if (calls)
        vs_sheet_line(s, "times of %lld are of the calls, which return when all is done: ranks on the CPU", (long long)calls);
    if (enqueue && !kernel)
        vs_sheet_line(s, "times are of the calls, which only hand the work to the GPU; for the GPU's: run --trace kernels");
    else if (enqueue)
        vs_sheet_line(s, "times of %lld are of the calls, which only hand the work to the GPU: no kernel of theirs was seen", (long long)enqueue);
    if (vs_sheet_number(s, "SELECT EXISTS (SELECT 1 FROM process_clock WHERE basis = 'calendar')"))
        vs_sheet_line(s, "several hosts: start skew between them is only as good as their clocks agree");
    say_runs(s);
    say_lost(s);
    say_unmatchable(s);
}

void vs_across_slowest(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT rank, process_id, last, late_ns, collectives, (SELECT SUM(late_ns) FROM straggler)"
                                        " FROM straggler WHERE (SELECT COUNT(*) FROM straggler) > 1 ORDER BY late_ns DESC LIMIT 1");
    if (vs_sheet_next(s, &q)) {
        char late[VS_CELL], who[40];
        int64_t last = sqlite3_column_int64(q, 2), late_ns = sqlite3_column_int64(q, 3), all = sqlite3_column_int64(q, 5);
        if (sqlite3_column_type(q, 0) == SQLITE_NULL) snprintf(who, sizeof who, "process %lld", (long long)sqlite3_column_int64(q, 1));
        else snprintf(who, sizeof who, "rank %lld", (long long)sqlite3_column_int64(q, 0));
        if (last && late_ns / last > NOISE_NS && vs_across_enqueue_only(s))
            vs_sheet_line(s, "%s called last most: %.0f %% of collectives, %s behind the others; who waited is not known", who,
                          100.0 * (double)last / (double)sqlite3_column_int64(q, 4), vs_column_time(q, 3, 0, late));
        else if (last && late_ns / last > NOISE_NS)
            vs_sheet_line(s, "%s costs most: last in %.0f %% of collectives, others waited %s, %.0f %% of all waiting", who,
                          100.0 * (double)last / (double)sqlite3_column_int64(q, 4), vs_column_time(q, 3, 0, late),
                          100.0 * (double)late_ns / (double)all);
        else if (last)
            vs_sheet_line(s, "no rank stands out: the one that was last most came %s too late on average",
                          vs_human_time(late_ns / last, late));
    }
    sqlite3_finalize(q);
}

/* Of the operation and size with most time; the medians of all of them would take much longer. */
static void rates(struct vs_sheet *s)
{
    sqlite3_stmt *q = vs_sheet_query(
        s, "WITH k AS (SELECT op, bytes, COUNT(*) AS n, COUNT(bus_gbps) AS rates FROM collective_match GROUP BY op, bytes"
           "  ORDER BY SUM(duration_ns / grouped) DESC LIMIT 1)"
           " SELECT op, bytes, (SELECT skew_ns FROM collective_match m WHERE m.op = k.op AND m.bytes IS k.bytes ORDER BY skew_ns"
           "  LIMIT 1 OFFSET (SELECT (n - 1) / 2 FROM k)), (SELECT bus_gbps FROM collective_match m WHERE m.op = k.op AND m.bytes IS"
           "  k.bytes AND bus_gbps IS NOT NULL ORDER BY bus_gbps LIMIT 1 OFFSET (SELECT MAX(rates - 1, 0) / 2 FROM k)) FROM k");
    if (vs_sheet_next(s, &q)) {
        char op[VS_CELL], bytes[VS_CELL], skew[VS_CELL], bus[64] = "";
        if (sqlite3_column_type(q, 3) != SQLITE_NULL)
            snprintf(bus, sizeof bus, ", bus %.1f GB/s", sqlite3_column_double(q, 3));
        vs_sheet_line(s, "  %s of %s takes most: median start skew %s%s (--by collective)", vs_column_text(q, 0, "", 0, op),
                      vs_column_bytes(q, 1, 0, bytes), vs_column_time(q, 2, 0, skew), bus);
    }
    sqlite3_finalize(q);
}

void vs_across_brief(struct vs_sheet *s)
{
    int64_t ranks = has_table(s) ? vs_sheet_number(s, "SELECT MAX(ranks_recorded) FROM collective_match") : 0;
    sqlite3_stmt *q;
    if (ranks < 2) return;
    vs_across_incomplete(s, 2);
    rates(s);
    q = vs_sheet_query(s, "SELECT 100.0 * SUM(hidden_ns) / SUM(communication_ns), SUM(communication_ns) FROM step_overlap"
                          " WHERE iteration IS NULL AND process_id IN " VS_SHOWN " HAVING SUM(communication_ns) > 0");
    if (vs_sheet_next(s, &q))
        vs_sheet_line(s, "  %.0f %% of communication is hidden behind compute (--by overlap)", sqlite3_column_double(q, 0));
    sqlite3_finalize(q);
}

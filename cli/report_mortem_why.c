/* SPDX-License-Identifier: MIT
 *
 * report_mortem_why.c: what the numbers say about the cause: host memory at a kill, and the one thing that would most likely
 * have helped at a failure. Must never say more than the numbers do; where they say nothing it prints nothing.
 */
#include <signal.h>
#include <string.h>

#include "mortem.h"

/* ---- host memory ---- */

static int64_t column(sqlite3_stmt *q, int i)
{
    return sqlite3_column_type(q, i) == SQLITE_NULL ? VS_UNKNOWN : sqlite3_column_int64(q, i);
}

/* By the kernel, in the memory cgroup: as `vramscope run` saw, or as a process that lived longer did. */
static int64_t kills(struct vs_sheet *s, const struct vs_death *d)
{
    int64_t run = vs_mortem_number(s, d, "SELECT oom_kills FROM process WHERE id = ?2");
    int64_t seen = vs_mortem_number(
        s, d,
        "SELECT MAX(n) FROM (SELECT MAX(h.cgroup_oom_kills) - MIN(h.cgroup_oom_kills) AS n FROM host_sample h"
        " JOIN process p ON p.id = h.process_id WHERE p.host = (SELECT host FROM process WHERE id = ?2)"
        " GROUP BY h.process_id)");
    return seen > 0 && seen > run ? seen : run; /* that nobody saw one says nothing: the last look was before the end */
}

static void verdict(struct vs_sheet *s, const struct vs_death *d, double share)
{
    int64_t n = kills(s, d);
    if (d->exit_status != VS_UNKNOWN && d->exit_status != 128 + SIGKILL) return; /* the kernel uses no other signal */
    if (n > 0)
        vs_sheet_line(s,
                      "           it looks like the kernel's OOM killer: it killed %lld process%s here during the run",
                      (long long)n, n == 1 ? "" : "es");
    else if (share >= 0.95 && n == VS_UNKNOWN)
        vs_sheet_line(
            s, "           that is when the kernel's OOM killer strikes; the kernel's log (dmesg) says whether it did");
}

void vs_mortem_host(struct vs_sheet *s, const struct vs_death *d)
{
    sqlite3_stmt *q = vs_mortem_query(
        s, d,
        "SELECT rss_bytes, cgroup_used_bytes, cgroup_limit_bytes, cgroup_file_bytes, host_available_bytes,"
        " host_total_bytes, ?4 - ts_ns FROM host_sample WHERE process_id = ?2 ORDER BY ts_ns DESC LIMIT 1");
    char rss[VS_CELL], whole[VS_HUMAN], before[VS_CELL];
    double share = -1;
    if (vs_sheet_next(s, &q)) {
        int64_t used = column(q, 1), limit = column(q, 2), file = column(q, 3), available = column(q, 4),
                total = column(q, 5);
        vs_column_bytes(q, 0, 0, rss);
        vs_column_time(q, 6, 0, before);
        if (limit > 0 && used != VS_UNKNOWN && limit <= (total == VS_UNKNOWN ? INT64_MAX : total)) {
            share = (double)(used - (file == VS_UNKNOWN ? 0 : file)) / (double)limit;
            vs_sheet_line(s, "  host     the container used %.1f %% of its %s, this process %s, %s before that",
                          100 * share, vs_human_bytes(limit, whole), rss, before);
        } else if (total > 0 && available != VS_UNKNOWN) {
            share = 1 - (double)available / (double)total;
            vs_sheet_line(s, "  host     %.1f %% of the host's %s were in use, %s by this process, %s before that",
                          100 * share, vs_human_bytes(total, whole), rss, before);
        }
    }
    sqlite3_finalize(q);
    verdict(s, d, share);
}

/* ---- what would have helped ---- */

/* Bytes of the live framework memory in these categories, as a share of all of it; < 0: not known. */
static double share_of(struct vs_sheet *s, const struct vs_death *d, const char *list)
{
    sqlite3_stmt *q =
        vs_mortem_query(s, d,
                        "SELECT SUM(CASE WHEN instr(?5, ' ' || category || ' ') THEN bytes ELSE 0 END), SUM(bytes) FROM"
                        " at_failure WHERE process_id = ?2 AND device = ?3 AND level = 'sub'");
    double share = -1;
    if (q) sqlite3_bind_text(q, 5, list, -1, SQLITE_STATIC);
    if (vs_sheet_next(s, &q) && sqlite3_column_int64(q, 1) > 0)
        share = (double)sqlite3_column_int64(q, 0) / (double)sqlite3_column_int64(q, 1);
    sqlite3_finalize(q);
    return share;
}

static int of_the_device(struct vs_sheet *s, const struct vs_death *d)
{
    char bytes[VS_HUMAN], total[VS_HUMAN];
    int64_t others = vs_mortem_number(
        s, d,
        "SELECT bytes FROM account_data WHERE process_id = ?2 AND device = ?3 AND owner = 'other_processes'"
        " AND ts_ns BETWEEN ?4 - 5000000000 AND ?4 + 200000000 ORDER BY ABS(ts_ns - ?4) LIMIT 1");
    if (d->total > 0 && d->asked > d->total) {
        vs_sheet_line(s, "  helps    nothing on this device: it has %s in all", vs_human_bytes(d->total, total));
        return 1;
    }
    if (d->missing > 0 && others >= d->missing) {
        vs_sheet_line(s, "  helps    other processes hold %s on this GPU: without them it would have fitted",
                      vs_human_bytes(others, bytes));
        return 1;
    }
    return 0;
}

/* Are PyTorch's segments expandable already? They are virtual memory then. */
static int expandable(struct vs_sheet *s, const struct vs_death *d)
{
    return vs_mortem_number(s, d, "SELECT COUNT(*) FROM (SELECT 1 FROM allocation WHERE process_id = ?2 AND device = ?3 AND level = 'held'"
                                  " AND flags & 16 AND library LIKE 'libc10%' LIMIT 1)") > 0;
}

static int of_fragments(struct vs_sheet *s, const struct vs_death *d)
{
    char all[VS_HUMAN], piece[VS_HUMAN];
    if (!d->torch || d->missing <= 0 || d->largest_cached == VS_UNKNOWN || d->free + d->cached < d->asked) return 0;
    if (expandable(s, d)) return 0;
    vs_sheet_line(s, "  helps    PyTorch's cache is in pieces: %s cached, the largest %s. PYTORCH_CUDA_ALLOC_CONF=",
                  vs_human_bytes(d->cached, all), vs_human_bytes(d->largest_cached, piece));
    vs_sheet_line(s, "           expandable_segments:True lets it join them");
    return 1;
}

static int of_growth(struct vs_sheet *s, const struct vs_death *d)
{
    struct vs_leftover l;
    char bytes[VS_HUMAN];
    vs_mortem_leftover(s, d, &l);
    if (l.iterations < 2 || !l.steady || d->missing <= 0 || l.bytes < d->missing) return 0;
    vs_sheet_line(
        s,
        "  helps    each of the last %lld iterations left more behind, %s in all: something keeps memory of past ones",
        (long long)l.iterations + 1, vs_human_bytes(l.bytes, bytes));
    return 1;
}

void vs_mortem_advice(struct vs_sheet *s, const struct vs_death *d)
{
    double activations, states;
    if (d->device < 0 || of_the_device(s, d) || of_fragments(s, d) || of_growth(s, d)) return;
    activations = share_of(s, d, " activation temporary ");
    states = share_of(s, d, " parameter gradient optimizer_state ");
    if (activations >= 0.5)
        vs_sheet_line(s, "  helps    %.0f %% is activations: a smaller batch or sequence, or activation checkpointing",
                      100 * activations);
    else if (states >= 0.5)
        vs_sheet_line(
            s, "  helps    %.0f %% is parameters, gradients, optimizer state: sharding (FSDP), or a leaner optimizer",
            100 * states);
}

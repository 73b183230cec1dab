/* SPDX-License-Identifier: MIT
 *
 * report_head.c: what was recorded, where, when and how it ended. Must never take a missing rank for a recorded one.
 */
#include <string.h>
#include <time.h>

#include "human.h"
#include "mortem.h"
#include "sheet.h"

static void command(struct vs_sheet *s, const char *db_path)
{
    char text[VS_CELL], path[4300];
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT command_line, (SELECT COUNT(DISTINCT command_line) - 1 FROM process WHERE id"
                                        " IN " VS_SHOWN ") FROM process WHERE id IN " VS_SHOWN
                                        " ORDER BY rank IS NULL, rank, id LIMIT 1");
    vs_human_path(db_path, path, sizeof path);
    if (!s->brief) vs_sheet_line(s, "RECORDING  %s", path);
    if (vs_sheet_next(s, &q)) {
        int others = sqlite3_column_int(q, 1);
        vs_column_text(q, 0, "not known", others > 0 ? 66 : 88, text);
        if (others > 0)
            vs_sheet_line(s, "  command  %s (and %d other%s)", text, others, others == 1 ? "" : "s");
        else
            vs_sheet_line(s, "  command  %s", text);
    }
    sqlite3_finalize(q);
}

static void machine(struct vs_sheet *s)
{
    char host[VS_CELL], device[VS_CELL], bytes[VS_CELL], driver[VS_CELL], cupti[VS_CELL], nccl[VS_CELL], gpu[256] = "no GPU seen";
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT name, MAX(total_bytes), COUNT(DISTINCT COALESCE(uuid, process_id || '.' || device))"
                                        " FROM device WHERE process_id IN " VS_SHOWN " GROUP BY name ORDER BY 3 DESC LIMIT 1");
    if (vs_sheet_next(s, &q)) {
        int n = sqlite3_column_int(q, 2);
        vs_column_text(q, 0, "GPU", 0, device);
        snprintf(gpu, sizeof gpu, "%d x %.100s (%s)", n, device, vs_column_bytes(q, 1, 0, bytes));
    }
    sqlite3_finalize(q);
    q = vs_sheet_query(s, "SELECT COUNT(DISTINCT host), MIN(host), COUNT(*), MAX(driver_version), MAX(cupti_version),"
                          " MAX(nccl_version) FROM process WHERE id IN " VS_SHOWN);
    if (vs_sheet_next(s, &q)) {
        int hosts = sqlite3_column_int(q, 0), processes = sqlite3_column_int(q, 2);
        char more[32] = "", versions[200] = "";
        size_t n = 0;
        if (hosts > 1) snprintf(more, sizeof more, " and %d more", hosts - 1);
        vs_sheet_line(s, "  where    %.60s%s, %d process%s, %s", vs_column_text(q, 1, "host not known", 0, host), more,
                      processes, processes == 1 ? "" : "es", gpu);
        if (sqlite3_column_text(q, 3))
            n += (size_t)snprintf(versions, sizeof versions, ", driver %.30s", vs_column_text(q, 3, "", 0, driver));
        if (sqlite3_column_text(q, 4))
            n += (size_t)snprintf(versions + n, sizeof versions - n, ", CUPTI %.30s", vs_column_text(q, 4, "", 0, cupti));
        if (sqlite3_column_text(q, 5))
            n += (size_t)snprintf(versions + n, sizeof versions - n, ", NCCL %.30s", vs_column_text(q, 5, "", 0, nccl));
        if (n) vs_sheet_line(s, "  with     %s", versions + 2);
    }
    sqlite3_finalize(q);
}

static void moment(struct vs_sheet *s)
{
    char when[64] = "not known", level[VS_CELL], lasted[VS_CELL];
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT MIN(start_real_ns), MAX(end_ns - start_ns + start_real_ns) - MIN(start_real_ns),"
                                        " MAX(trace_level) FROM process WHERE id IN " VS_SHOWN);
    if (vs_sheet_next(s, &q)) {
        time_t t = (time_t)(sqlite3_column_int64(q, 0) / 1000000000);
        struct tm tm;
        if (sqlite3_column_type(q, 0) != SQLITE_NULL && localtime_r(&t, &tm))
            strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %Z", &tm);
        vs_sheet_line(s, "  when     %s, for %s; trace level %s", when, vs_column_time(q, 1, 0, lasted),
                      vs_column_text(q, 2, "not known", 0, level));
    }
    sqlite3_finalize(q);
}

/* Processes that did not end well, the first three by name. */
static void unusual_ends(struct vs_sheet *s, int64_t orderly)
{
    sqlite3_stmt *q = vs_sheet_query(s, "SELECT rank, pid, ended, end_ns - delivered_ns, (SELECT count FROM loss WHERE"
                                        " process_id = p.id AND reason = 'undelivered'), exit_status FROM process p WHERE id IN " VS_SHOWN
                                        " AND (ended IS NOT 'exit' OR exit_status > 0) ORDER BY ended, rank, id");
    int n = 0;
    while (vs_sheet_next(s, &q)) {
        char who[48], late[VS_CELL], end[VS_ENDED];
        const char *ended = (const char *)sqlite3_column_text(q, 2);
        if (++n > 3) continue;
        if (sqlite3_column_type(q, 0) == SQLITE_NULL)
            snprintf(who, sizeof who, "pid %lld", (long long)sqlite3_column_int64(q, 1));
        else
            snprintf(who, sizeof who, "rank %lld (pid %lld)", (long long)sqlite3_column_int64(q, 0),
                     (long long)sqlite3_column_int64(q, 1));
        vs_mortem_end(ended && !strcmp(ended, "killed"), sqlite3_column_int64(q, 5), end); /* unknown: 0 */
        if (ended && !strcmp(ended, "killed") && sqlite3_column_int64(q, 3) > 0)
            vs_sheet_line(s, "  ended    %s %s; the GPU had not delivered the last %s", who, end,
                          vs_column_time(q, 3, 0, late));
        else if (ended && !strcmp(ended, "killed") && sqlite3_column_int64(q, 4) > 0)
            vs_sheet_line(s, "  ended    %s %s before the GPU delivered anything", who, end);
        else if (ended && !strcmp(ended, "killed"))
            vs_sheet_line(s, "  ended    %s %s; all it did before is recorded", who, end);
        else if (ended && !strcmp(ended, "exit"))
            vs_sheet_line(s, "  ended    %s %s", who, end);
        else if (ended && !strcmp(ended, "detached"))
            vs_sheet_line(s, "  ended    recording of %s was stopped; the program went on", who);
        else
            vs_sheet_line(s, "  ended    %s has not: what follows is what is known so far", who);
    }
    if (n > 3) vs_sheet_line(s, "  ended    %d more processes not well", n - 3);
    if (orderly) vs_sheet_line(s, "  ended    %lld in order", (long long)orderly);
}

static void ends(struct vs_sheet *s)
{
    int64_t all = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE id IN " VS_SHOWN);
    int64_t orderly = vs_sheet_number(s, "SELECT COUNT(*) FROM process WHERE ended = 'exit' AND"
                                       " COALESCE(exit_status, 0) = 0 AND id IN " VS_SHOWN);
    if (all && orderly == all)
        vs_sheet_line(s, "  ended    in order");
    else
        unusual_ends(s, orderly);
}

static void ranks(struct vs_sheet *s)
{
    int64_t seen = vs_sheet_number(s, "SELECT COUNT(DISTINCT rank) FROM process");
    int64_t world = vs_sheet_number(s, "SELECT MAX(world_size) FROM process");
    if (seen && world > seen)
        vs_sheet_line(s, "  RANKS    only %lld of %lld ranks were recorded", (long long)seen, (long long)world);
}

void vs_report_head(struct vs_sheet *s, const char *db_path)
{
    command(s, db_path);
    if (!s->brief) {
        machine(s);
        moment(s);
    }
    ends(s);
    ranks(s);
}

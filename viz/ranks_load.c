/* SPDX-License-Identifier: MIT
 *
 * ranks_load.c: owns which ranks are shown, which iteration is enlarged, and what is in each pixel. Never reads kernels outside that
 * iteration: the overview is of table rank_activity.
 */
#include "ranks.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int end_query(sqlite3 *db, sqlite3_stmt *q, int step, struct vs_error *e)
{
    sqlite3_finalize(q);
    return step == SQLITE_DONE || step == SQLITE_ROW ? 0 : vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(db));
}

static int number(sqlite3 *db, const char *sql, int64_t *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int step, err = vs_devices_prepare(db, sql, &q, e);
    if (err) return err;
    step = sqlite3_step(q);
    *out = step == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    return end_query(db, q, step, e);
}

/* In order of rank; of many the ones with most, middle and least compute. Without kernels that is who waited least. */
static const char list_sql[] =
    "WITH a AS (SELECT process_id, device, SUM(compute_ns + both_ns) AS compute, SUM(communication_ns) AS waited, MIN(ts_ns) AS first,"
    "   MAX(ts_ns + width_ns) AS last FROM rank_activity GROUP BY 1, 2),"
    " r AS (SELECT *, ROW_NUMBER() OVER (ORDER BY compute, waited DESC, process_id, device) AS place, COUNT(*) OVER () AS n FROM a)"
    " SELECT r.process_id, r.device, r.compute, p.rank, p.pid, p.host, k.offset_ns, r.first + k.offset_ns, r.last + k.offset_ns, r.n, r.place,"
    "  (SELECT COUNT(DISTINCT host) FROM process), COALESCE((SELECT c.device FROM communicator c WHERE c.process_id = p.id LIMIT 1), -1)"
    " FROM r JOIN process p ON p.id = r.process_id JOIN process_clock k ON k.process_id = p.id"
    " WHERE r.n <= ?1 OR r.place IN (1, (r.n + 1) / 2, r.n) ORDER BY p.rank IS NULL, p.rank, p.id, r.device";

static void name_rank(struct vs_rank *r, sqlite3_stmt *q)
{
    static const char *const why[] = {"least compute", "median", "most compute"};
    char text[512], host[VS_LABEL_SIZE] = "", gpu[32] = "";
    int64_t n = sqlite3_column_int64(q, 9), place = sqlite3_column_int64(q, 10);
    if (sqlite3_column_int(q, 11) > 1 && sqlite3_column_text(q, 5))
        vs_label_clean(host, sizeof host, (const char *)sqlite3_column_text(q, 5), 12);
    if (r->device >= 0) snprintf(gpu, sizeof gpu, " · GPU %d", r->device);
    if (sqlite3_column_type(q, 3) == SQLITE_NULL) snprintf(text, sizeof text, "pid %lld%s", (long long)sqlite3_column_int64(q, 4), gpu);
    else snprintf(text, sizeof text, "rank %lld%s", (long long)sqlite3_column_int64(q, 3), gpu);
    if (*host) snprintf(text + strlen(text), sizeof text - strlen(text), " · %s", host);
    vs_label_clean(r->label, sizeof r->label, text, VS_LABEL_POINTS);
    if (n > VS_RANKS_MAX) r->why = why[place == n ? 2 : place > 1];
}

static int load_list(sqlite3 *db, struct vs_ranks *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int step = SQLITE_DONE, err = vs_devices_prepare(db, list_sql, &q, e);
    int64_t last = INT64_MIN;
    if (err) return err;
    sqlite3_bind_int(q, 1, VS_RANKS_MAX);
    out->origin_ns = INT64_MAX;
    while (out->count < VS_RANKS_MAX && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct vs_rank *r = &out->item[out->count++];
        r->process_id = sqlite3_column_int64(q, 0);
        r->device = sqlite3_column_int(q, 1);
        r->offset_ns = sqlite3_column_int64(q, 6);
        if (sqlite3_column_int64(q, 7) < out->origin_ns) out->origin_ns = sqlite3_column_int64(q, 7);
        if (sqlite3_column_int64(q, 8) > last) last = sqlite3_column_int64(q, 8);
        out->total = sqlite3_column_int(q, 9);
        out->hosts = sqlite3_column_int(q, 11);
        out->without_kernels += r->device < 0;
        name_rank(r, q);
    }
    out->span_ns = last > out->origin_ns ? last - out->origin_ns : 1;
    return end_query(db, q, step, e);
}

/* Where a strip lies on the clock of a process, and what is added to it. */
struct brush {
    struct vs_rank_strip *strip;
    double from, ns_per_column;
};

static void paint(struct brush *b, int state, double from, double to, double ns)
{
    double x0 = (from - b->from) / b->ns_per_column, x1 = (to - b->from) / b->ns_per_column;
    if (x0 < 0) x0 = 0;
    if (x1 > VS_RANK_COLUMNS) x1 = VS_RANK_COLUMNS;
    if (to <= from) return;
    for (int i = (int)x0; i < x1; i++) {
        double part = (x1 < i + 1 ? x1 : i + 1) - (x0 > i ? x0 : i);
        b->strip->ns[i][state] += part * b->ns_per_column * ns / (to - from);
    }
}

static int load_overview(sqlite3 *db, const struct vs_ranks *all, struct vs_rank *r, struct vs_error *e)
{
    struct brush b = {&r->all, (double)(all->origin_ns - r->offset_ns), (double)all->span_ns / VS_RANK_COLUMNS};
    sqlite3_stmt *q = NULL;
    int step, err = vs_devices_prepare(db, "SELECT ts_ns, ts_ns + width_ns, compute_ns, communication_ns, both_ns FROM rank_activity"
                                           " WHERE process_id = ?1 AND device = ?2 ORDER BY 1", &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, r->process_id);
    sqlite3_bind_int(q, 2, r->device);
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        for (int k = VS_LANE_COMPUTE; k <= VS_LANE_BOTH; k++) {
            paint(&b, k, sqlite3_column_double(q, 0), sqlite3_column_double(q, 1), sqlite3_column_double(q, 1 + k));
            r->all.sum[k] += sqlite3_column_double(q, 1 + k);
        }
    return end_query(db, q, step, e);
}

/* The middle one of those that the first rank with any has. */
static const char step_sql[] =
    "WITH s AS (SELECT d.process_id, d.device, iteration, begin_ns + offset_ns AS begin_ns, end_ns + offset_ns AS end_ns,"
    "   compute_ns, communication_ns, both_ns FROM step_overlap_data d JOIN process_clock k ON k.process_id = d.process_id"
    "   WHERE iteration IS NOT NULL),"
    " f AS (SELECT iteration, ROW_NUMBER() OVER (ORDER BY iteration) AS at, COUNT(*) OVER () AS n FROM s WHERE process_id ="
    "   (SELECT MIN(process_id) FROM s) AND device = (SELECT device FROM s WHERE process_id = (SELECT MIN(process_id) FROM s) LIMIT 1))"
    " SELECT process_id, device, iteration, begin_ns, end_ns, compute_ns, communication_ns, both_ns FROM s"
    "  WHERE iteration = (SELECT iteration FROM f WHERE at = n / 2 + 1)";

/* Ranks on the CPU: the host's own iterations. */
static const char host_step_sql[] =
    "WITH s AS (SELECT f.process_id, -1 AS device, iteration, MIN(begin_ns) + offset_ns AS begin_ns, MAX(f.end_ns) + offset_ns AS end_ns"
    "   FROM phase f JOIN process_clock k ON k.process_id = f.process_id WHERE iteration IS NOT NULL AND f.process_id IN"
    "   (SELECT process_id FROM rank_activity) GROUP BY 1, 3)"
    " SELECT *, 0, 0, 0 FROM s WHERE iteration = (SELECT MAX(iteration) / 2 FROM s)";

static int choose_step(sqlite3 *db, const char *sql, struct vs_ranks *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    int64_t first = INT64_MAX, last = INT64_MIN;
    int step, err = vs_devices_prepare(db, sql, &q, e);
    if (err) return err;
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        for (int i = 0; i < out->count; i++) {
            struct vs_rank *r = &out->item[i];
            if (r->process_id != sqlite3_column_int64(q, 0) || r->device != sqlite3_column_int(q, 1)) continue;
            out->step = sqlite3_column_int64(q, 2);
            r->begin_ns = sqlite3_column_int64(q, 3);
            r->end_ns = sqlite3_column_int64(q, 4);
            for (int k = VS_LANE_COMPUTE; k <= VS_LANE_BOTH; k++) r->step.sum[k] = sqlite3_column_double(q, 4 + k);
            if (r->begin_ns < first) first = r->begin_ns;
            if (r->end_ns > last) last = r->end_ns;
        }
    if (last > first && last - first < out->span_ns / 3 * 2) { /* of one that is nearly all there is nothing more to see */
        int64_t margin = (last - first) / 50 + 1;
        out->step_ns = first - margin;
        out->step_span_ns = last - first + 2 * margin;
    }
    return end_query(db, q, step, e);
}

static void paint_stretch(void *arg, enum vs_lane_state state, int64_t from, int64_t to)
{
    paint(arg, (int)state, (double)from, (double)to, (double)(to - from));
}

/* Kernels of the iteration and its neighbours, which reach into the picture; else calls. */
static const char kernels_sql[] =
    "SELECT begin_ns, end_ns, name_id IN (SELECT id FROM string WHERE text GLOB 'nccl*Kernel*' OR text GLOB 'void nccl*Kernel*') FROM kernel"
    " WHERE id BETWEEN (SELECT MIN(first_kernel) FROM step_overlap_data WHERE process_id = ?1 AND device = ?2 AND iteration BETWEEN ?5 - 1"
    "  AND ?5 + 1) AND (SELECT MAX(last_kernel) FROM step_overlap_data WHERE process_id = ?1 AND device = ?2 AND iteration BETWEEN ?5 - 1"
    "  AND ?5 + 1) AND device IS ?2 AND begin_ns < ?4 AND end_ns > ?3 ORDER BY 1";
static const char calls_sql[] =
    "SELECT begin_ns, COALESCE(c.end_ns, p.end_ns) AS end, 1 FROM collective c JOIN process p ON p.id = process_id"
    " WHERE process_id = ?1 AND begin_ns < ?4 AND end > ?3 ORDER BY 1"; /* one that hung lasts to the end */

static int load_step(sqlite3 *db, const struct vs_ranks *all, struct vs_rank *r, struct vs_error *e)
{
    struct brush b = {&r->step, (double)(all->step_ns - r->offset_ns), (double)all->step_span_ns / VS_RANK_COLUMNS};
    struct vs_lanes lanes;
    sqlite3_stmt *q = NULL;
    int step, begun = 0, err = vs_devices_prepare(db, r->device < 0 ? calls_sql : kernels_sql, &q, e);
    if (err) return err;
    sqlite3_bind_int64(q, 1, r->process_id);
    sqlite3_bind_int(q, 2, r->device);
    sqlite3_bind_int64(q, 3, all->step_ns - r->offset_ns);
    sqlite3_bind_int64(q, 4, all->step_ns - r->offset_ns + all->step_span_ns);
    sqlite3_bind_int64(q, 5, all->step);
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        if (!begun++) vs_lanes_begin(&lanes, sqlite3_column_int64(q, 0));
        vs_lanes_advance(&lanes, sqlite3_column_int64(q, 0), paint_stretch, &b);
        vs_lanes_add(&lanes, sqlite3_column_int(q, 2), sqlite3_column_int64(q, 1));
    }
    if (begun) vs_lanes_finish(&lanes, paint_stretch, &b);
    return end_query(db, q, step, e);
}

static int load_alarm(sqlite3 *db, struct vs_ranks *out, struct vs_error *e)
{
    sqlite3_stmt *q = NULL;
    char text[400];
    int step, err = vs_devices_prepare(
        db, "SELECT op, sequence, missing, unfinished, unreported FROM collective_match WHERE missing IS NOT NULL OR unfinished IS NOT NULL"
            " OR unreported IS NOT NULL ORDER BY first_start_ns LIMIT 1", &q, e);
    if (err) return err;
    if ((step = sqlite3_step(q)) == SQLITE_ROW) {
        const char *ranks = NULL;
        int which = 2;
        while (which < 5 && !(ranks = (const char *)sqlite3_column_text(q, which))) which++;
        snprintf(text, sizeof text, "%s number %lld %s rank %s", (const char *)sqlite3_column_text(q, 0), (long long)sqlite3_column_int64(q, 1),
                 which == 2 ? "was never made by" : which == 3 ? "never returned on" : "was not reported by the GPU of", ranks);
        vs_label_clean(out->alarm, sizeof out->alarm, text, VS_LABEL_POINTS);
    }
    return end_query(db, q, step, e);
}

int vs_ranks_load(sqlite3 *db, struct vs_ranks *out, struct vs_error *e)
{
    int64_t known = 0, met = 0;
    int err;
    memset(out, 0, sizeof *out);
    if ((err = number(db, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'rank_activity'", &known, e))) return err;
    if (known && (err = load_list(db, out, e))) return err;
    if (known && out->total < 2 && (err = number(db, "SELECT MAX(ranks_recorded) FROM collective_match", &met, e))) return err;
    if (out->total < 2 && met > 1)
        return vs_fail(e, ENODATA, "it is made of kernels, and none were recorded; record them with: vramscope run --trace kernels");
    if (out->total < 2) return vs_fail(e, ENOMSG, "fewer than two ranks have kernels or collectives");
    if ((err = choose_step(db, step_sql, out, e))) return err;
    if (!out->step_span_ns && out->without_kernels == out->count && (err = choose_step(db, host_step_sql, out, e))) return err;
    for (int i = 0; i < out->count && !err; i++) {
        err = load_overview(db, out, &out->item[i], e);
        if (!err && out->step_span_ns) err = load_step(db, out, &out->item[i], e);
    }
    return err ? err : load_alarm(db, out, e);
}

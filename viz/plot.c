/* SPDX-License-Identifier: MIT
 *
 * plot.c: owns which charts a database has. Never draws.
 */
#include "plot.h"

#include "../db/query.h"
#include "charts.h"
#include "drawing.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#define COMPARISON "memory_breakdown_comparison"

static const struct vs_drawing drawings[] = {
    {"memory_timeline", "timeline.gp", 0}, {"memory_breakdown", "breakdown.gp", 0}, {COMPARISON, "breakdown.gp", 1},
    {"norms_time", "norms.gp", 1},         {"norms_memory", "norms.gp", 1},      {"rank_timeline", "ranks.gp", 0},
};

enum { CHARTS = sizeof drawings / sizeof *drawings };

static int (*const writers[CHARTS])(sqlite3 *db, const char *dir, int *unshown, struct vs_error *e) = {
    vs_timeline_write, vs_breakdown_write, vs_ranks_write, vs_norms_time_write, vs_norms_memory_write,
    vs_rank_timeline_write};

static const struct vs_plot_options no_options;

static int write_chart(void *db, int index, const char *dir, int *unshown, struct vs_error *e)
{
    return writers[index](db, dir, unshown, e);
}

int vs_plot(struct vs_db *db, const char *out_dir, const struct vs_plot_options *opt, struct vs_error *e)
{
    struct vs_drawings *d = malloc(sizeof *d);
    sqlite3 *sql = vs_db_handle(db);
    if (!d) return vs_fail(e, ENOMEM, "out of memory");
    /* One snapshot for all charts even while an ingest goes on; without it we only lose that. */
    int begun = sqlite3_exec(sql, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
    int err = vs_drawings_start(d, drawings, CHARTS, out_dir, write_chart, sql, e);
    if (begun) sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL);
    err = vs_drawings_finish(d, err, out_dir, opt ? opt : &no_options, e);
    free(d);
    return err;
}

struct runs {
    sqlite3 *sql[VS_PLOT_RUNS_MAX];
    const char *const *names;
    int count;
};

static int write_runs(void *data, int index, const char *dir, int *unshown, struct vs_error *e)
{
    const struct runs *r = data;
    (void)index;
    return vs_runs_write(r->sql, r->names, r->count, dir, unshown, e);
}

int vs_plot_runs(struct vs_db *const *dbs, const char *const *names, int count, const char *out_dir,
                 const struct vs_plot_options *opt, struct vs_error *e)
{
    static const struct vs_drawing drawing = {COMPARISON, "breakdown.gp", 0};
    struct runs r = {.names = names, .count = count};
    struct vs_drawings *d;
    if (count < 2 || count > VS_PLOT_RUNS_MAX)
        return vs_fail(e, EINVAL, "2 to %d runs can be compared, not %d", VS_PLOT_RUNS_MAX, count);
    if (!(d = malloc(sizeof *d))) return vs_fail(e, ENOMEM, "out of memory");
    for (int i = 0; i < count; i++) r.sql[i] = vs_db_handle(dbs[i]);
    int err = vs_drawings_start(d, &drawing, 1, out_dir, write_runs, &r, e);
    err = vs_drawings_finish(d, err, out_dir, opt ? opt : &no_options, e);
    free(d);
    return err;
}

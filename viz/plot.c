/* SPDX-License-Identifier: MIT
 *
 * plot.c: owns the order of work: write data, start gnuplot for all charts at once, collect. Never draws.
 */
#include "plot.h"

#include "../db/query.h"
#include "charts.h"
#include "gnuplot.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#define COMPARISON "memory_breakdown_comparison"

static const struct chart {
    const char *stem, *script;
    int (*write)(sqlite3 *db, const char *dir, int *unshown, struct vs_error *e);
    int special; /* of one kind of recording */
} charts[] = {
    {"memory_timeline", "timeline.gp", vs_timeline_write, 0},
    {"memory_breakdown", "breakdown.gp", vs_breakdown_write, 0},
    {COMPARISON, "breakdown.gp", vs_ranks_write, 1},
    {"norms_time", "norms.gp", vs_norms_time_write, 1},
    {"norms_memory", "norms.gp", vs_norms_memory_write, 1},
};

enum { CHARTS = sizeof charts / sizeof *charts };

/* Why there is no chart at all, in the words of the chart that a recording of this kind is for. */
static const char *reason(const int *empty, const struct vs_error *missing)
{
    for (int i = 0; i < CHARTS; i++)
        if (charts[i].special && empty[i] == -ENODATA) return missing[i].text;
    return missing[0].text;
}

static void say_unshown(void)
{
    fprintf(stderr, "vramscope: no font here has some characters of the names; the .png show a replacement, the .svg "
                    "have them all. For Chinese: apt-get install fonts-noto-cjk\n");
}

int vs_plot(struct vs_db *db, const char *out_dir, const struct vs_plot_options *opt, struct vs_error *e)
{
    static const struct vs_plot_options none;
    struct vs_gnuplot runs[CHARTS] = {0};
    struct vs_error missing[CHARTS];
    int empty[CHARTS] = {0} /* -ENODATA, -ENOMSG */, drawn = 0, unshown = 0, err = 0;
    sqlite3 *sql = vs_db_handle(db);
    if (!opt) opt = &none;
    /* One snapshot for all charts even while an ingest goes on; without it we only lose that. */
    int begun = sqlite3_exec(sql, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; i < CHARTS && !err; i++) {
        err = vs_gnuplot_open(&runs[i], out_dir, e);
        if (!err) err = charts[i].write(sql, runs[i].dir, &unshown, &missing[i]);
        else continue;
        empty[i] = err == -ENODATA || err == -ENOMSG ? err : 0;
        if (empty[i]) err = 0;
        else if (err) vs_fail(e, -err, "%s", missing[i].text);
        else err = vs_gnuplot_start(&runs[i], charts[i].script, e);
    }
    if (begun) sqlite3_exec(sql, "ROLLBACK", NULL, NULL, NULL);
    for (int i = 0; i < CHARTS && !err; i++) {
        if (empty[i]) continue;
        err = vs_gnuplot_finish(&runs[i], out_dir, charts[i].stem, opt->wrote, opt->arg, e);
        drawn++;
    }
    if (!err && !drawn) err = vs_fail(e, ENODATA, "%s", reason(empty, missing));
    if (!err && unshown && !opt->quiet) say_unshown();
    for (int i = 0; i < CHARTS; i++) {
        if (!err && empty[i] == -ENODATA && !opt->quiet)
            fprintf(stderr, "vramscope: no %s: %s\n", charts[i].stem, missing[i].text);
        vs_gnuplot_close(&runs[i]);
    }
    return err;
}

int vs_plot_runs(struct vs_db *const *dbs, const char *const *names, int count, const char *out_dir,
                 const struct vs_plot_options *opt, struct vs_error *e)
{
    static const struct vs_plot_options none;
    sqlite3 *sql[VS_PLOT_RUNS_MAX];
    struct vs_gnuplot run = {0};
    int unshown = 0;
    if (count < 2 || count > VS_PLOT_RUNS_MAX)
        return vs_fail(e, EINVAL, "2 to %d runs can be compared, not %d", VS_PLOT_RUNS_MAX, count);
    if (!opt) opt = &none;
    for (int i = 0; i < count; i++) sql[i] = vs_db_handle(dbs[i]);
    int err = vs_gnuplot_open(&run, out_dir, e);
    if (!err) err = vs_runs_write(sql, names, count, run.dir, &unshown, e);
    if (!err) err = vs_gnuplot_start(&run, "breakdown.gp", e);
    if (!err) err = vs_gnuplot_finish(&run, out_dir, COMPARISON, opt->wrote, opt->arg, e);
    if (!err && unshown && !opt->quiet) say_unshown();
    vs_gnuplot_close(&run);
    return err;
}

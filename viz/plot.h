/* SPDX-License-Identifier: MIT
 *
 * plot.h: draws the charts of one database: memory over time, what the memory was at its peak, the same of all
 * ranks side by side, what ranks did over time, and of results of `bench norms` time and memory over T. Or of several databases one chart: their
 * peaks side by side.
 *
 * Writes memory_timeline, memory_breakdown, memory_breakdown_comparison, rank_timeline, norms_time and norms_memory, each as .png and
 * .svg, into out_dir, which is made when it is missing (mode 0700; its parent must be there). A chart appears whole or not at all. A database that
 * has data for only one of the memory charts yields that one, and unless quiet, one line on stderr about the other.
 *
 * Ownership: borrows everything; keeps nothing after it returns.
 * Threading: single thread; it forks gnuplot and waits for it.
 * Errors: -ENODATA nothing to draw, -ENOENT gnuplot is not installed, -EIO gnuplot or the database failed, else -errno
 * of the file system; the text says what to do.
 */
#ifndef VS_VIZ_PLOT_H
#define VS_VIZ_PLOT_H

#include "../db/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_db;

struct vs_plot_options {
    int quiet;                                  /* 1: nothing on stderr */
    void (*wrote)(void *arg, const char *path); /* called after each finished file; NULL is fine */
    void *arg;
};

/* opt may be NULL. */
int vs_plot(struct vs_db *db, const char *out_dir, const struct vs_plot_options *opt, struct vs_error *e);

enum { VS_PLOT_RUNS_MAX = 24 };

/* memory_breakdown_comparison alone, of 2 to VS_PLOT_RUNS_MAX databases; names: what to write below the bars. */
int vs_plot_runs(struct vs_db *const *dbs, const char *const *names, int count, const char *out_dir,
                 const struct vs_plot_options *opt, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif

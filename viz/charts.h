/* SPDX-License-Identifier: MIT
 *
 * charts.h: the drawings, as data files in a private folder.
 *
 * *unshown becomes 1 when the PNG lacks characters that no installed font has.
 *
 * Ownership: borrow everything, keep nothing. Errors: -ENODATA when the database has nothing for this chart, the text
 * says what is missing; -ENOMSG when it is not the kind of recording that the chart is of; -EIO, -ENOMEM, or -errno of the folder.
 */
#ifndef VS_VIZ_CHARTS_H
#define VS_VIZ_CHARTS_H

#include "../db/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

int vs_timeline_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e);  /* for timeline.gp */
int vs_breakdown_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e); /* for breakdown.gp */
/* Ranks side by side, for breakdown.gp. -ENOMSG: there is only one bar to draw. */
int vs_ranks_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e);
/* Runs side by side, each by its highest device; `names` says which is which. */
int vs_runs_write(struct sqlite3 *const *dbs, const char *const *names, int count, const char *dir, int *unshown,
                  struct vs_error *e);
/* Ranks over time, for ranks.gp. -ENOMSG: there is only one with collectives. */
int vs_rank_timeline_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e);
int vs_norms_time_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e);   /* for norms.gp */
int vs_norms_memory_write(struct sqlite3 *db, const char *dir, int *unshown, struct vs_error *e); /* for norms.gp */

#ifdef __cplusplus
}
#endif

#endif

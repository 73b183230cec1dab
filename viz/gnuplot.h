/* SPDX-License-Identifier: MIT
 *
 * gnuplot.h: runs gnuplot on a private folder of data files and moves its finished images to their place.
 *
 * The scripts are constant texts inside this binary. gnuplot is started from an argument vector, in the private folder,
 * without the user's settings; no path and no name of the database ever reaches its command language.
 *
 * Ownership: open/close pair; close removes the folder and all in it (NULL-safe, also after a failed open).
 * Threading: single thread (forks). Errors: as plot.h.
 */
#ifndef VS_VIZ_GNUPLOT_H
#define VS_VIZ_GNUPLOT_H

#include "../db/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_gnuplot {
    char dir[4096 + 32]; /* private, inside out_dir, so that finished images can be renamed; "" when not open */
    int pid[2];          /* png, svg; 0: not running */
};

/* Makes it when it is missing. */
int vs_gnuplot_folder(const char *out_dir, struct vs_error *e);
/* Makes out_dir when it is missing. */
int vs_gnuplot_open(struct vs_gnuplot *g, const char *out_dir, struct vs_error *e);
/* script: "timeline.gp", "breakdown.gp", "norms.gp", "ranks.gp" or "experiments.gp". Starts one gnuplot for each image format and returns at once. */
int vs_gnuplot_start(struct vs_gnuplot *g, const char *script, struct vs_error *e);
/* Waits for both and moves chart.png and chart.svg to out_dir/stem.png and .svg; tells `wrote` of each. */
int vs_gnuplot_finish(struct vs_gnuplot *g, const char *out_dir, const char *stem, void (*wrote)(void *, const char *),
                      void *arg, struct vs_error *e);
void vs_gnuplot_close(struct vs_gnuplot *g);

#ifdef __cplusplus
}
#endif

#endif

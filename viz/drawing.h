/* SPDX-License-Identifier: MIT
 *
 * drawing.h: several charts drawn at once: writes the data of each, starts gnuplot for all, collects the images.
 *
 * Ownership: vs_drawings_start gives folders and processes that vs_drawings_finish takes back, whatever failed.
 * Threading: single thread (forks). Errors: as plot.h.
 */
#ifndef VS_VIZ_DRAWING_H
#define VS_VIZ_DRAWING_H

#include "gnuplot.h"
#include "plot.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_DRAWINGS_MAX = 8 };

struct vs_drawing {
    const char *stem, *script; /* of the images; one of gnuplot.h */
    int special; /* of one kind of input: it says why there is no chart at all when it has nothing to show */
};

struct vs_drawings {
    const struct vs_drawing *drawing;
    int count, empty[VS_DRAWINGS_MAX]; /* empty: -ENODATA, -ENOMSG */
    struct vs_gnuplot run[VS_DRAWINGS_MAX];
    struct vs_error missing[VS_DRAWINGS_MAX];
    int unshown;
};

/* Writes the data of drawing `index` into dir; -ENODATA: there is none, which is told; -ENOMSG: which is not told. */
typedef int vs_drawing_writer(void *data, int index, const char *dir, int *unshown, struct vs_error *e);

int vs_drawings_start(struct vs_drawings *d, const struct vs_drawing *drawing, int count, const char *out_dir,
                      vs_drawing_writer *write, void *data, struct vs_error *e);
/* err: what has failed so far, or 0. */
int vs_drawings_finish(struct vs_drawings *d, int err, const char *out_dir, const struct vs_plot_options *how,
                       struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT
 *
 * experiments.c: owns which figures a folder of experiments has. Never draws.
 */
#include "experiments.h"

#include "drawing.h"
#include "experiments_figure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct vs_drawing drawings[] = {
#define X(name, stem) {stem, "experiments.gp", 0},
    VS_FIGURES(X)
#undef X
};

enum { FIGURES = sizeof drawings / sizeof *drawings };

static int write_figure(void *data, int index, const char *dir, int *unshown, struct vs_error *e)
{
    static int (*const writers[FIGURES])(const struct vs_experiments *, const char *, int *, struct vs_error *) = {
#define X(name, stem) vs_experiments_##name##_write,
        VS_FIGURES(X)
#undef X
    };
    return writers[index](data, dir, unshown, e);
}

int vs_plot_experiments(const char *input_dir, const char *output_dir, const struct vs_plot_options *how,
                        struct vs_error *e)
{
    static const struct vs_plot_options none;
    struct vs_experiments set;
    struct vs_drawings *d = malloc(sizeof *d);
    if (!how) how = &none;
    if (!d) return vs_fail(e, ENOMEM, "out of memory");
    int err = vs_experiments_load(input_dir, &set, e);
    for (int i = 0; i < set.left && !how->quiet; i++)
        fprintf(stderr, "vramscope: left out %s: %s\n", set.left_out[i].file, set.left_out[i].reason);
    if (!err) err = vs_experiments_summary_write(&set, output_dir, how, e);
    if (!err) {
        err = vs_drawings_start(d, drawings, FIGURES, output_dir, write_figure, &set, e);
        err = vs_drawings_finish(d, err, output_dir, how, e);
    }
    vs_experiments_free(&set);
    free(d);
    return err;
}

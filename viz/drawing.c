/* SPDX-License-Identifier: MIT
 *
 * drawing.c: owns the order of work: write data, start gnuplot for all charts at once, collect. Never draws.
 */
#include "drawing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Why there is no chart at all, in the words of the chart that an input of this kind is for. */
static const char *reason(const struct vs_drawings *d)
{
    for (int i = 0; i < d->count; i++)
        if (d->drawing[i].special && d->empty[i] == -ENODATA) return d->missing[i].text;
    return d->missing[0].text;
}

static void say_unshown(void)
{
    fprintf(stderr, "vramscope: no font here has some characters of the names; the .png show a replacement, the .svg "
                    "have them all. For Chinese: apt-get install fonts-noto-cjk\n");
}

int vs_drawings_start(struct vs_drawings *d, const struct vs_drawing *drawing, int count, const char *out_dir,
                      vs_drawing_writer *write, void *data, struct vs_error *e)
{
    int err = 0;
    memset(d, 0, sizeof *d);
    d->drawing = drawing;
    d->count = count;
    for (int i = 0; i < count && !err; i++) {
        err = vs_gnuplot_open(&d->run[i], out_dir, e);
        if (!err) err = write(data, i, d->run[i].dir, &d->unshown, &d->missing[i]);
        else continue;
        d->empty[i] = err == -ENODATA || err == -ENOMSG ? err : 0;
        if (d->empty[i]) err = 0;
        else if (err) vs_fail(e, -err, "%s", d->missing[i].text);
        else err = vs_gnuplot_start(&d->run[i], drawing[i].script, e);
    }
    return err;
}

int vs_drawings_finish(struct vs_drawings *d, int err, const char *out_dir, const struct vs_plot_options *how,
                       struct vs_error *e)
{
    int drawn = 0;
    for (int i = 0; i < d->count && !err; i++) {
        if (d->empty[i]) continue;
        err = vs_gnuplot_finish(&d->run[i], out_dir, d->drawing[i].stem, how->wrote, how->arg, e);
        drawn++;
    }
    if (!err && !drawn) err = vs_fail(e, ENODATA, "%s", reason(d));
    if (!err && d->unshown && !how->quiet) say_unshown();
    for (int i = 0; i < d->count; i++) {
        if (!err && d->empty[i] == -ENODATA && !how->quiet)
            fprintf(stderr, "vramscope: no %s: %s\n", d->drawing[i].stem, d->missing[i].text);
        vs_gnuplot_close(&d->run[i]);
    }
    return err;
}

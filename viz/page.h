/* SPDX-License-Identifier: MIT
 *
 * page.h: the data files of one drawing: boxes, lines and texts at pixel positions, from which gnuplot draws a page.
 *
 * All layout is done here in C; the scripts only know these files. x and y are pixels from the upper left corner.
 * Ownership: vs_page_close writes out and frees; every function accepts a page that failed and does nothing then.
 * Errors: kept in the page and returned by vs_page_close as -errno.
 */
#ifndef VS_VIZ_PAGE_H
#define VS_VIZ_PAGE_H

#include "../db/error.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each is one file and one line of canvas.gp, because gnuplot fixes font and alignment per plot element. */
#define VS_TEXTS(X)                                                                                                    \
    X(TITLE, "text_title.tsv")    /* 23 px bold, left */                                                               \
    X(HEAD, "text_head.tsv")      /* 15 px bold, left */                                                               \
    X(LEFT, "text_left.tsv")      /* 14 px */                                                                          \
    X(RIGHT, "text_right.tsv")    /* 14 px */                                                                          \
    X(CENTER, "text_center.tsv")  /* 14 px */                                                                          \
    X(SMALL, "text_small.tsv")    /* 12 px, centred */                                                                 \
    X(UP, "text_up.tsv")          /* 14 px, reads upwards, centred */                                                  \
    X(DOWN, "text_down.tsv")      /* 12 px, reads upwards, ends at the point */                                        \
    X(NOTE_LEFT, "note_left.tsv") /* 14 px on white, over the data */                                                  \
    X(NOTE_RIGHT, "note_right.tsv")

enum vs_text {
#define X(name, file) VS_TEXT_##name,
    VS_TEXTS(X)
#undef X
        VS_TEXT_COUNT
};

enum { VS_PAGE_WIDTH = 1600, VS_PAGE_LEFT = 100, VS_PAGE_RIGHT = 36 }; /* pixels; the margins of what has axes */

enum { VS_INK = 0x222222, VS_INK_SOFT = 0x5f6670, VS_INK_ALARM = 0xb0102a };

struct vs_fonts;

struct vs_page {
    const char *dir; /* private folder of this drawing; not owned */
    FILE *text[VS_TEXT_COUNT], *boxes, *lines;
    struct vs_fonts *fonts;
    int unshown; /* 1: some character of a label has no font here and is U+FFFD in the PNG */
    int error;   /* errno of the first failure */
};

void vs_page_open(struct vs_page *p, const char *dir);
void vs_page_text(struct vs_page *p, enum vs_text style, double x, double y, unsigned rgb, const char *text);
void vs_page_box(struct vs_page *p, double x0, double y0, double x1, double y1, unsigned rgb);
void vs_page_line(struct vs_page *p, double x0, double y0, double x1, double y1, unsigned rgb);
/* One more data file of this drawing: for the curves. Closed by vs_page_end. */
FILE *vs_page_begin(struct vs_page *p, const char *name);
/* The same with a first row of x, y, colour that is not seen: gnuplot gives up on a file without points. */
FILE *vs_page_begin_drawn(struct vs_page *p, const char *name);
void vs_page_end(struct vs_page *p, FILE *f);
/* Writes page.tsv: height and the number of panels. */
void vs_page_size(struct vs_page *p, double height, int panels);
int vs_page_close(struct vs_page *p, struct vs_error *e);

/* Mixes a colour with white; share 1 is the colour itself. */
unsigned vs_page_tint(unsigned rgb, double share);
/* Divides [0, top] by round numbers, about `wanted` of them. */
double vs_page_step(double top, int wanted);
/* The binary unit in which `bytes` reads well. */
double vs_page_unit(double bytes, const char **name);

#ifdef __cplusplus
}
#endif

#endif

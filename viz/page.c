/* SPDX-License-Identifier: MIT
 *
 * page.c: owns the syntax of the data files. Never writes a byte of a label that gnuplot would read as anything but text.
 */
#include "page.h"

#include "fonts.h"
#include "label.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char *const text_files[VS_TEXT_COUNT] = {
#define X(name, file) file,
    VS_TEXTS(X)
#undef X
};

FILE *vs_page_begin(struct vs_page *p, const char *name)
{
    char path[4200];
    if (p->error) return NULL;
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    FILE *f = fopen(path, "wxe");
    if (!f) p->error = errno;
    return f;
}

FILE *vs_page_begin_drawn(struct vs_page *p, const char *name)
{
    FILE *f = vs_page_begin(p, name);
    if (f) fputs("0\t0\t16777215\n\n", f);
    return f;
}

void vs_page_end(struct vs_page *p, FILE *f)
{
    if (!f) return;
    int failed = ferror(f);
    if ((fclose(f) || failed) && !p->error) p->error = errno ? errno : EIO;
}

/* gnuplot drops a plot element without points and warns; an invisible first row keeps every file drawable. */
void vs_page_open(struct vs_page *p, const char *dir)
{
    memset(p, 0, sizeof *p);
    p->dir = dir;
    p->fonts = vs_fonts_new();
    for (int i = 0; i < VS_TEXT_COUNT; i++) {
        p->text[i] = vs_page_begin(p, text_files[i]);
        if (p->text[i]) fputs("0\t0\t \t \t16777215\n", p->text[i]);
    }
    p->boxes = vs_page_begin(p, "boxes.tsv");
    p->lines = vs_page_begin(p, "lines.tsv");
    if (p->boxes) fputs("0\t0\t0\t0\t0\t0\t16777215\n", p->boxes);
    if (p->lines) fputs("0\t0\t0\t0\t16777215\n", p->lines);
}

static void put_text(struct vs_page *p, FILE *f, const char *text, int only_covered)
{
    static const char replacement[] = "\357\277\275"; /* U+FFFD */
    uint32_t point;
    for (int n; (n = vs_label_next(text, &point)); text += n) {
        if (point == '"') fputs("\\042", f);
        else if (point == '\\') fputs("\\\\", f);
        else if (point < ' ') fputc(' ', f);
        else if (only_covered && !vs_fonts_cover(p->fonts, point)) {
            p->unshown = 1;
            fputs(vs_fonts_cover(p->fonts, 0xfffd) ? replacement : "?", f);
        } else fwrite(text, 1, (size_t)n, f);
    }
}

/* gnuplot 5.4 expands \ escapes in data strings and takes a " at the start of a field as a quote: both are written as
 * escapes and come out as themselves. Nothing else has a meaning in a tab-separated file with noenhanced text. */
void vs_page_text(struct vs_page *p, enum vs_text style, double x, double y, unsigned rgb, const char *text)
{
    FILE *f = p->error ? NULL : p->text[style];
    if (!f) return;
    fprintf(f, "%.2f\t%.2f\t", x, y);
    put_text(p, f, text, 0);
    fputc('\t', f);
    put_text(p, f, text, 1);
    fprintf(f, "\t%u\n", rgb);
}

void vs_page_box(struct vs_page *p, double x0, double y0, double x1, double y1, unsigned rgb)
{
    if (p->error) return;
    fprintf(p->boxes, "%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%u\n", x0, y0, x0, x1, y0, y1, rgb);
}

void vs_page_line(struct vs_page *p, double x0, double y0, double x1, double y1, unsigned rgb)
{
    if (p->error) return;
    fprintf(p->lines, "%.2f\t%.2f\t%.2f\t%.2f\t%u\n", x0, y0, x1 - x0, y1 - y0, rgb);
}

void vs_page_size(struct vs_page *p, double height, int panels)
{
    FILE *f = vs_page_begin(p, "page.tsv");
    if (f) fprintf(f, "%d\t%.0f\t%d\n", VS_PAGE_WIDTH, height, panels);
    vs_page_end(p, f);
}

int vs_page_close(struct vs_page *p, struct vs_error *e)
{
    for (int i = 0; i < VS_TEXT_COUNT; i++) vs_page_end(p, p->text[i]);
    vs_page_end(p, p->boxes);
    vs_page_end(p, p->lines);
    vs_fonts_free(p->fonts);
    p->fonts = NULL;
    if (p->error) return vs_fail(e, p->error, "cannot write the chart's data in %s: %s", p->dir, strerror(p->error));
    return 0;
}

unsigned vs_page_tint(unsigned rgb, double share)
{
    unsigned out = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        double part = (rgb >> shift & 255) * share + 255 * (1 - share);
        out |= (unsigned)lrint(part) << shift;
    }
    return out;
}

double vs_page_step(double top, int wanted)
{
    double rough = top / (wanted > 0 ? wanted : 1), base = pow(10, floor(log10(rough)));
    double ratio = rough / base;
    return base * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}

double vs_page_unit(double bytes, const char **name)
{
    static const char *const names[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    double unit = 1;
    while (u < 4 && bytes >= 2 * 1024 * unit) unit *= 1024, u++;
    *name = names[u];
    return unit;
}

/* SPDX-License-Identifier: MIT
 *
 * label.c: owns what a foreign text looks like in a chart. Never lets a control character through.
 */
#include "label.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REPLACEMENT = 0xfffd, ELLIPSIS = 0x2026 };

int vs_label_next(const char *text, uint32_t *point)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int n = s[0] < 0x80 ? 1 : s[0] >= 0xf8 ? 0 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    *point = REPLACEMENT;
    if (!s[0]) return 0;
    if (n == 1) *point = s[0];
    if (n < 2) return 1;
    uint32_t p = s[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 1;
        p = p << 6 | (s[i] & 0x3fu);
    }
    if (p < least[n] || p > 0x10ffff || (p >= 0xd800 && p < 0xe000)) return 1;
    *point = p;
    return n;
}

static int encode(char *out, uint32_t p)
{
    if (p < 0x80) {
        out[0] = (char)p;
        return 1;
    }
    int n = p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, p >>= 6) out[i] = (char)(0x80 | (p & 0x3f));
    out[0] = (char)(lead[n] | p);
    return n;
}

/* A line break becomes an arrow: few fonts have the control pictures. Directional overrides would turn the rest of the line around, and
 * noncharacters are not allowed in XML. */
static uint32_t shown(uint32_t p)
{
    if (p == '\t') return ' ';
    if (p == '\n') return 0x21b5;
    if (p < 0x20 || (p >= 0x7f && p < 0xa0) || p == 0x2028 || p == 0x2029) return REPLACEMENT;
    if ((p >= 0x202a && p <= 0x202e) || (p >= 0x2066 && p <= 0x2069)) return REPLACEMENT;
    if ((p & 0xfffe) == 0xfffe || (p >= 0xfdd0 && p <= 0xfdef)) return REPLACEMENT;
    return p;
}

void vs_label_clean(char *out, size_t size, const char *text, int max_points)
{
    size_t used = 0, before_last = 0;
    uint32_t point;
    int n, count = 0;
    if (size < 16) {
        if (size) out[0] = 0;
        return;
    }
    if (!text || !*text) text = "(no name)";
    for (; (n = vs_label_next(text, &point)); text += n, count++) {
        if (count == max_points || used + 8 > size) {
            used = before_last + (size_t)encode(out + before_last, ELLIPSIS);
            break;
        }
        before_last = used;
        used += (size_t)encode(out + used, shown(point));
    }
    out[used] = 0;
}

/* Measured on DejaVu Sans, the widest of the usual defaults: a label that fits there fits in others too. */
static double em(uint32_t p)
{
    if (p == 'i' || p == 'j' || p == 'l' || p == '.' || p == ',' || p == ' ' || p == '\'' || p == '|') return 0.32;
    if (p == 'm' || p == 'w' || p == 'M' || p == 'W' || p == '@' || p == '%') return 0.97;
    if (p >= 'A' && p <= 'Z') return 0.70;
    if (p < 0x1100) return 0.60;
    if (p >= 0x2000 && p < 0x2400) return 0.75;
    return 1.02;
}

double vs_label_width(const char *text, double font_px)
{
    double width = 0;
    uint32_t point;
    for (int n; (n = vs_label_next(text, &point)); text += n) width += em(point);
    return width * font_px;
}

void vs_label_fit(char *out, size_t size, const char *text, double font_px, double width_px)
{
    double width = em(ELLIPSIS) * font_px;
    uint32_t point;
    int points = 0;
    if (vs_label_width(text, font_px) <= width_px) {
        snprintf(out, size, "%s", text);
        return;
    }
    out[0] = 0;
    const char *end = text;
    for (int n; (n = vs_label_next(end, &point)); end += n, points++) {
        width += em(point) * font_px;
        if (width > width_px) break;
    }
    if (points >= 4) snprintf(out, size, "%.*s…", (int)(end - text), text);
}

void vs_label_bytes(char *out, size_t size, double bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int u = 0;
    while (u < 5 && fabs(bytes) >= 1024) bytes /= 1024, u++;
    snprintf(out, size, "%.*f %s", u == 0 ? 0 : bytes < 100 ? 2 : 1, bytes, unit[u]);
}

void vs_label_change(char *out, size_t size, double from, double to)
{
    if (from > 0) snprintf(out, size, "%+.1f %%", 100 * (to - from) / from);
    else snprintf(out, size, to > 0 ? "new" : "");
}

void vs_label_time(char *out, size_t size, double ns)
{
    if (ns < 1e3) snprintf(out, size, "%.0f ns", ns);
    else if (ns < 1e6) snprintf(out, size, "%.4g µs", ns / 1e3);
    else if (ns < 1e9) snprintf(out, size, "%.4g ms", ns / 1e6);
    else if (ns < 100e9) snprintf(out, size, "%.3f s", ns / 1e9);
    else snprintf(out, size, "%.1f s", ns / 1e9);
}

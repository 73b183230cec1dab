/* SPDX-License-Identifier: MIT
 *
 * visible.c: decodes UTF-8 and writes it so that a terminal shows it. Must never trust the length or the encoding of its
 * input.
 */
#include "visible.h"

#include <stdio.h>
#include <string.h>

unsigned vs_utf8_next(const char *text, size_t bytes, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms exist below: not UTF-8 */
    const unsigned char *p = (const unsigned char *)text;
    unsigned n, i;
    uint32_t c;
    if (!bytes) return 0;
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    n = p[0] >= 0xf0 && p[0] < 0xf8 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (!n || n > bytes || p[0] >= 0xf8) return 0;
    c = p[0] & (0xffu >> (n + 1));
    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *code = c;
    return n;
}

struct span {
    uint32_t first, last;
};

static int within(uint32_t code, const struct span *spans, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (code >= spans[i].first && code <= spans[i].last) return 1;
    return 0;
}

unsigned vs_utf8_columns(uint32_t code)
{
    static const struct span none[] = {{0x300, 0x36f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const struct span wide[] = {{0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                                       {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
                                       {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (code < 0x300) return 1;
    if (within(code, none, sizeof none / sizeof none[0])) return 0;
    return within(code, wide, sizeof wide / sizeof wide[0]) ? 2 : 1;
}

/* Characters that act instead of being seen: C0, DEL, C1, zero-width and bidirectional controls, line separators. */
static int acts(uint32_t code)
{
    static const struct span spans[] = {{0, 0x1f},         {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
                                        {0x200b, 0x200f},  {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff},
                                        {0xfff9, 0xfffb},  {0xe0000, 0xe007f}};
    return within(code, spans, sizeof spans / sizeof spans[0]);
}

/* One character as it will be written: at most 10 bytes. Returns its columns. */
static unsigned shown(const char *text, unsigned bytes, uint32_t code, char out[16])
{
    if (!bytes)
        return (unsigned)snprintf(out, 16, "\\x%02x", (unsigned char)*text);
    if (!acts(code)) {
        memcpy(out, text, bytes);
        out[bytes] = 0;
        return vs_utf8_columns(code);
    }
    if (code == '\n') return (unsigned)snprintf(out, 16, "\\n");
    if (code == '\t') return (unsigned)snprintf(out, 16, "\\t");
    if (code == '\r') return (unsigned)snprintf(out, 16, "\\r");
    if (code < 0x80) return (unsigned)snprintf(out, 16, "\\x%02x", (unsigned)code);
    if (code < 0x10000) return (unsigned)snprintf(out, 16, "\\u%04x", (unsigned)code);
    return (unsigned)snprintf(out, 16, "\\U%06x", (unsigned)code);
}

unsigned vs_visible(const char *text, size_t bytes, unsigned max_columns, char *out, size_t out_bytes)
{
    unsigned columns = 0, cut_columns = 0;
    size_t used = 0, cut = 0; /* where an ellipsis still fits */
    if (!out_bytes) return 0;
    while (bytes) {
        char one[16];
        uint32_t code = 0;
        unsigned n = vs_utf8_next(text, bytes, &code), w = shown(text, n, code, one);
        size_t length = strlen(one);
        if ((max_columns && columns + w > max_columns) || used + length >= out_bytes) {
            used = cut;
            columns = cut_columns;
            if (cut + 3 < out_bytes) {
                memcpy(out + used, "\u2026", 3);
                used += 3;
                columns++;
            }
            break;
        }
        memcpy(out + used, one, length);
        used += length;
        columns += w;
        if (!max_columns || columns < max_columns) {
            cut = used;
            cut_columns = columns;
        }
        text += n ? n : 1;
        bytes -= n ? n : 1;
    }
    out[used] = 0;
    return columns;
}

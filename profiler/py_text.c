/* SPDX-License-Identifier: MIT
 *
 * py_text.c: texts of CPython as UTF-8. Must never believe a length: what it says is bounded by the room there is.
 */
#include "py_code.h"

/* Kept with 1, 2 or 4 bytes for each character. */
static uint32_t character(const unsigned char *p, unsigned width)
{
    uint32_t c = 0;
    memcpy(&c, p, width);
    return c;
}

/* Room for 4 bytes is the caller's care. */
static uint32_t put(char *out, uint32_t c)
{
    if (c >= 0xdc80 && c <= 0xdcff) { /* how Python keeps a byte of a file name that is no text */
        out[0] = (char)(c & 0xff);
        return 1;
    }
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18 & 7));
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

uint32_t vs_py_text(const struct vs_py_codes *c, uint64_t text, char *out, uint32_t room, bool *cut)
{
    const struct vs_py_layout *l = c->layout;
    unsigned char head[64], part[256];
    uint32_t state, used = 0;
    uint64_t length, at;

    *cut = true;
    if (!vs_py_plausible(text) || !vs_py_copy(head, text, l->text_ascii) || vs_py_word(head + l->type) != c->types.text)
        return 0;
    length = vs_py_word(head + l->text_length);
    memcpy(&state, head + l->text_state, sizeof state);
    unsigned width = state >> 2 & 7; /* interned: 2 bits, kind: 3, compact, ascii */
    bool compact = state >> 5 & 1, ascii = state >> 6 & 1;
    if (!compact || (width != 1 && width != 2 && width != 4) || length > (uint64_t)1 << 32) return 0;
    at = text + (ascii ? l->text_ascii : l->text_other);
    while (length) {
        uint64_t characters = length < sizeof part / width ? length : sizeof part / width;
        if (!vs_py_copy(part, at, characters * width)) return 0;
        for (uint64_t i = 0; i < characters; i++) {
            if (used + 4 > room) return used;
            used += put(out + used, character(part + i * width, width));
        }
        at += characters * width;
        length -= characters;
    }
    *cut = false;
    return used;
}

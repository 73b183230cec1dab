/* SPDX-License-Identifier: MIT
 *
 * line_table.c: decodes the line tables of CPython's code objects: 3.10 has pairs of bytes, 3.11 on has locations. It
 * must never read beyond the table, whatever is in it.
 */
#include "lines.h"

/* Pairs: bytes of code, signed change of the line; -128: these instructions have no line. */
static uint32_t line_by_pairs(const unsigned char *table, size_t bytes, uint32_t line, uint32_t offset)
{
    uint32_t end = 0;
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        int change = (signed char)table[i + 1];
        end += table[i];
        if (change != -128) line += (uint32_t)change;
        if (offset < end) return change == -128 ? 0 : line;
    }
    return 0;
}

/* Little-endian groups of six bits, bit 6: more follow. The lowest bit of the number is its sign. */
static bool take_signed(const unsigned char *table, size_t bytes, size_t *at, int32_t *out)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 32 && *at < bytes; shift += 6) {
        unsigned char byte = table[(*at)++];
        value |= (uint32_t)(byte & 63) << shift;
        if (byte & 64) continue;
        *out = value & 1 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
        return true;
    }
    return false;
}

enum { /* what the first byte of a location says, but for its lowest three bits */
    LOC_ONE_LINE = 10, /* 10 to 12: that many lines less ten further on */
    LOC_NO_COLUMN = 13,
    LOC_LONG = 14,
    LOC_NONE = 15
};

/* A location: a byte with bit 7 set, then bytes without it up to the next location. */
static uint32_t line_by_locations(const unsigned char *table, size_t bytes, uint32_t line, uint32_t offset)
{
    uint32_t end = 0;
    for (size_t at = 0; at < bytes;) {
        unsigned char first = table[at++];
        unsigned form = first >> 3 & 15;
        int32_t change = form >= LOC_ONE_LINE && form < LOC_NO_COLUMN ? (int32_t)form - LOC_ONE_LINE : 0;
        if (!(first & 128)) return 0;
        if ((form == LOC_NO_COLUMN || form == LOC_LONG) && !take_signed(table, bytes, &at, &change)) return 0;
        line += (uint32_t)change;
        end += ((first & 7u) + 1) * 2;
        if (offset < end) return form == LOC_NONE ? 0 : line;
        while (at < bytes && !(table[at] & 128)) at++;
    }
    return 0;
}

uint32_t vs_line_of(enum vs_line_table encoding, const unsigned char *table, size_t bytes, uint32_t first_line,
                    uint32_t offset)
{
    uint32_t line = encoding == VS_LT_PAIRS       ? line_by_pairs(table, bytes, first_line, offset)
                    : encoding == VS_LT_LOCATIONS ? line_by_locations(table, bytes, first_line, offset)
                                                  : 0;
    return line > INT32_MAX ? 0 : line;
}

/* SPDX-License-Identifier: MIT
 *
 * array_bytes.c: see array_bytes.h. Must never depend on anything but its arguments.
 */
#include "array_bytes.h"

#include <stdbool.h>

/* Formats whose element is not `channels` components of one size. */
static unsigned bits_per_texel(int format, unsigned channels)
{
    switch (format) {
    case 0x91: case 0x92: case 0x97: case 0x98: return 4;  /* BC1, BC4 */
    case 0x93: case 0x94: case 0x95: case 0x96: case 0x99: /* BC2, BC3, BC5 */
    case 0x9a: case 0x9b: case 0x9c: case 0x9d: case 0x9e: return 8; /* ..., BC6H, BC7 */
    case 0xb0: return 12;                                  /* NV12 */
    case 0xa2: case 0xa5: return 16;                       /* NV16, YUY2 */
    case 0x9f: case 0xa1: case 0xb2: case 0xb4: return 24; /* P010, P016, YUV444 of 8 bits */
    case 0xa3: case 0xa4: case 0xa6: case 0xa7: return 32; /* P210, P216, Y210, Y216 */
    case 0xa8: case 0xa9: case 0x50: return 32;            /* AYUV, Y410, 10-10-10-2 */
    case 0xb3: return 48;                                  /* YUV444 of 10 bits */
    case 0xb1: return 64;                                  /* Y416 */
    case 0x01: case 0x08: case 0xc0: case 0xc1: case 0xc2: case 0xc6: case 0xc7: case 0xc8: return 8 * channels;
    case 0x02: case 0x09: case 0x10: case 0xc3: case 0xc4: case 0xc5: case 0xc9: case 0xca: case 0xcb:
        return 16 * channels;
    default: return 32 * channels; /* 32-bit integers and floats */
    }
}

static bool in_blocks(int format)
{
    return format >= 0x91 && format <= 0x9e;
}

static uint64_t at_least_1(uint64_t n)
{
    return n ? n : 1;
}

uint64_t vs_array_bytes(const struct vs_cu_array3d *d, unsigned levels)
{
    uint64_t width = d->width, height = at_least_1(d->height), depth = at_least_1(d->depth), bytes = 0;
    unsigned bits = bits_per_texel(d->format, d->channels), level;

    if (d->flags & (VS_CU_ARRAY_SPARSE | VS_CU_ARRAY_DEFERRED))
        return 0;
    for (level = 0; level < at_least_1(levels); level++) {
        uint64_t w = width, h = height;
        if (in_blocks(d->format)) {
            w = (w + 3) & ~3ull;
            h = (h + 3) & ~3ull;
        }
        bytes += w * h * depth * bits / 8;
        if (width == 1 && height == 1 && (depth == 1 || d->flags & (VS_CU_ARRAY_LAYERED | VS_CU_ARRAY_CUBEMAP)))
            break;
        width = at_least_1(width / 2);
        height = at_least_1(height / 2);
        if (!(d->flags & (VS_CU_ARRAY_LAYERED | VS_CU_ARRAY_CUBEMAP)))
            depth = at_least_1(depth / 2);
    }
    return bytes;
}

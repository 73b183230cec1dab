/* SPDX-License-Identifier: MIT
 *
 * norm_input.c: random numbers and their rounding to the element types.
 */
#include "workloads/norm_input.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64: a counter through a mixer, so every number is known without the ones before it. */
static uint64_t mixed(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint32_t rounded(float value, int dropped) /* its bits, to nearest even, of the 23 after the point */
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits += ((1u << dropped) >> 1) - 1 + ((bits >> dropped) & 1);
    return bits >> dropped << dropped;
}

static uint16_t half(float value) /* of a value in [-1, 1]; below the normal numbers: zero */
{
    if (fabsf(value) < 0x1p-14f) return 0;
    uint32_t bits = rounded(value, 13);
    return (uint16_t)((bits >> 31 << 15) | (((bits & 0x7fffffff) >> 13) - (112 << 10)));
}

static void put(enum vs_norms_dtype dtype, void *X, size_t i, float value)
{
    uint32_t bits;
    switch (dtype) {
    case VS_NORMS_bf16: ((uint16_t *)X)[i] = (uint16_t)(rounded(value, 16) >> 16); break;
    case VS_NORMS_fp16: ((uint16_t *)X)[i] = half(value); break;
    case VS_NORMS_tf32:
        bits = rounded(value, 13);
        memcpy((float *)X + i, &bits, sizeof bits);
        break;
    default: ((float *)X)[i] = value;
    }
}

/* The block is odd and at least so large that pieces seldom overlap, and at most so large that it is made in no time. */
enum { LEAST = 65537, MOST = 8388609 };

int vs_norm_source_open(struct vs_norm_source *s, enum vs_norms_dtype dtype, size_t seed, size_t largest)
{
    s->dtype = dtype;
    s->seed = mixed(seed, 0);
    s->count = largest > MOST / 2 ? MOST : 2 * largest + 1 < LEAST ? LEAST : 2 * largest + 1;
    s->block = malloc(s->count * vs_norms_dtype_bytes(dtype));
    if (!s->block) return -ENOMEM;
    for (size_t i = 0; i < s->count; i++)
        put(dtype, s->block, i, (float)((double)(mixed(s->seed, i) >> 40) / 8388608.0 - 1.0));
    return 0;
}

int vs_norm_source_fill(const struct vs_norm_source *s, const struct vs_device *device, void *to, size_t count,
                        size_t which)
{
    size_t bytes = vs_norms_dtype_bytes(s->dtype);
    uint64_t places = mixed(~s->seed, which);
    int err = 0;
    for (size_t done = 0, piece = 0, length; !err && done < count; done += length, piece++) {
        size_t from = mixed(places, piece) % s->count;
        length = s->count - from < count - done ? s->count - from : count - done;
        err = device->upload((char *)to + done * bytes, (const char *)s->block + from * bytes, length * bytes);
    }
    return err;
}

void vs_norm_source_close(struct vs_norm_source *s)
{
    free(s->block);
    s->block = NULL;
}

int vs_norm_poison(const struct vs_device *device, enum vs_norms_dtype dtype, void *X, size_t at, bool nan)
{
    uint32_t whole = nan ? 0x7fc00000 : 0x7f800000; /* bfloat16 is its upper half */
    uint16_t two = dtype == VS_NORMS_fp16 ? (nan ? 0x7e00 : 0x7c00) : (uint16_t)(whole >> 16);
    size_t bytes = vs_norms_dtype_bytes(dtype);
    return device->upload((char *)X + at * bytes, bytes == sizeof two ? (const void *)&two : &whole, bytes);
}

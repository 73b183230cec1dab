/* SPDX-License-Identifier: MIT
 *
 * sizes.c: a sorted set of sizes.
 */
#include "sizes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LARGE ((uint64_t)1 << 20) /* blocks from here on may have as much to spare */

static size_t find(const struct vs_sizes *s, uint64_t bytes) /* the first that is not less */
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->size[mid] >= bytes) high = mid;
        else low = mid + 1;
    }
    return low;
}

int vs_sizes_add(struct vs_sizes *s, uint64_t bytes)
{
    size_t at = find(s, bytes);
    if (at < s->count && s->size[at] == bytes) return 0;
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        uint64_t *size = realloc(s->size, room * sizeof *size);
        if (!size) return -ENOMEM;
        s->size = size;
        s->room = room;
    }
    memmove(s->size + at + 1, s->size + at, (s->count - at) * sizeof *s->size);
    s->size[at] = bytes;
    s->count++;
    return 0;
}

bool vs_sizes_match(const struct vs_sizes *s, uint64_t bytes)
{
    size_t at = find(s, bytes);
    if (at < s->count && (s->size[at] == bytes || (bytes > LARGE && s->size[at] - bytes <= LARGE))) return true;
    return at > 0 && bytes > LARGE && s->size[at - 1] > LARGE && bytes - s->size[at - 1] <= LARGE;
}

void vs_sizes_free(struct vs_sizes *s)
{
    free(s->size);
    *s = (struct vs_sizes){0};
}

/* SPDX-License-Identifier: MIT
 *
 * nearest.c: guesses which word was meant. Must never act on its guess: callers only print it.
 */
#include <string.h>

#include "option.h"

#define LONGEST 32 /* no name of ours is longer */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][LONGEST + 1], *before = rows[0], *above = rows[1], *now = rows[2], *spare;
    size_t la = strlen(a), lb = strlen(b), i, j;
    if (la > LONGEST || lb > LONGEST) return LONGEST;
    for (j = 0; j <= lb; j++) above[j] = before[j] = (unsigned)j;
    for (i = 1; i <= la; i++) {
        now[0] = (unsigned)i;
        for (j = 1; j <= lb; j++) {
            now[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), 1 + least(above[j], now[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = least(now[j], before[j - 2] + 1);
        }
        spare = before;
        before = above;
        above = now;
        now = spare;
    }
    return above[lb];
}

const char *vs_nearest(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    unsigned best_distance = LONGEST;
    for (; *candidates; candidates++) {
        unsigned d = distance(word, *candidates), limit = (unsigned)strlen(*candidates) / 3 + 1;
        if (strlen(word) > 2 && !strncmp(word, *candidates, strlen(word))) d = 0; /* the beginning of it */
        if (d <= limit && d < best_distance) {
            best = *candidates;
            best_distance = d;
        }
    }
    return best;
}

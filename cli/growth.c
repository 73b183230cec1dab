/* SPDX-License-Identifier: MIT
 *
 * growth.c: the leak verdict. Must never be moved by single values, however large: only medians and counts are used.
 */
#include "growth.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOPES = 60000, LATE_LEAST = 16 }; /* pairs looked at; iterations that a growth begun late needs */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int64_t n)
{
    if (!n) return 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* How far a value usually is from the one before it: what says nothing about growth. */
static double unrest(const int64_t *bytes, int64_t count, double slope, double *room)
{
    for (int64_t i = 1; i < count; i++) {
        double d = (double)(bytes[i] - bytes[i - 1]) - slope;
        room[i - 1] = d < 0 ? -d : d;
    }
    return median(room, count - 1);
}

/* Theil and Sen: the median slope of pairs; of a long series pairs at regular distances. */
static double median_slope(const int64_t *bytes, int64_t count, double *room)
{
    int64_t n = 0, stride = 1;
    while (count / stride * (count / stride) / 2 > SLOPES) stride++;
    for (int64_t i = 0; i < count; i += stride)
        for (int64_t j = i + stride; j < count && n < SLOPES; j += stride)
            room[n++] = (double)(bytes[j] - bytes[i]) / (double)(j - i);
    return median(room, n);
}

/* A quarter further on it is more, nine times of ten: noise is so half of the time, a step once only for a while. */
static int keeps_growing(const int64_t *bytes, int64_t count)
{
    int64_t lag = count / 4, more = 0;
    if (lag < 1) lag = 1;
    for (int64_t i = 0; i + lag < count; i++) more += bytes[i + lag] > bytes[i];
    return more * 10 >= (count - lag) * 9;
}

static double *room_for(int64_t count)
{
    return malloc((size_t)(count > SLOPES ? count : SLOPES) * sizeof(double));
}

static double sustained(const int64_t *bytes, int64_t count, double *room)
{
    if (count < VS_GROWTH_LEAST || !keeps_growing(bytes, count)) return 0;
    double slope = median_slope(bytes, count, room);
    return slope > 0 && slope * (double)count > 3 * unrest(bytes, count, slope, room) ? slope : 0;
}

/* The last time it was more than ever before by more than its unrest. */
static void find_steps(const int64_t *bytes, int64_t count, double *room, struct vs_growth *out)
{
    int64_t first = VS_GROWTH_SKIPPED, most = bytes[first];
    double quiet = 3 * unrest(bytes + first, count - first, 0, room);
    out->verdict = VS_GROWTH_NONE;
    out->from = out->last = first;
    for (int64_t i = first + 1; i < count; i++) {
        if ((double)(bytes[i] - most) > quiet) out->last = i, most = bytes[i];
    }
    out->rise = (double)(most - bytes[first]);
    if (out->last > first + (count - first) / 2) out->verdict = VS_GROWTH_STEPS;
    else out->from = out->last;
}

int vs_growth_find(const int64_t *bytes, int64_t count, struct vs_growth *out)
{
    int64_t n = count - VS_GROWTH_SKIPPED;
    *out = (struct vs_growth){.verdict = VS_GROWTH_TOO_FEW};
    if (n < VS_GROWTH_LEAST) return 0;
    double *room = room_for(count);
    if (!room) return -ENOMEM;
    for (int64_t length = n; !out->slope && (length == n || length >= LATE_LEAST); length /= 2) {
        out->from = count - length;
        out->slope = sustained(bytes + out->from, length, room);
    }
    if (out->slope > 0) out->verdict = VS_GROWTH_SUSTAINED;
    else find_steps(bytes, count, room, out);
    free(room);
    return 0;
}

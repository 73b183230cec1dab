/* SPDX-License-Identifier: MIT
 *
 * axis.c: owns which numbers stand on an axis. Never leaves a value of the range beyond its ends.
 */
#include "axis.h"

#include "page.h"

#include <math.h>

enum { FEW = 9 };

/* Logarithm of the n-th round number of a scale: 1 2 5 10, then wider; or powers of two. */
static double round_log(int decimal, int density, int n)
{
    static const double third[3] = {0, 0.30102999566398120, 0.69897000433601886};
    static const double binary[] = {1, 2, 4, 5, 10};
    int turn = n >= 0 ? n / 3 : -((2 - n) / 3);
    if (!decimal) return n * binary[density] * M_LN2;
    return (density ? n * density : turn + third[n - 3 * turn]) * M_LN10;
}

void vs_axis_log(struct vs_axis *a, double low, double high, int decimal)
{
    a->logarithmic = 1;
    for (int density = 0; density < 5; density++) {
        int n = -400, from;
        while (n < 400 && round_log(decimal, density, n + 1) <= low + 1e-9) n++;
        from = n;
        a->ticks = 0;
        do
            if (a->ticks < VS_AXIS_TICKS) a->tick[a->ticks++] = round_log(decimal, density, n);
            else break;
        while (round_log(decimal, density, n++) < high - 1e-9 || n < from + 2);
        if (a->ticks <= FEW) break;
    }
    a->low = a->tick[0];
    a->high = a->tick[a->ticks - 1];
}

void vs_axis_linear(struct vs_axis *a, double low, double high)
{
    double span = high - low > 0 ? high - low : fabs(high) > 0 ? fabs(high) : 1, step = vs_page_step(span, 6);
    long first = lrint(floor(low / step + 1e-9));
    a->logarithmic = a->ticks = 0;
    do a->tick[a->ticks] = (double)(first + a->ticks) * step;
    while (a->tick[a->ticks++] < high - step * 1e-9 && a->ticks < VS_AXIS_TICKS);
    if (a->ticks == 1) a->tick[a->ticks++] = (double)(first + 1) * step;
    a->low = a->tick[0];
    a->high = a->tick[a->ticks - 1];
}

void vs_axis_tight(struct vs_axis *a, double low, double high)
{
    int kept = 0;
    vs_axis_linear(a, low, high);
    for (int i = 0; i < a->ticks; i++)
        if (a->tick[i] >= low && a->tick[i] <= high) a->tick[kept++] = a->tick[i];
    a->ticks = kept;
    a->low = low;
    a->high = high;
}

double vs_axis_share(const struct vs_axis *a, double value)
{
    return ((a->logarithmic ? log(value) : value) - a->low) / (a->high - a->low);
}

double vs_axis_value(const struct vs_axis *a, int tick)
{
    return a->logarithmic ? exp(a->tick[tick]) : a->tick[tick];
}

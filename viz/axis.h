/* SPDX-License-Identifier: MIT
 *
 * axis.h: divides the range of an axis by round numbers.
 *
 * Ownership: the caller's struct. Errors: none. low must not be above high; of a logarithmic axis both are above 0.
 */
#ifndef VS_VIZ_AXIS_H
#define VS_VIZ_AXIS_H

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_AXIS_TICKS = 11 };

struct vs_axis {
    double low, high, tick[VS_AXIS_TICKS]; /* of a logarithmic axis: logarithms */
    int ticks, logarithmic;
};

/* The fewest round numbers that enclose what lies between two logarithms: 1 2 5 10 (decimal), or powers of two. */
void vs_axis_log(struct vs_axis *a, double low, double high, int decimal);
/* Encloses low..high. */
void vs_axis_linear(struct vs_axis *a, double low, double high);
/* From low to high and no further: the round numbers in between. */
void vs_axis_tight(struct vs_axis *a, double low, double high);
/* Where a value lies: 0 at the low end, 1 at the high one. */
double vs_axis_share(const struct vs_axis *a, double value);
double vs_axis_value(const struct vs_axis *a, int tick);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT
 *
 * train_cpu_elements.c: the operations of train.h that look at one element or one pair at a time, on the CPU.
 */
#include "kernels/train_cpu.h"

#include <math.h>

struct elements {
    size_t rows, width;
    const void *in, *gradient;
    void *out;
};

struct rotation {
    size_t rows, T, row, heads, width;
    double base;
    bool back;
    void *x;
};

#define REAL float
#define NAME(x) x##_f32
#define EXP expf
#include "kernels/train_cpu_elements.inc"
#undef REAL
#undef NAME
#undef EXP
#define REAL double
#define NAME(x) x##_f64
#define EXP exp
#include "kernels/train_cpu_elements.inc"
#undef REAL
#undef NAME
#undef EXP

int vs_train_cpu_bias_relu(const struct vs_train_on *on, void *x, const void *bias, size_t rows, size_t width)
{
    struct elements p = {.rows = rows, .width = width, .in = bias, .out = x};
    int err = vs_train_cpu_check(on, x && bias && rows && width);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(width)), bias_relu_item, &p);
    return err;
}

int vs_train_cpu_relu_backward(const struct vs_train_on *on, const void *out, void *dout, size_t rows, size_t width)
{
    struct elements p = {.rows = rows, .width = width, .in = out, .out = dout};
    int err = vs_train_cpu_check(on, out && dout && rows && width);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(width)), relu_backward_item, &p);
    return err;
}

int vs_train_cpu_swiglu(const struct vs_train_on *on, const void *x, size_t rows, size_t width, void *out)
{
    struct elements p = {.rows = rows, .width = width, .in = x, .out = out};
    int err = vs_train_cpu_check(on, x && out && rows && width);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(width)), swiglu_item, &p);
    return err;
}

int vs_train_cpu_swiglu_backward(const struct vs_train_on *on, const void *x, const void *dout, size_t rows, size_t width,
                                 void *dx)
{
    struct elements p = {.rows = rows, .width = width, .in = x, .gradient = dout, .out = dx};
    int err = vs_train_cpu_check(on, x && dout && dx && rows && width);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(width)), swiglu_backward_item, &p);
    return err;
}

int vs_train_cpu_rotate(const struct vs_train_on *on, void *x, size_t rows, size_t T, size_t row, size_t heads, size_t width,
                        double base, bool back)
{
    struct rotation p = {rows, T, row, heads, width, base, back, x};
    bool good = x && rows && T && heads && width && width % 2 == 0 && row >= heads * width && base > 0;
    int err = vs_train_cpu_check(on, good);
    if (!err) VS_TRAIN_RUN(on, vs_train_items(rows, vs_train_grain_rows(heads * width)), rotate_item, &p);
    return err;
}

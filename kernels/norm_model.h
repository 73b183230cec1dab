/* SPDX-License-Identifier: MIT
 *
 * norm_model.h: what `auto` expects of gram, direct and materialize, and what it picks. Arithmetic on shapes and rates alone:
 * it touches no device and no buffer, so it is tested without one.
 *
 *     gram         B T (T + 128) (d + p) operations; d only once for layers that share their input
 *     direct       2 B T d p
 *     materialize  2 B T d p, and three passes over B p d elements in memory
 * over the rate of a large layer. Work comes in tiles of 128 x 128, one processor each, in waves; where many processors would
 * stand idle, tiles are split over the contraction, which bounds the loss. A backend that knows better says so (cuda.cuh).
 */
#ifndef VS_KERNELS_NORM_MODEL_H
#define VS_KERNELS_NORM_MODEL_H

#include <math.h>

#include "kernels/norms.h"

enum vs_norms_method { VS_NORMS_BY_GRAM, VS_NORMS_BY_DIRECT, VS_NORMS_BY_MATERIALIZE, VS_NORMS_METHODS };

/* What is known of the machine. */
struct vs_norms_machine {
    double rate[VS_NORMS_METHODS]; /* operations per second, of layers that fill it */
    double fill[VS_NORMS_METHODS]; /* how much longer this call takes than those rates say: 1 or more */
    double bytes_per_s;            /* of memory, read and written */
    double element_bytes;          /* of a gradient that is stored */
    bool stored_fits;              /* is there room to store the gradients of the layer? materialize is out otherwise */
};

/* On an H200, in operations per second; measured rates replace them. X(dtype, gram, direct, materialize) */
#define VS_NORMS_BUILT_IN_RATES(X)     \
    X(fp32, 80e12, 90e12, 48e12)       \
    X(tf32, 220e12, 260e12, 240e12)    \
    X(bf16, 550e12, 700e12, 650e12)    \
    X(fp16, 550e12, 700e12, 650e12)
#define VS_NORMS_BYTES_PER_S 4e12

static inline double vs_norms_built_in_rate(enum vs_norms_dtype dtype, enum vs_norms_method method)
{
    static const double rates[VS_NORMS_DTYPE_COUNT][VS_NORMS_METHODS] = {
#define X(name, gram, direct, materialize) {gram, direct, materialize},
        VS_NORMS_BUILT_IN_RATES(X)
#undef X
    };
    return rates[dtype][method];
}

static inline double vs_norms_tiles(const struct vs_norms_layer *l, enum vs_norms_method method)
{
    double T = ceil((double)l->T / 128), d = ceil((double)l->d / 128), p = ceil((double)l->p / 128);
    return (double)l->B * (method == VS_NORMS_BY_GRAM ? T * (T + 1) / 2 : d * p);
}

/* The factor by which a call of so many tiles is slower than its operations over the rate; the bounds as measured on an H200. */
static inline double vs_norms_fill(double tiles, int processors)
{
    double idle = ceil(tiles / processors) * processors / tiles, most = tiles < processors ? 2 : 1.5;
    return idle < most ? idle : most;
}

/* Of rows that K of `width` columns is made of. */
static inline double vs_norms_gram_seconds(const struct vs_norms_machine *m, const struct vs_norms_layer *l, size_t width)
{
    double T = (double)l->T;
    return (double)l->B * T * (T + 128) * (double)width * m->fill[VS_NORMS_BY_GRAM] / m->rate[VS_NORMS_BY_GRAM];
}

static inline double vs_norms_traffic_seconds(const struct vs_norms_machine *m, const struct vs_norms_layer *l)
{
    return 3 * (double)l->B * (double)l->d * (double)l->p * m->element_bytes / m->bytes_per_s;
}

/* Of one layer by itself. */
static inline double vs_norms_seconds(const struct vs_norms_machine *m, const struct vs_norms_layer *l, enum vs_norms_method method)
{
    double gradient = 2 * (double)l->B * (double)l->T * (double)l->d * (double)l->p;
    if (method == VS_NORMS_BY_GRAM) return vs_norms_gram_seconds(m, l, l->d + l->p);
    if (method == VS_NORMS_BY_DIRECT) return gradient * m->fill[method] / m->rate[method];
    if (!m->stored_fits) return (double)INFINITY;
    return gradient * m->fill[method] / m->rate[method] + vs_norms_traffic_seconds(m, l);
}

static inline enum vs_norms_method vs_norms_better_gradient(const struct vs_norms_machine *m, const struct vs_norms_layer *l)
{
    return vs_norms_seconds(m, l, VS_NORMS_BY_MATERIALIZE) < vs_norms_seconds(m, l, VS_NORMS_BY_DIRECT) ? VS_NORMS_BY_MATERIALIZE
                                                                                                      : VS_NORMS_BY_DIRECT;
}

/* Picks for layers that share their input: K_A is paid once if any of them goes by gram. m: one per layer. */
static inline void vs_norms_pick(const struct vs_norms_machine *m, const struct vs_norms_layer *layers, size_t count,
                                 unsigned char *picked)
{
    double shared = vs_norms_gram_seconds(m, layers, layers->d), without = 0, with = shared;
    for (size_t i = 0; i < count; i++) {
        double own = vs_norms_gram_seconds(&m[i], &layers[i], layers[i].p);
        picked[i] = (unsigned char)vs_norms_better_gradient(&m[i], &layers[i]);
        double gradient = vs_norms_seconds(&m[i], &layers[i], (enum vs_norms_method)picked[i]);
        without += gradient;
        with += own < gradient ? own : gradient;
    }
    for (size_t i = 0; with < without && i < count; i++)
        if (vs_norms_gram_seconds(&m[i], &layers[i], layers[i].p) <
            vs_norms_seconds(&m[i], &layers[i], (enum vs_norms_method)picked[i]))
            picked[i] = VS_NORMS_BY_GRAM;
}

#endif

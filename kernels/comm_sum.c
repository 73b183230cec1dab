/* SPDX-License-Identifier: MIT
 *
 * comm_sum.c: see comm_sum.h.
 */
#include "kernels/comm_sum.h"

#include <stdint.h>
#include <string.h>

#include "kernels/convert.h"

#define REALS(X) X(float) X(double)
#define X(real)                                                                                  \
    static void sum_##real(real *to, const void *const *terms, size_t count, size_t n)           \
    {                                                                                            \
        memcpy(to, terms[0], n * sizeof *to);                                                    \
        for (size_t t = 1; t < count; t++) {                                                     \
            const real *term = terms[t];                                                         \
            for (size_t i = 0; i < n; i++) to[i] += term[i];                                     \
        }                                                                                        \
    }
REALS(X)
#undef X

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint16_t to_bf16(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* NaN: rounding could make it Inf */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t to_fp16(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= bits_of(65520.0f)) return (uint16_t)(sign | 0x7c00);
    if (size < bits_of(0x1p-14f)) { /* the last bit of floats from 0.5 on is that of subnormal halves: the addition rounds */
        float magnitude;
        memcpy(&magnitude, &size, sizeof magnitude);
        return (uint16_t)(sign | (bits_of(magnitude + 0.5f) - bits_of(0.5f)));
    }
    size += 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (size - bits_of(0x1p-14f) + (1u << 23)) >> 13);
}

static void sum_halves(enum vs_norms_dtype dtype, uint16_t *to, const void *const *terms, size_t count, size_t n)
{
    enum { BLOCK = 256 };
    float sum[BLOCK], term[BLOCK];
    for (size_t first = 0, m; first < n; first += m) {
        m = n - first < BLOCK ? n - first : BLOCK;
        for (size_t t = 0; t < count; t++) {
            vs_convert(dtype, (const uint16_t *)terms[t] + first, m, 1, m, t ? term : sum);
            for (size_t i = 0; t && i < m; i++) sum[i] += term[i];
        }
        for (size_t i = 0; i < m; i++) to[first + i] = dtype == VS_NORMS_bf16 ? to_bf16(sum[i]) : to_fp16(sum[i]);
    }
}

void vs_comm_sum(enum vs_comm_dtype dtype, void *to, const void *const *terms, size_t count, size_t n)
{
    if (dtype == VS_COMM_fp32)
        sum_float(to, terms, count, n);
    else if (dtype == VS_COMM_fp64)
        sum_double(to, terms, count, n);
    else
        sum_halves(dtype == VS_COMM_bf16 ? VS_NORMS_bf16 : VS_NORMS_fp16, to, terms, count, n);
}

void vs_comm_round(enum vs_comm_dtype dtype, void *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (dtype == VS_COMM_fp32) ((float *)to)[i] = from[i];
        else if (dtype == VS_COMM_fp64) ((double *)to)[i] = (double)from[i];
        else ((uint16_t *)to)[i] = dtype == VS_COMM_bf16 ? to_bf16(from[i]) : to_fp16(from[i]);
}

/* SPDX-License-Identifier: MIT
 *
 * convert.c: bfloat16 and IEEE half to float32, in integer steps that compilers turn into vector code.
 */
#include "kernels/convert.h"

#include <stdint.h>
#include <string.h>

#include "kernels/clones.h"

VS_CLONES static void from_bf16(const uint16_t *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

/* Exponent and fraction moved into place are the value times 2^-112, subnormals too; multiplying is exact. The largest exponent
 * means Inf or NaN in both. */
VS_CLONES static void from_fp16(const uint16_t *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t half = from[i], sign = (half & 0x8000) << 16, bits = (half & 0x7fff) << 13;
        uint32_t special = bits >= 0x7c00u << 13 ? 0xffu << 23 : 0;
        float value;
        memcpy(&value, &bits, sizeof bits);
        value *= 0x1p112f;
        memcpy(&bits, &value, sizeof bits);
        bits |= sign | special;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

void vs_convert(enum vs_norms_dtype dtype, const void *from, size_t stride, size_t rows, size_t cols, float *to)
{
    for (size_t r = 0; r < rows; r++, to += cols) {
        const void *row = vs_element(dtype, from, r * stride);
        if (dtype == VS_NORMS_bf16)
            from_bf16(row, cols, to);
        else if (dtype == VS_NORMS_fp16)
            from_fp16(row, cols, to);
        else
            memcpy(to, row, cols * sizeof *to);
    }
}

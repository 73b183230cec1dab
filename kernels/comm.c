/* SPDX-License-Identifier: MIT
 *
 * comm.c: what all communicators have in common: the size of an element.
 */
#include "kernels/comm.h"

size_t vs_comm_dtype_bytes(enum vs_comm_dtype dtype)
{
    static const unsigned char bytes[VS_COMM_DTYPE_COUNT] = {
#define X(name, size) [VS_COMM_##name] = size,
        VS_COMM_DTYPES(X)
#undef X
    };
    return (unsigned)dtype < VS_COMM_DTYPE_COUNT ? bytes[dtype] : 0;
}

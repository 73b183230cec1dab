/* SPDX-License-Identifier: MIT
 *
 * array_bytes.h: how many bytes a CUDA array or mipmap takes: those of its elements, without the driver's padding.
 * Measured equal to what CUPTI reports for plain arrays (of cubemaps and layered arrays it reports one face or layer).
 */
#ifndef VS_PROFILER_ARRAY_BYTES_H
#define VS_PROFILER_ARRAY_BYTES_H

#include <stdint.h>

#include "cuda_abi.h"

/* levels: 1 for an array; of a mipmap, those asked for (a driver makes no more than there can be). Sparse and deferred
 * arrays take none: cuMemCreate gives them theirs. */
uint64_t vs_array_bytes(const struct vs_cu_array3d *d, unsigned levels);

#endif

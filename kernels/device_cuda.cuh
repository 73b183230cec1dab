/* SPDX-License-Identifier: MIT
 *
 * device_cuda.cuh: the calls of the CUDA device's table (device.h) that have files of their own.
 */
#ifndef VS_KERNELS_DEVICE_CUDA_CUH
#define VS_KERNELS_DEVICE_CUDA_CUH

#include "kernels/norms.h"

/* device_measure.cu */
int vs_cuda_ceiling(void *context, vs_norms_dtype dtype, double *operations_per_s);
int vs_cuda_calibrate(void *context, vs_norms_dtype dtype);

/* norm_gram.cu, norm_direct.cu: what the whole call is expected to take; 0: nobody can say */
double vs_cuda_gram_seconds(const vs_norms_call *call);
double vs_cuda_direct_seconds(const vs_norms_call *call);

/* norm_auto.cu */
const char *vs_cuda_choice(const vs_norms_call *call, size_t layer, double expected_ms[3]);

#endif

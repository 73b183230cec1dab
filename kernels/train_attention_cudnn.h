/* SPDX-License-Identifier: MIT
 *
 * train_attention_cudnn.h: cuDNN as it is found at run time. Nothing here is linked to it.
 */
#ifndef VS_KERNELS_TRAIN_ATTENTION_CUDNN_H
#define VS_KERNELS_TRAIN_ATTENTION_CUDNN_H

#include <stdbool.h>

/* Opens the library on the first call. true: every function of cudnn.h that is used here can be called. */
bool vs_cudnn_load(void);

#endif

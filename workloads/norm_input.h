/* SPDX-License-Identifier: MIT
 *
 * norm_input.h: reproducible random inputs of the norms workload in every element type: uniform in [-1, 1], rounded to what the
 * type can hold. It owns one block of them on the host and fills memory of a device with pieces of it that begin at random
 * places, so that gigabytes are made at the speed of a copy.
 *
 * Ownership: the block, from open to close. Threading: one thread. Errors: 0 or -errno as the device's.
 */
#ifndef VS_WORKLOADS_NORM_INPUT_H
#define VS_WORKLOADS_NORM_INPUT_H

#include <stdint.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_norm_source {
    enum vs_norms_dtype dtype;
    uint64_t seed;
    size_t count; /* elements in block */
    void *block;
};

/* largest: elements of the largest matrix that will be asked for. -ENOMEM. */
int vs_norm_source_open(struct vs_norm_source *source, enum vs_norms_dtype dtype, size_t seed, size_t largest);
/* which: any number; another one gives other values. */
int vs_norm_source_fill(const struct vs_norm_source *source, const struct vs_device *device, void *to, size_t count,
                        size_t which);
void vs_norm_source_close(struct vs_norm_source *source);

/* Writes NaN, or Inf, over the element `at` of X. */
int vs_norm_poison(const struct vs_device *device, enum vs_norms_dtype dtype, void *X, size_t at, bool nan);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * device_choice.h: the device that --device asks for.
 */
#ifndef VS_WORKLOADS_DEVICE_CHOICE_H
#define VS_WORKLOADS_DEVICE_CHOICE_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* wanted: auto, cpu or cuda. NULL: there is no GPU, said so on stderr with the name of the workload; auto takes the CPU then, and
 * says why. */
const struct vs_device *vs_device_choose(const char *workload, const char *wanted);

#ifdef __cplusplus
}
#endif
#endif

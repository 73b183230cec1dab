/* SPDX-License-Identifier: MIT
 *
 * device_choice.c: a GPU where there is one and it is wanted, else the CPU.
 */
#include "workloads/device_choice.h"

#include <stdio.h>
#include <string.h>

const struct vs_device *vs_device_choose(const char *workload, const char *wanted)
{
    char why[512] = "";
    if (!strcmp(wanted, "cpu")) return vs_device_cpu();
    const struct vs_device *device = vs_device_cuda(why, sizeof why);
    if (device) return device;
    if (!strcmp(wanted, "cuda")) {
        fprintf(stderr, "%s: --device cuda: %s\n", workload, why);
        return NULL;
    }
    fprintf(stderr, "%s: running on the CPU: %s\n", workload, why);
    return vs_device_cpu();
}

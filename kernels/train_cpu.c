/* SPDX-License-Identifier: MIT
 *
 * train_cpu.c: the table of the CPU's training operations. It computes nothing.
 */
#include "kernels/train_cpu.h"

#include <string.h>

int vs_train_cpu_zero(const struct vs_train_on *on, void *memory, size_t bytes)
{
    int err = vs_train_cpu_check(on, memory && bytes);
    if (!err) memset(memory, 0, bytes);
    return err;
}

int vs_train_cpu_drop(const struct vs_train_on *on, const struct vs_train_samples *list, size_t count, const float *c)
{
    int err = vs_train_cpu_check(on, list && count && c);
    for (size_t i = 0; !err && i < count; i++)
        for (size_t b = 0; b < list[i].B; b++)
            if (c[list[i].first + b] == 0) memset((char *)list[i].data + b * list[i].bytes, 0, list[i].bytes);
    return err;
}

const struct vs_train_ops vs_train_cpu = {
#define X(op) .op = vs_train_cpu_##op,
    VS_TRAIN_CPU_OPS(X)
#undef X
};

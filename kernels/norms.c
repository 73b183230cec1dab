/* SPDX-License-Identifier: MIT
 *
 * norms.c: the table of the CPU's algorithms. It computes no norm.
 */
#include "kernels/norms.h"

#include <string.h>

const struct vs_norms_algorithm *vs_norms_cpu(const char *name)
{
    static const struct vs_norms_algorithm *const all[] = {
#define X(id, what) &vs_norms_cpu_##id,
        VS_NORMS_ALGORITHMS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name)) return all[i];
    return NULL;
}

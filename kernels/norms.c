/* SPDX-License-Identifier: MIT
 *
 * norms.c: the table of the CPU's algorithms. It computes no norm.
 */
#include "kernels/norms.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const struct vs_norms_algorithm *vs_norms_cpu(const char *name)
{
    static const struct vs_norms_algorithm *const all[] = {
#define X(id, what) &vs_norms_cpu_##id,
        VS_NORM_ALGORITHMS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name)) return all[i];
    return NULL;
}

double vs_norms_error(size_t B, const double *n, const double *reference)
{
    double worst = 0;
    for (size_t b = 0; b < B; b++) {
        if (!isfinite(n[b]) || !isfinite(reference[b])) return (double)NAN;
        /* A true zero must come out as zero: any other value is an infinite relative error. */
        double scale = fabs(reference[b]), off = fabs(n[b] - reference[b]);
        double e = off == 0 ? 0 : off / scale;
        if (e > worst) worst = e;
    }
    return worst;
}

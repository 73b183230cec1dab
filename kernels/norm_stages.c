/* SPDX-License-Identifier: MIT
 *
 * norm_stages.c: norm_stages.h on the CPU. The arrays are small: one thread.
 */
#include "kernels/norm_stages.h"

#include <errno.h>
#include <math.h>

#include "kernels/comm_sum.h"
#include "kernels/convert.h"

static int cpu_stack(const struct vs_norm_stage *s)
{
    if (!vs_norm_stage_fits(s)) return -EINVAL;
    for (size_t l = 0; l < s->layers; l++)
        for (size_t b = s->first; b < s->first + s->count; b++) s->stack[l * s->B + b] = s->layer[l][b];
    return 0;
}

static int cpu_local(const struct vs_norm_stage *s)
{
    if (!vs_norm_stage_fits(s)) return -EINVAL;
    for (size_t b = s->first; b < s->first + s->count; b++) {
        double sum = 0;
        for (size_t l = 0; l < s->layers; l++) sum += s->stack[l * s->B + b];
        float narrow = (float)sum;
        vs_comm_round(s->dtype, (char *)s->wire + b * vs_comm_dtype_bytes(s->dtype), &narrow, 1);
    }
    return 0;
}

static int cpu_finish(const struct vs_norm_stage *s)
{
    if (!vs_norm_stage_fits(s)) return -EINVAL;
    for (size_t b = s->first; b < s->first + s->count; b++) {
        float sum;
        vs_convert(s->dtype == VS_COMM_fp16 ? VS_NORMS_fp16 : VS_NORMS_fp32,
                   (const char *)s->wire + b * vs_comm_dtype_bytes(s->dtype), 1, 1, 1, &sum);
        double norm = sqrt((double)sum), c = s->bound / (norm + 1e-6);
        s->norm[b] = norm;
        s->c[b] = isfinite(norm) ? (float)(c < 1 ? c : 1) : 0;
    }
    return 0;
}

const struct vs_norm_stages vs_norm_stages_cpu = {.stack = cpu_stack, .local = cpu_local, .finish = cpu_finish};

/* SPDX-License-Identifier: MIT
 *
 * train_cpu_attention.c: attention on the CPU, by rows: the scores of one query at a time, one row of them per thread, and in
 * the backward pass again from what `stats` kept. It never holds a matrix of T x T.
 */
#include "kernels/train_cpu.h"

#include <math.h>
#include <string.h>

#include "kernels/clones.h"

enum { ROWS = 16 /* of one item */ };

#define REAL float
#define NAME(x) x##_f32
#define EXP expf
#include "kernels/train_cpu_attention.inc"
#undef REAL
#undef NAME
#undef EXP
#define REAL double
#define NAME(x) x##_f64
#define EXP exp
#include "kernels/train_cpu_attention.inc"
#undef REAL
#undef NAME
#undef EXP

/* Forward a row of scores per thread; backward a value per row of every head. */
size_t vs_train_cpu_attention_workspace_bytes(const struct vs_train_on *on, const struct vs_train_attention *p, bool backward)
{
    size_t element = vs_train_wide_bytes(on->dtype);
    if (backward) return p->B * p->heads * p->T * element;
    return vs_cpu_threads(on->context) * vs_cpu_align(p->T * element);
}

static int check(const struct vs_train_on *on, const struct vs_train_attention *p, bool backward)
{
    bool good = p && p->B && p->T && p->heads && p->kv_heads && p->width && p->heads % p->kv_heads == 0 &&
                p->row >= p->heads * p->width && p->q && p->k && p->v && p->o && p->stats && p->workspace;
    if (backward) good = good && p->d_o && p->dq && p->dk && p->dv;
    int err = vs_train_cpu_check(on, good);
    if (err) return err;
    return p->workspace_bytes < vs_train_cpu_attention_workspace_bytes(on, p, backward) ? -ENOBUFS : 0;
}

int vs_train_cpu_attention(const struct vs_train_on *on, const struct vs_train_attention *p)
{
    int err = check(on, p, false);
    if (!err) VS_TRAIN_RUN(on, p->B * p->heads * vs_train_items(p->T, ROWS), forward_item, (void *)p);
    return err;
}

int vs_train_cpu_attention_backward(const struct vs_train_on *on, const struct vs_train_attention *p)
{
    int err = check(on, p, true);
    if (err) return err;
    VS_TRAIN_RUN(on, p->B * p->heads * vs_train_items(p->T, ROWS), query_item, (void *)p);
    VS_TRAIN_RUN(on, p->B * p->kv_heads * vs_train_items(p->T, ROWS), key_item, (void *)p);
    return 0;
}

const char *vs_train_cpu_attention_by(const struct vs_train_on *on, const struct vs_train_attention *p)
{
    (void)on, (void)p;
    return "loops";
}

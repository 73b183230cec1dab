/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_fault.c: mistakes that a check of norms must find, made by one rank where a program would make them: a collective that is
 * not called, losses that are scaled by another rule, samples in another order. It reports nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/fsdp_norms.h"

enum { LEFT_OUT = 2 }; /* the first block's weights in the first forward pass */

/* A device that is this one but for the losses. */
static struct vs_device wrong_device;
static struct vs_train_ops wrong_ops;
static const struct vs_train_ops *right_ops;
static double loss_scale;

static int wrong_loss(const struct vs_train_on *on, const struct vs_train_loss *p)
{
    struct vs_train_loss wrong = *p;
    wrong.factor *= loss_scale;
    return right_ops->loss(on, &wrong);
}

static void scale_losses(struct vs_fsdp_job *job)
{
    size_t B = job->o->train.model.B;
    right_ops = job->device->train;
    wrong_ops = *right_ops;
    wrong_ops.loss = wrong_loss;
    wrong_device = *job->device;
    wrong_device.train = &wrong_ops;
    loss_scale = 1.0 / (double)(B > 1 ? B : 2);
    job->device = &wrong_device;
}

void vs_fsdp_fault_prepare(struct vs_fsdp_job *job)
{
    job->faulty = job->o->fault != VS_FSDP_FAULT_NONE && job->rank == job->world - 1;
    if (!job->faulty) return;
    if (job->o->fault == VS_FSDP_FAULT_SKIP) job->ranks.shard.left_out = LEFT_OUT;
    if (job->o->fault == VS_FSDP_FAULT_SCALE) scale_losses(job);
}

static void swap(int64_t *a, int64_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t was = a[i];
        a[i] = b[i];
        b[i] = was;
    }
}

/* NaN in all memory that holds nothing: where no other rank waits for the collective, what it did not write must not happen to be the
 * weights that a trainer before this one gathered at the same place. */
static int poison(struct vs_trainer *t)
{
    enum { PIECE = 1 << 20 };
    const struct vs_arena *a = &t->arena;
    char *nan = malloc(PIECE);
    int err = nan ? 0 : -ENOMEM;
    if (nan) memset(nan, 0xff, PIECE); /* of any element type */
    for (size_t i = 0; !err && i < a->count; i++) {
        size_t end = i + 1 < a->count ? a->block[i + 1].offset : a->capacity;
        for (size_t at = a->block[i].offset; !err && !a->block[i].used && at < end; at += PIECE)
            err = t->device->upload(a->base + at, nan, end - at < PIECE ? end - at : PIECE);
    }
    free(nan);
    return err;
}

static int swap_samples(struct vs_fsdp_job *job, struct vs_trainer *t)
{
    size_t T = t->settings.model.T, tokens = t->settings.model.B * T;
    int64_t *ids = calloc(2 * tokens, sizeof *ids), *targets = ids ? ids + tokens : NULL;
    int err = ids ? job->device->download(ids, t->batch.ids, tokens * sizeof *ids) : -ENOMEM;
    if (!err) err = job->device->download(targets, t->batch.targets, tokens * sizeof *targets);
    if (!err) {
        swap(ids, ids + T, T);
        swap(targets, targets + T, T);
        err = vs_trainer_load_ids(t, ids, targets);
    }
    free(ids);
    return err;
}

int vs_fsdp_fault_batch(struct vs_fsdp_job *job, struct vs_trainer *t)
{
    if (!job->faulty) return 0;
    switch (job->o->fault) {
    case VS_FSDP_FAULT_SKIP: return poison(t);
    case VS_FSDP_FAULT_SWAP: return swap_samples(job, t);
    default: return 0;
    }
}

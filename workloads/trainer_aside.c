/* SPDX-License-Identifier: MIT
 *
 * trainer_aside.c: norms of a block beside the backward pass of the next: another stream, and a context and workspace of its own, because
 * a context serves one order of work at a time. What the norms read is given back one block later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/trainer_parts.h"

struct vs_train_aside {
    void *context, *stream, *ready, *done; /* events: what is read was written; the norms are there */
    void *workspace;
    size_t first; /* kept[first .. settled) are being read */
    bool busy;
};

int vs_train_aside_open(struct vs_trainer *t)
{
    t->aside = calloc(1, sizeof *t->aside);
    return t->aside ? 0 : -ENOMEM;
}

int vs_train_aside_start(struct vs_trainer *t)
{
    struct vs_train_aside *a = t->aside;
    if (!a) return 0;
    int err = t->device->open(&a->context);
    if (!err && !strcmp(t->plan.norm, "auto")) err = t->device->calibrate(a->context, vs_train_norms_dtype(t));
    if (!err) err = t->device->queue->open(&a->stream, false);
    if (!err) err = t->device->queue->event_open(&a->ready, false);
    return err ? err : t->device->queue->event_open(&a->done, false);
}

void vs_train_aside_close(struct vs_trainer *t)
{
    struct vs_train_aside *a = t->aside;
    if (!a) return;
    if (a->stream) t->device->wait(a->stream);
    t->device->queue->close(a->stream);
    t->device->queue->event_close(a->ready);
    t->device->queue->event_close(a->done);
    t->device->close(a->context);
    free(a);
    t->aside = NULL;
}

int vs_train_aside_take(struct vs_trainer *t)
{
    struct vs_train_aside *a = t->aside;
    if (!a) return 0;
    int err = vs_train_take(t, t->norm_workspace_bytes, &a->workspace, "workspace/norm_samples.workspace_aside");
    return err || !a->workspace ? err : VS_TRAIN_RUN(t, zero(&t->on, a->workspace, t->norm_workspace_bytes));
}

void vs_train_aside_give(struct vs_trainer *t)
{
    if (t->aside) vs_train_give(t, &t->aside->workspace);
}

int vs_train_aside_end(struct vs_trainer *t)
{
    struct vs_train_aside *a = t->aside;
    if (!a || !a->busy) return 0;
    a->busy = false;
    int err = t->arena.planning ? 0 : t->device->queue->follow(t->on.stream, a->done);
    size_t before = t->kept_count;
    vs_train_forget_kept(t, a->first, t->settled);
    t->settled -= before - t->kept_count;
    return err;
}

int vs_train_aside_begin(struct vs_trainer *t)
{
    struct vs_train_aside *a = t->aside;
    const struct vs_queue *q = t->device->queue;
    /* what workspace they need is asked while planning, before there is another context */
    const struct vs_train_norm_place there = {a->context ? a->context : t->on.context, a->stream, a->workspace};
    int err = vs_train_aside_end(t);
    if (err || t->kept_count == t->settled) return err;
    if (!t->arena.planning) err = q->record(a->ready, t->on.stream);
    if (!err && !t->arena.planning) err = q->follow(a->stream, a->ready);
    if (!err) err = vs_train_linear_norms(t, &there, t->kept + t->settled, t->kept_count - t->settled);
    if (!err && !t->arena.planning) err = q->record(a->done, a->stream);
    a->first = t->settled;
    t->settled = t->kept_count;
    a->busy = true;
    return err;
}

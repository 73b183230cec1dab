/* SPDX-License-Identifier: MIT
 *
 * trainer_norms.c: per-sample norms by the kernels of norms.h and layer_norms.h, without gradients in memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "workloads/trainer_parts.h"

enum vs_norms_dtype vs_train_norms_dtype(const struct vs_trainer *t)
{
    switch (t->on.dtype) {
    case VS_TRAIN_bf16: return VS_NORMS_bf16;
    case VS_TRAIN_tf32: return VS_NORMS_tf32;
    default: return VS_NORMS_fp32;
    }
}

/* The workspace must be zero once and is then the algorithms' own: one for all calls, as large as the largest asks. */
static void want_workspace(struct vs_trainer *t, size_t bytes)
{
    if (t->arena.planning && bytes != SIZE_MAX && bytes > t->norm_workspace_bytes) t->norm_workspace_bytes = bytes;
}

int vs_train_linear_norms(struct vs_trainer *t, const struct vs_train_norm_place *place, const struct vs_train_kept *list, size_t count)
{
    const struct vs_norms_algorithm *algorithm = t->device->norms(t->plan.norm);
    struct vs_norms_layer *layers = calloc(count, sizeof *layers);
    if (!layers) return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct vs_train_place *p = &vs_train_unit_of(&t->layout, list[i].unit)->tensor[list[i].id];
        layers[i] = (struct vs_norms_layer){.B = list[i].B,
                                            .T = t->settings.model.T,
                                            .d = p->columns,
                                            .p = p->padded,
                                            .A = list[i].A,
                                            .G = list[i].G,
                                            .n = vs_train_n(t, list[i].unit, list[i].id) + list[i].first};
    }
    struct vs_norms_call call = {.dtype = vs_train_norms_dtype(t),
                                 .layers = layers,
                                 .count = count,
                                 .workspace = place->workspace,
                                 .workspace_bytes = t->norm_workspace_bytes,
                                 .context = place->context,
                                 .stream = place->stream};
    want_workspace(t, algorithm->workspace_bytes(&call));
    int err = vs_train_span_begin(t, VS_SPAN_NORMS, place->stream);
    if (!err) err = t->arena.planning ? vs_norms_check(&call) : algorithm->run(&call);
    if (!err) err = vs_train_span_end(t, VS_SPAN_NORMS, count, place->stream);
    free(layers);
    return err;
}

int vs_train_embedding_norm(struct vs_trainer *t, const struct vs_train_batch *b, size_t unit, enum vs_train_tensor id, const void *G)
{
    const struct vs_layer_norms *norms = t->device->layer_norms;
    struct vs_layer_norms_call call = {.kind = VS_LAYER_NORMS_embedding,
                                       .dtype = vs_train_norms_dtype(t),
                                       .B = b->B,
                                       .T = t->settings.model.T,
                                       .p = t->settings.model.h,
                                       .G = G,
                                       .ids = id == VS_TENSOR_POSITION ? b->positions : b->ids,
                                       .n = vs_train_n(t, unit, id),
                                       .workspace = t->norm_workspace,
                                       .workspace_bytes = t->norm_workspace_bytes,
                                       .context = t->on.context,
                                       .stream = t->on.stream};
    want_workspace(t, norms->workspace_bytes(&call));
    int err = vs_train_span_begin(t, VS_SPAN_NORMS, t->on.stream);
    if (!err && !t->arena.planning) err = norms->run(&call);
    return err ? err : vs_train_span_end(t, VS_SPAN_NORMS, 1, t->on.stream);
}

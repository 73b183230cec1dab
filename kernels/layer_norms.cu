/* SPDX-License-Identifier: MIT
 *
 * layer_norms.cu: the per-sample norms of layer_norms.h on the GPU: checks a call and hands it to the file of its kind. It
 * launches no kernel.
 */
#include "kernels/layer_norm.cuh"

namespace {

size_t own_bytes(const vs_layer_norms_call *c)
{
    switch (c->kind) {
    case VS_LAYER_NORMS_embedding: return vs_layer_rows_bytes(c, c->p);
    case VS_LAYER_NORMS_tied: return vs_layer_tied_bytes(c);
    case VS_LAYER_NORMS_outer: return vs_layer_outer_bytes(c);
    default: return vs_layer_columns_bytes(c);
    }
}

size_t workspace_bytes(const vs_layer_norms_call *c)
{
    if (vs_layer_norms_check_shape(c)) return SIZE_MAX;
    size_t bytes = own_bytes(c);
    return bytes == SIZE_MAX ? bytes : VS_WORKSPACE_COUNTERS + bytes;
}

int run(const vs_layer_norms_call *c)
{
    int err = vs_layer_norms_check(&vs_layer_norms_cuda, c);
    if (!err && c->context) err = vs_cuda_here(static_cast<const vs_cuda_context *>(c->context));
    if (err) return err;
    char *workspace = static_cast<char *>(c->workspace) + VS_WORKSPACE_COUNTERS;
    switch (c->kind) {
    case VS_LAYER_NORMS_embedding: return vs_layer_rows(c, c->G, c->p, workspace, c->n);
    case VS_LAYER_NORMS_tied: return vs_layer_tied(c, workspace);
    case VS_LAYER_NORMS_outer: return vs_layer_outer(c, workspace);
    default: return vs_layer_columns(c, workspace);
    }
}

} // namespace

const vs_layer_norms vs_layer_norms_cuda = {workspace_bytes, run};

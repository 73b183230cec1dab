/* SPDX-License-Identifier: MIT
 *
 * layer_norms.h: the contract of the per-sample gradient norms of everything that is not a plain linear layer: biases,
 * embeddings, LayerNorm, RMSNorm, a weight shared by embedding and head, and linear layers with one row per sample. It says
 * what is computed on which buffers; it allocates nothing. Linear layers are in norms.h.
 *
 * Mathematics, for sample b with output gradient G_b [T,p], row t of it G_t:
 *     bias        n = ||sum_t G_t||^2
 *     embedding   n = sum_v ||X_v||^2, X_v = sum_{t: id_t = v} G_t: rows of one id add as vectors before they are squared.
 *                 With distinct ids (positions) it is sum_t ||G_t||^2.
 *     layer_norm  n = ||sum_t G_t * xhat_t||^2 (gamma), n_beta = ||sum_t G_t||^2, xhat = (x - mean) / sqrt(var + eps), mean
 *                 and var (of p, not p - 1) over the row x_t of A
 *     rms_norm    n = ||sum_t G_t * xhat_t||^2, xhat = x / sqrt(mean(x^2) + eps)
 *     tied        one weight W [p,d] is the embedding and the head: its gradient is X + Y, X [p,d] the scattered rows E_t of
 *                 the embedding's output gradient, Y = G^T A the head's, A its input, G the gradient of the logits.
 *                 n = ||X||^2 + ||Y||^2 + 2 sum_{s,t} G[s, id_t] (A_s . E_t), and ||Y||^2 is a linear layer's norm, which the
 *                 caller computes with norms.h and passes as n_head
 *     outer       T = 1: n = ||A_b||^2 ||G_b||^2, the linear layer of norms.h with one row
 * All are sums of squares but tied, which is one of signed terms: where X and Y cancel, its error relative to n grows like
 * (||X||^2 + ||Y||^2) / n. It is never negative.
 *
 * Ids: any int64. Rows whose id is padding_id (where `padded`) count for nothing and are not looked at, as PyTorch's
 *      padding_idx does. tied: an id outside 0 .. p - 1 has no column in G, so it adds to ||X||^2 alone.
 * Layout: row-major, dense, aligned to the element and no more (GPUs are faster with 16 bytes, and rows of whole 16-byte
 *         groups). A, G, E of the call's element type; tf32 is float32, and only tied's product A_s . E_t is rounded to it.
 * Sums are kept in float64 but for tied's product A_s . E_t on the GPU, in float32.
 * Ownership, workspace, stream, threading, determinism, NaN and Inf: as in norms.h; n_head may be n itself, and is read in the
 *         order of the stream.
 * Errors: 0; -EINVAL no shape, a NULL buffer, an unknown kind or element type, outer with T > 1, a negative or NaN eps;
 *         -EOVERFLOW sizes beyond the address space or the device's grid; -ENOBUFS workspace too small; -ENOMEM, -EIO the
 *         device failed (the device says how).
 */
#ifndef VS_KERNELS_LAYER_NORMS_H
#define VS_KERNELS_LAYER_NORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/norms.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The kinds, in the order they are shown: X(name, what it is). */
#define VS_LAYER_NORMS_KINDS(X)                                              \
    X(bias, "a bias, from G")                                                \
    X(embedding, "a table of rows looked up by id, from G and ids")          \
    X(layer_norm, "LayerNorm's gamma and beta, from A, G and eps")           \
    X(rms_norm, "RMSNorm's gamma, from A, G and eps")                        \
    X(tied, "embedding and head of one weight, from A, G, E, ids and n_head") \
    X(outer, "a linear layer with one row per sample, from A and G")

enum vs_layer_norms_kind {
#define X(name, what) VS_LAYER_NORMS_##name,
    VS_LAYER_NORMS_KINDS(X)
#undef X
        VS_LAYER_NORMS_KIND_COUNT
};

/* Fields that the kind does not name are not looked at. */
struct vs_layer_norms_call {
    enum vs_layer_norms_kind kind;
    enum vs_norms_dtype dtype;
    size_t B; /* samples */
    size_t T; /* rows (tokens) per sample */
    size_t d; /* columns of A and E, of tied and outer */
    size_t p; /* columns of G: width of the layer's output; of A too for layer_norm and rms_norm */
    const void *A;         /* the layer's input: x, or the head's input; B x T x p (tied, outer: B x T x d) */
    const void *G;         /* B x T x p */
    const void *E;         /* tied: gradient of the embedding's output, B x T x d */
    const int64_t *ids;    /* B x T */
    bool padded;           /* is there a padding_id? */
    int64_t padding_id;
    double eps;
    const double *n_head;  /* tied: ||Y||^2, B values */
    double *n;             /* out, B values */
    double *n_beta;        /* out, B values, or NULL: LayerNorm without beta */
    void *workspace;
    size_t workspace_bytes;
    void *context; /* of the device (device.h) */
    void *stream;
};

struct vs_layer_norms {
    /* Of a call with good shapes; reads kind, dtype, B, T, d, p and context. 0: none needed. SIZE_MAX: not to be had, because
     * the shapes are bad or the device does not answer; run says which. */
    size_t (*workspace_bytes)(const struct vs_layer_norms_call *call);
    int (*run)(const struct vs_layer_norms_call *call);
};

/* The CPU's is computed when run returns, with the same bits for any number of threads. */
extern const struct vs_layer_norms vs_layer_norms_cpu;
/* In libvramscope_kernels.so only: reached through vs_device_cuda()->layer_norms. */
extern const struct vs_layer_norms vs_layer_norms_cuda;

#ifdef __cplusplus
}
#endif
#endif

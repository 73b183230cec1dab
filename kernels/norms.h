/* SPDX-License-Identifier: MIT
 *
 * norms.h: the contract of the per-sample gradient norms of linear layers. It says what is computed on which buffers; it
 * allocates nothing.
 *
 * Mathematics. A linear layer with input A_b [T,d] and output gradient G_b [T,p] has, for sample b, the weight gradient
 * S_b = G_b^T A_b [p,d]. Wanted is its squared Frobenius norm, for every b:
 *     n_b = ||G_b^T A_b||^2 = sum_{s,t} (A_b[s] . A_b[t]) (G_b[s] . G_b[t]) = <A_b A_b^T, G_b G_b^T>
 * The right side (Goodfellow, arXiv:1510.01799; sequence form: Li et al., arXiv:2110.05679) needs no p x d gradient: with
 * K_A = A_b A_b^T and K_G = G_b G_b^T symmetric it is cheaper while T < 2dp/(d+p). It is a sum of signed terms: its
 * relative error grows with kappa_b = sum |K_A * K_G| / n_b. Gram matrices are therefore never rounded below float32, and
 * a sample with kappa_b > VS_NORMS_KAPPA is computed again by the left side, and counted (`recomputed`).
 *
 * Layers: one call takes a list of layers with one element type. Consecutive layers with the same A, B, T and d share
 *         their input (q,k,v; gate,up): the Gram algorithms compute K_A once for (up to three of) them.
 * Layout: A is B x T x d, G is B x T x p, both row-major and dense; aligned to their element, no more (GPUs are faster from
 *         16 bytes on). n and absolute are B float64 values, gradient is B x p x d float32, row-major. B, T, d, p >= 1,
 *         multiples of nothing. T = 1 is the 2-D input of an ordinary layer.
 * Element types: see VS_NORMS_DTYPES. Products are summed in float32, tiles and samples in float64. The bounds hold where
 *         n and the sums it is made of lie within float32's normal range. materialize stores the gradients of large bf16
 *         layers in bf16: its bound holds where they are not concentrated in few entries; auto does not use that.
 * Units: n in the square of the inputs' unit. Sizes are bytes where the name says so.
 * Ownership: the caller owns every buffer; A and G are read only, and buffers do not overlap. Everything but the layer
 *         table itself lies where the algorithm runs; the table may go when the call returns. Nothing is kept between
 *         calls but in the context.
 * Workspace: workspace_bytes() of exactly this call; aligned to 256 bytes; ZERO-FILLED before its first use, and from then
 *         on left to the algorithms of this device: every call that succeeds leaves it ready for the next one of any shape;
 *         after one that failed, zero-fill it again.
 * Stream: the CUDA stream the work is queued on, NULL: the default one. The call may return before the work is done, waits
 *         for nothing, and may be captured in a CUDA graph. The CPU ignores it and returns when done.
 * Threading: calls on different buffers may run at the same time, each with a context of its own.
 * Determinism: bitwise the same result on every call on one machine; of auto, as long as it picks the same (it may pick
 *         otherwise after calibrate, or with more workspace). No float atomics.
 * NaN, Inf: a sample that holds one gets a non-finite norm, and no other sample is touched by it.
 * Errors: 0; -EINVAL no layers, no shape, a NULL buffer, an unknown element type, or a gradient asked of an algorithm that
 *         makes none; -EOVERFLOW sizes beyond the address space or the library's index type; -ENOBUFS workspace too small;
 *         -ENOTSUP the device lacks the element type; -ENOMEM, -EIO the device failed (the device says how).
 */
#ifndef VS_KERNELS_NORMS_H
#define VS_KERNELS_NORMS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The algorithms, in the order they are shown: X(name, what it is). */
#define VS_NORMS_ALGORITHMS(X)                                                                          \
    X(gram_full, "both T x T Gram matrices written to memory, then multiplied and summed")              \
    X(gram, "pairs of row tiles of both Gram matrices in fast memory, nothing T x T is written")        \
    X(direct, "the gradient tile by tile in fast memory, squared and summed, nothing p x d is written") \
    X(materialize, "the gradient of every sample written to memory, then squared and summed")           \
    X(auto, "the cheapest of them for each layer on this device within the workspace given")            \
    X(reference, "float64 throughout: the oracle")

/* Element types: X(name, bytes in memory, bound of the relative error for kappa <= VS_NORMS_KAPPA, what it is). */
#define VS_NORMS_DTYPES(X)                                                    \
    X(fp32, 4, 1e-5, "float32")                                               \
    X(tf32, 4, 1e-3, "float32 in memory, multiplied with the 10 bits of TF32") \
    X(bf16, 2, 1e-4, "bfloat16")                                              \
    X(fp16, 2, 1e-4, "IEEE half")

enum vs_norms_dtype {
#define X(name, bytes, bound, what) VS_NORMS_##name,
    VS_NORMS_DTYPES(X)
#undef X
        VS_NORMS_DTYPE_COUNT
};

/* Beyond it a Gram algorithm computes the sample again from the gradient. */
#define VS_NORMS_KAPPA 100.0

struct vs_norms_layer {
    size_t B; /* samples */
    size_t T; /* rows (tokens) per sample */
    size_t d; /* columns of A: the layer's inputs */
    size_t p; /* columns of G: the layer's outputs */
    const void *A;
    const void *G;
    double *n;        /* out */
    double *absolute; /* out, or NULL: sum |K_A * K_G|, not less than that where sums are split; algorithms that form no
                         Gram matrix store n */
    float *gradient;  /* out, or NULL: S_b; direct and materialize only */
};

struct vs_norms_call {
    enum vs_norms_dtype dtype;
    const struct vs_norms_layer *layers;
    size_t count;
    unsigned *recomputed; /* out, or NULL: how many samples of the call exceeded VS_NORMS_KAPPA */
    void *workspace;
    size_t workspace_bytes;
    void *context; /* of the device (device.h) */
    void *stream;
};

struct vs_norms_algorithm {
    const char *name;
    /* Of a call that vs_norms_check accepts; reads dtype, layers with their addresses (not the data), count and context.
     * 0: none needed. */
    size_t (*workspace_bytes)(const struct vs_norms_call *call);
    int (*run)(const struct vs_norms_call *call);
};

/* 0, -EINVAL or -EOVERFLOW: are the shapes and the element type such that every buffer, two B x T x T and one B x d x p
 * float32 array included, can be addressed? Looks at no pointer but `layers`. */
int vs_norms_check(const struct vs_norms_call *call);
/* The same for a whole call: shapes, buffers, workspace. gradients: does the algorithm make them? */
int vs_norms_check_run(const struct vs_norms_algorithm *algorithm, const struct vs_norms_call *call, bool gradients);

/* How many layers from layers[0] on share their input, at most `count`: 1 or more. */
size_t vs_norms_shared(const struct vs_norms_layer *layers, size_t count);

size_t vs_norms_dtype_bytes(enum vs_norms_dtype dtype);
double vs_norms_dtype_bound(enum vs_norms_dtype dtype);
const char *vs_norms_dtype_name(enum vs_norms_dtype dtype);
/* -1: there is none of that name. */
int vs_norms_dtype_find(const char *name);

/* The CPU's version of a named algorithm; NULL: there is none. tf32 is computed in float32 there. */
const struct vs_norms_algorithm *vs_norms_cpu(const char *name);

/* Largest |n - reference| / |reference|; NaN when any norm is not finite. */
double vs_norms_error(size_t B, const double *n, const double *reference);

/* One layer's operations (multiply and add: 2), the fewest any known algorithm needs: the smaller of B T (T + 128) (d + p)
 * (symmetric Gram in tiles of 128) and 2 B T d p (the gradient). */
double vs_norms_floor_operations(const struct vs_norms_layer *layer);

#define X(name, what) extern const struct vs_norms_algorithm vs_norms_cpu_##name;
VS_NORMS_ALGORITHMS(X)
#undef X

#ifdef __cplusplus
}
#endif
#endif

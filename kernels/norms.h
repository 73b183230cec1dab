/* SPDX-License-Identifier: MIT
 *
 * norms.h: the contract of every per-sample gradient norm. It says what is computed on which buffers; it allocates
 * nothing and chooses no algorithm.
 *
 * Mathematics. A linear layer with input A_b [T,d] and output gradient G_b [T,p] has, for sample b, the weight gradient
 * A_b^T G_b [d,p]. Wanted is its squared Frobenius norm, for every b:
 *     n_b = ||A_b^T G_b||^2 = sum_{s,t} (A_b[s] . A_b[t]) (G_b[s] . G_b[t]) = <A_b A_b^T, G_b G_b^T>
 * The right side (Goodfellow, arXiv:1510.01799; sequence form: Li et al., arXiv:2110.05679) needs no d x p gradient: it
 * is cheaper while T < 2dp/(d+p) (symmetric Gram) and it is a sum of signed terms: its relative error grows with
 * kappa_b = sum |K_A * K_G| / n_b. Gram matrices are therefore never rounded below float32.
 *
 * Shapes and layout: A is B x T x d, G is B x T x p, both row-major and dense, float32; no stride, no padding, no
 * alignment asked for beyond that of float. n is B float64 values. B, T, d, p >= 1, multiples of nothing.
 * Units: n in the square of the inputs' unit. Sizes are bytes where the name says so.
 * Ownership: the caller owns every buffer; A and G are read only. An algorithm keeps nothing between calls.
 * Workspace: workspace_bytes() of exactly this shape; contents undefined before and after; aligned to 256 bytes.
 * Stream: the CUDA stream the work is queued on, NULL: the default one. The call may return before the work is done.
 *         The CPU ignores it and returns when done. Buffers lie where the algorithm runs.
 * Threading: calls on different buffers may run at the same time, each with a context of its own.
 * Determinism: bitwise the same result on every call on one machine. No float atomics.
 * NaN, Inf: a sample that holds one gets a non-finite norm, and no other sample is touched by it.
 * Errors: 0; -EINVAL no samples, no shape or a NULL buffer; -EOVERFLOW sizes beyond the address space or the library's
 *         index type; -ENOBUFS workspace too small; -EIO the device failed (the device says how).
 */
#ifndef VS_KERNELS_NORMS_H
#define VS_KERNELS_NORMS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The algorithms, in the order they are shown: X(name, what it is). */
#define VS_NORM_ALGORITHMS(X)                                                                      \
    X(gram_full, "both T x T Gram matrices written to memory, then multiplied and summed")         \
    X(gram, "pairs of row tiles i <= j, both Gram tiles in fast memory, nothing T x T is written")

struct vs_norms_shape {
    size_t B; /* samples */
    size_t T; /* rows (tokens) per sample */
    size_t d; /* columns of A: the layer's inputs */
    size_t p; /* columns of G: the layer's outputs */
};

struct vs_norms_args {
    struct vs_norms_shape shape;
    const float *A;
    const float *G;
    double *n; /* out */
    void *workspace;
    size_t workspace_bytes;
    void *context; /* of the device (device.h); NULL on the CPU */
    void *stream;
};

struct vs_norms_algorithm {
    const char *name;
    size_t (*workspace_bytes)(const struct vs_norms_shape *shape); /* of a shape that vs_norms_check accepts */
    int (*run)(const struct vs_norms_args *args);
};

/* 0, -EINVAL or -EOVERFLOW: can every buffer of this shape, two B x T x T arrays included, be addressed? */
int vs_norms_check(const struct vs_norms_shape *shape);
/* The same for a whole call: the shape, the buffers and the workspace. */
int vs_norms_check_args(const struct vs_norms_algorithm *algorithm, const struct vs_norms_args *args);

/* The CPU's version of a named algorithm; NULL: there is none. */
const struct vs_norms_algorithm *vs_norms_cpu(const char *name);

/* The oracle: float64 throughout, by the definition (A^T G, then the sum of squares), which can never be negative and
 * shares no step with the Gram algorithms. Buffers on the host; needs no workspace. */
int vs_norms_reference(const struct vs_norms_shape *shape, const float *A, const float *G, double *n);

/* Largest |n - reference| / |reference|; NaN when any norm is not finite. */
double vs_norms_error(size_t B, const double *n, const double *reference);

/* What float32 inputs with float32 products must reach for kappa <= 100. */
#define VS_NORMS_BOUND_F32 1e-5

#define X(name, what) extern const struct vs_norms_algorithm vs_norms_cpu_##name;
VS_NORM_ALGORITHMS(X)
#undef X

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * train_attention.cuh: what the files of the GPU's attention share: the backends, and the passes over rows of scores
 * between the products of one of them. It launches nothing itself.
 */
#ifndef VS_KERNELS_TRAIN_ATTENTION_CUH
#define VS_KERNELS_TRAIN_ATTENTION_CUH

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/train.h"

/* May rely on the checks of train_attention.cu; `bytes` and `takes` on those of the shape alone. */
struct vs_attention_backend {
    const char *name;
    bool (*takes)(const vs_train_on *on, const vs_train_attention *p);
    size_t (*bytes)(const vs_train_on *on, const vs_train_attention *p, bool backward);
    int (*forward)(const vs_train_on *on, const vs_train_attention *p);
    int (*backward)(const vs_train_on *on, const vs_train_attention *p);
};

extern const vs_attention_backend vs_attention_blocks; /* train_attention_blocks.cu: every type, every shape */
extern const vs_attention_backend vs_attention_fused;  /* train_attention_mma.cu: float32 and TF32, some widths */

/* train_attention_cudnn.cpp, which is left out where its headers are missing; NULL: cuDNN cannot be used here. */
const vs_attention_backend *vs_attention_cudnn(void) __attribute__((weak));

/* The scores of some queries of some heads: `heads` x `rows` rows of `keys` float32 values, `ld` apart (a multiple of 4). Row r
 * of a head is token first + r; causal: it sees first + r + 1 keys. What replaces a row is of E, from the beginning of that row. */
struct vs_attention_rows {
    float *scores;
    size_t ld, T;
    unsigned heads, rows, keys, first;
    bool causal;
    float *stats; /* of token 0 of the first head; heads are T apart */
};

/* Scores become probabilities; their logsumexp goes to stats. */
int vs_attention_softmax(const vs_train_on *on, const vs_attention_rows *r);
/* Scores become probabilities P by stats; dP becomes P * (dP - dots). dots as stats. */
int vs_attention_softmax_backward(const vs_train_on *on, const vs_attention_rows *r, float *dP, const float *dots);
/* dots[head][t] = sum of o * d_o, [T][heads][width], of one sample. */
int vs_attention_dots(const vs_train_on *on, const void *o, const void *d_o, size_t T, size_t heads, size_t width, float *dots);

/* out[head][row] (E) = the sum of `slots` float32 matrices, one after the other, added in that order. */
struct vs_attention_sum {
    const float *from;
    size_t slots, slot, head; /* elements from one slot, one head, to the next */
    size_t heads, rows, width;
    void *out;
    size_t out_head, out_row;
};
int vs_attention_add_slots(const vs_train_on *on, const vs_attention_sum *s);

#endif

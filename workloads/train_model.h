/* SPDX-License-Identifier: MIT
 *
 * train_model.h: the two transformers of the training workload and where their weights lie. It holds no memory.
 *
 * lm     x = token[id] + position[t]; L blocks x += o(attention(LN x)), x += w2 relu(w1 LN x + b1) + b2; logits = head x.
 *        q, k, v in one matrix; no bias there, in o and in the head; attention over the whole sequence; LayerNorm, eps VS_TRAIN_NORM_EPS.
 * llama  x = token[id]; L blocks with RMSNorm (the same eps), rotary q and k, causal attention with num_kv_heads keys and values,
 *        down(silu(gate x) * up x); a last RMSNorm; the head is the token embedding.
 * The loss of a sample is the mean over its tokens of the cross-entropy.
 *
 * Weights come in units (embedding, blocks, head), a unit in tensors: the matrices first, then the vectors, each from a multiple
 * of 64 elements on, so that a unit is updated, and its vectors are summed, as one array. The rows of the token table and of the head
 * are padded to a multiple of 8: with a vocabulary of 50257 columns the products of the head take a third of the GPU's rate.
 */
#ifndef VS_WORKLOADS_TRAIN_MODEL_H
#define VS_WORKLOADS_TRAIN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, llama, V, h, L, heads, kv heads, ffn, T, longest T, B) */
#define VS_TRAIN_PRESETS(X)                                                                       \
    X("lm-20x2048", false, 32000, 2048, 20, 16, 16, 8192, 16384, 32768, 1)                        \
    X("gpt2-large", false, 50257, 1280, 36, 20, 20, 5120, 1024, 8192, 4)                          \
    X("llama-3.2-1b", true, 128256, 2048, 16, 32, 8, 8192, 4096, 131072, 1)                       \
    X("tiny", false, 256, 32, 2, 4, 4, 128, 32, 256, 2)

enum { VS_TRAIN_ROTATION_BASE = 500000 };
#define VS_TRAIN_NORM_EPS 1e-5

struct vs_train_model {
    const char *preset; /* NULL: sizes by flags alone */
    bool llama;
    size_t V, h, L, heads, kv_heads, ffn, T, longest, B;
};

/* false: there is none of that name. */
bool vs_train_preset(struct vs_train_model *m, const char *name);
/* 0, or -EINVAL with one line: what does not divide, is missing or is too long, and what to do. */
int vs_train_model_check(const struct vs_train_model *m, char *why, size_t bytes);

/* X(id, name as in a region): matrices, then vectors. */
#define VS_TRAIN_TENSORS(X)                                                                                            \
    X(TOKEN, "token")                                                                                                  \
    X(POSITION, "position")                                                                                            \
    X(QKV, "qkv")                                                                                                      \
    X(O, "o")                                                                                                          \
    X(UP, "up")                                                                                                        \
    X(DOWN, "down")                                                                                                    \
    X(HEAD, "head")                                                                                                    \
    X(NORM1, "norm1.gamma")                                                                                            \
    X(NORM1_BETA, "norm1.beta")                                                                                        \
    X(NORM2, "norm2.gamma")                                                                                            \
    X(NORM2_BETA, "norm2.beta")                                                                                        \
    X(UP_BIAS, "up.bias")                                                                                              \
    X(DOWN_BIAS, "down.bias")                                                                                          \
    X(NORM_END, "norm.gamma")
enum vs_train_tensor {
#define X(id, name) VS_TENSOR_##id,
    VS_TRAIN_TENSORS(X)
#undef X
        VS_TRAIN_TENSORS_COUNT,
    VS_TRAIN_MATRICES = VS_TENSOR_NORM1
};
const char *vs_train_tensor_name(enum vs_train_tensor id);

struct vs_train_place {
    size_t rows, columns; /* 0: the unit has no such tensor */
    size_t padded;        /* rows in memory; those behind `rows` have no gradient, and nothing reads what comes of them */
    size_t offset;        /* elements from the unit's begin */
};

struct vs_train_unit {
    struct vs_train_place tensor[VS_TRAIN_TENSORS_COUNT];
    size_t count;   /* elements with padding */
    size_t exact;   /* without */
    size_t vectors; /* offset of the first vector; count: none */
    size_t own_count, own_vectors; /* the same before vs_train_layout_split */
};

/* Kinds of units; the model has 2 + L: unit 0, blocks 1 .. L, unit L + 1. */
enum vs_train_kind { VS_UNIT_EMBEDDING, VS_UNIT_BLOCK, VS_UNIT_HEAD, VS_UNIT_KINDS };

struct vs_train_layout {
    struct vs_train_unit kind[VS_UNIT_KINDS];
    size_t units;
    size_t parameters; /* exact */
};

void vs_train_layout(const struct vs_train_model *m, struct vs_train_layout *out);
/* Pads the matrices of each unit, and its vectors, so that `world` ranks can have equal parts of both, of whole 64 elements each. */
void vs_train_layout_split(struct vs_train_layout *layout, size_t world);
enum vs_train_kind vs_train_unit_kind(const struct vs_train_layout *layout, size_t unit);
const struct vs_train_unit *vs_train_unit_of(const struct vs_train_layout *layout, size_t unit);
/* The first element of the unit among those of all units, padding counted, but not that of a split: the same for any number of ranks. */
uint64_t vs_train_unit_first(const struct vs_train_layout *layout, size_t unit);
/* "embedding", "block07", "head". Returns text. */
const char *vs_train_unit_name(const struct vs_train_layout *layout, size_t unit, char *text, size_t bytes);

/* Rows of the attention's input matrix: q, k and v. */
size_t vs_train_qkv_width(const struct vs_train_model *m);
/* Rows of UP: the hidden layer, twice with a gate. */
size_t vs_train_up_width(const struct vs_train_model *m);

#ifdef __cplusplus
}
#endif
#endif

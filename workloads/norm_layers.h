/* SPDX-License-Identifier: MIT
 *
 * norm_layers.h: which linear layers one case of the norms workload has: one layer, or those of a whole model. Shapes only; it
 * touches no buffer.
 */
#ifndef VS_WORKLOADS_NORM_LAYERS_H
#define VS_WORKLOADS_NORM_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/norms.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(identifier, name, blocks, what it is). The layers of a block are in norm_layers.c. */
#define VS_NORM_PRESETS(X)                                                                                             \
    X(gpt2_large, "gpt2-large", 36, "GPT-2 large: qkv, proj, fc, fc2 of 36 blocks")                                    \
    X(gpt2_large_split, "gpt2-large-split", 36, "the same with q, k, v as layers of their own")                        \
    X(llama_1b, "llama-1b", 16, "Llama 3.2 1B: q, k, v, o, gate, up, down of 16 blocks")                               \
    X(tiny, "tiny", 2, "two small blocks, for trying")

enum { VS_NORM_LAYERS_MAX = 256 };

struct vs_norm_list {
    const char *preset; /* NULL: one layer of the user's */
    size_t B, T, count;
    struct vs_norm_width {
        size_t d, p;
        bool shared; /* has the input of the layer before it */
    } layer[VS_NORM_LAYERS_MAX];
};

void vs_norm_list_one(struct vs_norm_list *list, size_t B, size_t T, size_t d, size_t p);
/* false: there is no preset of that name. */
bool vs_norm_list_preset(struct vs_norm_list *list, const char *name, size_t B, size_t T);

/* 0, or -EINVAL or -EOVERFLOW as vs_norms_check, also of all layers together. */
int vs_norm_list_check(const struct vs_norm_list *list, enum vs_norms_dtype dtype);
/* "BxTxdxp", or "BxT PRESET". Returns text. */
const char *vs_norm_list_text(const struct vs_norm_list *list, char *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif

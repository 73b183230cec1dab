/* SPDX-License-Identifier: MIT
 *
 * norm_layers.c: the layers of known models, block by block.
 */
#include "workloads/norm_layers.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct vs_norm_width gpt2_large[] = {
    {1280, 3840, false}, {1280, 1280, false}, {1280, 5120, false}, {5120, 1280, false}};
static const struct vs_norm_width gpt2_large_split[] = {{1280, 1280, false}, {1280, 1280, true},  {1280, 1280, true},
                                                        {1280, 1280, false}, {1280, 5120, false}, {5120, 1280, false}};
static const struct vs_norm_width llama_1b[] = {{2048, 2048, false}, {2048, 512, true},   {2048, 512, true},
                                                {2048, 2048, false}, {2048, 8192, false}, {2048, 8192, true},
                                                {8192, 2048, false}};
static const struct vs_norm_width tiny[] = {
    {32, 32, false}, {32, 32, true}, {32, 32, true}, {32, 128, false}, {128, 32, false}};

static const struct {
    const char *name;
    size_t blocks, count;
    const struct vs_norm_width *layer;
} presets[] = {
#define X(id, name, blocks, what) {name, blocks, sizeof id / sizeof *(id), id},
    VS_NORM_PRESETS(X)
#undef X
};

#define X(id, name, blocks, what)                                                                                      \
    _Static_assert(blocks * (sizeof id / sizeof *(id)) <= VS_NORM_LAYERS_MAX,                                          \
                   "a preset has more layers than a list holds");
VS_NORM_PRESETS(X)
#undef X

void vs_norm_list_one(struct vs_norm_list *list, size_t B, size_t T, size_t d, size_t p)
{
    list->preset = NULL;
    list->B = B;
    list->T = T;
    list->count = 1;
    list->layer[0] = (struct vs_norm_width){d, p, false};
}

bool vs_norm_list_preset(struct vs_norm_list *list, const char *name, size_t B, size_t T)
{
    size_t i = 0;
    while (i < sizeof presets / sizeof *presets && strcmp(presets[i].name, name)) i++;
    if (i == sizeof presets / sizeof *presets) return false;
    list->preset = presets[i].name;
    list->B = B;
    list->T = T;
    list->count = 0;
    for (size_t b = 0; b < presets[i].blocks; b++)
        for (size_t k = 0; k < presets[i].count; k++) list->layer[list->count++] = presets[i].layer[k];
    return true;
}

int vs_norm_list_check(const struct vs_norm_list *list, enum vs_norms_dtype dtype)
{
    size_t columns = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct vs_norms_layer layer = {.B = list->B, .T = list->T, .d = list->layer[i].d, .p = list->layer[i].p};
        struct vs_norms_call call = {.dtype = dtype, .layers = &layer, .count = 1};
        int err = vs_norms_check(&call);
        if (err) return err;
        columns += layer.d + layer.p; /* each is below 2^31 */
    }
    size_t bytes; /* inputs are rounded up to 256 bytes, twice per layer */
    if (__builtin_mul_overflow(list->B * list->T, columns, &bytes) || bytes > PTRDIFF_MAX / 8) return -EOVERFLOW;
    return 0;
}

const char *vs_norm_list_text(const struct vs_norm_list *list, char *text, size_t bytes)
{
    if (list->preset) snprintf(text, bytes, "%zux%zu %s", list->B, list->T, list->preset);
    else snprintf(text, bytes, "%zux%zux%zux%zu", list->B, list->T, list->layer[0].d, list->layer[0].p);
    return text;
}

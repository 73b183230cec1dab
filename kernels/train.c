/* SPDX-License-Identifier: MIT
 *
 * train.c: names and sizes of the lists of train.h. It computes nothing.
 */
#include "kernels/train.h"

#include <string.h>

static const struct {
    const char *name;
    size_t element, wide;
} dtypes[] = {
#define X(name, element, wide, what) {#name, element, wide},
    VS_TRAIN_DTYPES(X)
#undef X
};

static const struct {
    const char *name;
    size_t states;
} optimizers[] = {
#define X(name, states) {#name, states},
    VS_TRAIN_OPTIMIZERS(X)
#undef X
};

size_t vs_train_element_bytes(enum vs_train_dtype dtype)
{
    return dtypes[dtype].element;
}

size_t vs_train_wide_bytes(enum vs_train_dtype dtype)
{
    return dtypes[dtype].wide;
}

const char *vs_train_dtype_name(enum vs_train_dtype dtype)
{
    return dtypes[dtype].name;
}

int vs_train_dtype_find(const char *name)
{
    for (int i = 0; i < VS_TRAIN_DTYPE_COUNT; i++)
        if (!strcmp(dtypes[i].name, name)) return i;
    return -1;
}

const char *vs_train_optimizer_name(enum vs_train_optimizer optimizer)
{
    return optimizers[optimizer].name;
}

int vs_train_optimizer_find(const char *name)
{
    for (int i = 0; i < VS_TRAIN_OPTIMIZER_COUNT; i++)
        if (!strcmp(optimizers[i].name, name)) return i;
    return -1;
}

size_t vs_train_optimizer_states(enum vs_train_optimizer optimizer)
{
    return optimizers[optimizer].states;
}

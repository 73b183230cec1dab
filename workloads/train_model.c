/* SPDX-License-Identifier: MIT
 *
 * train_model.c: presets, what sizes can be, and the layout of weights.
 */
#include "workloads/train_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN_ELEMENTS = 64, ALIGN_ROWS = 8 };

static const struct vs_train_model presets[] = {
#define X(name, llama, V, h, L, heads, kv, ffn, T, longest, B) {name, llama, V, h, L, heads, kv, ffn, T, longest, B},
    VS_TRAIN_PRESETS(X)
#undef X
};

bool vs_train_preset(struct vs_train_model *m, const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!strcmp(presets[i].preset, name)) return *m = presets[i], true;
    return false;
}

static int refuse(char *why, size_t bytes, const char *format, size_t a, size_t b)
{
    snprintf(why, bytes, format, a, b); // NOLINT(clang-diagnostic-format-nonliteral): the texts below
    return -EINVAL;
}

/* No less than the bytes that any mode takes, in float64, which does not wrap: weights, states and gradients by sample; activations. */
static double bytes_at_most(const struct vs_train_model *m)
{
    double h = (double)m->h, V = (double)m->V, L = (double)m->L, B = (double)m->B, T = (double)m->T;
    double wide = (double)vs_train_qkv_width(m) + (double)vs_train_up_width(m) + (double)m->ffn + 8 * h;
    double weights = h * (2 * V + T + L * (wide + 8)), activations = B * T * (2 * V + L * 2 * wide);
    return sizeof(double) * ((B + 4) * weights + activations);
}

int vs_train_model_check(const struct vs_train_model *m, char *why, size_t bytes)
{
    const size_t most = (size_t)1 << 31;
    if (!m->V || !m->h || !m->L || !m->heads || !m->kv_heads || !m->ffn || !m->T || !m->B)
        return refuse(why, bytes, "sizes begin with 1", 0, 0);
    if (m->V >= most || m->h >= most || m->T >= most || m->ffn >= most / 2 || m->L > 9999 || m->B >= most / m->T)
        return refuse(why, bytes, "sizes, and batch-size times seq-len, end at 2^31; num-layers at 9999", 0, 0);
    if (m->h % m->heads)
        return refuse(why, bytes, "--hidden-dim %zu does not divide by --num-heads %zu: every head has the same width", m->h, m->heads);
    if (m->heads % m->kv_heads)
        return refuse(why, bytes, "--num-heads %zu does not divide by --num-kv-heads %zu: every key serves as many queries", m->heads,
                      m->kv_heads);
    if (m->llama && m->h / m->heads % 2)
        return refuse(why, bytes, "heads of width %zu cannot turn in pairs: choose --hidden-dim %zu times an even number", m->h / m->heads,
                      m->heads);
    if (bytes_at_most(m) > 0x1p60) return refuse(why, bytes, "these sizes need more than 2^60 bytes: choose smaller ones", 0, 0);
    if (m->longest && m->T > m->longest)
        return refuse(why, bytes, "--seq-len %zu is longer than the preset's %zu; give the sizes by flags without --preset", m->T, m->longest);
    return 0;
}

size_t vs_train_qkv_width(const struct vs_train_model *m)
{
    return (m->heads + 2 * m->kv_heads) * (m->h / m->heads);
}

size_t vs_train_up_width(const struct vs_train_model *m)
{
    return m->llama ? 2 * m->ffn : m->ffn;
}

static void place(struct vs_train_unit *u, enum vs_train_tensor id, size_t rows, size_t columns)
{
    bool vocabulary = id == VS_TENSOR_TOKEN || id == VS_TENSOR_HEAD;
    size_t padded = vocabulary ? (rows + ALIGN_ROWS - 1) / ALIGN_ROWS * ALIGN_ROWS : rows;
    u->tensor[id] = (struct vs_train_place){rows, columns, padded, u->count};
    u->exact += rows * columns;
    u->count += (padded * columns + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
}

static void place_block(const struct vs_train_model *m, struct vs_train_unit *u)
{
    place(u, VS_TENSOR_QKV, vs_train_qkv_width(m), m->h);
    place(u, VS_TENSOR_O, m->h, m->h);
    place(u, VS_TENSOR_UP, vs_train_up_width(m), m->h);
    place(u, VS_TENSOR_DOWN, m->h, m->ffn);
    u->vectors = u->count;
    place(u, VS_TENSOR_NORM1, 1, m->h);
    if (!m->llama) place(u, VS_TENSOR_NORM1_BETA, 1, m->h);
    place(u, VS_TENSOR_NORM2, 1, m->h);
    if (m->llama) return;
    place(u, VS_TENSOR_NORM2_BETA, 1, m->h);
    place(u, VS_TENSOR_UP_BIAS, 1, m->ffn);
    place(u, VS_TENSOR_DOWN_BIAS, 1, m->h);
}

void vs_train_layout(const struct vs_train_model *m, struct vs_train_layout *out)
{
    struct vs_train_unit *embedding = &out->kind[VS_UNIT_EMBEDDING], *head = &out->kind[VS_UNIT_HEAD];
    memset(out, 0, sizeof *out);
    out->units = m->L + 2;
    place(embedding, VS_TENSOR_TOKEN, m->V, m->h);
    if (!m->llama) place(embedding, VS_TENSOR_POSITION, m->T, m->h);
    embedding->vectors = embedding->count;
    place_block(m, &out->kind[VS_UNIT_BLOCK]);
    if (!m->llama) place(head, VS_TENSOR_HEAD, m->V, m->h);
    head->vectors = head->count;
    if (m->llama) place(head, VS_TENSOR_NORM_END, 1, m->h);
    out->parameters = embedding->exact + m->L * out->kind[VS_UNIT_BLOCK].exact + head->exact;
    vs_train_layout_split(out, 1);
}

void vs_train_layout_split(struct vs_train_layout *layout, size_t world)
{
    size_t whole = world * ALIGN_ELEMENTS;
    for (int k = 0; k < VS_UNIT_KINDS; k++) {
        struct vs_train_unit *u = &layout->kind[k];
        size_t vectors = u->count - u->vectors, moved = (u->vectors + whole - 1) / whole * whole - u->vectors;
        u->own_count = u->count;
        u->own_vectors = u->vectors;
        for (int i = VS_TRAIN_MATRICES; i < VS_TRAIN_TENSORS_COUNT; i++)
            if (u->tensor[i].rows) u->tensor[i].offset += moved;
        u->vectors += moved;
        u->count = u->vectors + (vectors + whole - 1) / whole * whole;
    }
}

enum vs_train_kind vs_train_unit_kind(const struct vs_train_layout *layout, size_t unit)
{
    return unit == 0 ? VS_UNIT_EMBEDDING : unit + 1 == layout->units ? VS_UNIT_HEAD : VS_UNIT_BLOCK;
}

const struct vs_train_unit *vs_train_unit_of(const struct vs_train_layout *layout, size_t unit)
{
    return &layout->kind[vs_train_unit_kind(layout, unit)];
}

uint64_t vs_train_unit_first(const struct vs_train_layout *layout, size_t unit)
{
    return unit == 0 ? 0 : layout->kind[VS_UNIT_EMBEDDING].own_count + (unit - 1) * layout->kind[VS_UNIT_BLOCK].own_count;
}

const char *vs_train_unit_name(const struct vs_train_layout *layout, size_t unit, char *text, size_t bytes)
{
    switch (vs_train_unit_kind(layout, unit)) {
    case VS_UNIT_EMBEDDING: snprintf(text, bytes, "embedding"); break;
    case VS_UNIT_HEAD: snprintf(text, bytes, "head"); break;
    default: snprintf(text, bytes, "block%02zu", unit - 1); break;
    }
    return text;
}

const char *vs_train_tensor_name(enum vs_train_tensor id)
{
    static const char *const names[] = {
#define X(which, name) name,
        VS_TRAIN_TENSORS(X)
#undef X
    };
    return names[id];
}

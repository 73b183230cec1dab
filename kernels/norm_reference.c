/* SPDX-License-Identifier: MIT
 *
 * norm_reference.c: the float64 oracle of the per-sample norms, by the definition S = G^T A alone. It must share no step with the
 * algorithms it judges: it reads the elements, multiplies and sums by itself, and rounds to nothing shorter than float64.
 *
 * A block of S, 64 x 64, is held while all T rows stream by, 64 at a time, as float64: 96 KiB in all, so they stay in the
 * second-level cache. Within, 4 x 8 entries stay in registers. No workspace.
 */
#include <stdint.h>
#include <string.h>

#include "kernels/clones.h"
#include "kernels/cpu.h"

enum { EDGE = 64, HIGH = 4, WIDE = 8, BATCH = 1024 };
typedef double vec4 __attribute__((vector_size(32), aligned(8)));

/* Sign, exponent and fraction of an IEEE half put where float64 has them. */
static double of_half(uint16_t half)
{
    uint64_t sign = (uint64_t)(half & 0x8000) << 48, exponent = (half >> 10) & 31, fraction = half & 0x3ff, bits;
    double value;
    if (exponent == 0) {
        value = (double)fraction * 0x1p-24;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 0x7ffull : exponent + 1023 - 15) << 52 | fraction << 42;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double of_bfloat(uint16_t high)
{
    uint32_t bits = (uint32_t)high << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Rows of X from the element `first` on, `cols` of each, as float64; the rest of the block is zero. */
static void load(enum vs_norms_dtype dtype, const void *X, size_t first, size_t stride, size_t rows, size_t cols,
                 double (*to)[EDGE])
{
    for (size_t r = 0; r < rows; r++, first += stride) {
        for (size_t c = 0; c < cols; c++)
            to[r][c] = dtype == VS_NORMS_bf16   ? of_bfloat(((const uint16_t *)X)[first + c])
                       : dtype == VS_NORMS_fp16 ? of_half(((const uint16_t *)X)[first + c])
                                                : (double)((const float *)X)[first + c];
        for (size_t c = cols; c < EDGE; c++) to[r][c] = 0;
    }
}

/* S += G^T A over `rows` rows. */
VS_CLONES static void add_rows(size_t rows, const double (*G)[EDGE], const double (*A)[EDGE], double (*S)[EDGE])
{
    for (size_t i = 0; i < EDGE; i += HIGH)
        for (size_t j = 0; j < EDGE; j += WIDE) {
            vec4 s[HIGH][2];
            for (size_t r = 0; r < HIGH; r++) s[r][0] = *(vec4 *)&S[i + r][j], s[r][1] = *(vec4 *)&S[i + r][j + 4];
            for (size_t t = 0; t < rows; t++) {
                vec4 a0 = *(const vec4 *)&A[t][j], a1 = *(const vec4 *)&A[t][j + 4];
                s[0][0] += G[t][i] * a0, s[0][1] += G[t][i] * a1;
                s[1][0] += G[t][i + 1] * a0, s[1][1] += G[t][i + 1] * a1;
                s[2][0] += G[t][i + 2] * a0, s[2][1] += G[t][i + 2] * a1;
                s[3][0] += G[t][i + 3] * a0, s[3][1] += G[t][i + 3] * a1;
            }
            for (size_t r = 0; r < HIGH; r++) *(vec4 *)&S[i + r][j] = s[r][0], *(vec4 *)&S[i + r][j + 4] = s[r][1];
        }
}

static double block_squares(enum vs_norms_dtype dtype, const struct vs_norms_layer *l, size_t b, size_t i, size_t j)
{
    double S[EDGE][EDGE], A[EDGE][EDGE], G[EDGE][EDGE], sum = 0;
    size_t high = l->p - i < EDGE ? l->p - i : EDGE, wide = l->d - j < EDGE ? l->d - j : EDGE;
    memset(S, 0, sizeof S);
    for (size_t t = 0; t < l->T; t += EDGE) {
        size_t rows = l->T - t < EDGE ? l->T - t : EDGE;
        load(dtype, l->G, (b * l->T + t) * l->p + i, l->p, rows, high, G);
        load(dtype, l->A, (b * l->T + t) * l->d + j, l->d, rows, wide, A);
        add_rows(rows, (const double(*)[EDGE])G, (const double(*)[EDGE])A, S);
    }
    for (size_t r = 0; r < high; r++)
        for (size_t c = 0; c < wide; c++) sum += S[r][c] * S[r][c];
    return sum;
}

struct batch {
    const struct vs_norms_call *call;
    const struct vs_norms_layer *layer;
    size_t b, first;
    double partial[BATCH];
};

static void block(void *state, size_t item, size_t thread)
{
    struct batch *x = state;
    size_t across = (x->layer->d + EDGE - 1) / EDGE, at = x->first + item;
    (void)thread;
    x->partial[item] = block_squares(x->call->dtype, x->layer, x->b, at / across * EDGE, at % across * EDGE);
}

static double sample(const struct vs_norms_call *call, const struct vs_norms_layer *l, size_t b)
{
    struct batch x = {.call = call, .layer = l, .b = b};
    size_t blocks = ((l->p + EDGE - 1) / EDGE) * ((l->d + EDGE - 1) / EDGE);
    double sum = 0;
    for (x.first = 0; x.first < blocks; x.first += BATCH) {
        size_t count = blocks - x.first < BATCH ? blocks - x.first : BATCH;
        vs_parallel(vs_cpu_threads(call->context), count, block, &x);
        for (size_t i = 0; i < count; i++) sum += x.partial[i];
    }
    return sum;
}

static size_t workspace_bytes(const struct vs_norms_call *call)
{
    (void)call;
    return 0;
}

static int run(const struct vs_norms_call *call)
{
    int err = vs_norms_check_run(&vs_norms_cpu_reference, call, false);
    if (err) return err;
    if (call->recomputed) *call->recomputed = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct vs_norms_layer *l = &call->layers[i];
        for (size_t b = 0; b < l->B; b++) {
            l->n[b] = sample(call, l, b);
            if (l->absolute) l->absolute[b] = l->n[b];
        }
    }
    return 0;
}

const struct vs_norms_algorithm vs_norms_cpu_reference = {"reference", workspace_bytes, run};

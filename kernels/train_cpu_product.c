/* SPDX-License-Identifier: MIT
 *
 * train_cpu_product.c: the product of train.h on the CPU, shared out over threads in tiles of fixed size by gemm.h.
 */
#include "kernels/train_cpu.h"

#include <limits.h>

#include "kernels/gemm.h"

/* Large enough that OpenBLAS runs at speed, small enough that a layer's product has tiles for all threads. */
enum { TILE_ROWS = 128, TILE_COLS = 512 };

struct job {
    const struct vs_train_product *p;
    size_t element, rows, cols; /* bytes; tiles */
    bool wide;
};

static void tile_item(void *state, size_t item, size_t thread)
{
    const struct job *j = state;
    const struct vs_train_product *p = j->p;
    size_t batch = item / (j->rows * j->cols), row = item / j->cols % j->rows * TILE_ROWS, col = item % j->cols * TILE_COLS;
    size_t x = batch * p->step_x + (p->transpose_x ? row : row * p->ldx);
    size_t y = batch * p->step_y + (p->transpose_y ? col * p->ldy : col);
    size_t out = batch * p->step_out + row * p->ldo + col;
    (void)thread;
    vs_gemm(&(struct vs_gemm){
        .wide = j->wide,
        .transpose_x = p->transpose_x,
        .transpose_y = p->transpose_y,
        .m = vs_train_end(row, TILE_ROWS, p->m) - row,
        .n = vs_train_end(col, TILE_COLS, p->n) - col,
        .k = p->k,
        .alpha = p->alpha,
        .beta = p->beta,
        .X = (const char *)p->x + x * j->element,
        .Y = (const char *)p->y + y * j->element,
        .C = (char *)p->out + out * j->element,
        .ldx = p->ldx,
        .ldy = p->ldy,
        .ldc = p->ldo,
    });
}

static bool is_good(const struct vs_train_product *p)
{
    if (!p || !p->x || !p->y || !p->out || !p->m || !p->n || !p->k) return false;
    if (p->batch > 1 && !p->step_out) return false;
    return p->ldx >= (p->transpose_x ? p->m : p->k) && p->ldy >= (p->transpose_y ? p->k : p->n) && p->ldo >= p->n;
}

int vs_train_cpu_product(const struct vs_train_on *on, const struct vs_train_product *p)
{
    int err = vs_train_cpu_check(on, is_good(p));
    if (err) return err;
    /* OpenBLAS counts in int. */
    if (p->k > INT_MAX || p->ldx > INT_MAX || p->ldy > INT_MAX || p->ldo > INT_MAX) return -EOVERFLOW;
    struct job j = {.p = p,
                    .element = vs_train_element_bytes(on->dtype),
                    .rows = vs_train_items(p->m, TILE_ROWS),
                    .cols = vs_train_items(p->n, TILE_COLS),
                    .wide = vs_train_cpu_is_double(on)};
    vs_parallel(vs_cpu_threads(on->context), (p->batch ? p->batch : 1) * j.rows * j.cols, tile_item, &j);
    return 0;
}

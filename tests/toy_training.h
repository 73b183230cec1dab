/* SPDX-License-Identifier: MIT
 *
 * toy_training.h: allocator events of a made-up training program, one call per part of a step: a model of twelve layers of
 * 3, 4 and 5 MiB, 10 ns between events. The main thread is 1, autograd's 2.
 *
 * Errors: abort the test, as log_writer.h.
 */
#ifndef VS_TESTS_TOY_TRAINING_H
#define VS_TESTS_TOY_TRAINING_H

#include "log_writer.h"

enum { MAIN = 1, AUTOGRAD = 2, LAYERS = 12, MIB = 1 << 20 };
#define MODEL (48 * (int64_t)MIB)

struct toy {
    struct vs_log_writer *w;
    uint64_t ts, live, next;
    uint64_t parameter[16], gradient[16], state[32], saved[16]; /* addresses; 0: none */
};

void toy_begin(struct toy *t, struct vs_log_writer *w); /* makes the model */
void toy_forward(struct toy *t);                        /* saves 10 MiB a layer */
void toy_backward(struct toy *t);                       /* gradients stay, or are added to those that are there */
void toy_step(struct toy *t, int adam);                 /* 0: nothing shows in memory */
void toy_zero_grad(struct toy *t);
uint64_t toy_size(int layer);
uint64_t toy_take(struct toy *t, unsigned thread, uint64_t bytes); /* its address */
void toy_give(struct toy *t, unsigned thread, uint64_t address, uint64_t bytes);

#endif

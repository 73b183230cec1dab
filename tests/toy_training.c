/* SPDX-License-Identifier: MIT
 *
 * toy_training.c: a training program's allocator events.
 */
#include "toy_training.h"

#include <string.h>

uint64_t toy_size(int layer)
{
    return (uint64_t)(3 + layer % 3) * MIB;
}

uint64_t toy_take(struct toy *t, unsigned thread, uint64_t bytes)
{
    uint64_t address = 0x7f0000000000 + t->next;
    t->next += 64 * MIB;
    t->live += bytes;
    vs_put_torch(t->w, thread, 0, address, (int64_t)bytes, t->live, t->live, 0, t->ts += 10);
    return address;
}

void toy_give(struct toy *t, unsigned thread, uint64_t address, uint64_t bytes)
{
    t->live -= bytes;
    vs_put_torch(t->w, thread, 0, address, -(int64_t)bytes, t->live, t->live, 0, t->ts += 10);
}

void toy_begin(struct toy *t, struct vs_log_writer *w)
{
    struct vs_rec_thread *r;
    *t = (struct toy){.w = w, .ts = 2000};
    r = vs_log_writer_add(t->w, AUTOGRAD, VS_K_THREAD, sizeof *r, 0, -1);
    r->thread = AUTOGRAD;
    memcpy(r->name, "pt_autograd_0", 14);
    for (int i = 0; i < LAYERS; i++) t->parameter[i] = toy_take(t, MAIN, toy_size(i));
}

void toy_forward(struct toy *t)
{
    for (int i = 0; i < LAYERS; i++) {
        uint64_t scratch = toy_take(t, MAIN, 7 * MIB);
        t->saved[i] = toy_take(t, MAIN, 10 * MIB);
        toy_give(t, MAIN, scratch, 7 * MIB);
    }
}

void toy_backward(struct toy *t)
{
    for (int i = LAYERS; i-- > 0;) {
        uint64_t scratch = toy_take(t, AUTOGRAD, 9 * MIB), g = toy_take(t, AUTOGRAD, toy_size(i));
        if (t->gradient[i]) toy_give(t, AUTOGRAD, g, toy_size(i)); /* added to the one that is there */
        else t->gradient[i] = g;
        toy_give(t, AUTOGRAD, t->saved[i], 10 * MIB);
        toy_give(t, AUTOGRAD, scratch, 9 * MIB);
    }
}

void toy_step(struct toy *t, int adam)
{
    for (int i = 0; i < LAYERS && adam; i++) {
        uint64_t scratch;
        if (!t->state[2 * i])
            for (int k = 0; k < 2; k++) t->state[2 * i + k] = toy_take(t, MAIN, toy_size(i));
        scratch = toy_take(t, MAIN, toy_size(i));
        toy_give(t, MAIN, scratch, toy_size(i));
    }
}

void toy_zero_grad(struct toy *t)
{
    for (int i = 0; i < LAYERS; i++) {
        if (t->gradient[i]) toy_give(t, MAIN, t->gradient[i], toy_size(i));
        t->gradient[i] = 0;
    }
}

/* SPDX-License-Identifier: MIT
 *
 * trainer_case.c: trainers on the CPU for tests.
 */
#include "trainer_case.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

const struct vs_train_model trainer_lm = {.V = 61, .h = 24, .L = 2, .heads = 3, .kv_heads = 3, .ffn = 96, .T = 11, .B = 3};
const struct vs_train_model trainer_llama = {
    .llama = true, .V = 61, .h = 24, .L = 2, .heads = 6, .kv_heads = 2, .ffn = 40, .T = 11, .B = 3};

struct vs_train_settings trainer_settings(const struct vs_train_model *model, enum vs_train_mode mode, enum vs_train_dtype dtype)
{
    return (struct vs_train_settings){.model = *model,
                                      .mode = mode,
                                      .dtype = dtype,
                                      .optimizer = VS_TRAIN_OPT_adam,
                                      .rate = 1e-3,
                                      .bound = 1,
                                      .seed = 7};
}

static int keep_gradient(void *state, struct vs_trainer *t, size_t unit)
{
    struct trainer_run *r = state;
    memcpy(r->gradient[unit], t->unit[unit].gradient, vs_train_unit_of(&t->layout, unit)->count * vs_train_W(t));
    return 0;
}

void trainer_open(struct trainer_run *r, const struct vs_train_settings *s)
{
    const struct vs_device *cpu = vs_device_cpu();
    memset(r, 0, sizeof *r);
    ck_assert_int_eq(cpu->open(&r->context), 0);
    ck_assert_int_eq(vs_trainer_plan(&r->t, s, cpu, r->context), 0);
    ck_assert_int_eq(vs_trainer_open(&r->t), 0);
    r->gradient = calloc(r->t.layout.units, sizeof *r->gradient);
    ck_assert_ptr_nonnull(r->gradient);
    for (size_t u = 0; u < r->t.layout.units; u++) {
        r->gradient[u] = calloc(vs_train_unit_of(&r->t.layout, u)->count, vs_train_W(&r->t));
        ck_assert_ptr_nonnull(r->gradient[u]);
    }
    r->t.observe = keep_gradient;
    r->t.observer = r;
}

void trainer_close(struct trainer_run *r)
{
    for (size_t u = 0; u < r->t.layout.units; u++) free(r->gradient[u]);
    free(r->gradient);
    vs_trainer_close(&r->t);
    vs_device_cpu()->close(r->context);
}

double trainer_step(struct trainer_run *r, uint64_t batch)
{
    double loss;
    ck_assert_int_eq(vs_trainer_load(&r->t, batch), 0);
    ck_assert_int_eq(vs_trainer_step(&r->t), 0);
    ck_assert_int_eq(vs_trainer_read(&r->t, &loss, NULL, NULL), 0);
    return loss;
}

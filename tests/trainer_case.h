/* SPDX-License-Identifier: MIT
 *
 * trainer_case.h: what the tests of the trainer share: two small models, and a trainer on the CPU that keeps what its steps apply. It fails
 * the test where something goes wrong.
 */
#ifndef VS_TESTS_TRAINER_CASE_H
#define VS_TESTS_TRAINER_CASE_H

#include "workloads/trainer.h"

extern const struct vs_train_model trainer_lm, trainer_llama;

struct vs_train_settings trainer_settings(const struct vs_train_model *model, enum vs_train_mode mode, enum vs_train_dtype dtype);

/* A trainer that keeps what each step applied. */
struct trainer_run {
    struct vs_trainer t;
    void *context;
    void **gradient; /* by unit, as the unit lies */
};

void trainer_open(struct trainer_run *r, const struct vs_train_settings *s);
void trainer_close(struct trainer_run *r);
/* The mean loss of that batch. */
double trainer_step(struct trainer_run *r, uint64_t batch);

#endif

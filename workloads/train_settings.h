/* SPDX-License-Identifier: MIT
 *
 * train_settings.h: the command line of the training workload: parsed, completed with the preset and the device's defaults, and
 * refused where it cannot run.
 */
#ifndef VS_WORKLOADS_TRAIN_SETTINGS_H
#define VS_WORKLOADS_TRAIN_SETTINGS_H

#include "workloads/ranks.h"
#include "workloads/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As given; 0 and NULL: not given. */
struct vs_train_given {
    const char *preset, *dtype;
    size_t V, h, L, heads, kv_heads, ffn, T, B;
};

struct vs_train_options {
    struct vs_train_settings train; /* model and dtype: when completed */
    struct vs_train_given given;
    const char *mode, *device, *experiment, *results;
    const char *dump_weights, *dump_ids, *dump_gradients;
    size_t iterations, warm_up;
    bool check, shard, profile;
    struct vs_ranks_options ranks; /* with shard */
};

/* 0: go on. 1: help was asked for and printed. 2: wrong, said so. */
int vs_train_options_parse(struct vs_train_options *o, int argc, char **argv);
/* Sizes and element type; 0, or 2: these cannot be, or not on this device, said so. */
int vs_train_options_complete(struct vs_train_options *o, const struct vs_device *device);

const char *vs_train_mode_name(enum vs_train_mode mode);

#ifdef __cplusplus
}
#endif
#endif

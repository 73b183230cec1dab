/* SPDX-License-Identifier: MIT
 *
 * norm_settings.h: the command line of the norms workload: parsed, completed with the defaults of the device, and refused as a
 * whole when any part of it cannot run.
 */
#ifndef VS_WORKLOADS_NORM_SETTINGS_H
#define VS_WORKLOADS_NORM_SETTINGS_H

#include "workloads/norm_case.h"
#include "workloads/options.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vs_norm_settings {
    const char *device, *preset, *results; /* preset, results: NULL: none */
    struct vs_sizes B, T, d, p;
    struct vs_texts dtypes, algorithms;
    size_t iterations, seed;
    double seconds, bound; /* bound 0: that of the element type */
    enum vs_norm_poison poison;
    bool check, kappa;
};

/* 0: go on. 1: help was asked for and printed. 2: wrong, said so. What depends on the device is still to be completed. */
int vs_norm_settings_parse(struct vs_norm_settings *s, int argc, char **argv);
/* 0, or 2: a shape cannot be, said so. */
int vs_norm_settings_complete(struct vs_norm_settings *s, const struct vs_device *device);

/* Every list of layers in the order of the results, until visit returns anything but 0; that is returned. */
int vs_norm_settings_visit(const struct vs_norm_settings *s, int (*visit)(void *state, const struct vs_norm_list *list),
                           void *state);

#ifdef __cplusplus
}
#endif
#endif

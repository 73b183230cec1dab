/* SPDX-License-Identifier: MIT
 *
 * norm_stages.h: per-sample norms of a model that is sharded by tensor: every rank has a part of every layer's weights, so it knows a part
 * of every sample's squared norm, and the parts are added up over the ranks before the root is taken. Under data parallelism a rank has
 * whole samples: there these stages must never be used.
 *
 *     vs_stages_open, vs_stages_load (or what writes vs_stages_layer), vs_stages_run as often as wanted, vs_stages_read, vs_stages_close
 *
 * Ownership: device, context and communicator are the caller's. Threading: one thread. Errors: 0 or -errno; the device's or the
 * communicator's last_error says more.
 */
#ifndef VS_WORKLOADS_NORM_STAGES_H
#define VS_WORKLOADS_NORM_STAGES_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the squares are added up over ranks. X(name, what it is) */
#define VS_NORM_ALLREDUCES(X)                                                                                          \
    X(sync, "float32, in the order of the stages")                                                                     \
    X(async, "float32, half of the samples on another stream while the other half is summed")                          \
    X(fp16, "rounded to half; from 65520 on a square is lost")
enum vs_norm_allreduce {
#define X(name, what) VS_NORM_ALLREDUCE_##name,
    VS_NORM_ALLREDUCES(X)
#undef X
        VS_NORM_ALLREDUCE_COUNT
};
const char *vs_norm_allreduce_name(enum vs_norm_allreduce a);
int vs_norm_allreduce_find(const char *name); /* -1: there is none of that name */

/* X(field, what the notes call it): ms of one run. They add up to the total, but where stages run side by side. */
#define VS_STAGES(X)                                                                                                   \
    X(stack, "stack")                                                                                                  \
    X(local, "local compute")                                                                                          \
    X(all_reduce, "all-reduce")                                                                                        \
    X(finish, "final compute")                                                                                         \
    X(total, "total")
struct vs_stage_times {
#define X(field, what) double field;
    VS_STAGES(X)
#undef X
};

struct vs_stages_settings {
    const struct vs_device *device;
    void *context;
    void *comm; /* of the device's; NULL: one rank has all there is, and nothing is added up */
    size_t layers, B;
    enum vs_norm_allreduce how;
    double bound;
};

/* Of each part of the samples. */
enum { VS_STAGE_BEGIN, VS_STAGE_STACKED, VS_STAGE_SUMMED, VS_STAGE_SENT, VS_STAGE_ARRIVED, VS_STAGE_EVENTS };
enum { VS_STAGE_PARTS = 2 };
struct vs_stages {
    struct vs_stages_settings settings;
    size_t row; /* bytes from one layer's squares to the next's */
    void *memory, *squares, *list, *stack, *wire, *norm, *c;
    void *aside; /* stream of the all-reduce; NULL: that of the rest, and on the CPU */
    void *event[VS_STAGE_PARTS][VS_STAGE_EVENTS], *end;
};

int vs_stages_open(struct vs_stages *s, const struct vs_stages_settings *settings);
void vs_stages_close(struct vs_stages *s); /* also one that failed to open */
/* Where this rank's squares of a layer are, on the device: B float64. */
double *vs_stages_layer(const struct vs_stages *s, size_t layer);
/* squares [layers][B] from the host. */
int vs_stages_load(struct vs_stages *s, const double *squares);
/* All ranks together. Waits for the end. */
int vs_stages_run(struct vs_stages *s, struct vs_stage_times *out);
/* B norms and coefficients (c may be NULL). */
int vs_stages_read(struct vs_stages *s, double *norm, float *c);

#ifdef __cplusplus
}
#endif
#endif

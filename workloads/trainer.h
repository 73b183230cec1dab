/* SPDX-License-Identifier: MIT
 *
 * trainer.h: one model in training on one device: its memory, its forward and backward passes, and one step of every mode. It
 * prints nothing and reads no option.
 *
 * Several ranks may train one model together: shard.h.
 *
 * Memory is one arena (arena.h). A trainer is opened twice: once planning, when every call goes the same way but nothing runs and
 * no memory exists, which says exactly how much is needed; then in earnest.
 *
 * Privacy unit: a sample (sequence). Sums of per-sample losses are propagated, and divided by B in the optimizer alone. n_b is
 * summed over all weights; c_b as in kernels/train.h; the update is (sum_b c_b g_b + sigma C z) / B.
 *
 * Ownership: vs_trainer_close gives everything back and accepts a trainer that failed to open. Threading: one thread.
 * Errors: 0 or -errno; the device's last_error says more.
 */
#ifndef VS_WORKLOADS_TRAINER_H
#define VS_WORKLOADS_TRAINER_H

#include "kernels/device.h"
#include "workloads/arena.h"
#include "workloads/train_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How clipped gradients come about. X(id, what it is) */
#define VS_TRAIN_SEMANTICS(X)                                                                                          \
    X(non_private, "one backward pass, nothing clipped")                                                               \
    X(explicit, "the gradient of every sample is kept, then weighted")                                                 \
    X(two_pass, "a backward pass for the norms, a second one of the weighted loss")                                    \
    X(book_keeping, "one backward pass that keeps what the weighted gradients are then made of")                       \
    X(one_pass, "one sample: its gradient is the batch's, weighted in the optimizer")                                  \
    X(micro, "sample by sample, each gradient weighted and added")                                                     \
    X(norms_only, "one backward pass with norms beside it; nothing clipped, no noise")
enum vs_train_semantics {
#define X(id, what) VS_TRAIN_##id,
    VS_TRAIN_SEMANTICS(X)
#undef X
        VS_TRAIN_SEMANTICS_COUNT
};
const char *vs_train_semantics_name(enum vs_train_semantics s);

/* The modes in the order they are shown: X(name, what one sample or more become, algorithm of norms.h for linear layers, what it
 * is). With one sample `fuse`, `fuse_bk` and `auto` are one_pass. */
#define VS_TRAIN_MODES(X)                                                                                              \
    X(vanilla, non_private, "", "no privacy")                                                                          \
    X(explicit, explicit, "", "per-sample gradients in memory")                                                        \
    X(ghost, two_pass, "gram", "norms by Gram matrices, two backward passes")                                          \
    X(flash, two_pass, "direct", "norms by the gradient tile by tile, two backward passes")                            \
    X(ghost_bk, book_keeping, "gram", "norms by Gram matrices, book-keeping")                                          \
    X(flash_bk, book_keeping, "direct", "norms by the gradient tile by tile, book-keeping")                            \
    X(fuse, two_pass, "direct", "one sample: norm of the gradient itself, one pass; more: as flash")                  \
    X(fuse_bk, book_keeping, "direct", "one sample: as fuse; more: as flash_bk")                                        \
    X(micro, micro, "", "one sample at a time")                                                                        \
    X(auto, book_keeping, "auto", "the cheapest of all for each layer, within the memory budget")
enum vs_train_mode {
#define X(name, semantics, norm, what) VS_MODE_##name,
    VS_TRAIN_MODES(X)
#undef X
        VS_MODE_COUNT
};

/* When the norms of linear layers are computed. X(name, what it is) */
#define VS_TRAIN_TIMINGS(X)                                                                                            \
    X(usual, "two passes: immediate; else deferred")                                                                   \
    X(immediate, "block by block, in the backward pass")                                                               \
    X(deferred, "in one grouped call behind the backward pass; what it reads is kept until then")                      \
    X(overlapped, "block by block on a stream of its own, beside the backward pass")
enum vs_train_timing {
#define X(name, what) VS_TIMING_##name,
    VS_TRAIN_TIMINGS(X)
#undef X
        VS_TIMING_COUNT
};
const char *vs_train_timing_name(enum vs_train_timing timing);
int vs_train_timing_find(const char *name); /* -1: there is none of that name */

/* What is done with a tensor's gradient in a backward pass; they add up. */
enum vs_train_action {
    VS_DO_GRADIENT = 1, /* summed over the batch */
    VS_DO_NORM = 2,     /* per-sample norm, without the gradient */
    VS_DO_KEEP = 4,     /* what it is made of is kept for later */
    VS_DO_STORE = 8     /* per-sample gradient in memory, its norm from that */
};

struct vs_train_plan {
    enum vs_train_semantics semantics;
    const char *norm;                      /* algorithm of norms.h; "" where none is needed */
    unsigned action[VS_TRAIN_MATRICES];    /* of the first backward pass, by tensor */
};

struct vs_shard_ranks;

struct vs_train_settings {
    struct vs_train_model model; /* B: samples of this rank */
    const struct vs_shard_ranks *ranks; /* shard.h; NULL: this process has all weights and samples */
    enum vs_train_mode mode;
    enum vs_train_timing timing;
    bool norms_only;
    enum vs_train_dtype dtype;
    enum vs_train_optimizer optimizer;
    double rate, weight_decay, bound, noise; /* bound: C; noise: sigma */
    uint64_t seed;
    size_t budget_bytes; /* of the arena, for auto; 0: what is free */
    size_t extra_bytes;  /* one more tensor */
    size_t logits_rows;  /* at a time, where only sums are wanted; 0: what is large enough for the products */
};

struct vs_train_batch {
    size_t B;             /* samples */
    const int64_t *ids, *targets, *positions;
    struct vs_train_ids all;           /* of the B samples */
    const struct vs_train_ids *sample; /* each by itself */
};

/* Activations of a block that live from forward to backward. */
struct vs_train_block {
    void *x, *norm1, *stats1, *qkv, *o, *attention, *middle, *norm2, *stats2, *up;
};

/* A linear layer whose norm, or gradient, is still to be computed: samples first .. first + B - 1. */
struct vs_train_kept {
    size_t unit, first, B;
    enum vs_train_tensor id;
    unsigned action;
    void *A, *G;
    bool owns_A;
};

struct vs_train_weights {
    void *weight, *working, *m, *v; /* of what this rank has of the unit; working: NULL where products read `weight` itself */
    void *gradient;                 /* of the whole unit; NULL: none now */
    void *store[VS_TRAIN_MATRICES]; /* per-sample gradients, B of them, or NULL */
    void *vectors;                  /* per-sample gradients of the vectors, or NULL */
    unsigned written;               /* bit per tensor: `gradient` holds a sum already */
};

struct vs_shard;
struct vs_train_aside;
struct vs_train_profile;

/* Parts of a step that can be timed; they may lie in one another. */
enum vs_train_span { VS_SPAN_FIRST_BACKWARD, VS_SPAN_LATER_BACKWARD, VS_SPAN_NORMS, VS_SPAN_COEFFICIENTS, VS_SPAN_COUNT };
struct vs_train_times {
    double ms[VS_SPAN_COUNT];
    size_t count[VS_SPAN_COUNT]; /* norms: weights whose norm was taken */
};

struct vs_trainer {
    struct vs_train_settings settings;
    struct vs_train_layout layout;
    struct vs_train_plan plan;
    const struct vs_device *device;
    struct vs_train_on on;
    struct vs_arena arena;

    struct vs_train_weights *unit;
    struct vs_shard *shard; /* NULL: settings.ranks is */
    struct vs_train_block *block;
    void *x_end, *norm_end, *stats_end; /* norm_end, stats_end: NULL without a last norm */
    struct vs_train_kept *kept;
    size_t kept_count, kept_room, settled; /* kept[settled ..] have no norm yet */
    struct vs_train_aside *aside;          /* overlapped norms; NULL: none */

    void *ids_memory, *loss, *sample_loss, *n, *norm, *c, *norm_workspace, *extra;
    size_t norm_workspace_bytes; /* most that any call asked for */
    struct vs_train_batch batch;
    struct vs_train_ids *sample;
    uint64_t step;
    char why[256]; /* of an error among ranks; else "" and the device knows */
    void **sum;        /* by unit: of the samples so far, in micro */
    void *embedding_G; /* kept for book-keeping: gradient of the first block's input */

    struct vs_train_profile *profile; /* NULL: no times are taken */

    /* Sees each unit's gradient as the optimizer applied it, before it goes; NULL: nobody. */
    int (*observe)(void *state, struct vs_trainer *t, size_t unit);
    void *observer;
    /* Called at the named moments of a step (forward, backward, step). */
    int (*moment)(void *state, const char *name);
    void *moment_state;
};

/* Plans; arena.high is then what the trainer needs. `context` is of the device and stays the caller's. */
int vs_trainer_plan(struct vs_trainer *t, const struct vs_train_settings *settings, const struct vs_device *device, void *context);
/* Takes the memory that was planned and makes the weights. */
int vs_trainer_open(struct vs_trainer *t);
void vs_trainer_close(struct vs_trainer *t);
/* One whole step on the batch that was loaded last. */
int vs_trainer_step(struct vs_trainer *t);

/* Random ids and targets, by seed and `which`; of several ranks each takes its own part of the whole batch. Not part of a step. */
int vs_trainer_load(struct vs_trainer *t, uint64_t which);
int vs_trainer_load_ids(struct vs_trainer *t, const int64_t *ids, const int64_t *targets);

/* Mean loss of the last batch; norms and coefficients of its samples (B each, may be NULL): waits for the device. */
int vs_trainer_read(struct vs_trainer *t, double *loss, double *norm, float *c);
/* From the next step on times are taken; those of the last step: waits for the device. */
int vs_train_profile_open(struct vs_trainer *t);
int vs_train_profile_read(struct vs_trainer *t, struct vs_train_times *out);
/* Who runs the attention: kernels/train.h, attention_by. */
const char *vs_trainer_attention(const struct vs_trainer *t);

/* Bytes of an element: of an activation, of a weight. */
static inline size_t vs_train_E(const struct vs_trainer *t)
{
    return vs_train_element_bytes(t->on.dtype);
}
static inline size_t vs_train_W(const struct vs_trainer *t)
{
    return vs_train_wide_bytes(t->on.dtype);
}

/* What the mode does with these settings, but for auto with several samples, where trainer_auto.c decides. */
void vs_train_plan_of(const struct vs_train_settings *s, struct vs_train_plan *out);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * trainer_parts.h: what the files of the trainer share with each other and nobody else: a step is a forward pass, one or two backward
 * passes that do something with each weight's gradient, and what is made of what they left.
 *
 * Errors: 0 or -errno; after an error the step is over, and what it held is given back with the trainer.
 */
#ifndef VS_WORKLOADS_TRAINER_PARTS_H
#define VS_WORKLOADS_TRAINER_PARTS_H

#include "workloads/trainer.h"
#include "workloads/trainer_shard.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nothing runs while a step is rehearsed. */
#define VS_TRAIN_RUN(t, call) ((t)->arena.planning ? 0 : (t)->device->train->call)

static inline void *vs_train_at(void *base, size_t elements, size_t bytes)
{
    return base ? (char *)base + elements * bytes : NULL;
}
/* A tensor of a unit: as products read it, and as the optimizer does. */
const void *vs_train_matrix(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id);
const void *vs_train_vector(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id);

/* trainer_memory.c: takes and names */
int vs_train_take(struct vs_trainer *t, size_t bytes, void **out, const char *format, ...) __attribute__((format(printf, 4, 5)));
void vs_train_give(struct vs_trainer *t, void **tensor);
/* The unit's gradient, if it is not there yet; its padding is zero. */
int vs_train_take_gradient(struct vs_trainer *t, size_t unit);
void vs_train_give_gradient(struct vs_trainer *t, size_t unit);
/* An array of some elements of the unit, their parts named; contents undefined. */
int vs_train_take_parts(struct vs_trainer *t, size_t unit, size_t element, const char *category, const char *suffix,
                        const struct vs_train_part *parts, size_t count, void **out);
void vs_train_give_parts(struct vs_trainer *t, size_t unit, size_t element, const struct vs_train_part *parts, size_t count, void **array);
/* What lives as long as the trainer: weights, states, inputs, norms. */
int vs_train_take_all(struct vs_trainer *t);
void vs_train_give_all(struct vs_trainer *t);

/* trainer_forward.c: the attention of a block that has its tensors; the pass up to the head's input. */
void vs_train_attention_of(const struct vs_trainer *t, size_t B, const struct vs_train_block *block, struct vs_train_attention *a);
int vs_train_forward(struct vs_trainer *t, const struct vs_train_batch *b);
/* out [rows, p] = in W^T, without the bias. */
int vs_train_linear(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, size_t rows, const void *in, void *out);

/* A backward pass: what it does, on which samples. */
struct vs_train_pass {
    const struct vs_train_batch *batch;
    unsigned action[VS_TRAIN_MATRICES];
    bool vectors_by_sample; /* vectors: per-sample gradients and norms; else their sum */
    bool vectors_summed;    /* both */
    enum vs_train_timing timing; /* immediate, deferred or overlapped */
    bool release;           /* activations go as they have been used */
    int (*leave)(struct vs_trainer *t, size_t unit); /* called where the pass leaves a unit, whose sums are complete; NULL: nothing */
    const float *c;         /* weight of each sample's loss; NULL: 1 */
};
/* trainer_backward.c: the whole pass, head and embedding too. */
int vs_train_backward(struct vs_trainer *t, const struct vs_train_pass *p);
/* trainer_head.c: the loss, its gradient at the end of the last block into a new *dx, and the head's sites. */
int vs_train_head(struct vs_trainer *t, const struct vs_train_pass *p, void **dx);
/* trainer_embedding.c: takes *dx over. */
int vs_train_embedding(struct vs_trainer *t, const struct vs_train_pass *p, void **dx);
int vs_train_embedding_sum(struct vs_trainer *t, const struct vs_train_batch *b, enum vs_train_tensor id, const void *G, const float *c);
/* dX = G W, over `rows` rows. */
int vs_train_input_gradient(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, size_t rows, const void *G, void *dX);
/* *dx = residual *dx (NULL: 0) + the norm's gradient; in place unless `fresh`, which takes a new tensor `name` and leaves the old one
 * to whoever holds it. dout goes. */
int vs_train_norm_input(struct vs_trainer *t, size_t unit, enum vs_train_tensor gamma, size_t rows, const void *sum, const void *stats,
                        void **dout, bool fresh, const char *name, void **dx);

/* trainer_sites.c: a linear layer of G = d loss / d output [rows, p] and its input A [rows, d]. *holds: G must stay as it is, and is
 * given back by whoever settles it; with VS_DO_KEEP *A too, which is then NULL. */
int vs_train_site(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, enum vs_train_tensor id, void **A, void *G,
                  bool *holds);
/* The same of some rows of the batch: samples `first` .. first + B - 1 (B 0: part of one, gradients only), `rows` of them. */
int vs_train_site_rows(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, enum vs_train_tensor id, void *A, void *G,
                       size_t first, size_t B, size_t rows, bool *holds);
/* Norms of everything that waits for one, in one call; gives back what need not be kept. */
int vs_train_settle(struct vs_trainer *t);
/* Of kept[first .. end): those that are not kept for later go; the others close up. */
void vs_train_forget_kept(struct vs_trainer *t, size_t first, size_t end);
/* A block of the pass is through: its norms, as the pass's timing says. */
int vs_train_settle_block(struct vs_trainer *t, const struct vs_train_pass *p);
/* trainer_aside.c: overlapped norms, on a stream and a context of their own; begin waits for those begun before, and gives back what they
 * read. Where the timing is another all do nothing. */
int vs_train_aside_open(struct vs_trainer *t); /* with the plan */
int vs_train_aside_start(struct vs_trainer *t); /* with the memory */
void vs_train_aside_close(struct vs_trainer *t);
int vs_train_aside_take(struct vs_trainer *t); /* its workspace */
void vs_train_aside_give(struct vs_trainer *t);
int vs_train_aside_begin(struct vs_trainer *t);
int vs_train_aside_end(struct vs_trainer *t); /* all norms are there, for the trainer's stream */
/* Where the unit's vectors' gradients go, with their samples, tokens and stride. */
struct vs_train_vectors {
    void *base; /* of W: the first vector of the first sample */
    size_t B, T, stride;
};
int vs_train_vectors_begin(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit, struct vs_train_vectors *v);
int vs_train_vectors_end(struct vs_trainer *t, const struct vs_train_pass *p, size_t unit);
/* gamma, beta of a norm; bias. */
int vs_train_norm_site(struct vs_trainer *t, const struct vs_train_vectors *v, size_t unit, enum vs_train_tensor gamma,
                       enum vs_train_tensor beta, const void *sum, const void *stats, const void *dout);
int vs_train_bias_site(struct vs_trainer *t, const struct vs_train_vectors *v, size_t unit, enum vs_train_tensor bias, const void *G);
/* n of a store's samples, [B] of `count`, into the norms of this tensor (VS_TRAIN_MATRICES: the vectors). */
int vs_train_square(struct vs_trainer *t, size_t unit, enum vs_train_tensor id, const void *store, size_t B, size_t count,
                    size_t stride);
double *vs_train_n(const struct vs_trainer *t, size_t unit, enum vs_train_tensor id);
size_t vs_train_sites(const struct vs_trainer *t);

/* trainer_profile.c: what lies between is queued on `stream`. */
int vs_train_span_begin(struct vs_trainer *t, enum vs_train_span kind, void *stream);
int vs_train_span_end(struct vs_trainer *t, enum vs_train_span kind, size_t count, void *stream);
void vs_train_profile_begin(struct vs_trainer *t); /* a step */
void vs_train_profile_close(struct vs_trainer *t);
/* trainer_norms.c: the element type of norms.h; norms of linear layers and of embeddings, without gradients; workspace kept by the trainer. */
enum vs_norms_dtype vs_train_norms_dtype(const struct vs_trainer *t);
struct vs_train_norm_place {
    void *context, *stream, *workspace;
};
int vs_train_linear_norms(struct vs_trainer *t, const struct vs_train_norm_place *place, const struct vs_train_kept *list, size_t count);
int vs_train_embedding_norm(struct vs_trainer *t, const struct vs_train_batch *b, size_t unit, enum vs_train_tensor id, const void *G);

/* trainer_plan.c: one action for all; a table that is the head too has a way of its own. */
void vs_train_plan_all(struct vs_train_plan *plan, unsigned action);
void vs_train_plan_tie(const struct vs_train_settings *s, struct vs_train_plan *plan);
/* trainer_auto.c: the plan of auto, rehearsed. */
int vs_train_choose(struct vs_trainer *t);
/* trainer.c: one step without memory, so that the arena knows what it takes; bytes of ids, targets and their orders. */
int vs_train_rehearse(struct vs_trainer *t);
size_t vs_train_input_bytes(const struct vs_train_model *m);
/* trainer_step.c: everything that may be left of a step is given back. */
void vs_train_clean(struct vs_trainer *t);
/* trainer_drop.c: zeroes what belongs to samples whose coefficient is 0: gradients (of one sample), activations, and what a backward
 * pass stored and kept. */
int vs_train_drop_gradients(struct vs_trainer *t, const float *c);
int vs_train_drop_activations(struct vs_trainer *t);
int vs_train_drop_kept(struct vs_trainer *t);
/* trainer_update.c: norms and coefficients of the samples from the squares of all sites. */
int vs_train_coefficients(struct vs_trainer *t);
/* The optimizer, with c as the weight of each of the gradient's terms (NULL: 1), on what this rank owns; the gradient goes. */
int vs_train_apply(struct vs_trainer *t, size_t unit, const float *c);
/* The same of the sum over ranks (c is NULL then); the gradient goes later. */
int vs_train_update_unit(struct vs_trainer *t, size_t unit, const float *c);
int vs_train_update_all(struct vs_trainer *t, const float *c);
/* Clipped gradients from what was stored and kept, and the optimizer: unit by unit. */
int vs_train_finish(struct vs_trainer *t);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * trainer_plan.c: what each mode does with each weight.
 */
#include <string.h>

#include "workloads/trainer_parts.h"

static const struct {
    enum vs_train_semantics semantics;
    const char *norm;
} modes[] = {
#define X(name, semantics, norm, what) {VS_TRAIN_##semantics, norm},
    VS_TRAIN_MODES(X)
#undef X
};

const char *vs_train_semantics_name(enum vs_train_semantics s)
{
    static const char *const names[] = {
#define X(id, what) #id,
        VS_TRAIN_SEMANTICS(X)
#undef X
    };
    return names[s];
}

static const char *const timings[] = {
#define X(name, what) #name,
    VS_TRAIN_TIMINGS(X)
#undef X
};

const char *vs_train_timing_name(enum vs_train_timing timing)
{
    return timings[timing];
}

int vs_train_timing_find(const char *name)
{
    for (int i = 0; i < VS_TIMING_COUNT; i++)
        if (!strcmp(timings[i], name)) return i;
    return -1;
}

void vs_train_plan_all(struct vs_train_plan *plan, unsigned action)
{
    for (int i = 0; i < VS_TRAIN_MATRICES; i++) plan->action[i] = action;
}

/* A table that is the head as well: its norm has a term that mixes both parts, so its per-sample gradient is made. */
void vs_train_plan_tie(const struct vs_train_settings *s, struct vs_train_plan *plan)
{
    if (!s->model.llama) return;
    plan->action[VS_TENSOR_POSITION] = plan->action[VS_TENSOR_HEAD] = 0; /* there are none */
    if (plan->action[VS_TENSOR_TOKEN] & (VS_DO_NORM | VS_DO_KEEP))
        plan->action[VS_TENSOR_TOKEN] = VS_DO_STORE | (plan->action[VS_TENSOR_TOKEN] & VS_DO_GRADIENT);
}

void vs_train_plan_of(const struct vs_train_settings *s, struct vs_train_plan *out)
{
    bool fused = s->mode == VS_MODE_fuse || s->mode == VS_MODE_fuse_bk || s->mode == VS_MODE_auto;
    *out = (struct vs_train_plan){.semantics = modes[s->mode].semantics, .norm = modes[s->mode].norm};
    if (s->norms_only && out->semantics != VS_TRAIN_non_private) {
        out->semantics = VS_TRAIN_norms_only;
        vs_train_plan_all(out, VS_DO_GRADIENT | (*out->norm ? VS_DO_NORM : VS_DO_STORE));
    } else if (s->model.B == 1 && fused) {
        *out = (struct vs_train_plan){.semantics = VS_TRAIN_one_pass, .norm = ""};
        vs_train_plan_all(out, VS_DO_GRADIENT);
    } else {
        static const unsigned actions[] = {[VS_TRAIN_non_private] = VS_DO_GRADIENT,
                                           [VS_TRAIN_explicit] = VS_DO_STORE,
                                           [VS_TRAIN_two_pass] = VS_DO_NORM,
                                           [VS_TRAIN_book_keeping] = VS_DO_NORM | VS_DO_KEEP,
                                           [VS_TRAIN_micro] = VS_DO_GRADIENT,
                                           [VS_TRAIN_norms_only] = 0};
        vs_train_plan_all(out, actions[out->semantics]);
    }
    vs_train_plan_tie(s, out);
}

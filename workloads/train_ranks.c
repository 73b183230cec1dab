/* SPDX-License-Identifier: MIT
 *
 * train_ranks.c: words that must be alike, and numbers of all ranks in one place.
 */
#include "workloads/train_ranks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "workloads/team.h"

const char *vs_train_fingerprint(const struct vs_train_options *o, char *text, size_t bytes)
{
    const struct vs_train_settings *s = &o->train;
    const struct vs_train_model *m = &s->model;
    snprintf(text, bytes,
             "train mode=%s%s norm-timing=%s dtype=%s optimizer=%s seed=%llu model=%s vocab-size=%zu hidden-dim=%zu num-layers=%zu "
             "num-heads=%zu num-kv-heads=%zu ffn-dim=%zu seq-len=%zu batch-size=%zu num-iter=%zu warmup-iter=%zu learning-rate=%g "
             "weight-decay=%g max-grad-norm=%g noise-multiplier=%g memory-budget=%zu extra=%zu",
             vs_train_mode_name(s->mode), s->norms_only ? " norms-only" : "", vs_train_timing_name(s->timing),
             vs_train_dtype_name(s->dtype), vs_train_optimizer_name(s->optimizer), (unsigned long long)s->seed,
             m->llama ? "llama" : "lm", m->V, m->h, m->L, m->heads, m->kv_heads, m->ffn, m->T, m->B, o->iterations, o->warm_up,
             s->rate, s->weight_decay, s->bound, s->noise, s->budget_bytes, s->extra_bytes);
    return text;
}

/* The slowest rank's time of some steps, and the mean of the losses. all: world * count. */
static int join_some(struct vs_train_result *r, struct vs_team *team, size_t world, size_t first, size_t count, double *all)
{
    double *times = r->times_ms + first, *losses = r->losses + first;
    int err = vs_team_gather(team, times, count * sizeof *all, all);
    for (size_t i = 0; !err && i < world * count; i++)
        if (all[i] > times[i % count]) times[i % count] = all[i];
    if (!err) err = vs_team_gather(team, losses, count * sizeof *all, all);
    for (size_t i = 0; !err && i < count; i++) {
        losses[i] = 0;
        for (size_t k = 0; k < world; k++) losses[i] += all[k * count + i] / (double)world;
    }
    return err;
}

static int join_steps(struct vs_train_result *r, struct vs_team *team, size_t world)
{
    enum { SOME = 1024 }; /* steps at a time: what a team gathers is limited */
    double *all = calloc(world * SOME, sizeof *all);
    int err = all ? 0 : -ENOMEM;
    for (size_t i = 0; !err && i < r->steps; i += SOME) err = join_some(r, team, world, i, r->steps - i < SOME ? r->steps - i : SOME, all);
    free(all);
    return err;
}

int vs_train_ranks_join(struct vs_train_result *r)
{
    const struct vs_shard_ranks *ranks = r->trainer->settings.ranks;
    struct vs_train_rank mine = {.pid = (int)getpid(),
                                 .median_ms = vs_train_median(r->times_ms, r->steps),
                                 .peak_bytes = r->trainer->arena.peak};
    int err;
    r->ranks = vs_team_collect(ranks->team, &mine, sizeof mine, &err);
    return err ? err : join_steps(r, ranks->team, ranks->world);
}

int vs_train_profile_show(struct vs_trainer *t)
{
    const struct vs_shard_ranks *ranks = t->settings.ranks;
    size_t rank = ranks ? ranks->rank : 0;
    struct vs_train_times p;
    int err = vs_train_profile_read(t, &p);
    if (err) return err;
    printf("[Profile] Rank %zu first backward: %.2f ms\n", rank, p.ms[VS_SPAN_FIRST_BACKWARD]);
    if (p.count[VS_SPAN_NORMS])
        printf("[Profile] Rank %zu norms: %zu, total %.2f ms, average %.3f ms\n", rank, p.count[VS_SPAN_NORMS], p.ms[VS_SPAN_NORMS],
               p.ms[VS_SPAN_NORMS] / (double)p.count[VS_SPAN_NORMS]);
    if (p.count[VS_SPAN_COEFFICIENTS]) printf("[Profile] Rank %zu clipping coefficient: %.3f ms\n", rank, p.ms[VS_SPAN_COEFFICIENTS]);
    if (p.count[VS_SPAN_LATER_BACKWARD])
        printf("[Profile] Rank %zu second backward: %.2f ms\n", rank, p.ms[VS_SPAN_LATER_BACKWARD]);
    return fflush(stdout) ? -errno : 0;
}

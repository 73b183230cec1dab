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

/* The slowest rank's time of each step, and the mean of the losses. */
static int join_steps(struct vs_train_result *r, struct vs_team *team, size_t world)
{
    double *all = calloc(world * r->steps, sizeof *all);
    int err = all ? vs_team_gather(team, r->times_ms, r->steps * sizeof *all, all) : -ENOMEM;
    for (size_t i = 0; !err && i < world * r->steps; i++)
        if (all[i] > r->times_ms[i % r->steps]) r->times_ms[i % r->steps] = all[i];
    if (!err) err = vs_team_gather(team, r->losses, r->steps * sizeof *all, all);
    for (size_t i = 0; !err && i < r->steps; i++) {
        r->losses[i] = 0;
        for (size_t k = 0; k < world; k++) r->losses[i] += all[k * r->steps + i] / (double)world;
    }
    free(all);
    return err;
}

int vs_train_ranks_join(struct vs_train_result *r)
{
    const struct vs_shard_ranks *ranks = r->trainer->settings.ranks;
    struct vs_train_rank mine = {.pid = (int)getpid(),
                                 .median_ms = vs_train_median(r->times_ms, r->steps),
                                 .peak_bytes = r->trainer->arena.peak};
    r->ranks = calloc(ranks->world, sizeof *r->ranks);
    int err = r->ranks ? vs_team_gather(ranks->team, &mine, sizeof mine, r->ranks) : -ENOMEM;
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

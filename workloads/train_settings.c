/* SPDX-License-Identifier: MIT
 *
 * train_settings.c: options, defaults and refusals of the training workload.
 */
#include "workloads/train_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/options.h"

#define WHAT                                                                                                           \
    "steps of a transformer's training: plain, or DP-SGD (per-sample clipping and noise) in several ways\n\n"          \
    "  example: vramscope-workload train --preset tiny --mode ghost --device cpu --check\n"                            \
    "           vramscope-workload train --preset gpt2-large --mode auto --dtype bf16\n\n"                             \
    "modes:" VS_TRAIN_MODES(MODE_LINE) "\n  flash_clip, grad_materialize: other names of flash and explicit"
#define MODE_LINE(name, semantics, norm, what) "\n  " #name ": " what
#define MODE_WORD(name, ...)                   " " #name
#define PRESET_WORD(name, ...)                 " " name
#define DTYPE_WORD(name, ...)                  " " #name
#define TIMING_WORD(name, ...)                 " " #name

static const char *const modes[] = {
#define X(name, ...) #name,
    VS_TRAIN_MODES(X)
#undef X
};

const char *vs_train_mode_name(enum vs_train_mode mode)
{
    return modes[mode];
}

static int refuse_word(const char *what, const char *word, const char *known)
{
    char shown[256];
    fprintf(stderr, "train: there is no %s '%s':%s\n", what, vs_option_shown(word, shown, sizeof shown), known);
    return 2;
}

static int find_mode(struct vs_train_options *o)
{
    const char *name = o->mode;
    if (!strcmp(name, "flash_clip")) name = "flash";
    if (!strcmp(name, "grad_materialize")) name = "explicit";
    for (int i = 0; i < VS_MODE_COUNT; i++)
        if (!strcmp(modes[i], name)) return o->train.mode = (enum vs_train_mode)i, 0;
    return refuse_word("mode", o->mode, VS_TRAIN_MODES(MODE_WORD) " flash_clip grad_materialize");
}

static void override(size_t *size, size_t given)
{
    if (given) *size = given;
}

static int build_model(struct vs_train_options *o, bool cpu)
{
    struct vs_train_model *m = &o->train.model;
    const struct vs_train_given *r = &o->given;
    const char *preset = r->preset ? r->preset : cpu && !r->h ? "tiny" : "lm-20x2048";
    char why[256];
    if (!vs_train_preset(m, preset)) return refuse_word("preset", preset, VS_TRAIN_PRESETS(PRESET_WORD));
    bool same_heads = m->kv_heads == m->heads, same_ffn = m->ffn == 4 * m->h;
    override(&m->V, r->V);
    override(&m->h, r->h);
    override(&m->L, r->L);
    override(&m->heads, r->heads);
    override(&m->T, r->T);
    override(&m->B, r->B);
    if (same_heads) m->kv_heads = m->heads;
    if (same_ffn) m->ffn = 4 * m->h;
    override(&m->kv_heads, r->kv_heads);
    override(&m->ffn, r->ffn);
    if (!r->preset) m->longest = 0;
    if (r->V || r->h || r->L || r->heads || r->kv_heads || r->ffn) m->preset = NULL; /* it is another model */
    if (!vs_train_model_check(m, why, sizeof why)) return 0;
    fprintf(stderr, "train: %s\n", why);
    return 2;
}

static int find_words(struct vs_train_options *o, const char *optimizer)
{
    int found = vs_train_optimizer_find(optimizer);
    if (strcmp(o->device, "auto") && strcmp(o->device, "cpu") && strcmp(o->device, "cuda"))
        return refuse_word("device", o->device, " auto cpu cuda");
    if (o->given.dtype && vs_train_dtype_find(o->given.dtype) < 0)
        return refuse_word("element type", o->given.dtype, VS_TRAIN_DTYPES(DTYPE_WORD));
    if (found < 0) return refuse_word("optimizer", optimizer, VS_TRAIN_OPTIMIZERS(DTYPE_WORD));
    o->train.optimizer = (enum vs_train_optimizer)found;
    return 0;
}

static bool set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value && strcmp(value, "0");
}

/* What the fork of Opacus that these experiments come from is told by its environment. */
static int find_timing(struct vs_train_options *o, const char *timing)
{
    int found = timing ? vs_train_timing_find(timing) : set("OPACUS_USE_DEFERRED_NORM") ? VS_TIMING_deferred : VS_TIMING_usual;
    if (found < 0) return refuse_word("time for norms", timing, VS_TRAIN_TIMINGS(TIMING_WORD));
    o->train.timing = (enum vs_train_timing)found;
    o->profile = set("OPACUS_PROFILE_DETAILED") || set("OPACUS_PROFILE_FSDP");
    return 0;
}

static int check_ranks(const struct vs_train_options *o, size_t every)
{
    struct vs_team_place place;
    char why[256];
    if (every > 1) {
        fprintf(stderr, "train: --norm-every %zu breaks per-sample clipping: a step's samples must be clipped by their own norms\n",
                every);
        return 2;
    }
    if (o->shard) {
        if (!o->check && !o->dump_weights && !o->dump_ids && !o->dump_gradients) return 0;
        fprintf(stderr, "train: --check and --dump-... are for one rank that has everything: leave out --shard "
                        "(vramscope bench fsdp-norms checks ranks)\n");
        return 2;
    }
    if (o->ranks.nproc > 1 || (!vs_team_place(&place, why, sizeof why) && place.world > 1)) {
        fprintf(stderr, "train: several ranks train one model together with --shard\n");
        return 2;
    }
    return 0;
}

static int check_counts(struct vs_train_options *o, size_t budget_mb, size_t extra_mb)
{
    if (budget_mb >> 40 || extra_mb >> 40 || o->iterations - 1 >= 100000 || o->warm_up > 100000) {
        fprintf(stderr, "train: --num-iter is 1 to 100000, --warmup-iter at most that, sizes in MiB below 2^40\n");
        return 2;
    }
    o->train.budget_bytes = budget_mb << 20;
    o->train.extra_bytes = extra_mb << 20;
    if (!o->experiment) o->experiment = o->mode;
    return 0;
}

int vs_train_options_parse(struct vs_train_options *o, int argc, char **argv)
{
    double noise = -1;
    size_t seed = 1337;
    const char *optimizer = "adam", *timing = NULL;
    size_t budget_mb = 0, extra_mb = 0, every = 1;
    struct vs_train_given *r = &o->given;
    *o = (struct vs_train_options){
        .mode = "vanilla", .device = "auto", .iterations = 3, .warm_up = 2, .train = {.rate = 1e-4, .bound = 1}};
    const struct vs_option table[] = {
        {"mode", VS_OPTION_TEXT, &o->mode, "NAME", "one of the above (vanilla)"},
        {"norms-only", VS_OPTION_FLAG, &o->train.norms_only, NULL,
         "norms beside one ordinary backward pass; nothing is clipped, no noise"},
        {"preset", VS_OPTION_TEXT, &r->preset, "NAME", "sizes:" VS_TRAIN_PRESETS(PRESET_WORD) " (lm-20x2048; on a CPU tiny)"},
        {"vocab-size", VS_OPTION_COUNT, &r->V, "N", "instead of the preset's, as the next ones"},
        {"hidden-dim", VS_OPTION_COUNT, &r->h, "N", "width of the residual stream"},
        {"num-layers", VS_OPTION_COUNT, &r->L, "N", "blocks"},
        {"num-heads", VS_OPTION_COUNT, &r->heads, "N", "query heads"},
        {"num-kv-heads", VS_OPTION_COUNT, &r->kv_heads, "N", "key and value heads"},
        {"ffn-dim", VS_OPTION_COUNT, &r->ffn, "N", "width of the hidden layer"},
        {"seq-len", VS_OPTION_COUNT, &r->T, "N", "tokens per sample"},
        {"batch-size", VS_OPTION_COUNT, &r->B, "N", "samples"},
        {"num-iter", VS_OPTION_COUNT, &o->iterations, "N", "timed steps (3)"},
        {"warmup-iter", VS_OPTION_COUNT, &o->warm_up, "N", "steps before them (2)"},
        {"dtype", VS_OPTION_TEXT, &r->dtype, "NAME", "element type:" VS_TRAIN_DTYPES(DTYPE_WORD) " (fp32)"},
        {"device", VS_OPTION_TEXT, &o->device, "auto|cpu|cuda", "where to run (auto: a GPU if there is one)"},
        {"optimizer", VS_OPTION_TEXT, &optimizer, "NAME", "one of" VS_TRAIN_OPTIMIZERS(DTYPE_WORD) " (adam)"},
        {"learning-rate", VS_OPTION_AMOUNT, &o->train.rate, "X", "(1e-4)"},
        {"weight-decay", VS_OPTION_AMOUNT, &o->train.weight_decay, "X", "of adam (added to the gradient) and adamw (0)"},
        {"max-grad-norm", VS_OPTION_NUMBER, &o->train.bound, "C", "longest gradient of a sample (1)"},
        {"noise-multiplier", VS_OPTION_AMOUNT, &noise, "S", "standard deviation of the noise, in C (1)"},
        {"shard", VS_OPTION_FLAG, &o->shard, NULL, "weights, gradients and optimizer states over ranks, each with its own samples"},
        VS_RANKS_OPTIONS(&o->ranks),
        {"norm-timing", VS_OPTION_TEXT, &timing, "WHEN", "of linear layers' norms:" VS_TRAIN_TIMINGS(TIMING_WORD) " (usual)"},
        {"norm-every", VS_OPTION_COUNT, &every, "K", "refused for K > 1: it breaks per-sample clipping"},
        {"seed", VS_OPTION_COUNT, &seed, "N", "of weights, batches and noise (1337)"},
        {"memory-budget-mb", VS_OPTION_COUNT, &budget_mb, "N", "MiB that auto may plan with (what is free)"},
        {"extra-mb", VS_OPTION_COUNT, &extra_mb, "N", "one more tensor of so many MiB, to see it in the recording"},
        {"experiment", VS_OPTION_TEXT, &o->experiment, "NAME", "name of the results (the mode)"},
        {"check", VS_OPTION_FLAG, &o->check, NULL,
         "instead of timing: norms, clipped gradients and the change of weights against mode explicit; exit 1 beyond the tolerance"},
        {"dump-weights", VS_OPTION_TEXT, &o->dump_weights, "FILE", "write the first weights, as float32"},
        {"dump-ids", VS_OPTION_TEXT, &o->dump_ids, "FILE", "write the first batch: ids, then targets, as int64"},
        {"dump-gradients", VS_OPTION_TEXT, &o->dump_gradients, "FILE", "write what the first step applies, as float32"},
        {"results", VS_OPTION_TEXT, &o->results, "FILE", "write the results to this new file, as JSON"},
        {0},
    };
    int err = vs_options_parse(table, argc, argv, WHAT);
    if (!err) err = find_mode(o);
    if (!err) err = find_words(o, optimizer);
    if (!err) err = find_timing(o, timing);
    if (!err) err = check_ranks(o, every);
    o->train.noise = noise >= 0 ? noise : 1;
    o->train.seed = seed;
    return err ? err : check_counts(o, budget_mb, extra_mb);
}

int vs_train_options_complete(struct vs_train_options *o, const struct vs_device *device)
{
    struct vs_train_settings *s = &o->train;
    struct vs_train_plan plan;
    bool cpu = device == vs_device_cpu();
    s->dtype = o->given.dtype ? (enum vs_train_dtype)vs_train_dtype_find(o->given.dtype) : VS_TRAIN_fp32;
    int err = build_model(o, cpu);
    if (err) return err;
    if (s->norms_only || s->mode == VS_MODE_vanilla) s->noise = 0;
    vs_train_plan_of(s, &plan);
    if (s->timing != VS_TIMING_usual && (!*plan.norm || s->norms_only)) {
        fprintf(stderr, "train: the time of norms makes no difference here: %s\n",
                s->norms_only ? "with --norms-only they are immediate" : "this mode takes none of linear layers by themselves");
        s->timing = VS_TIMING_usual;
    }
    if (o->check && (s->mode == VS_MODE_vanilla || s->norms_only)) {
        fprintf(stderr, "train: --check compares clipped gradients, and there are none: choose another --mode\n");
        return 2;
    }
    if (cpu && s->dtype == VS_TRAIN_bf16) {
        fprintf(stderr, "train: bf16 needs a GPU; on the CPU there are fp32 and fp64\n");
        return 2;
    }
    if (!cpu && s->dtype == VS_TRAIN_fp64) {
        fprintf(stderr, "train: fp64 is there on the CPU alone: add --device cpu\n");
        return 2;
    }
    if (s->dtype == VS_TRAIN_fp64 && *plan.norm) {
        fprintf(stderr, "train: mode %s has no norms in float64; vanilla, explicit and micro work with fp64\n", o->mode);
        return 2;
    }
    return 0;
}

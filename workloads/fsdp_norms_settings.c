/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_settings.c: options of the fsdp_norms workload, what they are when not given, and what is refused.
 */
#include <string.h>

#include "workloads/fsdp_norms.h"
#include "workloads/train_settings.h"

#define WHAT                                                                                                           \
    "per-sample norms of a model that is sharded over ranks, each with its own samples\n\n"                            \
    "  example: vramscope-workload fsdp_norms --nproc 4 --device cpu\n"                                                \
    "           vramscope-workload fsdp_norms --nproc 2 --mode performance --preset gpt2-large --min-speedup 1.05\n"   \
    "           vramscope-workload fsdp_norms --nproc 4 --mode stages --norm-allreduce async\n\n"                      \
    "modes:" VS_FSDP_PARTS(PART_LINE) "\n\nfaults of the last rank:" VS_FSDP_FAULTS(                                   \
        FAULT_LINE) "\n\nways to add norms up over ranks:" VS_NORM_ALLREDUCES(LINE)
#define PART_LINE(name, verdict, what) "\n  " #name ": " what
#define FAULT_LINE(id, name, what)     "\n  " name ": " what
#define LINE(name, what)               "\n  " #name ": " what
#define WORD(name, ...)                " " #name
#define FAULT_WORD(id, name, what)     " " name
#define PRESET_WORD(name, ...)         " " name

static const char *const parts[] = {
#define X(name, verdict, what) #name,
    VS_FSDP_PARTS(X)
#undef X
};
static const char *const faults[] = {
#define X(id, name, what) name,
    VS_FSDP_FAULTS(X)
#undef X
};

const char *vs_fsdp_part_name(enum vs_fsdp_part part)
{
    return parts[part];
}

const char *vs_fsdp_fault_name(enum vs_fsdp_fault fault)
{
    return faults[fault];
}

static int refuse(const char *text)
{
    fprintf(stderr, "fsdp_norms: %s\n", text);
    return 2;
}

static int refuse_word(const char *what, const char *word, const char *known)
{
    char shown[256];
    fprintf(stderr, "fsdp_norms: there is no %s '%s':%s\n", what, vs_option_shown(word, shown, sizeof shown), known);
    return 2;
}

static int find(const char *word, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], word)) return i;
    return -1;
}

static int find_train_mode(const char *word)
{
    for (int i = 0; i < VS_MODE_COUNT; i++)
        if (!strcmp(vs_train_mode_name((enum vs_train_mode)i), word)) return i;
    return -1;
}

static int find_modes(struct vs_fsdp_options *o, const struct vs_texts *words)
{
    for (size_t i = 0; i < words->count; i++) {
        int found = find_train_mode(words->value[i]);
        if (found < 0) return refuse_word("training mode", words->value[i], VS_TRAIN_MODES(WORD));
        if (found == VS_MODE_vanilla) return refuse("vanilla has no norms: choose other --train-modes");
        for (size_t k = 0; k < o->modes; k++)
            if (o->mode[k] == (enum vs_train_mode)found) return refuse("--train-modes names one mode twice");
        o->mode[o->modes++] = (enum vs_train_mode)found;
    }
    return 0;
}

static int find_timings(struct vs_fsdp_options *o, const struct vs_texts *words)
{
    for (size_t i = 0; i < words->count; i++) {
        int found = vs_train_timing_find(words->value[i]);
        if (found <= VS_TIMING_usual)
            return refuse_word("time for norms", words->value[i], " immediate deferred overlapped");
        for (size_t k = 0; k < o->timings; k++)
            if (o->timing[k] == (enum vs_train_timing)found) return refuse("--norm-timings names one twice");
        o->timing[o->timings++] = (enum vs_train_timing)found;
    }
    return 0;
}

static bool names_immediate(const struct vs_fsdp_options *o)
{
    for (size_t i = 0; i < o->timings; i++)
        if (o->timing[i] == VS_TIMING_immediate) return true;
    return false;
}

struct given_words {
    const char *part, *fault, *optimizer, *allreduce;
    struct vs_texts modes, timings;
    size_t seed, every;
};

static int find_words(struct vs_fsdp_options *o, const struct given_words *w)
{
    int part = find(w->part, parts, VS_FSDP_PART_COUNT), fault = find(w->fault, faults, VS_FSDP_FAULT_COUNT);
    int optimizer = vs_train_optimizer_find(w->optimizer), allreduce = vs_norm_allreduce_find(w->allreduce);
    if (part < 0) return refuse_word("mode", w->part, VS_FSDP_PARTS(WORD));
    if (fault < 0) return refuse_word("fault", w->fault, VS_FSDP_FAULTS(FAULT_WORD));
    if (optimizer < 0) return refuse_word("optimizer", w->optimizer, VS_TRAIN_OPTIMIZERS(WORD));
    if (allreduce < 0) return refuse_word("--norm-allreduce", w->allreduce, VS_NORM_ALLREDUCES(WORD));
    if (strcmp(o->device, "auto") && strcmp(o->device, "cpu") && strcmp(o->device, "cuda"))
        return refuse_word("device", o->device, " auto cpu cuda");
    if (o->given.dtype && vs_train_dtype_find(o->given.dtype) < 0)
        return refuse_word("element type", o->given.dtype, VS_TRAIN_DTYPES(WORD));
    o->part = (enum vs_fsdp_part)part;
    o->fault = (enum vs_fsdp_fault)fault;
    o->train.optimizer = (enum vs_train_optimizer)optimizer;
    o->allreduce = (enum vs_norm_allreduce)allreduce;
    o->train.seed = w->seed;
    int err = find_modes(o, &w->modes);
    if (!err) err = find_timings(o, &w->timings);
    if (!err && o->part == VS_FSDP_performance && o->timings && (o->timings < 2 || !names_immediate(o)))
        err = refuse("--mode performance holds immediate against others: --norm-timings names it and one more");
    return err;
}

static void instead(size_t *size, size_t given)
{
    if (given) *size = given;
}

/* The sizes of the test that the notes' fork has for deferred norms (test_deferred_norm.py), or a preset's. */
static int build_model(struct vs_fsdp_options *o)
{
    static const struct vs_train_model check = {.V = 1000, .h = 256, .L = 4, .heads = 4, .T = 128, .B = 4},
                                       timed = {.V = 1000, .h = 512, .L = 6, .heads = 8, .T = 256, .B = 2};
    struct vs_train_model *m = &o->train.model;
    const struct vs_fsdp_given *g = &o->given;
    bool preset = g->preset != NULL;
    char why[256];
    *m = o->part == VS_FSDP_performance ? timed : check;
    m->llama = o->llama;
    if (preset && !vs_train_preset(m, g->preset))
        return refuse_word("preset", g->preset, VS_TRAIN_PRESETS(PRESET_WORD));
    bool own_heads = !preset || m->kv_heads == m->heads, own_ffn = !preset || m->ffn == 4 * m->h;
    instead(&m->V, g->V);
    instead(&m->h, g->h);
    instead(&m->L, g->L);
    instead(&m->heads, g->heads);
    instead(&m->T, g->T);
    instead(&m->B, g->B);
    if (own_heads) m->kv_heads = m->heads;
    if (own_ffn) m->ffn = 4 * m->h;
    instead(&m->kv_heads, g->kv_heads);
    instead(&m->ffn, g->ffn);
    if (!preset) m->longest = 0;
    return vs_train_model_check(m, why, sizeof why) ? refuse(why) : 0;
}

static int check_counts(const struct vs_fsdp_options *o, size_t every)
{
    if (every > 1)
        return refuse(
            "--norm-every above 1 breaks per-sample clipping: every step's samples must be clipped by their own norms");
    if (o->iterations > 100000 || o->warm_up > 100000 || o->rounds - 1 >= 1000)
        return refuse("--num-iter and --warmup-iter are at most 100000, --rounds is 1 to 1000");
    if (o->fault != VS_FSDP_FAULT_NONE && o->part != VS_FSDP_correctness)
        return refuse("--fault is for --mode correctness");
    if (o->fault == VS_FSDP_FAULT_SWAP && o->train.model.B < 2)
        return refuse("--fault swap-samples needs two samples on a rank: --batch-size 2 or more");
    if (o->min_speedup > 0 && o->part != VS_FSDP_performance) return refuse("--min-speedup is for --mode performance");
    if (o->part == VS_FSDP_correctness && o->train.noise <= 0)
        return refuse("--noise-multiplier is above 0 here: runs without noise are made as well");
    return 0;
}

int vs_fsdp_options_parse(struct vs_fsdp_options *o, int argc, char **argv)
{
    struct given_words w = {
        .part = "correctness", .fault = "none", .optimizer = "adam", .allreduce = "sync", .seed = 1337, .every = 1};
    struct vs_fsdp_given *g = &o->given;
    *o = (struct vs_fsdp_options){
        .device = "auto", .rounds = 3, .warm_up = 1, .norm_size = 10, .train = {.rate = 1e-4, .bound = 1, .noise = 1}};
    const struct vs_option table[] = {
        {"mode", VS_OPTION_TEXT, &w.part, "NAME", "see above (correctness)"},
        VS_RANKS_OPTIONS(&o->ranks),
        {"fault", VS_OPTION_TEXT, &w.fault, "NAME",
         "see above: must turn the result to FAILED; then --patience-s is 5 unless given"},
        {"train-modes", VS_OPTION_TEXTS, &w.modes, "LIST",
         "of the train workload (correctness: ghost,flash_bk,explicit,micro, and fuse with one sample; performance: "
         "flash_bk)"},
        {"norm-timings", VS_OPTION_TEXTS, &w.timings, "LIST", "immediate,deferred,overlapped (all)"},
        {"all-steps", VS_OPTION_FLAG, &o->all, NULL,
         "correctness: every run makes --num-iter steps, not only each mode's first timing"},
        {"min-speedup", VS_OPTION_NUMBER, &o->min_speedup, "X",
         "performance: fail where neither deferred nor overlapped is so much faster"},
        {"norm-allreduce", VS_OPTION_TEXT, &w.allreduce, "HOW", "stages: see above (sync)"},
        {"norm-size", VS_OPTION_NUMBER, &o->norm_size, "X", "stages: about what norms are to be (10)"},
        {"norm-every", VS_OPTION_COUNT, &w.every, "K", "refused for K > 1: it breaks per-sample clipping"},
        {"preset", VS_OPTION_TEXT, &g->preset, "NAME", "sizes:" VS_TRAIN_PRESETS(PRESET_WORD)},
        {"llama", VS_OPTION_FLAG, &o->llama, NULL, "the Llama form of the model"},
        {"vocab-size", VS_OPTION_COUNT, &g->V, "N", "(1000)"},
        {"hidden-dim", VS_OPTION_COUNT, &g->h, "N", "(256; performance: 512)"},
        {"num-layers", VS_OPTION_COUNT, &g->L, "N", "blocks (4; performance: 6)"},
        {"num-heads", VS_OPTION_COUNT, &g->heads, "N", "(4; performance: 8)"},
        {"num-kv-heads", VS_OPTION_COUNT, &g->kv_heads, "N", "(as heads)"},
        {"ffn-dim", VS_OPTION_COUNT, &g->ffn, "N", "(4 x hidden)"},
        {"seq-len", VS_OPTION_COUNT, &g->T, "N", "(128; performance: 256)"},
        {"batch-size", VS_OPTION_COUNT, &g->B, "N", "samples of each rank (4; performance: 2)"},
        {"num-iter", VS_OPTION_COUNT, &o->iterations, "N",
         "steps of a run (3; performance: 5, on a CPU 2; stages: 100)"},
        {"warmup-iter", VS_OPTION_COUNT, &o->warm_up, "N", "performance and stages: steps before them (1)"},
        {"rounds", VS_OPTION_COUNT, &o->rounds, "N", "performance: how often the timings take turns (3)"},
        {"dtype", VS_OPTION_TEXT, &g->dtype, "NAME",
         "element type:" VS_TRAIN_DTYPES(WORD) " (fp32; performance on a GPU: bf16)"},
        {"device", VS_OPTION_TEXT, &o->device, "auto|cpu|cuda", "where to run (auto: a GPU if there is one)"},
        {"optimizer", VS_OPTION_TEXT, &w.optimizer, "NAME", "one of" VS_TRAIN_OPTIMIZERS(WORD) " (adam)"},
        {"learning-rate", VS_OPTION_AMOUNT, &o->train.rate, "X", "(1e-4)"},
        {"noise-multiplier", VS_OPTION_AMOUNT, &o->train.noise, "S", "standard deviation of the noise, in bounds (1)"},
        {"seed", VS_OPTION_COUNT, &w.seed, "N", "of weights, batches and noise (1337)"},
        {"results", VS_OPTION_TEXT, &o->results, "FILE", "rank 0 writes the results to this new file, as JSON"},
        {0},
    };
    int err = vs_options_parse(table, argc, argv, WHAT);
    if (!err) err = find_words(o, &w);
    if (!err) err = build_model(o);
    if (!err) err = check_counts(o, w.every);
    if (o->fault != VS_FSDP_FAULT_NONE && o->ranks.patience_s <= 0) o->ranks.patience_s = 5;
    return err;
}

/* ---- when the device is known ---- */

static void default_modes(struct vs_fsdp_options *o)
{
    static const enum vs_train_mode checked[] = {VS_MODE_ghost, VS_MODE_flash_bk, VS_MODE_explicit, VS_MODE_micro,
                                                 VS_MODE_fuse};
    size_t count = sizeof checked / sizeof *checked - (o->train.model.B > 1); /* fuse is flash then */
    if (!o->timings)
        for (int t = VS_TIMING_immediate; t < VS_TIMING_COUNT; t++) o->timing[o->timings++] = (enum vs_train_timing)t;
    if (o->modes) return;
    if (o->part == VS_FSDP_performance) o->mode[o->modes++] = VS_MODE_flash_bk;
    else
        for (; o->modes < count; o->modes++) o->mode[o->modes] = checked[o->modes];
}

static int check_modes(const struct vs_fsdp_options *o)
{
    for (size_t i = 0; i < o->modes; i++) {
        struct vs_train_settings s = o->train;
        struct vs_train_plan plan;
        s.mode = o->mode[i];
        vs_train_plan_of(&s, &plan);
        if (s.dtype == VS_TRAIN_fp64 && *plan.norm)
            return refuse("fp64 has no algorithms for norms: --train-modes explicit,micro");
        if (o->part == VS_FSDP_performance && !*plan.norm)
            return refuse("explicit, micro and one-sample modes have no norms to defer: choose other --train-modes");
    }
    return 0;
}

int vs_fsdp_options_complete(struct vs_fsdp_options *o, const struct vs_device *device)
{
    static const size_t steps[] = {[VS_FSDP_correctness] = 3, [VS_FSDP_performance] = 5, [VS_FSDP_stages] = 100};
    bool cpu = device == vs_device_cpu(), timed = o->part == VS_FSDP_performance;
    o->train.dtype = o->given.dtype  ? (enum vs_train_dtype)vs_train_dtype_find(o->given.dtype)
                     : timed && !cpu ? VS_TRAIN_bf16
                                     : VS_TRAIN_fp32;
    if (cpu && o->train.dtype == VS_TRAIN_bf16) return refuse("bf16 needs a GPU; on the CPU there are fp32 and fp64");
    if (!cpu && o->train.dtype == VS_TRAIN_fp64) return refuse("fp64 is there on the CPU alone: add --device cpu");
    if (!o->iterations) o->iterations = timed && cpu ? 2 : steps[o->part];
    default_modes(o);
    return check_modes(o);
}

const char *vs_fsdp_fingerprint(const struct vs_fsdp_options *o, char *text, size_t bytes)
{
    const struct vs_train_settings *s = &o->train;
    const struct vs_train_model *m = &s->model;
    size_t n = 0;
    unsigned modes = 0, timings = 0;
    for (size_t i = 0; i < o->modes; i++) modes = modes * VS_MODE_COUNT + o->mode[i];
    for (size_t i = 0; i < o->timings; i++) timings = timings * VS_TIMING_COUNT + o->timing[i];
    n += (size_t)snprintf(
        text, bytes, "fsdp_norms mode=%s fault=%s train-modes=%x norm-timings=%x dtype=%s optimizer=%s seed=%llu ",
        vs_fsdp_part_name(o->part), vs_fsdp_fault_name(o->fault), modes, timings, vs_train_dtype_name(s->dtype),
        vs_train_optimizer_name(s->optimizer), (unsigned long long)s->seed);
    snprintf(
        text + n, n < bytes ? bytes - n : 0,
        "model=%s vocab-size=%zu hidden-dim=%zu num-layers=%zu num-heads=%zu num-kv-heads=%zu ffn-dim=%zu seq-len=%zu "
        "batch-size=%zu num-iter=%zu warmup-iter=%zu rounds=%zu all-steps=%d learning-rate=%g noise-multiplier=%g "
        "norm-allreduce=%s norm-size=%g min-speedup=%g",
        m->llama ? "llama" : "lm", m->V, m->h, m->L, m->heads, m->kv_heads, m->ffn, m->T, m->B, o->iterations,
        o->warm_up, o->rounds, o->all, s->rate, s->noise, vs_norm_allreduce_name(o->allreduce), o->norm_size,
        o->min_speedup);
    return text;
}

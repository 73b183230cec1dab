/* SPDX-License-Identifier: MIT
 *
 * train.c: the training workload: plans, trains, and says what came of it. A summary goes to stdout, results to their file,
 * everything else to stderr.
 */
#include <errno.h>
#include <math.h>
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "workloads/device_choice.h"
#include "workloads/memory.h"
#include "workloads/train_check.h"
#include "workloads/train_copy.h"
#include "workloads/train_ranks.h"
#include "workloads/train_result.h"
#include "workloads/workload.h"

struct bench {
    struct vs_train_options o;
    struct vs_ranks ranks; /* with --shard */
    struct vs_train_result r;
    struct vs_trainer trainer;
    const struct vs_device *device;
    void *context;
    size_t iteration; /* timed, now */
    bool timed;
};

/* ---- named moments ---- */

static int mark(struct bench *b, const char *name)
{
    struct vs_train_result *r = &b->r;
    struct timespec now;
    if (r->moments_count == r->moments_room) {
        size_t room = r->moments_room ? 2 * r->moments_room : 64;
        struct vs_train_moment *more = realloc(r->moments, room * sizeof *more);
        if (!more) return -ENOMEM;
        r->moments = more;
        r->moments_room = room;
    }
    struct vs_train_moment *m = &r->moments[r->moments_count++];
    snprintf(m->name, sizeof m->name, "%s", name);
    m->arena_bytes = b->trainer.arena.live;
    nvtxMarkA(m->name);
    clock_gettime(CLOCK_MONOTONIC, &now);
    m->ts_ns = (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    return 0;
}

static int private_mode(const struct bench *b)
{
    return b->o.train.mode != VS_MODE_vanilla;
}

/* The notes count on from other numbers where a model is wrapped for privacy first. */
static int mark_step(struct bench *b, int which, const char *what)
{
    char name[40];
    if (!b->timed) return 0;
    snprintf(name, sizeof name, "%d_iter%zu_%s", which + (private_mode(b) ? 4 : 2), b->iteration, what);
    return mark(b, name);
}

static int moment(void *state, const char *name)
{
    if (!strcmp(name, "forward")) return mark_step(state, 1, "after_forward");
    if (!strcmp(name, "backward")) return mark_step(state, 2, "after_backward");
    return mark_step(state, 3, "after_step");
}

static int mark_ready(struct bench *b)
{
    int err = mark(b, "0_model_loaded");
    if (!err && private_mode(b)) err = mark(b, "1_wrapped_with_dp");
    if (!err && private_mode(b)) err = mark(b, "2_optimizer_created");
    return err;
}

/* ---- what went wrong ---- */

static int fail(struct bench *b, int err, const char *doing)
{
    const char *said = *b->trainer.why ? b->trainer.why : b->device ? b->device->last_error() : "";
    if (b->ranks.team && (err == -ECANCELED || vs_team_stopped(b->ranks.team)) && !*b->r.reason)
        snprintf(b->r.reason, sizeof b->r.reason, "%s: ended with the job", doing);
    if (!*b->r.reason)
        snprintf(b->r.reason, sizeof b->r.reason, "%s: %s", doing, err == -ENOMEM && !*said ? strerror(-err) : *said ? said : strerror(-err));
    return err;
}

/* What the same settings would need with this change; 0: cannot say. */
static size_t need(const struct bench *b, enum vs_train_mode mode, size_t B)
{
    struct vs_train_settings s = b->o.train;
    struct vs_shard_ranks alone = b->ranks.shard; /* the others do not ask, and cannot be asked */
    struct vs_trainer t;
    alone.team = NULL;
    if (s.ranks) s.ranks = &alone;
    s.mode = mode;
    s.model.B = B;
    size_t bytes = vs_trainer_plan(&t, &s, b->device, b->context) ? 0 : t.arena.high;
    vs_trainer_close(&t);
    return bytes;
}

static void suggest(struct bench *b, size_t available)
{
    static const enum vs_train_mode others[] = {VS_MODE_flash, VS_MODE_micro};
    size_t used = strlen(b->r.reason), needed;
    char text[32];
    for (size_t B = b->o.train.model.B / 2; B; B /= 2) {
        needed = need(b, b->o.train.mode, B);
        if (!needed || needed > available) continue;
        snprintf(b->r.reason + used, sizeof b->r.reason - used, "; --batch-size %zu needs %s", B, vs_buffer_text(needed, text, sizeof text));
        return;
    }
    for (size_t i = 0; private_mode(b) && i < sizeof others / sizeof *others; i++) {
        needed = need(b, others[i], b->o.train.model.B);
        if (!needed || needed > available) continue;
        snprintf(b->r.reason + used, sizeof b->r.reason - used, "; --mode %s needs %s", vs_train_mode_name(others[i]),
                 vs_buffer_text(needed, text, sizeof text));
        return;
    }
    snprintf(b->r.reason + used, sizeof b->r.reason - used, "; choose a smaller --seq-len, --num-layers or --hidden-dim");
}

/* Said before anything is asked for: a system that promises more than it has ends the program later. */
static int fits(struct bench *b)
{
    size_t available, needed = b->trainer.arena.high;
    char asked[32], there[32];
    if (b->device->free_bytes(&available) || needed <= available) return 0;
    snprintf(b->r.reason, sizeof b->r.reason, "this needs %s, and %s are free", vs_buffer_text(needed, asked, sizeof asked),
             vs_buffer_text(available, there, sizeof there));
    suggest(b, available);
    return -ENOMEM;
}

/* ---- steps ---- */

static int read_step(struct bench *b, size_t i)
{
    return vs_trainer_read(&b->trainer, &b->r.losses[i], b->r.norms, b->r.coefficients);
}

static int timed_step(struct bench *b, uint64_t which, double *ms)
{
    struct vs_trainer *t = &b->trainer;
    int err = vs_trainer_load(t, which);
    if (!err) err = mark_step(b, 0, "before_forward");
    if (!err) err = b->device->start(b->context, t->on.stream);
    if (!err) err = vs_trainer_step(t);
    return err ? err : b->device->stop(b->context, t->on.stream, ms);
}

static int train(struct bench *b)
{
    struct vs_train_result *r = &b->r;
    double ms, loss;
    int err = 0;
    for (size_t i = 0; !err && i < b->o.warm_up; i++) {
        err = timed_step(b, i, &ms);
        if (!err && i == 0) r->first_ms = ms;
        if (!err && i == 0) err = vs_trainer_read(&b->trainer, &loss, NULL, NULL);
    }
    if (!err) err = mark(b, private_mode(b) ? "3_after_warmup" : "1_after_warmup");
    b->timed = true;
    for (size_t i = 0; !err && i < b->o.iterations; i++) {
        b->iteration = i;
        err = timed_step(b, b->o.warm_up + i, &r->times_ms[i]);
        if (!err) err = read_step(b, i);
        if (err) break;
        if (!b->o.warm_up && i == 0) r->first_ms = r->times_ms[0];
        r->steps = i + 1;
    }
    return err;
}

static int dump_ids(struct bench *b)
{
    size_t tokens = b->o.train.model.B * b->o.train.model.T;
    struct vs_train_copy copy = {.data = malloc(2 * tokens * sizeof(int64_t)), .bytes = 2 * tokens * sizeof(int64_t)};
    int err = copy.data ? b->device->download(copy.data, b->trainer.batch.ids, copy.bytes) : -ENOMEM;
    if (!err) err = vs_train_copy_write(&copy, b->o.dump_ids);
    vs_train_copy_free(&copy);
    return err;
}

/* One step from the first weights, with what was asked for written down. */
static int dump(struct bench *b)
{
    struct vs_trainer *t = &b->trainer;
    struct vs_train_copy weights = {0}, gradients = {0};
    int err = vs_train_copy_open(&weights, t);
    if (!err) err = vs_train_copy_open(&gradients, t);
    if (!err) err = vs_train_copy_weights(&weights, t);
    if (!err && b->o.dump_weights) err = vs_train_copy_write(&weights, b->o.dump_weights);
    if (!err) err = vs_trainer_load(t, 0);
    if (!err && b->o.dump_ids) err = dump_ids(b);
    t->observe = vs_train_copy_gradient;
    t->observer = &gradients;
    b->timed = true;
    if (!err) err = timed_step(b, 0, &b->r.times_ms[0]);
    if (!err) err = read_step(b, 0);
    if (!err && b->o.dump_gradients) err = vs_train_copy_write(&gradients, b->o.dump_gradients);
    if (!err) b->r.steps = 1;
    vs_train_copy_free(&weights);
    vs_train_copy_free(&gradients);
    return err;
}

static int check(struct bench *b)
{
    struct vs_train_errors *e = &b->r.errors;
    int err = vs_train_check(&b->o.train, b->device, b->context, b->r.norms, b->r.coefficients, e);
    if (err) return fail(b, err, "check");
    b->r.checked = true;
    printf("%s against explicit, %s: norms %.2e, clipped gradients %.2e (allowed %.0e), change of weights %.2e (allowed %.0e), bound %.4g%s",
           b->o.experiment, vs_train_dtype_name(b->o.train.dtype), e->norms, e->gradients, e->tolerance, e->weights, e->change_tolerance,
           e->bound, isnan(e->clipped) ? "\n" : "");
    if (!isnan(e->clipped)) printf(", clipped length over it %.6f\n", e->clipped);
    if (vs_train_check_passes(e)) return 0;
    snprintf(b->r.reason, sizeof b->r.reason, "mode %s differs from explicit", b->o.mode);
    return -ERANGE;
}

static bool make_room(struct bench *b)
{
    size_t B = b->o.train.model.B;
    b->r.times_ms = calloc(b->o.iterations, sizeof *b->r.times_ms);
    b->r.losses = calloc(b->o.iterations, sizeof *b->r.losses);
    b->r.norms = private_mode(b) || b->o.check ? calloc(B, sizeof *b->r.norms) : NULL;
    b->r.coefficients = b->r.norms ? calloc(B, sizeof *b->r.coefficients) : NULL;
    return b->r.times_ms && b->r.losses && (!b->r.norms || b->r.coefficients);
}

static int run(struct bench *b)
{
    if (!make_room(b)) return fail(b, -ENOMEM, "results");
    if (b->o.check) return check(b);
    int err = vs_trainer_plan(&b->trainer, &b->o.train, b->device, b->context);
    if (err) return fail(b, err, "plan");
    b->r.trainer = &b->trainer;
    b->r.planned_peak = b->trainer.arena.peak;
    b->trainer.moment = moment;
    b->trainer.moment_state = b;
    err = fits(b);
    if (!err && b->o.shard) err = vs_shard_agree(&b->trainer, b->r.reason, sizeof b->r.reason);
    if (err) return err;
    err = vs_trainer_open(&b->trainer);
    if (!err && b->o.profile) err = vs_train_profile_open(&b->trainer);
    if (!err) err = mark_ready(b);
    if (!err) err = b->o.dump_weights || b->o.dump_ids || b->o.dump_gradients ? dump(b) : train(b);
    if (!err && b->o.profile) err = vs_train_profile_show(&b->trainer);
    if (!err && b->o.shard) err = vs_train_ranks_join(&b->r);
    return err ? fail(b, err, "training") : 0;
}

static int lead(const struct bench *b) /* the rank that speaks for all */
{
    return b->ranks.shard.rank == 0;
}

static int finish(struct bench *b, int err)
{
    if (!err && lead(b)) vs_train_result_show(&b->r);
    if (*b->r.reason && b->o.shard) fprintf(stderr, "rank %zu: %s\n", b->ranks.shard.rank, b->r.reason);
    else if (*b->r.reason) fprintf(stderr, "train: %s\n", b->r.reason);
    if (err && b->o.shard) vs_ranks_fail(&b->ranks, b->r.reason);
    int lost = b->o.results && lead(b) ? vs_train_result_write(&b->r, b->o.results) : 0;
    if (lost) fprintf(stderr, "train: --results %s: %s\n", b->o.results, strerror(-lost));
    if (b->r.trainer) vs_trainer_close(&b->trainer);
    free(b->r.times_ms);
    free(b->r.losses);
    free(b->r.norms);
    free(b->r.coefficients);
    free(b->r.moments);
    free(b->r.ranks);
    b->device->close(b->context);
    if (b->o.shard) vs_ranks_close(&b->ranks);
    return err || lost;
}

/* Meets the other ranks, on this rank's device. */
static int meet(struct bench *b)
{
    char fingerprint[2048];
    int err = vs_ranks_open(&b->ranks, &b->o.ranks, b->device, vs_train_fingerprint(&b->o, fingerprint, sizeof fingerprint));
    b->o.train.ranks = &b->ranks.shard;
    if (err) vs_ranks_fail(&b->ranks, "it could not start");
    if (err) vs_ranks_close(&b->ranks);
    return err;
}

int vs_workload_train(int argc, char **argv)
{
    struct bench b = {0};
    int status, err = vs_train_options_parse(&b.o, argc, argv);
    if (err) return err == 1 ? 0 : err;
    if (vs_ranks_launch(&b.o.ranks, argv - 1, &status)) return status; /* the program's own name is before the workload's */
    b.device = vs_device_choose("train", b.o.device);
    if (!b.device) return 1;
    err = vs_train_options_complete(&b.o, b.device);
    if (err) return err;
    if (b.o.shard && meet(&b)) return 1;
    if (b.device->open(&b.context)) {
        fprintf(stderr, "train: %s\n", b.device->last_error());
        if (b.o.shard) vs_ranks_fail(&b.ranks, b.device->last_error());
        if (b.o.shard) vs_ranks_close(&b.ranks);
        return 1;
    }
    b.r.options = &b.o;
    b.r.device_kind = b.device->kind;
    b.r.device_name = b.device->describe(b.context);
    return finish(&b, run(&b));
}

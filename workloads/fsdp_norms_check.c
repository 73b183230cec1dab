/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_check.c: the runs of a correctness test: every mode, every timing, without noise and with it, from the same weights on the
 * same samples, and how far each is from the reference. It prints nothing and judges nothing.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/fsdp_norms_run.h"
#include "workloads/train_check.h"

static bool knows_timings(const struct vs_fsdp_options *o, enum vs_train_mode mode)
{
    struct vs_train_settings s = o->train;
    struct vs_train_plan plan;
    s.mode = mode;
    vs_train_plan_of(&s, &plan);
    return *plan.norm != 0;
}

/* Of each mode, the first timing makes all steps; the others differ from it in norms, which are known after one. */
static int list_runs(struct vs_fsdp_check *c)
{
    const struct vs_fsdp_options *o = c->job->o;
    c->run = calloc(2 * o->modes * o->timings, sizeof *c->run);
    if (!c->run) return -ENOMEM;
    for (size_t m = 0; m < o->modes; m++) {
        bool timings = knows_timings(o, o->mode[m]);
        for (size_t i = 0; i < 2 * (timings ? o->timings : 1); i++)
            c->run[c->runs++] = (struct vs_fsdp_run){.mode = o->mode[m],
                                                     .timing = timings ? o->timing[i / 2] : VS_TIMING_usual,
                                                     .noisy = i % 2,
                                                     .steps = i < 2 || o->all ? o->iterations : 1,
                                                     .first = i == 0,
                                                     .errors = {.weights = -1, .timing = -1}};
    }
    for (size_t i = 0; i < c->runs; i++) {
        c->run[i].norm = calloc(c->reference.B, sizeof *c->run[i].norm);
        if (!c->run[i].norm) return -ENOMEM;
    }
    return 0;
}

/* ---- one run ---- */

/* ||mine - reference|| / ||reference|| over the parts of all ranks; NaN where these are not the whole, once. */
static int difference(struct vs_fsdp_job *job, const struct vs_train_copy *mine, const struct vs_train_copy *reference,
                      double *out)
{
    double squares[2], sum[2] = {0, 0}, length = vs_train_copy_length(reference);
    int err;
    vs_train_copy_squares(mine, reference, &squares[0], &squares[1]);
    double *all = vs_team_collect(job->ranks.team, squares, sizeof squares, &err);
    for (size_t i = 0; !err && i < 2 * job->world; i++) sum[i % 2] += all[i];
    *out = sum[0] == 0 ? 0 : sqrt(sum[0]) / sqrt(sum[1]);
    if (!isfinite(*out) || !(fabs(sum[1] - length * length) <= 1e-9 * sum[1])) *out = (double)NAN;
    free(all);
    return err;
}

static int compare_norms(struct vs_fsdp_check *c, struct vs_fsdp_run *run, const double *mine)
{
    const struct vs_fsdp_reference *r = &c->reference;
    int err = vs_team_gather(c->job->ranks.team, mine, r->B / c->job->world * sizeof *mine, run->norm);
    for (size_t b = 0; b < r->B; b++) {
        double e = vs_fsdp_relative(run->norm[b], r->norm[b]);
        run->errors.norms = vs_fsdp_worse(run->errors.norms, e);
        run->clipped += run->norm[b] > r->bound;
    }
    return err;
}

static int one_step(struct vs_fsdp_check *c, struct vs_trainer *t, size_t i, double *norm)
{
    double loss;
    int err = vs_trainer_load(t, i);
    if (!err) err = vs_fsdp_fault_batch(c->job, t);
    if (!err) err = vs_trainer_step(t);
    return err ? err : vs_trainer_read(t, &loss, i == 0 ? norm : NULL, NULL);
}

static int make_steps(struct vs_fsdp_check *c, struct vs_fsdp_run *run, struct vs_trainer *t, double *norm)
{
    struct vs_train_copy copy = {0}, first = {0};
    bool all = run->steps == c->job->o->iterations;
    int err = vs_train_copy_open(&copy, t);
    if (!err && all) err = vs_train_copy_open(&first, t);
    if (!err && all) err = vs_train_copy_weights(&first, t);
    t->observe = vs_train_copy_gradient;
    t->observer = &copy;
    if (!err) err = one_step(c, t, 0, norm);
    t->observe = NULL;
    if (!err) err = compare_norms(c, run, norm);
    if (!err) err = difference(c->job, &copy, &c->reference.gradient[run->noisy], &run->errors.gradients);
    for (size_t i = 1; !err && i < run->steps; i++) err = one_step(c, t, i, norm);
    if (!err && all) err = vs_train_copy_weights(&copy, t);
    if (!err && all) {
        vs_train_copy_subtract(&copy, &first);
        err = difference(c->job, &copy, &c->reference.weight[run->noisy], &run->errors.weights);
    }
    vs_train_copy_free(&copy);
    vs_train_copy_free(&first);
    return err;
}

static int make_run(struct vs_fsdp_check *c, struct vs_fsdp_run *run)
{
    struct vs_train_settings s = c->job->o->train;
    struct vs_trainer t;
    double *norm = calloc(s.model.B, sizeof *norm);
    s.ranks = &c->job->ranks.shard;
    s.mode = run->mode;
    s.timing = run->timing;
    s.bound = c->reference.bound;
    if (!run->noisy) s.noise = 0;
    if (!norm) return vs_fsdp_failed(c->job, -ENOMEM, "memory for norms");
    int err = vs_fsdp_trainer_open(c->job, &s, &t);
    if (!err) err = make_steps(c, run, &t, norm);
    vs_fsdp_trainer_failed(c->job, &t, err, "a training step");
    if (err && err != -ECANCELED)
        vs_ranks_fail(&c->job->ranks, c->job->why); /* or the trainer's end waits for the others */
    vs_trainer_close(&t);
    free(norm);
    return err;
}

/* Against the first run of the same mode, whose norms noise cannot change either. */
static void compare_timings(struct vs_fsdp_check *c)
{
    const double *first = NULL;
    for (size_t i = 0; i < c->runs; i++) {
        struct vs_fsdp_run *run = &c->run[i];
        if (run->first) {
            first = run->norm;
            continue;
        }
        run->errors.timing = 0;
        for (size_t b = 0; b < c->reference.B; b++) {
            double e = run->norm[b] == first[b] ? 0 : vs_fsdp_relative(run->norm[b], first[b]);
            run->errors.timing = vs_fsdp_worse(run->errors.timing, e);
        }
    }
}

static int check(struct vs_fsdp_check *c)
{
    struct vs_fsdp_job *job = c->job;
    int err = vs_fsdp_reference_make(job, &c->reference);
    if (!err) err = vs_fsdp_failed(job, list_runs(c), "memory for the results");
    for (size_t i = 0; !err && i < c->runs; i++) err = make_run(c, &c->run[i]);
    if (err) return err;
    compare_timings(c);
    bool passed = vs_fsdp_check_show(c);
    err = vs_fsdp_example(job);
    return err < 0 ? err : !passed || err;
}

/* Against float64, by the job's type. Half a percent of rounding in each activation is up to 6 % of all gradients in bf16, PyTorch's own
 * too (bench/train/parity.py); twice that. */
static struct vs_fsdp_errors allowed(const struct vs_fsdp_job *job)
{
    enum vs_train_dtype dtype = job->o->train.dtype;
    struct vs_fsdp_errors e = {.norms = vs_train_tolerance(dtype), .weights = vs_train_change_tolerance(dtype)};
    e.gradients = dtype == VS_TRAIN_bf16 ? 0.12 : e.norms;
    e.timing = strcmp(job->device->kind, "cpu") ? e.norms : 0;
    return e;
}

int vs_fsdp_correctness(struct vs_fsdp_job *job)
{
    struct vs_fsdp_check c = {.job = job, .allowed = allowed(job)};
    int err = check(&c);
    for (size_t i = 0; i < c.runs; i++) free(c.run[i].norm);
    free(c.run);
    vs_fsdp_reference_free(&c.reference);
    return err;
}

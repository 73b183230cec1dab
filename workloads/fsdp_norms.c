/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms.c: the fsdp_norms workload from its command line to its verdict, which is the last line on stdout: the launching process
 * prints it once all ranks have ended, or rank 0 where somebody else launched them. It computes nothing.
 */
#include "workloads/fsdp_norms.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/device_choice.h"
#include "workloads/memory.h"
#include "workloads/workload.h"

int vs_fsdp_failed(struct vs_fsdp_job *job, int err, const char *doing)
{
    if (!err || *job->why) return err;
    const char *said =
        strcmp(job->device->kind, "cpu") ? job->device->last_error() : ""; /* a GPU says more than a number */
    if (err == -ECANCELED) said = "the job was ended";
    else if (err == -EPROTO) said = job->device->comm->last_error();
    if (!*said) said = strerror(-err);
    snprintf(job->why, sizeof job->why, "%s: %s", doing, said);
    return err;
}

int vs_fsdp_trainer_failed(struct vs_fsdp_job *job, const struct vs_trainer *t, int err, const char *doing)
{
    if (err && err != -ECANCELED && *t->why && !*job->why) snprintf(job->why, sizeof job->why, "%s: %s", doing, t->why);
    return vs_fsdp_failed(job, err, doing);
}

/* Said before anything is asked for: a system that promises more than it has ends the program later. */
static int fits(struct vs_fsdp_job *job, size_t needed)
{
    size_t available;
    char asked[32], there[32];
    if (job->device->free_bytes(&available) || needed <= available) return 0;
    snprintf(job->why, sizeof job->why,
             "a rank needs %s, and %s are free: choose a smaller --batch-size, --seq-len or --num-layers",
             vs_buffer_text(needed, asked, sizeof asked), vs_buffer_text(available, there, sizeof there));
    return -ENOMEM;
}

int vs_fsdp_trainer_open(struct vs_fsdp_job *job, const struct vs_train_settings *s, struct vs_trainer *t)
{
    char why[200] = "";
    int err = vs_trainer_plan(t, s, job->device, job->context);
    if (!err) err = vs_shard_agree(t, why, sizeof why);
    if (*why) snprintf(job->why, sizeof job->why, "%s", why);
    if (!err) err = fits(job, t->arena.high);
    if (!err) err = vs_trainer_open(t);
    return vs_fsdp_trainer_failed(job, t, err, "trainer");
}

int vs_fsdp_largest(struct vs_fsdp_job *job, double *value)
{
    int err;
    double *all = vs_team_collect(job->ranks.team, value, sizeof *value, &err);
    for (size_t r = 0; !err && r < job->world; r++) *value = vs_fsdp_worse(*value, all[r]);
    free(all);
    return vs_fsdp_failed(job, err, "exchange between ranks");
}

void vs_fsdp_number(FILE *f, const char *key, double value)
{
    if (isfinite(value)) fprintf(f, ", \"%s\": %.17g", key, value);
    else fprintf(f, ", \"%s\": null", key);
}

/* ---- one rank ---- */

static int open_results(struct vs_fsdp_job *job)
{
    const struct vs_fsdp_options *o = job->o;
    const struct vs_train_model *m = &o->train.model;
    if (job->rank || !o->results) return 0;
    int fd = open(o->results, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    job->results = fd < 0 ? NULL : fdopen(fd, "w");
    if (!job->results) {
        snprintf(job->why, sizeof job->why, "--results %.150s: %s", o->results, strerror(errno));
        if (fd >= 0) close(fd);
        return -EIO;
    }
    fprintf(
        job->results,
        "{\"workload\": \"fsdp_norms\", \"mode\": \"%s\", \"world_size\": %zu, \"device\": \"%s\", \"dtype\": \"%s\"",
        vs_fsdp_part_name(o->part), job->world, job->device->kind, vs_train_dtype_name(o->train.dtype));
    fprintf(job->results,
            ", \"fault\": \"%s\", \"pid\": %d,\n \"config\": {\"llama\": %s, \"vocab_size\": %zu, \"hidden_dim\": %zu",
            vs_fsdp_fault_name(o->fault), (int)getpid(), m->llama ? "true" : "false", m->V, m->h);
    fprintf(job->results,
            ", \"num_layers\": %zu, \"num_heads\": %zu, \"num_kv_heads\": %zu, \"ffn_dim\": %zu, \"seq_len\": %zu",
            m->L, m->heads, m->kv_heads, m->ffn, m->T);
    fprintf(job->results, ", \"batch_size\": %zu, \"total_batch_size\": %zu, \"num_iter\": %zu, \"seed\": %llu}", m->B,
            m->B * job->world, o->iterations, (unsigned long long)o->train.seed);
    return 0;
}

static int close_results(struct vs_fsdp_job *job, bool passed)
{
    if (!job->results) return 0;
    fprintf(job->results, ",\n \"verdict\": \"%s\"}\n", passed ? "PASSED" : "FAILED");
    bool bad = ferror(job->results);
    if (!fclose(job->results) && !bad) return 0;
    fprintf(stderr, "fsdp_norms: --results %s cannot be written\n", job->o->results);
    return -EIO;
}

static int run(struct vs_fsdp_job *job)
{
    static int (*const parts[])(struct vs_fsdp_job * job) = {
#define X(name, verdict, what) vs_fsdp_##name,
        VS_FSDP_PARTS(X)
#undef X
    };
    int err = job->device->open(&job->context);
    if (err) return vs_fsdp_failed(job, err, "device");
    vs_fsdp_fault_prepare(job);
    err = open_results(job);
    if (!err) err = parts[job->o->part](job);
    int lost = close_results(job, !err);
    return err ? err : lost;
}

/* The exit status. */
static int take_part(const struct vs_fsdp_options *o, const struct vs_device *device)
{
    struct vs_fsdp_job job = {.o = o, .device = device};
    char words[2048];
    int err = vs_ranks_open(&job.ranks, &o->ranks, device, vs_fsdp_fingerprint(o, words, sizeof words));
    job.rank = job.ranks.shard.rank;
    job.world = job.ranks.shard.world;
    if (err) vs_ranks_fail(&job.ranks, "it could not start");
    else err = run(&job);
    if (*job.why) fprintf(stderr, "rank %zu: %s\n", job.rank, job.why);
    if (*job.why && err != -ECANCELED) vs_ranks_fail(&job.ranks, job.why);
    fflush(stdout); /* whoever ends the job later */
    device->close(job.context);
    vs_ranks_close(&job.ranks);
    return err ? 1 : 0;
}

/* ---- the verdict ---- */

static void tell(const struct vs_fsdp_options *o, int status)
{
    static const char *const names[] = {
#define X(name, verdict, what) verdict,
        VS_FSDP_PARTS(X)
#undef X
    };
    if (status == 2 || (o->part == VS_FSDP_performance && o->min_speedup <= 0))
        return; /* nothing ran; nothing was asked */
    printf("%s TEST %s\n", names[o->part], status ? "FAILED" : "PASSED");
}

static int rank_status(struct vs_fsdp_options *o)
{
    const struct vs_device *device = vs_device_choose("fsdp_norms", o->device);
    if (!device) return 1;
    int err = vs_fsdp_options_complete(o, device);
    return err ? err : take_part(o, device);
}

int vs_workload_fsdp_norms(int argc, char **argv)
{
    struct vs_fsdp_options o;
    struct vs_team_place place = {.launcher = ""};
    char why[256];
    int status, err = vs_fsdp_options_parse(&o, argc, argv);
    if (err) return err == 1 ? 0 : err;
    if (vs_ranks_launch(&o.ranks, argv - 1, &status)) { /* the program's own name is before the workload's */
        tell(&o, status);
        return status;
    }
    bool ours = !vs_team_place(&place, why, sizeof why) && !strcmp(place.launcher, "vramscope");
    status = rank_status(&o);
    if (!ours && place.rank == 0) tell(&o, status);
    return status;
}

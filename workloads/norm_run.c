/* SPDX-License-Identifier: MIT
 *
 * norm_run.c: one algorithm on one case from its workspace to its verdict.
 */
#include "workloads/norm_run.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/norm_resident.h"
#include "workloads/norm_time.h"

enum { SAMPLES_CUDA = 5, SAMPLES_CPU = 3 }; /* at least */

#define X(name) #name,
static const char *const groupings[] = {VS_NORM_GROUPINGS(X)};
static const char *const statuses[] = {VS_NORM_STATUSES(X)};
#undef X

const char *vs_norm_grouping_name(enum vs_norm_grouping grouping)
{
    return groupings[grouping];
}

const char *vs_norm_status_name(enum vs_norm_status status)
{
    return statuses[status];
}

void vs_norm_outcome_skip(struct vs_norm_outcome *out, const char *reason)
{
    double unknown = (double)NAN;
    struct vs_norm_outcome skipped = {.status = VS_NORM_skipped,
                                      .wrong = true,
                                      .median_ms = unknown,
                                      .call_ms = unknown,
                                      .min_ms = unknown,
                                      .error = unknown,
                                      .kappa = unknown,
                                      .recomputed = -1,
                                      .workspace_bytes = -1,
                                      .temporary_bytes = -1};
    snprintf(skipped.reason, sizeof skipped.reason, "%s", reason);
    *out = skipped;
}

/* ---- workspace ---- */

static struct vs_norms_call call_of(const struct vs_norm_case *c, bool each, size_t layer)
{
    return (struct vs_norms_call){
        .dtype = c->dtype, .layers = c->layers + layer, .count = each ? 1 : c->list->count, .context = c->context};
}

static size_t workspace_bytes(const struct vs_norm_case *c, const struct vs_norms_algorithm *a, bool each)
{
    size_t most = 0;
    for (size_t i = 0; i < (each ? c->list->count : 1); i++) {
        struct vs_norms_call call = call_of(c, each, i);
        size_t bytes = a->workspace_bytes(&call);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* The way out of a lack of memory: the algorithm that needs least of it, if that can be had. */
static void name_smaller(const struct vs_norm_case *c, bool each, size_t asked, char *why, size_t bytes)
{
    static const char *const names[] = {"gram_full", "gram", "direct", "materialize"};
    const char *best = NULL;
    size_t least = asked, used = strlen(why), available;
    char text[32];
    if (c->device->free_bytes(&available)) available = SIZE_MAX;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t other = workspace_bytes(c, c->device->norms(names[i]), each);
        if (other < least && other <= available) {
            least = other;
            best = names[i];
        }
    }
    if (best)
        snprintf(why + used, bytes - used, "; --algo %s needs %s", best, vs_buffer_text(least, text, sizeof text));
    else snprintf(why + used, bytes - used, "; try smaller --B or --T");
}

static int take_workspace(struct vs_norm_job *job, struct vs_buffer *memory, char *why, size_t why_bytes)
{
    const struct vs_norm_case *c = job->c;
    char name[64];
    snprintf(name, sizeof name, "workspace/%s", job->algorithm->name);
    int err = vs_buffer_ask(memory, c->device, job->workspace_bytes, name, why, why_bytes);
    if (err) {
        name_smaller(c, job->each, job->workspace_bytes, why, why_bytes);
        return err;
    }
    job->workspace = memory->data;
    return memory->data ? c->device->clear(memory->data, memory->bytes) : 0;
}

/* ---- what auto picks ---- */

static void add_pick(struct vs_norm_outcome *out, const char *name, size_t count)
{
    size_t used = strlen(out->choice);
    if (count) snprintf(out->choice + used, sizeof out->choice - used, "%s%s:%zu", used ? " " : "", name, count);
}

static void ask_choice(const struct vs_norm_job *job, struct vs_norm_outcome *out)
{
    static const char *const names[3] = {"gram", "direct", "materialize"}; /* in the order of expected_ms */
    const struct vs_norm_case *c = job->c;
    size_t picks[3] = {0};
    double ms[3];
    for (size_t i = 0; i < c->list->count; i++) {
        struct vs_norms_call call = call_of(c, job->each, job->each ? i : 0);
        call.workspace = job->workspace;
        call.workspace_bytes = job->workspace_bytes;
        const char *choice = c->device->choice(&call, job->each ? 0 : i, ms);
        for (int m = 0; m < 3; m++) picks[m] += !strcmp(choice, names[m]);
        if (c->list->count == 1) snprintf(out->choice, sizeof out->choice, "%s", choice);
    }
    for (int m = 0; c->list->count > 1 && m < 3; m++) add_pick(out, names[m], picks[m]);
    fprintf(stderr, "%s: %s", out->range, out->choice);
    for (int m = 0; c->list->count == 1 && m < 3; m++)
        if (isfinite(ms[m])) fprintf(stderr, "%s%s %.3g ms", m ? ", " : "; expected: ", names[m], ms[m]);
    fprintf(stderr, "\n");
}

/* ---- results ---- */

static void inspect(const struct vs_norm_job *job, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    const struct vs_norm_case *c = job->c;
    const double *n = (const double *)job->first, *absolute = n + c->sets * c->samples;
    const unsigned *recomputed = (const unsigned *)(absolute + c->samples);
    bool gram = !strncmp(how->algorithm, "gram", 4); /* others form no Gram matrix, or not of every layer */
    out->recomputed = 0;
    for (size_t i = 0; i < c->list->count; i++) out->recomputed += recomputed[i];
    for (size_t i = 0; how->kappa && gram && i < c->samples; i++)
        if (isfinite(n[i]) && n[i] > 0 && !(absolute[i] / n[i] <= out->kappa)) out->kappa = absolute[i] / n[i];
}

/* NaN: without an oracle, or where a norm is not finite that should be. The poisoned ones are left out. */
static double error_of(const struct vs_norm_case *c, const double *n)
{
    double worst = 0;
    for (size_t i = 0; c->oracle && i < c->samples && !isnan(worst); i++)
        if (!vs_norm_case_poisoned(c, i)) {
            double e = vs_norms_error(1, &n[i], &c->oracle[i]);
            if (!(e <= worst)) worst = e;
        }
    return c->oracle ? worst : (double)NAN;
}

static void judge(const struct vs_norm_job *job, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    const struct vs_norm_case *c = job->c;
    const double *n = (const double *)job->first;
    size_t infinite = 0, unexpected = 0, at = 0;
    for (size_t i = 0; i < c->samples; i++) {
        infinite += !isfinite(n[i]);
        if (!isfinite(n[i]) == vs_norm_case_poisoned(c, i)) continue;
        if (!unexpected++) at = i;
    }
    out->status = infinite ? VS_NORM_nonfinite : VS_NORM_ok;
    out->error = error_of(c, n);
    if (unexpected) {
        out->wrong = true;
        if (!infinite) out->status = VS_NORM_beyond_bound;
        snprintf(out->reason, sizeof out->reason, "sample %zu of layer %zu has %s", at % c->list->B, at / c->list->B,
                 isfinite(n[at]) ? "a NaN or Inf in its input and a finite norm"
                                 : "finite inputs and a norm that is not");
    } else if (!c->oracle) {
        out->wrong = how->check;
        out->status = VS_NORM_unchecked;
        snprintf(out->reason, sizeof out->reason, "%s", c->trouble);
    } else if (!(out->error <= how->bound)) {
        out->wrong = how->check;
        out->status = VS_NORM_beyond_bound;
        snprintf(out->reason, sizeof out->reason, "relative error %.2g, allowed %.2g", out->error, how->bound);
    } else if (infinite) {
        snprintf(out->reason, sizeof out->reason, "the norm of sample 0 is not finite, as --poison asks");
    }
}

/* ---- time ---- */

static int time_it(const struct vs_norm_job *job, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    struct vs_norm_samples calls, replays;
    bool graph = job->c->device->capture != NULL;
    size_t least = graph ? SAMPLES_CUDA : SAMPLES_CPU;
    int err = vs_norm_time_calls(job, how->iterations, graph ? how->seconds / 3 : how->seconds, least, &calls);
    if (!err && graph) err = vs_norm_time_replays(job, how->iterations, how->seconds * 2 / 3, least, &replays);
    if (err) return err;
    if (!graph) replays = calls;
    out->call_ms = calls.median_ms;
    out->median_ms = replays.median_ms;
    out->min_ms = replays.min_ms;
    out->samples = replays.count;
    out->temporary_bytes = replays.grown_bytes;
    return 0;
}

static int measure(struct vs_norm_job *job, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    const struct vs_norm_case *c = job->c;
    bool host = c->device == vs_device_cpu(); /* what a GPU's memory holds is for a recorder to say */
    struct vs_buffer workspace;
    char why[sizeof out->reason] = "";
    if (host) {
        malloc_trim(0); /* or pages that are free in the heap serve as a workspace, and nothing grows */
        job->before = vs_resident_begin();
    }
    int err = take_workspace(job, &workspace, why, sizeof why);
    if (!err && !strcmp(how->algorithm, "auto")) ask_choice(job, out);
    if (!err) err = vs_norm_first_pass(job, how->kappa);
    if (!err) err = c->device->download(job->first, c->norms.data, c->norms.bytes);
    if (!err) err = time_it(job, how, out);
    if (err == -EILSEQ) snprintf(out->reason, sizeof out->reason, "a later call gave other bits than the first one");
    else if (err) snprintf(out->reason, sizeof out->reason, "%s", *why ? why : vs_norm_error_text(c->device, err));
    vs_buffer_give(&workspace);
    return err;
}

static void name_range(const struct vs_norm_case *c, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    char text[64];
    snprintf(out->range, sizeof out->range, "norms %s %s %s%s%s", how->algorithm, vs_norms_dtype_name(c->dtype),
             vs_norm_list_text(c->list, text, sizeof text), how->grouping == VS_NORM_one ? "" : " ",
             how->grouping == VS_NORM_one ? "" : groupings[how->grouping]);
}

/* Of the benchmark, not of the algorithm: there, page by page, before anything is measured. */
static void *own(size_t bytes)
{
    void *memory = malloc(bytes);
    return memory ? memset(memory, 0xff, bytes) : NULL;
}

static bool job_open(struct vs_norm_job *job, const struct vs_norm_case *c, const struct vs_norm_how *how)
{
    *job = (struct vs_norm_job){.c = c,
                                .algorithm = c->device->norms(how->algorithm),
                                .each = how->grouping == VS_NORM_each,
                                .before = {-1, -1}};
    size_t samples = how->iterations ? how->iterations : VS_NORM_SAMPLES_MAX;
    job->workspace_bytes = workspace_bytes(c, job->algorithm, job->each);
    job->first = own(c->norms.bytes);
    job->again = own(c->norms.bytes);
    job->ms = own(samples * sizeof *job->ms);
    return job->first && job->again && job->ms;
}

static void job_close(struct vs_norm_job *job)
{
    free(job->first);
    free(job->again);
    free(job->ms);
}

void vs_norm_run(const struct vs_norm_case *c, const struct vs_norm_how *how, struct vs_norm_outcome *out)
{
    struct vs_norm_job job;
    vs_norm_outcome_skip(out, "no memory on the host"); /* until it is known better */
    if (job_open(&job, c, how)) {
        out->workspace_bytes = (long long)job.workspace_bytes;
        name_range(c, how, out);
        nvtxRangePushA(out->range);
        int err = measure(&job, how, out);
        nvtxRangePop();
        if (!err) {
            out->wrong = false;
            out->reason[0] = 0;
            inspect(&job, how, out);
            judge(&job, how, out);
        }
    }
    job_close(&job);
}

void vs_norm_warm_up(const struct vs_norm_case *c, const char *algorithm)
{
    struct vs_norm_job job;
    struct vs_buffer workspace = {0};
    const struct vs_norm_how how = {.algorithm = algorithm, .iterations = 1};
    char why[256];
    if (job_open(&job, c, &how) && take_workspace(&job, &workspace, why, sizeof why) == 0)
        vs_norm_first_pass(&job, false); /* if it fails, it fails again where that is reported */
    vs_buffer_give(&workspace);
    job_close(&job);
}

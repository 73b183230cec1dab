/* SPDX-License-Identifier: MIT
 *
 * fsdp_norms_show.c: what a correctness test found out, for people and as JSON, and whether all of it is within its tolerance.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "workloads/fsdp_norms_run.h"
#include "workloads/train_settings.h"

enum { COLUMNS = 4 }; /* modes beside each other */

static const struct {
    size_t offset;
    const char *name, *what;
} checks[] = {
#define X(field, what) {offsetof(struct vs_fsdp_errors, field), #field, what},
    VS_FSDP_CHECKS(X)
#undef X
};
enum { CHECKS = sizeof checks / sizeof *checks };

static double of(const struct vs_fsdp_errors *e, size_t check)
{
    return *(const double *)((const char *)e + checks[check].offset);
}

/* Below 0: nothing of it was looked at. */
static double largest(const struct vs_fsdp_check *c, size_t check, size_t *which)
{
    double most = -1;
    *which = 0;
    for (size_t i = 0; i < c->runs; i++) {
        double e = of(&c->run[i].errors, check);
        if (e <= most || isnan(most)) continue;
        most = e;
        *which = i;
    }
    return most;
}

static void show_head(const struct vs_fsdp_check *c)
{
    const struct vs_fsdp_job *job = c->job;
    const struct vs_train_model *m = &job->o->train.model;
    const struct vs_fsdp_reference *r = &c->reference;
    size_t clipped = 0;
    for (size_t b = 0; b < r->B; b++) clipped += r->norm[b] > r->bound;
    printf("%zu rank%s on %s, %s, %s V=%zu h=%zu heads=%zu L=%zu T=%zu, %zu samples a rank, bound %.6g: %zu of %zu "
           "samples are clipped\n",
           job->world, job->world == 1 ? "" : "s", job->device->kind, vs_train_dtype_name(job->o->train.dtype),
           m->llama ? "llama" : "lm", m->V, m->h, m->heads, m->L, m->T, m->B, r->bound, clipped, r->B);
    if (job->o->fault != VS_FSDP_FAULT_NONE)
        printf("fault of rank %zu: %s\n", job->world - 1, vs_fsdp_fault_name(job->o->fault));
}

/* The runs whose norms are in the table: the first of each mode. */
static size_t first_runs(const struct vs_fsdp_check *c, const struct vs_fsdp_run *out[VS_MODE_COUNT])
{
    size_t n = 0;
    for (size_t i = 0; i < c->runs; i++)
        if (c->run[i].first) out[n++] = &c->run[i];
    return n;
}

static void show_samples(const struct vs_fsdp_check *c)
{
    const struct vs_fsdp_run *runs[VS_MODE_COUNT];
    size_t count = first_runs(c, runs), B = c->reference.B, own = B / c->job->world;
    for (size_t at = 0; at < count; at += COLUMNS) {
        size_t end = at + COLUMNS < count ? at + COLUMNS : count;
        printf("\nnorms of step 1\n%4s %6s %14s", "rank", "sample", "float64");
        for (size_t i = at; i < end; i++) printf(" %13s %9s", vs_train_mode_name(runs[i]->mode), "error");
        printf("\n");
        for (size_t b = 0; b < B; b++) {
            printf("%4zu %6zu %14.8f", b / own, b % own, c->reference.norm[b]);
            for (size_t i = at; i < end; i++)
                printf(" %13.7f %9.1e", fabs(runs[i]->norm[b]),
                       fabs(vs_fsdp_relative(runs[i]->norm[b], c->reference.norm[b])));
            printf("\n");
        }
    }
}

static void show_error(double e)
{
    if (e < 0) printf(" %10s", "-");
    else printf(" %10.1e", fabs(e)); /* a NaN has a sign too */
}

static void show_runs(const struct vs_fsdp_check *c)
{
    printf("\nlargest relative errors of each run (gradients clipped; weights: their change by %zu steps; timing: norms against "
           "the mode's first run)\n"
           "%-9s %-10s %5s %5s %10s %10s %10s %10s\n",
           c->job->o->iterations, "mode", "norms", "noise", "steps", "norms", "gradients", "weights", "timing");
    for (size_t i = 0; i < c->runs; i++) {
        const struct vs_fsdp_run *run = &c->run[i];
        printf("%-9s %-10s %5g %5zu", vs_train_mode_name(run->mode),
               run->timing == VS_TIMING_usual ? "-" : vs_train_timing_name(run->timing),
               run->noisy ? c->job->o->train.noise : 0, run->steps);
        for (size_t k = 0; k < CHECKS; k++) show_error(of(&run->errors, k));
        printf("\n");
    }
}

static void show_largest(const struct vs_fsdp_check *c)
{
    printf("\nlargest relative error of all runs\n");
    for (size_t k = 0; k < CHECKS; k++) {
        size_t which;
        double e = largest(c, k, &which), most = of(&c->allowed, k);
        const struct vs_fsdp_run *run = &c->run[which];
        if (e < 0) {
            printf("  %-38s not looked at\n", checks[k].what);
            continue;
        }
        printf("  %-38s %8.1e (%s%s%s%s), allowed %.2g: %s\n", checks[k].what, fabs(e), vs_train_mode_name(run->mode),
               run->timing == VS_TIMING_usual ? "" : " ",
               run->timing == VS_TIMING_usual ? "" : vs_train_timing_name(run->timing),
               run->noisy ? ", with noise" : "", most, e <= most ? "ok" : "WRONG");
    }
}

static void write_samples(const struct vs_fsdp_check *c, FILE *f)
{
    const struct vs_fsdp_run *runs[VS_MODE_COUNT];
    size_t count = first_runs(c, runs), own = c->reference.B / c->job->world;
    fprintf(f, ",\n \"samples\": [");
    for (size_t b = 0; b < c->reference.B; b++) {
        fprintf(f, "%s\n  {\"rank\": %zu, \"sample\": %zu", b ? "," : "", b / own, b % own);
        vs_fsdp_number(f, "reference", c->reference.norm[b]);
        for (size_t i = 0; i < count; i++) vs_fsdp_number(f, vs_train_mode_name(runs[i]->mode), runs[i]->norm[b]);
        fprintf(f, "}");
    }
    fprintf(f, "]");
}

static void write_results(const struct vs_fsdp_check *c, FILE *f)
{
    vs_fsdp_number(f, "bound", c->reference.bound);
    for (size_t k = 0; k < CHECKS; k++) {
        char key[32];
        size_t which;
        double e = largest(c, k, &which);
        snprintf(key, sizeof key, "%s_error", checks[k].name);
        vs_fsdp_number(f, key, e < 0 ? (double)NAN : e);
        snprintf(key, sizeof key, "%s_allowed", checks[k].name);
        vs_fsdp_number(f, key, of(&c->allowed, k));
    }
    write_samples(c, f);
    fprintf(f, ",\n \"runs\": [");
    for (size_t i = 0; i < c->runs; i++) {
        const struct vs_fsdp_run *run = &c->run[i];
        fprintf(f, "%s\n  {\"mode\": \"%s\", \"norm_timing\": \"%s\", \"steps\": %zu, \"clipped\": %zu", i ? "," : "",
                vs_train_mode_name(run->mode), vs_train_timing_name(run->timing), run->steps, run->clipped);
        vs_fsdp_number(f, "noise_multiplier", run->noisy ? c->job->o->train.noise : 0);
        for (size_t k = 0; k < CHECKS; k++) {
            double e = of(&run->errors, k);
            vs_fsdp_number(f, checks[k].name, e < 0 ? (double)NAN : e);
        }
        fprintf(f, "}");
    }
    fprintf(f, "]");
}

bool vs_fsdp_check_show(const struct vs_fsdp_check *c)
{
    bool passed = true;
    size_t which;
    for (size_t k = 0; k < CHECKS; k++) passed = passed && largest(c, k, &which) <= of(&c->allowed, k);
    if (c->job->rank) return passed;
    show_head(c);
    show_samples(c);
    show_runs(c);
    show_largest(c);
    if (c->job->results) write_results(c, c->job->results);
    return passed;
}

/* SPDX-License-Identifier: MIT
 *
 * norms.c: the norms workload: runs each algorithm on each case. Results go to stdout and the file of results, everything else
 * to stderr. What fails for one case or algorithm is said, and the others still run.
 */
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "workloads/device_choice.h"
#include "workloads/norm_run.h"
#include "workloads/norm_settings.h"
#include "workloads/norm_table.h"
#include "workloads/workload.h"

/* What is taken in larger pieces comes from the system and goes back to it, unless the heap has a free piece that is as large:
 * norm_run.c empties the heap before it measures growth. */
enum { OWN_PAGES_BYTES = 64 << 10 };

struct bench {
    const struct vs_norm_settings *settings;
    const struct vs_device *device;
    void *context;
    FILE *csv;
    enum vs_norms_dtype dtype; /* of the cases now */
    double ceiling;
    unsigned rows, wrong;
};

/* 0, or 1 when results cannot be written any more. */
static int give(struct bench *b, const struct vs_norm_list *list, const struct vs_norm_how *how,
                const struct vs_norm_outcome *outcome)
{
    struct vs_norm_row row = {b->device->kind, b->dtype, list, how, outcome, b->ceiling};
    char text[64];
    if (*outcome->reason && *outcome->range)
        fprintf(stderr, "%s: %s: %s\n", outcome->range, vs_norm_status_name(outcome->status), outcome->reason);
    else if (*outcome->reason)
        fprintf(stderr, "norms %s %s %s: %s: %s\n", how->algorithm, vs_norms_dtype_name(b->dtype),
                vs_norm_list_text(list, text, sizeof text), vs_norm_status_name(outcome->status), outcome->reason);
    b->rows++;
    b->wrong += outcome->wrong;
    int err = vs_norm_table_row(b->csv, &row);
    if (err) fprintf(stderr, "norms: %s: %s\n", b->settings->results, strerror(-err));
    return err ? 1 : 0;
}

/* Each algorithm on the case, or the reason why there is no case. */
static int run_algorithms(struct bench *b, const struct vs_norm_list *list, const struct vs_norm_case *c,
                          const char *trouble)
{
    const struct vs_norm_settings *s = b->settings;
    double bound = s->bound > 0 ? s->bound : vs_norms_dtype_bound(b->dtype);
    enum vs_norm_grouping first = list->preset ? VS_NORM_grouped : VS_NORM_one,
                          last = list->preset ? VS_NORM_each : VS_NORM_one;
    int err = 0;
    for (size_t i = 0; i < s->algorithms.count; i++)
        for (enum vs_norm_grouping g = first; !err && g <= last; g++) {
            struct vs_norm_how how = {s->algorithms.value[i], g, s->iterations, s->seconds, bound, s->check, s->kappa};
            struct vs_norm_outcome outcome;
            if (trouble) vs_norm_outcome_skip(&outcome, trouble);
            else vs_norm_run(c, &how, &outcome);
            err = give(b, list, &how, &outcome);
        }
    return err;
}

static int run_case(void *state, const struct vs_norm_list *list)
{
    struct bench *b = state;
    struct vs_norm_case c;
    const struct vs_norm_inputs inputs = {b->settings->seed, b->settings->poison, true};
    int trouble = vs_norm_case_open(&c, list, b->dtype, b->device, b->context, &inputs);
    int err = run_algorithms(b, list, &c, trouble ? c.trouble : NULL);
    vs_norm_case_close(&c);
    return err;
}

/* Libraries load code and take memory with their first call. */
static void warm_up(const struct bench *b)
{
    struct vs_norm_list list;
    struct vs_norm_case c;
    const struct vs_norm_inputs inputs = {0};
    vs_norm_list_one(&list, 1, 256, 256, 256);
    if (vs_norm_case_open(&c, &list, b->dtype, b->device, b->context, &inputs) == 0) {
        vs_norm_warm_up(&c, "reference");
        for (size_t i = 0; i < b->settings->algorithms.count; i++)
            vs_norm_warm_up(&c, b->settings->algorithms.value[i]);
    }
    vs_norm_case_close(&c);
}

static void measure_device(struct bench *b)
{
    const char *dtype = vs_norms_dtype_name(b->dtype);
    bool automatic = false;
    for (size_t i = 0; i < b->settings->algorithms.count; i++)
        automatic |= !strcmp(b->settings->algorithms.value[i], "auto");
    if (b->device->ceiling(b->context, b->dtype, &b->ceiling)) {
        b->ceiling = (double)NAN;
        fprintf(stderr, "norms: %s: no floor, the rate of a large product is not known: %s\n", dtype,
                b->device->last_error());
    } else {
        fprintf(stderr, "norms: %s: a large product reaches %.4g TFLOP/s\n", dtype, b->ceiling / 1e12);
    }
    if (automatic && b->device->calibrate(b->context, b->dtype))
        fprintf(stderr, "norms: %s: auto decides by the figures of another machine: %s\n", dtype,
                b->device->last_error());
}

static int run_all(struct bench *b)
{
    int err = 0;
    printf("device: %s, %s\n", b->device->kind, b->device->describe(b->context));
    vs_norm_table_head();
    for (size_t i = 0; !err && i < b->settings->dtypes.count; i++) {
        b->dtype = (enum vs_norms_dtype)vs_norms_dtype_find(b->settings->dtypes.value[i]);
        measure_device(b);
        warm_up(b);
        err = vs_norm_settings_visit(b->settings, run_case, b);
    }
    if (b->wrong) fprintf(stderr, "norms: %u of %u results are missing or wrong\n", b->wrong, b->rows);
    return err || b->wrong;
}

int vs_workload_norms(int argc, char **argv)
{
    struct vs_norm_settings s;
    struct bench b = {.settings = &s};
    int err = vs_norm_settings_parse(&s, argc, argv);
    if (err) return err == 1 ? 0 : err;
    b.device = vs_device_choose("norms", s.device);
    if (!b.device) return 1;
    mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
    err = vs_norm_settings_complete(&s, b.device);
    if (err) return err;
    if (b.device->open(&b.context)) {
        fprintf(stderr, "norms: %s\n", b.device->last_error());
        return 1;
    }
    err = s.results ? vs_norm_table_open(&b.csv, s.results) : 0;
    if (err) fprintf(stderr, "norms: --results %s: %s\n", s.results, strerror(-err));
    else err = run_all(&b);
    int lost = vs_norm_table_close(b.csv);
    if (lost) fprintf(stderr, "norms: %s: %s\n", s.results, strerror(-lost));
    b.device->close(b.context);
    return err || lost;
}

/* SPDX-License-Identifier: MIT
 *
 * norm_time.c: calls, replays and medians. A sample is one pass over all sets of inputs.
 */
#include "workloads/norm_time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int run_set(const struct vs_norm_job *job, const struct vs_norms_layer *layers, unsigned *recomputed,
                   void *stream)
{
    size_t count = job->c->list->count, step = job->each ? 1 : count;
    struct vs_norms_call call = {.dtype = job->c->dtype,
                                 .count = step,
                                 .workspace = job->workspace,
                                 .workspace_bytes = job->workspace_bytes,
                                 .context = job->c->context,
                                 .stream = stream};
    int err = 0;
    for (size_t i = 0; !err && i < count; i += step) {
        call.layers = layers + i;
        call.recomputed = recomputed ? recomputed + i : NULL;
        err = job->algorithm->run(&call);
    }
    return err;
}

static int pass(const struct vs_norm_job *job, size_t from, void *stream)
{
    int err = 0;
    for (size_t s = from; !err && s < job->c->sets; s++)
        err = run_set(job, job->c->layers + s * job->c->list->count, NULL, stream);
    return err;
}

int vs_norm_first_pass(const struct vs_norm_job *job, bool absolute)
{
    const struct vs_norm_case *c = job->c;
    struct vs_norms_layer layers[VS_NORM_LAYERS_MAX];
    int err = c->device->clear(c->norms.data,
                               c->norms.bytes); /* counters of layers that are not counted by themselves are 0 */
    for (size_t i = 0; i < c->list->count; i++) {
        layers[i] = c->layers[i];
        if (absolute) layers[i].absolute = c->absolute + i * c->list->B;
    }
    if (!err) err = run_set(job, layers, c->recomputed, NULL);
    if (!err) err = pass(job, 1, NULL);
    return err ? err : c->device->wait(NULL);
}

/* The results were cleared since: what is there now was computed now. */
static int compare(const struct vs_norm_job *job)
{
    const struct vs_norm_case *c = job->c;
    size_t bytes = c->sets * c->samples * sizeof(double);
    int err = c->device->download(job->again, c->norms.data, bytes);
    return err ? err : memcmp(job->first, job->again, bytes) ? -EILSEQ : 0;
}

static int one_sample(const struct vs_norm_job *job, void *graph, double *ms)
{
    const struct vs_device *device = job->c->device;
    int err = device->start(job->c->context, NULL);
    if (!err) err = graph ? device->replay(job->c->context, graph, NULL) : pass(job, 0, NULL);
    return err ? err : device->stop(job->c->context, NULL, ms);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int sample(const struct vs_norm_job *job, void *graph, size_t wanted, double seconds, size_t least,
                  struct vs_norm_samples *out)
{
    const struct vs_norm_case *c = job->c;
    size_t most = wanted ? wanted : VS_NORM_SAMPLES_MAX, n = 0;
    double *ms = job->ms, total = 0, sets = (double)c->sets;
    int err = c->device->clear(c->norms.data, c->norms.bytes);
    while (!err && n < most && (wanted || n < least || total < seconds * 1e3)) {
        err = one_sample(job, graph, &ms[n]);
        total += ms[n++];
    }
    if (!err) err = compare(job);
    if (!err) {
        long long grown = vs_resident_growth(&job->before); /* sorting takes memory, too */
        qsort(ms, n, sizeof *ms, ascending);
        *out = (struct vs_norm_samples){n, (ms[(n - 1) / 2] + ms[n / 2]) / 2 / sets, ms[0] / sets, grown};
    }
    return err;
}

int vs_norm_time_calls(const struct vs_norm_job *job, size_t wanted, double seconds, size_t least,
                       struct vs_norm_samples *out)
{
    return sample(job, NULL, wanted, seconds, least, out);
}

/* A capture that began must end, whatever happened in between. */
static int capture(const struct vs_norm_job *job, void **graph)
{
    const struct vs_device *device = job->c->device;
    void *stream = NULL;
    int err = device->capture(job->c->context, &stream);
    if (err) return err;
    err = pass(job, 0, stream);
    int end = device->captured(job->c->context, graph);
    return err ? err : end;
}

int vs_norm_time_replays(const struct vs_norm_job *job, size_t wanted, double seconds, size_t least,
                         struct vs_norm_samples *out)
{
    const struct vs_device *device = job->c->device;
    void *graph = NULL;
    double warm;
    int err = capture(job, &graph);
    if (!err) err = one_sample(job, graph, &warm); /* the first one also moves the graph to the device */
    if (!err) err = sample(job, graph, wanted, seconds, least, out);
    device->forget(graph);
    return err;
}

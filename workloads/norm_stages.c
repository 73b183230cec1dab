/* SPDX-License-Identifier: MIT
 *
 * norm_stages.c: the stages in order, timed by events. An all-reduce aside takes the samples in two parts: the sums of the first travel
 * while those of the second are made.
 */
#include "workloads/norm_stages.h"

#include <errno.h>
#include <nvtx3/nvToolsExt.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256 };

static const char *const names[] = {
#define X(name, what) #name,
    VS_NORM_ALLREDUCES(X)
#undef X
};

const char *vs_norm_allreduce_name(enum vs_norm_allreduce a)
{
    return names[a];
}

int vs_norm_allreduce_find(const char *name)
{
    for (int i = 0; i < VS_NORM_ALLREDUCE_COUNT; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

double *vs_stages_layer(const struct vs_stages *s, size_t layer)
{
    return (double *)((char *)s->squares + layer * s->row);
}

/* Places in one block of memory; returns how large it is. */
static size_t cut(struct vs_stages *s, char *base)
{
    size_t layers = s->settings.layers, B = s->settings.B, at = 0;
    const struct {
        void **to;
        size_t bytes;
    } parts[] = {{&s->squares, layers * s->row},           {&s->list, layers * sizeof(double *)},
                 {&s->stack, layers * B * sizeof(double)}, {&s->wire, B * sizeof(float)},
                 {&s->norm, B * sizeof(double)},           {&s->c, B * sizeof(float)}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].to = base ? base + at : NULL;
        at += round_up(parts[i].bytes);
    }
    return at;
}

static int list_layers(struct vs_stages *s)
{
    size_t count = s->settings.layers;
    double **list = calloc(count, sizeof *list);
    if (!list) return -ENOMEM;
    for (size_t l = 0; l < count; l++) list[l] = vs_stages_layer(s, l);
    int err = s->settings.device->upload(s->list, list, count * sizeof *list);
    free(list);
    return err;
}

int vs_stages_open(struct vs_stages *s, const struct vs_stages_settings *settings)
{
    const struct vs_device *device = settings->device;
    const struct vs_queue *q = device->queue;
    *s = (struct vs_stages){.settings = *settings, .row = round_up(settings->B * sizeof(double))};
    int err = device->alloc(cut(s, NULL), &s->memory);
    if (err) return err;
    cut(s, s->memory);
    err = list_layers(s);
    if (!err && settings->how == VS_NORM_ALLREDUCE_async) err = q->open(&s->aside, true);
    for (int p = 0; p < VS_STAGE_PARTS; p++)
        for (int i = 0; !err && i < VS_STAGE_EVENTS; i++) err = q->event_open(&s->event[p][i], true);
    return err ? err : q->event_open(&s->end, true);
}

void vs_stages_close(struct vs_stages *s)
{
    const struct vs_device *device = s->settings.device;
    if (!device) return;
    if (s->aside) device->wait(s->aside); /* an aborted communicator's comes back too */
    if (s->memory) device->wait(NULL);
    device->queue->close(s->aside);
    for (int p = 0; p < VS_STAGE_PARTS; p++)
        for (int i = 0; i < VS_STAGE_EVENTS; i++) device->queue->event_close(s->event[p][i]);
    device->queue->event_close(s->end);
    device->release(s->memory);
    memset(s, 0, sizeof *s);
}

int vs_stages_load(struct vs_stages *s, const double *squares)
{
    int err = 0;
    for (size_t l = 0; !err && l < s->settings.layers; l++)
        err = s->settings.device->upload(vs_stages_layer(s, l), squares + l * s->settings.B,
                                         s->settings.B * sizeof *squares);
    return err;
}

/* ---- one run ---- */

static struct vs_norm_stage stage(const struct vs_stages *s, size_t first, size_t count)
{
    return (struct vs_norm_stage){.layers = s->settings.layers,
                                  .B = s->settings.B,
                                  .first = first,
                                  .count = count,
                                  .layer = s->list,
                                  .stack = s->stack,
                                  .wire = s->wire,
                                  .dtype = s->settings.how == VS_NORM_ALLREDUCE_fp16 ? VS_COMM_fp16 : VS_COMM_fp32,
                                  .bound = s->settings.bound,
                                  .norm = s->norm,
                                  .c = s->c};
}

static int add_up(struct vs_stages *s, const struct vs_norm_stage *p, void *const event[VS_STAGE_EVENTS])
{
    const struct vs_device *device = s->settings.device;
    void *sums = (char *)p->wire + p->first * vs_comm_dtype_bytes(p->dtype);
    int err = s->aside ? device->queue->follow(s->aside, event[VS_STAGE_SUMMED]) : 0;
    if (!err) err = device->queue->record(event[VS_STAGE_SENT], s->aside);
    if (!err && s->settings.comm) {
        nvtxRangePushA("all-reduce");
        err = device->comm->all_reduce(s->settings.comm, sums, sums, p->count, p->dtype, s->aside);
        nvtxRangePop();
    }
    return err ? err : device->queue->record(event[VS_STAGE_ARRIVED], s->aside);
}

static int sum_part(struct vs_stages *s, const struct vs_norm_stage *p, void *const event[VS_STAGE_EVENTS])
{
    const struct vs_device *device = s->settings.device;
    const struct vs_norm_stages *run = device->norm_stages;
    int err = device->queue->record(event[VS_STAGE_BEGIN], NULL);
    nvtxRangePushA("stack");
    if (!err) err = run->stack(p);
    nvtxRangePop();
    if (!err) err = device->queue->record(event[VS_STAGE_STACKED], NULL);
    nvtxRangePushA("local compute");
    if (!err) err = run->local(p);
    nvtxRangePop();
    if (!err) err = device->queue->record(event[VS_STAGE_SUMMED], NULL);
    return err ? err : add_up(s, p, event);
}

static int finish(struct vs_stages *s, void *arrived)
{
    const struct vs_device *device = s->settings.device;
    struct vs_norm_stage all = stage(s, 0, s->settings.B);
    int err = s->aside ? device->queue->follow(NULL, arrived) : 0;
    nvtxRangePushA("final compute");
    if (!err) err = device->norm_stages->finish(&all);
    nvtxRangePop();
    if (!err) err = device->queue->record(s->end, NULL);
    return err ? err : device->wait(NULL);
}

static int add_times(struct vs_stages *s, void *const event[VS_STAGE_EVENTS], struct vs_stage_times *out)
{
    const struct vs_queue *q = s->settings.device->queue;
    double stack, local, all_reduce;
    int err = q->ms(event[VS_STAGE_BEGIN], event[VS_STAGE_STACKED], &stack);
    if (!err) err = q->ms(event[VS_STAGE_STACKED], event[VS_STAGE_SUMMED], &local);
    if (!err) err = q->ms(event[VS_STAGE_SENT], event[VS_STAGE_ARRIVED], &all_reduce);
    if (err) return err;
    out->stack += stack;
    out->local += local;
    out->all_reduce += s->settings.comm ? all_reduce : 0;
    return 0;
}

int vs_stages_run(struct vs_stages *s, struct vs_stage_times *out)
{
    const struct vs_queue *q = s->settings.device->queue;
    size_t B = s->settings.B, parts = s->settings.how == VS_NORM_ALLREDUCE_async && B > 1 ? VS_STAGE_PARTS : 1;
    int err = 0;
    *out = (struct vs_stage_times){0};
    for (size_t p = 0; !err && p < parts; p++) {
        struct vs_norm_stage part = stage(s, p * B / parts, (p + 1) * B / parts - p * B / parts);
        err = sum_part(s, &part, s->event[p]);
    }
    if (!err) err = finish(s, s->event[parts - 1][VS_STAGE_ARRIVED]);
    for (size_t p = 0; !err && p < parts; p++) err = add_times(s, s->event[p], out);
    if (!err) err = q->ms(s->event[parts - 1][VS_STAGE_ARRIVED], s->end, &out->finish);
    return err ? err : q->ms(s->event[0][VS_STAGE_BEGIN], s->end, &out->total);
}

int vs_stages_read(struct vs_stages *s, double *norm, float *c)
{
    int err = s->settings.device->download(norm, s->norm, s->settings.B * sizeof *norm);
    return err || !c ? err : s->settings.device->download(c, s->c, s->settings.B * sizeof *c);
}

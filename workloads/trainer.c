/* SPDX-License-Identifier: MIT
 *
 * trainer.c: a trainer from its plan to its end, and its batches.
 */
#include "workloads/trainer_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One step on memory that does not exist, to see what it takes. */
static int rehearse(struct vs_trainer *t)
{
    int err = vs_arena_plan(&t->arena, t->device);
    if (!err) err = vs_train_take_all(t);
    if (!err) err = vs_trainer_load(t, 0);
    if (!err) err = vs_trainer_step(t);
    t->step = 0;
    vs_train_give_all(t);
    return err;
}

/* The first time the size of the norms' workspace is not known, nor which unit is needed next. */
int vs_train_rehearse(struct vs_trainer *t)
{
    t->norm_workspace_bytes = 0;
    vs_shard_forget(t);
    int err = rehearse(t);
    vs_arena_close(&t->arena);
    return err ? err : rehearse(t);
}

int vs_trainer_plan(struct vs_trainer *t, const struct vs_train_settings *settings, const struct vs_device *device, void *context)
{
    memset(t, 0, sizeof *t);
    t->settings = *settings;
    t->device = device;
    t->on = (struct vs_train_on){.dtype = settings->dtype, .context = context};
    vs_train_layout(&settings->model, &t->layout);
    int err = settings->ranks ? vs_shard_open(t) : 0;
    if (!err && settings->timing == VS_TIMING_overlapped) err = vs_train_aside_open(t);
    if (err) return err;
    t->unit = calloc(t->layout.units, sizeof *t->unit);
    t->sum = calloc(t->layout.units, sizeof *t->sum);
    t->block = calloc(settings->model.L, sizeof *t->block);
    t->sample = calloc(settings->model.B, sizeof *t->sample);
    if (!t->unit || !t->sum || !t->block || !t->sample) return -ENOMEM;
    vs_train_plan_of(settings, &t->plan);
    if (settings->mode == VS_MODE_auto && t->plan.semantics == VS_TRAIN_book_keeping) return vs_train_choose(t);
    return vs_train_rehearse(t);
}

static int fill(struct vs_trainer *t, size_t unit, enum vs_train_tensor id)
{
    const struct vs_train_place *p = &vs_train_unit_of(&t->layout, unit)->tensor[id];
    const struct vs_train_weights *w = &t->unit[unit];
    struct vs_train_part own[VS_TRAIN_PARTS];
    size_t count = vs_train_own(t, unit, own);
    bool ends = id == VS_TENSOR_O || id == VS_TENSOR_DOWN; /* they add to the residual stream, 2 L times */
    double std = id >= VS_TRAIN_MATRICES ? 0 : ends ? 0.02 / sqrt(2.0 * (double)t->settings.model.L) : 0.02;
    double value = id == VS_TENSOR_NORM1 || id == VS_TENSOR_NORM2 || id == VS_TENSOR_NORM_END;
    int err = 0;
    for (size_t i = 0; !err && i < count; i++) {
        struct vs_train_part in = vs_train_part_in(&own[i], p);
        if (!in.count) continue;
        err = t->device->train->fill(&t->on, vs_train_at(w->weight, in.at, vs_train_W(t)), vs_train_at(w->working, in.at, vs_train_E(t)),
                                     in.count, in.key, t->settings.seed, std, value);
    }
    return err;
}

static int make_weights(struct vs_trainer *t)
{
    int err = 0;
    for (size_t u = 0; !err && u < t->layout.units; u++) {
        struct vs_train_weights *w = &t->unit[u];
        size_t bytes = vs_train_own_count(t, u) * vs_train_W(t);
        for (int i = 0; !err && i < VS_TRAIN_TENSORS_COUNT; i++) err = fill(t, u, (enum vs_train_tensor)i);
        if (!err && w->m) err = t->device->train->zero(&t->on, w->m, bytes);
        if (!err && w->v) err = t->device->train->zero(&t->on, w->v, bytes);
    }
    return err ? err : t->device->wait(t->on.stream);
}

int vs_trainer_open(struct vs_trainer *t)
{
    int err = vs_shard_start(t);
    if (!err) err = vs_train_aside_start(t);
    if (!err) err = vs_arena_fix(&t->arena);
    if (!err) err = vs_train_take_all(t);
    return err ? err : make_weights(t);
}

void vs_trainer_close(struct vs_trainer *t)
{
    if (t->arena.block && !t->arena.planning) {
        if (t->arena.base) t->device->wait(t->on.stream);
        vs_train_give_all(t);
    }
    vs_shard_close(t);
    vs_train_aside_close(t);
    vs_train_profile_close(t);
    vs_arena_close(&t->arena);
    free(t->unit);
    free(t->sum);
    free(t->block);
    free(t->sample);
    free(t->kept);
    memset(t, 0, sizeof *t);
}

/* ---- batches ---- */

/* How the block of inputs is cut: the batch, its rows by id, and those of each sample. */
struct inputs {
    int64_t *ids, *targets, *positions;
    int32_t *order, *first, *sample_order, *sample_first;
};

static struct inputs cut(const struct vs_train_model *m, void *base)
{
    size_t tokens = m->B * m->T;
    struct inputs in = {.ids = base};
    in.targets = in.ids + tokens;
    in.positions = in.targets + tokens;
    in.order = (int32_t *)(in.positions + tokens);
    in.first = in.order + tokens;
    in.sample_order = in.first + tokens + 1;
    in.sample_first = in.sample_order + tokens;
    return in;
}

size_t vs_train_input_bytes(const struct vs_train_model *m)
{
    size_t tokens = m->B * m->T;
    return 3 * tokens * sizeof(int64_t) + (4 * tokens + 1 + m->B) * sizeof(int32_t);
}

/* Rows by id, equal ones in their order; returns how many ids there are. count: V zeros, and again zeros afterwards. */
static size_t sort_rows(const int64_t *ids, size_t rows, size_t V, int32_t *count, int32_t *order, int32_t *first)
{
    size_t distinct = 0;
    for (size_t r = 0; r < rows; r++) count[ids[r]]++;
    int32_t at = 0;
    for (size_t v = 0; v < V; v++) {
        int32_t n = count[v];
        count[v] = at;
        if (n) first[distinct++] = at;
        at += n;
    }
    first[distinct] = at;
    for (size_t r = 0; r < rows; r++) order[count[ids[r]]++] = (int32_t)r;
    memset(count, 0, V * sizeof *count);
    return distinct;
}

static struct vs_train_ids ids_of(const struct inputs *in, size_t first_row, const int32_t *order, const int32_t *first, size_t distinct)
{
    return (struct vs_train_ids){.ids = in->ids + first_row, .order = order, .first = first, .distinct = distinct};
}

/* Sorts, and uploads the whole. */
static int place(struct vs_trainer *t, struct inputs *host)
{
    const struct vs_train_model *m = &t->settings.model;
    struct inputs device = cut(m, t->ids_memory);
    int32_t *count = calloc(m->V, sizeof *count);
    if (!count) return -ENOMEM;
    for (size_t r = 0; r < m->B * m->T; r++) host->positions[r] = (int64_t)(r % m->T);
    size_t distinct = sort_rows(host->ids, m->B * m->T, m->V, count, host->order, host->first);
    t->batch = (struct vs_train_batch){.B = m->B,
                                       .ids = device.ids,
                                       .targets = device.targets,
                                       .positions = device.positions,
                                       .all = ids_of(&device, 0, device.order, device.first, distinct),
                                       .sample = t->sample};
    for (size_t b = 0; b < m->B; b++) {
        size_t row = b * m->T, run = b * (m->T + 1);
        distinct = sort_rows(host->ids + row, m->T, m->V, count, host->sample_order + row, host->sample_first + run);
        t->sample[b] = ids_of(&device, row, device.sample_order + row, device.sample_first + run, distinct);
    }
    free(count);
    return t->arena.planning ? 0 : t->device->upload(t->ids_memory, host->ids, vs_train_input_bytes(m));
}

static uint64_t mix(uint64_t begin, uint64_t i) /* the i-th number of Vigna's splitmix64 */
{
    uint64_t z = begin + (i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The numbers of the whole batch, of which each rank takes its own: ids of all samples, then targets of all. */
int vs_trainer_load(struct vs_trainer *t, uint64_t which)
{
    const struct vs_train_model *m = &t->settings.model;
    const struct vs_shard_ranks *ranks = t->settings.ranks;
    size_t mine = m->B * m->T, all = mine * (ranks ? ranks->world : 1), first = mine * (ranks ? ranks->rank : 0);
    void *memory = malloc(vs_train_input_bytes(m));
    if (!memory) return -ENOMEM;
    struct inputs host = cut(m, memory);
    const uint64_t begin = t->settings.seed * 0x2545f4914f6cdd1d + which;
    for (size_t i = 0; i < mine; i++) host.ids[i] = (int64_t)(mix(begin, first + i) % m->V);
    for (size_t i = 0; i < mine; i++) host.targets[i] = (int64_t)(mix(begin, all + first + i) % m->V);
    int err = place(t, &host);
    free(memory);
    return err;
}

int vs_trainer_load_ids(struct vs_trainer *t, const int64_t *ids, const int64_t *targets)
{
    const struct vs_train_model *m = &t->settings.model;
    void *memory = malloc(vs_train_input_bytes(m));
    if (!memory) return -ENOMEM;
    struct inputs host = cut(m, memory);
    memcpy(host.ids, ids, m->B * m->T * sizeof *ids);
    memcpy(host.targets, targets, m->B * m->T * sizeof *targets);
    int err = place(t, &host);
    free(memory);
    return err;
}

int vs_trainer_read(struct vs_trainer *t, double *loss, double *norm, float *c)
{
    size_t B = t->settings.model.B;
    double *values = malloc(B * sizeof *values);
    if (!values) return -ENOMEM;
    int err = t->device->wait(t->on.stream);
    if (!err) err = t->device->download(values, t->sample_loss, B * sizeof *values);
    *loss = 0;
    for (size_t b = 0; b < B; b++) *loss += values[b] / (double)B;
    free(values);
    if (!err && norm && t->norm) err = t->device->download(norm, t->norm, B * sizeof *norm);
    if (!err && c && t->c) err = t->device->download(c, t->c, B * sizeof *c);
    return err;
}

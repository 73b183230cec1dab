/* SPDX-License-Identifier: MIT
 *
 * norm_case.c: lays out the inputs of a case in two blocks of the device's memory, fills them, and asks the oracle.
 */
#include "workloads/norm_case.h"

#include <errno.h>
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/norm_input.h"

/* Twice the largest cache of a GPU: a call that follows all others finds none of its inputs there. */
#define ROTATION_BYTES ((size_t)256 << 20)
enum { SETS_MAX = 1024 };

static const struct {
    bool in_G, is_nan;
} poisons[] = {
#define X(id, name, in_G, is_nan) [VS_NORM_##id] = {in_G, is_nan},
    VS_NORM_POISONS(X)
#undef X
};

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

const char *vs_norm_error_text(const struct vs_device *device, int err)
{
    switch (err) {
    case -ENOTSUP: return "this device cannot compute with this element type";
    case -EOVERFLOW: return "too large for the index type of the library it uses";
    case -EINVAL: return "the algorithm refuses these layers";
    case -ENOBUFS: return "the algorithm wants more workspace than it said";
    default: return device->last_error();
    }
}

/* Of one set, with a shared input counted once. */
static void measure(const struct vs_norm_case *c, size_t *A_bytes, size_t *G_bytes, size_t *largest)
{
    size_t rows = c->list->B * c->list->T, element = vs_norms_dtype_bytes(c->dtype);
    *A_bytes = *G_bytes = *largest = 0;
    for (size_t i = 0; i < c->list->count; i++) {
        const struct vs_norm_width *w = &c->list->layer[i];
        size_t wider = rows * (w->d > w->p ? w->d : w->p);
        if (!w->shared) *A_bytes += aligned(rows * w->d * element);
        *G_bytes += aligned(rows * w->p * element);
        if (wider > *largest) *largest = wider;
    }
}

/* At most half of what is free goes to inputs that only serve to rotate. */
static size_t count_sets(const struct vs_norm_case *c, size_t set_bytes)
{
    size_t available;
    char text[32];
    if (!c->device->capture) return 1; /* the CPU */
    size_t sets = (ROTATION_BYTES + set_bytes - 1) / set_bytes;
    sets = sets < 2 ? 2 : sets > SETS_MAX ? SETS_MAX : sets;
    if (c->device->free_bytes(&available) == 0 && sets * set_bytes > available / 2) sets = available / 2 / set_bytes;
    if (sets < 1) sets = 1;
    if (sets < 2 || sets * set_bytes < ROTATION_BYTES)
        fprintf(stderr, "norms: inputs rotate over %zu set%s of %s: calls may find some of theirs in the GPU's cache\n",
                sets, sets == 1 ? "" : "s", vs_buffer_text(set_bytes, text, sizeof text));
    return sets;
}

static int ask(struct vs_norm_case *c, struct vs_buffer *memory, size_t bytes, const char *name)
{
    int err = vs_buffer_ask(memory, c->device, bytes, name, c->trouble, sizeof c->trouble);
    size_t used = strlen(c->trouble);
    if (err) snprintf(c->trouble + used, sizeof c->trouble - used, "; try smaller --B or --T");
    return err;
}

static int take_norms(struct vs_norm_case *c)
{
    size_t doubles = (c->sets + 1) * c->samples;
    int err = ask(c, &c->norms, doubles * sizeof(double) + c->list->count * sizeof(unsigned), "gradient/norms");
    if (err) return err;
    c->absolute = (double *)c->norms.data + c->sets * c->samples;
    c->recomputed = (unsigned *)((double *)c->norms.data + doubles);
    return 0;
}

/* Where every matrix of every set is, and where its norms go. */
static void place(struct vs_norm_case *c)
{
    char *A = c->A.data, *G = c->G.data;
    size_t rows = c->list->B * c->list->T, element = vs_norms_dtype_bytes(c->dtype);
    double *n = c->norms.data;
    struct vs_norms_layer *l = c->layers;
    for (size_t s = 0; s < c->sets; s++)
        for (size_t i = 0; i < c->list->count; i++, l++, n += c->list->B) {
            const struct vs_norm_width *w = &c->list->layer[i];
            *l = (struct vs_norms_layer){.B = c->list->B, .T = c->list->T, .d = w->d, .p = w->p, .G = G, .n = n};
            l->A = w->shared ? l[-1].A : A;
            if (!w->shared) A += aligned(rows * w->d * element);
            G += aligned(rows * w->p * element);
        }
}

static int poison(struct vs_norm_case *c) /* somewhere in the middle of the sample */
{
    const struct vs_norms_layer *l = c->layers;
    size_t width = poisons[c->poison].in_G ? l->p : l->d;
    return vs_norm_poison(c->device, c->dtype, (void *)(poisons[c->poison].in_G ? l->G : l->A),
                          l->T / 2 * width + width / 2, poisons[c->poison].is_nan);
}

static int fill(struct vs_norm_case *c, size_t seed, size_t largest)
{
    struct vs_norm_source source;
    int err = vs_norm_source_open(&source, c->dtype, seed, largest);
    if (err) {
        snprintf(c->trouble, sizeof c->trouble, "no memory on the host to make inputs in");
        return err;
    }
    for (size_t i = 0; !err && i < c->sets * c->list->count; i++) {
        const struct vs_norms_layer *l = &c->layers[i];
        if (!c->list->layer[i % c->list->count].shared)
            err = vs_norm_source_fill(&source, c->device, (void *)l->A, l->B * l->T * l->d, 2 * i);
        if (!err) err = vs_norm_source_fill(&source, c->device, (void *)l->G, l->B * l->T * l->p, 2 * i + 1);
    }
    vs_norm_source_close(&source);
    if (!err && c->poison) err = poison(c);
    if (err) snprintf(c->trouble, sizeof c->trouble, "making the inputs: %s", c->device->last_error());
    return err;
}

/* Its failure is no failure of the case: the algorithms can still be timed. */
static void ask_oracle(struct vs_norm_case *c)
{
    const struct vs_norms_algorithm *oracle = c->device->norms("reference");
    struct vs_buffer workspace;
    struct vs_norms_call call = {
        .dtype = c->dtype, .layers = c->layers, .count = c->list->count, .context = c->context};
    char why[160];
    call.workspace_bytes = oracle->workspace_bytes(&call);
    int err = vs_buffer_ask(&workspace, c->device, call.workspace_bytes, "workspace/oracle", why, sizeof why);
    call.workspace = workspace.data;
    if (err) {
        snprintf(c->trouble, sizeof c->trouble, "the float64 oracle: %s", why);
        return;
    }
    double *n = calloc(c->samples, sizeof *n);
    err = n ? 0 : -ENOMEM;
    if (!err && workspace.data) err = c->device->clear(workspace.data, workspace.bytes);
    if (!err) err = oracle->run(&call);
    if (!err) err = c->device->wait(NULL);
    if (!err) err = c->device->download(n, c->norms.data, c->samples * sizeof *n);
    if (!err) {
        c->oracle = n;
    } else {
        snprintf(c->trouble, sizeof c->trouble, "the float64 oracle: %s", vs_norm_error_text(c->device, err));
        free(n);
    }
    vs_buffer_give(&workspace);
}

int vs_norm_case_open(struct vs_norm_case *c, const struct vs_norm_list *list, enum vs_norms_dtype dtype,
                      const struct vs_device *device, void *context, const struct vs_norm_inputs *inputs)
{
    size_t A_bytes, G_bytes, largest;
    char text[64], range[96];
    memset(c, 0, sizeof *c);
    c->list = list;
    c->device = device;
    c->context = context;
    c->dtype = dtype;
    c->poison = inputs->poison;
    c->samples = list->count * list->B;
    snprintf(range, sizeof range, "norms inputs %s %s", vs_norms_dtype_name(dtype),
             vs_norm_list_text(list, text, sizeof text));
    nvtxRangePushA(range);
    measure(c, &A_bytes, &G_bytes, &largest);
    c->sets = count_sets(c, A_bytes + G_bytes);
    c->layers = calloc(c->sets * list->count, sizeof *c->layers);
    int err = c->layers ? 0 : -ENOMEM;
    if (err) snprintf(c->trouble, sizeof c->trouble, "no memory on the host");
    if (!err) err = ask(c, &c->A, c->sets * A_bytes, "activation/A");
    if (!err) err = ask(c, &c->G, c->sets * G_bytes, "gradient/G");
    if (!err) err = take_norms(c);
    if (!err) {
        place(c);
        err = fill(c, inputs->seed, largest);
    }
    nvtxRangePop();
    if (!err && inputs->oracle) {
        nvtxRangePushA("norms oracle");
        ask_oracle(c);
        nvtxRangePop();
    }
    return err;
}

void vs_norm_case_close(struct vs_norm_case *c)
{
    free(c->oracle);
    free(c->layers);
    vs_buffer_give(&c->norms);
    vs_buffer_give(&c->G);
    vs_buffer_give(&c->A);
}

bool vs_norm_case_poisoned(const struct vs_norm_case *c, size_t sample)
{
    if (!c->poison || sample % c->list->B) return false;
    return poisons[c->poison].in_G ? !sample : c->layers[sample / c->list->B].A == c->layers->A;
}

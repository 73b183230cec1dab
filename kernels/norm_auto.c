/* SPDX-License-Identifier: MIT
 *
 * norm_auto.c: `auto` on the CPU: for every layer the method that norm_model.h expects to be fastest within the workspace.
 * It computes nothing itself.
 *
 * Workspace: gram's, which covers direct's: rates may be measured between the question and the run. Gradients are stored only
 * where the caller gave more.
 */
#include <errno.h>
#include <stdlib.h>

#include "kernels/cpu.h"
#include "kernels/tile.h"

/* On two cores of an AMD EPYC of 2022 with OpenBLAS, in operations per second; measured rates replace them. */
#define BUILT_IN_RATE 170e9
/* Of memory: what a gradient that is stored costs more than its product. */
#define BYTES_PER_S 20e9

static const struct vs_norms_algorithm *const methods[VS_NORMS_METHODS] = {&vs_norms_cpu_gram, &vs_norms_cpu_direct,
                                                                           &vs_norms_cpu_materialize};

/* Per layer: the machine as the layer meets it and what was picked; then the layers of one group and method, in their turn. */
struct plan {
    struct vs_norms_machine *machines;
    unsigned char *picked;
    struct vs_norms_layer *layers;
};

static void plan_drop(struct plan *p)
{
    free(p->machines), free(p->picked), free(p->layers);
}

/* Rates here are per operation that is done: the model counts Gram tiles of 128 rows, and these are larger. */
static void describe(const struct vs_norms_call *call, const struct vs_norms_layer *l, struct vs_norms_machine *machine)
{
    const struct vs_cpu_context *context = call->context;
    struct vs_norms_call one = *call;
    double T = (double)l->T;
    one.layers = l;
    one.count = 1;
    for (int m = 0; m < VS_NORMS_METHODS; m++) {
        double measured = context ? context->rate[call->dtype][m] : 0;
        machine->rate[m] = measured > 0 ? measured : BUILT_IN_RATE;
        machine->fill[m] = 1;
    }
    machine->fill[VS_NORMS_BY_GRAM] = (T + (double)vs_tile_edge(l->T)) / (T + 128);
    machine->bytes_per_s = BYTES_PER_S;
    machine->element_bytes = sizeof(float);
    machine->stored_fits = vs_norms_cpu_materialize.workspace_bytes(&one) <= call->workspace_bytes;
}

static int plan_make(const struct vs_norms_call *call, struct plan *p)
{
    p->machines = calloc(call->count, sizeof *p->machines);
    p->picked = calloc(call->count, sizeof *p->picked);
    p->layers = calloc(call->count, sizeof *p->layers);
    if (!p->machines || !p->picked || !p->layers) return -ENOMEM;
    for (size_t i = 0; i < call->count; i++) describe(call, &call->layers[i], &p->machines[i]);
    for (size_t i = 0, group; i < call->count; i += group) {
        group = vs_norms_shared(&call->layers[i], call->count - i);
        vs_norms_pick(&p->machines[i], &call->layers[i], group, &p->picked[i]);
    }
    return 0;
}

static size_t workspace_bytes(const struct vs_norms_call *call)
{
    return vs_norms_cpu_gram.workspace_bytes(call);
}

/* Each method on its layers of one group that shares its input. Never across groups: layers of one input with others between
 * them would become one group, larger than any that workspace_bytes has seen. */
static int run_group(const struct vs_norms_call *call, struct plan *p, size_t first, size_t group, unsigned *recomputed)
{
    int err = 0;
    for (int m = 0; !err && m < VS_NORMS_METHODS; m++) {
        struct vs_norms_call of = *call;
        unsigned again = 0;
        of.layers = p->layers;
        of.count = 0;
        of.recomputed = &again;
        for (size_t i = first; i < first + group; i++)
            if (p->picked[i] == m) p->layers[of.count++] = call->layers[i];
        if (of.count) err = methods[m]->run(&of);
        *recomputed += again;
    }
    return err;
}

static int run(const struct vs_norms_call *call)
{
    struct plan p = {0};
    unsigned recomputed = 0;
    int err = vs_norms_check_run(&vs_norms_cpu_auto, call, false);
    if (err) return err;
    err = plan_make(call, &p);
    for (size_t i = 0, group; !err && i < call->count; i += group) {
        group = vs_norms_shared(&call->layers[i], call->count - i);
        err = run_group(call, &p, i, group, &recomputed);
    }
    if (!err && call->recomputed) *call->recomputed = recomputed;
    plan_drop(&p);
    return err;
}

const char *vs_cpu_choice(const struct vs_norms_call *call, size_t layer, double expected_ms[3])
{
    struct plan p = {0};
    const char *name = vs_norms_cpu_auto.name;
    for (int m = 0; m < VS_NORMS_METHODS; m++) expected_ms[m] = (double)INFINITY;
    if (vs_norms_check(call) == 0 && layer < call->count && plan_make(call, &p) == 0) {
        for (int m = 0; m < VS_NORMS_METHODS; m++)
            expected_ms[m] = 1e3 * vs_norms_seconds(&p.machines[layer], &call->layers[layer], (enum vs_norms_method)m);
        name = methods[p.picked[layer]]->name;
    }
    plan_drop(&p);
    return name;
}

const struct vs_norms_algorithm vs_norms_cpu_auto = {"auto", workspace_bytes, run};

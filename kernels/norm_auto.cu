/* SPDX-License-Identifier: MIT
 *
 * norm_auto.cu: `auto` on the GPU: for every layer the method that norm_model.h expects to be fastest within the workspace, then
 * one call per method with all its layers, so that small layers fill the GPU together. It computes nothing itself.
 *
 * Workspace: what gram and direct need; gradients are stored only where the caller gave more.
 */
#include <memory>
#include <new>

#include "kernels/cublas.cuh"
#include "kernels/device_cuda.cuh"
#include "kernels/norm_model.h"

namespace {

const vs_norms_algorithm *const METHODS[VS_NORMS_METHODS] = {&vs_norms_cuda_gram, &vs_norms_cuda_direct,
                                                             &vs_norms_cuda_materialize};

struct plan {
    std::unique_ptr<unsigned char[]> picked; /* a method per layer */
    std::unique_ptr<vs_norms_machine[]> machines;
    std::unique_ptr<vs_norms_layer[]> layers; /* of one method, when it is its turn */
};

size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* How much longer the whole call takes by this method than its rate says: by the backend's own account where it has one. */
double fill_of(const vs_norms_call *call, vs_norms_method method, double rate, double tiles)
{
    const vs_cuda_context *context = vs_cuda_context_of(call);
    double seconds = method == VS_NORMS_BY_GRAM ? vs_cuda_gram_seconds(call)
                     : method == VS_NORMS_BY_DIRECT ? vs_cuda_direct_seconds(call)
                                                    : 0;
    if (seconds <= 0) return vs_norms_fill(tiles, context->sm_count);
    vs_norms_machine plain = {};
    plain.rate[method] = rate;
    plain.fill[method] = 1;
    double ideal = 0;
    for (size_t i = 0; i < call->count; i++) ideal += vs_norms_seconds(&plain, &call->layers[i], method);
    return seconds > ideal ? seconds / ideal : 1;
}

/* The machine as each layer meets it. Stored gradients may take `room` bytes of workspace. */
void describe(const vs_norms_call *call, size_t room, vs_norms_machine *machines)
{
    const vs_cuda_context *context = vs_cuda_context_of(call);
    vs_norms_call one = *call;
    double tiles[VS_NORMS_METHODS] = {}, rate[VS_NORMS_METHODS], fill[VS_NORMS_METHODS];
    for (size_t i = 0; i < call->count; i++)
        for (int m = 0; m < VS_NORMS_BY_MATERIALIZE; m++)
            tiles[m] += vs_norms_tiles(&call->layers[i], static_cast<vs_norms_method>(m));
    for (int m = 0; m < VS_NORMS_METHODS; m++) {
        vs_norms_method method = static_cast<vs_norms_method>(m);
        double measured = context->rate[call->dtype][m];
        rate[m] = measured > 0 ? measured : vs_norms_built_in_rate(call->dtype, method);
        fill[m] = m == VS_NORMS_BY_MATERIALIZE ? 0 : fill_of(call, method, rate[m], tiles[m]);
    }
    one.count = 1;
    for (size_t i = 0; i < call->count; i++) {
        vs_norms_machine *machine = &machines[i];
        one.layers = &call->layers[i];
        /* one layer after another */
        fill[VS_NORMS_BY_MATERIALIZE] = vs_norms_fill(vs_norms_tiles(one.layers, VS_NORMS_BY_MATERIALIZE), context->sm_count);
        for (int m = 0; m < VS_NORMS_METHODS; m++) {
            machine->rate[m] = rate[m];
            machine->fill[m] = fill[m];
        }
        machine->bytes_per_s = VS_NORMS_BYTES_PER_S;
        machine->element_bytes = call->dtype == VS_NORMS_bf16 ? 2 : 4;
        machine->stored_fits = !vs_materialize_rounds(one.layers, call->dtype) &&
                               vs_norms_cuda_materialize.workspace_bytes(&one) <= room;
    }
}

int make(const vs_norms_call *call, size_t room, plan *p)
{
    p->picked.reset(new (std::nothrow) unsigned char[call->count]);
    p->machines.reset(new (std::nothrow) vs_norms_machine[call->count]);
    p->layers.reset(new (std::nothrow) vs_norms_layer[call->count]);
    if (!p->picked || !p->machines || !p->layers) return vs_cuda_refuse(-ENOMEM, "auto: no host memory for the table of layers");
    describe(call, room, p->machines.get());
    for (size_t i = 0, group; i < call->count; i += group) {
        group = vs_norms_shared(&call->layers[i], call->count - i);
        vs_norms_pick(&p->machines[i], &call->layers[i], group, &p->picked[i]);
    }
    return 0;
}

/* The call of one method's layers; they stand in p->layers until the next one. Layers that share an input stay neighbours. */
vs_norms_call part(const vs_norms_call *call, plan *p, int method)
{
    vs_norms_call of = *call;
    of.layers = p->layers.get();
    of.count = 0;
    for (size_t i = 0; i < call->count; i++)
        if (p->picked[i] == method) p->layers[of.count++] = call->layers[i];
    return of;
}

size_t part_bytes(const vs_norms_call *call, plan *p)
{
    size_t bytes = 0;
    if (call->count == 1) return 0; /* the whole call, which has been looked at */
    for (int m = 0; m < VS_NORMS_METHODS; m++) {
        vs_norms_call of = part(call, p, m);
        if (of.count) bytes = larger(bytes, METHODS[m]->workspace_bytes(&of));
    }
    return bytes;
}

size_t whole_bytes(const vs_norms_call *call)
{
    return larger(vs_norms_cuda_gram.workspace_bytes(call), vs_norms_cuda_direct.workspace_bytes(call));
}

size_t workspace_bytes(const vs_norms_call *call)
{
    plan p;
    if (!call->context || make(call, 0, &p)) return 0;
    return larger(whole_bytes(call), part_bytes(call, &p));
}

/* All layers one way: whose workspace is certainly there. */
void simplify(const vs_norms_call *call, plan *p)
{
    double seconds[VS_NORMS_BY_MATERIALIZE] = {};
    for (size_t i = 0; i < call->count; i++)
        for (int m = 0; m < VS_NORMS_BY_MATERIALIZE; m++)
            seconds[m] += vs_norms_seconds(&p->machines[i], &call->layers[i], static_cast<vs_norms_method>(m));
    bool gram = seconds[VS_NORMS_BY_GRAM] < seconds[VS_NORMS_BY_DIRECT];
    for (size_t i = 0; i < call->count; i++) p->picked[i] = gram ? VS_NORMS_BY_GRAM : VS_NORMS_BY_DIRECT;
}

/* Fewer layers may need more workspace (their sums are split further), and rates may have been measured since it was asked. */
int decide(const vs_norms_call *call, plan *p)
{
    int err = make(call, call->workspace_bytes, p);
    if (!err && part_bytes(call, p) > call->workspace_bytes) err = make(call, 0, p);
    if (!err && part_bytes(call, p) > call->workspace_bytes) simplify(call, p);
    return err;
}

int run(const vs_norms_call *call)
{
    plan p;
    if (!call || !call->context) return vs_cuda_refuse(-EINVAL, "auto: no context");
    int err = vs_norms_check_run(&vs_norms_cuda_auto, call, false);
    unsigned *recomputed = call->recomputed;
    if (!err) err = decide(call, &p);
    for (int m = 0; !err && m < VS_NORMS_METHODS; m++) {
        vs_norms_call of = part(call, &p, m);
        if (!of.count) continue;
        of.recomputed = recomputed; /* gram comes first, and no other method recomputes */
        recomputed = nullptr;
        err = METHODS[m]->run(&of);
    }
    return err;
}

} // namespace

const char *vs_cuda_choice(const vs_norms_call *call, size_t layer, double expected_ms[3])
{
    plan p;
    if (decide(call, &p)) return "auto";
    for (int m = 0; m < VS_NORMS_METHODS; m++)
        expected_ms[m] = 1e3 * vs_norms_seconds(&p.machines[layer], &call->layers[layer], static_cast<vs_norms_method>(m));
    return METHODS[p.picked[layer]]->name;
}

const vs_norms_algorithm vs_norms_cuda_auto = {"auto", workspace_bytes, run};

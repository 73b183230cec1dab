/* SPDX-License-Identifier: MIT
 *
 * train_attention_cudnn.cpp: attention in bfloat16 by cuDNN's fused kernels, through NVIDIA's frontend (cudnn_frontend.h, a
 * large header: this file alone includes it). A plan is built on the first question about a shape and kept until the program
 * ends; forward and backward only run it. Memory that cuDNN needs is the call's workspace.
 *
 * Backward sums dq in whatever order the GPU's blocks end, so that its last bits differ from run to run: in a fixed order cuDNN
 * takes half as long again, and a matrix of T x T.
 * A shape that cuDNN refuses is no error; what it said is left for last_error.
 */
#include <cuda_runtime.h>
#include <cudnn_frontend.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/train_attention.cuh"
#include "kernels/train_attention_cudnn.h"

int vs_cuda_refuse(int err, const char *text); /* cuda.cuh, which only nvcc can read */

namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using fe::graph::Tensor_attributes;

enum uid : int64_t { Q = 1, K, V, O, STATS, D_O, DQ, DK, DV };

struct shape {
    int64_t B, T, heads, kv_heads, width, row;
    bool causal;
};

struct plan {
    std::shared_ptr<Graph> forward, backward; /* both, or cuDNN does not take this shape */
    int64_t forward_bytes, backward_bytes;
};

/* One for all contexts and threads, under the mutex: cuDNN's handle has one stream at a time. Never destroyed: cuDNN may be gone
 * before this library is. */
struct state {
    std::mutex mutex;
    std::map<int, cudnnHandle_t> handles; /* of each device */
    std::map<std::array<int64_t, 8>, plan> plans;
};

state &all()
{
    static state *s = new state;
    return *s;
}

shape shape_of(const vs_train_attention *p)
{
    auto number = [](size_t n) { return static_cast<int64_t>(n); };
    return {number(p->B),     number(p->T),   number(p->heads), number(p->kv_heads),
            number(p->width), number(p->row), p->causal};
}

/* [B, heads, T, width], rows `row` elements apart */
Tensor_attributes tensor(const char *name, uid id, const shape &s, int64_t heads, int64_t row)
{
    Tensor_attributes t;
    t.set_name(name).set_uid(id).set_dim({s.B, heads, s.T, s.width}).set_stride({s.T * row, s.width, row, 1});
    return t;
}

Tensor_attributes stats_tensor(const shape &s)
{
    return Tensor_attributes()
        .set_name("stats")
        .set_uid(STATS)
        .set_data_type(fe::DataType_t::FLOAT)
        .set_dim({s.B, s.heads, s.T, 1})
        .set_stride({s.heads * s.T, s.T, 1, 1});
}

void write_as(const std::shared_ptr<Tensor_attributes> &out, const Tensor_attributes &like)
{
    out->set_output(true).set_uid(like.get_uid()).set_dim(like.get_dim()).set_stride(like.get_stride());
}

template <class Attributes> Attributes options(const shape &s)
{
    Attributes a;
    a.set_name("attention").set_attn_scale(static_cast<float>(1 / std::sqrt(static_cast<double>(s.width))));
    if (s.causal) a.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
    return a;
}

std::shared_ptr<Graph> empty_graph()
{
    auto g = std::make_shared<Graph>();
    g->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    return g;
}

/* NULL: refused. */
std::shared_ptr<Graph> built(const std::shared_ptr<Graph> &g, cudnnHandle_t handle, int64_t *bytes)
{
    auto status = g->build(handle, {fe::HeurMode_t::A});
    if (status.is_good()) status = g->get_workspace_size(*bytes);
    if (status.is_good()) return g;
    vs_cuda_refuse(0, ("cuDNN: attention: " + status.get_message()).c_str());
    return nullptr;
}

std::shared_ptr<Graph> build_forward(const shape &s, cudnnHandle_t handle, int64_t *bytes)
{
    auto g = empty_graph();
    auto q = g->tensor(tensor("q", Q, s, s.heads, s.row)), k = g->tensor(tensor("k", K, s, s.kv_heads, s.row));
    auto v = g->tensor(tensor("v", V, s, s.kv_heads, s.row));
    auto [o, stats] = g->sdpa(q, k, v, options<fe::graph::SDPA_attributes>(s).set_generate_stats(true));
    write_as(o, tensor("o", O, s, s.heads, s.heads * s.width));
    write_as(stats, stats_tensor(s));
    stats->set_data_type(fe::DataType_t::FLOAT);
    return built(g, handle, bytes);
}

std::shared_ptr<Graph> build_backward(const shape &s, cudnnHandle_t handle, int64_t *bytes)
{
    auto g = empty_graph();
    auto q = g->tensor(tensor("q", Q, s, s.heads, s.row)), k = g->tensor(tensor("k", K, s, s.kv_heads, s.row));
    auto v = g->tensor(tensor("v", V, s, s.kv_heads, s.row));
    auto o = g->tensor(tensor("o", O, s, s.heads, s.heads * s.width));
    auto d_o = g->tensor(tensor("d_o", D_O, s, s.heads, s.heads * s.width));
    auto stats = g->tensor(stats_tensor(s));
    auto [dq, dk, dv] = g->sdpa_backward(q, k, v, o, d_o, stats, options<fe::graph::SDPA_backward_attributes>(s));
    write_as(dq, tensor("dq", DQ, s, s.heads, s.row));
    write_as(dk, tensor("dk", DK, s, s.kv_heads, s.row));
    write_as(dv, tensor("dv", DV, s, s.kv_heads, s.row));
    return built(g, handle, bytes);
}

plan build(const shape &s, cudnnHandle_t handle)
{
    plan p = {};
    p.forward = build_forward(s, handle, &p.forward_bytes);
    if (!p.forward) return p;
    p.backward = build_backward(s, handle, &p.backward_bytes);
    return p;
}

/* Under the mutex; NULL where cuDNN has none. */
cudnnHandle_t handle_of(int device)
{
    auto [at, added] = all().handles.try_emplace(device, nullptr);
    if (added && cudnnCreate(&at->second) != CUDNN_STATUS_SUCCESS) at->second = nullptr;
    return at->second;
}

/* Under the mutex; NULL: cuDNN does not take this shape. `handle` is the device's. */
const plan *plan_of(const vs_train_attention *p, cudnnHandle_t *handle)
{
    int device = 0;
    shape s = shape_of(p);
    if (cudaGetDevice(&device) != cudaSuccess || !(*handle = handle_of(device))) return nullptr;
    auto [at, added] =
        all().plans.try_emplace({device, s.B, s.T, s.heads, s.kv_heads, s.width, s.row, s.causal}, plan());
    if (added) {
        try {
            at->second = build(s, *handle);
        } catch (const std::exception &e) {
            at->second = plan();
            vs_cuda_refuse(0, e.what());
        }
    }
    return at->second.forward && at->second.backward ? &at->second : nullptr;
}

/* Addresses that cuDNN's kernels can read 16 bytes at, and offsets that they can count. One token alone needs no attention. */
bool fits(const vs_train_attention *p)
{
    uintptr_t bits = 0;
    for (const void *one : {p->q, p->k, p->v, static_cast<const void *>(p->o), static_cast<const void *>(p->stats), p->d_o,
                            static_cast<const void *>(p->dq), static_cast<const void *>(p->dk), static_cast<const void *>(p->dv)})
        bits |= reinterpret_cast<uintptr_t>(one);
    return bits % 16 == 0 && p->width % 8 == 0 && p->row % 8 == 0 && p->T > 1 && p->B * p->T <= INT_MAX / p->row;
}

bool takes(const vs_train_on *, const vs_train_attention *p)
{
    cudnnHandle_t handle;
    if (!fits(p)) return false;
    std::lock_guard<std::mutex> lock(all().mutex);
    return plan_of(p, &handle);
}

size_t bytes(const vs_train_on *, const vs_train_attention *p, bool backward)
{
    cudnnHandle_t handle;
    std::lock_guard<std::mutex> lock(all().mutex);
    const plan *one = plan_of(p, &handle);
    return one ? static_cast<size_t>(backward ? one->backward_bytes : one->forward_bytes) : 0;
}

int execute(const vs_train_on *on, const vs_train_attention *p, bool backward)
{
    cudnnHandle_t handle;
    std::lock_guard<std::mutex> lock(all().mutex);
    const plan *one = plan_of(p, &handle);
    if (!one || cudnnSetStream(handle, static_cast<cudaStream_t>(on->stream)) != CUDNN_STATUS_SUCCESS)
        return vs_cuda_refuse(-EIO, "cuDNN: the stream cannot be used");
    std::unordered_map<int64_t, void *> memory = {{Q, const_cast<void *>(p->q)},
                                                  {K, const_cast<void *>(p->k)},
                                                  {V, const_cast<void *>(p->v)},
                                                  {O, p->o},
                                                  {STATS, p->stats}};
    if (backward) {
        memory[D_O] = const_cast<void *>(p->d_o);
        memory[DQ] = p->dq, memory[DK] = p->dk, memory[DV] = p->dv;
    }
    try {
        auto done = (backward ? one->backward : one->forward)->execute(handle, memory, p->workspace);
        return done.is_bad() ? vs_cuda_refuse(-EIO, ("cuDNN: attention: " + done.get_message()).c_str()) : 0;
    } catch (const std::exception &e) {
        return vs_cuda_refuse(-EIO, e.what());
    }
}

int forward(const vs_train_on *on, const vs_train_attention *p)
{
    return execute(on, p, false);
}

int backward(const vs_train_on *on, const vs_train_attention *p)
{
    return execute(on, p, true);
}

const vs_attention_backend cudnn = {"cudnn", takes, bytes, forward, backward};

} // namespace

const vs_attention_backend *vs_attention_cudnn(void)
{
    return vs_cudnn_load() ? &cudnn : nullptr;
}

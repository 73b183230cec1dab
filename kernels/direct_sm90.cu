/* SPDX-License-Identifier: MIT
 *
 * direct_sm90.cu: per-sample norms by the gradient itself on Hopper's tensor cores, the host's side: in which shape, on how
 * many blocks; the workspace; the launches; and the same for samples to compute again. bf16, fp16 and tf32.
 */
#include <climits>
#include <new>

#include "kernels/direct_sm90.cuh"

namespace {

using namespace sm90;

size_t tiles(size_t n, size_t edge)
{
    return (n + edge - 1) / edge;
}

/* Are the tiles of S^T fewer? */
bool turned(const vs_norms_layer &l, const direct_shape &by)
{
    return !l.gradient && tiles(l.d, by.rows) * tiles(l.p, by.columns) < tiles(l.p, by.rows) * tiles(l.d, by.columns);
}

size_t items_of(const vs_norms_layer &l, const direct_shape &by)
{
    size_t r = turned(l, by) ? l.d : l.p, c = turned(l, by) ? l.p : l.d;
    return tiles(r, by.rows) * tiles(c, by.columns);
}

size_t items_of(const vs_norms_call *call, const direct_shape &by)
{
    size_t items = 0;
    for (size_t i = 0; i < call->count; i++) items += call->layers[i].B * items_of(call->layers[i], by);
    return items;
}

bool is_long(const launch_list &list)
{
    for (size_t i = 0; i < list.count; i++)
        if (list.layers[i].T > DIRECT_SHORT) return true;
    return false;
}

/* Measured on an H200, in seconds: before the first tile and after the last; a tile besides its steps; the same where a tile is
 * split, whose exchange takes most of it; a step. */
constexpr double LAUNCH = 5.4e-6, TILE = 1.1e-6, SPLIT_LAUNCH = 4e-6, SPLIT_TILE = 10.6e-6, STEP = 0.6e-6, TF32_STEP = 0.93e-6;

/* Shared columns, or for a single layer of few tiles the split that ends first. */
direct_plan choose(const launch_list &list, element type, const vs_cuda_context *context)
{
    const direct_shape &shape = type == TF32 ? TF32_SHAPE : SHARED_SHAPE;
    const double step = type == TF32 ? TF32_STEP : STEP;
    size_t items = 0, pairs = context->sm_count / 2;
    double work = 0, longest = 0;
    for (size_t i = 0; i < list.count; i++) {
        size_t n = list.layers[i].B * items_of(list.layers[i], shape);
        double one = TILE + step * static_cast<double>(tiles(list.layers[i].T, shape.depth));
        items += n;
        work += one * static_cast<double>(n);
        if (one > longest) longest = one;
    }
    double seconds = LAUNCH + (list.count == 1 ? longest * static_cast<double>(tiles(items, pairs)) : work / pairs + longest / 2);
    direct_plan best = {2, 2 * static_cast<unsigned>(items < pairs ? items : pairs), false, shape, seconds};
    if (type == TF32 || list.count != 1 || items >= pairs) return best;
    const vs_norms_layer &l = list.layers[0];
    double steps = static_cast<double>(tiles(l.T, SPLIT_SHAPE.depth));
    size_t single = l.B * items_of(l, SPLIT_SHAPE);
    for (unsigned size = 2; size <= SPLIT_MAX; size++) {
        double waves = static_cast<double>(tiles(single, context->sm_count / size));
        seconds = SPLIT_LAUNCH + waves * (steps / size * step + SPLIT_TILE);
        if (seconds < best.seconds) best = {size, static_cast<unsigned>(single * size), true, SPLIT_SHAPE, seconds};
    }
    return best;
}

struct prepared {
    direct_layer *layers;
    size_t parts;
};

int prepare(const launch_list &list, const direct_plan &how, element type, bool maps, prepared *out)
{
    unsigned ticket = FIRST_TICKET, clusters = how.blocks / how.cluster;
    int err = 0;
    for (size_t i = 0; !err && i < list.count; i++) {
        const vs_norms_layer &from = list.layers[i];
        direct_layer *l = &out->layers[i];
        bool turn = turned(from, how.shape);
        l->n = from.n;
        l->absolute = from.absolute;
        l->gradient = from.gradient;
        l->row_count = turn ? from.d : from.p;
        l->column_count = turn ? from.p : from.d;
        l->B = static_cast<unsigned>(from.B);
        l->steps = static_cast<unsigned>(tiles(from.T, how.shape.depth));
        l->tile_rows = static_cast<unsigned>(tiles(l->row_count, how.shape.rows));
        l->tile_columns = static_cast<unsigned>(tiles(l->column_count, how.shape.columns));
        l->items = l->tile_rows * l->tile_columns;
        l->slots = (l->items < clusters ? l->items : clusters) * how.cluster;
        l->ticket = ticket;
        l->part = out->parts;
        ticket += l->B;
        out->parts += static_cast<size_t>(l->B) * l->slots;
        if (!maps) continue;
        const void *rows = turn ? from.A : from.G, *columns = turn ? from.G : from.A;
        err = encode_map(&l->rows, rows, from.B, from.T, l->row_count, how.shape.depth, type);
        if (!err) err = encode_map(&l->columns, columns, from.B, from.T, l->column_count, how.shape.depth, type);
    }
    return err;
}

int launch_tiles(const direct_parameter &P, const direct_plan &how, element type, bool promoted, cudaStream_t stream)
{
    return type == TF32 ? launch_direct_tf32(P, how, promoted, stream)
                        : launch_direct_tiles(P, how, type, promoted, stream);
}

constexpr size_t PARTS_AT = TICKETS * sizeof(unsigned);

int run_list(const launch_list &list, pass *all)
{
    const vs_norms_call *call = all->call;
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    char *workspace = static_cast<char *>(call->workspace);
    element type = element_of(call->dtype);
    direct_plan how = choose(list, type, vs_cuda_context_of(call));
    prepared made = {new (std::nothrow) direct_layer[list.count](), 0};
    if (!made.layers) return vs_cuda_refuse(-ENOMEM, "direct: no host memory for the table of layers");
    int err = prepare(list, how, type, all->run, &made);
    size_t table = PARTS_AT + round_up(made.parts * sizeof(part), 256);
    size_t end = table + (list.count > 1 ? round_up(list.count * sizeof(direct_layer), 256) : 0);
    all->count(end);
    if (all->run && !err) {
        direct_parameter P = {};
        P.one = made.layers[0];
        P.count = static_cast<unsigned>(list.count);
        P.clear = all->take_clear();
        P.counters = reinterpret_cast<unsigned *>(workspace);
        P.parts = reinterpret_cast<part *>(workspace + PARTS_AT);
        if (list.count > 1) {
            P.layers = reinterpret_cast<const direct_layer *>(workspace + table);
            err = store_table(workspace + table, made.layers, list.count * sizeof(direct_layer), stream);
        }
        if (!err) err = launch_tiles(P, how, type, is_long(list), stream);
    }
    delete[] made.layers;
    return err;
}

size_t workspace_bytes(const vs_norms_call *call)
{
    return count_launches(call, run_list);
}

int run(const vs_norms_call *call)
{
    return queue_launches(call, run_list);
}

/* tf32 has no split form here: where tiles leave much of the GPU idle, or are mostly empty, the portable backend, which has
 * one, is faster. It reaches FILLED of this one's speed. */
bool fills(const vs_norms_call *call, const vs_cuda_context *context)
{
    constexpr double FILLED = 0.6;
    const double tile = TF32_SHAPE.rows * TF32_SHAPE.columns;
    double used = 0;
    for (size_t i = 0; i < call->count; i++)
        used += static_cast<double>(call->layers[i].B) * call->layers[i].d * call->layers[i].p / tile;
    size_t pairs = context->sm_count / 2, waves = tiles(items_of(call, TF32_SHAPE), pairs);
    return used >= FILLED * static_cast<double>(waves * pairs);
}

bool takes(const vs_norms_call *call)
{
    if (!copy_engine_takes(call)) return false;
    if (call->dtype != VS_NORMS_tf32) return true;
    for (size_t i = 0; i < call->count; i++) /* stored 16 bytes at a time */
        if (reinterpret_cast<uintptr_t>(call->layers[i].gradient) % 16) return false;
    return fills(call, vs_cuda_context_of(call));
}

double seconds(const vs_norms_call *call)
{
    return choose({call->layers, call->count}, element_of(call->dtype), vs_cuda_context_of(call)).seconds;
}

} // namespace

namespace sm90 {

static direct_plan recompute_plan(const vs_cuda_context *context, element type)
{
    return {2, static_cast<unsigned>(context->sm_count) / 2 * 2, false, type == TF32 ? TF32_SHAPE : SHARED_SHAPE, 0};
}

/* Parts of every sample that could be flagged, then the table. */
static size_t recompute_table(const launch_list &list, const vs_cuda_context *context)
{
    size_t samples = 0;
    for (size_t i = 0; i < list.count; i++) samples += list.layers[i].B;
    return round_up(samples * (context->sm_count / 2 * 2) * sizeof(part), 256);
}

size_t recompute_bytes(const launch_list &list, const vs_cuda_context *context)
{
    return recompute_table(list, context) + (list.count > 1 ? round_up(list.count * sizeof(direct_layer), 256) : 0);
}

int recompute(const recompute_request &r)
{
    direct_plan how = recompute_plan(r.context, r.type);
    prepared made = {new (std::nothrow) direct_layer[r.list->count](), 0};
    if (!made.layers) return vs_cuda_refuse(-ENOMEM, "gram: no host memory for the table of layers");
    int err = prepare(*r.list, how, r.type, true, &made);
    direct_parameter P = {};
    P.one = made.layers[0];
    P.count = static_cast<unsigned>(r.list->count);
    P.counters = r.counters;
    P.parts = reinterpret_cast<part *>(r.workspace);
    P.flagged = r.flagged;
    P.recomputed = r.recomputed;
    if (r.list->count > 1 && !err) {
        char *table = r.workspace + recompute_table(*r.list, r.context);
        P.layers = reinterpret_cast<const direct_layer *>(table);
        err = store_table(table, made.layers, r.list->count * sizeof(direct_layer), r.stream);
    }
    if (!err) err = launch_tiles(P, how, r.type, is_long(*r.list), r.stream);
    delete[] made.layers;
    return err;
}

} // namespace sm90

const vs_norms_backend vs_direct_sm90 = {takes, workspace_bytes, run, seconds};

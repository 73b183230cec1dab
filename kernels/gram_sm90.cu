/* SPDX-License-Identifier: MIT
 *
 * gram_sm90.cu: per-sample norms by symmetric Gram tiles on Hopper's tensor cores, the host's side: which kernel, in which
 * shape, on how many blocks; the workspace; the launches. n_b = sum over pairs of rows of (A A^T)(G G^T), both products of a
 * tile kept in registers, nothing of size T x T written (gram_sm90.cuh). bf16, fp16 and tf32.
 */
#include <climits>
#include <new>

#include "kernels/gram_sm90.cuh"

namespace {

using namespace sm90;

struct width {
    unsigned N;
    double cycles; /* of one stage: the tensor cores' or the second-level cache's, whichever is slower */
};
constexpr width WIDTHS[] = {{128, 600}, {160, 690}, {192, 810}};
constexpr double ITEM_EXTRA = 700;
/* The split form: a stage, more from the fifth block on; the exchange; less what a persistent launch needs to begin. */
constexpr double SPLIT_CYCLES = 590, SPLIT_BLOCK_CYCLES = 45, SPLIT_EXTRA = 10000, SPLIT_START = -4000;

unsigned steps_of(size_t width, element type)
{
    return static_cast<unsigned>((width + row_elements(type) - 1) / row_elements(type));
}

unsigned items_of(unsigned T, unsigned rows, unsigned N)
{
    unsigned n = 0;
    for (unsigned r = 0; r < T; r += rows) n += gram_chunks(r, T, rows, N);
    return n;
}

size_t members_of(const launch_list &list, size_t first)
{
    size_t n = vs_norms_shared(list.layers + first, list.count - first);
    return n < MEMBERS ? n : MEMBERS;
}

double group_steps(const launch_list &list, size_t first, element type)
{
    double steps = steps_of(list.layers[first].d, type);
    for (size_t m = 0; m < members_of(list, first); m++) steps += steps_of(list.layers[first + m].p, type);
    return steps;
}

/* The cheapest width, or a split for a single layer of few tiles, by the cycles of the longest block. */
gram_plan choose(const launch_list &list, element type, vs_cuda_context *context)
{
    unsigned pairs = context->sm_count / 2;
    gram_plan best = {};
    for (const width &w : WIDTHS) {
        double work = 0, longest = 0, items = 0;
        for (size_t i = 0; i < list.count; i += members_of(list, i)) {
            double n = static_cast<double>(list.layers[i].B) * items_of(list.layers[i].T, 2 * TILE_ROWS, w.N);
            double cost = group_steps(list, i, type) * w.cycles + ITEM_EXTRA;
            items += n;
            work += n * cost;
            if (cost > longest) longest = cost;
        }
        double waves = (items + pairs - 1) / pairs, total = list.count == members_of(list, 0)
                                                                ? static_cast<unsigned>(waves) * longest
                                                                : work / pairs + longest / 2;
        if (!best.N || total < best.cycles)
            best = {w.N, 2, 2 * static_cast<unsigned>(items < pairs ? items : pairs), false, total};
    }
    if (list.count != 1) return best;
    size_t items = list.layers[0].B * items_of(list.layers[0].T, TILE_ROWS, TILE_ROWS);
    unsigned steps = static_cast<unsigned>(group_steps(list, 0, type));
    for (unsigned split = 2; split <= SPLIT_MAX && split <= steps && items * split < UINT_MAX; split++) {
        unsigned resident = gram_split_resident(context, split);
        if (!resident) continue;
        double waves = static_cast<double>((items + resident - 1) / resident);
        double cycles = SPLIT_CYCLES + SPLIT_BLOCK_CYCLES * (split > 4 ? split - 4 : 0);
        double total = SPLIT_START + waves * (static_cast<double>(steps) / split * cycles + SPLIT_EXTRA);
        if (total < best.cycles) best = {TILE_ROWS, split, static_cast<unsigned>(items * split), true, total};
    }
    return best;
}

/* Where things lie in the workspace, after the counters. */
struct space {
    size_t flagged, parts, table, recompute, end;
};

struct prepared {
    gram_group *groups;
    size_t count, parts;
};

/* Fills the groups but for their maps and outputs when `maps` is false. */
int prepare(const launch_list &list, const gram_plan &how, element type, bool maps, prepared *out)
{
    unsigned ticket = FIRST_TICKET, clusters = how.blocks / how.cluster, rows = how.split ? TILE_ROWS : 2 * TILE_ROWS;
    int err = 0;
    for (size_t i = 0; !err && i < list.count; i += members_of(list, i)) {
        const vs_norms_layer &first = list.layers[i];
        gram_group *g = &out->groups[out->count++];
        g->members = static_cast<unsigned>(members_of(list, i));
        g->B = static_cast<unsigned>(first.B);
        g->T = static_cast<unsigned>(first.T);
        g->items = items_of(g->T, rows, how.N);
        g->slots = (g->items < clusters ? g->items : clusters) * how.cluster;
        g->a_steps = steps_of(first.d, type);
        g->layer = static_cast<unsigned>(i);
        g->ticket = ticket;
        g->part = out->parts;
        ticket += g->B;
        out->parts += static_cast<size_t>(g->B) * g->members * g->slots;
        unsigned columns = how.split ? how.N : how.N / 2;
        if (maps) err = encode_map(&g->a_rows, first.A, first.B, first.T, first.d, TILE_ROWS, type);
        if (maps && !err) err = encode_map(&g->a_cols, first.A, first.B, first.T, first.d, columns, type);
        for (unsigned m = 0; m < g->members; m++) {
            const vs_norms_layer &layer = list.layers[i + m];
            g->g_steps[m] = steps_of(layer.p, type);
            g->n[m] = layer.n;
            g->absolute[m] = layer.absolute;
            if (maps && !err) err = encode_map(&g->g_rows[m], layer.G, layer.B, layer.T, layer.p, TILE_ROWS, type);
            if (maps && !err) err = encode_map(&g->g_cols[m], layer.G, layer.B, layer.T, layer.p, columns, type);
        }
        for (unsigned m = g->members; maps && m < MEMBERS; m++) { /* every map is valid, used or not */
            g->g_rows[m] = g->g_rows[0];
            g->g_cols[m] = g->g_cols[0];
        }
    }
    return err;
}

space arrange(const launch_list &list, const prepared &made, const vs_cuda_context *context)
{
    space s;
    s.flagged = TICKETS * sizeof(unsigned);
    s.parts = s.flagged + round_up(SAMPLES_MAX * sizeof(flagged_sample), 256);
    s.table = s.parts + round_up(made.parts * sizeof(part), 256);
    s.recompute = s.table + (made.count > 1 ? round_up(made.count * sizeof(gram_group), 256) : 0);
    s.end = s.recompute + recompute_bytes(list, context);
    return s;
}

int run_list(const launch_list &list, pass *all)
{
    const vs_norms_call *call = all->call;
    vs_cuda_context *context = vs_cuda_context_of(call);
    cudaStream_t stream = static_cast<cudaStream_t>(call->stream);
    char *workspace = static_cast<char *>(call->workspace);
    element type = element_of(call->dtype);
    gram_plan how = choose(list, type, context);
    prepared made = {new (std::nothrow) gram_group[list.count](), 0, 0};
    if (!made.groups) return vs_cuda_refuse(-ENOMEM, "gram: no host memory for the table of layers");
    int err = prepare(list, how, type, all->run, &made);
    space at = arrange(list, made, context);
    all->count(at.end);
    if (all->run && !err) {
        gram_parameter P = {};
        P.one = made.groups[0];
        P.count = static_cast<unsigned>(made.count);
        P.clear = all->take_clear();
        P.counters = reinterpret_cast<unsigned *>(workspace);
        P.parts = reinterpret_cast<part *>(workspace + at.parts);
        P.flagged = reinterpret_cast<flagged_sample *>(workspace + at.flagged);
        if (made.count > 1) {
            P.groups = reinterpret_cast<const gram_group *>(workspace + at.table);
            err = store_table(workspace + at.table, made.groups, made.count * sizeof(gram_group), stream);
        }
        if (!err) err = how.split ? launch_gram_split(P, how, type, stream) : launch_gram_shared(P, how, type, stream);
        recompute_request again = {&list, type, workspace + at.recompute, P.counters, P.flagged, call->recomputed, context,
                                   stream};
        if (!err) err = recompute(again);
    }
    delete[] made.groups;
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

double seconds(const vs_norms_call *call)
{
    constexpr double LAUNCH = 6.5e-6, CYCLES_PER_S = 1.755e9; /* both kernels, first loads and last sums included; an H200 */
    gram_plan how = choose({call->layers, call->count}, element_of(call->dtype), vs_cuda_context_of(call));
    return LAUNCH + how.cycles / CYCLES_PER_S;
}

} // namespace

const vs_norms_backend vs_gram_sm90 = {copy_engine_takes, workspace_bytes, run, seconds};

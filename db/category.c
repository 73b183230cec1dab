/* SPDX-License-Identifier: MIT
 *
 * category.c: decides what a piece of memory is for, from its life. It must never decide by a guess that a likely program
 * refutes: then it is `unknown`.
 */
#include "category.h"

#include "process.h"

const char *const vs_category_names[VS_NCATEGORIES] = {NULL,
#define X(id, name) name,
                                                       VS_CATEGORIES(X)
#undef X
};

#define FOR_GOOD 8u /* backwards: a batch lives through fewer, also where an iteration has several */

struct life {
    const struct vs_passes *s;
    const struct vs_piece *x;
    uint32_t now;    /* the pass it was freed in, or that is under way */
    uint32_t lived;  /* backwards that ended meanwhile */
    bool freed;
    bool failed;     /* an allocation failed, and what was live then only went as the program gave up: as if it had not */
    bool to_the_end; /* nothing was allocated after it was freed: that was the program's end */
    bool matches;    /* has the size of a parameter */
    bool in_forward; /* allocated in forward */
};

static bool in_forward(const struct vs_passes *s, uint32_t pass, int64_t ts)
{
    int64_t forward = pass < s->count ? s->pass[pass].forward : vs_passes_forward(s);
    return forward && ts >= forward;
}

/* Optimizer state has the parameter's element count, not always its element type. */
static bool state_size(const struct vs_passes *s, uint64_t bytes)
{
    return vs_sizes_match(&s->parameters, bytes) || vs_sizes_match(&s->parameters, bytes * 2) ||
           vs_sizes_match(&s->parameters, bytes * 4) || (bytes % 2 == 0 && vs_sizes_match(&s->parameters, bytes / 2));
}

/* By default 32 MiB from sm_90 on, 2 x 4 MiB + 8 x 16 KiB before. Where cuBLAS is a shared library its calls tell. */
bool vs_category_workspace(const struct vs_process *p, const struct vs_piece *x)
{
    if (x->said) return x->category == VS_CAT_WORKSPACE;
    return !p->passes.labels && (x->bytes == 33554432u || x->bytes == 8519680u) &&
           !vs_sizes_match(&p->passes.parameters, x->bytes);
}

static bool stays_as_workspace(const struct vs_process *p, const struct life *l)
{
    return (l->lived >= 2 || l->to_the_end || !l->freed) && vs_category_workspace(p, l->x);
}

/* Gradients are reduced in buckets: memory the main thread made, that lives through backwards and is no parameter. */
static bool is_bucket(const struct life *l)
{
    const struct vs_passes *s = l->s;
    bool parameter = !l->x->alloc_pass && l->x->id <= s->last_matched && vs_sizes_match(&s->gradients, l->x->bytes);
    return (l->x->comm & VS_COMM_REDUCED) && l->x->alloc_by != VS_BY_AUTOGRAD && (!l->freed || l->lived) && !parameter;
}

/* Buffers of collectives, and what FSDP gathers and reduces. NONE: it is not one. */
static enum vs_category of_collective(const struct life *l)
{
    uint8_t c = l->x->comm;
    bool brief = l->freed && l->lived < 2;
    if (c & VS_COMM_UNSHARDED) return VS_CAT_UNSHARDED_PARAMETER;
    if (c & VS_COMM_REDUCED_FROM) return VS_CAT_UNSHARDED_GRADIENT;
    if (is_bucket(l)) /* the gradients themselves when backward leaves none beside them */
        return l->s->gradient_bytes < l->x->bytes / 2 ? VS_CAT_GRADIENT : VS_CAT_COMM_BUFFER;
    if (!brief && l->x->alloc_pass == 0 && !l->in_forward && l->x->alloc_by != VS_BY_AUTOGRAD) return VS_CAT_NONE;
    if (c & VS_COMM_SCATTERED) /* the sharded gradient, when it stays */
        return l->freed && l->now == l->x->alloc_pass ? VS_CAT_COMM_BUFFER : VS_CAT_GRADIENT;
    if (c & VS_COMM_GATHERED) return c & VS_COMM_COPIED ? VS_CAT_COMM_BUFFER : VS_CAT_UNSHARDED_PARAMETER;
    if (c & VS_COMM_SCATTERS) return c & VS_COMM_COPIED ? VS_CAT_COMM_BUFFER : VS_CAT_UNSHARDED_GRADIENT;
    if (l->x->alloc_by == VS_BY_AUTOGRAD ? l->matches && l->lived : l->x->free_by == VS_BY_AUTOGRAD && l->freed)
        return VS_CAT_NONE; /* a gradient that is reduced in place, an activation that was */
    if ((c & (VS_COMM_REDUCED | VS_COMM_OTHER)) && brief) return VS_CAT_COMM_BUFFER;
    return VS_CAT_NONE;
}

/* The first backward left more than gradients: an optimizer that steps inside it leaves its state, too. */
static bool crowded(const struct life *l)
{
    return !l->x->alloc_pass && l->s->first_left > l->s->parameter_bytes + l->s->parameter_bytes / 4;
}

static enum vs_category made_in_backward(const struct vs_process *p, const struct life *l)
{
    const struct vs_piece *x = l->x;
    bool ended = x->alloc_pass < l->now || (!l->failed && x->alloc_pass < l->s->count);
    if (l->freed && (l->now == x->alloc_pass || (x->alloc_pass < l->s->count && x->free_ts <= l->s->pass[x->alloc_pass].end)))
        return VS_CAT_TEMPORARY;
    if (stays_as_workspace(p, l)) return VS_CAT_WORKSPACE;
    if (l->freed && x->free_by == VS_BY_AUTOGRAD) {
        int64_t next = l->now < l->s->count ? l->s->pass[l->now].backward : l->s->pass[l->s->count].backward;
        if (!next || x->free_ts < next) return VS_CAT_TEMPORARY; /* autograd's thread tidied up after it had returned */
        return l->matches && l->lived >= 2 ? VS_CAT_GRADIENT : VS_CAT_ACTIVATION; /* a graph of the backward itself */
    }
    if (l->matches) return crowded(l) ? VS_CAT_UNKNOWN : VS_CAT_GRADIENT;
    return ended ? VS_CAT_UNKNOWN : VS_CAT_TEMPORARY;
}

/* Before the first forward. */
static enum vs_category made_at_start(const struct life *l)
{
    const struct vs_passes *s = l->s;
    if (l->freed && l->now == 0) return in_forward(s, 0, l->x->free_ts) ? VS_CAT_UNKNOWN : VS_CAT_TEMPORARY;
    if (l->freed && !l->to_the_end && l->lived < FOR_GOOD) {
        bool batch = l->lived <= 2 && l->x->id > s->last_matched && !vs_sizes_match(&s->gradients, l->x->bytes);
        return batch ? VS_CAT_INPUT : VS_CAT_UNKNOWN; /* a model that is dropped early looks the same */
    }
    if (s->last_matched && l->x->id > s->last_matched)
        return s->after_matched <= 4 ? VS_CAT_INPUT : VS_CAT_UNKNOWN; /* many: another model, without gradients */
    return VS_CAT_PARAMETER;
}

/* Between a backward and the next forward. */
static enum vs_category made_by_step(const struct life *l)
{
    const struct vs_piece *x = l->x;
    bool last = !l->freed || l->to_the_end;
    if (l->freed && l->now == x->alloc_pass)
        return !in_forward(l->s, l->now, x->free_ts) ? VS_CAT_TEMPORARY : x->bytes > VS_SMALLEST ? VS_CAT_INPUT : VS_CAT_UNKNOWN;
    bool with_state = x->alloc_pass < l->s->count ? l->s->pass[x->alloc_pass].made_state : l->s->last_state != 0;
    if (with_state && (last || l->lived >= FOR_GOOD) && (state_size(l->s, x->bytes) || x->bytes <= VS_SMALLEST))
        return VS_CAT_OPTIMIZER_STATE;
    if (x->bytes <= VS_SMALLEST) return VS_CAT_UNKNOWN;
    return l->lived <= 2 && (l->lived || vs_passes_forward(l->s)) ? VS_CAT_INPUT : VS_CAT_UNKNOWN;
}

/* A program without a backward so far: inference, or one that ended in its first forward. */
static enum vs_category made_without_backward(const struct life *l)
{
    bool stays = !l->freed || l->to_the_end;
    if (!stays) return VS_CAT_TEMPORARY;
    if (l->x->alloc_ts < l->s->settled_at) return VS_CAT_PARAMETER;
    return l->failed ? VS_CAT_ACTIVATION : VS_CAT_UNKNOWN;
}

enum vs_category vs_category_infer(const struct vs_process *p, const struct vs_piece *x)
{
    const struct vs_passes *s = &p->passes;
    struct life l = {.s = s, .x = x, .freed = x->free_ts != 0};
    enum vs_category c;
    if (x->said || x->level != VS_LEVEL_SUB) return (enum vs_category)x->category;
    if (x->source != VS_SE_TORCH && !(x->source == VS_SE_CUDA_ASYNC && s->count)) return VS_CAT_NONE;
    l.to_the_end = l.freed && x->free_ts > s->last_allocation;
    l.failed = vs_passes_live_at_failure(s, x);
    if (l.failed) l.freed = l.to_the_end = false;
    l.now = l.failed ? s->failed[x->device + 1]->pass : l.freed ? x->free_pass : (uint32_t)s->count;
    l.lived = l.now > x->alloc_pass ? l.now - x->alloc_pass : 0;
    l.matches = vs_sizes_match(&s->parameters, x->bytes);
    l.in_forward = in_forward(s, x->alloc_pass, x->alloc_ts);
    if (x->comm && (c = of_collective(&l)) != VS_CAT_NONE) return c;
    if (!s->count && !s->backward) return made_without_backward(&l);
    if (x->alloc_by == VS_BY_AUTOGRAD) return made_in_backward(p, &l);
    if (l.freed && x->free_by == VS_BY_AUTOGRAD) return VS_CAT_ACTIVATION; /* saved for backward */
    if (x->alloc_by == VS_BY_OTHER && x->alloc_pass) return VS_CAT_UNKNOWN; /* a thread that prepares something */
    if (!l.in_forward) return x->alloc_pass ? made_by_step(&l) : made_at_start(&l);
    if (l.freed && l.now == x->alloc_pass) return VS_CAT_TEMPORARY;
    return stays_as_workspace(p, &l) ? VS_CAT_WORKSPACE : VS_CAT_ACTIVATION;
}

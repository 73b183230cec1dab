/* SPDX-License-Identifier: MIT
 *
 * nvtx_ranges.c: records ranges and marks. Keeps, per thread, the stack of open push ranges: what pops belong to, the nesting
 * level NVTX returns, and the innermost range that every other source writes into its records.
 * Must never close a range that another push opened, and never let NCCL's own domain onto the stack.
 *
 * One slot per open range: {domain:10 | level in its domain:6 | seq of its begin:48}. seq 0: its begin was dropped (and
 * counted); the slot stays so that its pop closes nothing else. The stack is one for all domains, in order of pushing; a
 * pop takes the topmost slot of its domain, which need not be the top.
 *
 * Deeper than DEPTH: pushes are counted per domain, not followed. While a domain has such ranges open its pushes stay
 * unfollowed, so that its pops meet them in order.
 */
#include "export.h"
#include "src_nvtx.h"

#include <string.h>

enum { DEPTH = 48, DEEP_DOMAINS = 8 };
#define SEQ_MASK ((1ull << 48) - 1)

struct thread_ranges {
    uint32_t epoch;
    uint16_t depth;
    uint16_t deep_total;
    uint64_t innermost;
    uint64_t slot[DEPTH];
    struct {
        uint16_t domain, open;
    } deep[DEEP_DOMAINS];
};
_Static_assert(sizeof(struct thread_ranges) < 500, "static thread storage of a late-opened library is scarce");
static __thread struct thread_ranges tr __attribute__((tls_model("initial-exec")));

static inline uint32_t slot_domain(uint64_t s)
{
    return (uint32_t)(s >> 54);
}

static inline int slot_level(uint64_t s)
{
    return (int)(s >> 48 & 63);
}

/* The stack, empty if what is there is of another process (a fork) or from before the recording. */
static inline struct thread_ranges *ranges(void)
{
    struct thread_ranges *t = &tr;
    uint32_t epoch = vs_log_epoch();
    if (__builtin_expect(t->epoch != epoch, 0)) {
        memset(t, 0, sizeof *t);
        t->epoch = epoch;
    }
    return t;
}

VS_HOT uint64_t vs_thread_range(void)
{
    return tr.epoch == vs_log_epoch() ? tr.innermost : 0;
}

static int find(const struct thread_ranges *t, uint32_t domain)
{
    int i = t->depth - 1;
    while (i >= 0 && slot_domain(t->slot[i]) != domain) i--;
    return i;
}

/* Open unfollowed ranges of the domain; NULL: it has none and, if `add`, there is no room to count one. */
static uint16_t *deep_of(struct thread_ranges *t, uint32_t domain, bool add)
{
    int i, free_at = -1;
    for (i = 0; i < DEEP_DOMAINS; i++) {
        if (t->deep[i].open && t->deep[i].domain == domain) return &t->deep[i].open;
        if (!t->deep[i].open) free_at = i;
    }
    if (!add || free_at < 0) return NULL;
    t->deep[free_at].domain = (uint16_t)domain;
    return &t->deep[free_at].open;
}

/* true: this push is not followed. */
static bool push_deep(struct thread_ranges *t, uint32_t domain, int *level)
{
    uint16_t *open;
    int below;
    if (__builtin_expect(t->depth < DEPTH && !t->deep_total, 1)) return false;
    open = deep_of(t, domain, t->depth == DEPTH);
    if (!open && t->depth < DEPTH) return false;
    below = find(t, domain);
    *level = (below < 0 ? 0 : slot_level(t->slot[below]) + 1) + (open ? *open : 0);
    if (open && *open < UINT16_MAX && t->deep_total < UINT16_MAX) {
        (*open)++;
        t->deep_total++;
    }
    vs_log_lost(VS_SRC_NVTX, VS_LOST_DEPTH, 1);
    return true;
}

static void fill_begin(struct vs_rec_range_begin *r, uint32_t domain, const struct vs_text *x,
                       const struct vs_nvtx_attributes *a, uint64_t parent)
{
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->parent = parent;
    r->string = x->string;
    r->domain = domain;
    if (a && a->size >= offsetof(struct vs_nvtx_attributes, color_type)) r->category = a->category;
    if (a && a->size >= offsetof(struct vs_nvtx_attributes, payload_type) && a->color_type == VS_NVTX_COLOR_ARGB)
        r->color = a->color;
    r->text_bytes = (uint32_t)x->bytes;
    memcpy(r->text, x->text, x->bytes);
    if (x->cut) vs_log_lost(VS_SRC_NVTX, VS_LOST_CUT, 1);
}

VS_HOT int vs_range_push(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a)
{
    struct thread_ranges *t = ranges();
    struct vs_rec_range_begin *r;
    uint64_t seq = 0;
    int level, below;

    if (push_deep(t, domain, &level)) return level;
    r = vs_log_begin(VS_K_RANGE_BEGIN, sizeof *r + x->bytes);
    t = ranges(); /* this push may have begun the recording */
    if (r) {
        fill_begin(r, domain, x, a, t->innermost);
        seq = r->seq;
        vs_log_commit(r);
        t->innermost = seq;
    }
    below = find(t, domain);
    level = below < 0 ? 0 : slot_level(t->slot[below]) + 1;
    t->slot[t->depth++] = (uint64_t)domain << 54 | (uint64_t)level << 48 | (seq & SEQ_MASK);
    return level;
}

static void remove_slot(struct thread_ranges *t, int i)
{
    int top;
    memmove(&t->slot[i], &t->slot[i + 1], sizeof t->slot[0] * (size_t)(t->depth - 1 - i));
    t->depth--;
    for (top = t->depth - 1; top >= 0 && !(t->slot[top] & SEQ_MASK); top--)
        ;
    t->innermost = top < 0 ? 0 : t->slot[top] & SEQ_MASK;
}

static void end_range(uint64_t begin)
{
    struct vs_rec_range_end *r = vs_log_begin(VS_K_RANGE_END, sizeof *r);
    if (!r) return;
    r->seq = vs_log_seq();
    r->ts_ns = vs_now();
    r->begin = begin;
    vs_log_commit(r);
}

/* A pop without its push is the program's own slip (or a fork): nothing to record. */
VS_HOT int vs_range_pop(uint32_t domain)
{
    struct thread_ranges *t = ranges();
    uint64_t slot;
    int i = find(t, domain);

    if (__builtin_expect(t->deep_total != 0, 0)) {
        uint16_t *open = deep_of(t, domain, false);
        if (open) {
            t->deep_total--;
            (*open)--;
            return (i < 0 ? 0 : slot_level(t->slot[i]) + 1) + *open;
        }
    }
    if (i < 0) return -1;
    slot = t->slot[i];
    remove_slot(t, i);
    if (slot & SEQ_MASK) end_range(slot & SEQ_MASK);
    return slot_level(slot);
}

/* The id says in which process the range began: ended in a forked child it closes nothing there. */
uint64_t vs_range_start(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a)
{
    struct vs_rec_range_begin *r = vs_log_begin(VS_K_RANGE_BEGIN, sizeof *r + x->bytes);
    uint64_t id;
    if (!r) return 0;
    vs_rec_set(r, VS_RF_START_END, -1);
    fill_begin(r, domain, x, a, vs_thread_range());
    id = (uint64_t)(uint16_t)vs_log_epoch() << 48 | (r->seq & SEQ_MASK);
    vs_log_commit(r);
    return id;
}

void vs_range_finish(uint64_t id)
{
    if ((id & SEQ_MASK) && id >> 48 == (uint16_t)vs_log_epoch()) end_range(id & SEQ_MASK);
}

void vs_range_mark(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a)
{
    struct vs_rec_mark *r = vs_log_begin(VS_K_MARK, sizeof *r + x->bytes);
    if (!r) return;
    r->ts_ns = vs_now();
    r->range = vs_thread_range();
    r->string = x->string;
    r->domain = domain;
    if (a && a->size >= offsetof(struct vs_nvtx_attributes, color_type)) r->category = a->category;
    if (a && a->size >= offsetof(struct vs_nvtx_attributes, payload_type) && a->color_type == VS_NVTX_COLOR_ARGB)
        r->color = a->color;
    r->text_bytes = (uint32_t)x->bytes;
    memcpy(r->text, x->text, x->bytes);
    vs_log_commit(r);
    if (x->cut) vs_log_lost(VS_SRC_NVTX, VS_LOST_CUT, 1);
}

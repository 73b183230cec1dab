/* SPDX-License-Identifier: MIT
 *
 * live.c: opens and closes pieces of memory, keeps the totals in step and writes their rows. It must never keep a piece
 * that is freed and written.
 */
#include "live.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

#define WAITING_MAX  131072u /* rows gathered before they are written: 30 MB */
#define BLOCK_PIECES 256u

struct vs_piece_block {
    struct vs_piece_block *next;
    struct vs_piece piece[BLOCK_PIECES];
};

static void count(struct vs_process *p, struct vs_piece *x, int sign, int64_t ts)
{
    int64_t delta = sign * (int64_t)x->bytes;
    uint64_t range = sign > 0 ? x->alloc_range : 0;
    bool frees = sign < 0;
    if (x->in_level)
        vs_process_check(p, vs_series_change(&p->series, x->device, x->level == VS_LEVEL_HELD ? VS_SE_HELD : VS_SE_SUB,
                                             delta, frees, ts, range));
    if (x->in_totals)
        vs_process_check(p, vs_series_change(&p->series, x->device,
                                             x->pool_size ? VS_SE_CUDA_ASYNC_RESERVED : (enum vs_series_id)x->source,
                                             delta, frees, ts, range));
    vs_account_count(p, x, sign);
}

static struct vs_piece *take_spare(struct vs_live *l)
{
    if (!l->spare) {
        struct vs_piece_block *block = malloc(sizeof *block);
        if (!block) return NULL;
        block->next = l->blocks;
        l->blocks = block;
        for (unsigned i = 0; i < BLOCK_PIECES; i++) {
            block->piece[i].next = l->spare;
            l->spare = &block->piece[i];
        }
    }
    struct vs_piece *x = l->spare;
    l->spare = x->next;
    return x;
}

static void give_spare(struct vs_live *l, struct vs_piece *x)
{
    x->next = l->spare;
    l->spare = x;
}

static void unlink_live(struct vs_live *l, struct vs_piece *x)
{
    if (x->prev) x->prev->next = x->next;
    else l->first = x->next;
    if (x->next) x->next->prev = x->prev;
}

static void write_row(struct vs_process *p, const struct vs_piece *x)
{
    VS_PUT(p->store, VS_ST_ALLOCATION, vs_int(x->id), vs_int(p->id), vs_int(vs_device_or_none(x->device)),
           vs_text(x->level == VS_LEVEL_HELD ? "held" : "sub"), vs_int(x->parent_id ? x->parent_id : VS_NONE),
           vs_text(vs_series_names[x->source]), vs_int(x->has_address ? (int64_t)x->address : VS_NONE),
           vs_int((int64_t)x->bytes), vs_int(x->alloc_ts), vs_int(x->free_ts ? x->free_ts : VS_NONE),
           vs_int(vs_thread_row(p, x->alloc_thread)), vs_int(x->free_ts ? vs_thread_row(p, x->free_thread) : VS_NONE),
           vs_int(vs_range_row(p, x->alloc_range)), vs_int(vs_range_row(p, x->free_range)),
           vs_int(x->source == VS_SE_CUDA_ASYNC && x->pool ? (int64_t)x->pool : VS_NONE), vs_int(x->imported),
           vs_int(x->flags), vs_text(x->library), vs_text(vs_category_names[x->category]),
           vs_int(x->name_id ? x->name_id : VS_NONE), vs_int(vs_lines_row(p, x->stack)));
}

/* What is freed but not settled may be left for later: its row is then written once. passes.c holds fewer than fit. */
static void write_rows(struct vs_process *p, bool all)
{
    struct vs_live *l = &p->live;
    size_t left = 0;
    for (size_t i = 0; i < l->nwaiting; i++) {
        struct vs_piece *x = l->waiting[i];
        if (x->waits && !all) {
            l->waiting[left++] = x;
            continue;
        }
        write_row(p, x);
        x->written = true;
        if (x->free_ts && !x->waits) give_spare(l, x);
    }
    l->nwaiting = left;
}

static int queue(struct vs_process *p, struct vs_piece *x)
{
    struct vs_live *l = &p->live;
    if (l->nwaiting == WAITING_MAX) write_rows(p, false);
    if (l->nwaiting == l->room) {
        size_t room = l->room ? l->room * 2 : 1024;
        struct vs_piece **waiting = realloc(l->waiting, room * sizeof(*waiting));
        if (!waiting) return -ENOMEM;
        l->waiting = waiting;
        l->room = room;
    }
    l->waiting[l->nwaiting++] = x;
    return 0;
}

struct vs_piece *vs_live_open(struct vs_process *p, const struct vs_piece *what, int64_t ts)
{
    struct vs_live *l = &p->live;
    struct vs_piece *x = take_spare(l);
    if (!x) {
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    *x = *what;
    if (queue(p, x)) {
        give_spare(l, x);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    x->id = p->base + ++l->next_id;
    x->alloc_ts = ts;
    x->free_ts = 0;
    x->alloc_thread = p->thread;
    x->level_ts = ts;
    x->alloc_pass = vs_passes_now(&p->passes);
    x->alloc_by = (uint8_t)vs_passes_by(p);
    x->written = false;
    l->unnamed += x->caller != 0;
    x->in_totals = !x->imported && !(x->flags & VS_AF_CAPTURED);
    x->in_level = x->in_totals && !(x->flags & VS_FLAG_NESTED);
    if (x->alloc_range) {
        x->range_name = vs_ranges_name(p, x->alloc_range);
        if (x->in_level) vs_ranges_count(p, x->alloc_range, x->device, x->level);
    }
    x->prev = NULL;
    x->next = l->first;
    if (l->first) l->first->prev = x;
    l->first = x;
    if (x->in_level && x->level == VS_LEVEL_SUB) vs_passes_before(p, x, false, ts);
    count(p, x, 1, ts);
    if (x->in_level && x->level == VS_LEVEL_SUB) vs_passes_after(p, x, ts);
    if (x->source == VS_SE_TORCH) vs_labels_allocated(p, x);
    p->changed = true;
    return x;
}

/* The columns that may change after a row is written. */
static void write_change(struct vs_process *p, const struct vs_piece *x)
{
    VS_PUT(p->store, VS_ST_ALLOCATION_CHANGE, vs_int(x->id), vs_int(x->free_ts ? x->free_ts : VS_NONE),
           vs_int(vs_thread_row(p, x->free_thread)), vs_int(vs_range_row(p, x->free_range)),
           vs_text(x->level == VS_LEVEL_HELD ? "held" : "sub"), vs_int(x->parent_id ? x->parent_id : VS_NONE),
           vs_text(vs_series_names[x->source]), vs_int(x->has_address ? (int64_t)x->address : VS_NONE),
           vs_int(x->flags), vs_text(vs_category_names[x->category]), vs_int(x->name_id ? x->name_id : VS_NONE),
           vs_text(x->library));
}

void vs_live_changed(struct vs_process *p, struct vs_piece *x)
{
    if (x->written) write_change(p, x);
}

void vs_live_close(struct vs_process *p, struct vs_piece *x, int64_t ts, uint64_t range)
{
    struct vs_live *l = &p->live;
    bool program_memory = x->in_level && x->level == VS_LEVEL_SUB;
    if (program_memory) vs_passes_before(p, x, true, ts);
    vs_lines_freed(p, x);
    count(p, x, -1, ts);
    if (program_memory) vs_passes_after(p, x, ts);
    x->free_ts = ts;
    x->free_thread = p->thread;
    x->free_range = range;
    unlink_live(l, x);
    l->unnamed -= x->caller != 0;
    p->changed = true;
    if (x->source == VS_SE_TORCH) vs_labels_freed(p, x);
    if (program_memory) vs_passes_wait(p, x);
    else vs_live_settle(p, x);
}

void vs_live_settle(struct vs_process *p, struct vs_piece *x)
{
    x->waits = false;
    x->category = (uint8_t)vs_category_infer(p, x);
    vs_at_peak_settled(p, x);
    vs_passes_settled(p, x);
    if (!x->written) return;
    write_change(p, x);
    give_spare(&p->live, x);
}

/* The same bytes under another label: they leave one series and enter another at this moment. */
void vs_live_relabel(struct vs_process *p, struct vs_piece *x, uint8_t source, uint8_t level, int64_t ts)
{
    if (x->source == source && x->level == level) return;
    bool level_too = x->level != level;
    bool in_level = x->in_level;
    x->in_level = in_level && level_too;
    count(p, x, -1, ts);
    x->source = source;
    x->level = level;
    count(p, x, 1, ts);
    if (level_too) x->level_ts = ts;
    if (x->in_level && level == VS_LEVEL_SUB) vs_passes_after(p, x, ts);
    x->in_level = in_level;
    vs_live_changed(p, x);
    p->changed = true;
}

/* NCCL allocates on threads of its own too, where no call of its interface is under way. What a pool hands out stays the
 * pool's: a label is for held memory. */
static bool made_by_nccl(const struct vs_piece *x)
{
    return x->library && !strncmp(x->library, "libnccl.so", 10) && x->source != VS_SE_CUDA_ASYNC;
}

void vs_live_caller(struct vs_process *p, struct vs_piece *what, uint64_t caller)
{
    what->library = vs_names_library(p, caller);
    what->caller = what->library ? 0 : caller;
    if (made_by_nccl(what)) what->source = VS_SE_NCCL;
}

/* Only what is live: the series of what is gone cannot be told apart any more, and rows and series must agree. */
void vs_live_name(struct vs_process *p, uint64_t begin, uint64_t end, const char *library)
{
    for (struct vs_piece *x = p->live.unnamed ? p->live.first : NULL; x; x = x->next) {
        if (!x->caller || x->caller < begin || x->caller >= end) continue;
        x->caller = 0;
        x->library = library;
        p->live.unnamed--;
        if (made_by_nccl(x) && x->source != VS_SE_NCCL) vs_live_relabel(p, x, VS_SE_NCCL, x->level, p->lifetime_ns);
        else vs_live_changed(p, x);
        vs_account_named(p, x);
    }
}

void vs_live_write(struct vs_process *p)
{
    write_rows(p, true);
}

struct vs_piece *vs_live_holder(const struct vs_process *p, uint64_t address)
{
    uint64_t at;
    struct vs_piece *x = vs_address_map_floor(&p->live.driver, address, &at);
    if (x && address - at < x->bytes) return x;
    struct vs_mapping *m = vs_address_map_floor(&p->live.mappings, address, &at);
    return m && address - at < m->bytes ? m->physical->piece : NULL;
}

struct vs_piece *vs_live_torch_block(const struct vs_process *p, uint64_t address)
{
    for (unsigned d = 1; d < VS_NDEVICES; d++) { /* one address space for all devices; few of them have blocks */
        uint64_t at;
        struct vs_piece *x;
        if (p->live.torch[d].count && (x = vs_address_map_floor(&p->live.torch[d], address, &at)) &&
            address - at < x->bytes)
            return x;
    }
    return NULL;
}

static void free_physical(struct vs_live *l)
{
    uint64_t at = 0;
    struct vs_mapping *m;
    for (size_t i = 0; i < l->physical.size; i++) {
        struct vs_physical *f = l->physical.slots[i].value;
        if (f && !f->mappings) free(f);
        else if (f) f->references = 0; /* its last mapping frees it */
    }
    while ((m = vs_address_map_ceiling(&l->mappings, at, &at))) {
        if (!--m->physical->mappings) free(m->physical);
        free(m);
        if (++at == 0) break;
    }
}

void vs_live_free(struct vs_process *p)
{
    struct vs_live *l = &p->live;
    free_physical(l);
    for (size_t i = 0; i < l->pools.size; i++) free(l->pools.slots[i].value);
    while (l->blocks) {
        struct vs_piece_block *next = l->blocks->next;
        free(l->blocks);
        l->blocks = next;
    }
    free(l->waiting);
    vs_address_map_free(&l->driver);
    vs_address_map_free(&l->arrays);
    for (unsigned d = 0; d < VS_NDEVICES; d++) vs_address_map_free(&l->torch[d]);
    vs_address_map_free(&l->regions);
    vs_address_map_free(&l->heaps);
    vs_address_map_free(&l->mappings);
    vs_id_map_free(&l->physical);
    vs_id_map_free(&l->pools);
    vs_id_map_free(&l->captured);
}

/* SPDX-License-Identifier: MIT
 *
 * apply.c: decides when a record is applied (at once, in the order of its number, after another one) and by whom. It
 * must never hand on a record shorter than its struct.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"

enum when {
    AT_ONCE,
    NUMBERED, /* carries seq: applied strictly in that order */
    AFTER /* not numbered, but belongs after the numbered records before it in its slab, and after its range began */
};

static void nothing(struct vs_process *p, const struct vs_rec *rec)
{
    (void)p;
    (void)rec;
}

static const struct {
    uint16_t bytes;
    uint8_t source;
} kinds[VS_NKINDS] = {
#define X(id, source, type) [VS_K_##id] = {sizeof(struct type), VS_SRC_##source},
    VS_RECORDS(X)
#undef X
};

static const struct {
    void (*apply)(struct vs_process *, const struct vs_rec *);
    enum when when;
    uint8_t range_at; /* AFTER: offset of the field `range` */
} handlers[VS_NKINDS] = {
    [VS_K_SWITCH] = {nothing, AT_ONCE, 0},
    [VS_K_META] = {vs_apply_meta, AT_ONCE, 0},
    [VS_K_THREAD] = {vs_apply_thread, AT_ONCE, 0},
    [VS_K_STRING] = {vs_apply_string, AT_ONCE, 0},
    [VS_K_CLOCK] = {nothing, AT_ONCE, 0}, /* the schema has one pair per process: that of its start */
    [VS_K_MODULE] = {vs_apply_module, AT_ONCE, 0},
    [VS_K_GAP] = {vs_apply_gap, AT_ONCE, 0},
    [VS_K_END] = {vs_apply_end, AT_ONCE, 0},
    [VS_K_TORCH] = {vs_apply_torch, NUMBERED, 0},
    [VS_K_TORCH_OOM] = {vs_apply_oom, AFTER, offsetof(struct vs_rec_oom, range)},
    [VS_K_ALLOC] = {vs_apply_alloc, NUMBERED, 0},
    [VS_K_FREE] = {vs_apply_free, NUMBERED, 0},
    [VS_K_VMM] = {vs_apply_vmm, NUMBERED, 0},
    [VS_K_ALLOC_FAIL] = {vs_apply_alloc_fail, AFTER, offsetof(struct vs_rec_alloc_fail, range)},
    [VS_K_POOL] = {vs_apply_pool, AFTER, 0},
    [VS_K_LABEL] = {vs_apply_label, NUMBERED, 0},
    [VS_K_CONTEXT] = {vs_apply_context, NUMBERED, 0},
    [VS_K_DEVICE] = {vs_apply_device, AT_ONCE, 0},
    [VS_K_DEVICE_MEMORY] = {vs_apply_device_memory, NUMBERED, 0},
    [VS_K_MEASURE] = {vs_apply_measure, NUMBERED, 0},
    [VS_K_HOST_MEMORY] = {vs_apply_host_memory, AT_ONCE, 0},
    [VS_K_RANGE_BEGIN] = {vs_apply_range_begin, NUMBERED, 0},
    [VS_K_RANGE_END] = {vs_apply_range_end, NUMBERED, 0},
    [VS_K_MARK] = {vs_apply_mark, AFTER, offsetof(struct vs_rec_mark, range)},
    [VS_K_NVTX_NAME] = {vs_apply_nvtx_name, AT_ONCE, 0},
    [VS_K_REGION] = {vs_apply_region, NUMBERED, 0},
    [VS_K_REGION_FREE] = {vs_apply_region_free, NUMBERED, 0},
    [VS_K_REGION_NAME] = {vs_apply_region_name, NUMBERED, 0},
    [VS_K_COMM] = {vs_apply_comm, NUMBERED, 0},
    [VS_K_COLL_BEGIN] = {vs_apply_coll_begin, NUMBERED, 0},
    [VS_K_COLL_END] = {vs_apply_coll_end, AT_ONCE, 0},
    [VS_K_NCCL_LABEL] = {vs_apply_nccl_label, NUMBERED, 0},
    [VS_K_LAUNCH] = {vs_apply_launch, AFTER, offsetof(struct vs_rec_launch, range)},
    [VS_K_KERNEL] = {vs_apply_kernel, AT_ONCE, 0},
    [VS_K_TRANSFER] = {vs_apply_transfer, AT_ONCE, 0},
    [VS_K_API] = {vs_apply_api, AT_ONCE, 0},
    [VS_K_OVERHEAD] = {vs_apply_overhead, AT_ONCE, 0},
    [VS_K_STATIC] = {vs_apply_static, AT_ONCE, 0},
    [VS_K_CODE] = {vs_apply_code, AT_ONCE, 0},
    [VS_K_STACK] = {vs_apply_stack, AT_ONCE, 0},
};

bool vs_record_plausible(const struct vs_rec *rec, size_t room)
{
    return room >= sizeof *rec && rec->kind > VS_K_NONE && rec->kind < VS_NKINDS && rec->size8 * (size_t)8 <= room &&
           rec->size8 * (size_t)8 >= kinds[rec->kind].bytes;
}

enum vs_source vs_record_source(uint8_t kind)
{
    return kind < VS_NKINDS ? (enum vs_source)kinds[kind].source : VS_SRC_PROCESS;
}

static void apply(void *arg, const struct vs_rec *rec, uint32_t thread)
{
    struct vs_process *p = arg;
    p->thread = thread;
    handlers[rec->kind].apply(p, rec);
}

static uint64_t word_at(const struct vs_rec *rec, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)rec + offset, sizeof value);
    return value;
}

uint64_t vs_record_number(const struct vs_rec *rec)
{
    return handlers[rec->kind].when == NUMBERED ? word_at(rec, sizeof *rec) : 0; /* the first field of all of them */
}

void vs_process_accept(struct vs_process *p, const struct vs_rec *rec, uint32_t *thread, uint64_t *last_seq)
{
    enum vs_source source = vs_record_source(rec->kind);
    uint64_t after = 0;
    int err = 0;
    p->records++;
    p->stored[source]++;
    if (rec->kind == VS_K_SWITCH) {
        const struct vs_rec_switch *s = (const void *)rec;
        *thread = s->thread;
        if (s->thread) vs_facts_thread(p, s->thread, s->tid, NULL, 0);
        return;
    }
    switch (handlers[rec->kind].when) {
    case NUMBERED:
        after = vs_record_number(rec);
        err = vs_order_put(&p->order, rec, after, *thread);
        if (err == -ERANGE) {
            p->stored[source]--;
            p->damaged[source]++;
            p->damage = true;
        } else if (after > *last_seq) {
            *last_seq = after;
        }
        break;
    case AFTER:
        after = handlers[rec->kind].range_at ? word_at(rec, handlers[rec->kind].range_at) : 0;
        if (*last_seq > after || after >= p->order.next + VS_ORDER_REACH) after = *last_seq;
        err = vs_order_follow(&p->order, rec, after, *thread);
        break;
    case AT_ONCE: apply(p, rec, *thread); break;
    }
    if (err && err != -ERANGE) vs_process_check(p, err);
}

struct vs_process *vs_process_new(struct vs_store *store, int64_t id, const struct vs_identity *who)
{
    struct vs_process *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->cover = calloc(VS_MAX_SLABS, sizeof *p->cover);
    p->holes = calloc(VS_MAX_HOLES, sizeof *p->holes);
    if (!p->cover || !p->holes) {
        vs_process_free(p);
        return NULL;
    }
    p->store = store;
    p->id = id;
    p->base = (id - 1) * VS_ROWS_PER_PROCESS;
    p->who = *who;
    p->slabs_at = UINT64_MAX;
    p->series.origin_ns = who->start_ns;
    p->lifetime_ns = 0;
    vs_order_init(&p->order, apply, p);
    return p;
}

void vs_process_free(struct vs_process *p)
{
    if (!p) return;
    vs_order_free(&p->order);
    vs_gpu_free(p);
    vs_ranges_free(p);
    vs_passes_free(p);
    vs_live_free(p);
    vs_lines_free(p);
    vs_account_free(p);
    vs_nccl_free(p);
    vs_series_free(&p->series);
    vs_names_free(p);
    vs_facts_free(p);
    free(p->cover);
    free(p->holes);
    free(p->folder);
    free(p);
}

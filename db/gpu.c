/* SPDX-License-Identifier: MIT
 *
 * gpu.c: matches launches and work by correlation. It must never wait for a partner without a bound.
 */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

#define HORIZON_NS 60000000000ll /* no CUPTI flush period is longer; a kernel that runs longer loses its launch */
#define KEPT_DONE  65536u        /* launches outside graphs kept after their first work: a copy may bring several */
#define WORKS_MAX  1000000u
#define OPEN_MAX   1000000u /* launches without work; CUPTI holds fewer records at a time */

struct vs_work {
    struct vs_work *older, *newer;
    struct vs_work *same; /* next of the same correlation */
    int64_t id;
    struct vs_rec rec[]; /* a kernel or transfer record */
};

/* ---- launches ---- */

static void append(struct vs_launch_list *list, struct vs_launch *l)
{
    l->older = list->last;
    l->newer = NULL;
    if (list->last) list->last->newer = l;
    else list->first = l;
    list->last = l;
}

static void take_out(struct vs_launch_list *list, struct vs_launch *l)
{
    if (l->older) l->older->newer = l->newer;
    else list->first = l->newer;
    if (l->newer) l->newer->older = l->older;
    else list->last = l->older;
}

static void drop_launch(struct vs_process *p, struct vs_launch *l)
{
    struct vs_gpu *g = &p->gpu;
    take_out(l->done ? &g->done : &g->open, l);
    g->ndone -= l->done;
    g->nopen -= !l->done;
    vs_id_map_remove(&g->launches, l->correlation);
    vs_ranges_release(p, l->range);
    free(l);
}

/* Its time, unless later work has been reported: then it is not late, it had none. */
static void give_up(struct vs_process *p, const struct vs_launch *l)
{
    struct vs_gpu *g = &p->gpu;
    size_t kept = 0;
    if (l->matched || l->ts_ns <= g->newest_end) return;
    if (g->ngiven_up == g->given_up_room) {
        for (size_t i = 0; i < g->ngiven_up; i++) /* what has been reported since */
            if (g->given_up[i] > g->newest_end) g->given_up[kept++] = g->given_up[i];
        g->ngiven_up = kept;
    }
    if (kept * 2 > g->given_up_room || !g->given_up_room) {
        size_t room = g->given_up_room ? g->given_up_room * 2 : 4096;
        int64_t *times = realloc(g->given_up, room * sizeof *times);
        if (!times) {
            vs_process_check(p, -ENOMEM);
            return;
        }
        g->given_up = times;
        g->given_up_room = room;
    }
    g->given_up[g->ngiven_up++] = l->ts_ns;
}

static void evict_launches(struct vs_process *p)
{
    struct vs_gpu *g = &p->gpu;
    while (g->ndone > KEPT_DONE) drop_launch(p, g->done.first);
    while (g->open.first && (g->nopen > OPEN_MAX || g->open.first->ts_ns < g->newest_end - HORIZON_NS)) {
        give_up(p, g->open.first);
        drop_launch(p, g->open.first);
    }
}

static void measure(struct vs_process *p, struct vs_launch *l, const struct vs_rec *rec)
{
    /* kernels and transfers begin alike: begin_ns, end_ns */
    const struct vs_rec_kernel *k = (const void *)rec;
    bool graph = rec->kind == VS_K_KERNEL ? k->graph : ((const struct vs_rec_transfer *)(const void *)rec)->graph;
    if (!l->matched && !graph) {
        take_out(&p->gpu.open, l);
        append(&p->gpu.done, l);
        l->done = true;
        p->gpu.ndone++;
        p->gpu.nopen--;
    }
    l->matched = true;
    if (!l->range || (rec->flags & VS_TF_UNTIMED) || k->end_ns < k->begin_ns || k->end_ns > INT64_MAX / 2) return;
    struct vs_range_total *t = vs_ranges_total(p, l->range);
    if (t) vs_sum(&t->gpu_ns, (int64_t)(k->end_ns - k->begin_ns));
    vs_ranges_gpu(p, l->range, (int64_t)k->begin_ns, (int64_t)k->end_ns);
}

static void row(struct vs_process *p, const struct vs_rec *rec, int64_t id, struct vs_launch *l)
{
    if (l) measure(p, l, rec);
    if (rec->kind == VS_K_KERNEL) vs_gpu_kernel_row(p, (const void *)rec, id, l);
    else vs_gpu_transfer_row(p, (const void *)rec, id, l);
}

/* ---- work that came before its launch ---- */

static void unlink_work(struct vs_gpu *g, struct vs_work *w)
{
    if (w->older) w->older->newer = w->newer;
    else g->first_work = w->newer;
    if (w->newer) w->newer->older = w->older;
    else g->last_work = w->older;
    g->nworks--;
    free(w);
}

static void settle_works(struct vs_process *p, uint32_t correlation, struct vs_launch *l)
{
    struct vs_work *w = vs_id_map_remove(&p->gpu.works, correlation);
    while (w) {
        struct vs_work *next = w->same;
        row(p, w->rec, w->id, l);
        unlink_work(&p->gpu, w);
        w = next;
    }
}

static void wait_for_launch(struct vs_process *p, const struct vs_rec *rec, uint32_t correlation, int64_t id)
{
    struct vs_gpu *g = &p->gpu;
    size_t bytes = rec->size8 * (size_t)8;
    struct vs_work *w = malloc(sizeof *w + bytes), *head = vs_id_map_get(&g->works, correlation);
    if (!w || (!head && vs_id_map_put(&g->works, correlation, w))) {
        free(w);
        vs_process_check(p, -ENOMEM);
        return;
    }
    *w = (struct vs_work){.older = g->last_work, .id = id};
    memcpy(w->rec, rec, bytes);
    if (head) {
        w->same = head->same;
        head->same = w;
    }
    if (g->last_work) g->last_work->newer = w;
    else g->first_work = w;
    g->last_work = w;
    g->nworks++;
}

static void evict_works(struct vs_process *p, int64_t now)
{
    struct vs_gpu *g = &p->gpu;
    while (g->first_work) {
        const struct vs_rec_kernel *k = (const void *)g->first_work->rec;
        bool old = k->end_ns < (uint64_t)INT64_MAX / 2 && (int64_t)k->end_ns < now - HORIZON_NS;
        if (!old && g->nworks <= WORKS_MAX) return;
        settle_works(p,
                     g->first_work->rec->kind == VS_K_KERNEL
                         ? k->correlation
                         : ((const struct vs_rec_transfer *)(const void *)k)->correlation,
                     NULL);
    }
}

void vs_apply_launch(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_launch *r = (const void *)rec;
    struct vs_gpu *g = &p->gpu;
    struct vs_launch *l = vs_id_map_get(&g->launches, r->correlation);
    if (l) /* the numbers went round, or CUPTI was started again */
        drop_launch(p, l);
    l = calloc(1, sizeof *l);
    if (!l || vs_id_map_put(&g->launches, r->correlation, l)) {
        free(l);
        vs_process_check(p, -ENOMEM);
        return;
    }
    l->correlation = r->correlation;
    l->thread = r->thread ? r->thread : p->thread;
    l->ts_ns = vs_process_time(p, r->ts_ns);
    l->range_number = r->range;
    l->range = vs_ranges_hold(p, r->range);
    append(&g->open, l);
    g->nopen++;
    settle_works(p, r->correlation, l);
    if (g->first_work) evict_works(p, l->ts_ns);
    evict_launches(p);
    p->changed = true;
}

static void work(struct vs_process *p, const struct vs_rec *rec, uint32_t correlation, int64_t id)
{
    const struct vs_rec_kernel *k = (const void *)rec;
    struct vs_gpu *g = &p->gpu;
    struct vs_launch *l = vs_id_map_get(&g->launches, correlation);
    g->traced = p->changed = true;
    if (rec->flags & VS_TF_UNTIMED) p->untimed++;
    else if ((int64_t)k->end_ns > g->newest_end && k->end_ns < (uint64_t)INT64_MAX / 2)
        g->newest_end = vs_process_time(p, k->end_ns);
    if (l) row(p, rec, id, l);
    else wait_for_launch(p, rec, correlation, id);
    if (g->first_work) evict_works(p, g->newest_end);
    evict_launches(p);
}

void vs_apply_kernel(struct vs_process *p, const struct vs_rec *rec)
{
    work(p, rec, ((const struct vs_rec_kernel *)(const void *)rec)->correlation, p->base + ++p->gpu.next_kernel);
}

void vs_apply_transfer(struct vs_process *p, const struct vs_rec *rec)
{
    work(p, rec, ((const struct vs_rec_transfer *)(const void *)rec)->correlation, p->base + ++p->gpu.next_transfer);
}

/* A launch without work is nothing unusual (see record.h). Only one that the GPU could not have reported any more is
 * missing: later than its last report, in a process that had no time to ask for the rest. */
static uint64_t count_undelivered(const struct vs_process *p)
{
    const struct vs_gpu *g = &p->gpu;
    const char *level = vs_facts_get(p, "trace_level");
    int64_t delivered = vs_whole(vs_facts_delivered(p));
    uint64_t n = 0;
    if (p->ended != VS_KILLED || !(g->traced || (level && strcmp(level, "memory")))) return 0;
    if (g->newest_end > delivered) delivered = g->newest_end;
    for (const struct vs_launch *l = g->open.first; l; l = l->newer) n += !l->matched && l->ts_ns > delivered;
    for (size_t i = 0; i < g->ngiven_up; i++) n += g->given_up[i] > delivered;
    return n;
}

void vs_gpu_finish(struct vs_process *p)
{
    struct vs_gpu *g = &p->gpu;
    while (g->first_work) {
        const struct vs_rec *rec = g->first_work->rec;
        settle_works(p,
                     rec->kind == VS_K_KERNEL ? ((const struct vs_rec_kernel *)(const void *)rec)->correlation
                                              : ((const struct vs_rec_transfer *)(const void *)rec)->correlation,
                     NULL);
    }
    p->undelivered += count_undelivered(p);
    while (g->done.first) drop_launch(p, g->done.first);
    while (g->open.first) drop_launch(p, g->open.first);
}

static void free_list(struct vs_launch *l)
{
    while (l) {
        struct vs_launch *newer = l->newer;
        free(l);
        l = newer;
    }
}

void vs_gpu_free(struct vs_process *p)
{
    struct vs_gpu *g = &p->gpu;
    free_list(g->open.first);
    free_list(g->done.first);
    while (g->first_work) {
        struct vs_work *w = g->first_work;
        g->first_work = w->newer;
        free(w);
    }
    vs_id_map_free(&g->launches);
    vs_id_map_free(&g->works);
    vs_id_map_free(&g->total_index);
    free(g->totals);
    free(g->given_up);
}

/* SPDX-License-Identifier: MIT
 *
 * account.c: which owner each piece of device memory counts for, and the sums per owner as pieces come and go. It must
 * never count a byte for two owners, nor give an owner what nobody measured of it.
 */
#include "account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

struct vs_account_device *vs_account_device(struct vs_process *p, int device)
{
    struct vs_account_device **d;
    if (device < 0) return NULL;
    d = &p->account.of[device];
    if (!*d && (*d = calloc(1, sizeof **d))) {
        (*d)->stride = 1;
        (*d)->highest_held = -1;
        for (int i = 0; i < VS_NMOMENTS; i++) (*d)->special[i].used = -1;
    }
    if (!*d) vs_process_check(p, -ENOMEM);
    return *d;
}

int64_t vs_account_held(const struct vs_account_device *d)
{
    int64_t held = 0;
    for (int i = VS_SUM_SEGMENTS; i < VS_NSUMS; i++)
        if (i != VS_SUM_MANAGED) vs_sum(&held, d->sum[i]);
    return held;
}

/* ---- whose a piece is ---- */

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool is_executable(const struct vs_process *p, const char *library)
{
    const char *path = vs_facts_get(p, "executable"), *name = path ? strrchr(path, '/') : NULL;
    return path && !strcmp(library, name ? name + 1 : path);
}

/* "libcublas.so.13" is cublas. */
static uint8_t of_library(struct vs_process *p, const char *library)
{
    struct vs_account *a = &p->account;
    char name[64], *end;
    unsigned i;
    snprintf(name, sizeof name, "%s", library + (begins(library, "lib") ? 3 : 0));
    if ((end = strstr(name, ".so"))) *end = 0;
    for (i = 0; i < a->nlibraries; i++)
        if (!strcmp(a->library[i], name)) return (uint8_t)(VS_SUM_LIBRARY + i);
    if (i == VS_OWNER_LIBRARIES) return VS_NSUMS - 1;
    a->library[i] = strdup(i == VS_OWNER_LIBRARIES - 1 ? "others" : name);
    if (!a->library[i]) {
        vs_process_check(p, -ENOMEM);
        return VS_SUM_OTHER;
    }
    a->nlibraries++;
    return (uint8_t)(VS_SUM_LIBRARY + i);
}

/* Through the CUDA runtime anybody allocates: the program, unless the framework says the memory is its own. */
static uint8_t of_caller(struct vs_process *p, const char *library)
{
    if (!library || begins(library, "libcudart.so") || begins(library, "libcuda.so")) return VS_SUM_OTHER;
    if (begins(library, "libc10_cuda.so")) return VS_SUM_SEGMENTS;
    return is_executable(p, library) ? VS_SUM_OTHER : of_library(p, library);
}

static uint8_t sum_of(struct vs_process *p, const struct vs_piece *x)
{
    if (!x->in_totals || x->level != VS_LEVEL_HELD) return VS_SUM_NONE;
    if (x->framework) return VS_SUM_SEGMENTS;
    switch (x->source) {
    case VS_SE_NCCL: return VS_SUM_NCCL;
    case VS_SE_CUDA_ASYNC: return x->pool_size && !x->pool ? VS_SUM_GRAPH_POOLS : VS_SUM_POOLS;
    case VS_SE_MANAGED: return VS_SUM_MANAGED;
    case VS_SE_CUDA:
    case VS_SE_ARRAY: return of_caller(p, x->library);
    default: return VS_SUM_NONE; /* static variables come with their module, which is measured as a whole */
    }
}

void vs_account_count(struct vs_process *p, struct vs_piece *x, int sign)
{
    struct vs_account_device *d = vs_account_device(p, x->device);
    if (!d) return;
    if (sign > 0 && x->source != VS_SE_TORCH) x->sum = sum_of(p, x);
    vs_sum(&d->sum[x->sum], sign * (int64_t)x->bytes);
}

static void count_again(struct vs_process *p, struct vs_piece *x)
{
    vs_account_count(p, x, -1);
    vs_account_count(p, x, 1);
    p->changed = true;
}

void vs_account_named(struct vs_process *p, struct vs_piece *x)
{
    if (x->source != VS_SE_TORCH) count_again(p, x);
}

static void claim(struct vs_process *p, struct vs_piece *x)
{
    if (x->framework) return;
    x->framework = true;
    count_again(p, x);
}

uint8_t vs_account_block(struct vs_process *p, struct vs_piece *holder, int device, uint64_t address, uint64_t bytes)
{
    uint64_t at = address;
    struct vs_mapping *m;
    if (device < 0) return VS_SUM_NONE;
    if (!holder) return VS_SUM_LIVE_OUT;
    if (holder->level != VS_LEVEL_HELD || !holder->in_totals || holder->device != device ||
        holder->source == VS_SE_MANAGED)
        return VS_SUM_NONE; /* inside a pool, or another's memory, or nobody knows where */
    claim(p, holder);
    if (holder->flags & VS_FLAG_VIRTUAL) /* and whatever else it reaches over */
        while ((m = vs_address_map_ceiling(&p->live.mappings, at, &at)) && at - address < bytes) {
            if (m->physical->piece && m->physical->piece->in_totals) claim(p, m->physical->piece);
            if (++at == 0) break;
        }
    return VS_SUM_LIVE;
}

/* ---- against what the framework's allocator says ---- */

static void compare(struct vs_account_check *c, int64_t ours, uint64_t theirs, int64_t ts)
{
    int64_t difference = (int64_t)((uint64_t)ours - theirs);
    if (difference < 0) difference = -(difference + 1);
    if (theirs <= VS_MAX_PIECE_BYTES && difference > c->difference)
        *c = (struct vs_account_check){difference, ts, ours, (int64_t)theirs};
}

void vs_account_totals(struct vs_process *p, const struct vs_rec_torch *r, int64_t ts)
{
    struct vs_account_device *d = vs_account_device(p, r->h.device);
    /* At a free, segments may have been given back that its totals still hold. */
    if (!d || !(r->h.flags & 1) || r->bytes <= 0) return;
    compare(&d->check[VS_CHECK_LIVE], d->sum[VS_SUM_LIVE] + d->sum[VS_SUM_LIVE_OUT], r->allocated, ts);
    compare(&d->check[VS_CHECK_HELD], d->sum[VS_SUM_SEGMENTS], r->reserved, ts);
}

/* ---- contexts ---- */

static struct vs_account_context *find_context(struct vs_process *p, uint64_t handle, int device)
{
    struct vs_account_context *c = p->account.contexts;
    while (c && (c->device != device || (handle && c->handle != handle))) c = c->next;
    return c;
}

static void end_context(struct vs_process *p, struct vs_account_context **at)
{
    struct vs_account_context *c = *at;
    struct vs_account_device *d = vs_account_device(p, c->device);
    vs_sum(&d->context, (int64_t)(0 - (uint64_t)c->bytes));
    vs_sum(&d->profiler, (int64_t)(0 - (uint64_t)c->profiler));
    d->unmeasured -= !c->known;
    *at = c->next;
    free(c);
}

void vs_account_context_gone(struct vs_process *p, const struct vs_rec_context *r)
{
    struct vs_account_context **at = &p->account.contexts;
    while (*at) {
        if (r->context ? (*at)->handle == r->context : (*at)->device == r->h.device) end_context(p, at);
        else at = &(*at)->next;
    }
}

static void add_to_context(struct vs_process *p, struct vs_account_context *c, int64_t bytes, int64_t profiler)
{
    struct vs_account_device *d = vs_account_device(p, c->device);
    vs_sum(&c->bytes, bytes);
    vs_sum(&d->context, bytes);
    vs_sum(&c->profiler, profiler);
    vs_sum(&d->profiler, profiler);
}

static struct vs_account_context *begin_context(struct vs_process *p, struct vs_account_device *d,
                                                const struct vs_rec_measure *r)
{
    struct vs_account_context *c = calloc(1, sizeof *c);
    if (!c) {
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    c->handle = r->context;
    c->device = r->h.device;
    c->known = !(r->h.flags & VS_MF_UNKNOWN);
    c->next = p->account.contexts;
    p->account.contexts = c;
    d->context_seen = true;
    d->unmeasured += !c->known;
    return c;
}

static const char *const measured_names[VS_NMEASURED] = {[VS_MEASURED_NONE] = "unknown",
#define X(id, name) [VS_MEASURED_##id] = name,
                                                         VS_MEASUREDS(X)
#undef X
};

static void put_growth(struct vs_process *p, int device, int64_t ts, const char *what, int64_t bytes, uint64_t calls)
{
    VS_PUT(p->store, VS_ST_GROWTH, vs_int(p->id), vs_int(device), vs_int(ts), vs_text(what), vs_int(bytes),
           vs_int((int64_t)calls));
}

void vs_apply_measure(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_measure *r = (const void *)rec;
    struct vs_account_device *d = vs_account_device(p, rec->device);
    struct vs_account_context *c = NULL;
    bool known = !(rec->flags & VS_MF_UNKNOWN);
    int64_t ts = vs_process_time(p, r->ts_ns), profiler = (int64_t)r->recorder_bytes;
    if (!d || r->recorder_bytes > VS_MAX_PIECE_BYTES || r->bytes > (int64_t)VS_MAX_PIECE_BYTES ||
        r->bytes < -(int64_t)VS_MAX_PIECE_BYTES || r->what >= VS_NMEASURED)
        return;
    p->changed = true;
    if (r->what == VS_MEASURED_CONTEXT) c = begin_context(p, d, r);
    else if (!(c = find_context(p, r->context, rec->device))) c = find_context(p, 0, rec->device);
    if (c && known) add_to_context(p, c, r->bytes - profiler, profiler);
    else if (c) add_to_context(p, c, 0, profiler);
    if (!known) d->untold += r->calls;
    put_growth(p, rec->device, ts, measured_names[r->what], known ? r->bytes : VS_NONE, r->calls);
    vs_account_moment(p, rec->device,
                      &(struct vs_account_asked){.ts_ns = ts,
                                                 .used = vs_known(r->used_bytes),
                                                 .others = vs_known(r->others_used_bytes),
                                                 .unsettled = !known});
}

/* What could not be told call by call can be told together, between two moments at which nothing was under way: what the
 * driver gave this process and no allocation asked for. Managed memory comes and goes without a word: then nothing can. */
static void reconcile(struct vs_process *p, struct vs_account_device *d, const struct vs_rec_device_memory *r,
                      int64_t ts)
{
    struct vs_account_context *c = find_context(p, 0, r->h.device);
    int64_t ours = vs_account_held(d), grown;
    vs_sum(&ours, d->context);
    vs_sum(&ours, d->profiler);
    if (r->process_used_bytes > VS_MAX_PIECE_BYTES || (r->h.flags & VS_DM_UNSETTLED) || d->sum[VS_SUM_MANAGED]) return;
    if (d->untold && c) {
        grown = (int64_t)r->process_used_bytes - d->base_process;
        vs_sum(&grown, d->base_ours - ours);
        if (grown < -c->bytes) grown = -c->bytes;
        add_to_context(p, c, grown, 0);
        put_growth(p, r->h.device, ts, "together", grown, d->untold);
        vs_sum(&ours, grown);
        d->untold = d->unmeasured = 0;
        for (c = p->account.contexts; c; c = c->next)
            if (c->device == r->h.device) c->known = true;
    }
    d->base_process = (int64_t)r->process_used_bytes;
    d->base_ours = ours;
}

void vs_account_sample(struct vs_process *p, const struct vs_rec_device_memory *r, int64_t ts)
{
    struct vs_account_device *d = vs_account_device(p, r->h.device);
    if (!d || (r->h.flags & VS_DM_EARLIER)) return; /* the sums are those of now */
    reconcile(p, d, r, ts);
    vs_account_moment(p, r->h.device,
                      &(struct vs_account_asked){.ts_ns = ts,
                                                 .used = vs_known(r->used_bytes),
                                                 .others = vs_known(r->others_used_bytes),
                                                 .unsettled = r->h.flags & VS_DM_UNSETTLED,
                                                 .failure = r->h.flags & VS_DM_FAILURE});
}

void vs_account_free(struct vs_process *p)
{
    struct vs_account *a = &p->account;
    for (int i = 0; i < VS_NDEVICES - 1; i++) {
        struct vs_account_device *d = a->of[i];
        for (int j = 0; d && j < VS_NSEGMENTS; j++) vs_segments_free(&d->segments[j]);
        if (d) free(d->kept);
        free(d);
    }
    while (a->contexts) {
        struct vs_account_context *next = a->contexts->next;
        free(a->contexts);
        a->contexts = next;
    }
    for (unsigned i = 0; i < a->nlibraries; i++) free(a->library[i]);
    *a = (struct vs_account){0};
}

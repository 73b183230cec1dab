/* SPDX-License-Identifier: MIT
 *
 * facts.c: what a process says about itself: identity, settings, threads, devices, its end. It must never overwrite a
 * known fact by an unknown one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

/* META keys that are columns of table process; all others are rows of table setting. */
static const char *const columns[] = {
    "parent_pid", "rank", "local_rank",  "world_size",     "launcher",      "command_line",
    "executable", "cwd",  "trace_level", "driver_version", "cupti_version", "nccl_version",
};

const char *vs_facts_get(const struct vs_process *p, const char *key)
{
    for (const struct vs_fact *f = p->facts; f; f = f->next)
        if (!strcmp(f->key, key)) return f->value;
    return NULL;
}

static void keep(struct vs_process *p, char *key, char *value)
{
    struct vs_fact *f = p->facts;
    while (f && strcmp(f->key, key)) f = f->next;
    if (f) {
        free(f->value);
        free(key);
        f->value = value;
        return;
    }
    f = calloc(1, sizeof *f);
    if (!f) {
        free(key);
        free(value);
        vs_process_check(p, -ENOMEM);
        return;
    }
    *f = (struct vs_fact){key, value, p->facts};
    p->facts = f;
}

void vs_apply_meta(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_meta *r = (const void *)rec;
    size_t room = rec->size8 * (size_t)8 - sizeof *r;
    uint32_t k = r->key_bytes < room ? r->key_bytes : (uint32_t)room;
    uint32_t v = k < room ? (uint32_t)(room - k - 1) : 0;
    if (r->value_bytes < v) v = r->value_bytes;
    char *key = vs_names_copy(p, r->text, k), *value = vs_names_copy(p, v ? r->text + k + 1 : "", v);
    p->changed = true;
    if (!key || !value) {
        free(key);
        free(value);
        return;
    }
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (!strcmp(columns[i], key)) {
            keep(p, key, value);
            return;
        }
    VS_PUT(p->store, VS_ST_SETTING, vs_int(p->id), vs_text(key), vs_text(value));
    free(key);
    free(value);
}

static void write_thread(struct vs_process *p, const struct vs_thread_name *t)
{
    VS_PUT(p->store, VS_ST_THREAD, vs_int(vs_thread_row(p, t->number)), vs_int(p->id), vs_int(vs_nonzero(t->tid)),
           vs_text(t->name[0] ? t->name : NULL));
}

uint32_t vs_facts_number(const struct vs_process *p, uint32_t tid)
{
    const struct vs_thread_name *t = vs_id_map_get(&p->tids, tid);
    return t ? t->number : 0;
}

/* number 0: the latest thread of that tid. name NULL: not said. */
void vs_facts_thread(struct vs_process *p, uint32_t number, uint32_t tid, const char *name, size_t bytes)
{
    struct vs_thread_name *t = number ? vs_id_map_get(&p->threads, number) : vs_id_map_get(&p->tids, tid);
    bool fresh = !t;
    if (!number && !t) return;
    if (fresh) {
        t = calloc(1, sizeof *t);
        if (!t || vs_id_map_put(&p->threads, number, t)) {
            free(t);
            vs_process_check(p, -ENOMEM);
            return;
        }
        t->number = number;
        t->tid = tid;
        vs_process_check(p, vs_id_map_put(&p->tids, tid, t));
    }
    if (name) {
        p->passes.by_thread = 0; /* its name says what it is */
        char *clean = vs_names_copy(p, name, (uint32_t)strnlen(name, bytes));
        if (clean) snprintf(t->name, sizeof t->name, "%s", clean);
        free(clean);
    }
    if ((fresh || name) && vs_thread_row(p, t->number) != VS_NONE) write_thread(p, t);
}

void vs_apply_thread(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_thread *r = (const void *)rec;
    if (r->thread) vs_facts_thread(p, r->thread, r->tid, r->name, sizeof r->name);
}

static const char *source_name(uint32_t source)
{
    static const char *const names[VS_NSOURCES] = {
#define X(id, name) name,
        VS_SOURCES(X)
#undef X
    };
    return source < VS_NSOURCES ? names[source] : "unknown";
}

void vs_apply_gap(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_gap *r = (const void *)rec;
    int64_t ts = vs_process_time(p, r->ts_ns);
    int64_t *begin = vs_id_map_get(&p->gaps, r->source);
    p->changed = true;
    if (rec->flags & 1) {
        char *holder = vs_names_copy(p, r->holder, vs_text_bytes(rec, sizeof *r, r->holder_bytes));
        VS_PUT(p->store, VS_ST_GAP, vs_int(p->id), vs_text(source_name(r->source)), vs_int(ts), vs_int(VS_NONE),
               vs_text(holder && *holder ? holder : NULL));
        free(holder);
        if (!begin && (begin = malloc(sizeof *begin)) && vs_id_map_put(&p->gaps, r->source, begin)) {
            free(begin);
            begin = NULL;
        }
        if (begin) *begin = ts;
        else vs_process_check(p, -ENOMEM);
    } else if (begin) {
        VS_PUT(p->store, VS_ST_GAP_END, vs_int(p->id), vs_text(source_name(r->source)), vs_int(*begin), vs_int(ts));
        free(vs_id_map_remove(&p->gaps, r->source));
    }
}

void vs_apply_end(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_end *r = (const void *)rec;
    vs_process_time(p, r->ts_ns);
    p->end_seen = p->changed = true;
    p->ended = rec->flags == VS_END_DETACHED ? VS_DETACHED : VS_EXITED;
    p->end = *r;
}

void vs_apply_device(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_device *r = (const void *)rec;
    const uint8_t *u = r->uuid;
    char uuid[48], pci[24];
    if (rec->device < 0) return;
    char *name = vs_names_copy(p, r->name, vs_text_bytes(rec, sizeof *r, r->name_bytes));
    bool any = false;
    for (int i = 0; i < 16; i++) any |= u[i];
    snprintf(uuid, sizeof uuid, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    snprintf(pci, sizeof pci, "%04x:%02x:%02x", r->pci >> 16, r->pci >> 8 & 0xff, r->pci & 0xff);
    VS_PUT(p->store, VS_ST_DEVICE, vs_int(p->id), vs_int(rec->device), vs_text(name && *name ? name : NULL),
           vs_text(any ? uuid : NULL), vs_text(pci), vs_int((int64_t)r->total_bytes));
    free(name);
}

void vs_apply_device_memory(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_device_memory *r = (const void *)rec;
    int64_t ts = vs_process_sampled(p, r->ts_ns);
    int device = rec->device < 0 ? -1 : rec->device;
    p->changed = true;
    VS_PUT(p->store, VS_ST_DEVICE_SAMPLE, vs_int(p->id), vs_int(device), vs_int(ts), vs_int(vs_known(r->used_bytes)),
           vs_int(vs_known(r->free_bytes)), vs_int(vs_known(r->process_used_bytes)));
    if (r->used_bytes < VS_MAX_PIECE_BYTES)
        vs_process_check(p, vs_series_set(&p->series, device, VS_SE_DRIVER_USED, (int64_t)r->used_bytes, ts));
    vs_account_sample(p, r, ts);
}

static struct vs_value number_fact(const struct vs_process *p, const char *key)
{
    const char *value = vs_facts_get(p, key);
    char *end = NULL;
    long long n = value ? strtoll(value, &end, 10) : 0;
    return vs_int(value && *value && !*end ? n : VS_NONE);
}

static struct vs_value text_fact(const struct vs_process *p, const char *key)
{
    const char *value = vs_facts_get(p, key);
    return vs_text(value && *value ? value : NULL);
}

/* The last record outlives the control file, and is later than any look at it. */
uint64_t vs_facts_delivered(const struct vs_process *p)
{
    return p->end_seen ? p->end.delivered_ns : p->counters.delivered_ns;
}

static int64_t overhead(const struct vs_process *p)
{
    const uint64_t *each = p->end_seen ? p->end.calibrated_ns : p->counters.control ? p->counters.calibrated_ns : NULL;
    uint64_t ns = 0;
    for (int s = 0; s < VS_NSOURCES; s++) ns += each ? p->stored[s] * each[s] : 0;
    for (int i = 0; i < 16; i++) ns += p->overhead_ns[i];
    const char *lines = vs_facts_get(p, "python_lines_ns"); /* walks along Python frames append little, and cost all the same */
    if (lines) ns += strtoull(lines, NULL, 10);
    return each || p->gpu.traced ? vs_whole(ns) : VS_NONE;
}

/* Its helper thread stamps the control file, also when the program does nothing. */
static int64_t alive(const struct vs_process *p, int64_t end)
{
    bool stamped = p->counters.control && p->ended == VS_KILLED;
    int64_t beat = stamped ? vs_whole(p->counters.heartbeat_ns) : 0;
    if (beat > end && beat < INT64_MAX / 2) return beat;
    return end ? end : VS_NONE;
}

void vs_facts_write(struct vs_process *p)
{
    static const char *const ended[] = {"running", "exit", "detached", "killed"};
    const struct vs_counters *c = &p->counters;
    bool known = p->end_seen || c->control;
    uint64_t host_bytes = p->end_seen ? p->end.host_bytes : c->host_bytes;
    uint64_t gpu_bytes = p->end_seen ? p->end.gpu_buffer_bytes : c->gpu_buffer_bytes;
    int64_t end = p->end_ns > p->lifetime_ns ? p->end_ns : p->lifetime_ns;
    int64_t event = p->event_ns > p->lifetime_ns ? p->event_ns : p->lifetime_ns;
    VS_PUT(p->store, VS_ST_PROCESS, vs_int(p->id), vs_text(p->who.host), vs_int(p->who.pid),
           number_fact(p, "parent_pid"), number_fact(p, "rank"), number_fact(p, "local_rank"),
           number_fact(p, "world_size"), text_fact(p, "launcher"), text_fact(p, "command_line"),
           text_fact(p, "executable"), text_fact(p, "cwd"), text_fact(p, "trace_level"), vs_int(p->who.start_ns),
           vs_int(p->who.start_real_ns), vs_int(end ? end : VS_NONE), vs_text(ended[p->ended]),
           vs_int(vs_nonzero(vs_facts_delivered(p))), text_fact(p, "driver_version"), text_fact(p, "cupti_version"),
           text_fact(p, "nccl_version"), vs_int((int64_t)p->log_at), vs_int(known ? vs_whole(host_bytes) : VS_NONE),
           vs_int(vs_nonzero(gpu_bytes)), vs_int(overhead(p)),
           vs_int(p->end_seen && p->end.has_exit_status ? p->end.exit_status : VS_NONE), vs_int(vs_nonzero((uint64_t)event)),
           vs_int(alive(p, end)), vs_int(VS_NONE));
}

void vs_facts_free(struct vs_process *p)
{
    while (p->facts) {
        struct vs_fact *next = p->facts->next;
        free(p->facts->key);
        free(p->facts->value);
        free(p->facts);
        p->facts = next;
    }
    for (size_t i = 0; i < p->threads.size; i++) free(p->threads.slots[i].value);
    for (size_t i = 0; i < p->gaps.size; i++) free(p->gaps.slots[i].value);
    vs_id_map_free(&p->threads);
    vs_id_map_free(&p->tids);
    vs_id_map_free(&p->gaps);
}

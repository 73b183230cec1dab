/* SPDX-License-Identifier: MIT
 *
 * log_writer.c: slabs, frames and the two folders of a process that never was. It must follow record.h and nothing of
 * the recorder's own code: it is the second opinion on the format.
 */
#include "log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct slab {
    uint64_t words[VS_SLAB_BYTES / 8];
};

struct vs_log_writer {
    struct vs_log_writer_options o;
    struct vs_control control;
    struct slab *slabs;
    unsigned nslabs;
    uint32_t cur[VS_WRITER_THREADS + 1];     /* fill of the thread's slab */
    unsigned slab_of[VS_WRITER_THREADS + 1]; /* index + 1 */
    unsigned *full, nfull;                   /* waiting to become frames */
    struct vs_rec *open;                     /* the record last added */
    FILE *log;
    uint64_t random;
    int exit_status, has_status;
    char folder[512], memory[256];
};

static void need(int ok, const char *what)
{
    if (ok) return;
    perror(what);
    abort();
}

static struct vs_slab *head(struct vs_log_writer *w, unsigned i)
{
    return (struct vs_slab *)w->slabs[i].words;
}

static void own_identity(struct vs_control *c, bool alive)
{
    char text[1024] = "", *p;
    struct stat st;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    need(f && fgets(text, sizeof text, f), "boot_id");
    fclose(f);
    int n = 0;
    for (p = text; *p && n < 32; p++) {
        unsigned v;
        if (*p == '-' || sscanf((char[]){*p, 0}, "%x", &v) != 1) continue;
        c->boot_id[n / 2] = (uint8_t)(c->boot_id[n / 2] << 4 | v);
        n++;
    }
    need(!stat("/proc/self/ns/pid", &st), "ns");
    c->pid_namespace = st.st_ino;
    gethostname(c->host, sizeof c->host - 1);
    if (!alive) return;
    c->pid = (uint32_t)getpid();
    f = fopen("/proc/self/stat", "r");
    need(f && fgets(text, sizeof text, f), "stat");
    fclose(f);
    p = strrchr(text, ')') + 2;
    for (int field = 3; field < 22; field++) p = strchr(p, ' ') + 1;
    c->pid_start = strtoull(p, NULL, 10);
}

static void write_head(struct vs_log_writer *w)
{
    struct vs_log_head h = {.magic = VS_LOG_MAGIC, .version = VS_FORMAT_VERSION};
    const struct vs_control *c = &w->control;
    memcpy(h.memory, c->memory, sizeof h.memory);
    memcpy(h.boot_id, c->boot_id, sizeof h.boot_id);
    memcpy(h.host, c->host, sizeof h.host);
    h.pid = c->pid;
    h.pid_start = c->pid_start;
    h.pid_namespace = c->pid_namespace;
    h.start_ns = c->start_ns;
    h.start_real_ns = c->start_real_ns;
    h.check = vs_check(&h, sizeof h);
    fwrite(&h, sizeof h, 1, w->log);
    w->control.log_bytes = sizeof h;
}

struct vs_log_writer *vs_log_writer_open(const struct vs_log_writer_options *o)
{
    struct vs_log_writer *w = calloc(1, sizeof *w);
    char path[600];
    need(!!w, "calloc");
    w->o = *o;
    w->random = o->shuffle * 2 + 1;
    w->nslabs = ((o->slabs ? o->slabs : 64) + VS_CHUNK_SLABS - 1) / VS_CHUNK_SLABS * VS_CHUNK_SLABS;
    w->slabs = calloc(w->nslabs, sizeof *w->slabs);
    w->full = calloc(w->nslabs, sizeof *w->full);
    need(w->slabs && w->full, "calloc");
    w->control = (struct vs_control){.version = VS_FORMAT_VERSION,
                                     .slab_bytes = VS_SLAB_BYTES,
                                     .chunk_slabs = VS_CHUNK_SLABS,
                                     .pid = o->pid ? o->pid : 4242,
                                     .pid_start = 77,
                                     .start_ns = o->start_ns ? o->start_ns : 1000,
                                     .start_real_ns = 1700000000000000000,
                                     .state = VS_CTL_RUNNING,
                                     .chunks = w->nslabs / VS_CHUNK_SLABS,
                                     .seq_next = 1};
    own_identity(&w->control, o->alive);
    if (o->other_host) {
        memset(w->control.boot_id, 0xab, sizeof w->control.boot_id);
        strcpy(w->control.host, "elsewhere");
    }
    snprintf(w->folder, sizeof w->folder, "%s/host-%u-%llu", o->run, w->control.pid,
             (unsigned long long)w->control.start_ns);
    if (o->memory)
        snprintf(w->memory, sizeof w->memory, "%s/vramscope-%u-%llu", o->memory, w->control.pid,
                 (unsigned long long)w->control.start_ns);
    snprintf(w->control.folder, sizeof w->control.folder, "%s", w->folder);
    snprintf(w->control.memory, sizeof w->control.memory, "%s", w->memory);
    w->control.magic = VS_CONTROL_MAGIC;
    for (unsigned i = 0; i < w->nslabs; i++)
        *head(w, i) =
            (struct vs_slab){.magic = VS_SLAB_MAGIC, .serial = 1, .fill = VS_SLAB_RECORDS, .copied = VS_SLAB_RECORDS};
    if (!o->no_log) {
        need(!mkdir(w->folder, 0700) || errno == EEXIST, w->folder);
        snprintf(path, sizeof path, "%s/" VS_LOG_NAME, w->folder);
        need(!!(w->log = fopen(path, "w")), path);
        write_head(w);
    }
    return w;
}

const char *vs_log_writer_folder(const struct vs_log_writer *w)
{
    return w->folder;
}

const char *vs_log_writer_memory(const struct vs_log_writer *w)
{
    return w->memory;
}

struct vs_control *vs_log_writer_control(struct vs_log_writer *w)
{
    return &w->control;
}

static void publish(struct vs_log_writer *w)
{
    w->open = NULL; /* one thread: a record is visible as soon as it is written */
}

/* What is new in a slab becomes a frame. */
static void write_frame(struct vs_log_writer *w, unsigned i)
{
    struct vs_slab *s = head(w, i);
    static struct slab copy;
    struct vs_frame f = {
        .magic = VS_FRAME_MAGIC, .serial = s->serial, .slab = i, .offset = s->copied, .thread = s->thread};
    uint32_t at = s->copied;
    if (!w->log) return;
    while (at + sizeof(struct vs_rec) <= VS_SLAB_BYTES) {
        const struct vs_rec *r = (const struct vs_rec *)((const char *)s + at);
        struct vs_rec *to = (struct vs_rec *)((char *)copy.words + (at - s->copied));
        if (!r->kind) break;
        memcpy(to, r, r->size8 * 8u);
        to->check = vs_check(to, r->size8 * 8u);
        if (r->kind == VS_K_SWITCH) s->thread = ((const struct vs_rec_switch *)r)->thread;
        at += r->size8 * 8u;
        f.records++;
    }
    if (at == s->copied) return;
    f.bytes = at - s->copied;
    f.check = vs_check(&f, sizeof f);
    fwrite(&f, sizeof f, 1, w->log);
    fwrite(copy.words, f.bytes, 1, w->log);
    w->control.log_bytes += sizeof f + f.bytes;
    s->copied = at;
}

static void recycle(struct vs_log_writer *w, unsigned i)
{
    struct vs_slab *s = head(w, i);
    memset((char *)s + VS_SLAB_RECORDS, 0, VS_SLAB_BYTES - VS_SLAB_RECORDS);
    s->serial++;
    s->fill = s->copied = VS_SLAB_RECORDS;
    s->thread = 0;
    s->state = VS_SLAB_AVAILABLE;
}

static uint64_t next_random(struct vs_log_writer *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static void write_full(struct vs_log_writer *w)
{
    while (w->nfull) {
        unsigned k = w->o.shuffle ? (unsigned)(next_random(w) % w->nfull) : 0;
        write_frame(w, w->full[k]);
        recycle(w, w->full[k]);
        memmove(w->full + k, w->full + k + 1, (w->nfull - k - 1) * sizeof *w->full);
        w->nfull--;
    }
}

static void acquire(struct vs_log_writer *w, unsigned thread)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        for (unsigned i = 0; i < w->nslabs; i++) {
            struct vs_slab *s = head(w, i);
            if (s->state != VS_SLAB_AVAILABLE) continue;
            s->state = VS_SLAB_OWNED;
            s->owner_tid = 1000 + thread;
            s->owner_thread = thread;
            w->slab_of[thread] = i + 1;
            w->cur[thread] = s->fill;
            struct vs_rec_switch *r = vs_log_writer_add(w, thread, VS_K_SWITCH, sizeof *r, 0, -1);
            r->thread = thread;
            r->tid = 1000 + thread;
            return;
        }
        write_full(w);
    }
    need(!w->o.no_log, "no free slab");
    abort();
}

void *vs_log_writer_add(struct vs_log_writer *w, unsigned thread, enum vs_kind kind, size_t bytes, unsigned flags,
                        int device)
{
    static const uint8_t sources[VS_NKINDS] = {
#define X(id, source, type) [VS_K_##id] = VS_SRC_##source,
        VS_RECORDS(X)
#undef X
    };
    publish(w);
    bytes = (bytes + 7) & ~(size_t)7;
    need(bytes <= VS_MAX_RECORD_BYTES && thread <= VS_WRITER_THREADS, "record size");
    if (!w->slab_of[thread]) acquire(w, thread);
    if (w->cur[thread] + bytes > VS_SLAB_BYTES) {
        unsigned i = w->slab_of[thread] - 1;
        head(w, i)->state = VS_SLAB_FULL;
        head(w, i)->fill = w->cur[thread];
        w->full[w->nfull++] = i;
        if (!w->o.shuffle && w->log) write_full(w);
        acquire(w, thread);
    }
    struct vs_slab *s = head(w, w->slab_of[thread] - 1);
    struct vs_rec *r = (struct vs_rec *)((char *)s + w->cur[thread]);
    *r = (struct vs_rec){
        .kind = (uint8_t)kind, .size8 = (uint8_t)(bytes / 8), .flags = (uint8_t)flags, .device = (int8_t)device};
    w->cur[thread] += (uint32_t)bytes;
    s->appended[sources[kind]]++;
    return w->open = r;
}

uint64_t vs_log_writer_seq(struct vs_log_writer *w)
{
    return w->control.seq_next++;
}

void vs_log_writer_lose(struct vs_log_writer *w, enum vs_source source, enum vs_loss why, uint64_t n)
{
    w->control.lost[source][why] += n;
}

void vs_log_writer_status(struct vs_log_writer *w, int exit_status)
{
    w->exit_status = exit_status;
    w->has_status = 1;
}

void vs_log_writer_flush(struct vs_log_writer *w)
{
    publish(w);
    write_full(w);
    for (unsigned i = 0; i < w->nslabs; i++) write_frame(w, i);
    if (w->log) fflush(w->log);
}

uint64_t vs_log_writer_appended(const struct vs_log_writer *w, enum vs_source source)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < w->nslabs; i++) n += ((const struct vs_slab *)w->slabs[i].words)->appended[source];
    return n;
}

static void write_memory(struct vs_log_writer *w)
{
    char path[320], page[VS_CONTROL_BYTES] = {0};
    need(!mkdir(w->memory, 0700) || errno == EEXIST, w->memory);
    snprintf(path, sizeof path, "%s/" VS_CONTROL_NAME, w->memory);
    FILE *f = fopen(path, "w");
    memcpy(page, &w->control, sizeof w->control);
    need(f && fwrite(page, sizeof page, 1, f) == 1 && !fclose(f), path);
    for (unsigned c = 0; c < w->control.chunks; c++) {
        snprintf(path, sizeof path, "%s/" VS_SLABS_NAME "%u", w->memory, c);
        f = fopen(path, "w");
        need(f && fwrite(w->slabs + c * VS_CHUNK_SLABS, sizeof(struct slab), VS_CHUNK_SLABS, f) == VS_CHUNK_SLABS &&
                 !fclose(f),
             path);
    }
}

void vs_log_writer_close(struct vs_log_writer *w, enum vs_writer_end how)
{
    if (how != VS_WRITER_KILL) {
        struct vs_rec_end *e =
            vs_log_writer_add(w, 1, VS_K_END, sizeof *e, how == VS_WRITER_EXIT ? VS_END_EXIT : VS_END_DETACHED, -1);
        e->ts_ns = w->control.heartbeat_ns;
        for (int s = 0; s < VS_NSOURCES; s++) e->appended[s] = vs_log_writer_appended(w, (enum vs_source)s);
        memcpy(e->lost, w->control.lost, sizeof e->lost);
        memcpy(e->calibrated_ns, w->control.calibrated_ns, sizeof e->calibrated_ns);
        e->delivered_ns = w->control.delivered_ns;
        e->gpu_buffer_bytes = w->control.gpu_buffer_bytes;
        e->host_bytes = w->control.host_bytes;
        e->has_exit_status = (uint32_t)w->has_status;
        e->exit_status = w->exit_status;
        vs_log_writer_flush(w);
        w->control.state = VS_CTL_ENDED;
    } else if (w->log) {
        fflush(w->log);
    }
    if (w->memory[0] && (how == VS_WRITER_KILL || !w->log)) write_memory(w);
    if (w->log) fclose(w->log);
    free(w->slabs);
    free(w->full);
    free(w);
}

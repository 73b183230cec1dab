/* SPDX-License-Identifier: MIT
 *
 * slab_reader.c: reads the memory-backed files of a dead process. It must never read those of another process, nor take
 * a record twice that a frame on disk holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_reader.h"

#define CHUNK_BYTES ((size_t)VS_SLAB_BYTES * VS_CHUNK_SLABS)

static int read_control(const char *memory, struct vs_control *c)
{
    char path[300];
    if (!memory[0]) return -ENOENT;
    snprintf(path, sizeof path, "%s/" VS_CONTROL_NAME, memory);
    int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return -errno;
    if (pread(fd, c, sizeof *c, 0) != (ssize_t)sizeof *c || c->magic != VS_CONTROL_MAGIC ||
        c->version != VS_FORMAT_VERSION || c->slab_bytes != VS_SLAB_BYTES || c->chunk_slabs != VS_CHUNK_SLABS)
        err = -EPROTO;
    close(fd);
    c->host[sizeof c->host - 1] = c->folder[sizeof c->folder - 1] = c->memory[sizeof c->memory - 1] = 0;
    return err;
}

static int read_own_control(const char *memory, const struct vs_identity *who, struct vs_control *c)
{
    int err = read_control(memory, c);
    if (!err && (c->pid != who->pid || c->pid_start != who->pid_start || (int64_t)c->start_ns != who->start_ns ||
                 memcmp(c->boot_id, who->boot_id, sizeof who->boot_id)))
        err = -EPROTO;
    return err;
}

int vs_memory_identity(const char *memory, struct vs_identity *who, char folder[1025])
{
    struct vs_control c;
    int err = read_control(memory, &c);
    if (err) return err;
    *who = (struct vs_identity){.pid = c.pid,
                                .pid_start = c.pid_start,
                                .pid_namespace = c.pid_namespace,
                                .start_ns = (int64_t)(c.start_ns & INT64_MAX),
                                .start_real_ns = (int64_t)(c.start_real_ns & INT64_MAX)};
    memcpy(who->boot_id, c.boot_id, sizeof who->boot_id);
    memcpy(who->host, c.host, sizeof c.host);
    memcpy(folder, c.folder, sizeof c.folder);
    folder[sizeof c.folder] = 0;
    return 0;
}

static int open_chunk(const char *memory, unsigned chunk)
{
    char path[300];
    snprintf(path, sizeof path, "%s/" VS_SLABS_NAME "%u", memory, chunk);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int vs_memory_counters(const char *memory, const struct vs_identity *who, struct vs_counters *out)
{
    struct vs_control c;
    int err = read_own_control(memory, who, &c);
    memset(out, 0, sizeof *out);
    if (err) return err;
    out->control = out->known = true;
    out->state = c.state;
    out->delivered_ns = c.delivered_ns;
    out->gpu_buffer_bytes = c.gpu_buffer_bytes;
    out->host_bytes = c.host_bytes;
    out->seq_next = c.seq_next;
    out->heartbeat_ns = c.heartbeat_ns;
    memcpy(out->lost, c.lost, sizeof out->lost);
    memcpy(out->calibrated_ns, c.calibrated_ns, sizeof out->calibrated_ns);
    for (unsigned i = 0; i < c.chunks && i < VS_MAX_CHUNKS; i++) {
        int fd = open_chunk(memory, i);
        if (fd < 0) {
            out->known = false;
            continue;
        }
        for (unsigned k = 0; k < VS_CHUNK_SLABS; k++) {
            struct vs_slab s;
            if (pread(fd, &s, sizeof s, (off_t)(k * (size_t)VS_SLAB_BYTES)) != (ssize_t)sizeof s ||
                (s.magic && s.magic != VS_SLAB_MAGIC))
                out->known = false;
            else
                for (int source = 0; s.magic && source < VS_NSOURCES; source++)
                    out->appended[source] += s.appended[source];
        }
        close(fd);
    }
    return 0;
}

/* Records of a slab in [from, to): accepted; those before `from` only tell whose the next ones are. */
static void walk(struct vs_process *p, const unsigned char *slab, uint32_t from, uint32_t to)
{
    const struct vs_slab *s = (const void *)slab;
    uint32_t at = VS_SLAB_RECORDS, thread = 0;
    uint64_t last_seq = 0;
    while (at < to) {
        const struct vs_rec *rec = (const void *)(slab + at);
        if (!vs_record_plausible(rec, VS_SLAB_BYTES - at)) {
            if (at >= from) { /* zero: the end. Anything else: what follows cannot be told apart */
                p->damage |= rec->kind != 0;
                return;
            }
            at = from;
            thread = s->copied == from ? s->thread : 0;
            continue;
        }
        if (at >= from) {
            vs_process_accept(p, rec, &thread, &last_seq);
        } else if (rec->kind == VS_K_SWITCH) {
            thread = ((const struct vs_rec_switch *)(const void *)rec)->thread;
        } else if (vs_record_number(rec) > last_seq && vs_record_number(rec) < p->order.next + VS_ORDER_REACH) {
            last_seq = vs_record_number(rec);
        }
        at += rec->size8 * 8u;
        if (at - rec->size8 * 8u < from && at > from) /* the place does not lie between two records */
            at = from;
    }
}

/* Calls for each slab that is there; its contents may be of any filling. */
static int each_slab(struct vs_process *p,
                     void (*fn)(struct vs_process *, unsigned, const unsigned char *, const void *), const void *arg)
{
    struct vs_control c;
    int err = read_own_control(p->memory, &p->who, &c);
    if (err) return err == -ENOENT || err == -EPROTO ? 0 : err;
    unsigned char *chunk = malloc(CHUNK_BYTES);
    if (!chunk) return -ENOMEM;
    for (unsigned i = 0; i < c.chunks && i < VS_MAX_CHUNKS; i++) {
        int fd = open_chunk(p->memory, i);
        if (fd < 0) continue;
        ssize_t n = pread(fd, chunk, CHUNK_BYTES, 0);
        close(fd);
        for (unsigned k = 0; k < VS_CHUNK_SLABS && n >= (ssize_t)((k + 1) * (size_t)VS_SLAB_BYTES); k++) {
            const unsigned char *slab = chunk + k * (size_t)VS_SLAB_BYTES;
            if (((const struct vs_slab *)(const void *)slab)->magic == VS_SLAB_MAGIC)
                fn(p, i * VS_CHUNK_SLABS + k, slab, arg);
        }
    }
    free(chunk);
    return 0;
}

static void take(struct vs_process *p, unsigned index, const unsigned char *slab, const void *arg)
{
    const struct vs_cover *c = (const struct vs_cover *)arg + index;
    const struct vs_slab *s = (const void *)slab;
    uint32_t from = c->end && c->serial == s->serial ? c->end : VS_SLAB_RECORDS;
    if (c->end && c->serial > s->serial) /* a slab is never filled backwards */
        p->damage = true;
    else walk(p, slab, from, VS_SLAB_BYTES);
}

int vs_memory_take(struct vs_process *p, const struct vs_cover *cover)
{
    return each_slab(p, take, cover);
}

static void mend(struct vs_process *p, unsigned index, const unsigned char *slab, const void *arg)
{
    const struct vs_slab *s = (const void *)slab;
    (void)arg;
    for (unsigned i = 0; i < p->nholes; i++) {
        const struct vs_hole *h = &p->holes[i];
        if (h->slab == index && h->serial == s->serial && h->end <= VS_SLAB_BYTES) walk(p, slab, h->begin, h->end);
    }
}

void vs_memory_mend(struct vs_process *p)
{
    if (p->nholes) vs_process_check(p, each_slab(p, mend, NULL));
    p->nholes = 0;
}

/* Only the files a recorder makes, and only when the folder is this process's. */
int vs_memory_remove(const char *memory, const struct vs_identity *who)
{
    struct vs_control c;
    char path[300];
    int err = read_own_control(memory, who, &c);
    if (err) return err == -ENOENT ? 0 : err;
    for (unsigned i = 0; i < VS_MAX_CHUNKS; i++) {
        snprintf(path, sizeof path, "%s/" VS_SLABS_NAME "%u", memory, i);
        if (unlink(path) && errno == ENOENT && i >= c.chunks) break;
    }
    snprintf(path, sizeof path, "%s/" VS_CONTROL_NAME, memory);
    unlink(path);
    return rmdir(memory) ? -errno : 0;
}

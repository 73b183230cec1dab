/* SPDX-License-Identifier: MIT
 *
 * log_reader.c: frames of a log file. It must never loop or allocate by a length it has not checked, and never give up a
 * whole file for a damaged place.
 */
#include "log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20)
#define FRAME_BYTES  ((uint32_t)sizeof(struct vs_frame))

int vs_log_read_head(const char *log_path, struct vs_identity *who, char memory[257])
{
    struct vs_log_head h;
    int err = 0, fd = open(log_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    ssize_t n = pread(fd, &h, sizeof h, 0);
    if (n < 0) err = -errno;
    else if ((size_t)n < sizeof h) err = -ENODATA;
    close(fd);
    if (err) return err;
    uint32_t check = h.check;
    h.check = 0;
    if (h.magic != VS_LOG_MAGIC || h.version != VS_FORMAT_VERSION || vs_check(&h, sizeof h) != check) return -EPROTO;
    *who = (struct vs_identity){.pid = h.pid,
                                .pid_start = h.pid_start,
                                .pid_namespace = h.pid_namespace,
                                .start_ns = (int64_t)(h.start_ns & INT64_MAX),
                                .start_real_ns = (int64_t)(h.start_real_ns & INT64_MAX)};
    memcpy(who->boot_id, h.boot_id, sizeof who->boot_id);
    memcpy(who->host, h.host, sizeof h.host);
    memcpy(memory, h.memory, sizeof h.memory);
    memory[sizeof h.memory] = 0;
    return 0;
}

int vs_log_reader_open(struct vs_log_reader *r, const char *log_path, uint64_t at, bool final)
{
    struct stat st;
    int err = 0;
    *r = (struct vs_log_reader){.fd = open(log_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .final = final};
    if (r->fd < 0) return -errno;
    if (fstat(r->fd, &st) || !S_ISREG(st.st_mode)) {
        err = errno ? -errno : -EIO;
        goto out;
    }
    r->buffer = malloc(BUFFER_BYTES);
    r->aligned = malloc(VS_SLAB_BYTES);
    if (!r->buffer || !r->aligned) {
        err = -ENOMEM;
        goto out;
    }
    r->at = at < sizeof(struct vs_log_head) ? sizeof(struct vs_log_head) : at;
    r->size = (uint64_t)st.st_size;
    posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
out:
    if (err) vs_log_reader_close(r);
    return err;
}

void vs_log_reader_close(struct vs_log_reader *r)
{
    if (r->fd >= 0) close(r->fd);
    free(r->buffer);
    free(r->aligned);
    r->buffer = NULL;
    r->aligned = NULL;
    r->fd = -1;
}

/* `bytes` (at most BUFFER_BYTES) from the file, or NULL: fewer are there. */
static unsigned char *view(struct vs_log_reader *r, uint64_t at, uint32_t bytes)
{
    if (at >= r->buffer_at && at - r->buffer_at + bytes <= r->buffer_bytes) return r->buffer + (at - r->buffer_at);
    r->buffer_at = at;
    r->buffer_bytes = 0;
    while (r->buffer_bytes < BUFFER_BYTES) {
        ssize_t n =
            pread(r->fd, r->buffer + r->buffer_bytes, BUFFER_BYTES - r->buffer_bytes, (off_t)(at + r->buffer_bytes));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        r->buffer_bytes += (uint32_t)n;
    }
    return r->buffer_bytes >= bytes ? r->buffer : NULL;
}

static bool valid_frame(const unsigned char *at, struct vs_frame *out)
{
    struct vs_frame f;
    memcpy(&f, at, sizeof f);
    if (f.magic != VS_FRAME_MAGIC) return false;
    uint32_t check = f.check;
    f.check = 0;
    *out = f;
    return vs_check(&f, sizeof f) == check && f.slab < VS_MAX_SLABS && f.offset >= VS_SLAB_RECORDS &&
           f.offset <= VS_SLAB_BYTES && f.bytes <= VS_SLAB_BYTES - f.offset && !(f.bytes & 7) && !(f.offset & 7);
}

/* The next place at or after `at` where a frame begins; false: none in the file as it is. Byte by byte: what a full disk
 * left behind may be of any length. */
static bool find_frame(struct vs_log_reader *r, uint64_t *at, struct vs_frame *f)
{
    static const uint64_t magic = VS_FRAME_MAGIC;
    uint64_t i = *at;
    while (i + FRAME_BYTES <= r->size) {
        const unsigned char *here = view(r, i, FRAME_BYTES), *hit;
        if (!here) return false;
        if (valid_frame(here, f)) {
            *at = i;
            return true;
        }
        size_t rest = r->buffer_bytes - (size_t)(i + 1 - r->buffer_at);
        hit = memmem(here + 1, rest, &magic, sizeof magic);
        i += hit ? (uint64_t)(hit - here) : rest > sizeof magic ? 1 + rest - sizeof magic : 1;
    }
    return false;
}

/* vs_check() of a record as if its check were 0. */
static bool valid_record(const unsigned char *at, size_t room)
{
    const struct vs_rec *rec = (const void *)at;
    uint64_t h, w;
    if (!vs_record_plausible(rec, room)) return false;
    size_t bytes = rec->size8 * (size_t)8;
    h = 0x9e3779b97f4a7c15ull ^ bytes;
    for (size_t i = 0; i < bytes; i += 8) {
        memcpy(&w, at + i, 8);
        if (i == 0) w &= 0xffffffff;
        h = (h ^ w) * 0xd6e8feb86659fd93ull;
        h ^= h >> 32;
    }
    return ((uint32_t)(h ^ (h >> 29)) | 1u) == rec->check;
}

/* Places are offsets in the slab, where the records may still be. */
static void add_hole(struct vs_process *p, const struct vs_frame *f, uint32_t begin, uint32_t end)
{
    p->damage = true;
    if (p->nholes < VS_MAX_HOLES)
        p->holes[p->nholes++] = (struct vs_hole){.serial = f->serial, .slab = f->slab, .begin = begin, .end = end};
}

/* The recorder's last record is a frame that no slab ever held: it covers nothing in memory. */
static bool is_end(const struct vs_frame *f, uint8_t kind)
{
    return kind == VS_K_END && f->records == 1 && f->offset == VS_SLAB_RECORDS;
}

/* Records of one frame of which `bytes` are there. Between damaged ones, any place where a whole record checks is one. */
static void take_records(struct vs_process *p, const struct vs_frame *f, const unsigned char *data, uint32_t bytes)
{
    struct vs_cover *c = &p->cover[f->slab];
    uint32_t thread = f->thread, at = 0, bad = UINT32_MAX, taken = 0;
    bool goes_on = c->end && f->serial == c->serial;
    uint64_t last_seq = goes_on ? c->last_seq : 0;
    if (f->offset > (goes_on ? c->end : VS_SLAB_RECORDS) && f->serial >= c->serial) /* a frame between is gone */
        add_hole(p, f, goes_on ? c->end : VS_SLAB_RECORDS, f->offset);
    while (at + sizeof(struct vs_rec) <= bytes) {
        const struct vs_rec *rec = (const void *)(data + at);
        if (!valid_record(data + at, bytes - at)) {
            if (bad == UINT32_MAX) bad = at;
            at += 8;
            continue;
        }
        if (bad != UINT32_MAX) add_hole(p, f, f->offset + bad, f->offset + at);
        bad = UINT32_MAX;
        vs_process_accept(p, rec, &thread, &last_seq);
        taken++;
        at += rec->size8 * 8u;
    }
    if (bad != UINT32_MAX || bytes < f->bytes)
        add_hole(p, f, f->offset + (bad != UINT32_MAX ? bad : at), f->offset + f->bytes);
    if (taken < f->records) p->damaged_records += f->records - taken;
    if (bytes && is_end(f, *data)) return;
    if (f->serial > c->serial || !c->end) *c = (struct vs_cover){.serial = f->serial};
    if (f->serial == c->serial && f->offset + f->bytes > c->end)
        *c = (struct vs_cover){f->serial, last_seq, f->offset + f->bytes, thread};
}

int vs_log_reader_next(struct vs_log_reader *r, struct vs_process *p)
{
    struct vs_frame f;
    uint64_t at = r->at;
    if (!find_frame(r, &at, &f)) { /* a growing log: perhaps the head of the next frame is not all there yet */
        if (r->final && r->at < r->size) {
            p->damage = true;
            r->at = r->size;
        }
        return 0;
    }
    uint64_t begin = at + FRAME_BYTES;
    uint32_t there = r->size - begin < f.bytes ? (uint32_t)(r->size - begin) & ~7u : f.bytes;
    if (there < f.bytes && !r->final) return 0;
    if (at != r->at) p->damage = true;
    const unsigned char *data = view(r, begin, there);
    if (!data) return -EIO;
    if ((uintptr_t)data & 7) {
        memcpy(r->aligned, data, there);
        data = (const unsigned char *)r->aligned;
    }
    take_records(p, &f, data, there);
    r->at = begin + there;
    if (there < f.bytes) r->at = r->size;
    return 1;
}

void vs_log_reader_survey(struct vs_log_reader *r, struct vs_cover *cover)
{
    struct vs_frame f;
    unsigned char head[sizeof f], kind;
    uint64_t at = r->at;
    while (at + FRAME_BYTES <= r->size) {
        /* not through the buffer: only the heads are read */
        if (pread(r->fd, head, sizeof head, (off_t)at) != (ssize_t)sizeof head) return;
        if (!valid_frame(head, &f) && !find_frame(r, &at, &f)) return;
        uint64_t begin = at + FRAME_BYTES;
        at = begin + f.bytes;
        if (f.records == 1 && pread(r->fd, &kind, 1, (off_t)begin) == 1 && is_end(&f, kind)) continue;
        if (f.serial > cover[f.slab].serial || !cover[f.slab].end)
            cover[f.slab] = (struct vs_cover){.serial = f.serial};
        /* a frame cut short covers all it names: what it lacks is mended later, record by record */
        if (f.serial == cover[f.slab].serial && f.offset + f.bytes > cover[f.slab].end)
            cover[f.slab].end = f.offset + f.bytes;
    }
}

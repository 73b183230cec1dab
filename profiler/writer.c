/* SPDX-License-Identifier: MIT
 *
 * writer.c: the writer thread: copies what threads have appended from slabs to the log file, as frames.
 * Must never hold a descriptor between two passes (programs close them all), nor fail the program when the disk is full.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "helper.h"
#include "log.h"
#include "pool.h"
#include "say.h"
#include "state.h"

/* One frame: a whole slab at most. */
static struct {
    struct vs_frame head;
    unsigned char records[VS_SLAB_BYTES];
} frame __attribute__((aligned(64)));

struct log_file {
    int fd;
    uint64_t bytes; /* complete frames */
    int failed;     /* in this pass: leave everything in memory, try again at the next */
};

int vs_make_folders(const char *path)
{
    char part[1200];
    size_t i, n = strlen(path);
    if (n >= sizeof part)
        return -ENAMETOOLONG;
    for (i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) && errno != EEXIST && i == n)
            return -errno;
    }
    return 0;
}

static void log_path(struct vs_state *s, char *path, size_t size)
{
    snprintf(path, size, "%s/" VS_LOG_NAME, s->control->folder);
}

/* All of it or nothing: a frame cut short by a full disk is taken back. */
static int append(struct log_file *f, const void *data, size_t bytes)
{
    const char *p = data;
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = write(f->fd, p + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int err = n < 0 ? -errno : -EIO;
            if (ftruncate(f->fd, (off_t)f->bytes))
                err = -errno; /* the reader finds the next frame by its magic */
            return err;
        }
        done += (size_t)n;
    }
    f->bytes += bytes;
    return 0;
}

static int write_head(struct vs_state *s, struct log_file *f)
{
    const struct vs_control *c = s->control;
    struct vs_log_head h = {.magic = VS_LOG_MAGIC, .version = VS_FORMAT_VERSION};
    memcpy(h.memory, c->memory, sizeof h.memory);
    memcpy(h.boot_id, c->boot_id, sizeof h.boot_id);
    memcpy(h.host, c->host, sizeof h.host);
    h.pid_start = c->pid_start;
    h.pid_namespace = c->pid_namespace;
    h.pid = c->pid;
    h.start_ns = c->start_ns;
    h.start_real_ns = c->start_real_ns;
    h.check = vs_check(&h, sizeof h);
    return append(f, &h, sizeof h);
}

static int open_log(struct vs_state *s, struct log_file *f)
{
    char path[sizeof s->control->folder + 16];
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    int err;

    log_path(s, path, sizeof path);
    f->bytes = s->control->log_bytes;
    if (f->bytes) { /* a log that was there and is gone is not begun again */
        f->fd = open(path, flags);
        return f->fd < 0 ? -errno : 0;
    }
    err = vs_make_folders(s->control->folder);
    if (err)
        return err;
    f->fd = open(path, flags | O_CREAT | O_TRUNC, 0600);
    if (f->fd < 0)
        return -errno;
    err = write_head(s, f);
    if (!err)
        s->control->log_bytes = f->bytes;
    return err;
}

/* Copies the visible records from `copied` on into the frame, each with its check. Returns where they end. */
static uint32_t collect(struct vs_slab *slab, uint32_t *thread)
{
    uint32_t from = slab->copied, at = from;
    frame.head.records = 0;
    while (at + sizeof(struct vs_rec) <= VS_SLAB_BYTES) {
        const unsigned char *p = (const unsigned char *)slab + at;
        uint64_t header = __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
        uint32_t bytes = (uint32_t)(header >> 8 & 0xff) * 8;
        struct vs_rec *copy = (struct vs_rec *)(frame.records + (at - from));
        if (!header || !bytes || at + bytes > VS_SLAB_BYTES)
            break;
        memcpy(copy, p, bytes);
        if (copy->kind == VS_K_SWITCH)
            *thread = ((struct vs_rec_switch *)copy)->thread;
        copy->check = 0;
        copy->check = vs_check(copy, bytes);
        frame.head.records++;
        at += bytes;
    }
    return at;
}

static void copy_slab(struct vs_state *s, struct log_file *f, struct vs_slab *slab, uint32_t index)
{
    uint32_t thread = slab->thread, from = slab->copied, end;

    frame.head.thread = thread;
    end = collect(slab, &thread);
    if (end == from)
        return;
    frame.head.magic = VS_FRAME_MAGIC;
    frame.head.serial = slab->serial;
    frame.head.slab = index;
    frame.head.offset = from;
    frame.head.bytes = end - from;
    frame.head.check = 0;
    frame.head.check = vs_check(&frame.head, sizeof frame.head);
    int err = append(f, &frame, sizeof frame.head + frame.head.bytes);
    if (err) {
        f->failed = 1;
        vs_log_lost(VS_SRC_PROCESS, VS_LOST_LOG_WRITE, 1);
        vs_say_once(VS_SAY_WARN, "cannot write the log in %s: %s; recording goes on in memory, and ends when that"
                    " is full; the program is not affected", s->control->folder, strerror(-err));
        return;
    }
    slab->thread = thread;
    __atomic_store_n(&slab->copied, end, __ATOMIC_RELEASE);
    __atomic_store_n(&s->control->log_bytes, f->bytes, __ATOMIC_RELAXED);
}

/* One pass: filled slabs are copied and freed first, then what lies in the others. */
static void write_pass(struct vs_state *s, struct log_file *f)
{
    struct vs_slab *slab, *next;
    uint32_t i, n;

    for (slab = vs_pool_take_full(s); slab; slab = next) {
        next = vs_pool_next_full(s, slab);
        if (!f->failed)
            copy_slab(s, f, slab, vs_pool_index(s, slab));
        if (f->failed)
            vs_pool_keep_full(s, slab);
        else
            vs_pool_recycle(s, slab, slab->copied);
    }
    n = __atomic_load_n(&s->chunks, __ATOMIC_ACQUIRE) * VS_CHUNK_SLABS;
    for (i = 0; i < n && !f->failed; i++) {
        slab = vs_pool_slab(s, i);
        if (__atomic_load_n(&slab->state, __ATOMIC_ACQUIRE) != VS_SLAB_FULL)
            copy_slab(s, f, slab, i);
    }
}

static void open_and_write(struct vs_state *s, void (*body)(struct vs_state *, struct log_file *))
{
    struct log_file f = {.fd = -1};
    int err = open_log(s, &f);

    if (err) {
        vs_log_lost(VS_SRC_PROCESS, VS_LOST_LOG_WRITE, 1);
        vs_say_once(VS_SAY_WARN, "cannot write the log folder %s: %s; records stay in memory: vramscope ingest %s -o"
                    " run.db; the program is not affected", s->control->folder, strerror(-err), s->control->memory);
    } else {
        body(s, &f);
    }
    if (f.fd >= 0)
        close(f.fd);
}

/* The END record goes straight to the file, as if it were the only one of a new filling of slab 0: by then nothing may be
 * appended any more. */
static void write_end(struct vs_state *s, struct log_file *f)
{
    struct vs_rec_end *r = (struct vs_rec_end *)frame.records;
    uint32_t i, j, n = s->chunks * VS_CHUNK_SLABS;

    write_pass(s, f);
    if (f->failed)
        return;
    memset(r, 0, sizeof *r);
    r->h.kind = VS_K_END;
    r->h.size8 = sizeof *r / 8;
    r->h.flags = VS_END_EXIT;
    r->h.device = -1;
    r->ts_ns = vs_now();
    for (i = 0; i < n; i++)
        for (j = 0; j < VS_NSOURCES; j++)
            r->appended[j] += __atomic_load_n(&vs_pool_slab(s, i)->appended[j], __ATOMIC_RELAXED);
    r->appended[VS_SRC_PROCESS]++; /* this one */
    memcpy(r->lost, s->control->lost, sizeof r->lost);
    memcpy(r->calibrated_ns, s->control->calibrated_ns, sizeof r->calibrated_ns);
    r->delivered_ns = s->control->delivered_ns;
    r->gpu_buffer_bytes = s->control->gpu_buffer_bytes;
    r->host_bytes = s->control->host_bytes;
    r->has_exit_status = s->has_exit_status;
    r->exit_status = s->exit_status;
    r->h.check = vs_check(r, sizeof *r);
    frame.head = (struct vs_frame){.magic = VS_FRAME_MAGIC,
                                   .serial = __atomic_add_fetch(&s->next_serial, 1, __ATOMIC_RELAXED),
                                   .offset = VS_SLAB_RECORDS,
                                   .bytes = sizeof *r,
                                   .records = 1};
    frame.head.check = vs_check(&frame.head, sizeof frame.head);
    f->failed = append(f, &frame, sizeof frame.head + sizeof *r) != 0;
    if (!f->failed)
        vs_pool_unlink(s); /* all is on disk: the copies in memory are not needed */
}

/* The last act. An append that was under way on another thread has two milliseconds to finish. */
static void finish(struct vs_state *s)
{
    const struct timespec moment = {0, 2000000};
    vs_phase_set(s, VS_PHASE_STOPPED);
    nanosleep(&moment, NULL);
    open_and_write(s, write_end);
    __atomic_store_n(&s->control->state, VS_CTL_ENDED, __ATOMIC_RELEASE); /* last: a reader now takes what is there for all */
}

void *vs_writer_main(void *arg)
{
    struct vs_state *s = arg;
    uint32_t epoch = vs_log_epoch();
    prctl(PR_SET_NAME, "vramscope-disk", 0, 0, 0);
    for (;;) {
        uint32_t seen = __atomic_load_n(&s->writer_wake, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE) == VS_STOP_ALL && __atomic_load_n(&s->helper_done, __ATOMIC_ACQUIRE))
            break; /* the sources have said their last word */
        if (vs_log_epoch() != epoch)
            return NULL;
        open_and_write(s, write_pass);
        struct timespec t = {vs_config()->flush_ms / 1000, vs_config()->flush_ms % 1000 * 1000000};
        syscall(SYS_futex, &s->writer_wake, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
    }
    finish(s);
    __atomic_store_n(&s->writer_done, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &s->writer_done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * log.c: the append path: reserve in the thread's slab, fill, publish with one release store.
 * Must never lock, malloc, wait or touch a page for the first time, except in the one call that activates the process.
 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "export.h"
#include "helper.h"
#include "pool.h"
#include "state.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Initial-exec: one instruction to reach it and no allocation on first use. Small, so that the library can also be
 * opened late (CUDA_INJECTION64_PATH without LD_PRELOAD) in the loader's surplus of static thread storage. */
struct thread_log {
    uint32_t epoch; /* process generation that `slab` and `thread` belong to */
    uint32_t busy;  /* between begin and commit */
    unsigned char *cur, *end;
    struct vs_slab *slab;
    uint32_t thread;
    uint32_t size;
    uint8_t kind, flags;
    int8_t device;
    char name[16];
    struct vs_thread_marks marks;
};
static __thread struct thread_log tl __attribute__((tls_model("initial-exec"), aligned(64))); /* hot part: one cache line */

static pthread_key_t exit_key;
static uint64_t early_lost[VS_NSOURCES][VS_NLOSSES]; /* before there is a control file */

static const uint8_t source_of[VS_NKINDS] = {
#define X(id, source, type) [VS_K_##id] = VS_SRC_##source,
    VS_RECORDS(X)
#undef X
};

static bool give_back(struct thread_log *t)
{
    struct vs_state *s = vs_state;
    if (!t->slab || t->epoch != vs_log_epoch())
        return false;
    vs_pool_give(s, t->slab, (uint32_t)(t->cur - (unsigned char *)t->slab));
    t->slab = NULL;
    t->cur = t->end = NULL;
    return true;
}

static void emit_thread_name(struct thread_log *t, bool always)
{
    char name[16] = {0};
    struct vs_rec_thread *r;
    if (prctl(PR_GET_NAME, name, 0, 0, 0) || (!always && !memcmp(name, t->name, sizeof name)))
        return;
    memcpy(t->name, name, sizeof name);
    r = vs_log_begin(VS_K_THREAD, sizeof *r);
    if (!r)
        return;
    r->thread = t->thread;
    r->tid = (uint32_t)syscall(SYS_gettid);
    memcpy(r->name, name, sizeof name);
    vs_log_commit(r);
}

/* Runs when a thread ends: the next thread goes on in its slab, so that 10^5 short threads need no 10^5 slabs. A thread
 * killed without it (raw exit system call) keeps its slab; 64 KiB, and nothing is lost. */
static void thread_exits(void *arg)
{
    struct thread_log *t = arg;
    struct vs_state *s = vs_state;
    int saved = errno;
    if (t->slab && s && t->epoch == vs_log_epoch() && !t->busy) {
        emit_thread_name(t, false);
        t->busy = 1;
        give_back(t);
        t->busy = 0;
    }
    errno = saved;
}

void vs_log_constructed(void)
{
    pthread_key_create(&exit_key, thread_exits);
}

void vs_log_started(struct vs_control *control)
{
    unsigned i, j;
    for (i = 0; i < VS_NSOURCES; i++)
        for (j = 0; j < VS_NLOSSES; j++)
            control->lost[i][j] += __atomic_exchange_n(&early_lost[i][j], 0, __ATOMIC_RELAXED);
}

/* A slab for this thread, beginning with a SWITCH record. */
static bool acquire(struct thread_log *t)
{
    struct vs_state *s = vs_state;
    struct vs_slab *slab;
    struct vs_rec_switch *r;
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    bool first = !t->thread;

    slab = vs_pool_take(s);
    if (__atomic_load_n(&s->available, __ATOMIC_RELAXED) < VS_POOL_LOW)
        vs_helper_wake();
    if (!slab)
        return false;
    if (first) {
        t->thread = __atomic_add_fetch(&s->next_thread, 1, __ATOMIC_RELAXED);
        pthread_setspecific(exit_key, t);
    }
    slab->owner_tid = tid;
    slab->owner_thread = t->thread;
    t->slab = slab;
    t->cur = (unsigned char *)slab + slab->fill;
    t->end = (unsigned char *)slab + VS_SLAB_BYTES;
    r = (struct vs_rec_switch *)t->cur;
    r->thread = t->thread;
    r->tid = tid;
    t->kind = VS_K_SWITCH;
    t->flags = 0;
    t->device = -1;
    t->size = sizeof *r;
    vs_log_commit(r);
    if (first)
        emit_thread_name(t, true);
    return true;
}

/* Everything that is not the common case. */
static void *begin_slow(struct thread_log *t, enum vs_kind kind, size_t bytes)
{
    struct vs_state *s = vs_state;
    int saved = errno;
    void *out = NULL;

    if (!s)
        return NULL;
    if (!__atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) && !vs_activate())
        goto out;
    if (t->epoch != vs_log_epoch()) { /* first use in this process; what is left here is an ancestor's */
        struct vs_thread_marks marks = t->marks;
        memset(t, 0, sizeof *t);
        t->marks = marks;
        t->epoch = vs_log_epoch();
    }
    if (t->busy) {
        vs_log_lost(source_of[kind], VS_LOST_REENTERED, 1);
        goto out;
    }
    /* A signal handler that raises an event while slabs change hands is refused like one in the middle of an append. */
    t->busy = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    give_back(t);
    if (!acquire(t)) {
        t->busy = 0;
        vs_log_lost(source_of[kind], VS_LOST_POOL_EMPTY, 1);
        goto out;
    }
    out = vs_log_begin(kind, bytes);
out:
    errno = saved;
    return out;
}

VS_HOT void *vs_log_begin(enum vs_kind kind, size_t bytes)
{
    struct thread_log *t = &tl;
    struct vs_state *s = vs_state;

    bytes = (bytes + 7) & ~(size_t)7;
    if (unlikely(!s || t->epoch != __atomic_load_n(&s->epoch, __ATOMIC_RELAXED) || t->busy))
        return begin_slow(t, kind, bytes);
    /* The room is looked at after `busy` is set: a handler that runs in between may have used it. */
    t->busy = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (unlikely((size_t)(t->end - t->cur) < bytes)) {
        t->busy = 0;
        return begin_slow(t, kind, bytes);
    }
    t->kind = (uint8_t)kind;
    t->flags = 0;
    t->device = -1;
    t->size = (uint32_t)bytes;
    return t->cur;
}

VS_HOT void vs_rec_set(void *record, uint8_t flags, int device)
{
    (void)record;
    tl.flags = flags;
    tl.device = (int8_t)device;
}

VS_HOT void vs_log_commit(void *record)
{
    struct thread_log *t = &tl;
    uint64_t *count = &t->slab->appended[source_of[t->kind]];
    uint64_t header = (uint64_t)t->kind | (uint64_t)(t->size / 8) << 8 | (uint64_t)t->flags << 16 |
                      (uint64_t)(uint8_t)t->device << 24;

    /* Counted before it is visible: after a kill in between, the count is one too high and the record is `torn`. */
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    t->cur += t->size;
    /* The program has pushed the rest of the slab out of the cache by the time of the next event. */
    __builtin_prefetch(t->cur + 64, 1);
    __builtin_prefetch(t->cur + 128, 1);
    __atomic_store_n((uint64_t *)record, header, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    t->busy = 0;
}

void vs_log_cancel(void *record)
{
    struct thread_log *t = &tl;
    memset((struct vs_rec *)record + 1, 0, t->size - sizeof(struct vs_rec)); /* the header is still zero, and read by others */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    t->busy = 0;
}

VS_HOT uint64_t vs_log_seq(void)
{
    struct vs_state *s = vs_state;
    struct vs_control *c = s ? __atomic_load_n(&s->control, __ATOMIC_RELAXED) : NULL;
    return c ? __atomic_fetch_add(&c->seq_next, 1, __ATOMIC_RELAXED) : 0;
}

uint64_t vs_log_seq_next(void)
{
    struct vs_state *s = vs_state;
    struct vs_control *c = s ? __atomic_load_n(&s->control, __ATOMIC_RELAXED) : NULL;
    return c ? __atomic_load_n(&c->seq_next, __ATOMIC_RELAXED) : 0;
}

bool vs_log_active(void)
{
    return vs_log_epoch() != 0;
}

VS_HOT uint32_t vs_log_epoch(void)
{
    struct vs_state *s = vs_state;
    return s ? __atomic_load_n(&s->epoch, __ATOMIC_RELAXED) : 0;
}

void vs_log_lost(enum vs_source source, enum vs_loss reason, uint64_t count)
{
    struct vs_state *s = vs_state;
    struct vs_control *c = s ? __atomic_load_n(&s->control, __ATOMIC_ACQUIRE) : NULL;
    __atomic_fetch_add(c ? &c->lost[source][reason] : &early_lost[source][reason], count, __ATOMIC_RELAXED);
}

void vs_log_set_delivered(uint64_t ns)
{
    if (vs_log_active())
        __atomic_store_n(&vs_state->control->delivered_ns, ns, __ATOMIC_RELAXED);
}

void vs_log_set_gpu_buffer(uint64_t bytes)
{
    if (vs_log_active())
        __atomic_store_n(&vs_state->control->gpu_buffer_bytes, bytes, __ATOMIC_RELAXED);
}

uint64_t vs_log_gpu_buffer(void)
{
    return vs_log_active() ? __atomic_load_n(&vs_state->control->gpu_buffer_bytes, __ATOMIC_RELAXED) : 0;
}

uint32_t vs_log_thread(void)
{
    return tl.epoch == vs_log_epoch() ? tl.thread : 0;
}

VS_HOT struct vs_thread_marks *vs_marks(void)
{
    return &tl.marks;
}

uint64_t vs_log_string(const char *text, size_t bytes)
{
    enum { ROOM = VS_MAX_RECORD_BYTES - sizeof(struct vs_rec_string) };
    uint64_t id = 0;
    size_t done = 0;

    do {
        size_t part = bytes - done < ROOM ? bytes - done : ROOM;
        struct vs_rec_string *r = vs_log_begin(VS_K_STRING, sizeof *r + part);
        if (!r)
            return 0;
        if (!id)
            id = __atomic_add_fetch(&vs_state->next_string, 1, __ATOMIC_RELAXED);
        r->id = id;
        r->offset = (uint32_t)done;
        r->bytes = (uint32_t)part;
        memcpy(r->text, text + done, part);
        vs_log_commit(r);
        done += part;
    } while (done < bytes);
    return id;
}

void vs_log_meta(const char *key, const char *value)
{
    size_t key_bytes = strlen(key), value_bytes = strlen(value);
    struct vs_rec_meta *r;
    const size_t room = VS_MAX_RECORD_BYTES - sizeof *r - 1;

    if (key_bytes > 64)
        key_bytes = 64;
    if (value_bytes > room - key_bytes) {
        value_bytes = room - key_bytes;
        vs_log_lost(VS_SRC_PROCESS, VS_LOST_CUT, 1);
    }
    r = vs_log_begin(VS_K_META, sizeof *r + key_bytes + 1 + value_bytes);
    if (!r)
        return;
    r->key_bytes = (uint32_t)key_bytes;
    r->value_bytes = (uint32_t)value_bytes;
    memcpy(r->text, key, key_bytes);
    memcpy(r->text + key_bytes + 1, value, value_bytes);
    vs_log_commit(r);
}

/* SPDX-License-Identifier: MIT
 *
 * process.h: one traced process as ingest knows it: how far its log is read and what was live there.
 *
 * All of it is a function of the log read so far and nothing else. So what a later ingest needs is never stored: it
 * reads the log again from its start with the store muted, up to the position stored with the rows, and goes on.
 *
 * Ownership: vs_process_free. Threading: none. Errors: stick in the store (vs_store_error).
 */
#ifndef VS_DB_PROCESS_H
#define VS_DB_PROCESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "address_map.h"
#include "gpu.h"
#include "id_map.h"
#include "labels.h"
#include "lines.h"
#include "live.h"
#include "nccl.h"
#include "passes.h"
#include "order.h"
#include "ranges.h"
#include "record.h"
#include "series.h"
#include "store.h"

#define VS_MAX_SLABS (VS_MAX_CHUNKS * VS_CHUNK_SLABS)
#define VS_MAX_HOLES 4096 /* damaged places that may still be in memory; more are counted as lost */

/* What frames hold of the last filling of a slab. */
struct vs_cover {
    uint64_t serial;
    uint64_t last_seq; /* of the records read */
    uint32_t end;      /* covered up to here; 0: no frame yet */
    uint32_t thread;
};
struct vs_hole {
    uint64_t serial;
    uint32_t slab, begin, end;
};

struct vs_identity {
    char host[65];
    uint8_t boot_id[16];
    uint32_t pid;
    uint64_t pid_start, pid_namespace;
    int64_t start_ns, start_real_ns;
};

enum vs_ended { VS_RUNNING, VS_EXITED, VS_DETACHED, VS_KILLED };

struct vs_fact { /* a META record */
    char *key, *value;
    struct vs_fact *next;
};
struct vs_thread_name {
    uint32_t number, tid;
    char name[128];
};

#define VS_UNNAMED_FAILURES 8
struct vs_unnamed_failure { /* whose library is not known yet */
    uint64_t caller;
    int64_t ts;
};

/* What the control file and the slabs say about themselves. */
struct vs_counters {
    bool known;   /* appended is exact */
    bool control; /* the rest is as the control file says, or said when it was there */
    bool gone;    /* it was there and is not any more */
    uint32_t state;
    uint64_t appended[VS_NSOURCES];
    uint64_t lost[VS_NSOURCES][VS_NLOSSES];
    uint64_t calibrated_ns[VS_NSOURCES];
    uint64_t delivered_ns, gpu_buffer_bytes, host_bytes, seq_next, heartbeat_ns;
};

struct vs_process {
    struct vs_store *store;
    int64_t id, base; /* row; rows of its own tables are base + a number that the log alone decides */
    struct vs_identity who;
    char *folder; /* on disk; NULL: there is only memory */
    char memory[257];

    /* reading */
    uint64_t log_at;          /* next byte of the log */
    uint64_t slabs_at;        /* log_at when the slabs were read; UINT64_MAX: not yet */
    uint64_t replay_to;       /* read again, muted, up to here; 0: no replay */
    uint64_t replay_slabs_at; /* slabs_at of what is replayed */
    uint64_t log_size;
    uint32_t thread;        /* of the record being applied */
    bool known;             /* has a row */
    bool final;             /* ended and taken whole */
    bool changed;           /* since it was last written */
    struct vs_cover *cover; /* VS_MAX_SLABS */
    struct vs_hole *holes;
    unsigned nholes;
    struct vs_order order;

    /* facts */
    struct vs_fact *facts;
    struct vs_id_map threads;    /* number -> vs_thread_name */
    struct vs_id_map tids;       /* tid -> vs_thread_name, the latest; not its owner */
    struct vs_id_map strings;    /* recorder's id -> vs_string (names.c) */
    struct vs_id_map domains;    /* number -> text */
    struct vs_id_map categories; /* domain << 32 | number -> text */
    struct vs_address_map modules;
    struct vs_id_map libraries; /* hash of path -> file name */
    struct vs_id_map gaps;      /* source -> begin */
    uint64_t overhead_count[16], overhead_ns[16];

    /* state */
    struct vs_series series;
    struct vs_live live;
    struct vs_account account;
    struct vs_passes passes;
    struct vs_labels labels;
    struct vs_lines lines;
    struct vs_ranges ranges;
    struct vs_gpu gpu;
    struct vs_nccl nccl;
    struct vs_unnamed_failure unnamed[VS_UNNAMED_FAILURES]; /* the last ones */
    unsigned nunnamed;
    int64_t lifetime_ns; /* of the last lifetime event: they rise strictly */
    int64_t end_ns;      /* last moment met */
    int64_t event_ns;    /* of something the program did, lifetime events aside */

    /* accounts */
    struct vs_counters counters;
    uint64_t records, stored[VS_NSOURCES], damaged[VS_NSOURCES], unmatched[VS_NSOURCES];
    uint64_t untimed, undelivered;
    uint64_t damaged_records; /* by the count in their frames */
    bool damage;              /* something in the log could not be read */
    bool end_seen;
    enum vs_ended ended;
    struct vs_rec_end end; /* when end_seen */
};

struct vs_process *vs_process_new(struct vs_store *store, int64_t id, const struct vs_identity *who);
void vs_process_free(struct vs_process *p);

/* apply.c: takes a valid record from the log. last_seq: see vs_cover. */
void vs_process_accept(struct vs_process *p, const struct vs_rec *rec, uint32_t *thread, uint64_t *last_seq);
/* apply.c: kind known, as long as its struct, whole within `room` bytes? */
bool vs_record_plausible(const struct vs_rec *rec, size_t room);
enum vs_source vs_record_source(uint8_t kind);
uint64_t vs_record_number(const struct vs_rec *rec); /* of a lifetime record; 0: it is none */

static inline void vs_process_check(struct vs_process *p, int err) /* lets an error of any part stick */
{
    if (err) vs_store_fail(p->store, err < 0 ? -err : err, "out of memory");
}

/* Clamped so that lifetime events rise strictly: SQL over them is then exact. */
static inline int64_t vs_process_lifetime(struct vs_process *p, uint64_t ts)
{
    if (ts > (uint64_t)p->lifetime_ns && ts < (uint64_t)INT64_MAX / 2) p->lifetime_ns = (int64_t)ts;
    else p->lifetime_ns++;
    return p->lifetime_ns;
}

/* Of records without a number that change memory. While numbered ones wait, the clock must not run ahead of them. */
static inline int64_t vs_process_lifetime_unnumbered(struct vs_process *p, uint64_t ts)
{
    return vs_process_lifetime(p, p->order.waiting ? 0 : ts);
}

static inline int64_t vs_process_sampled(struct vs_process *p, uint64_t ts) /* of what nobody did */
{
    int64_t t = ts < (uint64_t)INT64_MAX / 2 ? (int64_t)ts : INT64_MAX / 2;
    if (t > p->end_ns && t < INT64_MAX / 2) p->end_ns = t;
    return t;
}

static inline int64_t vs_process_time(struct vs_process *p, uint64_t ts) /* of anything else */
{
    int64_t t = vs_process_sampled(p, ts);
    if (t > p->event_ns && t < INT64_MAX / 2) p->event_ns = t;
    return t;
}

/* Sums of what an unchecked record says may be anything, but not undefined. */
static inline void vs_sum(int64_t *to, int64_t n)
{
    *to = (int64_t)((uint64_t)*to + (uint64_t)n);
}

#define VS_ROWS_PER_PROCESS ((int64_t)1 << 40)
static inline int64_t vs_range_row(const struct vs_process *p, uint64_t number) /* row of a range by its number */
{
    return number && number < (uint64_t)VS_ROWS_PER_PROCESS ? p->base + (int64_t)number : VS_NONE;
}
static inline int64_t vs_thread_row(const struct vs_process *p, uint32_t number)
{
    return number && number < 1u << 20 ? ((p->id - 1) << 20) + number : VS_NONE;
}
static inline int64_t vs_device_or_none(int device)
{
    return device < 0 ? VS_NONE : device;
}
/* For columns that are never NULL, of values no check protects. */
static inline int64_t vs_whole(uint64_t v)
{
    return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}
static inline int64_t vs_known(uint64_t v)
{
    return v == UINT64_MAX ? VS_NONE : (int64_t)v;
}
static inline int64_t vs_nonzero(uint64_t v)
{
    return v ? (int64_t)v : VS_NONE;
}

/* Length of a record's text: what it claims, at most what it holds. */
static inline uint32_t vs_text_bytes(const struct vs_rec *rec, size_t fixed, uint32_t claimed)
{
    size_t room = rec->size8 * (size_t)8 - fixed;
    return claimed < room ? claimed : (uint32_t)room;
}

/* names.c: texts */
int64_t vs_names_string(struct vs_process *p, uint64_t id); /* row of a recorder's string */
int64_t vs_names_text(struct vs_process *p, uint64_t id, const char *text, uint32_t bytes); /* id 0: the inline text */
uint32_t vs_names_peek(const struct vs_process *p, uint64_t id, char *text,
                       size_t size);                    /* its first bytes, if known */
char *vs_names_full(struct vs_process *p, uint64_t id); /* all of a registered string; NULL: not known. Free it */
char *vs_names_copy(struct vs_process *p, const char *text, uint32_t bytes); /* clean, zero-terminated */
const char *vs_names_domain(const struct vs_process *p, uint32_t domain);    /* NULL: default or unknown */
const char *vs_names_category(const struct vs_process *p, uint32_t domain, uint32_t category);
const char *vs_names_library(const struct vs_process *p, uint64_t caller);
void vs_names_finish(struct vs_process *p); /* strings still waiting for a continuation are complete */
void vs_names_free(struct vs_process *p);
void vs_apply_string(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_nvtx_name(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_module(struct vs_process *p, const struct vs_rec *rec);

/* facts.c: what is known of the process itself */
void vs_facts_thread(struct vs_process *p, uint32_t number, uint32_t tid, const char *name, size_t bytes);
uint64_t vs_facts_delivered(const struct vs_process *p); /* GPU records up to here had arrived; 0: not known */
const char *vs_facts_get(const struct vs_process *p, const char *key);
uint32_t vs_facts_number(const struct vs_process *p, uint32_t tid); /* latest thread number of a tid, 0: none */
void vs_facts_free(struct vs_process *p);
void vs_facts_write(struct vs_process *p); /* the row of table process */
void vs_apply_meta(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_thread(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_gap(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_end(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_device(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_device_memory(struct vs_process *p, const struct vs_rec *rec);
enum vs_series_id vs_memory_source(uint32_t memory); /* memory.c: of enum vs_memory */
void vs_failures_name(struct vs_process *p, uint64_t begin, uint64_t end, const char *library); /* failures.c */
void vs_apply_host_memory(struct vs_process *p, const struct vs_rec *rec); /* host.c */

/* summary.c: what is computed while ingesting */
void vs_summary_snapshot(struct vs_process *p, int64_t ts, const char *name);
void vs_summary_write(struct vs_process *p); /* peaks, totals, timeline: replaces what is there */

/* balance.c: appended = stored + lost */
void vs_balance_write(struct vs_process *p, bool dead);

#endif

/* SPDX-License-Identifier: MIT
 *
 * live.h: the memory that is live in the traced program, found by address, and the rows of table allocation.
 *
 * Rows are written in the order of their ids, some hundred thousand at a time: most are complete by then (freed), so
 * they are written once and the table only grows at its end. What is still live then gets its free by an UPDATE.
 *
 * Ownership: pieces belong to vs_live. Threading: none. Errors: stick in the store.
 */
#ifndef VS_DB_LIVE_H
#define VS_DB_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address_map.h"
#include "category.h"
#include "id_map.h"
#include "record.h"
#include "series.h"

struct vs_piece_block;
struct vs_process;

enum { VS_LEVEL_HELD, VS_LEVEL_SUB };
#define VS_FLAG_VIRTUAL 16 /* table allocation, column flags */
#define VS_FLAG_NESTED  32 /* lies in another sub row: not in the totals of level sub again */

/* What collectives did with a piece: vs_piece.comm. FSDP copies what was gathered into pieces of their own, which are
 * then UNSHARDED, and pieces that are then REDUCED_FROM into what it reduces. */
enum vs_comm_use {
    VS_COMM_GATHERED = 1,  /* filled by an all-gather */
    VS_COMM_SCATTERS = 2,  /* read by a reduce-scatter */
    VS_COMM_SCATTERED = 4, /* filled by one */
    VS_COMM_REDUCED = 8,   /* all-reduced */
    VS_COMM_OTHER = 16,
    VS_COMM_COPIED = 32,   /* of GATHERED or SCATTERS: it is a copy of other pieces */
    VS_COMM_UNSHARDED = 64,
    VS_COMM_REDUCED_FROM = 128
};

/* One row of table allocation that is live, or waits to be written. */
struct vs_piece {
    struct vs_piece *next, *prev; /* of the live ones */
    int64_t id, parent_id;        /* parent_id 0: none */
    int64_t heap_id;              /* region: the heap it lies in, 0: none */
    uint64_t address, bytes;
    int64_t alloc_ts, free_ts; /* free_ts 0: live */
    int64_t level_ts;          /* since when it is of this level */
    uint64_t alloc_range, free_range;
    int64_t range_name; /* string row of the name of alloc_range, 0: none */
    int64_t name_id;    /* string row, 0: none */
    uint64_t pool, context;
    const char *library;
    uint64_t caller; /* while its library is not known, else 0 */
    uint32_t alloc_thread, free_thread;
    uint32_t stack; /* Python stack that made it (lines.h), 0: none */
    uint32_t alloc_pass, free_pass; /* how many backwards had ended (passes.h) */
    uint8_t alloc_by, free_by;      /* enum vs_by */
    uint8_t comm;                   /* enum vs_comm_use, added up */
    int8_t device;  /* -1: host */
    uint8_t source; /* enum vs_series_id */
    uint8_t level, category, flags;
    bool imported, has_address;
    bool pool_size; /* what a stream-ordered pool reserves: a row no call made */
    uint8_t sum;    /* enum vs_sum: what of the account it adds to (account.h) */
    bool framework; /* held, and the framework hands out blocks of it */
    bool in_totals; /* of its source */
    bool in_level;  /* and of its level */
    bool written;   /* has a row */
    bool said;      /* its category is the program's word, or a library's */
    bool waits;     /* freed, but what it was is not decided (passes.h) */
};

struct vs_physical { /* memory made by cuMemCreate */
    struct vs_piece *piece;
    uint64_t handle;
    uint64_t references; /* handles */
    uint64_t mappings;
};
struct vs_mapping {
    uint64_t address, bytes;
    struct vs_physical *physical;
};
struct vs_pool {
    uint64_t handle;
    int device;
    struct vs_piece *piece; /* what the pool holds; NULL: nothing */
};

struct vs_live {
    struct vs_piece *first;    /* live ones, latest first */
    struct vs_piece **waiting; /* not yet written, in the order of their ids */
    size_t nwaiting, room;
    struct vs_piece *spare; /* free ones, by next */
    struct vs_piece_block *blocks;
    int64_t next_id;
    struct vs_address_map driver;             /* device and host memory: one address space */
    struct vs_address_map arrays;             /* by handle */
    struct vs_address_map torch[VS_NDEVICES]; /* by device + 1 */
    struct vs_address_map regions, heaps;
    struct vs_address_map mappings;
    struct vs_id_map physical; /* by handle */
    struct vs_id_map pools;    /* by handle */
    struct vs_id_map captured; /* addresses that graphs free, perhaps once per run; the values mean nothing */
    size_t async;              /* live stream-ordered allocations */
    size_t unnamed;            /* live pieces whose caller's library is not known */
};

/* What a new piece is; everything else is filled in. ts is a lifetime moment. */
struct vs_piece *vs_live_open(struct vs_process *p, const struct vs_piece *what, int64_t ts);
void vs_live_close(struct vs_process *p, struct vs_piece *piece, int64_t ts,
                   uint64_t range); /* piece may be gone after */
void vs_live_relabel(struct vs_process *p, struct vs_piece *piece, uint8_t source, uint8_t level, int64_t ts);
/* A library was mapped there: names what it allocated before that was known. */
void vs_live_name(struct vs_process *p, uint64_t begin, uint64_t end, const char *library);
/* What a freed piece was is decided: it joins the groups of peaks and failures and the moments it was live at. */
void vs_live_settle(struct vs_process *p, struct vs_piece *piece);
void vs_live_changed(struct vs_process *p, struct vs_piece *piece); /* a column of a written row is another now */
void vs_live_write(struct vs_process *p);                           /* rows of all that waits */
/* What a driver allocation by this caller is; fills in its library, or the caller to ask for later. */
void vs_live_caller(struct vs_process *p, struct vs_piece *what, uint64_t caller);
struct vs_piece *vs_live_holder(const struct vs_process *p, uint64_t address); /* held CUDA block it lies in */
struct vs_piece *vs_live_torch_block(const struct vs_process *p, uint64_t address);
void vs_live_free(struct vs_process *p);

/* memory.c, pools.c, vmm.c, regions.c: records that change it */
void vs_apply_alloc(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_static(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_free(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_context(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_torch(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_oom(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_alloc_fail(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_pool(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_vmm(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_region(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_region_free(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_region_name(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_nccl_label(struct vs_process *p, const struct vs_rec *rec);
void vs_apply_label(struct vs_process *p, const struct vs_rec *rec);

#define VS_MAX_PIECE_BYTES ((uint64_t)1 << 56) /* beyond any machine: a record that says more is damaged */

#endif

/* SPDX-License-Identifier: MIT
 *
 * cupti_record.h: turns one CUPTI activity record into one record of ours. Pure: no state, no calls into CUPTI or the log.
 *
 * Ownership: `name` of the result points into CUPTI's memory and is valid as long as the activity is.
 * Threading: any. Errors: what is not understood is said in the return value; nothing is guessed.
 */
#ifndef VS_PROFILER_CUPTI_RECORD_H
#define VS_PROFILER_CUPTI_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "../db/record.h"

enum vs_convert {
    VS_CONVERT_RECORD,  /* `out` holds a record */
    VS_CONVERT_UNTIMED, /* the same, and its times are not usable: NULL in the database, to be counted */
    VS_CONVERT_IGNORE,  /* known, recorded elsewhere (driver allocations) or not wanted */
    VS_CONVERT_UNKNOWN  /* a kind this version does not know */
};

/* Which times can be true: CUPTI may hand out zeroes, or times of another tool's clock. */
struct vs_convert_limits {
    uint64_t earliest_ns; /* no activity began before */
    uint64_t latest_ns;   /* the moment of the conversion */
    bool clock_lost;      /* CUPTI's clock is not ours now: no time can be used */
};

struct vs_converted {
    enum vs_kind kind;
    uint32_t bytes;      /* of the record without `name` */
    const char *name;    /* KERNEL: to be interned; STATIC: to be appended */
    uint32_t name_bytes; /* STATIC */
    uint64_t end_ns;     /* of a timed GPU activity, else 0 */
    bool lifetime;       /* `seq` is to be filled in (FREE) */
    union {
        struct vs_rec h;
        struct vs_rec_kernel kernel;
        struct vs_rec_transfer transfer;
        struct vs_rec_api api;
        struct vs_rec_overhead overhead;
        struct vs_rec_alloc alloc;
        struct vs_rec_free free;
    } out; /* header: flags and device are set; kind, size8 and check are the log's */
};

enum vs_convert vs_cupti_convert(const void *activity, const struct vs_convert_limits *limits, struct vs_converted *c);

/* Are the layouts above those of this CUPTI (cuptiGetVersion)? */
bool vs_cupti_layout_known(uint32_t version);

#endif

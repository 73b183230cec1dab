/* SPDX-License-Identifier: MIT
 *
 * log_writer.h: writes what a recorder would leave behind (memory folder and log) for processes that never were.
 *
 * One call appends one record to the slab of a numbered thread, as the recorder's append path would; full slabs become
 * frames at once, or later and in another order. What is not in a frame when the writer closes stays in the slabs.
 *
 * Ownership: vs_log_writer_close. Threading: none. Errors: abort the test; nothing here is expected to fail.
 */
#ifndef VS_TESTS_LOG_WRITER_H
#define VS_TESTS_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../db/record.h"

#define VS_WRITER_THREADS 64

struct vs_log_writer_options {
    const char *run;    /* run folder; exists */
    const char *memory; /* folder in which the memory folder is made; exists. NULL: none is left */
    uint32_t pid;       /* 0: 4242 */
    uint64_t start_ns;  /* 0: 1000 */
    bool alive;         /* identity of the calling process: it will look as if it still ran */
    bool other_host;    /* another boot, another host name */
    bool no_log;        /* the log folder could not be made */
    unsigned slabs;     /* in the pool; 0: 64. Full ones that are not yet frames count */
    uint64_t shuffle;   /* seed: full slabs wait and become frames in a random order. 0: at once */
};

struct vs_log_writer;
enum vs_writer_end { VS_WRITER_EXIT, VS_WRITER_DETACH, VS_WRITER_KILL };

struct vs_log_writer *vs_log_writer_open(const struct vs_log_writer_options *o);
const char *vs_log_writer_folder(const struct vs_log_writer *w); /* on disk; the strings live until close */
const char *vs_log_writer_memory(const struct vs_log_writer *w);

/* A zeroed record of this kind for a thread (from 1); published by the next call of any function here. */
void *vs_log_writer_add(struct vs_log_writer *w, unsigned thread, enum vs_kind kind, size_t bytes, unsigned flags,
                        int device);
uint64_t vs_log_writer_seq(struct vs_log_writer *w);
void vs_log_writer_lose(struct vs_log_writer *w, enum vs_source source, enum vs_loss why, uint64_t n);
void vs_log_writer_status(struct vs_log_writer *w, int exit_status); /* for its last record */
void vs_log_writer_flush(struct vs_log_writer *w); /* every record so far is in a frame on disk */
uint64_t vs_log_writer_appended(const struct vs_log_writer *w, enum vs_source source);
struct vs_control *vs_log_writer_control(struct vs_log_writer *w);
/* KILL leaves what is in the slabs there; the others flush, add END, and remove the memory folder as the recorder does. */
void vs_log_writer_close(struct vs_log_writer *w, enum vs_writer_end how);

/* ---- records, each with the next number; they return it ---- */
uint64_t vs_put_alloc(struct vs_log_writer *w, unsigned thread, int device, enum vs_memory memory, uint64_t address,
                      uint64_t bytes, uint64_t range, uint64_t ts);
uint64_t vs_put_free(struct vs_log_writer *w, unsigned thread, enum vs_memory memory, uint64_t address, uint64_t range,
                     uint64_t ts);
uint64_t vs_put_torch(struct vs_log_writer *w, unsigned thread, int device, uint64_t address, int64_t bytes,
                      uint64_t allocated, uint64_t reserved, uint64_t range, uint64_t ts); /* allocated 0: not known */
void vs_put_oom(struct vs_log_writer *w, unsigned thread, int device, int64_t bytes, uint64_t allocated, uint64_t reserved,
                uint64_t range, uint64_t ts);
void vs_put_refusal(struct vs_log_writer *w, unsigned thread, int device, uint64_t bytes, uint64_t unused, uint64_t total,
                    uint64_t caller, uint64_t ts);
uint64_t vs_put_range(struct vs_log_writer *w, unsigned thread, const char *name, uint64_t parent, unsigned flags,
                      uint64_t ts);
uint64_t vs_put_range_end(struct vs_log_writer *w, unsigned thread, uint64_t begin, uint64_t ts);
uint64_t vs_put_vmm(struct vs_log_writer *w, unsigned thread, int device, enum vs_vmm_op op, uint64_t handle,
                    uint64_t address, uint64_t bytes, uint64_t ts);
uint64_t vs_put_region(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address, uint64_t bytes,
                       uint64_t heap, uint64_t ts);
uint64_t vs_put_region_free(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address, uint64_t ts);
uint64_t vs_put_region_name(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address,
                            const char *name);
void vs_put_module(struct vs_log_writer *w, uint64_t begin, uint64_t end, const char *path);
void vs_put_meta(struct vs_log_writer *w, const char *key, const char *value);
void vs_put_string(struct vs_log_writer *w, unsigned thread, uint64_t id, const char *text);
void vs_put_mark(struct vs_log_writer *w, unsigned thread, const char *name, uint64_t range, uint64_t ts);
void vs_put_pool(struct vs_log_writer *w, unsigned thread, int device, uint64_t pool, uint64_t reserved, uint64_t ts);
void vs_put_launch(struct vs_log_writer *w, unsigned thread, uint32_t correlation, uint64_t range, uint64_t ts);
void vs_put_kernel(struct vs_log_writer *w, unsigned thread, int device, uint32_t correlation, uint64_t name,
                   uint64_t begin, uint64_t end);
void vs_put_coll(struct vs_log_writer *w, unsigned thread, uint64_t id, uint64_t comm, enum vs_collective op,
                 uint64_t group, uint64_t ts);
void vs_put_coll_end(struct vs_log_writer *w, unsigned thread, uint64_t id, unsigned flags, int result, uint64_t ts);

#endif

/* SPDX-License-Identifier: MIT
 *
 * log_records.c: one function per record the tests write. It must never write a record the recorder could not.
 */
#include <string.h>

#include "log_writer.h"

uint64_t vs_put_alloc(struct vs_log_writer *w, unsigned thread, int device, enum vs_memory memory, uint64_t address,
                      uint64_t bytes, uint64_t range, uint64_t ts)
{
    struct vs_rec_alloc *r = vs_log_writer_add(w, thread, VS_K_ALLOC, sizeof *r, 0, device);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    r->bytes = bytes;
    r->range = range;
    r->memory = memory;
    return r->seq;
}

uint64_t vs_put_free(struct vs_log_writer *w, unsigned thread, enum vs_memory memory, uint64_t address, uint64_t range,
                     uint64_t ts)
{
    struct vs_rec_free *r = vs_log_writer_add(w, thread, VS_K_FREE, sizeof *r, 0, -1);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    r->range = range;
    r->memory = memory;
    return r->seq;
}

uint64_t vs_put_torch(struct vs_log_writer *w, unsigned thread, int device, uint64_t address, int64_t bytes,
                      uint64_t allocated, uint64_t reserved, uint64_t range, uint64_t ts)
{
    struct vs_rec_torch *r = vs_log_writer_add(w, thread, VS_K_TORCH, sizeof *r, allocated || reserved ? 1 : 0, device);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    r->bytes = bytes;
    r->allocated = allocated;
    r->reserved = reserved;
    r->range = range;
    return r->seq;
}

void vs_put_oom(struct vs_log_writer *w, unsigned thread, int device, int64_t bytes, uint64_t allocated, uint64_t reserved,
                uint64_t range, uint64_t ts)
{
    struct vs_rec_oom *r = vs_log_writer_add(w, thread, VS_K_TORCH_OOM, sizeof *r, 0, device);
    r->ts_ns = ts;
    r->bytes = bytes;
    r->allocated = allocated;
    r->reserved = reserved;
    r->range = range;
}

void vs_put_refusal(struct vs_log_writer *w, unsigned thread, int device, uint64_t bytes, uint64_t unused, uint64_t total,
                    uint64_t caller, uint64_t ts)
{
    struct vs_rec_alloc_fail *r = vs_log_writer_add(w, thread, VS_K_ALLOC_FAIL, sizeof *r, 0, device);
    r->ts_ns = ts;
    r->bytes = bytes;
    r->free_bytes = unused;
    r->total_bytes = total;
    r->caller = caller;
    r->memory = VS_MEM_CUDA;
    r->error = 2;
}

uint64_t vs_put_range(struct vs_log_writer *w, unsigned thread, const char *name, uint64_t parent, unsigned flags,
                      uint64_t ts)
{
    size_t n = strlen(name);
    struct vs_rec_range_begin *r = vs_log_writer_add(w, thread, VS_K_RANGE_BEGIN, sizeof *r + n, flags, -1);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->parent = parent;
    r->text_bytes = (uint32_t)n;
    memcpy(r->text, name, n);
    return r->seq;
}

uint64_t vs_put_range_end(struct vs_log_writer *w, unsigned thread, uint64_t begin, uint64_t ts)
{
    struct vs_rec_range_end *r = vs_log_writer_add(w, thread, VS_K_RANGE_END, sizeof *r, 0, -1);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->begin = begin;
    return r->seq;
}

uint64_t vs_put_vmm(struct vs_log_writer *w, unsigned thread, int device, enum vs_vmm_op op, uint64_t handle,
                    uint64_t address, uint64_t bytes, uint64_t ts)
{
    struct vs_rec_vmm *r = vs_log_writer_add(w, thread, VS_K_VMM, sizeof *r, 0, device);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->op = op;
    r->handle = handle;
    r->address = address;
    r->bytes = bytes;
    return r->seq;
}

uint64_t vs_put_region(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address, uint64_t bytes,
                       uint64_t heap, uint64_t ts)
{
    struct vs_rec_region *r = vs_log_writer_add(w, thread, VS_K_REGION, sizeof *r, flags, -1);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    r->bytes = bytes;
    r->heap = heap;
    return r->seq;
}

uint64_t vs_put_region_free(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address, uint64_t ts)
{
    struct vs_rec_free *r = vs_log_writer_add(w, thread, VS_K_REGION_FREE, sizeof *r, flags, -1);
    r->seq = vs_log_writer_seq(w);
    r->ts_ns = ts;
    r->address = address;
    return r->seq;
}

uint64_t vs_put_region_name(struct vs_log_writer *w, unsigned thread, unsigned flags, uint64_t address,
                            const char *name)
{
    size_t n = strlen(name);
    struct vs_rec_region_name *r = vs_log_writer_add(w, thread, VS_K_REGION_NAME, sizeof *r + n, flags, -1);
    r->seq = vs_log_writer_seq(w);
    r->address = address;
    r->text_bytes = (uint32_t)n;
    memcpy(r->text, name, n);
    return r->seq;
}

void vs_put_module(struct vs_log_writer *w, uint64_t begin, uint64_t end, const char *path)
{
    size_t n = strlen(path);
    struct vs_rec_module *r = vs_log_writer_add(w, 1, VS_K_MODULE, sizeof *r + n, 0, -1);
    r->begin = begin;
    r->end = end;
    r->path_bytes = (uint32_t)n;
    memcpy(r->path, path, n);
}

void vs_put_meta(struct vs_log_writer *w, const char *key, const char *value)
{
    size_t k = strlen(key), v = strlen(value);
    struct vs_rec_meta *r = vs_log_writer_add(w, 1, VS_K_META, sizeof *r + k + 1 + v, 0, -1);
    r->key_bytes = (uint32_t)k;
    r->value_bytes = (uint32_t)v;
    memcpy(r->text, key, k);
    memcpy(r->text + k + 1, value, v);
}

void vs_put_string(struct vs_log_writer *w, unsigned thread, uint64_t id, const char *text)
{
    size_t n = strlen(text), most = VS_MAX_RECORD_BYTES - sizeof(struct vs_rec_string), at = 0;
    do {
        size_t part = n - at < most ? n - at : most;
        struct vs_rec_string *r = vs_log_writer_add(w, thread, VS_K_STRING, sizeof *r + part, 0, -1);
        r->id = id;
        r->offset = (uint32_t)at;
        r->bytes = (uint32_t)part;
        memcpy(r->text, text + at, part);
        at += part;
    } while (at < n);
}

void vs_put_mark(struct vs_log_writer *w, unsigned thread, const char *name, uint64_t range, uint64_t ts)
{
    size_t n = strlen(name);
    struct vs_rec_mark *r = vs_log_writer_add(w, thread, VS_K_MARK, sizeof *r + n, 0, -1);
    r->ts_ns = ts;
    r->range = range;
    r->text_bytes = (uint32_t)n;
    memcpy(r->text, name, n);
}

void vs_put_pool(struct vs_log_writer *w, unsigned thread, int device, uint64_t pool, uint64_t reserved, uint64_t ts)
{
    struct vs_rec_pool *r = vs_log_writer_add(w, thread, VS_K_POOL, sizeof *r, 0, device);
    r->ts_ns = ts;
    r->pool = pool;
    r->reserved_bytes = reserved;
    r->reserved_high_bytes = UINT64_MAX;
}

void vs_put_launch(struct vs_log_writer *w, unsigned thread, uint32_t correlation, uint64_t range, uint64_t ts)
{
    struct vs_rec_launch *r = vs_log_writer_add(w, thread, VS_K_LAUNCH, sizeof *r, 0, -1);
    r->ts_ns = ts;
    r->range = range;
    r->correlation = correlation;
}

void vs_put_kernel(struct vs_log_writer *w, unsigned thread, int device, uint32_t correlation, uint64_t name,
                   uint64_t begin, uint64_t end)
{
    struct vs_rec_kernel *r = vs_log_writer_add(w, thread, VS_K_KERNEL, sizeof *r, 0, device);
    r->begin_ns = begin;
    r->end_ns = end;
    r->name = name;
    r->correlation = correlation;
    r->stream = 7;
    r->grid[0] = r->grid[1] = r->grid[2] = 1;
    r->block[0] = 128;
    r->block[1] = r->block[2] = 1;
}

void vs_put_coll(struct vs_log_writer *w, unsigned thread, uint64_t id, uint64_t comm, enum vs_collective op,
                 uint64_t group, uint64_t ts)
{
    struct vs_rec_coll_begin *r = vs_log_writer_add(w, thread, VS_K_COLL_BEGIN, sizeof *r, 0, 0);
    r->seq = vs_log_writer_seq(w);
    r->id = id;
    r->ts_ns = ts;
    r->comm = comm;
    r->count = 1024;
    r->bytes = 4096;
    r->group = group;
    r->op = op;
    r->dtype = 7;
    r->redop = op == VS_COLL_ALL_REDUCE ? 0 : -1;
    r->peer = -1;
}

void vs_put_coll_end(struct vs_log_writer *w, unsigned thread, uint64_t id, unsigned flags, int result, uint64_t ts)
{
    struct vs_rec_coll_end *r = vs_log_writer_add(w, thread, VS_K_COLL_END, sizeof *r, flags, -1);
    r->id = id;
    r->ts_ns = ts;
    r->result = result;
}

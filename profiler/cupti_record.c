/* SPDX-License-Identifier: MIT
 *
 * cupti_record.c: CUPTI activity record -> our record. Must never call CUPTI, the log or anything with state.
 */
#include "cupti_record.h"

#include <string.h>

#include "cupti_abi.h"

enum { STATIC_NAME_MAX = 512 }; /* of 1760 static variables of a PyTorch process the longest name has 200 bytes */

bool vs_cupti_layout_known(uint32_t version)
{
    return version >= VS_CUPTI_VERSION_FIRST && version < VS_CUPTI_VERSION_END;
}

static int device_of(uint32_t id)
{
    return id <= INT8_MAX ? (int)id : -1;
}

static int side_of(uint8_t memory_kind, uint32_t device)
{
    bool on_device = memory_kind >= VS_CUPTI_MEM_DEVICE && memory_kind <= VS_CUPTI_MEM_MANAGED_STATIC;
    return on_device ? device_of(device) : -1;
}

/* Zero, inverted or impossible times are no times: CUPTI gives 0/0 when its device buffers are exhausted and garbage for
 * a record or two when the clock was changed under it. 1 ms: rounding of its GPU to CPU conversion. */
static bool usable(uint64_t begin, uint64_t end, const struct vs_convert_limits *l)
{
    return !l->clock_lost && begin && end >= begin && begin + 1000000u >= l->earliest_ns &&
           end <= l->latest_ns + 1000000u;
}

static enum vs_convert timed(struct vs_converted *c, uint64_t *begin_ns, uint64_t *end_ns, uint64_t begin, uint64_t end,
                             const struct vs_convert_limits *limits)
{
    if (!usable(begin, end, limits)) {
        c->out.h.flags = VS_TF_UNTIMED;
        return VS_CONVERT_UNTIMED;
    }
    *begin_ns = begin;
    *end_ns = end;
    return VS_CONVERT_RECORD;
}

static void begin(struct vs_converted *c, enum vs_kind kind, uint32_t bytes, int device)
{
    c->kind = kind;
    c->bytes = bytes;
    c->out.h.device = (int8_t)device;
}

static enum vs_convert convert_kernel(const struct vs_cupti_kernel *a, const struct vs_convert_limits *l,
                                      struct vs_converted *c)
{
    struct vs_rec_kernel *r = &c->out.kernel;
    enum vs_convert result;

    begin(c, VS_K_KERNEL, sizeof *r, device_of(a->deviceId));
    c->name = a->name;
    r->graph_node = a->graphNodeId;
    r->correlation = a->correlationId;
    r->stream = a->streamId;
    r->context = a->contextId;
    r->graph = a->graphId;
    r->grid[0] = (uint32_t)a->gridX;
    r->grid[1] = (uint32_t)a->gridY;
    r->grid[2] = (uint32_t)a->gridZ;
    r->block[0] = (uint32_t)a->blockX;
    r->block[1] = (uint32_t)a->blockY;
    r->block[2] = (uint32_t)a->blockZ;
    r->static_shared = (uint32_t)a->staticSharedMemory;
    r->dynamic_shared = (uint32_t)a->dynamicSharedMemory;
    r->registers = a->registersPerThread;
    r->local_per_thread = a->localMemoryPerThread;
    result = timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
    c->end_ns = r->end_ns;
    return result;
}

static enum vs_convert convert_memcpy(const struct vs_cupti_memcpy *a, const struct vs_convert_limits *l,
                                      struct vs_converted *c)
{
    struct vs_rec_transfer *r = &c->out.transfer;
    enum vs_convert result;

    begin(c, VS_K_TRANSFER, sizeof *r, device_of(a->deviceId));
    r->bytes = a->bytes;
    r->graph_node = a->graphNodeId;
    r->correlation = a->correlationId;
    r->stream = a->streamId;
    r->context = a->contextId;
    r->graph = a->graphId;
    r->op = VS_XFER_COPY;
    r->copy_kind = a->copyKind;
    r->src_kind = a->srcKind;
    r->dst_kind = a->dstKind;
    r->src_device = (int8_t)side_of(a->srcKind, a->deviceId);
    r->dst_device = (int8_t)side_of(a->dstKind, a->deviceId);
    result = timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
    c->end_ns = r->end_ns;
    return result;
}

static enum vs_convert convert_memcpy2(const struct vs_cupti_memcpy2 *a, const struct vs_convert_limits *l,
                                       struct vs_converted *c)
{
    struct vs_rec_transfer *r = &c->out.transfer;
    enum vs_convert result;

    begin(c, VS_K_TRANSFER, sizeof *r, device_of(a->deviceId));
    r->bytes = a->bytes;
    r->graph_node = a->graphNodeId;
    r->correlation = a->correlationId;
    r->stream = a->streamId;
    r->context = a->contextId;
    r->graph = a->graphId;
    r->op = VS_XFER_PEER;
    r->copy_kind = a->copyKind;
    r->src_kind = a->srcKind;
    r->dst_kind = a->dstKind;
    r->src_device = (int8_t)device_of(a->srcDeviceId);
    r->dst_device = (int8_t)device_of(a->dstDeviceId);
    result = timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
    c->end_ns = r->end_ns;
    return result;
}

static enum vs_convert convert_memset(const struct vs_cupti_memset *a, const struct vs_convert_limits *l,
                                      struct vs_converted *c)
{
    struct vs_rec_transfer *r = &c->out.transfer;
    enum vs_convert result;

    begin(c, VS_K_TRANSFER, sizeof *r, device_of(a->deviceId));
    r->bytes = a->bytes;
    r->graph_node = a->graphNodeId;
    r->correlation = a->correlationId;
    r->stream = a->streamId;
    r->context = a->contextId;
    r->graph = a->graphId;
    r->op = VS_XFER_SET;
    r->dst_kind = (uint8_t)a->memoryKind;
    r->src_device = -1;
    r->dst_device = (int8_t)side_of((uint8_t)a->memoryKind, a->deviceId);
    r->value = a->value;
    result = timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
    c->end_ns = r->end_ns;
    return result;
}

/* Only static variables of modules: everything else is seen by the driver hooks before the call returns. A static's time
 * is a host time; if it is not usable, the moment of the conversion bounds it from above. */
static enum vs_convert convert_memory(const struct vs_cupti_memory *a, const struct vs_convert_limits *l,
                                      struct vs_converted *c)
{
    bool is_static = a->memoryKind == VS_CUPTI_MEM_DEVICE_STATIC || a->memoryKind == VS_CUPTI_MEM_MANAGED_STATIC;
    uint64_t ts = usable(a->timestamp, a->timestamp, l) ? a->timestamp : l->latest_ns;

    if (!is_static)
        return VS_CONVERT_IGNORE;
    if (a->memoryOperationType == VS_CUPTI_MEMORY_RELEASE) {
        begin(c, VS_K_FREE, sizeof c->out.free, device_of(a->deviceId));
        c->lifetime = true;
        c->out.free.ts_ns = ts;
        c->out.free.address = a->address;
        c->out.free.memory = VS_MEM_STATIC;
        return VS_CONVERT_RECORD;
    }
    if (a->memoryOperationType != VS_CUPTI_MEMORY_ALLOCATION)
        return VS_CONVERT_UNKNOWN;
    begin(c, VS_K_STATIC, sizeof c->out.alloc, device_of(a->deviceId));
    c->out.alloc.ts_ns = ts;
    c->out.alloc.address = a->address;
    c->out.alloc.bytes = a->bytes;
    c->out.alloc.memory = VS_MEM_STATIC;
    if (a->name) {
        c->name = a->name;
        c->name_bytes = (uint32_t)strnlen(a->name, STATIC_NAME_MAX);
        c->out.alloc.name_bytes = c->name_bytes;
    }
    return VS_CONVERT_RECORD;
}

static enum vs_convert convert_api(const struct vs_cupti_api *a, const struct vs_convert_limits *l, struct vs_converted *c)
{
    struct vs_rec_api *r = &c->out.api;

    begin(c, VS_K_API, sizeof *r, -1);
    r->domain = a->kind == VS_CUPTI_DRIVER ? VS_CUPTI_DOMAIN_DRIVER : VS_CUPTI_DOMAIN_RUNTIME;
    r->cbid = a->cbid;
    r->correlation = a->correlationId;
    r->result = (int32_t)a->returnValue;
    r->tid = a->threadId;
    return timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
}

static enum vs_convert convert_overhead(const struct vs_cupti_overhead *a, const struct vs_convert_limits *l,
                                        struct vs_converted *c)
{
    struct vs_rec_overhead *r = &c->out.overhead;

    begin(c, VS_K_OVERHEAD, sizeof *r, -1);
    r->what = a->overheadKind;
    r->tid = a->objectKind == VS_CUPTI_OBJECT_THREAD ? a->objectId[1] : 0;
    return timed(c, &r->begin_ns, &r->end_ns, a->start, a->end, l);
}

enum vs_convert vs_cupti_convert(const void *activity, const struct vs_convert_limits *limits, struct vs_converted *c)
{
    uint32_t kind = ((const struct vs_cupti_activity *)activity)->kind;

    memset(c, 0, sizeof *c);
    switch (kind) {
    case VS_CUPTI_CONCURRENT_KERNEL:
        return convert_kernel(activity, limits, c);
    case VS_CUPTI_MEMCPY:
        return convert_memcpy(activity, limits, c);
    case VS_CUPTI_MEMCPY2:
        return convert_memcpy2(activity, limits, c);
    case VS_CUPTI_MEMSET:
        return convert_memset(activity, limits, c);
    case VS_CUPTI_MEMORY2:
        return convert_memory(activity, limits, c);
    case VS_CUPTI_DRIVER:
    case VS_CUPTI_RUNTIME:
        return convert_api(activity, limits, c);
    case VS_CUPTI_OVERHEAD:
        return convert_overhead(activity, limits, c);
    default:
        return VS_CONVERT_UNKNOWN;
    }
}

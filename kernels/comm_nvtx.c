/* SPDX-License-Identifier: MIT
 *
 * comm_nvtx.c: see comm_nvtx.h. The numbers of the schemas and the layouts of the payloads are NCCL's.
 */
#include "kernels/comm_nvtx.h"

#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtPayload.h>
#include <pthread.h>
#include <stddef.h>

enum { SCHEMA_BASE = 1 << 24, SCHEMA_INIT = 0, SCHEMA_DESTROY = 2, SCHEMA_ABORT = 3 };
enum { SUM = 0, NO_DEVICE = -1 };

struct payload_comm {
    uint64_t comm;
    int32_t nranks, rank, device;
};
struct payload_coll {
    uint64_t comm, bytes;
    int32_t redop;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nvtxDomainHandle_t domain;

static void create_domain(void)
{
    domain = nvtxDomainCreateA("NCCL");
}

static void push(const char *name, uint64_t schema, const void *payload, size_t bytes)
{
    nvtxPayloadData_t data = {.schemaId = SCHEMA_BASE + schema, .size = bytes, .payload = payload};
    nvtxEventAttributes_t event = {.version = NVTX_VERSION, .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE};
    event.messageType = NVTX_MESSAGE_TYPE_ASCII;
    event.message.ascii = name;
    if (payload) {
        event.payloadType = NVTX_PAYLOAD_TYPE_EXT;
        event.reserved0 = 1; /* how many payloads */
        event.payload.ullValue = (uint64_t)(uintptr_t)&data;
    }
    pthread_once(&once, create_domain);
    nvtxDomainRangePushEx(domain, &event);
}

void vs_comm_nvtx_begin(enum vs_comm_kind kind, uint64_t hash, size_t bytes)
{
    static const struct {
        const char *function;
        uint64_t schema;
        size_t bytes;
    } known[VS_COMM_KIND_COUNT] = {
#define X(name, schema, function, reduces) \
    {function, schema, reduces ? sizeof(struct payload_coll) : offsetof(struct payload_coll, redop)},
        VS_COMM_KINDS(X)
#undef X
    };
    struct payload_coll payload = {hash, bytes, SUM};
    push(known[kind].function, known[kind].schema, &payload, known[kind].bytes);
}

void vs_comm_nvtx_end(void)
{
    nvtxDomainRangePop(domain);
}

/* NCCL, too, tells the communicator with the end of the range: before, it has none. */
void vs_comm_nvtx_open(void)
{
    push("ncclCommInitRank", SCHEMA_INIT, NULL, 0);
}

void vs_comm_nvtx_opened(uint64_t hash, int rank, int world, int made)
{
    struct payload_comm payload = {made ? hash : 0, world, rank, NO_DEVICE};
    nvtxPayloadData_t data = {.schemaId = SCHEMA_BASE + SCHEMA_INIT, .size = sizeof payload, .payload = &payload};
    nvtxRangePopPayload(domain, &data, 1);
}

static void tell(const char *name, uint64_t schema, uint64_t hash, int rank, int world)
{
    struct payload_comm payload = {hash, world, rank, NO_DEVICE};
    push(name, schema, &payload, sizeof payload);
    vs_comm_nvtx_end();
}

void vs_comm_nvtx_closed(uint64_t hash, int rank, int world)
{
    tell("ncclCommDestroy", SCHEMA_DESTROY, hash, rank, world);
}

void vs_comm_nvtx_aborted(uint64_t hash, int rank, int world)
{
    tell("ncclCommAbort", SCHEMA_ABORT, hash, rank, world);
}

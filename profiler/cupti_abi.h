/* SPDX-License-Identifier: MIT
 *
 * cupti_abi.h: the part of CUPTI 13.0's binary interface that the recorder uses, so that the build needs no CUPTI.
 * Must never drift from NVIDIA's cupti_activity.h and cupti_callbacks.h: tests/test_cupti_record.c compares every field.
 * Names are CUPTI's with the prefix vs_; only fields that are read are named. Layouts hold for vs_cupti_layout_known().
 */
#ifndef VS_PROFILER_CUPTI_ABI_H
#define VS_PROFILER_CUPTI_ABI_H

#include <stddef.h>
#include <stdint.h>

/* Known layouts: 13.0 (any update) and 13.1. 13.1 renamed the context record only, which is not used here. */
#define VS_CUPTI_VERSION_FIRST 130000u
#define VS_CUPTI_VERSION_END 130200u

enum vs_cupti_result {
    VS_CUPTI_SUCCESS = 0,
    VS_CUPTI_INVALID_PARAMETER = 1,
    VS_CUPTI_MAX_LIMIT_REACHED = 12,
    VS_CUPTI_NOT_INITIALIZED = 15,
    VS_CUPTI_INVALID_KIND = 21,
    VS_CUPTI_MULTIPLE_SUBSCRIBERS = 39,
    VS_CUPTI_UNKNOWN = 999
};

enum vs_cupti_kind {
    VS_CUPTI_MEMCPY = 1,
    VS_CUPTI_MEMSET = 2,
    VS_CUPTI_DRIVER = 4,
    VS_CUPTI_RUNTIME = 5,
    VS_CUPTI_CONCURRENT_KERNEL = 10,
    VS_CUPTI_OVERHEAD = 17,
    VS_CUPTI_MEMCPY2 = 22,
    VS_CUPTI_MEMORY2 = 49,
    VS_CUPTI_KINDS = 64 /* room for every kind of 13.x */
};

enum vs_cupti_domain { VS_CUPTI_DOMAIN_DRIVER = 1, VS_CUPTI_DOMAIN_RUNTIME = 2, VS_CUPTI_DOMAINS = 7 };
enum vs_cupti_site { VS_CUPTI_ENTER = 0, VS_CUPTI_EXIT = 1 };
enum { VS_CUPTI_CBIDS = 1024 }; /* 13.0 has 807 driver and fewer runtime calls */

enum vs_cupti_attribute {
    VS_CUPTI_ATTR_DEVICE_BUFFER_SIZE = 0,       /* size_t */
    VS_CUPTI_ATTR_DEVICE_BUFFER_POOL_LIMIT = 2, /* size_t */
    VS_CUPTI_ATTR_ZEROED_BUFFER = 5,            /* uint8_t */
    VS_CUPTI_ATTR_DEVICE_BUFFER_PRE_ALLOCATE = 6 /* size_t */
};

enum {
    VS_CUPTI_FLUSH_FORCED = 1,
    VS_CUPTI_THREAD_ID_SYSTEM = 1,
    VS_CUPTI_OBJECT_THREAD = 2,
    VS_CUPTI_MEMORY_ALLOCATION = 1,
    VS_CUPTI_MEMORY_RELEASE = 2,
    /* CUpti_ActivityMemoryKind */
    VS_CUPTI_MEM_DEVICE = 3,
    VS_CUPTI_MEM_ARRAY = 4,
    VS_CUPTI_MEM_MANAGED = 5,
    VS_CUPTI_MEM_DEVICE_STATIC = 6,
    VS_CUPTI_MEM_MANAGED_STATIC = 7
};

#define VS_CUPTI_RECORD __attribute__((packed, aligned(8)))

struct vs_cupti_activity { uint32_t kind; } VS_CUPTI_RECORD;

struct vs_cupti_kernel { /* CUpti_ActivityKernel10 */
    uint32_t kind;
    uint8_t cache_config;
    uint8_t shared_memory_config;
    uint16_t registersPerThread;
    uint32_t partitioned[2];
    uint64_t start, end, completed;
    uint32_t deviceId, contextId, streamId;
    int32_t gridX, gridY, gridZ, blockX, blockY, blockZ;
    int32_t staticSharedMemory, dynamicSharedMemory;
    uint32_t localMemoryPerThread, localMemoryTotal, correlationId;
    int64_t gridId;
    const char *name;
    void *reserved0;
    uint64_t queued, submitted;
    uint8_t launch[4];
    uint32_t sharedMemoryExecuted;
    uint64_t graphNodeId;
    uint32_t shmemLimitConfig;
    uint32_t graphId;
    void *pAccessPolicyWindow;
    uint32_t channelID, channelType;
    uint32_t cluster[4];
    uint64_t localMemoryTotal_v2;
    uint32_t maxPotentialClusterSize, maxActiveClusters;
    uint8_t isDeviceLaunched;
    uint8_t padding3[7];
} VS_CUPTI_RECORD;

struct vs_cupti_memcpy { /* CUpti_ActivityMemcpy6 */
    uint32_t kind;
    uint8_t copyKind, srcKind, dstKind, flags;
    uint64_t bytes, start, end;
    uint32_t deviceId, contextId, streamId, correlationId, runtimeCorrelationId, pad;
    void *reserved0;
    uint64_t graphNodeId;
    uint32_t graphId, channelID, channelType;
    uint8_t isDeviceLaunched, pad2[3];
    uint64_t copyCount;
} VS_CUPTI_RECORD;

struct vs_cupti_memcpy2 { /* CUpti_ActivityMemcpyPtoP4 */
    uint32_t kind;
    uint8_t copyKind, srcKind, dstKind, flags;
    uint64_t bytes, start, end;
    uint32_t deviceId, contextId, streamId, srcDeviceId, srcContextId, dstDeviceId, dstContextId, correlationId;
    void *reserved0;
    uint64_t graphNodeId;
    uint32_t graphId, channelID, channelType;
} VS_CUPTI_RECORD;

struct vs_cupti_memset { /* CUpti_ActivityMemset4 */
    uint32_t kind;
    uint32_t value;
    uint64_t bytes, start, end;
    uint32_t deviceId, contextId, streamId, correlationId;
    uint16_t flags, memoryKind;
    uint32_t pad;
    void *reserved0;
    uint64_t graphNodeId;
    uint32_t graphId, channelID, channelType;
    uint8_t isDeviceLaunched, pad2[3];
} VS_CUPTI_RECORD;

struct vs_cupti_memory { /* CUpti_ActivityMemory4, kind MEMORY2 */
    uint32_t kind;
    uint32_t memoryOperationType, memoryKind;
    uint32_t correlationId;
    uint64_t address, bytes, timestamp, PC;
    uint32_t processId, deviceId, contextId, streamId;
    const char *name;
    uint32_t isAsync, pad1;
    uint64_t memoryPoolConfig[5];
    const char *source;
} VS_CUPTI_RECORD;

struct vs_cupti_api { /* CUpti_ActivityAPI */
    uint32_t kind;
    uint32_t cbid;
    uint64_t start, end;
    uint32_t processId, threadId, correlationId, returnValue;
} VS_CUPTI_RECORD;

struct vs_cupti_overhead { /* CUpti_ActivityOverhead3 */
    uint32_t kind;
    uint32_t overheadKind;
    uint32_t objectKind;
    uint32_t objectId[3]; /* of a thread: process, thread */
    uint64_t start, end;
    uint32_t correlationId, reserved0;
    void *overheadData;
} VS_CUPTI_RECORD;

struct vs_cupti_callback_data { /* CUpti_CallbackData */
    uint32_t callbackSite;
    const char *functionName;
    const void *functionParams;
    void *functionReturnValue;
    const char *symbolName;
    void *context;
    uint32_t contextUid;
    uint64_t *correlationData;
    uint32_t correlationId;
};

struct vs_cupti_subscriber_params { /* CUpti_SubscriberParams */
    size_t structSize;
    const char *subscriberName; /* 53 bytes at most */
    char *oldSubscriberName;    /* 64 bytes at least */
    size_t oldSubscriberSize;
};

typedef void *vs_cupti_subscriber;
typedef void (*vs_cupti_callback_fn)(void *userdata, uint32_t domain, uint32_t cbid, const void *data);
typedef void (*vs_cupti_request_fn)(uint8_t **buffer, size_t *size, size_t *max_records);
typedef void (*vs_cupti_complete_fn)(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid);
typedef uint64_t (*vs_cupti_clock_fn)(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * test_cupti_record.c: the conversion of CUPTI's records, the layouts it relies on, the buffer pool. Must never need CUPTI;
 * where NVIDIA's headers are installed, every field that is read is compared with them.
 */
#include <check.h>
#include <pthread.h>
#include <string.h>

#include "profiler/cupti_abi.h"
#include "profiler/cupti_pool.h"
#include "profiler/cupti_record.h"

#if defined __has_include
#if __has_include(<cupti.h>) && __has_include(<cuda.h>)
#include <cupti.h>
#define HAVE_CUPTI 1
#endif
#endif

Suite *make_cupti_record_suite(void);

static const struct vs_convert_limits limits = {1000000000, 2000000000, false};
static struct vs_converted c;

static struct vs_cupti_kernel kernel(uint64_t start, uint64_t end)
{
    struct vs_cupti_kernel k;
    memset(&k, 0, sizeof k);
    k.kind = VS_CUPTI_CONCURRENT_KERNEL;
    k.start = start;
    k.end = end;
    k.deviceId = 3;
    k.contextId = 4;
    k.streamId = 5;
    k.correlationId = 6;
    k.gridX = 7, k.gridY = 8, k.gridZ = 9;
    k.blockX = 10, k.blockY = 11, k.blockZ = 12;
    k.staticSharedMemory = 13;
    k.dynamicSharedMemory = 14;
    k.registersPerThread = 15;
    k.localMemoryPerThread = 16;
    k.graphId = 17;
    k.graphNodeId = 18;
    k.name = "name";
    return k;
}

START_TEST(test_kernel)
{
    struct vs_cupti_kernel k = kernel(1500000000, 1500000100);
    const struct vs_rec_kernel *o = &c.out.kernel;
    ck_assert_int_eq(vs_cupti_convert(&k, &limits, &c), VS_CONVERT_RECORD);
    ck_assert_int_eq(c.kind, VS_K_KERNEL);
    ck_assert_uint_eq(c.bytes, sizeof *o);
    ck_assert_str_eq(c.name, "name");
    ck_assert_uint_eq(c.end_ns, 1500000100);
    ck_assert_int_eq(o->h.device, 3);
    ck_assert_int_eq(o->h.flags, 0);
    ck_assert_uint_eq(o->begin_ns, 1500000000);
    ck_assert_uint_eq(o->end_ns, 1500000100);
    ck_assert(o->context == 4 && o->stream == 5 && o->correlation == 6);
    ck_assert(o->grid[0] == 7 && o->grid[1] == 8 && o->grid[2] == 9);
    ck_assert(o->block[0] == 10 && o->block[1] == 11 && o->block[2] == 12);
    ck_assert(o->static_shared == 13 && o->dynamic_shared == 14 && o->registers == 15 && o->local_per_thread == 16);
    ck_assert(o->graph == 17 && o->graph_node == 18);
}
END_TEST

static const struct {
    uint64_t start, end;
    bool clock_lost, usable;
} times[] = {
    {1000000000, 1000000000, false, true},
    {1500000000, 2000900000, false, true},  /* a rounding of the conversion */
    {0, 0, false, false},                   /* CUPTI's device buffers were exhausted */
    {0, 1500000000, false, false},
    {1500000000, 0, false, false},
    {1500000000, 1499999999, false, false}, /* inverted */
    {1500000000, 2100000000, false, false}, /* in the future */
    {900000000, 1500000000, false, false},  /* before we were there */
    {1790000000000000000, 1790000000000000100, false, false}, /* CLOCK_REALTIME */
    {1500000000, 1500000100, true, false},
};

START_TEST(test_times)
{
    struct vs_convert_limits l = limits;
    struct vs_cupti_kernel k = kernel(times[_i].start, times[_i].end);
    l.clock_lost = times[_i].clock_lost;
    ck_assert_int_eq(vs_cupti_convert(&k, &l, &c), times[_i].usable ? VS_CONVERT_RECORD : VS_CONVERT_UNTIMED);
    ck_assert_int_eq(c.out.h.flags, times[_i].usable ? 0 : VS_TF_UNTIMED);
    if (!times[_i].usable)
        ck_assert(!c.out.kernel.begin_ns && !c.out.kernel.end_ns && !c.end_ns);
    ck_assert_uint_eq(c.out.kernel.correlation, 6); /* the row is kept */
}
END_TEST

START_TEST(test_copies_and_sets)
{
    struct vs_cupti_memcpy m = {.kind = VS_CUPTI_MEMCPY, .copyKind = 1, .srcKind = 2, .dstKind = 3, .bytes = 100,
                                .start = 1500000000, .end = 1500000001, .deviceId = 2, .correlationId = 9, .streamId = 8,
                                .contextId = 7, .graphId = 6, .graphNodeId = 5};
    struct vs_cupti_memcpy2 p = {.kind = VS_CUPTI_MEMCPY2, .copyKind = 10, .srcKind = 3, .dstKind = 3, .bytes = 200,
                                 .deviceId = 1, .srcDeviceId = 1, .dstDeviceId = 2, .correlationId = 10};
    struct vs_cupti_memset s = {.kind = VS_CUPTI_MEMSET, .value = 0xff, .bytes = 300, .start = 1500000000,
                                .end = 1500000001, .deviceId = 4, .memoryKind = 3, .correlationId = 11};
    const struct vs_rec_transfer *t = &c.out.transfer;

    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.kind == VS_K_TRANSFER && t->op == VS_XFER_COPY && t->bytes == 100 && t->correlation == 9);
    ck_assert(t->copy_kind == 1 && t->src_kind == 2 && t->dst_kind == 3 && t->src_device == -1 && t->dst_device == 2);
    ck_assert(t->stream == 8 && t->context == 7 && t->graph == 6 && t->graph_node == 5 && t->h.device == 2);
    ck_assert_int_eq(vs_cupti_convert(&p, &limits, &c), VS_CONVERT_UNTIMED);
    ck_assert(t->op == VS_XFER_PEER && t->bytes == 200 && t->src_device == 1 && t->dst_device == 2 && t->copy_kind == 10);
    ck_assert_int_eq(vs_cupti_convert(&s, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(t->op == VS_XFER_SET && t->bytes == 300 && t->value == 0xff && t->dst_kind == 3 && t->dst_device == 4 &&
              t->src_device == -1);
}
END_TEST

START_TEST(test_memory)
{
    struct vs_cupti_memory m = {.kind = VS_CUPTI_MEMORY2, .memoryOperationType = VS_CUPTI_MEMORY_ALLOCATION,
                                .memoryKind = VS_CUPTI_MEM_DEVICE_STATIC, .address = 0x1000, .bytes = 400,
                                .timestamp = 1500000000, .deviceId = 0, .name = "weights"};
    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.kind == VS_K_STATIC && c.name_bytes == 7 && c.out.alloc.name_bytes == 7 && c.out.alloc.bytes == 400);
    ck_assert(c.out.alloc.ts_ns == 1500000000 && c.out.alloc.memory == VS_MEM_STATIC && c.out.alloc.seq == 0);
    m.name = NULL;
    m.timestamp = 0; /* the moment of delivery instead */
    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.name_bytes == 0 && c.out.alloc.ts_ns == limits.latest_ns);
    m.memoryOperationType = VS_CUPTI_MEMORY_RELEASE;
    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.kind == VS_K_FREE && c.lifetime && c.out.free.address == 0x1000 && c.out.free.memory == VS_MEM_STATIC);
    m.memoryKind = VS_CUPTI_MEM_DEVICE; /* the driver hooks' business */
    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_IGNORE);
    m.memoryKind = VS_CUPTI_MEM_MANAGED_STATIC;
    m.memoryOperationType = 77;
    ck_assert_int_eq(vs_cupti_convert(&m, &limits, &c), VS_CONVERT_UNKNOWN);
}
END_TEST

START_TEST(test_api_overhead_unknown)
{
    struct vs_cupti_api a = {VS_CUPTI_DRIVER, 307, 1500000000, 1500000100, 1, 42, 9, 2};
    struct vs_cupti_overhead o = {.kind = VS_CUPTI_OVERHEAD, .overheadKind = 3 << 16, .objectKind = VS_CUPTI_OBJECT_THREAD,
                                  .objectId = {1, 42, 0}, .start = 1500000000, .end = 1500000100};
    uint32_t strange[8] = {55};

    ck_assert_int_eq(vs_cupti_convert(&a, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.kind == VS_K_API && c.out.api.domain == 1 && c.out.api.cbid == 307 && c.out.api.tid == 42 &&
              c.out.api.correlation == 9 && c.out.api.result == 2);
    a.kind = VS_CUPTI_RUNTIME;
    ck_assert_int_eq(vs_cupti_convert(&a, &limits, &c), VS_CONVERT_RECORD);
    ck_assert_uint_eq(c.out.api.domain, 2);
    ck_assert_int_eq(vs_cupti_convert(&o, &limits, &c), VS_CONVERT_RECORD);
    ck_assert(c.kind == VS_K_OVERHEAD && c.out.overhead.what == 3 << 16 && c.out.overhead.tid == 42);
    o.objectKind = 3; /* a device: no thread */
    ck_assert_int_eq(vs_cupti_convert(&o, &limits, &c), VS_CONVERT_RECORD);
    ck_assert_uint_eq(c.out.overhead.tid, 0);
    ck_assert_int_eq(vs_cupti_convert(strange, &limits, &c), VS_CONVERT_UNKNOWN);
}
END_TEST

START_TEST(test_versions)
{
    static const struct { uint32_t version; bool known; } versions[] = {
        {0, false},     {28, false},    {129999, false}, {130000, true},
        {130001, true}, {130100, true}, {130199, true},  {130200, false}};
    size_t i;
    for (i = 0; i < sizeof versions / sizeof *versions; i++)
        ck_assert_int_eq(vs_cupti_layout_known(versions[i].version), versions[i].known);
}
END_TEST

#ifdef HAVE_CUPTI
#define SIZE(ours, theirs) ck_assert_uint_eq(sizeof(struct ours), sizeof(theirs))
#define SAME(ours, theirs, field)                                                             \
    ck_assert_msg(offsetof(struct ours, field) == offsetof(theirs, field) &&                  \
                      sizeof(((struct ours *)0)->field) == sizeof(((theirs *)0)->field),      \
                  #theirs "." #field)
#define GRAPH_FIELDS(ours, theirs) \
    SAME(ours, theirs, graphNodeId); SAME(ours, theirs, graphId); SAME(ours, theirs, deviceId); \
    SAME(ours, theirs, contextId); SAME(ours, theirs, streamId); SAME(ours, theirs, correlationId); \
    SAME(ours, theirs, start); SAME(ours, theirs, end)

START_TEST(test_layouts)
{
    SIZE(vs_cupti_kernel, CUpti_ActivityKernel10);
    GRAPH_FIELDS(vs_cupti_kernel, CUpti_ActivityKernel10);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, name);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, registersPerThread);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, gridX);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, gridZ);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, blockX);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, blockZ);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, staticSharedMemory);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, dynamicSharedMemory);
    SAME(vs_cupti_kernel, CUpti_ActivityKernel10, localMemoryPerThread);
    SIZE(vs_cupti_memcpy, CUpti_ActivityMemcpy6);
    GRAPH_FIELDS(vs_cupti_memcpy, CUpti_ActivityMemcpy6);
    SAME(vs_cupti_memcpy, CUpti_ActivityMemcpy6, bytes);
    SAME(vs_cupti_memcpy, CUpti_ActivityMemcpy6, copyKind);
    SAME(vs_cupti_memcpy, CUpti_ActivityMemcpy6, srcKind);
    SAME(vs_cupti_memcpy, CUpti_ActivityMemcpy6, dstKind);
    SIZE(vs_cupti_memcpy2, CUpti_ActivityMemcpyPtoP4);
    GRAPH_FIELDS(vs_cupti_memcpy2, CUpti_ActivityMemcpyPtoP4);
    SAME(vs_cupti_memcpy2, CUpti_ActivityMemcpyPtoP4, bytes);
    SAME(vs_cupti_memcpy2, CUpti_ActivityMemcpyPtoP4, srcDeviceId);
    SAME(vs_cupti_memcpy2, CUpti_ActivityMemcpyPtoP4, dstDeviceId);
    SIZE(vs_cupti_memset, CUpti_ActivityMemset4);
    GRAPH_FIELDS(vs_cupti_memset, CUpti_ActivityMemset4);
    SAME(vs_cupti_memset, CUpti_ActivityMemset4, value);
    SAME(vs_cupti_memset, CUpti_ActivityMemset4, bytes);
    SAME(vs_cupti_memset, CUpti_ActivityMemset4, memoryKind);
    SIZE(vs_cupti_memory, CUpti_ActivityMemory4);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, memoryOperationType);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, memoryKind);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, address);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, bytes);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, timestamp);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, deviceId);
    SAME(vs_cupti_memory, CUpti_ActivityMemory4, name);
    SIZE(vs_cupti_api, CUpti_ActivityAPI);
    SAME(vs_cupti_api, CUpti_ActivityAPI, cbid);
    SAME(vs_cupti_api, CUpti_ActivityAPI, start);
    SAME(vs_cupti_api, CUpti_ActivityAPI, threadId);
    SAME(vs_cupti_api, CUpti_ActivityAPI, correlationId);
    SAME(vs_cupti_api, CUpti_ActivityAPI, returnValue);
    SIZE(vs_cupti_overhead, CUpti_ActivityOverhead3);
    SAME(vs_cupti_overhead, CUpti_ActivityOverhead3, overheadKind);
    SAME(vs_cupti_overhead, CUpti_ActivityOverhead3, objectKind);
    SAME(vs_cupti_overhead, CUpti_ActivityOverhead3, objectId);
    SAME(vs_cupti_overhead, CUpti_ActivityOverhead3, start);
    SAME(vs_cupti_overhead, CUpti_ActivityOverhead3, end);
    SIZE(vs_cupti_callback_data, CUpti_CallbackData);
    SAME(vs_cupti_callback_data, CUpti_CallbackData, callbackSite);
    SAME(vs_cupti_callback_data, CUpti_CallbackData, correlationId);
    SIZE(vs_cupti_subscriber_params, CUpti_SubscriberParams);
    SAME(vs_cupti_subscriber_params, CUpti_SubscriberParams, oldSubscriberName);
    SAME(vs_cupti_subscriber_params, CUpti_SubscriberParams, oldSubscriberSize);
}
END_TEST

#define CONSTANT(ours, theirs) ck_assert_msg((long long)(ours) == (long long)(theirs), #theirs)
START_TEST(test_constants)
{
    CONSTANT(VS_CUPTI_MAX_LIMIT_REACHED, CUPTI_ERROR_MAX_LIMIT_REACHED);
    CONSTANT(VS_CUPTI_NOT_INITIALIZED, CUPTI_ERROR_NOT_INITIALIZED);
    CONSTANT(VS_CUPTI_INVALID_KIND, CUPTI_ERROR_INVALID_KIND);
    CONSTANT(VS_CUPTI_MULTIPLE_SUBSCRIBERS, CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED);
    CONSTANT(VS_CUPTI_MEMCPY, CUPTI_ACTIVITY_KIND_MEMCPY);
    CONSTANT(VS_CUPTI_MEMSET, CUPTI_ACTIVITY_KIND_MEMSET);
    CONSTANT(VS_CUPTI_DRIVER, CUPTI_ACTIVITY_KIND_DRIVER);
    CONSTANT(VS_CUPTI_RUNTIME, CUPTI_ACTIVITY_KIND_RUNTIME);
    CONSTANT(VS_CUPTI_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    CONSTANT(VS_CUPTI_OVERHEAD, CUPTI_ACTIVITY_KIND_OVERHEAD);
    CONSTANT(VS_CUPTI_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMCPY2);
    CONSTANT(VS_CUPTI_MEMORY2, CUPTI_ACTIVITY_KIND_MEMORY2);
    ck_assert_int_le(CUPTI_ACTIVITY_KIND_COUNT, VS_CUPTI_KINDS);
    ck_assert_int_le(CUPTI_DRIVER_TRACE_CBID_SIZE, VS_CUPTI_CBIDS);
    ck_assert_int_le(CUPTI_RUNTIME_TRACE_CBID_SIZE, VS_CUPTI_CBIDS);
    CONSTANT(VS_CUPTI_DOMAINS, CUPTI_CB_DOMAIN_SIZE);
    CONSTANT(VS_CUPTI_ENTER, CUPTI_API_ENTER);
    CONSTANT(VS_CUPTI_ATTR_DEVICE_BUFFER_SIZE, CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_SIZE);
    CONSTANT(VS_CUPTI_ATTR_DEVICE_BUFFER_POOL_LIMIT, CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_POOL_LIMIT);
    CONSTANT(VS_CUPTI_ATTR_ZEROED_BUFFER, CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER);
    CONSTANT(VS_CUPTI_ATTR_DEVICE_BUFFER_PRE_ALLOCATE, CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_PRE_ALLOCATE_VALUE);
    CONSTANT(VS_CUPTI_FLUSH_FORCED, CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    CONSTANT(VS_CUPTI_THREAD_ID_SYSTEM, CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
    CONSTANT(VS_CUPTI_OBJECT_THREAD, CUPTI_ACTIVITY_OBJECT_THREAD);
    CONSTANT(VS_CUPTI_MEMORY_ALLOCATION, CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION);
    CONSTANT(VS_CUPTI_MEMORY_RELEASE, CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE);
    CONSTANT(VS_CUPTI_MEM_DEVICE, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE);
    CONSTANT(VS_CUPTI_MEM_DEVICE_STATIC, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC);
    CONSTANT(VS_CUPTI_MEM_MANAGED_STATIC, CUPTI_ACTIVITY_MEMORY_KIND_MANAGED_STATIC);
}
END_TEST
#endif

static uint8_t *taken[64];
static void *hammer(void *arg)
{
    int i, n = 0;
    uint8_t *mine[4];
    (void)arg;
    for (i = 0; i < 20000; i++) {
        if (n < 4 && (mine[n] = vs_cupti_pool_take())) {
            ck_assert_msg(mine[n][0] == 0, "one buffer given to two");
            mine[n++][0] = 1;
        } else if (n) {
            n--;
            vs_cupti_pool_give(mine[n], 8);
        }
    }
    while (n)
        vs_cupti_pool_give(mine[--n], 8);
    return NULL;
}

START_TEST(test_pool)
{
    pthread_t threads[8];
    uint8_t other;
    int i, j;

    ck_assert_ptr_null(vs_cupti_pool_take());
    ck_assert(!vs_cupti_pool_owns(&other));
    vs_cupti_pool_grow(4, 6);
    for (i = 0; i < 4; i++) {
        taken[i] = vs_cupti_pool_take();
        ck_assert_ptr_nonnull(taken[i]);
        for (j = 0; j < i; j++)
            ck_assert_ptr_ne(taken[i], taken[j]);
        memset(taken[i], 0xff, VS_CUPTI_BUFFER_BYTES);
    }
    ck_assert_ptr_null(vs_cupti_pool_take());
    vs_cupti_pool_grow(4, 6); /* the limit holds */
    ck_assert_uint_eq(vs_cupti_pool_bytes(), 6 * VS_CUPTI_BUFFER_BYTES);
    ck_assert_uint_eq(vs_cupti_pool_out(), 4);
    ck_assert(vs_cupti_pool_owns(taken[0]) && vs_cupti_pool_owns(taken[3] + 10));
    ck_assert(!vs_cupti_pool_owns(&other));
    for (i = 0; i < 4; i++)
        vs_cupti_pool_give(taken[i], VS_CUPTI_BUFFER_BYTES);
    taken[0] = vs_cupti_pool_take();
    for (j = 0; j < (int)VS_CUPTI_BUFFER_BYTES; j++)
        ck_assert_uint_eq(taken[0][j], 0);
    vs_cupti_pool_give(taken[0], 0);
    for (i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, hammer, NULL);
    for (i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(vs_cupti_pool_out(), 0);
    for (i = 0; vs_cupti_pool_take(); i++)
        ;
    ck_assert_int_eq(i, 6); /* none lost, none made */
}
END_TEST

Suite *make_cupti_record_suite(void)
{
    Suite *s = suite_create("cupti_record");
    TCase *t = tcase_create("conversion");
    tcase_add_test(t, test_kernel);
    tcase_add_loop_test(t, test_times, 0, sizeof times / sizeof *times);
    tcase_add_test(t, test_copies_and_sets);
    tcase_add_test(t, test_memory);
    tcase_add_test(t, test_api_overhead_unknown);
    tcase_add_test(t, test_versions);
    suite_add_tcase(s, t);
    t = tcase_create("layouts");
#ifdef HAVE_CUPTI
    tcase_add_test(t, test_layouts);
    tcase_add_test(t, test_constants);
#endif
    suite_add_tcase(s, t);
    t = tcase_create("pool");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_pool);
    suite_add_tcase(s, t);
    return s;
}

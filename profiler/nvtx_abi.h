/* SPDX-License-Identifier: MIT
 *
 * nvtx_abi.h: the part of NVTX 3's binary interface that a tool sees: numbers of the callbacks, layouts of the structs.
 * Must never include an NVTX header: the recorder is built where no CUDA toolkit is. tests/programs/nvtx_abi.c compares every
 * number and layout here with the real headers where those exist.
 *
 * Ownership: everything these structs point to belongs to the program and is valid during the call only.
 */
#ifndef VS_PROFILER_NVTX_ABI_H
#define VS_PROFILER_NVTX_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

/* Handles are ours to choose, and opaque to the program. */
typedef const void *vs_nvtx_domain;
typedef const void *vs_nvtx_string;

/* ---- how a client is attached ---- */

enum { VS_NVTX_ETID_CALLBACKS = 1, VS_NVTX_ETID_VERSIONINFO = 3 };
enum { VS_NVTX_MODULE_CORE = 1, VS_NVTX_MODULE_CORE2 = 5 };

typedef void (*vs_nvtx_fn)(void);
typedef const void *(*vs_nvtx_get_table)(uint32_t id);

struct vs_nvtx_callbacks {
    size_t struct_size;
    int (*get_module_table)(int module, vs_nvtx_fn ***table, unsigned *size);
};

struct vs_nvtx_version_info {
    size_t struct_size;
    uint32_t version;
    uint32_t reserved0;
    void (*set_injection_version)(uint32_t version);
};

/* X(callback number, our function, name in NVTX) */
#define VS_NVTX_CORE(X)              \
    X(1, mark_ex, MarkEx)            \
    X(2, mark_a, MarkA)              \
    X(3, mark_w, MarkW)              \
    X(4, start_ex, RangeStartEx)     \
    X(5, start_a, RangeStartA)       \
    X(6, start_w, RangeStartW)       \
    X(7, end, RangeEnd)              \
    X(8, push_ex, RangePushEx)       \
    X(9, push_a, RangePushA)         \
    X(10, push_w, RangePushW)        \
    X(11, pop, RangePop)             \
    X(12, category_a, NameCategoryA) \
    X(13, category_w, NameCategoryW) \
    X(14, thread_a, NameOsThreadA)   \
    X(15, thread_w, NameOsThreadW)

#define VS_NVTX_CORE2(X)                          \
    X(1, domain_mark_ex, DomainMarkEx)            \
    X(2, domain_start_ex, DomainRangeStartEx)     \
    X(3, domain_end, DomainRangeEnd)              \
    X(4, domain_push_ex, DomainRangePushEx)       \
    X(5, domain_pop, DomainRangePop)              \
    X(6, resource_create, DomainResourceCreate)   \
    X(7, resource_destroy, DomainResourceDestroy) \
    X(8, domain_category_a, DomainNameCategoryA)  \
    X(9, domain_category_w, DomainNameCategoryW)  \
    X(10, string_a, DomainRegisterStringA)        \
    X(11, string_w, DomainRegisterStringW)        \
    X(12, domain_create_a, DomainCreateA)         \
    X(13, domain_create_w, DomainCreateW)         \
    X(14, domain_destroy, DomainDestroy)          \
    X(15, initialize, Initialize)

/* ---- extensions: memory regions, payloads ---- */

enum { VS_NVTX_EXT_MEM = 1, VS_NVTX_EXT_PAYLOAD = 2 };
enum { VS_NVTX_MEM_COMPAT = 0x0102 }; /* the high byte is the layout's generation */

struct vs_nvtx_segment {
    size_t id;
    size_t slots;
    intptr_t *functions;
};

struct vs_nvtx_module {
    uint16_t version;
    uint16_t struct_size;
    uint16_t module;
    uint16_t compat;
    size_t segments_count;
    struct vs_nvtx_segment *segments;
    intptr_t (*get_export)(uint32_t id);
    const void *info;
};

#define VS_NVTX_MEM(X)                              \
    X(0, heap_register, MemHeapRegister)            \
    X(1, heap_unregister, MemHeapUnregister)        \
    X(2, heap_reset, MemHeapReset)                  \
    X(3, regions_register, MemRegionsRegister)      \
    X(4, regions_resize, MemRegionsResize)          \
    X(5, regions_unregister, MemRegionsUnregister)  \
    X(6, regions_name, MemRegionsName)

#define VS_NVTX_PAYLOAD(X)                  \
    X(2, payload_mark, MarkPayload)         \
    X(3, payload_push, RangePushPayload)    \
    X(4, payload_pop, RangePopPayload)      \
    X(5, payload_start, RangeStartPayload)  \
    X(6, payload_end, RangeEndPayload)

/* ---- what events carry ---- */

enum { VS_NVTX_COLOR_ARGB = 1 };
enum { VS_NVTX_MESSAGE_ASCII = 1, VS_NVTX_MESSAGE_UNICODE = 2, VS_NVTX_MESSAGE_REGISTERED = 3 };
#define VS_NVTX_PAYLOAD_EXT ((int32_t)0xDFBD0009)
#define VS_NVTX_NO_TRACKING (-2) /* what push and pop return when nothing is tracked */

union vs_nvtx_message {
    const char *ascii;
    const wchar_t *unicode;
    vs_nvtx_string registered;
};

struct vs_nvtx_attributes {
    uint16_t version;
    uint16_t size; /* bytes the program knows of: fields beyond are not there */
    uint32_t category;
    int32_t color_type;
    uint32_t color;
    int32_t payload_type;
    int32_t payload_count; /* of VS_NVTX_PAYLOAD_EXT items */
    union {
        uint64_t bits;
        const void *items; /* struct vs_nvtx_payload */
    } payload;
    int32_t message_type;
    union vs_nvtx_message message;
};

struct vs_nvtx_payload {
    uint64_t schema;
    size_t bytes; /* SIZE_MAX: not said */
    const void *data;
};

enum { VS_NVTX_RESOURCE_THREAD_NATIVE = 0x10003 };
struct vs_nvtx_resource {
    uint16_t version;
    uint16_t size;
    int32_t type;
    union {
        const void *pointer;
        uint64_t number;
    } identifier;
    int32_t message_type;
    union vs_nvtx_message message;
};

/* ---- memory regions ---- */

enum { VS_NVTX_MEM_VIRTUAL = 1 };
enum { VS_NVTX_REF_POINTER = 1, VS_NVTX_REF_HANDLE = 2 };
#define VS_NVTX_HEAP_NO_TOOL ((const void *)(intptr_t)-1)

struct vs_nvtx_mem_range {
    size_t size;
    const void *ptr;
};

struct vs_nvtx_heap {
    uint16_t compat;
    uint16_t struct_size;
    uint32_t reserved0;
    uint32_t usage;
    uint32_t type;
    size_t range_size;
    const void *range; /* struct vs_nvtx_mem_range */
    uint32_t category;
    uint32_t message_type;
    union vs_nvtx_message message;
};

struct vs_nvtx_regions { /* register */
    uint16_t compat;
    uint16_t struct_size;
    uint32_t type;
    const void *heap;
    size_t count;
    size_t element_size;
    const void *elements;       /* struct vs_nvtx_mem_range */
    const void **handles; /* out, may be NULL */
};

struct vs_nvtx_regions_resize {
    uint16_t compat;
    uint16_t struct_size;
    uint32_t type;
    size_t count;
    size_t element_size;
    const void *elements; /* struct vs_nvtx_mem_range */
};

struct vs_nvtx_regions_unregister {
    uint16_t compat;
    uint16_t struct_size;
    uint32_t ref_type;
    size_t count;
    size_t element_size;
    const void *elements; /* pointers or handles: with us the same */
};

struct vs_nvtx_region_name {
    uint32_t ref_type;
    uint32_t message_type;
    const void *region;
    union vs_nvtx_message name;
    uint32_t category;
    uint32_t reserved0;
};

struct vs_nvtx_regions_name {
    uint16_t compat;
    uint16_t struct_size;
    uint32_t reserved0;
    size_t count;
    size_t element_size;
    const void *elements; /* struct vs_nvtx_region_name */
    size_t reserved1;
};

#endif

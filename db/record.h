/* SPDX-License-Identifier: MIT
 *
 * record.h: the vocabulary of the log. The only header shared by the two worlds: the recorder inside the traced
 * program writes what is described here, ingest reads it. It holds layouts and constants, and no behaviour but the
 * record check.
 *
 * Storage of one process:
 *   control file    one page of struct vs_control, in memory-backed storage, mapped by the traced process
 *   slab files      VS_CHUNK_SLABS slabs of VS_SLAB_BYTES each, in memory-backed storage, mapped by the traced process
 *   log file        append-only frames on disk: copies of slab contents, written by the recorder's helper thread
 * The death of the process leaves all three behind. What is in a slab and not yet in a frame is read from the slab.
 *
 * A record is 8-byte aligned, begins with struct vs_rec and is a multiple of 8 bytes long. It becomes visible when its
 * header word, zero until then, is stored with release order. The first zero header ends a slab's contents.
 *
 * Endianness: little. Times: ns of CLOCK_MONOTONIC of the recording host. Sizes: bytes. Strings: bytes as the program
 * gave them (not always UTF-8), no terminator, length explicit.
 */
#ifndef VS_DB_RECORD_H
#define VS_DB_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
#define VS_ALIGNED(bytes) alignas(bytes)
#else
#define VS_ALIGNED(bytes) _Alignas(bytes)
#endif

#define VS_FORMAT_VERSION 2u
#define VS_SLAB_BYTES 65536u /* 1000 allocator events; smaller slabs cost more hand-overs, larger ones more idle memory */
#define VS_CHUNK_SLABS 16u   /* slabs in one slab file: 1 MiB is created, allocated and pre-faulted in one step */
#define VS_MAX_CHUNKS 256u
#define VS_MAX_RECORD_BYTES 2040u /* size8 is one byte; longer texts are cut and counted (VS_LOST_CUT) */

/* ---- sources: who appended a record; the unit of the balance appended = stored + lost ---- */
#define VS_SOURCES(X)                                             \
    X(PROCESS, "process") /* identity, threads, strings, clock */ \
    X(TORCH, "torch")     /* PyTorch's caching allocator */       \
    X(CUDA, "cuda")       /* driver allocations */                \
    X(NVTX, "nvtx")       /* ranges, marks, memory regions */     \
    X(NCCL, "nccl")       /* communicators and collectives */     \
    X(GPU, "gpu")         /* kernels, copies, sets: from CUPTI */ \
    X(SAMPLE, "sample")   /* driver memory sampled over time */   \
    X(PYTHON, "python")   /* lines of the allocating program */

enum vs_source {
#define X(id, name) VS_SRC_##id,
    VS_SOURCES(X)
#undef X
    VS_NSOURCES
};

/* ---- losses: why something that happened is not in the database as it should be ---- */
#define VS_LOSSES(X)                                                                                               \
    X(POOL_EMPTY, "pool_empty", "no free slab: the helper thread could not keep up; raise VRAMSCOPE_POOL_MB")      \
    X(REENTERED, "reentered", "an event raised inside the recorder's own append (a signal handler)")               \
    X(STARTING, "starting", "an event while another thread was still starting the recorder")                       \
    X(CUT, "cut", "a text longer than a record holds was shortened (the event itself is stored)")                  \
    X(DEPTH, "depth", "ranges or Python calls nested deeper than the recorder follows (their outermost are missing)") \
    X(DROPPED, "dropped", "CUPTI discarded activity records (its buffers were full)")                              \
    X(UNTIMED, "untimed", "CUPTI gave no usable time for an activity (stored with NULL times)")                    \
    X(UNKNOWN, "unknown", "an activity or call of a kind this version does not know")                              \
    X(LOG_WRITE, "log_write", "the log folder could not be written (disk full?); records stayed in memory or fell") \
    X(TORN, "torn", "a record under construction when the process died")                                           \
    X(DAMAGED, "damaged", "records in the log that are truncated or do not match their check")                     \
    X(UNMATCHED, "unmatched", "a free or range end whose beginning was not recorded, or an address handed out twice") \
    X(UNDELIVERED, "undelivered", "launches after the GPU's last report, by a process that died without a word")        \
    X(GAP, "gap", "intervals in which another tool held CUPTI")                                                    \
    X(FULL, "full", "more different Python stacks or functions than the recorder tells apart: no line is known")    \
    X(UNREADABLE, "unreadable", "Python frames that could not be read (the interpreter was ending): no line is known")

enum vs_loss {
#define X(id, name, help) VS_LOST_##id,
    VS_LOSSES(X)
#undef X
    VS_NLOSSES
};

/* ---- record kinds: X(ID, source, struct) ---- */
#define VS_RECORDS(X)                         \
    X(SWITCH, PROCESS, vs_rec_switch)         \
    X(META, PROCESS, vs_rec_meta)             \
    X(THREAD, PROCESS, vs_rec_thread)         \
    X(STRING, PROCESS, vs_rec_string)         \
    X(CLOCK, PROCESS, vs_rec_clock)           \
    X(MODULE, PROCESS, vs_rec_module)         \
    X(GAP, PROCESS, vs_rec_gap)               \
    X(END, PROCESS, vs_rec_end)               \
    X(TORCH, TORCH, vs_rec_torch)             \
    X(TORCH_OOM, TORCH, vs_rec_oom)           \
    X(ALLOC, CUDA, vs_rec_alloc)              \
    X(FREE, CUDA, vs_rec_free)                \
    X(VMM, CUDA, vs_rec_vmm)                  \
    X(ALLOC_FAIL, CUDA, vs_rec_alloc_fail)    \
    X(POOL, CUDA, vs_rec_pool)                \
    X(LABEL, CUDA, vs_rec_label)              \
    X(CONTEXT, CUDA, vs_rec_context)          \
    X(DEVICE, SAMPLE, vs_rec_device)          \
    X(DEVICE_MEMORY, SAMPLE, vs_rec_device_memory) \
    X(MEASURE, SAMPLE, vs_rec_measure)        \
    X(HOST_MEMORY, SAMPLE, vs_rec_host_memory) \
    X(RANGE_BEGIN, NVTX, vs_rec_range_begin)  \
    X(RANGE_END, NVTX, vs_rec_range_end)      \
    X(MARK, NVTX, vs_rec_mark)                \
    X(NVTX_NAME, NVTX, vs_rec_nvtx_name)      \
    X(REGION, NVTX, vs_rec_region)            \
    X(REGION_FREE, NVTX, vs_rec_free)         \
    X(REGION_NAME, NVTX, vs_rec_region_name)  \
    X(COMM, NCCL, vs_rec_comm)                \
    X(COLL_BEGIN, NCCL, vs_rec_coll_begin)    \
    X(COLL_END, NCCL, vs_rec_coll_end)        \
    X(NCCL_LABEL, NCCL, vs_rec_nccl_label)    \
    X(LAUNCH, GPU, vs_rec_launch)             \
    X(KERNEL, GPU, vs_rec_kernel)             \
    X(TRANSFER, GPU, vs_rec_transfer)         \
    X(API, GPU, vs_rec_api)                   \
    X(OVERHEAD, GPU, vs_rec_overhead)         \
    X(STATIC, GPU, vs_rec_alloc)              \
    X(CODE, PYTHON, vs_rec_code)              \
    X(STACK, PYTHON, vs_rec_stack)

enum vs_kind {
    VS_K_NONE = 0,
#define X(id, source, type) VS_K_##id,
    VS_RECORDS(X)
#undef X
    VS_NKINDS
};

/* Header of every record. `check` is 0 in memory; the helper stores vs_check() of the record in the copy on disk. */
struct vs_rec {
    uint8_t kind;  /* enum vs_kind; 0 = nothing here yet */
    uint8_t size8; /* bytes / 8, header included; never 0 */
    uint8_t flags; /* per kind */
    int8_t device; /* CUDA ordinal in this process; -1 = none or not known */
    uint32_t check;
};

/* Lifetime records (those with `seq`) carry a process-wide number, taken after the slab space is reserved. They are
 * applied strictly in that order. A number that never arrives is a record that was under construction at death. */

/* The records that follow in this slab were appended by this thread. First record of each acquisition of a slab. */
struct vs_rec_switch {
    struct vs_rec h;
    uint32_t thread; /* number of the thread within the process, from 1; never reused */
    uint32_t tid;    /* gettid() */
};

/* A fact about the process: "key\0value". Keys are listed in profiler/meta.c. A later record replaces an earlier one. */
struct vs_rec_meta {
    struct vs_rec h;
    uint32_t key_bytes; /* without the 0 */
    uint32_t value_bytes;
    char text[];
};

struct vs_rec_thread { /* repeated when the name changes */
    struct vs_rec h;
    uint32_t thread;
    uint32_t tid;
    char name[16]; /* as in /proc/self/task/TID/comm, zero padded */
};

/* A text referred to by number: registered NVTX strings, kernel names. Numbers are process-wide, from 1. May arrive
 * after the records that use it. A long text is continued by records with the same id and rising `offset`. */
struct vs_rec_string {
    struct vs_rec h;
    uint64_t id;
    uint32_t offset;
    uint32_t bytes; /* in this record */
    char text[];
};

struct vs_rec_clock {
    struct vs_rec h;
    uint64_t mono_ns;
    uint64_t real_ns; /* CLOCK_REALTIME at the same moment */
};

struct vs_rec_module { /* an executable mapping, to name the library a call came from */
    struct vs_rec h;
    uint64_t begin, end;
    uint32_t path_bytes;
    uint32_t reserved;
    char path[];
};

/* A source went silent or came back. flags: 1 = begins, 0 = ends. */
struct vs_rec_gap {
    struct vs_rec h;
    uint64_t ts_ns;
    uint32_t source; /* enum vs_source */
    uint32_t holder_bytes;
    char holder[]; /* the other tool's name */
};

/* Last record of a process that ended in order. flags: enum vs_end. */
enum vs_end { VS_END_EXIT = 1, VS_END_DETACHED = 2 };
struct vs_rec_end {
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t appended[VS_NSOURCES]; /* by this process in all, this record included */
    uint64_t lost[VS_NSOURCES][VS_NLOSSES];
    /* as in struct vs_control, which is deleted after this */
    uint64_t calibrated_ns[VS_NSOURCES];
    uint64_t delivered_ns, gpu_buffer_bytes, host_bytes;
    uint32_t has_exit_status; /* 0: the next is not known */
    int32_t exit_status;      /* as given to exit or _exit */
};

/* One call of c10::reportMemoryUsageToProfiler. */
enum vs_torch_flags {
    VS_TORCH_TOTALS = 1, /* the totals are known */
    VS_TORCH_STACK = 2   /* the thread's Python stack was looked for: its number follows, 0 = it had no frames */
};
struct vs_rec_torch { /* flags: enum vs_torch_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t address;
    int64_t bytes;      /* > 0 allocation, < 0 free; the rounded block size */
    uint64_t allocated; /* the allocator's own running totals after the event */
    uint64_t reserved;
    uint64_t range; /* seq of the thread's innermost open range, 0 = none */
    uint64_t stack[]; /* VS_TORCH_STACK: number of a vs_rec_stack */
};

struct vs_rec_oom { /* c10::reportOutOfMemoryToProfiler. flags: enum vs_torch_flags (STACK) */
    struct vs_rec h;
    uint64_t ts_ns;
    int64_t bytes; /* asked for */
    uint64_t allocated;
    uint64_t reserved;
    uint64_t range;
    uint64_t stack[]; /* VS_TORCH_STACK */
};

/* What a driver allocation is. The names are the `source` values of the database. */
#define VS_MEMORIES(X)          \
    X(CUDA, "cuda")             \
    X(CUDA_ASYNC, "cuda_async") \
    X(MANAGED, "managed")       \
    X(PINNED, "pinned")         \
    X(ARRAY, "array")           \
    X(STATIC, "static")         \
    X(VMM, "cuda")
enum vs_memory {
#define X(id, name) VS_MEM_##id,
    VS_MEMORIES(X)
#undef X
    VS_NMEMORIES
};

enum vs_alloc_flags {
    VS_AF_IMPORTED = 1,   /* another process owns the bytes (IPC, shareable handle): listed, never counted as held */
    VS_AF_REGISTERED = 2, /* cuMemHostRegister: the program's own host memory, pinned */
    VS_AF_IN_NCCL = 4,    /* made inside an NCCL call */
    VS_AF_CAPTURED = 8,   /* a graph node: an address, no memory until the graph runs */
    VS_AF_UNDO = 16       /* on FREE: the driver refused it; nothing was freed (fills the number it had taken) */
};

struct vs_rec_alloc { /* flags: enum vs_alloc_flags */
    struct vs_rec h;
    uint64_t seq; /* 0 in VS_K_STATIC: reported late by CUPTI, applied when it arrives */
    uint64_t ts_ns;
    uint64_t address; /* of an array: its handle */
    uint64_t bytes;
    uint64_t range;
    uint64_t stream_or_pool; /* CUDA_ASYNC: the pool's handle */
    uint64_t context;        /* CUcontext; what dies with it is freed by VS_K_CONTEXT */
    uint64_t caller;         /* return address of the driver call: names the allocating library */
    uint32_t memory;         /* enum vs_memory */
    uint32_t name_bytes;     /* STATIC: the variable's name follows */
    char name[];
};

struct vs_rec_free { /* flags: enum vs_alloc_flags (UNDO); of REGION_FREE: enum vs_region_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns; /* before the real call */
    uint64_t address;
    uint64_t range;
    uint32_t memory; /* enum vs_memory; for regions unused */
    uint32_t reserved;
};

/* Virtual memory management. Physical memory is held from CREATE until the last reference (handle or mapping) goes. */
enum vs_vmm_op {
    VS_VMM_CREATE = 1, /* handle, bytes */
    VS_VMM_RELEASE,    /* handle */
    VS_VMM_MAP,        /* address, bytes, handle */
    VS_VMM_UNMAP,      /* address, bytes */
    VS_VMM_RETAIN,     /* handle (obtained from address): one more reference */
    VS_VMM_IMPORT      /* handle: another process's memory */
};
struct vs_rec_vmm { /* flags: enum vs_alloc_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t handle;
    uint64_t address;
    uint64_t bytes;
    uint64_t range;
    uint64_t caller;
    uint32_t op; /* enum vs_vmm_op */
    uint32_t reserved;
};

struct vs_rec_alloc_fail {
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t bytes;       /* asked for */
    uint64_t free_bytes;  /* cuMemGetInfo then; UINT64_MAX = not known */
    uint64_t total_bytes; /* likewise */
    uint64_t range;
    uint64_t caller;
    uint32_t memory; /* enum vs_memory */
    int32_t error;   /* CUresult */
};

struct vs_rec_pool { /* a stream-ordered pool, or the device's graph pool (flags 1), as the driver reports it */
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t pool;
    uint64_t reserved_bytes;
    uint64_t used_bytes;
    uint64_t reserved_high_bytes; /* highest since the pool was made; UINT64_MAX = not known */
};

/* A library said what memory is for: the row that is there gets its category. */
enum vs_label { VS_LABEL_WORKSPACE = 1 };
struct vs_rec_label {
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t address;
    uint64_t bytes; /* 0: not said */
    uint32_t what;  /* enum vs_label */
    uint32_t reserved;
};

struct vs_rec_context { /* the context and all its memory are gone: destroyed, reset, or the last release of a primary */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t context; /* 0: every context of h.device */
};

struct vs_rec_device {
    struct vs_rec h;
    uint64_t total_bytes;
    uint8_t uuid[16];
    uint32_t pci; /* domain << 16 | bus << 8 | device */
    uint32_t name_bytes;
    char name[];
};

enum vs_device_memory_flags {
    VS_DM_UNSETTLED = 1, /* memory was being taken or given back meanwhile: not in step with the allocations */
    VS_DM_EARLIER = 2,   /* as it was at ts_ns, before the events that came since */
    VS_DM_FAILURE = 4    /* right after an allocation failed */
};
struct vs_rec_device_memory { /* of the whole device, every process; from NVML. flags: enum vs_device_memory_flags */
    struct vs_rec h;
    uint64_t seq; /* places it among the allocations: what they come to is compared with it */
    uint64_t ts_ns;
    uint64_t used_bytes;
    uint64_t free_bytes;
    uint64_t process_used_bytes; /* UINT64_MAX = not known */
    uint64_t others_used_bytes;  /* of all other processes; likewise */
};

struct vs_rec_host_memory { /* of the process, its memory cgroup and its host. UINT64_MAX = not known */
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t rss_bytes;
    uint64_t cgroup_used_bytes;  /* of the group with the tightest limit among its own and those above */
    uint64_t cgroup_file_bytes;  /* file cache in it, which the kernel gives up first; read when the group is nearly full */
    uint64_t cgroup_limit_bytes; /* UINT64_MAX = none, or not known */
    uint64_t cgroup_oom_kills;   /* by the kernel in that group, ever */
    uint64_t host_available_bytes;
    uint64_t host_total_bytes;
};

/* Device memory the driver took for itself during one call: used before and after, when nothing else happened. */
#define VS_MEASUREDS(X)    \
    X(CONTEXT, "context") \
    X(MODULE, "module")   \
    X(LAUNCH, "launch")   \
    X(LIMIT, "limit")     \
    X(STREAM, "stream")   \
    X(GRAPH, "graph")     \
    X(CALLS, "calls") /* several that could not be told apart from what else happened */
enum vs_measured {
    VS_MEASURED_NONE,
#define X(id, name) VS_MEASURED_##id,
    VS_MEASUREDS(X)
#undef X
    VS_NMEASURED
};
enum vs_measure_flags {
    VS_MF_UNKNOWN = 1, /* could not be told from what else happened, or there was nobody to ask: the delta is void */
    VS_MF_PROCESS = 2  /* by what the driver accounts to this process, else to the whole device */
};
struct vs_rec_measure { /* flags: enum vs_measure_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t context;        /* CUcontext it belongs to, 0: not known */
    int64_t bytes;           /* after - before */
    uint64_t recorder_bytes; /* of these, CUPTI's for the recording */
    uint64_t used_bytes;     /* after, as in struct vs_rec_device_memory; UINT64_MAX = not known */
    uint64_t free_bytes;
    uint64_t process_used_bytes;
    uint64_t others_used_bytes;
    uint32_t what; /* enum vs_measured */
    uint32_t calls;
};

enum vs_range_flags { VS_RF_START_END = 1 /* nvtxRangeStart/End: may end on another thread; not a stack */ };
struct vs_rec_range_begin { /* flags: enum vs_range_flags */
    struct vs_rec h;
    uint64_t seq; /* also the range's identity */
    uint64_t ts_ns;
    uint64_t parent;   /* seq of the range it is nested in on this thread, 0 = none */
    uint64_t string;   /* registered string, 0: the text is inline */
    uint32_t domain;   /* 0 = the default domain; else from VS_K_NVTX_NAME */
    uint32_t category; /* 0 = none */
    uint32_t color;    /* ARGB, 0 = none */
    uint32_t text_bytes;
    char text[];
};

struct vs_rec_range_end {
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t begin; /* seq of its begin */
};

struct vs_rec_mark {
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t range;
    uint64_t string;
    uint32_t domain;
    uint32_t category;
    uint32_t color;
    uint32_t text_bytes;
    char text[];
};

enum vs_nvtx_name { VS_NN_DOMAIN = 1, VS_NN_CATEGORY = 2, VS_NN_THREAD = 3 };
struct vs_rec_nvtx_name { /* flags: enum vs_nvtx_name */
    struct vs_rec h;
    uint32_t domain;
    uint32_t id; /* the category's id, the thread's gettid() */
    uint32_t text_bytes;
    uint32_t reserved;
    char text[];
};

/* NVTX memory: a heap or region the program says it uses. Inside a held block it is a part of it (level `sub`);
 * elsewhere it is host memory CUDA does not see (level `held`, source `host`). A heap and its first region may have the
 * same address: the flags of all three kinds of record tell which is meant.
 *   REGION       0 a region, RESIZE a region that was there with another size (it keeps its name), HEAP a heap
 *   REGION_FREE  0 the region; HEAP the heap, and its regions with it; HEAP | RESIZE the heap was reset: it stays, its
 *                regions go (address 0: all regions that lie in no heap)
 *   REGION_NAME  0 the region, HEAP the heap */
enum vs_region_flags { VS_RG_HEAP = 1, VS_RG_RESIZE = 2 };
struct vs_rec_region { /* flags: enum vs_region_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t address;
    uint64_t bytes;
    uint64_t range;
    uint64_t heap; /* address of the heap it was registered in, 0 = the process */
};

struct vs_rec_region_name { /* flags: enum vs_region_flags */
    struct vs_rec h;
    uint64_t seq;
    uint64_t address;
    uint64_t string;
    uint32_t text_bytes;
    uint32_t reserved;
    char text[];
};

enum vs_comm_op { VS_COMM_CREATE = 1, VS_COMM_SPLIT, VS_COMM_FINALIZE, VS_COMM_DESTROY, VS_COMM_ABORT, VS_COMM_REVOKE };
struct vs_rec_comm { /* flags: enum vs_comm_op */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t comm;    /* handle in this process; 0 with an error */
    uint64_t parent;  /* of SPLIT and shrink */
    uint64_t id_hash; /* of the ncclUniqueId: equal on all ranks of one communicator; 0 = not known */
    int32_t nranks, rank; /* -1 = not known */
    int32_t color; /* of SPLIT */
    int32_t result; /* ncclResult_t */
    uint32_t name_bytes;
    uint32_t reserved;
    char name[];
};

#define VS_COLLECTIVES(X)              \
    X(ALL_REDUCE, "all_reduce")        \
    X(ALL_GATHER, "all_gather")        \
    X(REDUCE_SCATTER, "reduce_scatter") \
    X(BROADCAST, "broadcast")          \
    X(REDUCE, "reduce")                \
    X(ALL_TO_ALL, "all_to_all")        \
    X(GATHER, "gather")                \
    X(SCATTER, "scatter")              \
    X(SEND, "send")                    \
    X(RECV, "recv")
enum vs_collective {
#define X(id, name) VS_COLL_##id,
    VS_COLLECTIVES(X)
#undef X
    VS_NCOLLECTIVES
};

enum vs_coll_flags { VS_CF_FROM_NVTX = 1 /* from NCCL's own NVTX payload: no stream, buffers or type */ };
struct vs_rec_coll_begin { /* before the call is passed on. flags: enum vs_coll_flags */
    struct vs_rec h;
    uint64_t seq; /* its buffers are memory: which, only the order tells */
    uint64_t id; /* process-wide, from 1 */
    uint64_t ts_ns;
    uint64_t comm;
    uint64_t send_address, recv_address;
    uint64_t count; /* as passed; UINT64_MAX = not known */
    uint64_t bytes; /* count x type size */
    uint64_t stream;
    uint64_t range;
    uint64_t group; /* id of the outermost ncclGroupStart..End it is in, 0 = none */
    uint32_t op;    /* enum vs_collective */
    int32_t dtype;  /* ncclDataType_t, -1 = not known */
    int32_t redop;  /* ncclRedOp_t, -1 = none */
    int32_t peer;   /* root or peer, -1 = none */
};

struct vs_rec_coll_end {
    struct vs_rec h;
    uint64_t id; /* of the call, or of the group (then flags = 1) */
    uint64_t ts_ns;
    int32_t result; /* ncclResult_t, -1 = not known */
    uint32_t reserved;
};

enum vs_nccl_label { VS_NL_ALLOC = 1, VS_NL_FREE, VS_NL_REGISTER, VS_NL_DEREGISTER };
struct vs_rec_nccl_label { /* ncclMemAlloc, ncclCommRegister, windows: names memory, adds none. flags: vs_nccl_label */
    struct vs_rec h;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t address;
    uint64_t bytes;
    uint64_t comm;
};

/* A launch or copy call: which thread, which range; joined to GPU work by correlation. Not every one brings work: not a
 * captured one, a refused one, a copy of nothing. */
struct vs_rec_launch {
    struct vs_rec h;
    uint64_t ts_ns;
    uint64_t range;
    uint32_t correlation;
    uint32_t thread; /* number; 0: the thread of this slab */
};

enum vs_time_flags { VS_TF_UNTIMED = 1 /* begin and end are not usable */ };
struct vs_rec_kernel { /* flags: enum vs_time_flags */
    struct vs_rec h;
    uint64_t begin_ns, end_ns;
    uint64_t name; /* string id */
    uint64_t graph_node;
    uint32_t correlation;
    uint32_t stream;
    uint32_t context;
    uint32_t graph;
    uint32_t grid[3], block[3];
    uint32_t static_shared, dynamic_shared;
    uint32_t registers;
    uint32_t local_per_thread;
};

enum vs_transfer { VS_XFER_COPY = 1, VS_XFER_PEER = 2, VS_XFER_SET = 3 };
struct vs_rec_transfer { /* flags: enum vs_time_flags */
    struct vs_rec h;
    uint64_t begin_ns, end_ns;
    uint64_t bytes;
    uint64_t graph_node;
    uint32_t correlation;
    uint32_t stream;
    uint32_t context;
    uint32_t graph;
    uint8_t op;                 /* enum vs_transfer */
    uint8_t copy_kind;          /* CUpti_ActivityMemcpyKind */
    uint8_t src_kind, dst_kind; /* CUpti_ActivityMemoryKind */
    int8_t src_device, dst_device;
    uint16_t reserved;
    uint64_t value; /* of a set */
};

struct vs_rec_api { /* --trace api */
    struct vs_rec h;
    uint64_t begin_ns, end_ns;
    uint32_t domain; /* 1 driver, 2 runtime */
    uint32_t cbid;
    uint32_t correlation;
    int32_t result;
    uint32_t tid;
    uint32_t reserved;
    uint64_t name; /* string id */
};

struct vs_rec_overhead { /* CUPTI_ACTIVITY_KIND_OVERHEAD */
    struct vs_rec h;
    uint64_t begin_ns, end_ns;
    uint32_t what; /* CUpti_ActivityOverheadKind */
    uint32_t tid;
};

/* A code object of Python, once. Its line table is decoded by whoever reads: the encoding is CPython's own and depends on
 * the version. The first record holds both texts and the table's begin, later ones of the same number the rest. */
enum vs_line_table { VS_LT_PAIRS = 1 /* 3.10 */, VS_LT_LOCATIONS = 2 /* 3.11 on */ };
struct vs_rec_code { /* flags: enum vs_line_table */
    struct vs_rec h;
    uint32_t code; /* number within the process, from 1 */
    uint32_t first_line;
    uint32_t table_bytes;    /* in all its records */
    uint32_t table_at;       /* of the part in this record */
    uint16_t table_part;     /* bytes of it */
    uint16_t file_bytes;     /* UTF-8, or bytes as the file system gave them; then the function's name, then the table */
    uint16_t function_bytes;
    uint16_t reserved;
    char text[];
};

/* The frames of a thread when it allocated, innermost first, once. flags: 1 = there were more than the recorder follows. */
struct vs_rec_stack {
    struct vs_rec h;
    uint32_t stack; /* number within the process, from 1 */
    uint32_t frames;
    struct vs_stack_frame {
        uint32_t code;   /* 0: not known */
        uint32_t offset; /* of the instruction, in bytes from the code's begin */
    } frame[];
};
#define VS_MAX_STACK_FRAMES ((VS_MAX_RECORD_BYTES - 16u) / 8u)

/* ---- storage ---- */

/* First bytes of each slab. Counts are never reset, so their sum over all slabs is what the process appended. */
struct vs_slab {
    uint64_t magic;             /* VS_SLAB_MAGIC */
    uint64_t serial;            /* of this filling; rises each time the slab is emptied and used again */
    uint32_t state;             /* enum vs_slab_state, atomic */
    uint32_t owner_tid;         /* while owned */
    uint32_t fill;              /* where the next writer begins; written by the owner when it gives the slab back */
    uint32_t copied;            /* end of what is in a frame on disk; written by the helper after the frame */
    uint32_t thread;            /* thread number valid at `copied` (0: a SWITCH record comes first) */
    uint32_t owner_thread;      /* thread number of the owner */
    uint64_t appended[VS_NSOURCES]; /* incremented just before the record becomes visible */
    uint64_t reserved[3];
};
enum vs_slab_state {
    VS_SLAB_AVAILABLE = 0, /* room, no writer */
    VS_SLAB_OWNED = 1,     /* one thread writes */
    VS_SLAB_FULL = 2       /* no writer; the helper empties it */
};
#define VS_SLAB_MAGIC 0x62616c5373567631ull
#define VS_SLAB_RECORDS ((uint32_t)sizeof(struct vs_slab)) /* offset of the first record */

/* One page at the head of the control file. Identity first, then what changes; hot words on lines of their own. */
struct vs_control {
    uint64_t magic; /* VS_CONTROL_MAGIC; stored last, when the rest is there */
    uint32_t version; /* VS_FORMAT_VERSION */
    uint32_t slab_bytes;
    uint32_t chunk_slabs;
    uint32_t pid;
    uint64_t pid_start;     /* field 22 of /proc/PID/stat: tells a reused pid */
    uint64_t pid_namespace; /* inode of /proc/self/ns/pid */
    uint8_t boot_id[16];    /* /proc/sys/kernel/random/boot_id; monotonic times compare only within one boot */
    uint64_t start_ns, start_real_ns;
    char host[64];
    char folder[1024]; /* the process's folder on disk, absolute */
    char memory[256];  /* the folder with control and slab files, absolute */
    VS_ALIGNED(64) uint32_t state; /* enum vs_control_state, atomic */
    uint32_t chunks;             /* slab files that exist, atomic */
    uint64_t heartbeat_ns;       /* of the helper */
    uint64_t delivered_ns;       /* GPU records up to here have arrived; 0 = never */
    uint64_t log_bytes;          /* in the log file */
    uint64_t calibrated_ns[VS_NSOURCES]; /* cost of one append of this source, measured at start; 0 = not measured */
    uint64_t gpu_buffer_bytes;   /* device memory CUPTI uses for us; 0 = none */
    uint64_t host_bytes;         /* memory the recorder maps */
    VS_ALIGNED(64) uint64_t seq_next; /* next lifetime number, from 1; atomic */
    VS_ALIGNED(64) uint64_t lost[VS_NSOURCES][VS_NLOSSES]; /* atomic */
};
enum vs_control_state { VS_CTL_RUNNING = 1, VS_CTL_ENDED = 2 };
#define VS_CONTROL_MAGIC 0x4c54437663567631ull
#define VS_CONTROL_BYTES 8192u

/* Head of the log file. */
struct vs_log_head {
    uint64_t magic; /* VS_LOG_MAGIC */
    uint32_t version;
    uint32_t check; /* of the struct, with this field 0 */
    char memory[256]; /* the folder with control and slab files */
    uint64_t pid_start, pid_namespace;
    uint8_t boot_id[16];
    uint32_t pid, reserved;
    uint64_t start_ns, start_real_ns;
    char host[64];
};
#define VS_LOG_MAGIC 0x474f4c6353567631ull
#define VS_LOG_NAME "log"         /* in the process's folder on disk */
#define VS_CONTROL_NAME "control" /* in its memory folder; slab files are "slabs-0", "slabs-1", ... */
#define VS_SLABS_NAME "slabs-"

struct vs_frame { /* then `bytes` bytes of records, each with its check */
    uint64_t magic; /* VS_FRAME_MAGIC */
    uint64_t serial; /* of the slab filling */
    uint32_t slab;   /* index of the slab */
    uint32_t offset; /* in the slab */
    uint32_t bytes;
    uint32_t thread; /* thread number valid at the first record, 0: a SWITCH comes first */
    uint32_t records;
    uint32_t check; /* of this struct, with this field 0 */
};
#define VS_FRAME_MAGIC 0x454d415246567631ull

/* 32-bit check of a record or header whose check field is 0; never 0 itself, which means "not checked". Multiply-xor
 * over 8-byte words: detects any single changed word, costs about 1 ns per word. `bytes` is a multiple of 8. */
static inline uint32_t vs_check(const void *data, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)data;
    uint64_t h = 0x9e3779b97f4a7c15ull ^ bytes;
    size_t i;
    for (i = 0; i < bytes; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        h = (h ^ w) * 0xd6e8feb86659fd93ull;
        h ^= h >> 32;
    }
    return (uint32_t)(h ^ (h >> 29)) | 1u;
}

#endif

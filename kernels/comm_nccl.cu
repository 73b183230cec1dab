/* SPDX-License-Identifier: MIT
 *
 * comm_nccl.cu: collectives between GPUs, by NVIDIA's NCCL, which is found at run time: nothing here is linked with it. It sets none of
 * NCCL's variables and changes no default of it; its debug output is NCCL_DEBUG's business.
 *
 * Communicators are blocking, as NCCL's calls then do no more than queue; making one, which waits for all ranks, is left to a thread,
 * so that an abort can end that wait too: NCCL gives no handle to abort by until it is made. (A non-blocking communicator has one,
 * but each of its operations is then launched by a thread of NCCL's own, some time after the call has returned.)
 */
#include "kernels/comm.h"

#include <cerrno>

#if !__has_include(<nccl.h>)

namespace {

int no_id(struct vs_comm_id *)
{
    return -ENOTSUP;
}
int no_open(const struct vs_comm_id *, int, int, const char *, void **comm)
{
    __atomic_store_n(comm, static_cast<void *>(nullptr), __ATOMIC_RELAXED);
    return -ENOTSUP;
}
void no_end(void *)
{
}
int no_parts(void *, const struct vs_comm_part *, size_t, void *)
{
    return -ENOTSUP;
}
int no_reduce(void *, const void *, void *, size_t, enum vs_comm_dtype, void *)
{
    return -ENOTSUP;
}
int no_check(void *)
{
    return -ENOTSUP;
}
const char *why_not(void)
{
    return "built without NCCL: there was no nccl.h (package libnccl-dev); build again where there is one";
}

} // namespace

const struct vs_comm vs_comm_nccl = {"nccl", no_id, no_open, no_end, no_end, no_parts, no_parts, no_parts, no_reduce, no_check, why_not};

#else

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

#define NCCL_CALLS(X)                                                                                                      \
    X(GetUniqueId) X(CommInitRankConfig) X(CommDestroy) X(CommAbort) X(CommGetAsyncError) X(GetErrorString) X(GetLastError) \
    X(AllGather) X(ReduceScatter) X(AllReduce) X(GroupStart) X(GroupEnd) X(Send) X(Recv)
struct calls {
#define X(name) decltype(&nccl##name) name;
    NCCL_CALLS(X)
#undef X
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
    decltype(&ncclAlltoAll) AlltoAll; /* null: the library is older than the header */
#endif
};
calls nccl;

thread_local char text[512];

__attribute__((format(printf, 2, 3))) int failed(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err;
}

/* Empty: loaded. */
std::string load()
{
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return "no NCCL (libnccl.so.2) is found: install NVIDIA's package libnccl2, or put the folder of PyTorch's copy "
               "(site-packages/nvidia/nccl/lib) into LD_LIBRARY_PATH";
    std::string missing;
#define X(name)                                                                       \
    nccl.name = reinterpret_cast<decltype(nccl.name)>(dlsym(library, "nccl" #name)); \
    if (!nccl.name) missing = "nccl" #name;
    NCCL_CALLS(X)
#undef X
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
    nccl.AlltoAll = reinterpret_cast<decltype(nccl.AlltoAll)>(dlsym(library, "ncclAlltoAll"));
#endif
    return missing.empty() ? missing : "libnccl.so.2 is too old: it has no " + missing;
}

int loaded()
{
    static const std::string why = load();
    return why.empty() ? 0 : failed(-ENOTSUP, "%s", why.c_str());
}

/* One communicator. Kept by whoever uses it: an abort may come from another thread while this one closes. */
struct communicator {
    std::string name;
    int rank, world;
    std::mutex mutex; /* of the making and of the end; no operation holds it while it is in NCCL */
    std::condition_variable changed;
    bool done = false, closed = false; /* the making is over, well or not */
    std::atomic<bool> aborted{false};
    std::atomic<int> inside{0}; /* threads that are about to call NCCL with `comm`, or are in such a call */
    ncclResult_t made = ncclInProgress;
    std::string why;
    ncclComm_t comm = nullptr;
};
using held = std::shared_ptr<communicator>;

std::mutex list_mutex;
std::vector<held> &list = *new std::vector<held>; /* never destroyed: an abort may come while the process ends */

held find(void *comm, bool take_out)
{
    std::lock_guard<std::mutex> guard(list_mutex);
    auto at = std::find_if(list.begin(), list.end(), [&](const held &h) { return h.get() == comm; });
    if (at == list.end()) return nullptr;
    held found = *at;
    if (take_out) list.erase(at);
    return found;
}

int nccl_failed(const communicator &c, ncclResult_t result, const char *doing)
{
    if (c.aborted) return failed(-ECANCELED, "%s: aborted", c.name.c_str());
    return failed(-EIO, "%s: %s: %s (%s; NCCL_DEBUG=WARN tells more)", c.name.c_str(), doing, nccl.GetErrorString(result),
                  nccl.GetLastError(nullptr));
}

/* ---- open, close, abort ---- */

int make_id(struct vs_comm_id *id)
{
    ncclUniqueId made;
    static_assert(sizeof made == sizeof *id, "an id of ours holds one of NCCL's");
    int err = loaded();
    if (err) return err;
    ncclResult_t result = nccl.GetUniqueId(&made);
    if (result != ncclSuccess) return failed(-EIO, "no NCCL id: %s (%s)", nccl.GetErrorString(result), nccl.GetLastError(nullptr));
    memcpy(id->bytes, &made, sizeof made);
    return 0;
}

/* In a thread of its own, which may outlive the communicator's owner. */
void make(held c, ncclUniqueId id, int device)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t comm = nullptr;
    config.blocking = 1;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
    config.commName = c->name.c_str();
#endif
    ncclResult_t result = cudaSetDevice(device) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
    if (result == ncclSuccess) result = nccl.CommInitRankConfig(&comm, c->world, id, c->rank, &config);
    std::lock_guard<std::mutex> guard(c->mutex);
    c->made = result;
    c->why = result == ncclSuccess ? "" : nccl.GetLastError(nullptr);
    c->done = true;
    if (result == ncclSuccess && (c->aborted || c->closed))
        nccl.CommAbort(comm); /* nobody waits for it any more */
    else if (result == ncclSuccess)
        c->comm = comm;
    c->changed.notify_all();
}

held new_communicator(int rank, int world, const char *name)
{
    auto c = std::make_shared<communicator>();
    c->name = name ? name : "communicator";
    c->rank = rank;
    c->world = world;
    std::lock_guard<std::mutex> guard(list_mutex);
    list.push_back(c);
    return c;
}

int open_comm(const struct vs_comm_id *id, int rank, int world, const char *name, void **comm)
{
    int device, err = loaded();
    __atomic_store_n(comm, static_cast<void *>(nullptr), __ATOMIC_RELAXED);
    if (err) return err;
    if (world < 1 || rank < 0 || rank >= world) return failed(-EINVAL, "rank %d of %d", rank, world);
    cudaError_t status = cudaGetDevice(&device);
    if (status != cudaSuccess) return failed(-EIO, "no current device: %s", cudaGetErrorString(status));
    ncclUniqueId unique;
    memcpy(&unique, id->bytes, sizeof unique);
    held c;
    try {
        c = new_communicator(rank, world, name);
        __atomic_store_n(comm, static_cast<void *>(c.get()), __ATOMIC_RELEASE);
        std::thread(make, c, unique, device).detach();
    } catch (const std::exception &e) { /* no memory, no thread */
        return failed(-ENOMEM, "rank %d of %d: %s", rank, world, e.what());
    }
    std::unique_lock<std::mutex> guard(c->mutex);
    c->changed.wait(guard, [&] { return c->done || c->aborted; });
    if (c->aborted) return failed(-ECANCELED, "%s: aborted", c->name.c_str());
    if (c->made == ncclSuccess) return 0;
    return failed(-EIO, "%s: rank %d of %d: %s (%s; NCCL_DEBUG=WARN tells more)", c->name.c_str(), rank, world,
                  nccl.GetErrorString(c->made), c->why.c_str());
}

void close_comm(void *comm)
{
    held c = find(comm, true);
    if (!c) return;
    std::lock_guard<std::mutex> guard(c->mutex); /* an abort that is under way ends first */
    c->closed = true;
    if (c->comm) nccl.CommDestroy(c->comm);
    c->comm = nullptr;
}

/* NCCL's abort may be called while another thread is in a call on the communicator, and is what ends that call. */
void abort_comm(void *comm)
{
    held c = find(comm, false);
    if (!c) return;
    std::lock_guard<std::mutex> guard(c->mutex);
    if (c->aborted || c->closed) return;
    c->aborted = true;
    /* A call that has only begun would find its communicator gone. One that waits in NCCL is what the abort ends. */
    for (int i = 0; i < 100 && c->inside; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (c->comm) nccl.CommAbort(c->comm);
    c->comm = nullptr;
    c->changed.notify_all();
}

int check(void *comm)
{
    communicator &c = *static_cast<communicator *>(comm);
    if (c.aborted) return failed(-ECANCELED, "%s: aborted", c.name.c_str());
    std::unique_lock<std::mutex> guard(c.mutex, std::try_to_lock);
    if (!guard.owns_lock()) return failed(-ECANCELED, "%s: being aborted", c.name.c_str());
    ncclResult_t since = ncclSuccess, result = c.comm ? nccl.CommGetAsyncError(c.comm, &since) : ncclInvalidUsage;
    if (result == ncclSuccess) result = since;
    return result == ncclSuccess || result == ncclInProgress ? 0 : nccl_failed(c, result, "check");
}

/* ---- operations ---- */

ncclDataType_t type_of(enum vs_comm_dtype dtype)
{
    switch (dtype) {
    case VS_COMM_fp32: return ncclFloat32;
    case VS_COMM_fp64: return ncclFloat64;
    case VS_COMM_bf16: return ncclBfloat16;
    case VS_COMM_fp16: return ncclFloat16;
    default: return ncclNumTypes;
    }
}

/* queue(comm, part) for all parts that hold something, as one group. */
template <class Queue> int run(void *handle, const struct vs_comm_part *parts, size_t count, const char *what, Queue queue)
{
    communicator &c = *static_cast<communicator *>(handle);
    ncclComm_t comm;
    {
        std::lock_guard<std::mutex> guard(c.mutex);
        comm = c.comm;
        if (!comm) return nccl_failed(c, ncclInvalidUsage, what);
        c.inside++;
    }
    struct leave {
        communicator &c;
        ~leave() { c.inside--; }
    } left{c};
    for (size_t i = 0; i < count; i++)
        if (type_of(parts[i].dtype) == ncclNumTypes) return failed(-EINVAL, "%s: %s: no such type", c.name.c_str(), what);
    ncclResult_t result = nccl.GroupStart();
    if (result != ncclSuccess) return nccl_failed(c, result, what);
    for (size_t i = 0; i < count && result == ncclSuccess; i++)
        if (parts[i].count) result = queue(comm, parts[i]);
    ncclResult_t ended = nccl.GroupEnd();
    if (result == ncclSuccess) result = ended;
    return result == ncclSuccess ? 0 : nccl_failed(c, result, what);
}

int all_gather(void *handle, const struct vs_comm_part *parts, size_t count, void *stream)
{
    return run(handle, parts, count, "all_gather", [&](ncclComm_t comm, const vs_comm_part &p) {
        return nccl.AllGather(p.send, p.recv, p.count, type_of(p.dtype), comm, static_cast<cudaStream_t>(stream));
    });
}

ncclResult_t exchange(ncclComm_t comm, int world, const vs_comm_part &p, cudaStream_t stream)
{
    size_t bytes = p.count * vs_comm_dtype_bytes(p.dtype);
    ncclResult_t result = ncclSuccess;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
    if (nccl.AlltoAll) return nccl.AlltoAll(p.send, p.recv, p.count, type_of(p.dtype), comm, stream);
#endif
    for (int r = 0; r < world && result == ncclSuccess; r++) {
        result = nccl.Send(static_cast<const char *>(p.send) + r * bytes, p.count, type_of(p.dtype), r, comm, stream);
        if (result == ncclSuccess)
            result = nccl.Recv(static_cast<char *>(p.recv) + r * bytes, p.count, type_of(p.dtype), r, comm, stream);
    }
    return result;
}

int all_to_all(void *handle, const struct vs_comm_part *parts, size_t count, void *stream)
{
    int world = static_cast<communicator *>(handle)->world;
    return run(handle, parts, count, "all_to_all", [&](ncclComm_t comm, const vs_comm_part &p) {
        return exchange(comm, world, p, static_cast<cudaStream_t>(stream));
    });
}

int reduce_scatter(void *handle, const struct vs_comm_part *parts, size_t count, void *stream)
{
    communicator &c = *static_cast<communicator *>(handle);
    for (size_t i = 0; i < count; i++)
        if (parts[i].dtype != VS_COMM_fp32 && parts[i].dtype != VS_COMM_fp64)
            return failed(-EINVAL, "%s: reduce_scatter: fp32 and fp64 only", c.name.c_str());
    return run(handle, parts, count, "reduce_scatter", [&](ncclComm_t comm, const vs_comm_part &p) {
        return nccl.ReduceScatter(p.send, p.recv, p.count, type_of(p.dtype), ncclSum, comm, static_cast<cudaStream_t>(stream));
    });
}

int all_reduce(void *handle, const void *send, void *recv, size_t count, enum vs_comm_dtype dtype, void *stream)
{
    struct vs_comm_part part = {send, recv, count, dtype};
    return run(handle, &part, 1, "all_reduce", [&](ncclComm_t comm, const vs_comm_part &p) {
        return nccl.AllReduce(p.send, p.recv, p.count, type_of(p.dtype), ncclSum, comm, static_cast<cudaStream_t>(stream));
    });
}

const char *last_error(void)
{
    return text;
}

} // namespace

const struct vs_comm vs_comm_nccl = {"nccl",         make_id,        open_comm,  close_comm, abort_comm,
                                     all_gather, all_to_all,     reduce_scatter, all_reduce, check, last_error};

#endif

/* SPDX-License-Identifier: MIT
 *
 * train_attention_cudnn_load.cpp: finds libcudnn.so.9 at run time and passes calls on to it: under the names of cudnn.h, so that
 * NVIDIA's frontend, which calls them, needs no library when it is linked. No function but vs_cudnn_load may be called before
 * that has said true. Nothing is ever closed.
 *
 * Places, in this order: VRAMSCOPE_CUDNN (a file), the loader's, the CUDA toolkit's, and beside each python3 on the PATH, where
 * PyTorch's packages bring it.
 */
#include "kernels/train_attention_cudnn.h"

#include <cudnn.h>
#include <dlfcn.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

/* X(returned type, name, parameters, arguments): what the frontend and train_attention_cudnn.cpp call */
#define VS_CUDNN_CALLS(X)                                                                                                    \
    X(size_t, cudnnGetVersion, (void), ())                                                                                   \
    X(const char *, cudnnGetErrorString, (cudnnStatus_t status), (status))                                                   \
    X(void, cudnnGetLastErrorString, (char *message, size_t bytes), (message, bytes))                                        \
    X(cudnnStatus_t, cudnnCreate, (cudnnHandle_t * handle), (handle))                                                        \
    X(cudnnStatus_t, cudnnSetStream, (cudnnHandle_t handle, cudaStream_t stream), (handle, stream))                          \
    X(cudnnStatus_t, cudnnGetStream, (cudnnHandle_t handle, cudaStream_t * stream), (handle, stream))                        \
    X(cudnnStatus_t, cudnnBackendCreateDescriptor, (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t * out),      \
      (type, out))                                                                                                           \
    X(cudnnStatus_t, cudnnBackendDestroyDescriptor, (cudnnBackendDescriptor_t of), (of))                                     \
    X(cudnnStatus_t, cudnnBackendFinalize, (cudnnBackendDescriptor_t of), (of))                                              \
    X(cudnnStatus_t, cudnnBackendSetAttribute,                                                                               \
      (cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,       \
       const void *values),                                                                                                  \
      (of, name, type, count, values))                                                                                       \
    X(cudnnStatus_t, cudnnBackendGetAttribute,                                                                               \
      (cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,        \
       int64_t *count, void *values),                                                                                        \
      (of, name, type, room, count, values))                                                                                 \
    X(cudnnStatus_t, cudnnBackendExecute,                                                                                    \
      (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t variants), (handle, plan, variants))

namespace {

struct calls {
#define X(type, name, parameters, arguments) type(*name) parameters;
    VS_CUDNN_CALLS(X)
#undef X
};
calls cudnn;

void *open_matches(const std::string &pattern)
{
    glob_t found;
    void *library = nullptr;
    if (glob(pattern.c_str(), 0, nullptr, &found)) return nullptr;
    for (size_t i = 0; !library && i < found.gl_pathc; i++) library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return library;
}

void *open_beside_python()
{
    const char *list = getenv("PATH");
    std::string paths = list ? list : "";
    void *library = nullptr;
    for (size_t at = 0; !library && at < paths.size();) {
        size_t end = std::min(paths.find(':', at), paths.size());
        std::string folder = paths.substr(at, end - at);
        at = end + 1;
        if (folder.empty() || folder[0] != '/' || access((folder + "/python3").c_str(), X_OK)) continue;
        for (const char *packages : {"site-packages", "dist-packages"})
            if (!library) library = open_matches(folder + "/../lib/python3*/" + packages + "/nvidia/cudnn/lib/libcudnn.so.9");
    }
    return library;
}

void *open_library()
{
    const char *file = getenv("VRAMSCOPE_CUDNN");
    if (file && *file) return dlopen(file, RTLD_NOW | RTLD_LOCAL);
    void *library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = open_matches("/usr/local/cuda/lib*/libcudnn.so.9");
    return library ? library : open_beside_python();
}

bool load()
{
    void *library = open_library();
    if (!library) return false;
    bool all = true;
#define X(type, name, parameters, arguments)                           \
    cudnn.name = reinterpret_cast<type(*) parameters>(dlsym(library, #name)); \
    all = all && cudnn.name;
    VS_CUDNN_CALLS(X)
#undef X
    return all;
}

} // namespace

bool vs_cudnn_load(void)
{
    static const bool loaded = load();
    return loaded;
}

#define X(type, name, parameters, arguments) \
    extern "C" type name parameters          \
    {                                        \
        return cudnn.name arguments;         \
    }
VS_CUDNN_CALLS(X)

/* SPDX-License-Identifier: MIT
 *
 * norm_sm90.cu: the host's side of what both Hopper backends need: lists of one launch, tensor maps, tables. It launches
 * no norm kernel.
 */
#include "kernels/norm_sm90.cuh"

#include <climits>
#include <cudaTypedefs.h>
#include <cstring>
#include <new>

namespace sm90 {

static int for_each_launch(launch_fn *launch, pass *all)
{
    const vs_norms_call *call = all->call;
    size_t pieces = 0, at = 0;
    for (size_t i = 0; i < call->count; i++) pieces += (call->layers[i].B + SAMPLES_MAX - 1) / SAMPLES_MAX;
    if (pieces == call->count) { /* the usual case: nothing to cut, perhaps one launch */
        size_t samples = 0;
        for (size_t i = 0; i < call->count; i++) samples += call->layers[i].B;
        if (samples <= SAMPLES_MAX) return launch({call->layers, call->count}, all);
    }
    vs_norms_layer *cut = new (std::nothrow) vs_norms_layer[pieces];
    if (!cut) return vs_cuda_refuse(-ENOMEM, "no host memory for the table of layers");
    size_t element = vs_norms_dtype_bytes(call->dtype);
    for (size_t i = 0; i < call->count; i++)
        for (size_t b = 0; b < call->layers[i].B; b += SAMPLES_MAX) {
            vs_norms_layer *piece = &cut[at++];
            *piece = call->layers[i];
            piece->B = piece->B - b < SAMPLES_MAX ? piece->B - b : SAMPLES_MAX;
            piece->A = static_cast<const char *>(piece->A) + b * piece->T * piece->d * element;
            piece->G = static_cast<const char *>(piece->G) + b * piece->T * piece->p * element;
            piece->n += b;
            if (piece->absolute) piece->absolute += b;
            if (piece->gradient) piece->gradient += b * piece->d * piece->p;
        }
    int err = 0;
    for (size_t first = 0; !err && first < pieces;) {
        size_t samples = cut[first].B, count = 1;
        while (first + count < pieces && samples + cut[first + count].B <= SAMPLES_MAX) samples += cut[first + count++].B;
        err = launch({cut + first, count}, all);
        first += count;
    }
    delete[] cut;
    return err;
}

size_t count_launches(const vs_norms_call *call, launch_fn *launch)
{
    pass all = {call, false, 0, nullptr};
    return for_each_launch(launch, &all) ? 0 : all.bytes;
}

int queue_launches(const vs_norms_call *call, launch_fn *launch)
{
    pass all = {call, true, 0, call->recomputed};
    return for_each_launch(launch, &all);
}

/* The driver's function, found through the runtime: nothing links libcuda. */
static PFN_cuTensorMapEncodeTiled_v12000 encoder()
{
    static const PFN_cuTensorMapEncodeTiled_v12000 found = [] {
        void *f = nullptr;
        cudaDriverEntryPointQueryResult result;
        cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &result);
        return status == cudaSuccess && result == cudaDriverEntryPointSuccess
                   ? reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(f)
                   : nullptr;
    }();
    return found;
}

element element_of(vs_norms_dtype dtype)
{
    return dtype == VS_NORMS_bf16 ? BF16 : dtype == VS_NORMS_fp16 ? FP16 : TF32;
}

int encode_map(CUtensorMap *map, const void *X, size_t B, size_t T, size_t width, unsigned rows, element type)
{
    const size_t bytes = ROW_BYTES / row_elements(type);
    const cuuint64_t sizes[3] = {width, T, B}, strides[2] = {bytes * width, bytes * width * T};
    const cuuint32_t box[3] = {static_cast<cuuint32_t>(row_elements(type)), rows, 1}, steps[3] = {1, 1, 1};
    PFN_cuTensorMapEncodeTiled_v12000 encode = encoder();
    if (!encode) return vs_cuda_refuse(-EIO, "this driver has no cuTensorMapEncodeTiled");
    CUresult status = encode(map,
                             type == FP16   ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                             : type == BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                            : CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
                             3, const_cast<void *>(X), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return status == CUDA_SUCCESS ? 0 : vs_cuda_refuse(-EIO, "cuTensorMapEncodeTiled refused a layer");
}

bool copy_engine_takes(const vs_norms_call *call)
{
    const vs_cuda_context *context = vs_cuda_context_of(call);
    if (context->major != 9 || context->minor != 0 || context->sm_count < 2 * static_cast<int>(SPLIT_MAX) || !encoder())
        return false;
    if (call->dtype == VS_NORMS_fp32) return false;
    const size_t bytes = vs_norms_dtype_bytes(call->dtype), whole = 16 / bytes;
    for (size_t i = 0; i < call->count; i++) {
        const vs_norms_layer &l = call->layers[i];
        if (l.d % whole || l.p % whole || reinterpret_cast<uintptr_t>(l.A) % 16 || reinterpret_cast<uintptr_t>(l.G) % 16) return false;
        /* Numbers of tiles, of a sample and of its gradient, have 32 bits; strides of a map 40. */
        if (l.T > 1u << 22 || static_cast<double>(l.d) * l.p > 1e13) return false;
        if (bytes * l.T * (l.d > l.p ? l.d : l.p) >= 1ull << 40 || l.d > INT_MAX / 2 || l.p > INT_MAX / 2)
            return false;
    }
    return true;
}

constexpr size_t PIECE = 3840; /* kernel parameters hold 4 KiB everywhere */
struct table_piece {
    char bytes[PIECE];
};

static __global__ void write_table(char *to, const __grid_constant__ table_piece piece, unsigned bytes)
{
    for (unsigned i = threadIdx.x * 4; i < bytes; i += blockDim.x * 4)
        *reinterpret_cast<unsigned *>(to + i) = *reinterpret_cast<const unsigned *>(piece.bytes + i);
    asm volatile("fence.proxy.tensormap::generic.release.gpu;" ::: "memory");
}

int store_table(void *device, const void *host, size_t bytes, cudaStream_t stream)
{
    table_piece piece;
    for (size_t at = 0; at < bytes; at += PIECE) {
        unsigned now = static_cast<unsigned>(bytes - at < PIECE ? bytes - at : PIECE);
        memcpy(piece.bytes, static_cast<const char *>(host) + at, now);
        int err = vs_cuda_launch("table of layers", write_table, 1, 256, 0, stream,
                              static_cast<char *>(device) + at, piece, now);
        if (err) return err;
    }
    return 0;
}

} // namespace sm90

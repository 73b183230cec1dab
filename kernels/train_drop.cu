/* SPDX-License-Identifier: MIT
 *
 * train_drop.cu: zeroes what belongs to samples that count for nothing (train.h, drop). Nearly always there are none: then a block per
 * tensor and sample reads one number and ends.
 */
#include "kernels/train.cuh"

namespace {

constexpr int LIST = 96; /* entries that go with one launch: parameters of a kernel are at most 4 KB */
constexpr unsigned SLICES = 16, THREADS = 256; /* blocks per sample and tensor */

struct entries {
    vs_train_samples of[LIST];
};

__global__ void drop_samples(entries list, const float *c)
{
    const vs_train_samples &s = list.of[blockIdx.y];
    for (size_t b = 0; b < s.B; b++) {
        if (c[s.first + b] != 0) continue;
        unsigned short *data = reinterpret_cast<unsigned short *>(static_cast<char *>(s.data) + b * s.bytes);
        for (size_t i = blockIdx.x * static_cast<size_t>(THREADS) + threadIdx.x; i < s.bytes / sizeof *data; i += SLICES * THREADS)
            data[i] = 0;
    }
}

} // namespace

int vs_train_cuda_drop(const vs_train_on *on, const vs_train_samples *list, size_t count, const float *c)
{
    int err = train::check(on, {count}, {list, c});
    for (size_t at = 0; !err && at < count; at += LIST) {
        entries some = {};
        size_t now = count - at < LIST ? count - at : LIST;
        for (size_t i = 0; i < now; i++) some.of[i] = list[at + i];
        err = vs_cuda_launch("training: samples that count for nothing", drop_samples, dim3(SLICES, static_cast<unsigned>(now)), THREADS, 0,
                             static_cast<cudaStream_t>(on->stream), some, c);
    }
    return err;
}

/* SPDX-License-Identifier: MIT
 *
 * mma_feed.cuh: how the rows and columns of a tile get from memory to a stage of shared memory, whatever their alignment,
 * with zeros for all that lies beyond the matrix. It multiplies nothing.
 *
 *  - rows that begin at multiples of 16 bytes: asynchronous copies of 16 bytes;
 *  - of 4 bytes: asynchronous copies of 4 bytes, neighbours by neighbouring threads;
 *  - 16-bit elements in rows of odd length: two aligned loads and a shift by registers; slower, since a block waits for them.
 */
#ifndef VS_KERNELS_MMA_FEED_CUH
#define VS_KERNELS_MMA_FEED_CUH

#include "kernels/mma_tile.cuh"

namespace mma {

/* One operand: B x T x width. */
struct matrix {
    const char *first, *end; /* of all its bytes */
    size_t width;
    int unit; /* 16, 4 or 2: every row begins at a multiple of so many bytes */
};

/* 16 bytes from any even address in [first, end - 16]. Reads no byte outside [first, end). */
__device__ inline uint4 gather16(const char *from, const char *first, const char *end)
{
    unsigned off = reinterpret_cast<uintptr_t>(from) % 16;
    const char *base = from - off;
    uint32_t w[8];
    if (base >= first && base + 32 <= end) {
        uint4 low = __ldg(reinterpret_cast<const uint4 *>(base)), high = __ldg(reinterpret_cast<const uint4 *>(base + 16));
        w[0] = low.x, w[1] = low.y, w[2] = low.z, w[3] = low.w, w[4] = high.x, w[5] = high.y, w[6] = high.z, w[7] = high.w;
    } else {
        const uint16_t *x = reinterpret_cast<const uint16_t *>(from);
#pragma unroll
        for (int i = 0; i < 4; i++) w[i] = x[2 * i] | static_cast<uint32_t>(x[2 * i + 1]) << 16;
        w[4] = w[5] = w[6] = w[7] = 0;
        off = 0;
    }
    if (off & 8)
#pragma unroll
        for (int i = 0; i < 6; i++) w[i] = w[i + 2];
    if (off & 4)
#pragma unroll
        for (int i = 0; i < 5; i++) w[i] = w[i + 1];
    unsigned bits = off % 4 * 8;
    return make_uint4(__funnelshift_r(w[0], w[1], bits), __funnelshift_r(w[1], w[2], bits),
                      __funnelshift_r(w[2], w[3], bits), __funnelshift_r(w[3], w[4], bits));
}

/* The first `count` < 8 16-bit elements, then zeros. */
__device__ inline uint4 gather_some(const char *from, int count)
{
    const uint16_t *x = reinterpret_cast<const uint16_t *>(from);
    uint32_t w[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t low = 2 * i < count ? x[2 * i] : 0, high = 2 * i + 1 < count ? x[2 * i + 1] : 0;
        w[i] = low | high << 16;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* Copies of an operand's next stage. WIDTH: rows (columns) of the tile. */
template <class S, int WIDTH> struct feed {
    static constexpr int LINE_BYTES = S::K_MAJOR ? S::LINE : WIDTH * S::SIZE, COUNT = S::K_MAJOR ? WIDTH : S::DEPTH;
    static constexpr int PITCH = S::pitch(WIDTH);

    const char *from;  /* of this thread's first piece in the stage */
    int rows, columns; /* left of the matrix, counted from that piece: beyond are zeros */

    /* Lines are cut into pieces of BYTES, which go to the threads in order. */
    template <int BYTES> struct pieces {
        static constexpr int IN_LINE = LINE_BYTES / BYTES, LINES = S::THREADS / IN_LINE, PASSES = COUNT / LINES;
        static_assert(S::THREADS % IN_LINE == 0 && COUNT % LINES == 0, "passes are whole");
        __device__ static int line()
        {
            return threadIdx.x / IN_LINE;
        }
        __device__ static int byte()
        {
            return threadIdx.x % IN_LINE * BYTES;
        }
    };

    /* [row, column] of sample b: where the first stage begins. */
    __device__ void aim(const matrix &X, size_t T, size_t b, size_t row, size_t column)
    {
        row += X.unit == 4 ? pieces<4>::line() : pieces<16>::line();
        column += (X.unit == 4 ? pieces<4>::byte() : pieces<16>::byte()) / S::SIZE;
        from = X.first + ((b * T + row) * X.width + column) * S::SIZE;
        rows = static_cast<int>(static_cast<ptrdiff_t>(T) - static_cast<ptrdiff_t>(row));
        columns = static_cast<int>(static_cast<ptrdiff_t>(X.width) - static_cast<ptrdiff_t>(column));
    }

    __device__ void copy_units(size_t pitch, uint32_t stage)
    {
        using P = pieces<4>;
        uint32_t to = stage + P::line() * PITCH + P::byte();
        const char *line = from;
#pragma unroll 8
        for (int i = 0; i < P::PASSES; i++, line += P::LINES * pitch)
            copy4(to + i * P::LINES * PITCH, line, i * P::LINES < rows && columns > 0);
    }

    __device__ void copy_shifted(const matrix &X, size_t pitch, uint32_t stage)
    {
        using P = pieces<16>;
        uint32_t to = stage + P::line() * PITCH + P::byte();
        const char *line = from;
#pragma unroll 2
        for (int i = 0; i < P::PASSES; i++, line += P::LINES * pitch) {
            uint4 v = make_uint4(0, 0, 0, 0);
            if (i * P::LINES < rows) v = columns >= 8 ? gather16(line, X.first, X.end) : gather_some(line, columns);
            store16(to + i * P::LINES * PITCH, v);
        }
    }

    __device__ void copy(const matrix &X, uint32_t stage)
    {
        size_t pitch = X.width * S::SIZE;
        if (X.unit == 16) {
            using P = pieces<16>;
            uint32_t to = stage + P::line() * PITCH + P::byte();
            const char *line = from;
#pragma unroll
            for (int i = 0; i < P::PASSES; i++, line += P::LINES * pitch)
                copy16(to + i * P::LINES * PITCH, line, i * P::LINES < rows && columns > 0);
        } else if (S::SIZE == 4 || X.unit == 4) {
            copy_units(pitch, stage);
        } else {
            copy_shifted(X, pitch, stage);
        }
        from += S::K_MAJOR ? S::LINE : S::DEPTH * pitch;
        if (S::K_MAJOR)
            columns -= S::DEPTH;
        else
            rows -= S::DEPTH;
    }
};

} // namespace mma

#endif

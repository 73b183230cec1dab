/* SPDX-License-Identifier: MIT
 *
 * parallel.h: work over the processor's cores. Results never depend on the number of threads: every item computes by itself,
 * and sums are taken in the order of the items.
 *
 * Threading: any thread may call; calls from inside an item run on that item's thread.
 * Errors: none. Without OpenMP everything runs on the caller's thread.
 */
#ifndef VS_KERNELS_PARALLEL_H
#define VS_KERNELS_PARALLEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The cores this process may use (OMP_NUM_THREADS), at most VS_THREADS; the same for the life of the process. */
enum { VS_THREADS = 256 };
size_t vs_parallel_threads(void);

/* work(state, item, thread) for every item below `items`; `thread` is below `threads`, and no two run with the same at once. */
typedef void vs_parallel_work(void *state, size_t item, size_t thread);
void vs_parallel(size_t threads, size_t items, vs_parallel_work *work, void *state);

struct vs_sums {
    double n, absolute;
};

/* For every sample, `width` totals of as many terms each. */
struct vs_ordered_sum {
    size_t threads, samples, terms, width;
    void *state;
    /* Adds one term to out[0 .. width), which are 0. */
    void (*term)(void *state, size_t sample, size_t term, size_t thread, struct vs_sums *out);
    /* Called once per sample, on the caller's thread, in order, while no term is computed. */
    void (*done)(void *state, size_t sample, const struct vs_sums *total);
};
/* Terms held at a time; scratch of vs_ordered_sum_run: (VS_TERMS + 1) * width. */
enum { VS_TERMS = 1024 };
void vs_ordered_sum_run(const struct vs_ordered_sum *s, struct vs_sums *scratch);

#ifdef __cplusplus
}
#endif
#endif

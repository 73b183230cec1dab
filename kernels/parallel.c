/* SPDX-License-Identifier: MIT
 *
 * parallel.c: items over OpenMP's threads, and sums whose order no thread can change. It knows nothing of norms.
 */
#include "kernels/parallel.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static size_t available;

static void count_threads(void)
{
    int most = omp_get_max_threads();
    available = most < 1 ? 1 : most > VS_THREADS ? VS_THREADS : (size_t)most;
}

size_t vs_parallel_threads(void)
{
    pthread_once(&once, count_threads);
    return available;
}

void vs_parallel(size_t threads, size_t items, vs_parallel_work *work, void *state)
{
    int team = (int)(items < threads ? items : threads);
    if (team <= 1) {
        for (size_t i = 0; i < items; i++) work(state, i, 0);
        return;
    }
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
    for (size_t i = 0; i < items; i++) work(state, i, (size_t)omp_get_thread_num());
}
#else
size_t vs_parallel_threads(void)
{
    return 1;
}

void vs_parallel(size_t threads, size_t items, vs_parallel_work *work, void *state)
{
    (void)threads;
    for (size_t i = 0; i < items; i++) work(state, i, 0);
}
#endif

struct batch {
    const struct vs_ordered_sum *sum;
    struct vs_sums *out;
    size_t first;
};

static void compute_term(void *state, size_t item, size_t thread)
{
    const struct batch *b = state;
    const struct vs_ordered_sum *s = b->sum;
    size_t at = b->first + item;
    s->term(s->state, at / s->terms, at % s->terms, thread, b->out + item * s->width);
}

void vs_ordered_sum_run(const struct vs_ordered_sum *s, struct vs_sums *scratch)
{
    struct vs_sums *total = scratch + VS_TERMS * s->width;
    size_t all = s->samples * s->terms;
    memset(total, 0, s->width * sizeof *total);
    for (size_t first = 0, count; first < all; first += count) {
        struct batch b = {s, scratch, first};
        count = all - first < VS_TERMS ? all - first : VS_TERMS;
        memset(scratch, 0, count * s->width * sizeof *scratch);
        vs_parallel(s->threads, count, compute_term, &b);
        for (size_t i = 0; i < count; i++) {
            for (size_t w = 0; w < s->width; w++) {
                total[w].n += scratch[i * s->width + w].n;
                total[w].absolute += scratch[i * s->width + w].absolute;
            }
            if ((first + i + 1) % s->terms) continue;
            s->done(s->state, (first + i) / s->terms, total);
            memset(total, 0, s->width * sizeof *total);
        }
    }
}

/* SPDX-License-Identifier: MIT
 *
 * queue_cpu.c: queue.h where all work is done when its call returns.
 */
#include "kernels/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int cpu_open(void **stream, bool urgent)
{
    (void)urgent;
    *stream = NULL;
    return 0;
}

static void cpu_close(void *stream)
{
    (void)stream;
}

static int cpu_event_open(void **event, bool timed)
{
    (void)timed;
    *event = calloc(1, sizeof(struct timespec));
    return *event ? 0 : -ENOMEM;
}

static int cpu_record(void *event, void *stream)
{
    (void)stream;
    return clock_gettime(CLOCK_MONOTONIC, event) ? -errno : 0;
}

static int cpu_follow(void *stream, void *event)
{
    (void)stream;
    (void)event;
    return 0;
}

static int cpu_ms(void *first, void *last, double *ms)
{
    const struct timespec *a = first, *b = last;
    *ms = (double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) / 1e6;
    return 0;
}

static int cpu_tell(void *stream, void (*tell)(void *arg), void *arg)
{
    (void)stream;
    tell(arg);
    return 0;
}

const struct vs_queue vs_queue_cpu = {.open = cpu_open,
                                      .close = cpu_close,
                                      .event_open = cpu_event_open,
                                      .event_close = free,
                                      .record = cpu_record,
                                      .follow = cpu_follow,
                                      .ms = cpu_ms,
                                      .tell = cpu_tell};

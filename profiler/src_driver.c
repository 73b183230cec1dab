/* SPDX-License-Identifier: MIT
 *
 * src_driver.c: the source "driver": what the CUDA driver hands out, seen by standing in front of its entry points. Here is
 * only what runs beside the program's own calls: versions and the pools' sizes over time.
 * Must never call the driver before it is initialised, nor after the program has begun to end.
 */
#include <stdio.h>
#include <unistd.h>

#include "driver.h"
#include "source.h"

static uint32_t version_epoch; /* of the recording that knows the driver's version; atomic */

/* The one call a driver answers before and during its initialisation. */
static void note_version(void)
{
    uint32_t epoch = vs_log_epoch();
    int version = 0;
    char text[32];

    if (!epoch || !vs_driver_fill() || __atomic_exchange_n(&version_epoch, epoch, __ATOMIC_RELAXED) == epoch)
        return;
    if (!vs_cu(cuDriverGetVersion) || vs_cu(cuDriverGetVersion)(&version))
        return;
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    vs_log_meta("driver_version", text);
}

void vs_driver_attached(void)
{
    note_version();
    vs_device_attached();
}

static void drain(void)
{
    note_version();
    if (!vs_driver_devices())
        return; /* the program may be inside its first call */
    vs_driver_pool_drain();
    vs_driver_pool_sample_graphs(false);
}

static void fork_child(void)
{
    static pid_t owner;
    if (owner && owner != getpid()) { /* calls that were under way on the parent's threads never end here */
        vs_driver_depth = 0;
        __atomic_store_n(&vs_driver_calls.activity, 0, __ATOMIC_RELAXED);
    }
    owner = getpid();
    vs_driver_check_epoch();
}

const struct vs_source_ops vs_source_driver = {
    .name = "driver",
    .start = note_version,
    .drain = drain,
    .stop = drain,
    .fork_child = fork_child,
};

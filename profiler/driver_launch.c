/* SPDX-License-Identifier: MIT
 *
 * driver_launch.c: stands in front of kernel launches, for the first one of each function: it loads the function's code, and
 * may enlarge the memory of local variables for the whole device. Must never add more than a look-up to the others.
 */
#include <errno.h>

#include "driver.h"

#define FIRST __attribute__((noinline, cold))
#define FIRST_LAUNCH(name, args)                                                \
    VS_REAL(name);                                                              \
    if (!vs_driver_may_enter() || !vs_measure_unseen(function, VS_MEASURED_LAUNCH) || !vs_driver_enter()) \
        return real args;                                                       \
    struct vs_measure m;                                                        \
    vs_measure_begin(&m, VS_ON_CURRENT);                                        \
    int result = real args;                                                     \
    vs_measure_end(&m, VS_MEASURED_LAUNCH, NULL);                               \
    return vs_driver_leave(result)
/* Two tail calls and no other. The look-up needs registers, so some arguments are put aside meanwhile: about 3 ns a launch. */
#define LAUNCH(name, first, args)                                                                                    \
    __typeof__(&name) const real = (__typeof__(&name))__atomic_load_n(&vs_driver_slot[VS_HOOK_##name], __ATOMIC_ACQUIRE); \
    return __builtin_expect(real && vs_measure_seen(function, VS_MEASURED_LAUNCH), 1) ? real args : first args

static FIRST int first_kernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, void *stream, void **params, void **extra)
{
    FIRST_LAUNCH(cuLaunchKernel, (function, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **params, void **extra)
{
    LAUNCH(cuLaunchKernel, first_kernel, (function, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

static FIRST int first_kernel_ptsz(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned shared, void *stream, void **params, void **extra)
{
    FIRST_LAUNCH(cuLaunchKernel_ptsz, (function, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

int cuLaunchKernel_ptsz(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, void *stream, void **params, void **extra)
{
    LAUNCH(cuLaunchKernel_ptsz, first_kernel_ptsz, (function, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

static FIRST int first_kernel_ex(const void *config, void *function, void **params, void **extra)
{
    FIRST_LAUNCH(cuLaunchKernelEx, (config, function, params, extra));
}

int cuLaunchKernelEx(const void *config, void *function, void **params, void **extra)
{
    LAUNCH(cuLaunchKernelEx, first_kernel_ex, (config, function, params, extra));
}

static FIRST int first_kernel_ex_ptsz(const void *config, void *function, void **params, void **extra)
{
    FIRST_LAUNCH(cuLaunchKernelEx_ptsz, (config, function, params, extra));
}

int cuLaunchKernelEx_ptsz(const void *config, void *function, void **params, void **extra)
{
    LAUNCH(cuLaunchKernelEx_ptsz, first_kernel_ex_ptsz, (config, function, params, extra));
}

static FIRST int first_cooperative_kernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                          unsigned by, unsigned bz, unsigned shared, void *stream, void **params)
{
    FIRST_LAUNCH(cuLaunchCooperativeKernel, (function, gx, gy, gz, bx, by, bz, shared, stream, params));
}

int cuLaunchCooperativeKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, void *stream, void **params)
{
    LAUNCH(cuLaunchCooperativeKernel, first_cooperative_kernel, (function, gx, gy, gz, bx, by, bz, shared, stream, params));
}

static FIRST int first_cooperative_kernel_ptsz(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                               unsigned by, unsigned bz, unsigned shared, void *stream, void **params)
{
    FIRST_LAUNCH(cuLaunchCooperativeKernel_ptsz, (function, gx, gy, gz, bx, by, bz, shared, stream, params));
}

int cuLaunchCooperativeKernel_ptsz(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned shared, void *stream, void **params)
{
    LAUNCH(cuLaunchCooperativeKernel_ptsz, first_cooperative_kernel_ptsz, (function, gx, gy, gz, bx, by, bz, shared, stream, params));
}

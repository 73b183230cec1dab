/* SPDX-License-Identifier: MIT
 *
 * say.h: the recorder's few words on stderr: "vramscope: warn: ...". No malloc, one write(2), errno kept, capped count.
 * Never stdout. Formats: %s %d %u %x %p %lu %lld %% only.
 */
#ifndef VS_PROFILER_SAY_H
#define VS_PROFILER_SAY_H

#include "config.h"

void vs_say(enum vs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says it the first time this place is reached in this process. */
#define vs_say_once(level, ...)                                                  \
    do {                                                                         \
        static int said_;                                                        \
        if (!__atomic_exchange_n(&said_, 1, __ATOMIC_RELAXED))                   \
            vs_say(level, __VA_ARGS__);                                          \
    } while (0)

#endif

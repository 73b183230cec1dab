/* SPDX-License-Identifier: MIT
 *
 * say.c: formats a line on the stack and writes it to stderr in one call. Must never use stdio streams or malloc: it may
 * run inside the program's allocator.
 */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_LINES = 100 }; /* a program's stderr is its own */

void vs_say(enum vs_log_level level, const char *format, ...)
{
    static const char *const words[] = {"", "warn: ", "info: ", "debug: "};
    static int lines;
    char text[2400];
    va_list args;
    int saved = errno, n, m;

    if ((int)level > vs_config()->log || __atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED) > MOST_LINES)
        return;
    n = snprintf(text, sizeof text, "vramscope: %s", words[level]);
    va_start(args, format);
    m = vsnprintf(text + n, sizeof text - (size_t)n - 1, format, args); /* glibc: no malloc for these conversions */
    va_end(args);
    if (m > 0) {
        size_t bytes = strlen(text);
        text[bytes++] = '\n';
        if (write(STDERR_FILENO, text, bytes) < 0) {
            /* a closed stderr is the program's choice */
        }
    }
    errno = saved;
}

/* SPDX-License-Identifier: MIT
 *
 * error.c: formats error texts. Never prints.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int vs_fail(struct vs_error *e, int code, const char *format, ...)
{
    if (e) {
        va_list args;
        va_start(args, format);
        vsnprintf(e->text, sizeof e->text, format, args);
        va_end(args);
    }
    return -code;
}

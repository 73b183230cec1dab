/* SPDX-License-Identifier: MIT
 *
 * error.h: one error text that says what happened and what to do. Used by everything outside the traced program.
 *
 * Functions return 0 or -errno and, when they fail, leave one line (no newline at its end) in the caller's vs_error.
 */
#ifndef VS_DB_ERROR_H
#define VS_DB_ERROR_H

struct vs_error {
    char text[1024];
};

/* Formats the text and returns -code, so that a failing line can be `return vs_fail(e, EINVAL, "...")`. e may be NULL. */
int vs_fail(struct vs_error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

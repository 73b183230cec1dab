/* SPDX-License-Identifier: MIT
 *
 * visible.h: text that programs gave us, made fit for a terminal. It must never pass on a byte that a terminal would
 * obey: control characters, escape sequences, bidirectional overrides and bytes that are not UTF-8 come out as \n,
 * \x1b, \u202e.
 *
 * Ownership: results go into the caller's buffer. Threading: no state. Errors: none; what does not fit is cut.
 */
#ifndef VS_EXPORTERS_VISIBLE_H
#define VS_EXPORTERS_VISIBLE_H

#include <stddef.h>
#include <stdint.h>

/* Room that vs_visible needs at most for a text of `bytes`. */
#define VS_VISIBLE_ROOM(bytes) (4 * (size_t)(bytes) + 8)

/* Length in bytes of the character that text begins with, and its code; 0: not UTF-8 (then skip one byte). */
unsigned vs_utf8_next(const char *text, size_t bytes, uint32_t *code);

/* Columns a terminal uses for a character: 0, 1 or 2. */
unsigned vs_utf8_columns(uint32_t code);

/* Writes the text into out, always terminated, and returns the columns it takes. What needs more than max_columns (0: no
 * limit) is cut and ends in an ellipsis. */
unsigned vs_visible(const char *text, size_t bytes, unsigned max_columns, char *out, size_t out_bytes);

#endif

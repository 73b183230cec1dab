/* SPDX-License-Identifier: MIT
 *
 * text.h: makes texts of traced programs fit for the database: valid UTF-8, readable C++ names.
 *
 * Ownership: results belong to the caller (free). Threading: any. Errors: NULL when out of memory.
 */
#ifndef VS_DB_TEXT_H
#define VS_DB_TEXT_H

#include <stddef.h>

/* A zero-terminated copy; each byte that is not UTF-8, and 0, becomes U+FFFD. *length: of the result. */
char *vs_text_clean(const char *bytes, size_t n, size_t *length);
/* The readable form of a mangled C++ name, or NULL: not mangled, or no demangler on this machine. */
char *vs_text_demangle(const char *name);

#endif

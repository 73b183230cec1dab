/* SPDX-License-Identifier: MIT
 *
 * human.h: numbers and names as people read them. Must never be used where a program reads the result.
 *
 * Ownership: each function writes into the caller's buffer and returns it. Threading: no state. Errors: none.
 */
#ifndef VS_CLI_HUMAN_H
#define VS_CLI_HUMAN_H

#include <stddef.h>
#include <stdint.h>

#define VS_HUMAN 32 /* room for one number */

char *vs_human_bytes(int64_t bytes, char out[VS_HUMAN]);   /* 7.8 GiB */
char *vs_human_time(int64_t ns, char out[VS_HUMAN]);       /* 12.3 ms, 3 h 05 min */
char *vs_human_count(int64_t count, char out[VS_HUMAN]);   /* exact below ten million, then 12.3 M */

/* The path as it must be typed in a shell; control characters inside are made visible. */
char *vs_human_path(const char *path, char *out, size_t out_bytes);

#endif

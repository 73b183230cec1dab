/* SPDX-License-Identifier: MIT
 *
 * py_code.h: code objects of Python: what is read of them, and their records.
 *
 * Threading: any thread. Nothing is kept but slots of the table. errno is preserved.
 */
#ifndef VS_PROFILER_PY_CODE_H
#define VS_PROFILER_PY_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "py_layout.h"
#include "py_table.h"
#include "py_walk.h"

struct vs_py_types { /* addresses of the interpreter's type objects */
    uint64_t code, text, bytes;
};

struct vs_py_codes {
    const struct vs_py_layout *layout;
    struct vs_py_types types;
    struct vs_py_tables *tables;
};

enum vs_py_verdict {
    VS_PY_KNOWN,     /* has a number */
    VS_PY_SKIP,      /* no frame of a program: not yet begun, or not Python code */
    VS_PY_UNKNOWN,   /* counted; its number is 0 */
};

/* The number of the code a frame runs; the first time its record is appended. `check`: also when it is known by its
 * address, see whether its contents are still the same. */
enum vs_py_verdict vs_py_code_number(const struct vs_py_codes *c, const struct vs_py_frame *frame, bool check,
                                     uint32_t *number);

/* Is this a code object of the layout's version, with texts and a line table where they should be? */
bool vs_py_code_is_sound(const struct vs_py_codes *c, uint64_t code);

/* A text object as UTF-8 (an undecodable byte of a file name comes out as that byte). Returns its bytes; *cut: it has
 * more. 0 with *cut: it cannot be read. */
uint32_t vs_py_text(const struct vs_py_codes *c, uint64_t text, char *out, uint32_t room, bool *cut);

#endif

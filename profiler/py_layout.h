/* SPDX-License-Identifier: MIT
 *
 * py_layout.h: where CPython 3.10 to 3.13 keeps what a frame is: offsets, in bytes, within its structures.
 *
 * From 3.13 on the interpreter publishes them in a table of its own; before, they are constant for each minor version.
 * Nothing here is believed until frames of the live interpreter have been checked by it (src_python.c).
 */
#ifndef VS_PROFILER_PY_LAYOUT_H
#define VS_PROFILER_PY_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "../db/record.h"

struct vs_py_layout {
    uint32_t version; /* 0x030c for 3.12 */
    /* of a thread state */
    uint16_t thread_id; /* pthread_self() of its thread; behind `top` */
    uint16_t top;       /* the innermost frame, or what leads to it */
    bool indirect;      /* 3.11, 3.12: it leads to what holds the frame ... */
    uint16_t top_frame; /* ... there */
    /* of a frame */
    uint16_t frame_previous;
    uint16_t frame_code;
    uint16_t frame_at;    /* 3.10: number of the instruction (int); then: its address */
    uint16_t frame_owner; /* 0: has none */
    uint16_t frame_bytes; /* up to the last of these */
    /* of a code object */
    uint16_t code_first_line;
    uint16_t code_file;
    uint16_t code_name;
    uint16_t code_table;
    uint16_t code_version; /* differs in every code object ever made; 0: has none */
    uint16_t code_body;    /* instructions; 0: elsewhere (3.10) */
    uint16_t code_bytes;   /* up to the last of these */
    /* of all objects, of bytes, of texts */
    uint16_t type;
    uint16_t size;
    uint16_t bytes_data;
    uint16_t text_length;
    uint16_t text_state;
    uint16_t text_ascii; /* the characters, when all are ASCII */
    uint16_t text_other; /* the characters, when not */
    enum vs_line_table encoding;
};

#define VS_PY_OWNED_BY_GENERATOR 1
#define VS_PY_OWNED_BY_C 3 /* 3.12 on: not a frame, but the place where C called Python */

/* Here, so that the walk along frames can be compiled for each. Objects, bytes and texts: */
#define VS_PY_OBJECTS(ascii, other)                                                                                    \
    .type = 8, .size = 16, .bytes_data = 32, .text_length = 16, .text_state = 32, .text_ascii = ascii, .text_other = other
static const struct vs_py_layout vs_py_layout_310 = {
    .version = 0x030a, .thread_id = 176, .top = 24, .indirect = false, .top_frame = 0,
    .frame_previous = 24, .frame_code = 32, .frame_at = 96, .frame_owner = 0, .frame_bytes = 104,
    .code_first_line = 40, .code_file = 104, .code_name = 112, .code_table = 120, .code_version = 0, .code_body = 0,
    .code_bytes = 128, VS_PY_OBJECTS(48, 72), .encoding = VS_LT_PAIRS};
static const struct vs_py_layout vs_py_layout_311 = {
    .version = 0x030b, .thread_id = 152, .top = 56, .indirect = true, .top_frame = 8,
    .frame_previous = 48, .frame_code = 32, .frame_at = 56, .frame_owner = 69, .frame_bytes = 72,
    .code_first_line = 72, .code_file = 112, .code_name = 128, .code_table = 136, .code_version = 0, .code_body = 184,
    .code_bytes = 184, VS_PY_OBJECTS(48, 72), .encoding = VS_LT_LOCATIONS};
static const struct vs_py_layout vs_py_layout_312 = {
    .version = 0x030c, .thread_id = 136, .top = 56, .indirect = true, .top_frame = 0,
    .frame_previous = 8, .frame_code = 0, .frame_at = 56, .frame_owner = 70, .frame_bytes = 72,
    .code_first_line = 68, .code_file = 112, .code_name = 128, .code_table = 136, .code_version = 92, .code_body = 192,
    .code_bytes = 192, VS_PY_OBJECTS(40, 56), .encoding = VS_LT_LOCATIONS};
#undef VS_PY_OBJECTS

/* `version` as in Py_Version; `runtime` is &_PyRuntime, read for 3.13 alone. NULL: filled in; else why it was not. */
const char *vs_py_layout_fill(struct vs_py_layout *out, uint32_t version, const void *runtime);

#endif

/* SPDX-License-Identifier: MIT
 *
 * python_images.h: how CPython 3.10 to 3.13 lay out what a frame is, as far as a test must lay it out, written as
 * structures. Independent of the recorder's table of offsets, which it is there to check.
 */
#ifndef VS_TESTS_PYTHON_IMAGES_H
#define VS_TESTS_PYTHON_IMAGES_H

#include <stdint.h>

struct object {
    int64_t references;
    void *type;
};
struct sized {
    struct object o;
    int64_t size;
};
struct bytes {
    struct sized o;
    int64_t hash;
    unsigned char data[512];
};
struct text_old { /* to 3.11 */
    struct object o;
    int64_t length, hash;
    uint32_t state, pad;
    void *wide;
};
struct text_new {
    struct object o;
    int64_t length, hash;
    uint32_t state, pad;
};

struct code_310 {
    struct object o;
    int32_t counts[5], flags, first_line;
    void *code, *constants, *names, *variables, *free_variables, *cells, *cell_arguments;
    void *file, *name, *line_table;
    void *rest[8];
};
struct code_311 {
    struct sized o;
    void *constants, *names, *exceptions;
    int32_t flags;
    int16_t warm_up, entry_size;
    int32_t counts[4], first_line, more_counts[5];
    void *local_names, *local_kinds, *file, *name, *qualified_name, *line_table, *weak, *code_bytes, *line_array;
    int32_t first_traceable;
    void *extra;
    unsigned char body[256];
};
struct code_312 {
    struct sized o;
    void *constants, *names, *exceptions;
    int32_t flags, counts[4], first_line, more_counts[5];
    uint32_t version;
    void *local_names, *local_kinds, *file, *name, *qualified_name, *line_table, *weak, *cached;
    uint64_t instrumentation;
    void *monitoring;
    int32_t first_traceable;
    void *extra;
    unsigned char body[256];
};
struct code_313 {
    struct sized o;
    void *constants, *names, *exceptions;
    int32_t flags, counts[4], first_line, more_counts[5];
    uint32_t version;
    void *local_names, *local_kinds, *file, *name, *qualified_name, *line_table, *weak, *executors, *cached;
    uint64_t instrumentation;
    void *monitoring;
    int32_t first_traceable;
    void *extra;
    unsigned char body[256];
};

struct frame_310 {
    struct sized o;
    void *back, *code, *builtins, *globals, *locals, *value_stack, *trace;
    int32_t depth;
    char flags[4];
    void *generator;
    int32_t last, line;
};
struct frame_311 {
    void *function, *globals, *builtins, *locals, *code, *object, *previous, *instruction;
    int32_t top;
    char entry, owner;
};
struct frame_312 { /* and 3.13 */
    void *code, *previous, *function, *globals, *builtins, *locals, *object, *instruction;
    int32_t top;
    uint16_t back;
    char owner;
};

struct c_frame_311 {
    uint8_t tracing;
    void *frame, *previous;
};
struct c_frame_312 {
    void *frame, *previous;
};
struct state_310 {
    void *prev, *next, *interpreter, *frame;
    int32_t depths[4];
    void *c_frame, *functions[4], *errors[3], *exceptions[5], *dict;
    int32_t gil, pad;
    void *raised;
    uint64_t thread, rest[16];
};
struct state_311 {
    void *prev, *next, *interpreter;
    int32_t flags[7], pad;
    struct c_frame_311 *c_frame;
    void *functions[4], *errors[3], *exceptions, *dict;
    int32_t gil, more;
    void *raised;
    uint64_t thread, native, rest[21];
    struct c_frame_311 root;
    uint64_t end[16];
};
struct state_312 {
    void *prev, *next, *interpreter;
    int32_t flags[7], pad;
    struct c_frame_312 *c_frame;
    void *functions[4], *exception, *exceptions, *dict;
    int32_t gil, more;
    void *raised;
    uint64_t thread, native, rest[15];
    struct c_frame_312 root;
    uint64_t end[16];
};
struct state_313 {
    void *prev, *next, *interpreter;
    uint64_t breaker;
    int32_t flags[9], pad;
    void *frame;
    void *functions[4], *exception, *exceptions, *dict;
    int32_t gil, more;
    void *raised;
    uint64_t thread, native, rest[40];
};

#endif

/* SPDX-License-Identifier: MIT
 *
 * py_layout.c: the offsets of each version. Must never take an offset from the interpreter's own table that no such
 * structure can have.
 */
#include "py_layout.h"

#include <stddef.h>
#include <string.h>

#include "py_read.h"

/* The table at the begin of 3.13's runtime: a mark, its version, then one group of numbers per structure, each begun by
 * the structure's size. Only the groups read here are named. */
struct table_313 {
    char mark[8];
    uint64_t version, free_threaded;
    uint64_t runtime[3], interpreter[13];
    struct {
        uint64_t size, prev, next, interp, current_frame, thread_id, native_thread_id, data_stack, status;
    } thread;
    struct {
        uint64_t size, previous, executable, instruction, locals, owner;
    } frame;
    struct {
        uint64_t size, file, name, qualified_name, line_table, first_line, arguments, local_names, local_kinds, body;
    } code;
    struct {
        uint64_t size, type;
    } object;
    uint64_t type_object[4], tuple[3], list[3], dict[3], floating[2], integer[3];
    struct {
        uint64_t size, length, data;
    } bytes;
    struct {
        uint64_t size, state, length, ascii_size;
    } text;
};

static bool small(uint64_t offset, uint64_t size, uint64_t align)
{
    return offset < 4096 && offset < size && offset % align == 0;
}

static const char *fill_313(struct vs_py_layout *out, uint32_t version, const void *runtime)
{
    struct table_313 t;
    if (!runtime || !vs_py_copy(&t, (uintptr_t)runtime, sizeof t) || memcmp(t.mark, "xdebugpy", 8) ||
        t.version != version)
        return "the interpreter's table of offsets is not there";
    if (!small(t.thread.current_frame, t.thread.thread_id, 8) || !small(t.thread.thread_id, t.thread.size, 8) ||
        !small(t.frame.previous, t.frame.size, 8) || !small(t.frame.executable, t.frame.size, 8) ||
        !small(t.frame.instruction, t.frame.size, 8) || !small(t.frame.owner, t.frame.size, 1) || t.frame.size > 256 ||
        !small(t.code.file, t.code.size, 8) || !small(t.code.qualified_name, t.code.size, 8) ||
        !small(t.code.line_table, t.code.size, 8) || !small(t.code.first_line, t.code.size, 4) ||
        !small(t.code.local_names, t.code.size, 8) || t.code.local_names < 8 || !small(t.code.body, 256, 8) ||
        t.code.body < 64 || !small(t.object.type, t.object.size, 8) || !small(t.bytes.length, t.bytes.size, 8) ||
        !small(t.bytes.data, 256, 8) || !small(t.text.state, t.text.size, 4) || !small(t.text.length, t.text.size, 8) ||
        !small(t.text.ascii_size, 256, 8))
        return "the interpreter's table of offsets holds impossible ones";
    *out = (struct vs_py_layout){
        .version = version >> 16,
        .thread_id = (uint16_t)t.thread.thread_id,
        .top = (uint16_t)t.thread.current_frame,
        .frame_previous = (uint16_t)t.frame.previous,
        .frame_code = (uint16_t)t.frame.executable,
        .frame_at = (uint16_t)t.frame.instruction,
        .frame_owner = (uint16_t)t.frame.owner,
        .frame_bytes = (uint16_t)((t.frame.owner + 8) & ~7u),
        .code_first_line = (uint16_t)t.code.first_line,
        .code_file = (uint16_t)t.code.file,
        .code_name = (uint16_t)t.code.qualified_name,
        .code_table = (uint16_t)t.code.line_table,
        .code_version = (uint16_t)(t.code.local_names - 4), /* the word before, which the table does not name */
        .code_body = (uint16_t)t.code.body,
        .code_bytes = (uint16_t)t.code.body,
        .type = (uint16_t)t.object.type,
        .size = (uint16_t)t.bytes.length,
        .bytes_data = (uint16_t)t.bytes.data,
        .text_length = (uint16_t)t.text.length,
        .text_state = (uint16_t)t.text.state,
        .text_ascii = (uint16_t)t.text.ascii_size,
        .text_other = (uint16_t)(t.text.ascii_size + 16), /* the length and address of its UTF-8 form lie between */
        .encoding = VS_LT_LOCATIONS,
    };
    return NULL;
}

const char *vs_py_layout_fill(struct vs_py_layout *out, uint32_t version, const void *runtime)
{
    if (version >> 16 == 0x030d) return fill_313(out, version, runtime);
    if (version >> 16 == vs_py_layout_310.version) *out = vs_py_layout_310;
    else if (version >> 16 == vs_py_layout_311.version) *out = vs_py_layout_311;
    else if (version >> 16 == vs_py_layout_312.version) *out = vs_py_layout_312;
    else return "only CPython 3.10 to 3.13 is known";
    return NULL;
}

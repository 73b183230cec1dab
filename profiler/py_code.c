/* SPDX-License-Identifier: MIT
 *
 * py_code.c: gives code objects their numbers and appends their records. Must never take an object for code because a
 * frame points at it: its type is looked at first, and everything of it is copied by the kernel.
 */
#include "py_code.h"

#include "log.h"

enum {
    LONGEST_TEXT = 900, /* of file and function; both fit one record with some of the table */
    LARGEST_TABLE = 65535,
    ROOM = VS_MAX_RECORD_BYTES - sizeof(struct vs_rec_code),
    CHECKED_HITS = 8 /* uses of a slot, where the object itself does not tell */
};

struct object { /* a code object, as far as it is copied */
    unsigned char bytes[256];
    uint64_t file, name, table;
    uint32_t first_line, table_bytes;
};

/* VS_PY_KNOWN: it is all there; VS_PY_SKIP: it is none; VS_PY_UNKNOWN: it cannot be read. */
static enum vs_py_verdict read_object(const struct vs_py_codes *c, uint64_t code, struct object *o)
{
    const struct vs_py_layout *l = c->layout;
    unsigned char head[64];
    if (l->code_bytes > sizeof o->bytes || !vs_py_plausible(code) || !vs_py_copy(o->bytes, code, l->code_bytes))
        return VS_PY_UNKNOWN;
    if (vs_py_word(o->bytes + l->type) != c->types.code) return VS_PY_SKIP;
    o->file = vs_py_word(o->bytes + l->code_file);
    o->name = vs_py_word(o->bytes + l->code_name);
    o->table = vs_py_word(o->bytes + l->code_table);
    memcpy(&o->first_line, o->bytes + l->code_first_line, sizeof o->first_line);
    if (!vs_py_plausible(o->table) || !vs_py_copy(head, o->table, l->bytes_data)) return VS_PY_UNKNOWN;
    if (vs_py_word(head + l->type) != c->types.bytes) return VS_PY_SKIP;
    uint64_t size = vs_py_word(head + l->size);
    o->table_bytes = size < LARGEST_TABLE ? (uint32_t)size : LARGEST_TABLE;
    o->table += l->bytes_data;
    return VS_PY_KNOWN;
}

bool vs_py_code_is_sound(const struct vs_py_codes *c, uint64_t code)
{
    struct object o;
    char text[8];
    bool cut;
    return read_object(c, code, &o) == VS_PY_KNOWN && (vs_py_text(c, o.file, text, sizeof text, &cut) || !cut) &&
           (vs_py_text(c, o.name, text, sizeof text, &cut) || !cut);
}

/* In 3.11 and later the interpreter begins a call with instructions that make its frame complete; before them there is
 * no call of the program's yet. The number of the first real one lies two words before the instructions. */
static uint32_t first_offset(const struct vs_py_layout *l, const struct object *o)
{
    int32_t first = 0;
    if (l->code_body) memcpy(&first, o->bytes + l->code_body - 16, sizeof first);
    return first > 0 && first < 4096 ? (uint32_t)first * 2 : 0;
}

static bool append(const struct vs_py_codes *c, const struct object *o, uint32_t number)
{
    uint32_t table_bytes = o->table_bytes, done = 0;
    bool cut, cut_too;
    do {
        char text[2 * LONGEST_TEXT];
        uint32_t file = done ? 0 : vs_py_text(c, o->file, text, LONGEST_TEXT, &cut);
        uint32_t name = done ? 0 : vs_py_text(c, o->name, text + file, LONGEST_TEXT, &cut_too);
        uint32_t part = table_bytes - done < ROOM - file - name ? table_bytes - done : (uint32_t)ROOM - file - name;
        if (!done && (cut || cut_too || table_bytes == LARGEST_TABLE)) vs_log_lost(VS_SRC_PYTHON, VS_LOST_CUT, 1);
        struct vs_rec_code *r = vs_log_begin(VS_K_CODE, sizeof *r + file + name + part);
        if (!r) return false;
        vs_rec_set(r, (uint8_t)c->layout->encoding, -1);
        r->code = number;
        r->first_line = o->first_line;
        r->table_bytes = table_bytes;
        r->table_at = done;
        r->table_part = (uint16_t)part;
        r->file_bytes = (uint16_t)file;
        r->function_bytes = (uint16_t)name;
        memcpy(r->text, text, file + name);
        if (!vs_py_copy(r->text + file + name, o->table + done, part)) {
            vs_log_cancel(r);
            return false;
        }
        vs_log_commit(r);
        done += part;
    } while (done < table_bytes);
    return true;
}

/* ---- is it still the same? ---- */

static bool hash_bytes(uint64_t *h, uint64_t at, uint64_t bytes)
{
    if (!vs_py_readable(at, bytes + !bytes)) return false;
    const unsigned char *p = (const unsigned char *)(uintptr_t)at;
    *h = vs_py_mix(*h, bytes, 0);
    for (; bytes >= 8; p += 8, bytes -= 8) *h = vs_py_mix(*h, vs_py_word(p), 1);
    for (; bytes; p++, bytes--) *h = vs_py_mix(*h, *p, 2);
    return true;
}

static bool hash_text(const struct vs_py_layout *l, uint64_t *h, uint64_t text)
{
    uint32_t state;
    if (!vs_py_plausible(text) || !vs_py_readable(text, l->text_ascii)) return false;
    const unsigned char *p = (const unsigned char *)(uintptr_t)text;
    memcpy(&state, p + l->text_state, sizeof state);
    uint64_t bytes = vs_py_word(p + l->text_length) * (state >> 2 & 7);
    return hash_bytes(h, text + (state >> 6 & 1 ? l->text_ascii : l->text_other), bytes < 65536 ? bytes : 65536);
}

/* Read in place: the frame that runs the code keeps all of it. 0: cannot be read. */
static uint64_t contents_of(const struct vs_py_codes *c, uint64_t code)
{
    const struct vs_py_layout *l = c->layout;
    const unsigned char *p = (const unsigned char *)(uintptr_t)code;
    uint64_t h = 0, table;
    if (!vs_py_plausible(code) || !vs_py_readable(code, l->code_bytes)) return 0;
    table = vs_py_word(p + l->code_table);
    if (!vs_py_plausible(table) || !vs_py_readable(table, l->bytes_data)) return 0;
    uint64_t bytes = vs_py_word((const unsigned char *)(uintptr_t)table + l->size);
    if (!hash_text(l, &h, vs_py_word(p + l->code_file)) || !hash_text(l, &h, vs_py_word(p + l->code_name)) ||
        !hash_bytes(&h, table + l->bytes_data, bytes < 65536 ? bytes : 65536))
        return 0;
    return h | 1;
}

static bool changed(const struct vs_py_codes *c, struct vs_py_code_slot *slot, uint64_t code, bool check)
{
    uint32_t hits = __atomic_add_fetch(&slot->hits, 1, __ATOMIC_RELAXED);
    if (c->layout->code_version || (hits > CHECKED_HITS && !check)) return false;
    return contents_of(c, code) != __atomic_load_n(&slot->contents, __ATOMIC_RELAXED);
}

/* ---- numbers ---- */

static enum vs_py_verdict first_sight(const struct vs_py_codes *c, struct vs_py_code_slot *slot, uint64_t code,
                                      uint32_t *number)
{
    struct object o;
    enum vs_py_verdict is = read_object(c, code, &o);
    if (is == VS_PY_SKIP) __atomic_store_n(&slot->number, VS_PY_NO_CODE, __ATOMIC_RELEASE);
    if (is == VS_PY_UNKNOWN) vs_log_lost(VS_SRC_PYTHON, VS_LOST_UNREADABLE, 1);
    if (is != VS_PY_KNOWN) return is;
    uint64_t contents = c->layout->code_version ? 0 : contents_of(c, code);
    *number = __atomic_add_fetch(&c->tables->next_code, 1, __ATOMIC_RELAXED);
    if (!append(c, &o, *number)) {
        *number = 0;
        return VS_PY_UNKNOWN;
    }
    __atomic_store_n(&slot->first_offset, first_offset(c->layout, &o), __ATOMIC_RELAXED);
    __atomic_store_n(&slot->contents, contents, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->hits, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->number, *number, __ATOMIC_RELEASE);
    return VS_PY_KNOWN;
}

enum vs_py_verdict vs_py_code_number(const struct vs_py_codes *c, const struct vs_py_frame *frame, bool check,
                                     uint32_t *number)
{
    uint64_t mark;
    enum vs_py_verdict verdict = VS_PY_KNOWN;
    *number = 0;
    if (!vs_py_code_mark(c->layout, frame->code, &mark)) {
        vs_log_lost(VS_SRC_PYTHON, VS_LOST_UNREADABLE, 1);
        return VS_PY_UNKNOWN;
    }
    uint64_t key = vs_py_mix(frame->code, mark, frame->code) | 1;
    struct vs_py_code_slot *slot = vs_py_code_slot(c->tables, key);
    if (!slot) {
        vs_log_lost(VS_SRC_PYTHON, VS_LOST_FULL, 1);
        return VS_PY_UNKNOWN;
    }
    uint32_t known = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE);
    if (known == VS_PY_NO_CODE) return VS_PY_SKIP;
    if (!known || changed(c, slot, frame->code, check)) verdict = first_sight(c, slot, frame->code, number);
    else *number = known;
    if (verdict == VS_PY_KNOWN && c->layout->code_body && frame->owner != VS_PY_OWNED_BY_GENERATOR &&
        frame->offset < __atomic_load_n(&slot->first_offset, __ATOMIC_RELAXED))
        verdict = VS_PY_SKIP;
    return verdict;
}

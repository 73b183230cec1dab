/* SPDX-License-Identifier: MIT
 *
 * lines.c: turns the recorder's code objects and stacks into rows of tables frame, stack and at_peak_line. It must never
 * let the order of records on different threads decide what a stack is: a stack may come before its code.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "text.h"

#define LARGEST_TABLE (1u << 20)
#define INNER_ROWS    ((int64_t)1 << 33) /* rows of stack that are only callers; below are those with a number */

struct code {
    char *file, *function; /* clean; NULL: not known */
    unsigned char *table;
    uint32_t first_line, table_bytes, have;
    uint64_t hash; /* of the texts */
    enum vs_line_table encoding;
    bool complete, library;
};

struct frame {
    int64_t row;
    bool library;
};

struct node {
    int64_t row, line_frame; /* of the innermost frame from here outwards that is not library code; 0: there is none */
};

static const struct code unknown = {.complete = true, .library = true};

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0xd6e8feb86659fd93ull;
    return h ^ h >> 32;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text; text++) h = mix(h, (unsigned char)*text);
    return mix(h, 0x100);
}

/* ---- code objects ---- */

static void free_code(struct code *c)
{
    if (!c) return;
    free(c->file);
    free(c->function);
    free(c->table);
    free(c);
}

static struct code *new_code(struct vs_process *p, const struct vs_rec_code *r)
{
    uint32_t room = vs_text_bytes(&r->h, sizeof *r, UINT32_MAX);
    struct code *c = calloc(1, sizeof *c);
    if (!c || (uint32_t)r->file_bytes + r->function_bytes > room) goto fail;
    c->file = vs_names_copy(p, r->text, r->file_bytes);
    c->function = vs_names_copy(p, r->text + r->file_bytes, r->function_bytes);
    c->table_bytes = r->table_bytes < LARGEST_TABLE ? r->table_bytes : LARGEST_TABLE;
    c->table = malloc(c->table_bytes + 1);
    if (!c->file || !c->function || !c->table || vs_id_map_put(&p->lines.codes, r->code, c)) goto fail;
    c->first_line = r->first_line;
    c->encoding = (enum vs_line_table)r->h.flags;
    c->hash = hash_text(hash_text(0x9e3779b97f4a7c15ull, c->file), c->function);
    c->library = vs_line_is_library(c->file);
    return c;
fail:
    if (!c || (c->file && c->function)) vs_process_check(p, -ENOMEM);
    free_code(c);
    return NULL;
}

static void try_waiting(struct vs_process *p);

void vs_apply_code(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_code *r = (const void *)rec;
    struct code *c = vs_id_map_get(&p->lines.codes, r->code);
    if (!c && r->table_at == 0) c = new_code(p, r);
    if (!c || c->complete || r->table_at != c->have) return; /* parts come in order: one thread writes them */
    uint32_t skip = r->table_at ? 0 : (uint32_t)r->file_bytes + r->function_bytes;
    uint32_t part = vs_text_bytes(rec, sizeof *r + skip, r->table_part);
    if (part > c->table_bytes - c->have) part = c->table_bytes - c->have;
    memcpy(c->table + c->have, r->text + skip, part);
    c->have += part;
    if (c->have < c->table_bytes && part) return;
    c->complete = true; /* the table ends here, or was cut */
    if (p->lines.waiting.count) try_waiting(p);
}

/* ---- frames and the tree ---- */

static struct vs_value row_or_none(int64_t row)
{
    return vs_int(row ? row : VS_NONE);
}

static const struct frame *frame_of(struct vs_process *p, const struct code *c, uint32_t offset)
{
    struct vs_lines *l = &p->lines;
    uint32_t line = c->complete && c->table ? vs_line_of(c->encoding, c->table, c->have, c->first_line, offset) : 0;
    uint64_t key = mix(c->hash, line);
    struct frame *f = vs_id_map_get(&l->frames, key);
    if (f) return f;
    f = malloc(sizeof *f);
    if (!f || vs_id_map_put(&l->frames, key, f)) {
        free(f);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    *f = (struct frame){.row = p->base + ++l->next_frame, .library = c->library};
    VS_PUT(p->store, VS_ST_FRAME, vs_int(f->row), vs_int(p->id), vs_text(c->file), vs_text(c->function),
           vs_int(line ? line : VS_NONE), vs_int(c->library));
    return f;
}

static int64_t put_stack(struct vs_process *p, int64_t row, const struct node *parent, const struct frame *f)
{
    int64_t line_frame = f && !f->library ? f->row : parent ? parent->line_frame : 0;
    VS_PUT(p->store, VS_ST_STACK, vs_int(row), vs_int(p->id), row_or_none(parent ? parent->row : 0),
           row_or_none(f ? f->row : 0), row_or_none(line_frame));
    return line_frame;
}

/* A frame that called another one. */
static const struct node *caller_of(struct vs_process *p, const struct node *parent, const struct frame *f)
{
    struct vs_lines *l = &p->lines;
    uint64_t key = mix(mix(0x9e3779b97f4a7c15ull, (uint64_t)(parent ? parent->row : 0)), (uint64_t)(f ? f->row : 0));
    struct node *n = vs_id_map_get(&l->nodes, key);
    if (n) return n;
    n = malloc(sizeof *n);
    if (!n || vs_id_map_put(&l->nodes, key, n)) {
        free(n);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    n->row = p->base + INNER_ROWS + ++l->next_node;
    n->line_frame = put_stack(p, n->row, parent, f);
    return n;
}

static const struct code *code_of(const struct vs_process *p, uint32_t number)
{
    const struct code *c = number ? vs_id_map_get(&p->lines.codes, number) : NULL;
    return c ? c : &unknown;
}

static uint32_t frames_in(const struct vs_rec_stack *r)
{
    uint32_t room = vs_text_bytes(&r->h, sizeof *r, UINT32_MAX) / (uint32_t)sizeof *r->frame;
    return r->frames < room ? r->frames : room;
}

static bool all_codes_known(const struct vs_process *p, const struct vs_rec_stack *r)
{
    for (uint32_t i = 0; i < frames_in(r); i++) {
        const struct code *c = r->frame[i].code ? vs_id_map_get(&p->lines.codes, r->frame[i].code) : &unknown;
        if (!c || !c->complete) return false;
    }
    return true;
}

static void resolve(struct vs_process *p, const struct vs_rec_stack *r)
{
    const struct node *parent = (r->h.flags & 1) ? caller_of(p, NULL, NULL) : NULL;
    uint32_t i = frames_in(r);
    while (i-- > 1) {
        const struct frame *f = frame_of(p, code_of(p, r->frame[i].code), r->frame[i].offset);
        if (!f || !(parent = caller_of(p, parent, f))) return;
    }
    const struct frame *innermost = frame_of(p, code_of(p, r->frame[0].code), r->frame[0].offset);
    if (innermost) put_stack(p, vs_lines_row(p, r->stack), parent, innermost);
}

void vs_apply_stack(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_stack *r = (const void *)rec;
    struct vs_lines *l = &p->lines;
    static char yes;
    if (!r->stack || r->stack == VS_STACK_BACKWARD || !frames_in(r) || vs_id_map_get(&l->resolved, r->stack)) return;
    vs_process_check(p, vs_id_map_put(&l->resolved, r->stack, &yes));
    if (all_codes_known(p, r)) {
        resolve(p, r);
        return;
    }
    struct vs_rec_stack *copy = malloc(rec->size8 * (size_t)8);
    if (!copy || vs_id_map_put(&l->waiting, r->stack, copy)) {
        free(copy);
        vs_process_check(p, -ENOMEM);
        return;
    }
    memcpy(copy, r, rec->size8 * (size_t)8);
}

/* Those of which all is known, or all there is. In the order of their numbers, so that rows do not depend on the map. */
static void resolve_waiting(struct vs_process *p, bool all)
{
    struct vs_lines *l = &p->lines;
    for (;;) {
        struct vs_rec_stack *next = NULL;
        for (size_t i = 0; i < l->waiting.size; i++) {
            struct vs_rec_stack *r = l->waiting.slots[i].value;
            if (r && (!next || r->stack < next->stack) && (all || all_codes_known(p, r))) next = r;
        }
        if (!next) return;
        resolve(p, next);
        vs_id_map_remove(&l->waiting, next->stack);
        free(next);
    }
}

static void try_waiting(struct vs_process *p)
{
    resolve_waiting(p, false);
}

void vs_lines_finish(struct vs_process *p)
{
    resolve_waiting(p, true);
}

/* ---- allocations ---- */

static void name_backward(struct vs_process *p)
{
    static const struct code backward = {.complete = true, .function = "backward", .hash = 1};
    p->lines.backward = true;
    const struct frame *f = frame_of(p, &backward, 0);
    if (f) put_stack(p, vs_lines_row(p, VS_STACK_BACKWARD), NULL, f);
}

uint32_t vs_lines_of(struct vs_process *p, const struct vs_rec *rec, size_t fixed)
{
    uint64_t stack = 0;
    if (!(rec->flags & VS_TORCH_STACK) || vs_text_bytes(rec, fixed, sizeof stack) < sizeof stack) return 0;
    p->lines.seen = true;
    memcpy(&stack, (const char *)rec + fixed, sizeof stack);
    if (stack) return stack < VS_STACK_BACKWARD ? (uint32_t)stack : 0;
    if (vs_passes_by(p) != VS_BY_AUTOGRAD) return 0;
    if (!p->lines.backward) name_backward(p);
    return VS_STACK_BACKWARD;
}

int64_t vs_lines_row(const struct vs_process *p, uint32_t stack)
{
    return stack ? p->base + stack : VS_NONE;
}

void vs_lines_failed(struct vs_process *p, const struct vs_rec_oom *r, int64_t ts)
{
    uint32_t stack = vs_lines_of(p, &r->h, sizeof *r);
    if (stack) VS_PUT(p->store, VS_ST_FAILURE_STACK, vs_int(p->id), vs_int(ts), vs_int(vs_lines_row(p, stack)));
}

static void add(struct vs_process *p, struct vs_groups *g, const struct vs_piece *x)
{
    struct vs_group what = {.range_name = x->stack, .bytes = (int64_t)x->bytes, .count = 1};
    vs_process_check(p, vs_groups_add(g, &what));
}

static bool was_live(const struct vs_piece *x, int64_t peak_ts)
{
    return x->in_level && x->level == VS_LEVEL_SUB && x->source == VS_SE_TORCH && x->alloc_ts <= peak_ts;
}

void vs_lines_freed(struct vs_process *p, const struct vs_piece *x)
{
    struct vs_device_series *d = p->lines.seen ? vs_series_device(&p->series, x->device) : NULL;
    struct vs_line_peak **peak = &p->lines.peak[x->device + 1];
    if (!d || !was_live(x, d->meter[VS_SE_SUB].peak_ts)) return;
    if (!*peak && !(*peak = calloc(1, sizeof(**peak)))) {
        vs_process_check(p, -ENOMEM);
        return;
    }
    if ((*peak)->peak_ts != d->meter[VS_SE_SUB].peak_ts) { /* nothing freed before it was live at the new one */
        (*peak)->peak_ts = d->meter[VS_SE_SUB].peak_ts;
        (*peak)->groups.generation++;
        (*peak)->groups.count = 0;
    }
    add(p, &(*peak)->groups, x);
}

static void write_peak(struct vs_process *p, const struct vs_device_series *d)
{
    const struct vs_line_peak *peak = p->lines.peak[d->device + 1];
    int64_t peak_ts = d->meter[VS_SE_SUB].peak_ts;
    struct vs_groups all = {.generation = 1};
    for (size_t i = 0; peak && peak->peak_ts == peak_ts && i < peak->groups.size; i++)
        if (peak->groups.slots[i].generation == peak->groups.generation)
            vs_process_check(p, vs_groups_add(&all, &(struct vs_group){.range_name = peak->groups.slots[i].range_name,
                                                                        .bytes = peak->groups.slots[i].bytes,
                                                                        .count = peak->groups.slots[i].count}));
    for (const struct vs_piece *x = p->live.first; x; x = x->next)
        if (x->device == d->device && was_live(x, peak_ts)) add(p, &all, x);
    for (size_t i = 0; i < all.size; i++)
        if (all.slots[i].generation == all.generation)
            VS_PUT(p->store, VS_ST_AT_PEAK_LINE, vs_int(p->id), vs_int(d->device), vs_text("sub"),
                   vs_int(vs_lines_row(p, (uint32_t)all.slots[i].range_name)), vs_int(all.slots[i].bytes),
                   vs_int(all.slots[i].count));
    free(all.slots);
}

void vs_lines_write(struct vs_process *p)
{
    if (!p->lines.seen) return;
    VS_PUT(p->store, VS_ST_CLEAR_AT_PEAK_LINE, vs_int(p->id));
    for (unsigned i = 0; i < p->series.count; i++) write_peak(p, p->series.list[i]);
}

static void free_all(struct vs_id_map *m)
{
    for (size_t i = 0; i < m->size; i++) free(m->slots[i].value);
    vs_id_map_free(m);
}

void vs_lines_free(struct vs_process *p)
{
    struct vs_lines *l = &p->lines;
    for (size_t i = 0; i < l->codes.size; i++) free_code(l->codes.slots[i].value);
    for (unsigned d = 0; d < VS_NDEVICES; d++) {
        if (l->peak[d]) free(l->peak[d]->groups.slots);
        free(l->peak[d]);
    }
    vs_id_map_free(&l->codes);
    vs_id_map_free(&l->resolved);
    free_all(&l->waiting);
    free_all(&l->frames);
    free_all(&l->nodes);
}

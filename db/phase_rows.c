/* SPDX-License-Identifier: MIT
 *
 * phase_rows.c: writes what passes were found and what their memory was: tables phase, phase_memory,
 * timeline_category. It must never write a category sum that is not the live bytes of its moment: what is live or waits joins
 * copies, with the category that is the best guess so far.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"

/* By what one iteration is told from the next. */
enum vs_counting {
    EVERY_PASS,    /* memory shows no optimizer: each backward counts */
    EVERY_STEP,    /* a pass that something of an optimizer precedes begins an iteration */
    EVERY_ZERO_GRAD /* a pass in which gradients were freed does */
};

static enum vs_counting counting(const struct vs_passes *s)
{
    enum vs_counting by = EVERY_PASS;
    for (size_t i = 1; i < s->count; i++) {
        if (s->pass[i].gradients_freed) return EVERY_ZERO_GRAD;
        if (s->pass[i].stepped) by = EVERY_STEP;
    }
    return by;
}

static bool begins_iteration(const struct vs_pass *pass, enum vs_counting by)
{
    return by == EVERY_PASS || (by == EVERY_STEP ? pass->stepped != 0 : pass->gradients_freed != 0);
}

static int64_t phase_id(const struct vs_process *p, size_t i)
{
    return p->base + 1 + (int64_t)i;
}

static bool shown(const struct vs_passes *s, const struct vs_phase_row *f)
{
    return f->named || !(s->named >> f->kind & 1); /* a range's word wins */
}

/* Rows from `from` on. */
static void write_phases(struct vs_process *p, size_t from, enum vs_counting by)
{
    struct vs_passes *s = &p->passes;
    uint32_t pass = 0;
    int64_t iteration = 0;
    for (size_t i = 0; i < s->nphases; i++) {
        const struct vs_phase_row *f = &s->phases[i];
        while (pass < f->pass && pass < s->count) iteration += begins_iteration(&s->pass[++pass], by);
        while (pass > f->pass) iteration -= begins_iteration(&s->pass[pass--], by);
        if (i < from || !shown(s, f)) continue;
        VS_PUT(p->store, VS_ST_PHASE, vs_int(phase_id(p, i)), vs_int(p->id), vs_text(vs_phase_names[f->kind]),
               vs_int(f->kind == VS_PH_INIT ? VS_NONE : iteration), vs_int(f->begin), vs_int(f->end),
               vs_text(f->named ? "nvtx" : "inferred"));
    }
}

/* What is live or waits belongs to the moments it was live at, too. */
static void add_unsettled(const struct vs_process *p, struct vs_composition **copies)
{
    const struct vs_piece *lists[2] = {p->live.first, p->passes.first};
    for (int l = 0; l < 2; l++)
        for (const struct vs_piece *x = lists[l]; x; x = x->next) {
            struct vs_composition *c = x->in_level && x->level == VS_LEVEL_SUB ? copies[x->device + 1] : NULL;
            enum vs_category category = c ? vs_category_infer(p, x) : VS_CAT_NONE;
            if (c)
                vs_composition_add(c, x->level_ts, x->free_ts, category ? category : VS_CAT_UNKNOWN,
                                   (int64_t)x->bytes);
        }
}

static void write_phase_memory(struct vs_process *p, size_t from, struct vs_composition **copies)
{
    const struct vs_passes *s = &p->passes;
    struct vs_mix *mixes[VS_NDEVICES] = {NULL};
    for (size_t i = 0; i < s->nmoments; i++) {
        const struct vs_phase_moment *m = &s->moments[i];
        const struct vs_composition *c = copies[m->device + 1];
        struct vs_mix **at = &mixes[m->device + 1];
        if (m->phase < from || !shown(s, &s->phases[m->phase]) || m->peak >= c->nmoments || m->end >= c->nmoments) continue;
        if (!*at && !(*at = vs_composition_mixes(c))) {
            vs_process_check(p, -ENOMEM);
            break;
        }
        for (int k = 1; k < VS_NCATEGORIES; k++) {
            int64_t peak = (*at)[m->peak].bytes[k], end = (*at)[m->end].bytes[k];
            if (peak || end)
                VS_PUT(p->store, VS_ST_PHASE_MEMORY, vs_int(phase_id(p, m->phase)), vs_int(p->id), vs_int(m->device),
                       vs_text(vs_category_names[k]), vs_int(c->moments[m->peak].ts), vs_int(peak), vs_int(end));
        }
    }
    for (int i = 0; i < VS_NDEVICES; i++) free(mixes[i]);
}

static void write_timeline(struct vs_process *p, struct vs_composition **copies)
{
    VS_PUT(p->store, VS_ST_CLEAR_TIMELINE_CATEGORY, vs_int(p->id));
    for (int d = 0; d < VS_NDEVICES; d++)
        for (unsigned i = 0; copies[d] && i < copies[d]->used; i++) {
            const struct vs_composition *c = copies[d];
            const struct vs_composition_bucket *b = &c->bucket[i];
            for (int k = 1; k < VS_NCATEGORIES && b->live >= 0; k++)
                if (b->mix.bytes[k])
                    VS_PUT(p->store, VS_ST_TIMELINE_CATEGORY, vs_int(p->id), vs_int(d - 1),
                           vs_int(c->origin_ns + ((int64_t)i << c->shift)), vs_int((int64_t)1 << c->shift),
                           vs_int(b->at), vs_text(vs_category_names[k]), vs_int(b->mix.bytes[k]));
        }
}

void vs_phase_rows_write(struct vs_process *p)
{
    struct vs_passes *s = &p->passes;
    struct vs_composition *copies[VS_NDEVICES] = {NULL};
    enum vs_counting by = counting(s);
    bool again = p->final || by != s->counted_by || !s->phases_written;
    size_t from = again ? 0 : s->phases_written;
    for (int d = 0; d < VS_NDEVICES; d++)
        if (s->of[d] && !(copies[d] = vs_composition_copy(s->of[d]))) vs_process_check(p, -ENOMEM);
    add_unsettled(p, copies);
    if (again) {
        VS_PUT(p->store, VS_ST_CLEAR_PHASE, vs_int(p->id));
        VS_PUT(p->store, VS_ST_CLEAR_PHASE_MEMORY, vs_int(p->id));
    }
    write_phases(p, from, by);
    write_phase_memory(p, from, copies);
    write_timeline(p, copies);
    for (int d = 0; d < VS_NDEVICES; d++) vs_composition_free(copies[d]);
    s->phases_written = vs_store_muted(p->store) ? 0 : s->unplaced;
    s->counted_by = (uint8_t)by;
}

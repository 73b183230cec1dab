/* SPDX-License-Identifier: MIT
 *
 * py_walk.h: goes along the frames of the calling thread, innermost first, in place.
 *
 * Why that can be done without the GIL: a thread's frames are changed by that thread alone, a frame keeps its code object
 * alive, and an interpreter that ends deletes the thread states of other threads, but not their frames. So only the
 * thread state itself is ever taken away by somebody else: whoever begins a walk has made sure of it.
 *
 * Ownership: the walk is the caller's. Threading: the thread whose frames they are.
 */
#ifndef VS_PROFILER_PY_WALK_H
#define VS_PROFILER_PY_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "py_layout.h"
#include "py_read.h"

struct vs_py_frame {
    uint64_t code; /* address of the code object */
    int64_t offset; /* of the instruction in it, in bytes; negative: before the first */
    uint8_t owner;
};

struct vs_py_walk {
    const struct vs_py_layout *layout;
    uint64_t next;  /* frame; 0: no more */
    uint64_t page;  /* of the last frame: can be read; UINT64_MAX: none yet */
    uint32_t steps;
    bool failed; /* a frame could not be read */
    bool cut;    /* there are more than VS_MAX_STACK_FRAMES */
};

/* false: the thread state is not this thread's, or does not lead to frames. */
bool vs_py_walk_begin(struct vs_py_walk *w, const struct vs_py_layout *layout, const void *thread_state,
                      uint64_t thread_id);

/* A number for this stack, from the addresses in its frames: no record, no lookup. 0: there is no frame. false: a frame
 * or its code cannot be read. */
bool vs_py_walk_key(struct vs_py_walk *w, uint64_t *key);

/* Beside frames, the places where C called Python lie on the chain: at most one for each. */
#define VS_PY_MOST_STEPS (2 * VS_MAX_STACK_FRAMES + 2)

/* Inlined where the layout is known, of which then nothing is read. */
#define VS_PY_INLINE static inline __attribute__((always_inline))

VS_PY_INLINE bool vs_py_walk_next(struct vs_py_walk *w, struct vs_py_frame *out)
{
    const struct vs_py_layout *l = w->layout;
    while (w->next) {
        const unsigned char *f = (const unsigned char *)(uintptr_t)w->next;
        uint64_t page = w->next >> VS_PAGE_SHIFT;
        if (++w->steps > VS_PY_MOST_STEPS) {
            w->cut = true;
            return false;
        }
        if (page != w->page || (w->next & (VS_PAGE_BYTES - 1)) > VS_PAGE_BYTES - l->frame_bytes || w->next & 7) {
            if (!vs_py_plausible(w->next) || !vs_py_readable(w->next, l->frame_bytes)) {
                w->failed = true;
                return false;
            }
            w->page = page;
        }
        w->next = vs_py_word(f + l->frame_previous);
        out->owner = l->frame_owner ? f[l->frame_owner] : 0;
        if (out->owner == VS_PY_OWNED_BY_C) continue;
        out->code = vs_py_word(f + l->frame_code);
        if (l->code_body) {
            out->offset = (int64_t)(vs_py_word(f + l->frame_at) - (out->code + l->code_body));
        } else {
            int32_t number;
            memcpy(&number, f + l->frame_at, sizeof number);
            out->offset = (int64_t)number * 2;
        }
        return true;
    }
    return false;
}

/* What tells a code object from another one at the same address, as far as looking at it alone can tell. false: it cannot
 * be read. */
VS_PY_INLINE bool vs_py_code_mark(const struct vs_py_layout *layout, uint64_t code, uint64_t *mark)
{
    const unsigned char *c = (const unsigned char *)(uintptr_t)code;
    uint32_t word;
    if (!vs_py_plausible(code) || !vs_py_readable(code, layout->code_bytes)) return false;
    if (layout->code_version) {
        memcpy(&word, c + layout->code_version, sizeof word);
        *mark = word;
        return true;
    }
    memcpy(&word, c + layout->code_first_line, sizeof word);
    *mark = vs_py_word(c + layout->code_file) * 3 + vs_py_word(c + layout->code_name) * 5 +
            vs_py_word(c + layout->code_table) * 7 + ((uint64_t)word << 48);
    return true;
}

/* From two words and what was before to 64 bits: every bit counts. */
static inline uint64_t vs_py_mix(uint64_t h, uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(h ^ a ^ 0xa0761d6478bd642full) * (b ^ 0xe7037ed1a0b428dbull);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif

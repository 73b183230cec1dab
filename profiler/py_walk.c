/* SPDX-License-Identifier: MIT
 *
 * py_walk.c: where a walk begins, and the walk that runs at every allocation. Must never follow a pointer it has not asked
 * about.
 */
#include "py_walk.h"

#include "export.h"

VS_HOT bool vs_py_walk_begin(struct vs_py_walk *w, const struct vs_py_layout *l, const void *thread_state,
                             uint64_t thread_id)
{
    const unsigned char *state = thread_state;
    uint64_t top;
    if (vs_py_word(state + l->thread_id) != thread_id) return false;
    *w = (struct vs_py_walk){.layout = l, .page = UINT64_MAX};
    top = vs_py_word(state + l->top);
    if (!l->indirect) {
        w->next = top;
        return true;
    }
    /* in the thread state, or on the thread's own C stack */
    if (!vs_py_plausible(top) || !vs_py_readable(top, l->top_frame + sizeof top)) return false;
    w->next = vs_py_word((const unsigned char *)(uintptr_t)top + l->top_frame);
    return true;
}

VS_PY_INLINE bool key_of(struct vs_py_walk *walk, const struct vs_py_layout *layout, uint64_t *key)
{
    struct vs_py_walk w = *walk; /* a copy whose address nobody has stays in registers */
    struct vs_py_frame f;
    uint64_t h = 0, mark;
    uint32_t n = 0;
    w.layout = layout;
    while (vs_py_walk_next(&w, &f)) {
        if (++n > VS_MAX_STACK_FRAMES) {
            w.cut = true;
            break;
        }
        if (!vs_py_code_mark(layout, f.code, &mark)) return false;
        h = vs_py_mix(h, f.code ^ mark << 47, (uint64_t)f.offset ^ mark);
    }
    walk->cut = w.cut;
    *key = n ? (h + w.cut) | 1 : 0;
    return !w.failed;
}

/* Known offsets become part of the instructions: a fifth of the time. */
#define KEY_OF(version)                                                                                                \
    static __attribute__((noinline)) VS_HOT bool key_of_##version(struct vs_py_walk *walk, uint64_t *key)              \
    {                                                                                                                  \
        return key_of(walk, &vs_py_layout_##version, key);                                                             \
    }
KEY_OF(310)
KEY_OF(311)
KEY_OF(312)

VS_HOT bool vs_py_walk_key(struct vs_py_walk *walk, uint64_t *key)
{
    const struct vs_py_layout layout = *walk->layout; /* so that it is not read again for each frame */
    if (layout.version == vs_py_layout_310.version) return key_of_310(walk, key);
    if (layout.version == vs_py_layout_311.version) return key_of_311(walk, key);
    if (layout.version == vs_py_layout_312.version) return key_of_312(walk, key);
    return key_of(walk, &layout, key);
}

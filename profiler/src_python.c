/* SPDX-License-Identifier: MIT
 *
 * src_python.c: finds the interpreter, makes sure that its frames are as its version says, and gives each different stack
 * of an allocating thread a number. Must never take the GIL, call into Python where it could block or allocate, change
 * anything of the interpreter's, or follow a pointer that was not asked about.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "src_python.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config.h"
#include "export.h"
#include "log.h"
#include "lookup.h"
#include "py_code.h"
#include "say.h"
#include "source.h"

bool vs_python_wanted;

enum { NO_INTERPRETER, UNCHECKED, READY, OFF };

/* What is called of the interpreter: plain reads of its state. The first name that exists. */
static const char *const name_this_thread[] = {"PyGILState_GetThisThreadState", NULL};
static const char *const name_holder[] = {"PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet", NULL};
static const char *const name_ending[] = {"Py_IsFinalizing", "_Py_IsFinalizing", NULL};
static const char *const name_initialized[] = {"Py_IsInitialized", NULL};

static struct {
    uint32_t epoch; /* of the process the rest was found in; atomic, stored last */
    int state;      /* atomic */
    int failures;   /* of checks; atomic */
    struct vs_py_layout layout;
    struct vs_py_codes codes;
    void *(*this_thread)(void);
    void *(*holder)(void); /* whose thread state has the GIL; from 3.12 on: the calling thread's, if it has it */
    int (*ending)(void);
    uint64_t reported_ns;
    uint64_t look_ns, wait_ns; /* when an interpreter is looked for again, and how long after the last time */
    const char *off_because;   /* not yet said; atomic */
} py;

static __thread struct {
    uint32_t epoch, turn;
    bool main_thread;
} mine __attribute__((tls_model("initial-exec")));

enum { TIMED = 64 }; /* of so many walks one is timed */

/* ---- finding the interpreter; on the helper thread ---- */

static void *symbol(const char *const *names)
{
    static const char *const libraries[] = {"libpython3.10.so.1.0", "libpython3.11.so.1.0", "libpython3.12.so.1.0",
                                            "libpython3.13.so.1.0", "libpython3.13t.so.1.0", NULL};
    void *found = NULL;
    for (; !found && *names; names++) {
        found = vs_real_dlsym(NULL, *names); /* NULL is RTLD_DEFAULT: the executable itself comes first */
        if (!found) found = vs_lookup(*names, libraries);
    }
    return found;
}
#define SYMBOL(name) symbol((const char *const[]){name, NULL})

/* As in Py_Version, of which 3.10 has only the text. */
static uint32_t version_of_interpreter(void)
{
    const unsigned long *number = SYMBOL("Py_Version");
    const char *(*text)(void);
    unsigned major = 0, minor = 0;
    if (number) return (uint32_t)*number;
    *(void **)&text = SYMBOL("Py_GetVersion");
    return text && sscanf(text(), "%u.%u", &major, &minor) == 2 ? major << 24 | minor << 16 : 0;
}

/* An interpreter that is a library of the program's stays loaded: it is called at every allocation. */
static void pin(void *function)
{
    Dl_info where;
    if (dladdr(function, &where) && where.dli_fname) dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

static const char *find(void)
{
    static const char incomplete[] = "the interpreter does not show what is needed";
    struct vs_py_types *types = &py.codes.types;
    const char *problem;
    uint64_t self = 0;
    if (!vs_py_copy(&self, (uintptr_t)&problem, sizeof self)) return "process_vm_readv is not allowed here";
    if ((problem = vs_py_layout_fill(&py.layout, version_of_interpreter(), SYMBOL("_PyRuntime")))) return problem;
    *(void **)&py.this_thread = symbol(name_this_thread);
    *(void **)&py.holder = symbol(name_holder);
    *(void **)&py.ending = symbol(name_ending);
    types->code = (uintptr_t)SYMBOL("PyCode_Type");
    types->text = (uintptr_t)SYMBOL("PyUnicode_Type");
    types->bytes = (uintptr_t)SYMBOL("PyBytes_Type");
    if (!py.this_thread || !py.holder || !py.ending || !types->code || !types->text || !types->bytes) return incomplete;
    py.codes.layout = &py.layout;
    pin(__extension__(void *) py.this_thread);
    return NULL;
}

/* Any thread; the helper thread says it. */
static void turn_off(const char *why)
{
    __atomic_store_n(&py.off_because, why, __ATOMIC_RELAXED);
    __atomic_store_n(&py.state, OFF, __ATOMIC_RELEASE);
}

static void say_why_off(void)
{
    const char *why = __atomic_exchange_n(&py.off_because, NULL, __ATOMIC_RELAXED);
    if (!why) return;
    vs_say_once(VS_SAY_WARN, "no Python lines: %s", why);
    vs_log_meta("python_lines_off", why);
}

/* Programs without one are asked less and less often: after 1, 2, 4, ... 60 seconds. */
static void look(void)
{
    const uint64_t second = 1000000000;
    uint64_t now = vs_now();
    int (*initialized)(void);
    const char *problem;
    if (now < py.look_ns) return;
    py.wait_ns = !py.wait_ns ? second : py.wait_ns < 30 * second ? 2 * py.wait_ns : 60 * second;
    py.look_ns = now + py.wait_ns;
    *(void **)&initialized = symbol(name_initialized);
    if (!initialized || !initialized()) return;
    if ((problem = find())) {
        turn_off(problem);
        return;
    }
    __atomic_store_n(&py.state, UNCHECKED, __ATOMIC_RELEASE);
}

static void python_start(void)
{
    if (!vs_python_wanted) return;
    py.codes.tables = vs_py_tables_new();
    if (!py.codes.tables) {
        turn_off("no memory for the tables of stacks");
    } else {
        vs_py_read_start(py.codes.tables->pages);
        look();
    }
    __atomic_store_n(&py.epoch, vs_log_epoch(), __ATOMIC_RELEASE);
}

/* What walks have cost so far, for the report. */
static void python_drain(void)
{
    char text[32];
    if (!vs_python_wanted) return;
    if (__atomic_load_n(&py.state, __ATOMIC_RELAXED) == NO_INTERPRETER) look();
    if (__atomic_load_n(&py.state, __ATOMIC_ACQUIRE) == OFF) {
        say_why_off();
        return;
    }
    uint64_t ns = TIMED * __atomic_load_n(&py.codes.tables->ns_timed, __ATOMIC_RELAXED);
    if (ns == py.reported_ns) return;
    py.reported_ns = ns;
    snprintf(text, sizeof text, "%llu", (unsigned long long)ns);
    vs_log_meta("python_lines_ns", text);
}

/* The tables are not inherited. An interpreter that an ancestor found is looked for again. */
static void python_fork_child(void)
{
    __atomic_store_n(&py.epoch, 0, __ATOMIC_RELEASE);
    py.state = NO_INTERPRETER;
    py.failures = 0;
    py.reported_ns = py.look_ns = py.wait_ns = 0;
    py.off_because = NULL;
    py.codes.tables = NULL;
    vs_python_wanted = vs_config()->python_lines;
}

/* ---- a stack ---- */

struct stack {
    uint32_t frames;
    bool cut;
    struct vs_stack_frame frame[VS_MAX_STACK_FRAMES];
};

static void frames_of(struct vs_py_walk *w, bool check, struct stack *out)
{
    struct vs_py_frame f;
    out->frames = 0;
    while (vs_py_walk_next(w, &f)) {
        uint32_t code;
        if (out->frames == VS_MAX_STACK_FRAMES) {
            w->cut = true;
            break;
        }
        if (vs_py_code_number(&py.codes, &f, check, &code) == VS_PY_SKIP) continue;
        out->frame[out->frames++] = (struct vs_stack_frame){
            .code = code, .offset = f.offset < 0 ? 0 : f.offset > UINT32_MAX ? UINT32_MAX : (uint32_t)f.offset};
    }
    out->cut = w->cut;
}

static uint32_t append(const struct stack *s)
{
    struct vs_rec_stack *r = vs_log_begin(VS_K_STACK, sizeof *r + s->frames * sizeof *r->frame);
    if (!r) return 0;
    vs_rec_set(r, s->cut, -1);
    r->stack = __atomic_add_fetch(&py.codes.tables->next_stack, 1, __ATOMIC_RELAXED);
    r->frames = s->frames;
    memcpy(r->frame, s->frame, s->frames * sizeof *r->frame);
    uint32_t number = r->stack;
    vs_log_commit(r);
    return number;
}

static uint64_t same_frames(const struct stack *s)
{
    uint64_t h = s->cut;
    for (uint32_t i = 0; i < s->frames; i++) h = vs_py_mix(h, s->frame[i].code, s->frame[i].offset);
    return h;
}

enum outcome { KNOWN, UNREADABLE, COUNTED /* another loss, which is counted */ };

/* Appends the stack unless its slot stands for the same frames. */
static __attribute__((noinline)) enum outcome take(struct vs_py_walk *w, struct vs_py_stack_slot *slot, bool check,
                                                   uint64_t *number)
{
    struct stack s;
    frames_of(w, check, &s);
    if (w->failed) return UNREADABLE;
    uint64_t frames = same_frames(&s);
    *number = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE);
    if (*number && __atomic_load_n(&slot->frames, __ATOMIC_RELAXED) == frames) return KNOWN;
    if (!s.frames) {
        *number = 0;
        return KNOWN;
    }
    if (!(*number = append(&s))) return COUNTED;
    __atomic_store_n(&slot->hits, 0, __ATOMIC_RELAXED); /* what changed once is not trusted soon */
    __atomic_store_n(&slot->frames, frames, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->number, (uint32_t)*number, __ATOMIC_RELEASE);
    return KNOWN;
}

/* Two stacks of different code can have one key where code objects have no version (before 3.12): what is new is looked
 * at more closely for a while, and now and then for ever. */
static bool to_check(struct vs_py_stack_slot *slot)
{
    uint32_t hits = slot->hits + 1; /* roughly is enough */
    __atomic_store_n(&slot->hits, hits, __ATOMIC_RELAXED);
    return !py.layout.code_version && (hits <= 8 || hits % 64 == 0);
}

static VS_HOT enum outcome number_of(const struct vs_py_walk *begun, uint64_t *number)
{
    struct vs_py_walk w = *begun;
    uint64_t key;
    if (!vs_py_walk_key(&w, &key)) return UNREADABLE;
    if (!key) {
        *number = 0;
        return KNOWN;
    }
    if (w.cut) vs_log_lost(VS_SRC_PYTHON, VS_LOST_DEPTH, 1);
    struct vs_py_stack_slot *slot = vs_py_stack_slot(py.codes.tables, key);
    if (!slot) {
        vs_log_lost(VS_SRC_PYTHON, VS_LOST_FULL, 1);
        return COUNTED;
    }
    *number = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE);
    bool check = to_check(slot);
    if (*number && !check) return KNOWN;
    w = *begun;
    return take(&w, slot, check && *number, number);
}

/* ---- of which thread ---- */

/* Can the thread state be read? Nobody else deletes it if the thread is the main one or has the GIL (`safe`). If not, the
 * end of the interpreter does: then it is asked about each time, and not read once that end has begun. */
static inline bool is_there(const void *state, bool safe)
{
    uint64_t at = (uintptr_t)state, last = at + py.layout.thread_id; /* of all that is looked at the last */
    if (!vs_py_plausible(at)) return false;
    if (safe) return vs_py_readable(at, last + 8 - at);
    return !py.ending() && vs_py_probe(at) && (at >> VS_PAGE_SHIFT == last >> VS_PAGE_SHIFT || vs_py_probe(last));
}

/* Once, before frames are believed: each of the thread's runs what is code, with texts where they should be. */
static bool check(const struct vs_py_walk *begun)
{
    struct vs_py_walk w = *begun;
    struct vs_py_frame f;
    bool sound = true;
    uint32_t n = 0;
    while (sound && vs_py_walk_next(&w, &f) && n < VS_MAX_STACK_FRAMES) {
        sound = vs_py_code_is_sound(&py.codes, f.code) && f.offset > -16 && f.offset < 1 << 28;
        n++;
    }
    if (sound && n && !w.failed) __atomic_store_n(&py.state, READY, __ATOMIC_RELEASE);
    return sound && !w.failed;
}

static bool believe(const struct vs_py_walk *w)
{
    enum { MOST_FAILURES = 8 };
    if (w && check(w)) return true;
    if (__atomic_add_fetch(&py.failures, 1, __ATOMIC_RELAXED) == MOST_FAILURES)
        turn_off("the interpreter's frames are not as its version has them");
    return false;
}

static VS_HOT enum outcome stack_of(const void *thread_state, bool safe, uint64_t *number)
{
    struct vs_py_walk w;
    if (!is_there(thread_state, safe)) return UNREADABLE;
    bool begun = vs_py_walk_begin(&w, &py.layout, thread_state, pthread_self());
    if (__atomic_load_n(&py.state, __ATOMIC_ACQUIRE) == UNCHECKED && !believe(begun ? &w : NULL)) return UNREADABLE;
    return begun ? number_of(&w, number) : UNREADABLE;
}

VS_HOT bool vs_python_stack(uint64_t *number)
{
    uint32_t epoch = vs_log_epoch();
    int state = __atomic_load_n(&py.state, __ATOMIC_ACQUIRE);
    const void *thread_state;
    uint64_t begin = 0;
    enum outcome outcome;

    *number = 0;
    if (!epoch || __atomic_load_n(&py.epoch, __ATOMIC_ACQUIRE) != epoch) {
        vs_python_missed();
        return false;
    }
    if (state == OFF) return false;
    if (state == NO_INTERPRETER || !(thread_state = py.this_thread())) return true;
    if (mine.epoch != epoch) {
        mine.epoch = epoch;
        mine.main_thread = syscall(SYS_gettid) == syscall(SYS_getpid);
    }
    bool timed = ++mine.turn % TIMED == 0;
    if (timed) begin = vs_now();
    outcome = stack_of(thread_state, mine.main_thread || py.holder() == thread_state, number);
    if (timed) {
        uint64_t ns = vs_now() - begin;
        if (ns < 1000000) /* else the processor was taken away meanwhile */
            __atomic_fetch_add(&py.codes.tables->ns_timed, ns, __ATOMIC_RELAXED);
    }
    if (outcome == UNREADABLE) vs_log_lost(VS_SRC_PYTHON, VS_LOST_UNREADABLE, 1);
    return outcome == KNOWN;
}

void vs_python_missed(void)
{
    vs_log_lost(VS_SRC_PYTHON, VS_LOST_STARTING, 1);
}

const struct vs_source_ops vs_source_python = {
    .name = "python", .start = python_start, .drain = python_drain, .stop = python_drain, .fork_child = python_fork_child};

/* SPDX-License-Identifier: MIT */
/* link: -ldl -lpthread -l:libpython.so */
/*
 * python_images.c: allocations of threads whose Python frames are memory laid out here, right or broken. Includes nothing
 * of the profiler. Exit status 0: it came to its end.
 *
 * python_images MADE SAID ROUNDS [SEED]
 *   MADE    10 to 13: the CPython 3.x whose frames are laid out
 *   SAID    the version the interpreter says it is
 *   ROUNDS  with something broken in each, on the main thread and on another; then one allocation from right frames
 *
 * Right frames are those of made.py: outer at line 12 calls inner at line 25, which allocates. Allocations from right
 * frames have 1024 bytes, others 512.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "python_images.h"

extern unsigned long Py_Version;
extern uint64_t _PyRuntime[512], PyCode_Type[64], PyUnicode_Type[64], PyBytes_Type[64];
extern void *fake_python_state, *fake_python_holder;
extern int fake_python_ending, fake_python_begun, fake_python_asked;

static void *(*report)(void *, int64_t, int, int, int);
static unsigned made;
static uint64_t seed = 88172645463325252ull;
static unsigned char *image, *hole; /* everything laid out; pages that cannot be read */
static size_t used;
enum { IMAGE_BYTES = 65536 };

static unsigned dice(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 11) % n);
}

static void *place(size_t bytes)
{
    void *at = image + used;
    used += (bytes + 63) & ~(size_t)63;
    memset(at, 0, bytes);
    return at;
}

static void *text(const char *s)
{
    size_t n = strlen(s);
    unsigned char *at = place(sizeof(struct text_old) + n + 1);
    struct text_new *t = (void *)at;
    t->o.type = PyUnicode_Type;
    t->length = (int64_t)n;
    t->state = 1 << 2 | 1 << 5 | 1 << 6; /* one byte for each, compact, ASCII */
    memcpy(at + (made < 12 ? sizeof(struct text_old) : sizeof *t), s, n);
    return at;
}

/* One range of instructions with no line, then all others on one line, `line` after the first. */
static void *line_table(unsigned line)
{
    struct bytes *b = place(sizeof *b);
    b->o.o.type = PyBytes_Type;
    if (made == 10) {
        unsigned char pairs[] = {4, 0x80, 250, (unsigned char)line};
        memcpy(b->data, pairs, sizeof pairs);
        b->o.size = sizeof pairs;
    } else {
        unsigned char locations[] = {0x80 | 15 << 3 | 1, 0x80 | 13 << 3 | 7, (unsigned char)(line << 1), 0x80 | 13 << 3 | 7, 0,
                                     0x80 | 13 << 3 | 7, 0};
        memcpy(b->data, locations, sizeof locations);
        b->o.size = sizeof locations;
    }
    return b;
}

static void *code(const char *name, unsigned first_line, unsigned line)
{
    static uint32_t version;
    void *file = text("made.py"), *function = text(name), *table = line_table(line - first_line), *at = NULL;
#define FILL(v, named)                                                                                                 \
    {                                                                                                                  \
        struct code_##v *c = at = place(sizeof *c);                                                                    \
        c->file = file;                                                                                                \
        c->named = function;                                                                                           \
        c->line_table = table;                                                                                         \
        c->first_line = (int32_t)first_line;                                                                           \
    }
    if (made == 10) FILL(310, name)
    if (made == 11) FILL(311, qualified_name)
    if (made == 12) FILL(312, qualified_name)
    if (made == 13) FILL(313, qualified_name)
    ((struct object *)at)->type = PyCode_Type;
    if (made >= 12) ((struct code_312 *)at)->version = ++version; /* 3.13 has it at the same place */
    return at;
}

static unsigned char *body(void *c)
{
    return made == 11 ? ((struct code_311 *)c)->body : made == 12 ? ((struct code_312 *)c)->body : ((struct code_313 *)c)->body;
}

static void *frame(void *c, unsigned instruction, void *previous, char owner)
{
    if (made == 10) {
        struct frame_310 *f = place(sizeof *f);
        f->code = c;
        f->back = previous;
        f->last = (int32_t)instruction;
        return f;
    }
    if (made == 11) {
        struct frame_311 *f = place(sizeof *f);
        f->code = c;
        f->previous = previous;
        f->instruction = body(c) + 2 * instruction;
        f->owner = owner;
        return f;
    }
    struct frame_312 *f = place(sizeof *f);
    f->code = c;
    f->previous = previous;
    f->instruction = owner == 3 ? NULL : body(c) + 2 * instruction;
    f->owner = owner;
    return f;
}

static void *state(void *top)
{
    uint64_t self = (uint64_t)pthread_self();
    void *at = NULL;
    if (made == 10) {
        struct state_310 *s = at = place(sizeof *s);
        s->frame = top;
        s->thread = self;
    } else if (made == 11) {
        struct state_311 *s = at = place(sizeof *s);
        struct c_frame_311 *c = place(sizeof *c);
        c->frame = top;
        s->c_frame = top ? c : &s->root;
        s->thread = self;
    } else if (made == 12) {
        struct state_312 *s = at = place(sizeof *s);
        struct c_frame_312 *c = place(sizeof *c);
        c->frame = top;
        s->c_frame = top ? c : &s->root;
        s->thread = self;
    } else {
        struct state_313 *s = at = place(sizeof *s);
        s->frame = top;
        s->thread = self;
    }
    return at;
}

/* All of it anew. */
static void *lay_out(void)
{
    used = 64;
    void *outer = frame(code("outer", 10, 12), 3, NULL, 0);
    if (made >= 12) outer = frame(NULL, 0, outer, 3); /* where C called Python */
    return state(frame(code("inner", 20, 25), 4, outer, 1));
}

static uint64_t nonsense(void)
{
    switch (dice(12)) {
    case 0: return 0;
    case 1: return dice(4096);
    case 2: return (uint64_t)(uintptr_t)hole + dice(8192);
    case 3: return (uint64_t)(uintptr_t)hole - 8 * (1 + dice(8)); /* the last bytes before what cannot be read */
    case 4: return 0xffffffff81000000ull + dice(65536);
    case 5: return (uint64_t)dice(1u << 30) << 33 | dice(1u << 30);
    case 6: return UINT64_MAX - dice(64);
    case 7: return (uint64_t)1 << 47;
    case 8: return (uint64_t)(uintptr_t)(image + dice(IMAGE_BYTES)); /* loops, things taken for others, odd addresses */
    case 9: return (uint64_t)(uintptr_t)(image + 8 * dice((unsigned)used / 8));
    case 10: return (uint64_t)1 << dice(64);
    default: return (uint64_t)(uintptr_t)&seed;
    }
}

static void *break_it(void)
{
    void *s = lay_out();
    for (unsigned n = 1 + dice(3); n; n--) {
        uint64_t what = nonsense();
        memcpy(image + 8 * dice((unsigned)used / 8), &what, 8);
    }
    if (dice(16) == 0) {
        uint64_t what = nonsense();
        memcpy(&s, &what, 8);
    }
    return s;
}

static void allocate(void *thread_state, int64_t bytes)
{
    fake_python_state = thread_state;
    report(NULL, bytes, 1, 0, 0);
    fake_python_state = NULL;
}

static void *rounds(void *arg)
{
    for (unsigned i = *(unsigned *)arg; i; i--) {
        void *s = break_it();
        fake_python_holder = dice(4) ? NULL : s;
        fake_python_ending = dice(8) == 0;
        allocate(s, 512);
    }
    fake_python_holder = NULL;
    fake_python_ending = 0;
    allocate(lay_out(), 1024);
    return NULL;
}

/* What 3.13 says of itself: groups of offsets, each begun by a size. */
static void fill_runtime(unsigned long version)
{
    static const struct {
        unsigned at;
        uint64_t value;
    } words[] = {
        {2, 0}, {19, 400}, {23, offsetof(struct state_313, frame)}, {24, offsetof(struct state_313, thread)},
        {28, 80}, {29, offsetof(struct frame_312, previous)}, {30, offsetof(struct frame_312, code)},
        {31, offsetof(struct frame_312, instruction)}, {33, offsetof(struct frame_312, owner)},
        {34, 208}, {35, offsetof(struct code_313, file)}, {36, offsetof(struct code_313, name)},
        {37, offsetof(struct code_313, qualified_name)}, {38, offsetof(struct code_313, line_table)},
        {39, offsetof(struct code_313, first_line)}, {41, offsetof(struct code_313, local_names)},
        {43, offsetof(struct code_313, body)}, {44, 16}, {45, offsetof(struct object, type)},
        {64, 40}, {65, offsetof(struct bytes, o.size)}, {66, offsetof(struct bytes, data)},
        {67, 56}, {68, offsetof(struct text_new, state)}, {69, offsetof(struct text_new, length)}, {70, 40}};
    memcpy(_PyRuntime, "xdebugpy", 8);
    _PyRuntime[1] = version;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) _PyRuntime[words[i].at] = words[i].value;
}

int main(int argc, char **argv)
{
    void *c10 = dlopen("libc10.so", RTLD_NOW | RTLD_LOCAL), *cuda = dlopen("libc10_cuda.so", RTLD_NOW | RTLD_LOCAL);
    unsigned n = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    pthread_t other;
    if (argc < 4 || !c10 || !cuda) return 2;
    *(void **)&report = dlsym(cuda, "fake_torch_report");
    made = (unsigned)atoi(argv[1]);
    if (argc > 4) seed ^= strtoull(argv[4], NULL, 10) * 0x9e3779b97f4a7c15ull;
    image = mmap(NULL, 2 * IMAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (image == MAP_FAILED || mprotect(image + IMAGE_BYTES, IMAGE_BYTES, PROT_NONE)) return 2;
    hole = image + IMAGE_BYTES;
    Py_Version = 3ul << 24 | strtoul(argv[2], NULL, 10) << 16 | 0x6f0;
    fill_runtime(Py_Version);
    __atomic_store_n(&fake_python_begun, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 300 && !__atomic_load_n(&fake_python_asked, __ATOMIC_ACQUIRE); i++) {
        report(NULL, 256, 1, 0, 0); /* the first begins the recording; then until the recorder has found us, if it will */
        usleep(1000);
    }
    allocate(lay_out(), 1024);
    allocate(state(NULL), 2048); /* no frames */
    rounds(&n);
    if (pthread_create(&other, NULL, rounds, &n) || pthread_join(other, NULL)) return 3;
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * nvtx_strings.c: texts that programs give: inline ones, registered strings, names of domains, categories and threads.
 * Must never keep a pointer to a program's text, and never allocate: what a forked child needs again is copied into fixed
 * tables below.
 *
 * Registered strings and domains are interned by a hash of their text in open-addressed tables that only grow. A handle
 * is the number of its entry. An entry remembers for which process (vs_log_epoch) its text is in the log, so that a
 * forked child, whose log starts empty, appends it again at first use.
 */
#include "src_nvtx.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    STRINGS = 4096,
    ARENA_BYTES = 256 * 1024, /* touched as it fills; 64 bytes for each of STRINGS */
    KEPT_BYTES = 1024,        /* of one text; a child's log has the rest cut */
    PROBES = 64
};
#define ID_MASK ((1ull << 48) - 1)

struct string_entry {
    uint64_t hash; /* 0: free; atomic */
    uint64_t id;   /* {epoch:16 | string id:48}; atomic */
    uint32_t at;   /* in the arena */
    uint32_t kept; /* bytes + 1 once the copy is complete, 0: none; atomic */
};
static struct string_entry strings[STRINGS];
static char arena[ARENA_BYTES];
static uint32_t arena_used;

struct domain_entry {
    uint64_t hash;  /* 0: free; atomic */
    uint32_t known; /* epoch whose log has the name; atomic */
    uint32_t kept;  /* bytes + 1 once `name` is complete; atomic */
    char name[48];
};
static struct domain_entry domains[VS_DOMAIN_NAMED];

static uint64_t hash_of(const char *text, size_t bytes)
{
    uint64_t h = 0x9e3779b97f4a7c15ull ^ bytes;
    size_t i;
    for (i = 0; i < bytes; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
    h ^= h >> 29;
    return h * 0xd6e8feb86659fd93ull | 1;
}

/* The length that fits, not in the middle of a UTF-8 sequence. */
static size_t cut_at(const char *text, size_t room)
{
    size_t n = room, back = 0;
    while (back < 3 && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
        back++;
    }
    return ((unsigned char)text[n] & 0xc0) == 0xc0 ? n : room;
}

void vs_text_ascii(struct vs_text *t, const char *s)
{
    t->text = s ? s : "";
    t->bytes = strnlen(t->text, VS_TEXT_ROOM + 1);
    t->string = 0;
    t->cut = t->bytes > VS_TEXT_ROOM;
    if (t->cut)
        t->bytes = cut_at(s, VS_TEXT_ROOM);
}

static size_t utf8(char *out, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

void vs_text_wide(struct vs_text *t, const wchar_t *s)
{
    size_t n = 0;
    char c[4];
    vs_text_none(t);
    t->text = t->wide;
    for (; s && *s; s++) {
        size_t k = utf8(c, (uint32_t)*s);
        if (n + k > VS_TEXT_ROOM) {
            t->cut = true;
            break;
        }
        memcpy(t->wide + n, c, k);
        n += k;
    }
    t->bytes = n;
}

/* ---- registered strings ---- */

static uint64_t id_in(uint32_t epoch, uint64_t id)
{
    return (uint64_t)(uint16_t)epoch << 48 | (id & ID_MASK);
}

static void keep(struct string_entry *e, const char *text, size_t bytes)
{
    size_t n = bytes <= KEPT_BYTES ? bytes : cut_at(text, KEPT_BYTES);
    uint32_t at = __atomic_load_n(&arena_used, __ATOMIC_RELAXED);
    do {
        if (at + n > ARENA_BYTES)
            return;
    } while (!__atomic_compare_exchange_n(&arena_used, &at, at + (uint32_t)n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    memcpy(arena + at, text, n);
    e->at = at;
    __atomic_store_n(&e->kept, (uint32_t)n + 1, __ATOMIC_RELEASE);
}

/* The handle of a text. Where the table has no room, or another thread is at work on the same text, the handle is the
 * string's id itself, good in this process only. */
static vs_nvtx_string intern(const char *text, size_t bytes)
{
    uint64_t hash = hash_of(text, bytes), found, id;
    uint32_t epoch;
    unsigned i;

    vs_nvtx_ready();
    epoch = vs_log_epoch();
    for (i = 0; i < PROBES; i++) {
        struct string_entry *e = &strings[(hash + i) % STRINGS];
        found = 0;
        if (__atomic_compare_exchange_n(&e->hash, &found, hash, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            keep(e, text, bytes);
            id = vs_log_string(text, bytes);
            __atomic_store_n(&e->id, id_in(epoch, id), __ATOMIC_RELEASE);
            return (vs_nvtx_string)(uintptr_t)(e - strings + 1);
        }
        if (found == hash && (__atomic_load_n(&e->id, __ATOMIC_ACQUIRE) & ID_MASK))
            return (vs_nvtx_string)(uintptr_t)(e - strings + 1);
        if (found == hash)
            break;
    }
    id = vs_log_string(text, bytes);
    return id ? (vs_nvtx_string)(uintptr_t)id_in(epoch, id) : NULL;
}

static void registered(struct vs_text *t, vs_nvtx_string handle)
{
    uintptr_t n = (uintptr_t)handle;
    struct string_entry *e;
    uint64_t id;
    uint32_t epoch, kept;

    vs_text_none(t);
    if (!n || !vs_nvtx_ready())
        return;
    epoch = vs_log_epoch();
    if (n > STRINGS) {
        if (n >> 48 == (uint16_t)epoch)
            t->string = n & ID_MASK;
        else
            t->cut = true;
        return;
    }
    e = &strings[n - 1];
    id = __atomic_load_n(&e->id, __ATOMIC_ACQUIRE);
    if (id >> 48 == (uint16_t)epoch && (id & ID_MASK)) {
        t->string = id & ID_MASK;
        return;
    }
    kept = __atomic_load_n(&e->kept, __ATOMIC_ACQUIRE);
    if (!kept) {
        t->cut = true; /* registered by an ancestor, and there was no room to keep it */
        return;
    }
    t->string = vs_log_string(arena + e->at, kept - 1);
    __atomic_store_n(&e->id, id_in(epoch, t->string), __ATOMIC_RELEASE);
}

void vs_text_message(struct vs_text *t, int type, union vs_nvtx_message m)
{
    if (type == VS_NVTX_MESSAGE_ASCII)
        vs_text_ascii(t, m.ascii);
    else if (type == VS_NVTX_MESSAGE_UNICODE)
        vs_text_wide(t, m.unicode);
    else if (type == VS_NVTX_MESSAGE_REGISTERED)
        registered(t, m.registered);
    else
        vs_text_none(t);
}

vs_nvtx_string vs_nvtx_string_a(vs_nvtx_domain d, const char *s)
{
    return s && vs_domain_of(d) != VS_DOMAIN_NCCL ? intern(s, strlen(s)) : NULL;
}

vs_nvtx_string vs_nvtx_string_w(vs_nvtx_domain d, const wchar_t *s)
{
    struct vs_text x;
    if (!s || vs_domain_of(d) == VS_DOMAIN_NCCL)
        return NULL;
    vs_text_wide(&x, s);
    if (x.cut)
        vs_log_lost(VS_SRC_NVTX, VS_LOST_CUT, 1);
    return intern(x.text, x.bytes);
}

/* ---- names ---- */

static void record_name(uint8_t what, uint32_t domain, uint32_t id, const struct vs_text *x)
{
    struct vs_rec_nvtx_name *r = vs_log_begin(VS_K_NVTX_NAME, sizeof *r + x->bytes);
    if (!r)
        return;
    vs_rec_set(r, what, -1);
    r->domain = domain;
    r->id = id;
    r->text_bytes = (uint32_t)x->bytes;
    memcpy(r->text, x->text, x->bytes);
    vs_log_commit(r);
    if (x->cut)
        vs_log_lost(VS_SRC_NVTX, VS_LOST_CUT, 1);
}

/* Appends the name unless somebody has for this process. */
static void name_domain(uint32_t domain, const struct vs_text *x)
{
    struct domain_entry *e = &domains[domain - 1];
    uint32_t known = __atomic_load_n(&e->known, __ATOMIC_RELAXED), epoch;

    if (!vs_nvtx_ready())
        return;
    epoch = vs_log_epoch();
    if (known != epoch &&
        __atomic_compare_exchange_n(&e->known, &known, epoch, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        record_name(VS_NN_DOMAIN, domain, 0, x);
}

void vs_domain_known(uint32_t domain)
{
    struct domain_entry *e;
    struct vs_text x;
    uint32_t kept;

    if (!domain || domain > VS_DOMAIN_NAMED)
        return;
    e = &domains[domain - 1];
    if (__builtin_expect(vs_log_epoch() && __atomic_load_n(&e->known, __ATOMIC_RELAXED) == vs_log_epoch(), 1))
        return;
    kept = __atomic_load_n(&e->kept, __ATOMIC_ACQUIRE);
    if (!kept)
        return;
    vs_text_none(&x);
    x.text = e->name;
    x.bytes = kept - 1;
    name_domain(domain, &x);
}

static vs_nvtx_domain create_domain(const struct vs_text *x)
{
    uint64_t hash = hash_of(x->text, x->bytes), found;
    unsigned i;

    if (x->bytes == 4 && !memcmp(x->text, "NCCL", 4))
        return (vs_nvtx_domain)(uintptr_t)VS_DOMAIN_NCCL;
    for (i = 0; i < VS_DOMAIN_NAMED; i++) {
        unsigned n = (unsigned)((hash + i) % VS_DOMAIN_NAMED);
        struct domain_entry *e = &domains[n];
        found = 0;
        if (__atomic_compare_exchange_n(&e->hash, &found, hash, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            size_t kept = x->bytes <= sizeof e->name ? x->bytes : cut_at(x->text, sizeof e->name);
            memcpy(e->name, x->text, kept);
            __atomic_store_n(&e->kept, (uint32_t)kept + 1, __ATOMIC_RELEASE);
            found = hash;
        }
        if (found == hash) {
            name_domain(n + 1, x);
            return (vs_nvtx_domain)(uintptr_t)(n + 1);
        }
    }
    return (vs_nvtx_domain)(uintptr_t)VS_DOMAIN_OTHER;
}

vs_nvtx_domain vs_nvtx_domain_create_a(const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    return create_domain(&x);
}

vs_nvtx_domain vs_nvtx_domain_create_w(const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    return create_domain(&x);
}

/* The number stays with its name: another library may use the same domain, and ranges in it may still be open. */
void vs_nvtx_domain_destroy(vs_nvtx_domain d)
{
    (void)d;
}

void vs_nvtx_category_a(uint32_t category, const char *s)
{
    vs_nvtx_domain_category_a(NULL, category, s);
}

void vs_nvtx_category_w(uint32_t category, const wchar_t *s)
{
    vs_nvtx_domain_category_w(NULL, category, s);
}

static void name_category(vs_nvtx_domain d, uint32_t category, const struct vs_text *x)
{
    uint32_t domain = vs_domain_of(d);
    if (domain == VS_DOMAIN_NCCL)
        return;
    vs_domain_known(domain);
    record_name(VS_NN_CATEGORY, domain, category, x);
}

void vs_nvtx_domain_category_a(vs_nvtx_domain d, uint32_t category, const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    name_category(d, category, &x);
}

void vs_nvtx_domain_category_w(vs_nvtx_domain d, uint32_t category, const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    name_category(d, category, &x);
}

void vs_nvtx_thread_a(uint32_t tid, const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    record_name(VS_NN_THREAD, 0, tid, &x);
}

void vs_nvtx_thread_w(uint32_t tid, const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    record_name(VS_NN_THREAD, 0, tid, &x);
}

/* Of all resources only threads have a place in the database. The handle means nothing to us. */
const void *vs_nvtx_resource_create(vs_nvtx_domain d, const struct vs_nvtx_resource *r)
{
    struct vs_text x;
    if (r && r->size >= sizeof *r && r->type == VS_NVTX_RESOURCE_THREAD_NATIVE && vs_domain_of(d) != VS_DOMAIN_NCCL) {
        vs_text_message(&x, r->message_type, r->message);
        if (x.bytes)
            record_name(VS_NN_THREAD, 0, (uint32_t)r->identifier.number, &x);
    }
    return (const void *)(uintptr_t)1;
}

void vs_nvtx_resource_destroy(const void *resource)
{
    (void)resource;
}

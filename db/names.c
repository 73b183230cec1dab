/* SPDX-License-Identifier: MIT
 *
 * names.c: the texts and names of one process: registered strings, NVTX domains and categories, libraries. It must never
 * assume that a text comes before the record that uses it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "text.h"

#define LONGEST    (1u << 20) /* of a continued text; mangled kernel names reach some 10 KB */
#define FULL_CHUNK (VS_MAX_RECORD_BYTES - sizeof(struct vs_rec_string) - 8) /* as long as this: more may follow */

struct vs_string {
    int64_t row;        /* 0: none yet */
    char *text;         /* until it is complete */
    uint32_t have, end; /* bytes received; where the text ends, 0: not known */
    bool complete;
    uint8_t head_bytes;
    char head[32];
};

static struct vs_string *string_of(struct vs_process *p, uint64_t id)
{
    struct vs_string *s = vs_id_map_get(&p->strings, id);
    if (s) return s;
    s = calloc(1, sizeof *s);
    if (!s || vs_id_map_put(&p->strings, id, s)) {
        free(s);
        vs_process_check(p, -ENOMEM);
        return NULL;
    }
    return s;
}

/* A row for a text that has not come. A replay must find the same row again, so its number is stored. */
static int64_t row_for_later(struct vs_process *p, uint64_t id)
{
    char key[40];
    snprintf(key, sizeof key, "string %llu", (unsigned long long)id);
    int64_t row = vs_store_state(p->store, p->id, key);
    if (row != VS_NONE) return row;
    row = vs_store_string_later(p->store);
    VS_PUT(p->store, VS_ST_STATE, vs_int(p->id), vs_text(key), vs_int(row));
    return row;
}

int64_t vs_names_string(struct vs_process *p, uint64_t id)
{
    struct vs_string *s = id ? string_of(p, id) : NULL;
    if (!s) return VS_NONE;
    if (!s->row) s->row = row_for_later(p, id);
    return s->row;
}

int64_t vs_names_text(struct vs_process *p, uint64_t id, const char *text, uint32_t bytes)
{
    return id ? vs_names_string(p, id) : vs_store_string(p->store, text, bytes);
}

uint32_t vs_names_peek(const struct vs_process *p, uint64_t id, char *text, size_t size)
{
    const struct vs_string *s = vs_id_map_get(&p->strings, id);
    uint32_t n = s ? s->head_bytes : 0;
    if (n > size) n = (uint32_t)size;
    if (n) memcpy(text, s->head, n);
    return n;
}

/* From the database: the texts of registered strings are not kept here. */
char *vs_names_full(struct vs_process *p, uint64_t id)
{
    const struct vs_string *s = vs_id_map_get(&p->strings, id);
    return s && s->complete ? vs_store_string_text(p->store, s->row) : NULL;
}

/* Kernel names come mangled; anything else that begins like one is a C++ name as well. */
static void complete(struct vs_process *p, struct vs_string *s)
{
    const char *text = s->text;
    size_t n = s->end;
    char *readable = NULL;
    if (n > 2 && text[0] == '_' && text[1] == 'Z') {
        char *terminated = strndup(text, n);
        readable = terminated ? vs_text_demangle(terminated) : NULL;
        free(terminated);
        if (readable) {
            text = readable;
            n = strlen(readable);
        }
    }
    s->head_bytes = (uint8_t)(n < sizeof s->head ? n : sizeof s->head);
    memcpy(s->head, text, s->head_bytes);
    if (s->row) vs_store_string_fill(p->store, s->row, text, n);
    else s->row = vs_store_string(p->store, text, n);
    s->complete = true;
    free(readable);
    free(s->text);
    s->text = NULL;
}

void vs_apply_string(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_string *r = (const void *)rec;
    uint32_t n = vs_text_bytes(rec, sizeof *r, r->bytes);
    struct vs_string *s = r->id ? string_of(p, r->id) : NULL;
    if (!s || s->complete || r->offset > LONGEST) return;
    uint32_t end = r->offset + n;
    if (end > s->have || !s->text) {
        char *text = realloc(s->text, end + 1);
        if (!text) {
            vs_process_check(p, -ENOMEM);
            return;
        }
        if (r->offset > s->have) memset(text + s->have, '?', r->offset - s->have);
        s->text = text;
    }
    memcpy(s->text + r->offset, r->text, n);
    s->have = end > s->have ? end : s->have;
    if (n < FULL_CHUNK) s->end = end;
    if (s->end && s->have >= s->end) /* chunks come in order: one writer, one slab after another */
        complete(p, s);
    else if (!s->end && n == 0) complete(p, s);
}

void vs_names_finish(struct vs_process *p)
{
    for (size_t i = 0; i < p->strings.size; i++) {
        struct vs_string *s = p->strings.slots[i].value;
        if (s && s->text && !s->complete) {
            s->end = s->have;
            complete(p, s);
        }
    }
}

char *vs_names_copy(struct vs_process *p, const char *text, uint32_t bytes)
{
    size_t length;
    char *clean = vs_text_clean(text, bytes, &length);
    if (!clean) vs_process_check(p, -ENOMEM);
    return clean;
}

static void put_name(struct vs_process *p, struct vs_id_map *map, uint64_t key, char *name)
{
    if (!name) return;
    free(vs_id_map_remove(map, key));
    if (vs_id_map_put(map, key, name)) {
        free(name);
        vs_process_check(p, -ENOMEM);
    }
}

void vs_apply_nvtx_name(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_nvtx_name *r = (const void *)rec;
    uint32_t n = vs_text_bytes(rec, sizeof *r, r->text_bytes);
    if (rec->flags == VS_NN_DOMAIN) put_name(p, &p->domains, r->domain, vs_names_copy(p, r->text, n));
    else if (rec->flags == VS_NN_CATEGORY)
        put_name(p, &p->categories, (uint64_t)r->domain << 32 | r->id, vs_names_copy(p, r->text, n));
    else if (rec->flags == VS_NN_THREAD) vs_facts_thread(p, 0, r->id, r->text, n);
}

const char *vs_names_domain(const struct vs_process *p, uint32_t domain)
{
    return domain ? vs_id_map_get(&p->domains, domain) : NULL;
}

const char *vs_names_category(const struct vs_process *p, uint32_t domain, uint32_t category)
{
    return category ? vs_id_map_get(&p->categories, (uint64_t)domain << 32 | category) : NULL;
}

/* ---- libraries ---- */

struct module {
    uint64_t begin, end;
    const char *library;
};

static uint64_t hash_of(const char *s)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
    return h;
}

static const char *library_of(struct vs_process *p, const char *path, uint32_t bytes)
{
    const char *slash = memrchr(path, '/', bytes);
    uint32_t skip = slash ? (uint32_t)(slash + 1 - path) : 0;
    char *name = vs_names_copy(p, path + skip, bytes - skip);
    char *known = name ? vs_id_map_get(&p->libraries, hash_of(name)) : NULL;
    if (name && !known && !vs_id_map_put(&p->libraries, hash_of(name), name)) return name;
    free(name);
    return known;
}

void vs_apply_module(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_module *r = (const void *)rec;
    uint32_t n = vs_text_bytes(rec, sizeof *r, r->path_bytes);
    struct module *m = vs_address_map_get(&p->modules, r->begin);
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m || vs_address_map_put(&p->modules, r->begin, m)) {
            free(m);
            vs_process_check(p, -ENOMEM);
            return;
        }
    }
    *m = (struct module){r->begin, r->end, library_of(p, r->path, n)};
    vs_live_name(p, m->begin, m->end, m->library);
    vs_failures_name(p, m->begin, m->end, m->library);
}

const char *vs_names_library(const struct vs_process *p, uint64_t caller)
{
    uint64_t at;
    const struct module *m = caller ? vs_address_map_floor(&p->modules, caller, &at) : NULL;
    return m && caller < m->end ? m->library : NULL;
}

static void free_values(struct vs_id_map *map)
{
    for (size_t i = 0; i < map->size; i++) free(map->slots[i].value);
    vs_id_map_free(map);
}

void vs_names_free(struct vs_process *p)
{
    uint64_t at = 0;
    void *m;
    for (size_t i = 0; i < p->strings.size; i++)
        if (p->strings.slots[i].value) free(((struct vs_string *)p->strings.slots[i].value)->text);
    free_values(&p->strings);
    free_values(&p->domains);
    free_values(&p->categories);
    free_values(&p->libraries);
    while ((m = vs_address_map_ceiling(&p->modules, at, &at))) {
        free(m);
        if (++at == 0) break;
    }
    vs_address_map_free(&p->modules);
}

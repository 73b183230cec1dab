/* SPDX-License-Identifier: MIT
 *
 * src_nvtx.h: what the files of the NVTX source share. src_nvtx.c attaches to clients; nvtx_calls.c has
 * the callbacks for ranges and marks, nvtx_ranges.c the stacks of ranges, nvtx_strings.c texts, registered strings and
 * names, nvtx_regions.c memory regions, nvtx_nccl.c NCCL's own domain.
 *
 * Handles given to programs are small numbers cast to pointers: nothing to allocate, nothing to free, and they stay valid
 * in a forked child.
 * Threading: any thread, any time. Errors: none; what cannot be recorded is counted.
 */
#ifndef VS_PROFILER_SRC_NVTX_H
#define VS_PROFILER_SRC_NVTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "nvtx_abi.h"

/* ---- domains: 10 bits. One number per name, so that every library that names a domain "x" is in the same one ---- */
enum {
    VS_DOMAIN_DEFAULT = 0,
    VS_DOMAIN_NAMED = 1000, /* 1..1000: have a name */
    VS_DOMAIN_OTHER = 1022, /* all domains beyond */
    VS_DOMAIN_NCCL = 1023   /* NCCL's own: never enters the program's ranges */
};

static inline uint32_t vs_domain_of(vs_nvtx_domain handle)
{
    uintptr_t n = (uintptr_t)handle;
    return n <= VS_DOMAIN_NAMED || n == VS_DOMAIN_NCCL ? (uint32_t)n : VS_DOMAIN_OTHER;
}

/* ---- texts ---- */
enum { VS_TEXT_ROOM = VS_MAX_RECORD_BYTES - sizeof(struct vs_rec_range_begin) }; /* the largest head of a record with text */

struct vs_text {
    const char *text;
    size_t bytes; /* at most VS_TEXT_ROOM */
    uint64_t string; /* a registered string instead, 0: none */
    bool cut;
    char wide[VS_TEXT_ROOM]; /* room for what was wchar_t */
};

void vs_text_ascii(struct vs_text *t, const char *s);
void vs_text_wide(struct vs_text *t, const wchar_t *s);
/* May append a record: not between begin and commit. */
void vs_text_message(struct vs_text *t, int type, union vs_nvtx_message m);
static inline void vs_text_none(struct vs_text *t)
{
    t->text = "";
    t->bytes = 0;
    t->string = 0;
    t->cut = false;
}

/* Makes the process active if need be. Ids and names handed out afterwards belong to this process. */
bool vs_nvtx_ready(void);
/* Appends the domain's name if this process's log does not have it. Not between begin and commit. */
void vs_domain_known(uint32_t domain);

/* ---- ranges and marks (nvtx_ranges.c). `a` may be NULL ---- */
int vs_range_push(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a); /* its nesting level */
int vs_range_pop(uint32_t domain); /* the level that ended; negative: there was none */
uint64_t vs_range_start(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a); /* an id, 0: dropped */
void vs_range_finish(uint64_t id);
void vs_range_mark(uint32_t domain, const struct vs_text *x, const struct vs_nvtx_attributes *a);

/* Decodes NCCL's payloads; these do nothing where the NCCL wrappers are bound. */
void vs_nvtx_nccl_push(const struct vs_nvtx_payload *items, size_t count);
void vs_nvtx_nccl_pop(const struct vs_nvtx_payload *items, size_t count);

/* ---- callbacks, by the tables of nvtx_abi.h ---- */
void vs_nvtx_mark_ex(const struct vs_nvtx_attributes *a);
void vs_nvtx_mark_a(const char *s);
void vs_nvtx_mark_w(const wchar_t *s);
uint64_t vs_nvtx_start_ex(const struct vs_nvtx_attributes *a);
uint64_t vs_nvtx_start_a(const char *s);
uint64_t vs_nvtx_start_w(const wchar_t *s);
void vs_nvtx_end(uint64_t id);
int vs_nvtx_push_ex(const struct vs_nvtx_attributes *a);
int vs_nvtx_push_a(const char *s);
int vs_nvtx_push_w(const wchar_t *s);
int vs_nvtx_pop(void);
void vs_nvtx_category_a(uint32_t category, const char *s);
void vs_nvtx_category_w(uint32_t category, const wchar_t *s);
void vs_nvtx_thread_a(uint32_t tid, const char *s);
void vs_nvtx_thread_w(uint32_t tid, const wchar_t *s);

void vs_nvtx_domain_mark_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a);
uint64_t vs_nvtx_domain_start_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a);
void vs_nvtx_domain_end(vs_nvtx_domain d, uint64_t id);
int vs_nvtx_domain_push_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a);
int vs_nvtx_domain_pop(vs_nvtx_domain d);
const void *vs_nvtx_resource_create(vs_nvtx_domain d, const struct vs_nvtx_resource *r);
void vs_nvtx_resource_destroy(const void *resource);
void vs_nvtx_domain_category_a(vs_nvtx_domain d, uint32_t category, const char *s);
void vs_nvtx_domain_category_w(vs_nvtx_domain d, uint32_t category, const wchar_t *s);
vs_nvtx_string vs_nvtx_string_a(vs_nvtx_domain d, const char *s);
vs_nvtx_string vs_nvtx_string_w(vs_nvtx_domain d, const wchar_t *s);
vs_nvtx_domain vs_nvtx_domain_create_a(const char *s);
vs_nvtx_domain vs_nvtx_domain_create_w(const wchar_t *s);
void vs_nvtx_domain_destroy(vs_nvtx_domain d);
void vs_nvtx_initialize(const void *reserved);

const void *vs_nvtx_heap_register(vs_nvtx_domain d, const struct vs_nvtx_heap *heap);
void vs_nvtx_heap_unregister(vs_nvtx_domain d, const void *heap);
void vs_nvtx_heap_reset(vs_nvtx_domain d, const void *heap);
void vs_nvtx_regions_register(vs_nvtx_domain d, const struct vs_nvtx_regions *b);
void vs_nvtx_regions_resize(vs_nvtx_domain d, const struct vs_nvtx_regions_resize *b);
void vs_nvtx_regions_unregister(vs_nvtx_domain d, const struct vs_nvtx_regions_unregister *b);
void vs_nvtx_regions_name(vs_nvtx_domain d, const struct vs_nvtx_regions_name *b);

void vs_nvtx_payload_mark(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count);
int vs_nvtx_payload_push(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count);
int vs_nvtx_payload_pop(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count);
uint64_t vs_nvtx_payload_start(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count);
void vs_nvtx_payload_end(vs_nvtx_domain d, uint64_t id, const struct vs_nvtx_payload *items, size_t count);

#endif

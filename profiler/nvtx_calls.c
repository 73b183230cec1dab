/* SPDX-License-Identifier: MIT
 *
 * nvtx_calls.c: the callbacks of NVTX's core and payload tables that concern ranges and marks: reads what the program
 * passes and hands it to nvtx_ranges.c, or to nvtx_nccl.c for NCCL's own domain.
 * Must never read a field of the attributes beyond the size the program states.
 */
#include "src_nvtx.h"

static void attributes_text(struct vs_text *x, const struct vs_nvtx_attributes *a)
{
    if (a && a->size >= sizeof *a)
        vs_text_message(x, a->message_type, a->message);
    else
        vs_text_none(x);
}

/* The extended payload an event carries: NULL if none. */
static const struct vs_nvtx_payload *attributes_payload(const struct vs_nvtx_attributes *a, size_t *count)
{
    *count = 0;
    if (!a || a->size < offsetof(struct vs_nvtx_attributes, message_type) || a->payload_type != VS_NVTX_PAYLOAD_EXT ||
        a->payload_count <= 0)
        return NULL;
    *count = (size_t)a->payload_count;
    return a->payload.items;
}

/* ---- callbacks: default domain ---- */

void vs_nvtx_mark_ex(const struct vs_nvtx_attributes *a)
{
    vs_nvtx_domain_mark_ex(NULL, a);
}

void vs_nvtx_mark_a(const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    vs_range_mark(VS_DOMAIN_DEFAULT, &x, NULL);
}

void vs_nvtx_mark_w(const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    vs_range_mark(VS_DOMAIN_DEFAULT, &x, NULL);
}

uint64_t vs_nvtx_start_ex(const struct vs_nvtx_attributes *a)
{
    return vs_nvtx_domain_start_ex(NULL, a);
}

uint64_t vs_nvtx_start_a(const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    return vs_range_start(VS_DOMAIN_DEFAULT, &x, NULL);
}

uint64_t vs_nvtx_start_w(const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    return vs_range_start(VS_DOMAIN_DEFAULT, &x, NULL);
}

void vs_nvtx_end(uint64_t id)
{
    vs_range_finish(id);
}

int vs_nvtx_push_ex(const struct vs_nvtx_attributes *a)
{
    return vs_nvtx_domain_push_ex(NULL, a);
}

int vs_nvtx_push_a(const char *s)
{
    struct vs_text x;
    vs_text_ascii(&x, s);
    return vs_range_push(VS_DOMAIN_DEFAULT, &x, NULL);
}

int vs_nvtx_push_w(const wchar_t *s)
{
    struct vs_text x;
    vs_text_wide(&x, s);
    return vs_range_push(VS_DOMAIN_DEFAULT, &x, NULL);
}

int vs_nvtx_pop(void)
{
    return vs_range_pop(VS_DOMAIN_DEFAULT);
}

/* ---- callbacks: any domain ---- */

void vs_nvtx_domain_mark_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a)
{
    uint32_t domain = vs_domain_of(d);
    struct vs_text x;
    if (domain == VS_DOMAIN_NCCL)
        return;
    vs_domain_known(domain);
    attributes_text(&x, a);
    vs_range_mark(domain, &x, a);
}

uint64_t vs_nvtx_domain_start_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a)
{
    uint32_t domain = vs_domain_of(d);
    struct vs_text x;
    if (domain == VS_DOMAIN_NCCL)
        return 0;
    vs_domain_known(domain);
    attributes_text(&x, a);
    return vs_range_start(domain, &x, a);
}

void vs_nvtx_domain_end(vs_nvtx_domain d, uint64_t id)
{
    (void)d;
    vs_nvtx_end(id);
}

int vs_nvtx_domain_push_ex(vs_nvtx_domain d, const struct vs_nvtx_attributes *a)
{
    uint32_t domain = vs_domain_of(d);
    struct vs_text x;
    if (domain == VS_DOMAIN_NCCL) {
        size_t count;
        const struct vs_nvtx_payload *items = attributes_payload(a, &count);
        vs_nvtx_nccl_push(items, count);
        return 0;
    }
    vs_domain_known(domain);
    attributes_text(&x, a);
    return vs_range_push(domain, &x, a);
}

int vs_nvtx_domain_pop(vs_nvtx_domain d)
{
    uint32_t domain = vs_domain_of(d);
    if (domain != VS_DOMAIN_NCCL)
        return vs_range_pop(domain);
    vs_nvtx_nccl_pop(NULL, 0);
    return 0;
}

/* ---- callbacks: the payload extension. Payloads themselves are kept for NCCL only ---- */

void vs_nvtx_payload_mark(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count)
{
    (void)items;
    (void)count;
    vs_nvtx_domain_mark_ex(d, NULL);
}

int vs_nvtx_payload_push(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count)
{
    if (vs_domain_of(d) != VS_DOMAIN_NCCL)
        return vs_nvtx_domain_push_ex(d, NULL);
    vs_nvtx_nccl_push(items, count);
    return 0;
}

int vs_nvtx_payload_pop(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count)
{
    if (vs_domain_of(d) != VS_DOMAIN_NCCL)
        return vs_nvtx_domain_pop(d);
    vs_nvtx_nccl_pop(items, count);
    return 0;
}

uint64_t vs_nvtx_payload_start(vs_nvtx_domain d, const struct vs_nvtx_payload *items, size_t count)
{
    (void)items;
    (void)count;
    return vs_nvtx_domain_start_ex(d, NULL);
}

void vs_nvtx_payload_end(vs_nvtx_domain d, uint64_t id, const struct vs_nvtx_payload *items, size_t count)
{
    (void)d;
    (void)items;
    (void)count;
    vs_nvtx_end(id);
}

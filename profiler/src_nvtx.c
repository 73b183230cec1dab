/* SPDX-License-Identifier: MIT
 *
 * src_nvtx.c: attaches to NVTX clients. Every library that uses NVTX 3 has a copy of it and calls the two functions below
 * once, at its first NVTX call; they put our callbacks into its tables.
 * Must never activate the process: being attached is not an event, the call that follows is.
 */
#include "src_nvtx.h"

#include "export.h"
#include "source.h"

VS_EXPORT int InitializeInjectionNvtx2(vs_nvtx_get_table get_table);
VS_EXPORT int InitializeInjectionNvtxExtension(struct vs_nvtx_module *module);

struct slot {
    unsigned number;
    vs_nvtx_fn fn;
};

#define X(number, ours, theirs) {number, (vs_nvtx_fn)vs_nvtx_##ours},
static const struct slot core[] = {VS_NVTX_CORE(X)};
static const struct slot core2[] = {VS_NVTX_CORE2(X)};
static const struct slot mem[] = {VS_NVTX_MEM(X)};
static const struct slot payload[] = {VS_NVTX_PAYLOAD(X)};
#undef X
#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool fill(const struct vs_nvtx_callbacks *c, int module, const struct slot *slots, size_t count)
{
    vs_nvtx_fn **table = NULL;
    unsigned size = 0;
    size_t i;

    if (!c->get_module_table(module, &table, &size) || !table)
        return false;
    for (i = 0; i < count; i++)
        if (slots[i].number < size && table[slots[i].number])
            *table[slots[i].number] = slots[i].fn;
    return true;
}

/* 1: attached. 0: this client's NVTX becomes no-ops, at no cost to it. */
int InitializeInjectionNvtx2(vs_nvtx_get_table get_table)
{
    const struct vs_nvtx_callbacks *c;
    const struct vs_nvtx_version_info *v;

    if (!get_table || !vs_log_wanted())
        return 0;
    c = get_table(VS_NVTX_ETID_CALLBACKS);
    if (!c || c->struct_size < sizeof *c || !c->get_module_table)
        return 0;
    v = get_table(VS_NVTX_ETID_VERSIONINFO);
    if (v && v->struct_size >= sizeof *v && v->set_injection_version)
        v->set_injection_version(3);
    if (!fill(c, VS_NVTX_MODULE_CORE, core, COUNT(core)))
        return 0;
    fill(c, VS_NVTX_MODULE_CORE2, core2, COUNT(core2)); /* absent in the oldest clients */
    return 1;
}

static void fill_extension(struct vs_nvtx_module *m, const struct slot *slots, size_t count)
{
    size_t i;
    if (!m->segments_count || !m->segments || !m->segments[0].functions)
        return;
    for (i = 0; i < count; i++)
        if (slots[i].number < m->segments[0].slots)
            m->segments[0].functions[slots[i].number] = (intptr_t)slots[i].fn;
}

/* Called once per extension and client. The client turns slots left alone into no-ops. Payloads matter for two reasons:
 * a range may be pushed plainly and popped with a payload, and NCCL does so. */
int InitializeInjectionNvtxExtension(struct vs_nvtx_module *module)
{
    if (!module || module->struct_size < sizeof *module || !vs_log_wanted())
        return 0;
    if (module->module == VS_NVTX_EXT_MEM && module->compat >> 8 == VS_NVTX_MEM_COMPAT >> 8)
        fill_extension(module, mem, COUNT(mem));
    else if (module->module == VS_NVTX_EXT_PAYLOAD)
        fill_extension(module, payload, COUNT(payload));
    return 1;
}

bool vs_nvtx_ready(void)
{
    void *r;
    if (vs_log_epoch())
        return true;
    r = vs_log_begin(VS_K_MARK, sizeof(struct vs_rec_mark));
    if (r)
        vs_log_cancel(r);
    return vs_log_epoch() != 0;
}

void vs_nvtx_initialize(const void *reserved)
{
    (void)reserved; /* carries no event */
}

/* Everything kept here and in thread storage is checked against vs_log_epoch(), so a forked child forgets by itself. */
const struct vs_source_ops vs_source_nvtx = {.name = "nvtx"};

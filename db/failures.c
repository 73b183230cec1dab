/* SPDX-License-Identifier: MIT
 *
 * failures.c: allocations that failed: PyTorch's out-of-memory reports and the driver's refusals. It must never count one as
 * memory.
 */
#include "process.h"

/* How many there were on the device before a failure. */
static struct vs_value made(const struct vs_process *p, const struct vs_rec *rec, enum vs_series_id level)
{
    const struct vs_device_series *d = p->series.of[(rec->device < 0 ? -1 : rec->device) + 1];
    return vs_int(d ? d->meter[level].allocations : 0);
}

void vs_apply_oom(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_oom *r = (const void *)rec;
    int64_t ts = vs_process_time(p, r->ts_ns);
    VS_PUT(p->store, VS_ST_FAILURE, vs_int(p->id), vs_int(vs_device_or_none(rec->device)), vs_text("torch"),
           vs_int(r->bytes < 0 ? 0 : r->bytes), vs_int(VS_NONE), vs_int(VS_NONE), vs_int((int64_t)r->allocated),
           vs_int((int64_t)r->reserved), vs_int(VS_NONE), vs_int(ts), vs_int(vs_thread_row(p, p->thread)),
           vs_int(vs_range_row(p, r->range)), vs_text(NULL), made(p, rec, VS_SE_SUB), made(p, rec, VS_SE_HELD));
    vs_lines_failed(p, r, ts);
    vs_summary_snapshot(p, ts, "out of memory");
    vs_passes_failure(p, rec->device < 0 ? -1 : rec->device, ts);
}

void vs_apply_alloc_fail(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_alloc_fail *r = (const void *)rec;
    const char *library = vs_names_library(p, r->caller);
    int64_t ts = vs_process_time(p, r->ts_ns);
    vs_passes_failure(p, rec->device < 0 ? -1 : rec->device, ts);
    if (!library) p->unnamed[p->nunnamed++ % VS_UNNAMED_FAILURES] = (struct vs_unnamed_failure){r->caller, ts};
    VS_PUT(p->store, VS_ST_FAILURE, vs_int(p->id), vs_int(vs_device_or_none(rec->device)),
           vs_text(vs_series_names[vs_memory_source(r->memory)]), vs_int(vs_whole(r->bytes)),
           vs_int(vs_known(r->free_bytes)), vs_int(vs_known(r->total_bytes)), vs_int(VS_NONE), vs_int(VS_NONE),
           vs_int(r->error), vs_int(ts), vs_int(vs_thread_row(p, p->thread)), vs_int(vs_range_row(p, r->range)),
           vs_text(library), made(p, rec, VS_SE_SUB), made(p, rec, VS_SE_HELD));
}

/* A program's libraries may be listed only after it failed, if it fails at once. */
void vs_failures_name(struct vs_process *p, uint64_t begin, uint64_t end, const char *library)
{
    for (unsigned i = 0; i < VS_UNNAMED_FAILURES && i < p->nunnamed; i++) {
        struct vs_unnamed_failure *f = &p->unnamed[i];
        if (!f->caller || f->caller < begin || f->caller >= end) continue;
        VS_PUT(p->store, VS_ST_FAILURE_LIBRARY, vs_int(p->id), vs_int(f->ts), vs_text(library));
        f->caller = 0;
    }
}

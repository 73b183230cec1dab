/* SPDX-License-Identifier: MIT
 *
 * host.c: host memory of a process and of what bounds it. It must never store a number nobody knew.
 */
#include "process.h"

void vs_apply_host_memory(struct vs_process *p, const struct vs_rec *rec)
{
    const struct vs_rec_host_memory *r = (const void *)rec;
    p->changed = true;
    VS_PUT(p->store, VS_ST_HOST_SAMPLE, vs_int(p->id), vs_int(vs_process_sampled(p, r->ts_ns)),
           vs_int(vs_known(r->rss_bytes)), vs_int(vs_known(r->cgroup_used_bytes)),
           vs_int(vs_known(r->cgroup_limit_bytes)), vs_int(vs_known(r->cgroup_oom_kills)),
           vs_int(vs_known(r->cgroup_file_bytes)), vs_int(vs_known(r->host_available_bytes)),
           vs_int(vs_known(r->host_total_bytes)));
}

/* SPDX-License-Identifier: MIT
 *
 * norm_table.h: the results of the norms workload as lines of a table on stdout and as rows of CSV (RFC 4180) in a file, each
 * written out as soon as it is known. It measures nothing.
 *
 * Ownership: the file, from open to close. Errors: 0 or -errno.
 */
#ifndef VS_WORKLOADS_NORM_TABLE_H
#define VS_WORKLOADS_NORM_TABLE_H

#include <stdio.h>

#include "workloads/norm_run.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the CSV, in order; what is unknown is empty. Bytes, milliseconds, 1e12 operations per second. */
#define VS_NORM_COLUMNS                                                                                                \
    "algo,device,dtype,grouping,layers,B,T,d,p,status,reason,median_ms,call_ms,min_ms,samples,floor_ms,tflops,"        \
    "floor_fraction,rel_err,bound,kappa,recomputed,workspace_bytes,temp_bytes,choice,range,preset"

struct vs_norm_row {
    const char *device; /* its kind */
    enum vs_norms_dtype dtype;
    const struct vs_norm_list *list;
    const struct vs_norm_how *how;
    const struct vs_norm_outcome *outcome;
    double ceiling; /* operations per second; NaN: unknown */
};

/* Creates the file, which must not exist. */
int vs_norm_table_open(FILE **csv, const char *path);
void vs_norm_table_head(void);
/* csv may be NULL. */
int vs_norm_table_row(FILE *csv, const struct vs_norm_row *row);
int vs_norm_table_close(FILE *csv);

#ifdef __cplusplus
}
#endif
#endif

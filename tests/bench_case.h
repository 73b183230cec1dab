/* SPDX-License-Identifier: MIT
 *
 * bench_case.h: what the tests of `vramscope bench norms` share: a folder with a file of results, and a stand-in for the workload
 * (tests/programs/norms_workload.c) that hands them out.
 */
#ifndef VS_TESTS_BENCH_CASE_H
#define VS_TESTS_BENCH_CASE_H

#include "test_cli.h"

#define HEADER                                                                                                         \
    "algo,device,dtype,grouping,layers,B,T,d,p,status,reason,median_ms,call_ms,min_ms,samples,floor_ms,tflops,"        \
    "floor_fraction,rel_err,bound,kappa,recomputed,workspace_bytes,temp_bytes,choice,range,preset"
#define FULL  "gram_full,cuda,bf16,one,1,2,512,32,16,ok,,0.25,0.26,0.2,50,0.05,1.5,0.2,0.0000015,0.0001,3.5,0,4096,999,,"
#define TILED "gram,cuda,bf16,one,1,2,512,32,16,ok,,0.0625,0.07,0.06,50,0.05,6,0.8,0.000001,0.0001,3.5,2,4096,,,"
#define ROWS                                                                                                           \
    HEADER                                                                                                             \
    "\r\n" FULL "norms/gram_full/T=64,\r\n" TILED "norms/gram/T=64,\r\n"                                               \
    "direct,cuda,bf16,one,1,2,512,32,16,beyond_bound,,0.125,,,,,,,0.002,0.0001,,,,,,norms/direct/T=64,\n"              \
    "materialize,cuda,bf16,one,1,2,512,32,16,skipped,\"3 GiB asked, \"\"2\"\" free: use gram\",,,,,,,,,,,,,,,,\n"      \
    "auto,cuda,bf16,one,1,2,512,32,16,ok,,0.0625,0.07,0.06,50,0.05,6,0.8,,,,,,,gram,norms/absent,\n"

void bench_write(const char *name, const char *text);
void bench_folder(void); /* for a checked fixture; cli_clean ends it. The file `rows` holds ROWS. */
/* 1: built where there are no NVTX headers, so there is nothing that could be recorded. */
int bench_no_nvtx(void);
int bench_kept(const char *db); /* files of results beside a database */
long long bench_number(const char *db, const char *sql);

#endif

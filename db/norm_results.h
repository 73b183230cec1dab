/* SPDX-License-Identifier: MIT
 *
 * norm_results.h: brings the results file of the norms workload into table norm_result of the recording of that run.
 *
 * Temporary CUDA memory is taken from the recording, whatever the file says: see range_peak.h.
 *
 * Ownership: borrows everything. Threading: none; takes the database's writer lock while it works.
 * Errors: -EINVAL a damaged file (nothing is stored), -EBUSY somebody else writes the database, else -errno; the text
 * names the file, and the line where there is one.
 */
#ifndef VS_DB_NORM_RESULTS_H
#define VS_DB_NORM_RESULTS_H

#include <stdint.h>

#include "error.h"

/* X(column of the file, type in the table, column of the table), in the order of both. */
#define VS_NORM_COLUMNS(X)                                                                                             \
    X(algo, TEXT, algo)                                                                                                \
    X(device, TEXT, device)                                                                                            \
    X(dtype, TEXT, dtype)                                                                                              \
    X(grouping, TEXT, grouping)                                                                                        \
    X(layers, INTEGER, layers)                                                                                         \
    X(B, INTEGER, B)                                                                                                   \
    X(T, INTEGER, T)                                                                                                   \
    X(d, INTEGER, d)                                                                                                   \
    X(p, INTEGER, p)                                                                                                   \
    X(status, TEXT, status)                                                                                            \
    X(reason, TEXT, reason)                                                                                            \
    X(median_ms, REAL, median_ms)                                                                                      \
    X(call_ms, REAL, call_ms)                                                                                          \
    X(min_ms, REAL, min_ms)                                                                                            \
    X(samples, INTEGER, samples)                                                                                       \
    X(floor_ms, REAL, floor_ms)                                                                                        \
    X(tflops, REAL, tflops)                                                                                            \
    X(floor_fraction, REAL, floor_fraction)                                                                            \
    X(rel_err, REAL, rel_err)                                                                                          \
    X(bound, REAL, bound)                                                                                              \
    X(kappa, REAL, kappa)                                                                                              \
    X(recomputed, INTEGER, recomputed)                                                                                 \
    X(workspace_bytes, INTEGER, workspace_bytes)                                                                       \
    X(temp_bytes, INTEGER, temp_bytes)                                                                                 \
    X(choice, TEXT, choice)                                                                                            \
    X(range, TEXT, range_name)                                                                                         \
    X(preset, TEXT, preset)

struct vs_norm_results {
    int64_t rows, first_id; /* stored; id of the first */
    int torn;               /* the file ends inside a row, which is not stored */
    int64_t unmeasured;     /* CUDA rows whose temporary memory is not known */
    const char *unknown;    /* why, of the first */
};

/* after: the highest process id before the run, so that its ranges are not looked for in earlier runs. pid: of the workload;
 * it ran what no range tells of. */
int vs_norm_results_store(const char *db_path, const char *csv_path, int64_t after, int64_t pid,
                          struct vs_norm_results *out, struct vs_error *e);

#endif

/* SPDX-License-Identifier: MIT
 *
 * devices.h: which processes and devices a chart shows, and what is known of each.
 *
 * A process's host memory is shown only when the process has no GPU. Ordered by rank, process, device.
 * Ownership: vs_devices_free frees; the list keeps no pointer into the database. Errors: -EIO, -ENOMEM.
 */
#ifndef VS_VIZ_DEVICES_H
#define VS_VIZ_DEVICES_H

#include "../db/error.h"
#include "label.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_stmt;

enum vs_level { VS_LEVEL_SUB, VS_LEVEL_HELD, VS_LEVEL_USED, VS_LEVEL_COUNT };
extern const char *const vs_level_names[VS_LEVEL_COUNT]; /* as in timeline.series */

struct vs_device_level {
    int present;
    double peak_bytes;
    int64_t peak_ts_ns;
    char range[VS_LABEL_SIZE]; /* innermost range at the peak; "" not known */
};

struct vs_device {
    int64_t process_id;
    int device;                /* -1: host */
    char label[VS_LABEL_SIZE]; /* "rank 3 · GPU 0" */
    char model[VS_LABEL_SIZE]; /* "" not known */
    double total_bytes;        /* of the device; 0: not known */
    int64_t start_ns, end_ns;  /* of the recording, clock of the process */
    int64_t offset_ns;         /* added to times of this process to place them on the common axis */
    struct vs_device_level level[VS_LEVEL_COUNT];
    double peak_bytes; /* largest of in use and held */
};

struct vs_devices {
    struct vs_device *item;
    int count, total;  /* shown; found */
    int gpus;          /* of those shown */
    int aligned;       /* 1: offset_ns places processes in common time */
    int64_t span_ns;   /* of the time axis */
    char command[420]; /* of the first process; "" not known */
    int processes;     /* in the whole run */
};

/* Keeps the `limit` ones with the largest peaks. count 0: the database has no memory events. */
int vs_devices_load(struct sqlite3 *db, int limit, struct vs_devices *out, struct vs_error *e);
void vs_devices_free(struct vs_devices *d);

/* sqlite3_prepare_v2 with the database's message in e. */
int vs_devices_prepare(struct sqlite3 *db, const char *sql, struct sqlite3_stmt **out, struct vs_error *e);

#ifdef __cplusplus
}
#endif

#endif

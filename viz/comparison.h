/* SPDX-License-Identifier: MIT
 *
 * comparison.h: what was live at the peaks of several runs, or of several ranks of one, as bars of the same segments.
 *
 * A bar is what the program had in use at its peak (level sub; held where nothing finer is known): cut by category when
 * that is known of any of them, else by source.
 *
 * Ownership: vs_comparison_free frees (NULL-safe). Errors: -EIO, -ENOMEM.
 */
#ifndef VS_VIZ_COMPARISON_H
#define VS_VIZ_COMPARISON_H

#include "devices.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_COMPARED_MAX = 24, VS_COMPARED_SEGMENTS = 16 }; /* the last segment: all others together */

struct vs_compared {
    char label[VS_LABEL_SIZE], note[VS_LABEL_SIZE], command[420]; /* note: which device of a run; "": it has one */
    enum vs_level level;
    double total_bytes, segment_bytes[VS_COMPARED_SEGMENTS];
};

struct vs_comparison {
    struct vs_compared bar[VS_COMPARED_MAX];
    int bars, left_out; /* shown; too many or with nothing to show */
    char name[VS_COMPARED_SEGMENTS][VS_LABEL_SIZE];
    double total[VS_COMPARED_SEGMENTS]; /* over all bars */
    int category[VS_COMPARED_SEGMENTS]; /* place in the list of categories; -1: none of them */
    int segments, by_source;
};

/* One bar for each device of a run. */
int vs_comparison_of_ranks(struct sqlite3 *db, struct vs_comparison **out, struct vs_error *e);
/* One bar for each run: its device with the highest peak. */
int vs_comparison_of_runs(struct sqlite3 *const *dbs, const char *const *names, int count, struct vs_comparison **out,
                          struct vs_error *e);
void vs_comparison_free(struct vs_comparison *c);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT
 *
 * stack.h: what was live at the peaks, sorted into bars of a few named segments each.
 *
 * Two bars a device: MAIN, what the program had in use at its peak (level sub; held where nothing finer is known), cut
 * by the finest thing known: category, else source, else range; and HELD, what it held from the driver at that level's
 * own peak, by source, where MAIN is not that already. Segments of all MAIN bars (and of all HELD bars) share names, so
 * that a colour means one thing on the page.
 *
 * Ownership: vs_stacks_free frees (NULL-safe). Errors: -EIO, -ENOMEM.
 */
#ifndef VS_VIZ_STACK_H
#define VS_VIZ_STACK_H

#include "devices.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VS_STACK_TOP = 12, VS_STACK_SEGMENTS = VS_STACK_TOP + 1 }; /* the last one: all others together */
enum vs_bar_kind { VS_BAR_MAIN, VS_BAR_HELD, VS_BAR_KINDS };
enum vs_cut { VS_CUT_CATEGORY, VS_CUT_SOURCE, VS_CUT_RANGE };

struct vs_bar {
    int present;
    enum vs_level level;
    double total_bytes, segment_bytes[VS_STACK_SEGMENTS];
};

struct vs_stacks {
    struct vs_bar (*bar)[VS_BAR_KINDS]; /* one pair for each device */
    char name[VS_BAR_KINDS][VS_STACK_SEGMENTS][VS_LABEL_SIZE + 40];
    int names[VS_BAR_KINDS]; /* segments in use, largest first */
    enum vs_cut cut;
    int present; /* bars with something in them */
};

int vs_stacks_load(struct sqlite3 *db, const struct vs_devices *devices, struct vs_stacks *out, struct vs_error *e);
void vs_stacks_free(struct vs_stacks *s);
/* What people call a source, after the word that the tables use. */
const char *vs_source_name(const char *source);

#ifdef __cplusplus
}
#endif

#endif

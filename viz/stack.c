/* SPDX-License-Identifier: MIT
 *
 * stack.c: owns how bytes at a peak are grouped. Never lets the segments of a bar add up to anything but its total.
 */
#include "stack.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
    char text[VS_LABEL_SIZE + 40];
    double total;
    int rank; /* place among the largest */
};

struct entry {
    int device, name;
    double bytes;
};

/* The rows of one kind of bar, before it is known which names are large enough to be shown. */
struct pile {
    struct name *name;
    struct entry *entry;
    int names, entries;
};

static const char *const level_text[] = {"sub", "held"};

static int grow(void **array, int count, size_t size)
{
    if (count & (count - 1)) return 0;
    void *bigger = realloc(*array, (count ? 2 * (size_t)count : 1) * size);
    if (!bigger) return -ENOMEM;
    *array = bigger;
    return 0;
}

static int pile_add(struct pile *p, int device, const char *text, double bytes)
{
    int at = 0;
    while (at < p->names && strcmp(p->name[at].text, text)) at++;
    if (at == p->names) {
        if (grow((void **)&p->name, p->names, sizeof *p->name)) return -ENOMEM;
        memset(&p->name[at], 0, sizeof *p->name);
        snprintf(p->name[at].text, sizeof p->name[at].text, "%s", text);
        p->names++;
    }
    if (grow((void **)&p->entry, p->entries, sizeof *p->entry)) return -ENOMEM;
    p->name[at].total += bytes;
    p->entry[p->entries++] = (struct entry){device, at, bytes};
    return 0;
}

const char *vs_source_name(const char *source)
{
    static const char *const known[][2] = {
        {"torch", "torch (PyTorch tensors)"},
        {"cuda", "cuda (cudaMalloc)"},
        {"cuda_async", "cuda_async (stream-ordered pools)"},
        {"managed", "managed (unified memory)"},
        {"pinned", "pinned (page-locked host memory)"},
        {"array", "array (textures)"},
        {"static", "static (module variables)"},
        {"nccl", "nccl (communication buffers)"},
        {"region", "region (named by the program)"},
        {"host", "host (system memory)"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i][0], source)) return known[i][1];
    return source;
}

static const char *row_name(sqlite3_stmt *q, enum vs_cut cut)
{
    const char *source = (const char *)sqlite3_column_text(q, 0), *category = (const char *)sqlite3_column_text(q, 1);
    const char *range = (const char *)sqlite3_column_text(q, 2);
    if (cut == VS_CUT_CATEGORY) return category ? category : "not categorised";
    if (cut == VS_CUT_SOURCE) return vs_source_name(source ? source : "");
    return range ? range : "outside any range";
}

static int load_bar(sqlite3_stmt *q, const struct vs_device *d, int index, enum vs_level level, enum vs_cut cut,
                    struct pile *pile)
{
    char text[VS_LABEL_SIZE];
    double sum = 0, missing;
    int err = 0;
    sqlite3_reset(q);
    sqlite3_bind_int64(q, 1, d->process_id);
    sqlite3_bind_int(q, 2, d->device);
    sqlite3_bind_text(q, 3, level_text[level], -1, SQLITE_STATIC);
    while (!err && sqlite3_step(q) == SQLITE_ROW) {
        double bytes = sqlite3_column_double(q, 3);
        if (bytes <= 0) continue;
        vs_label_clean(text, sizeof text, row_name(q, cut), VS_LABEL_POINTS);
        sum += bytes;
        err = pile_add(pile, index, text, bytes);
    }
    missing = d->level[level].peak_bytes - sum;
    if (!err && sum > 0 && missing > 0) err = pile_add(pile, index, "not itemised", missing);
    return err;
}

static int by_total(const void *a, const void *b)
{
    const struct name *x = *(const struct name *const *)a, *y = *(const struct name *const *)b;
    return x->total > y->total ? -1 : x->total < y->total ? 1 : strcmp(x->text, y->text);
}

/* Names the largest, throws the rest together, and sums each bar. */
static int settle(const struct pile *p, enum vs_bar_kind kind, struct vs_stacks *out)
{
    struct name **order = calloc((size_t)p->names + 1, sizeof(struct name *));
    if (!order) return -ENOMEM;
    for (int i = 0; i < p->names; i++) order[i] = &p->name[i];
    qsort(order, (size_t)p->names, sizeof *order, by_total);
    /* "other (1 more)" says less than the name itself. */
    int shown = p->names <= VS_STACK_SEGMENTS ? p->names : VS_STACK_TOP;
    for (int i = 0; i < p->names; i++) {
        order[i]->rank = i < shown ? i : VS_STACK_TOP;
        if (i < shown) snprintf(out->name[kind][i], sizeof out->name[kind][i], "%s", order[i]->text);
    }
    out->names[kind] = shown;
    if (shown < p->names) {
        snprintf(out->name[kind][VS_STACK_TOP], sizeof out->name[kind][0], "other (%d more)", p->names - shown);
        out->names[kind] = VS_STACK_SEGMENTS;
    }
    for (int i = 0; i < p->entries; i++) {
        struct vs_bar *bar = &out->bar[p->entry[i].device][kind];
        out->present += !bar->present;
        bar->present = 1;
        bar->total_bytes += p->entry[i].bytes;
        bar->segment_bytes[p->name[p->entry[i].name].rank] += p->entry[i].bytes;
    }
    free(order);
    return 0;
}

static int has_rows(sqlite3_stmt *q, const struct vs_device *d, enum vs_level level, int *categories, char *source,
                    size_t size, int *sources)
{
    int rows = 0;
    sqlite3_reset(q);
    sqlite3_bind_int64(q, 1, d->process_id);
    sqlite3_bind_int(q, 2, d->device);
    sqlite3_bind_text(q, 3, level_text[level], -1, SQLITE_STATIC);
    for (; sqlite3_step(q) == SQLITE_ROW; rows++) {
        const char *s = (const char *)sqlite3_column_text(q, 0), *category = (const char *)sqlite3_column_text(q, 1);
        *categories |= category && strcmp(category, "unknown"); /* all of it unknown: a source or a range says more */
        if (!*source) snprintf(source, size, "%s", s ? s : "");
        if (s && strcmp(source, s)) *sources = 2;
    }
    return rows;
}

static int load_all(sqlite3_stmt *q, const struct vs_devices *devices, struct vs_stacks *out, struct pile *piles)
{
    char source[64] = "";
    int categories = 0, sources = 1, err = 0;
    for (int i = 0; i < devices->count; i++) {
        const struct vs_device *d = &devices->item[i];
        enum vs_level level = VS_LEVEL_SUB;
        if (!has_rows(q, d, level, &categories, source, sizeof source, &sources)) {
            level = VS_LEVEL_HELD;
            has_rows(q, d, level, &categories, source, sizeof source, &sources);
        }
        out->bar[i][VS_BAR_MAIN].level = level;
        out->bar[i][VS_BAR_HELD].level = VS_LEVEL_HELD;
    }
    out->cut = categories ? VS_CUT_CATEGORY : sources > 1 ? VS_CUT_SOURCE : VS_CUT_RANGE;
    for (int i = 0; i < devices->count && !err; i++) {
        enum vs_level level = out->bar[i][VS_BAR_MAIN].level;
        err = load_bar(q, &devices->item[i], i, level, out->cut, &piles[VS_BAR_MAIN]);
        if (!err && level == VS_LEVEL_SUB)
            err = load_bar(q, &devices->item[i], i, VS_LEVEL_HELD, VS_CUT_SOURCE, &piles[VS_BAR_HELD]);
    }
    return err;
}

int vs_stacks_load(sqlite3 *db, const struct vs_devices *devices, struct vs_stacks *out, struct vs_error *e)
{
    struct pile piles[VS_BAR_KINDS] = {{0}};
    sqlite3_stmt *q = NULL;
    memset(out, 0, sizeof *out);
    int err = vs_devices_prepare(db,
                                 "SELECT source, category, range_name, bytes FROM at_peak"
                                 " WHERE process_id = ? AND device = ? AND level = ?",
                                 &q, e);
    if (err) return err;
    out->bar = calloc((size_t)devices->count + 1, sizeof *out->bar);
    if (!out->bar) err = -ENOMEM;
    if (!err) err = load_all(q, devices, out, piles);
    for (int k = 0; k < VS_BAR_KINDS; k++) {
        if (!err) err = settle(&piles[k], (enum vs_bar_kind)k, out);
        free(piles[k].name);
        free(piles[k].entry);
    }
    sqlite3_finalize(q);
    return err ? vs_fail(e, -err, "out of memory") : 0;
}

void vs_stacks_free(struct vs_stacks *s)
{
    if (s) free(s->bar);
}

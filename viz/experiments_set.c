/* SPDX-License-Identifier: MIT
 *
 * experiments_set.c: owns the order of methods, their names and colours, and what may be compared with what. Never lets two
 * results of different settings have one name, nor compares them.
 */
#include "experiments_set.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct vs_experiment_part_look vs_experiment_parts[VS_PARTS] = {
#define X(name, key, title, rgb) {title, rgb},
    VS_EXPERIMENT_PARTS(X)
#undef X
};

static const struct {
    const char *before;
    int told;
} settings[VS_SETTINGS] = {
#define X(name, path, before, told) {before, told},
    VS_EXPERIMENT_SETTINGS(X)
#undef X
};

/* In the order of the figures, with the names that other suites have for them. */
static const struct {
    const char *name, *other;
    unsigned rgb;
} known[] = {
    {"vanilla", "no_dp", 0x222222},
    {"explicit", "grad_materialize", 0xcc79a7},
    {"ghost", NULL, 0xd55e00},
    {"flash", NULL, 0x009e73},
    {"flash_clip", NULL, 0x7cc242},
    {"ghost_bk", NULL, 0xe69f00},
    {"flash_bk", NULL, 0x56b4e9},
    {"fuse", "flash_fuse", 0x0072b2},
    {"fuse_bk", "flash_fuse_bk", 0x7b61c9},
    {"micro", NULL, 0x999933},
    {"auto", NULL, 0xaa3377},
};
static const unsigned spare[] = {0x7a828c, 0x882255, 0x44aa99, 0xee6677, 0x8c6d46, 0xb8a9d9};

enum { KNOWN = sizeof known / sizeof *known, SPARE = sizeof spare / sizeof *spare };

static int place_of(const char *name)
{
    int i = 0;
    while (i < KNOWN && strcmp(known[i].name, name) != 0 && (!known[i].other || strcmp(known[i].other, name) != 0)) i++;
    return i;
}

int vs_experiment_rank(const char *name, const char *mode)
{
    int place = place_of(name);
    return place < KNOWN ? place : KNOWN + place_of(mode);
}

/* An experiment under a name of its own has a colour of its own, whatever its mode is: a spare one, then of those known that
 * are not here. There are more of them than methods in a figure. */
unsigned vs_experiment_color(const struct vs_experiments *s, int method)
{
    int here[KNOWN] = {0}, of_method = -1, unknown = 0;
    for (int m = 0; m < s->methods; m++) {
        int rank = vs_experiment_of_method(s, m)->rank, mine = rank < KNOWN && !here[rank];
        if (mine) here[rank] = 1;
        if (m == method) of_method = mine ? rank : -1;
        if (m < method) unknown += !mine;
    }
    if (of_method >= 0) return known[of_method].rgb;
    if (unknown < SPARE) return spare[unknown];
    unknown -= SPARE;
    for (int i = 0; i < KNOWN; i++)
        if (!here[i] && !unknown--) return known[i].rgb;
    return spare[0];
}

static int by_name(const void *a, const void *b)
{
    const struct vs_experiment *x = a, *y = b;
    int order = x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : strcmp(x->name, y->name);
    if (order) return order;
    if (isnan(x->T) || isnan(y->T)) order = !!isnan(x->T) - !!isnan(y->T);
    else order = (x->T > y->T) - (x->T < y->T);
    return order ? order : strcmp(x->file, y->file);
}

int vs_experiment_alike(const struct vs_experiment *x, const struct vs_experiment *y)
{
    int k = 0;
    while (k < VS_SETTINGS && !strcmp(x->setting[k], y->setting[k])) k++;
    return k == VS_SETTINGS;
}

static int same_T(double x, double y)
{
    return x == y || (isnan(x) && isnan(y));
}

static void add(char *text, size_t size, const char *between, const char *before, const char *value)
{
    size_t n = strlen(text);
    if (*value) snprintf(text + n, size - n, "%s%s%s", n ? between : "", before, value);
}

/* A method's name says what is not alike in all results; the rest is said once. */
static void name_all(struct vs_experiments *s)
{
    int differs[VS_SETTINGS] = {0};
    for (int i = 1; i < s->count; i++)
        for (int k = 0; k < VS_SETTINGS; k++) differs[k] |= strcmp(s->item[i].setting[k], s->item[0].setting[k]) != 0;
    differs[VS_SETTING_KIND] &= !differs[VS_SETTING_DEVICE];
    for (int i = 0; i < s->count; i++) {
        struct vs_experiment *x = &s->item[i];
        char more[VS_LABEL_SIZE] = "";
        if (x->baseline) add(more, sizeof more, ", ", "", "no DP");
        if (!strcmp(x->semantics, "norms_only") && !strstr(x->experiment, "norms"))
            add(more, sizeof more, ", ", "", "norms only");
        for (int k = 0; k < VS_SETTINGS; k++)
            if (differs[k]) add(more, sizeof more, ", ", settings[k].before, x->setting[k]);
        snprintf(x->name, sizeof x->name, *more ? "%s (%s)" : "%s", x->experiment, more);
    }
    for (int k = 0; k < VS_SETTINGS; k++)
        if (!differs[k] && settings[k].told)
            add(s->about, sizeof s->about, "   ·   ", settings[k].before, s->item[0].setting[k]);
    if (!*s->item[0].setting[VS_SETTING_DEVICE] && !differs[VS_SETTING_KIND])
        add(s->about, sizeof s->about, "   ·   ", "", s->item[0].setting[VS_SETTING_KIND]);
}

static void drop(struct vs_experiment *x)
{
    free(x->snapshot);
    free(x->row);
}

/* Of results that nothing tells apart the first is kept. */
static int drop_doubles(struct vs_experiments *s)
{
    int kept = 0;
    for (int i = 0; i < s->count; i++) {
        struct vs_experiment *x = &s->item[i], *last = kept ? &s->item[kept - 1] : NULL;
        if (last && x->rank == last->rank && !strcmp(x->name, last->name) && same_T(x->T, last->T)) {
            struct vs_experiment_left_out *at = realloc(s->left_out, (size_t)(s->left + 1) * sizeof *at);
            if (!at) return -ENOMEM;
            s->left_out = at;
            at += s->left++;
            snprintf(at->file, sizeof at->file, "%s", x->file);
            snprintf(at->reason, sizeof at->reason, "%s has the same experiment, T and settings", last->file);
            drop(x);
        } else {
            if (kept != i) s->item[kept] = *x;
            kept++;
        }
    }
    s->count = kept;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The figures of one T are of the largest at which there is something to compare. */
static void choose_T(struct vs_experiments *s)
{
    int most = 0;
    s->one = -1;
    for (int t = s->lengths - 1; t >= 0; t--) {
        int n = 0;
        for (int i = 0; i < s->count; i++) n += s->item[i].T == s->T[t];
        if (!most || (most == 1 && n > 1)) most = n, s->one = t;
    }
}

int vs_experiments_arrange(struct vs_experiments *s, struct vs_error *e)
{
    name_all(s);
    qsort(s->item, (size_t)s->count, sizeof *s->item, by_name);
    s->T = calloc((size_t)s->count, sizeof *s->T);
    if (!s->T || drop_doubles(s)) return vs_fail(e, ENOMEM, "out of memory");
    for (int i = 0; i < s->count; i++) {
        struct vs_experiment *x = &s->item[i];
        int new = !i || x[-1].rank != x->rank || strcmp(x[-1].name, x->name) != 0, t = 0;
        x->method = s->methods += new;
        x->method--;
        while (t < s->lengths && s->T[t] != x->T) t++;
        if (t == s->lengths && !isnan(x->T)) s->T[s->lengths++] = x->T;
    }
    s->shown = s->methods < VS_EXPERIMENTS_SHOWN ? s->methods : VS_EXPERIMENTS_SHOWN;
    qsort(s->T, (size_t)s->lengths, sizeof *s->T, by_value);
    choose_T(s);
    return 0;
}

void vs_experiments_free(struct vs_experiments *s)
{
    if (!s) return;
    for (int i = 0; i < s->count; i++) drop(&s->item[i]);
    free(s->item);
    free(s->left_out);
    free(s->T);
    memset(s, 0, sizeof *s);
}

const struct vs_experiment *vs_experiment_baseline(const struct vs_experiments *s, const struct vs_experiment *x)
{
    for (int i = 0; i < s->count; i++)
        if (s->item[i].baseline && same_T(s->item[i].T, x->T) && vs_experiment_alike(&s->item[i], x))
            return &s->item[i];
    return NULL;
}

const struct vs_experiment *vs_experiment_at(const struct vs_experiments *s, int method, double T)
{
    for (int i = 0; i < s->count; i++)
        if (s->item[i].method == method && s->item[i].T == T) return &s->item[i];
    return NULL;
}

const struct vs_experiment *vs_experiment_of_method(const struct vs_experiments *s, int method)
{
    for (int i = 0; i < s->count; i++)
        if (s->item[i].method == method) return &s->item[i];
    return NULL;
}

int vs_experiment_is_shown(const struct vs_experiments *s, const struct vs_experiment *x)
{
    return x->method < s->shown && (s->one < 0 || x->T == s->T[s->one]);
}

static void write_number(char *out, size_t size, double value, const char *unit)
{
    double big = fabs(value);
    if (big >= 1e9) snprintf(out, size, "%.3g %s", value, unit);
    else snprintf(out, size, "%.*f %s", big >= 10000 ? 0 : big >= 1000 ? 1 : big >= 1 ? 2 : 4, value, unit);
}

void vs_experiment_mb(char *out, size_t size, double mb)
{
    write_number(out, size, mb, "MB");
}

void vs_experiment_ms(char *out, size_t size, double ms)
{
    write_number(out, size, ms, "ms");
}

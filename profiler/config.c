/* SPDX-License-Identifier: MIT
 *
 * config.c: reads VRAMSCOPE_* from the environment by the tables of config.h. Must never print while reading: most
 * processes that read it are never recorded.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "rank.h"
#include "say.h"

#define PREFIX "VRAMSCOPE_"

/* Also in the environment, but read by the vramscope command or its workload and not here. */
static const char *const others[] = {"LIB", "WORKLOAD", "ATTENTION", "CUDNN", "LAUNCHER"};

static const char *const names[] = {
#define X(field, env, def, lo, hi, help) env,
    VS_INT_OPTIONS(X)
#undef X
#define X(field, env, def, values, help) env,
    VS_ENUM_OPTIONS(X)
#undef X
#define X(field, env, help) env,
    VS_TEXT_OPTIONS(X)
#undef X
};

static struct vs_config config = {
#define X(field, env, def, lo, hi, help) .field = def,
    VS_INT_OPTIONS(X)
#undef X
#define X(field, env, def, values, help) .field = def,
    VS_ENUM_OPTIONS(X)
#undef X
};
static const char *bad_name[8]; /* settings whose value could not be used */
static unsigned bad_count;

const struct vs_config *vs_config(void)
{
    return &config;
}

static void bad(const char *env)
{
    if (bad_count < sizeof bad_name / sizeof *bad_name)
        bad_name[bad_count++] = env;
}

static const char *value_of(const char *env)
{
    char name[64];
    snprintf(name, sizeof name, PREFIX "%s", env);
    return getenv(name);
}

static void read_int(int64_t *out, const char *env, int64_t lo, int64_t hi)
{
    const char *text = value_of(env);
    char *end;
    long long value;
    if (!text || !*text)
        return;
    value = strtoll(text, &end, 10);
    if (*end || value < lo || value > hi)
        bad(env);
    else
        *out = value;
}

static void read_enum(int *out, const char *env, const char *values)
{
    const char *text = value_of(env);
    size_t n = text ? strlen(text) : 0;
    int i;
    if (!n)
        return;
    for (i = 0; values; i++) {
        const char *bar = strchr(values, '|');
        size_t m = bar ? (size_t)(bar - values) : strlen(values);
        if (m == n && !memcmp(values, text, n)) {
            *out = i;
            return;
        }
        values = bar ? bar + 1 : NULL;
    }
    bad(env);
}

static void read_text(char *out, size_t size, const char *env)
{
    const char *text = value_of(env);
    if (!text)
        return;
    if (strlen(text) >= size)
        bad(env);
    else
        memcpy(out, text, strlen(text) + 1);
}

static void find_unknown(void);

void vs_config_read(void)
{
    int saved = errno;
    bad_count = 0;
#define X(field, env, def, lo, hi, help) read_int(&config.field, env, lo, hi);
    VS_INT_OPTIONS(X)
#undef X
#define X(field, env, def, values, help) read_enum(&config.field, env, values);
    VS_ENUM_OPTIONS(X)
#undef X
#define X(field, env, help) read_text(config.field, sizeof config.field, env);
    VS_TEXT_OPTIONS(X)
#undef X
    errno = saved;
    find_unknown();
}

/* Letters that differ, plus the difference in length: enough to find the name a typing slip was meant for. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64], i, j, diagonal, next;
    unsigned m = (unsigned)strlen(b);
    if (m >= 64)
        return 64;
    for (j = 0; j <= m; j++)
        row[j] = j;
    for (i = 1; a[i - 1]; i++) {
        diagonal = row[0];
        row[0] = i;
        for (j = 1; j <= m; j++) {
            next = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < next)
                next = row[j] + 1;
            if (row[j - 1] + 1 < next)
                next = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = next;
        }
    }
    return row[m];
}

static bool known(const char *name, size_t bytes, const char **nearest)
{
    char copy[64];
    unsigned best = 64, d;
    size_t i;
    for (i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == bytes && !memcmp(others[i], name, bytes))
            return true;
    if (bytes >= sizeof copy)
        bytes = sizeof copy - 1;
    memcpy(copy, name, bytes);
    copy[bytes] = 0;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        d = distance(copy, names[i]);
        if (!d)
            return true;
        if (d < best) {
            best = d;
            *nearest = names[i];
        }
    }
    return false;
}

/* Found in the constructor: later the program may be changing its environment on another thread. */
static struct {
    char name[40];
    const char *nearest;
} unknown[4];
static unsigned unknown_count;

static void find_unknown(void)
{
    char **e;
    unknown_count = 0;
    for (e = environ; e && *e && unknown_count < sizeof unknown / sizeof *unknown; e++) {
        const char *name = *e + sizeof PREFIX - 1, *equal, *nearest = "";
        if (strncmp(*e, PREFIX, sizeof PREFIX - 1) || !(equal = strchr(name, '=')))
            continue;
        if (known(name, (size_t)(equal - name), &nearest))
            continue;
        snprintf(unknown[unknown_count].name, sizeof unknown->name, "%.*s", (int)(equal - name), name);
        unknown[unknown_count++].nearest = nearest;
    }
}

static void report_unknown(void)
{
    for (unsigned i = 0; i < unknown_count; i++)
        vs_say(VS_SAY_WARN, "unknown setting " PREFIX "%s; did you mean " PREFIX "%s?", unknown[i].name, unknown[i].nearest);
}

const char *vs_config_trace_name(void)
{
    static const char *const level[] = {[VS_TRACE_MEMORY] = "memory", [VS_TRACE_KERNELS] = "kernels", [VS_TRACE_API] = "api"};
    return level[config.trace];
}

static void meta(const char *env, const char *value)
{
    char key[48];
    snprintf(key, sizeof key, PREFIX "%s", env);
    vs_log_meta(key, value);
}

static void meta_enum(const char *env, const char *values, int value)
{
    char text[32];
    while (value-- > 0)
        values = strchr(values, '|') + 1;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(values, "|"), values);
    meta(env, text);
}

void vs_config_report(void)
{
    char text[32];
    unsigned i;
    bool malformed;

    for (i = 0; i < bad_count; i++)
        vs_say(VS_SAY_WARN, "bad value in " PREFIX "%s: \"%.40s\"; its default is used", bad_name[i],
               value_of(bad_name[i]) ? value_of(bad_name[i]) : "");
    vs_rank_in_list(0, config.ranks, &malformed);
    if (malformed)
        vs_say(VS_SAY_WARN, "bad value in " PREFIX "RANKS: \"%.40s\" (e.g. 0,2-3); all ranks are recorded",
               config.ranks);
    report_unknown();
#define X(field, env, def, lo, hi, help)                            \
    snprintf(text, sizeof text, "%lld", (long long)config.field);   \
    meta(env, text);
    VS_INT_OPTIONS(X)
#undef X
#define X(field, env, def, values, help) meta_enum(env, values, config.field);
    VS_ENUM_OPTIONS(X)
#undef X
#define X(field, env, help) \
    if (config.field[0])    \
        meta(env, config.field);
    VS_TEXT_OPTIONS(X)
#undef X
}

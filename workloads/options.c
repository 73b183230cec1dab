/* SPDX-License-Identifier: MIT
 *
 * options.c: parses a table of options. It must accept nothing it does not understand completely: a mistyped size in a
 * benchmark is worse than an error.
 */
#include "workloads/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 256 }; /* room for a word in a message; the rest is cut */

const char *vs_option_shown(const char *word, char *text, size_t bytes)
{
    size_t n = 0;
    for (; *word && n + 5 <= bytes; word++)
        n += (size_t)sprintf(text + n, *word >= ' ' && *word <= '~' ? "%c" : "\\x%02x", (unsigned char)*word);
    text[n] = 0;
    return text;
}

static size_t distance(const char *a, const char *b) /* edits from one word to the other */
{
    size_t row[64], n = strlen(b);
    if (n >= sizeof row / sizeof *row) return n;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= n; j++) {
            size_t replace = diagonal + (a[i] != b[j - 1]), best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replace < best ? replace : best;
        }
    }
    return row[n];
}

static int unknown(const struct vs_option *table, const char *workload, const char *name)
{
    char shown[SHOWN];
    const char *nearest = NULL;
    size_t least = 3; /* further off is no help */
    for (; table->name; table++)
        if (distance(name, table->name) < least) {
            least = distance(name, table->name);
            nearest = table->name;
        }
    fprintf(stderr, "%s: there is no option --%s", workload, vs_option_shown(name, shown, sizeof shown));
    if (nearest) fprintf(stderr, "; did you mean --%s?", nearest);
    fprintf(stderr, "\n");
    return 2;
}

static bool parse_size(const char *text, char **end, size_t *out)
{
    errno = 0;
    if (*text < '0' || *text > '9') return false; /* strtoull takes signs and blanks */
    unsigned long long v = strtoull(text, end, 10);
    if (errno || v > (size_t)-1) return false;
    *out = (size_t)v;
    return true;
}

static bool parse_number(const char *text, bool zero, double *out)
{
    char *end;
    double v = strtod(text, &end);
    if (*text == 0 || strspn(text, "0123456789.eE-") != strlen(text) || *end || !isfinite(v)) return false;
    if (zero ? v < 0 : v <= 0) return false;
    *out = v;
    return true;
}

static bool parse_sizes(const char *text, struct vs_sizes *list)
{
    char *end;
    list->count = 0;
    for (;; text = end + 1) {
        if (list->count == VS_LIST_MAX || !parse_size(text, &end, &list->value[list->count])) return false;
        list->count++;
        if (!*end) return true;
        if (*end != ',') return false;
    }
}

static bool parse_texts(const char *text, struct vs_texts *list)
{
    list->count = 0;
    if (strlen(text) >= sizeof list->text) return false;
    strcpy(list->text, text);
    for (char *word = list->text;;) {
        char *comma = strchr(word, ',');
        if (comma) *comma = 0;
        if (list->count == VS_LIST_MAX || !*word) return false;
        list->value[list->count++] = word;
        if (!comma) return true;
        word = comma + 1;
    }
}

static bool set(const struct vs_option *o, const char *value)
{
    char *end;
    switch (o->kind) {
    case VS_OPTION_FLAG: *(bool *)o->target = true; return true;
    case VS_OPTION_COUNT: return parse_size(value, &end, o->target) && !*end;
    case VS_OPTION_NUMBER: return parse_number(value, false, o->target);
    case VS_OPTION_AMOUNT: return parse_number(value, true, o->target);
    case VS_OPTION_SIZES: return parse_sizes(value, o->target);
    case VS_OPTION_TEXT: *(const char **)o->target = value; return true;
    case VS_OPTION_TEXTS: return parse_texts(value, o->target);
    }
    return false;
}

static int help(const struct vs_option *table, const char *workload, const char *what)
{
    printf("vramscope-workload %s: %s\n\n", workload, what);
    for (; table->name; table++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", table->name, table->argument ? table->argument : "");
        printf("  %-26s %s\n", left, table->help);
    }
    return 1;
}

static int parse_one(const struct vs_option *table, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    char name[64], shown[SHOWN];
    if (strncmp(word, "--", 2)) {
        fprintf(stderr, "%s: '%s' is not an option\n", argv[0], vs_option_shown(word, shown, sizeof shown));
        return 2;
    }
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - word - 2) : (int)sizeof name, word + 2);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    const struct vs_option *o = table;
    while (o->name && strcmp(o->name, name)) o++;
    if (!o->name) return unknown(table, argv[0], name);
    const char *value = equals ? equals + 1 : NULL;
    if (o->kind == VS_OPTION_FLAG && value) {
        fprintf(stderr, "%s: --%s takes no value\n", argv[0], o->name);
        return 2;
    }
    if (o->kind != VS_OPTION_FLAG && !value) {
        if (*at + 1 >= argc) {
            fprintf(stderr, "%s: --%s needs a value: %s\n", argv[0], o->name, o->argument);
            return 2;
        }
        value = argv[++*at];
    }
    if (set(o, value)) return 0;
    fprintf(stderr, "%s: '%s' is no value for --%s (%s: %s)\n", argv[0], vs_option_shown(value, shown, sizeof shown),
            o->name, o->argument, o->help);
    return 2;
}

int vs_options_parse(const struct vs_option *table, int argc, char **argv, const char *what)
{
    int err = 0;
    for (int i = 1; i < argc && !err; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return help(table, argv[0], what);
        err = parse_one(table, argc, argv, &i);
    }
    return err;
}

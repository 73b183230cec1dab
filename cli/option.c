/* SPDX-License-Identifier: MIT
 *
 * option.c: parses a command's options from its table and prints its help. Must never print more than one complaint.
 */
#include "option.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../exporters/visible.h"
#include "command.h"

#define MOST_OPTIONS 24
#define NO_LETTER 1000 /* getopt_long's value for the table's row n when it has no letter: NO_LETTER + n */

static void show_option(const struct vs_option *o)
{
    char left[64];
    int n = snprintf(left, sizeof left, "  %c%c%s--%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? ", " : "  ", o->name);
    if (o->argument) snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
    printf("%-26s %s\n", left, o->help);
}

static int show_help(const struct vs_command *c, const struct vs_option *table)
{
    static const struct vs_option help = {.letter = 'h', .name = "help", .help = "print this text"};
    printf("Usage: vramscope %s %s\n\n%s\n", c->name, c->operands, c->summary);
    if (c->about) printf("\n%s\n", c->about);
    printf("\nOptions:\n");
    for (; table->name; table++) show_option(table);
    show_option(&help);
    printf("\nExample:\n  %s\n", c->example);
    return VS_OK;
}

int vs_usage(const struct vs_command *c, const char *format, ...)
{
    char text[512], shown[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vs_visible(text, strlen(text), 0, shown, sizeof shown);
    fprintf(stderr, "vramscope: error: %s\nUsage: vramscope %s %s\nMore: vramscope %s --help\n", shown, c->name,
            c->operands, c->name);
    return VS_USAGE;
}

static int unknown(const struct vs_command *c, const struct vs_option *table, const char *word)
{
    const char *names[MOST_OPTIONS + 2] = {"help"}, *near;
    char bare[64];
    int i;
    if (strncmp(word, "--", 2)) return vs_usage(c, "unknown option %s", word);
    for (i = 0; i < MOST_OPTIONS && table[i].name; i++) names[i + 1] = table[i].name;
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    near = vs_nearest(bare, names);
    if (near) return vs_usage(c, "unknown option --%s; did you mean --%s?", bare, near);
    return vs_usage(c, "unknown option --%s", bare);
}

static int is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    const char *p;
    for (p = choices; n && *p; p += strcspn(p, " "), p += *p == ' ')
        if (strcspn(p, " ") == n && !strncmp(p, value, n)) return 1;
    return 0;
}

static int wrong_choice(const struct vs_command *c, const struct vs_option *o, const char *value)
{
    const char *names[MOST_OPTIONS + 1] = {NULL}, *near;
    char copy[256], *next;
    int n = 0, status;
    snprintf(copy, sizeof copy, "%s", o->choices);
    for (next = strtok(copy, " "); next && n < MOST_OPTIONS; next = strtok(NULL, " ")) names[n++] = next;
    near = vs_nearest(value, names);
    if (near)
        status = vs_usage(c, "--%s cannot be '%s'; did you mean %s? (one of: %s)", o->name, value, near, o->choices);
    else
        status = vs_usage(c, "--%s cannot be '%s'; it is one of: %s", o->name, value, o->choices);
    return status;
}

static int take(const struct vs_command *c, const struct vs_option *o, const char *value)
{
    if (!o->argument) {
        *o->on = 1;
        return -1;
    }
    if (o->choices && !is_choice(o->choices, value)) return wrong_choice(c, o, value);
    *o->text = value;
    return -1;
}

/* getopt_long's two descriptions of the table. */
static void describe(const struct vs_option *table, int stop, char *letters, struct option *longs)
{
    int i;
    if (stop) *letters++ = '+';
    *letters++ = ':';
    for (i = 0; i < MOST_OPTIONS && table[i].name; i++) {
        longs[i] = (struct option){table[i].name, table[i].argument ? required_argument : no_argument, NULL,
                                   table[i].letter ? table[i].letter : NO_LETTER + i};
        if (!table[i].letter) continue;
        *letters++ = table[i].letter;
        if (table[i].argument) *letters++ = ':';
    }
    longs[i] = (struct option){"help", no_argument, NULL, 'h'};
    longs[i + 1] = (struct option){0};
    *letters++ = 'h';
    *letters = 0;
}

int vs_options_parse(const struct vs_command *c, const struct vs_option *table, int argc, char **argv,
                     struct vs_operands *operands)
{
    char letters[3 * MOST_OPTIONS + 8];
    struct option longs[MOST_OPTIONS + 2];
    int got, i, status = -1;
    describe(table, operands->stop, letters, longs);
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    while (status < 0 && (got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const char *word = argv[optind - 1] ? argv[optind - 1] : "";
        char one[3] = {'-', (char)optopt, 0};
        if (got == 'h') return show_help(c, table);
        if (got == ':') return vs_usage(c, "option %s needs a value", word);
        if (got == '?' && optopt && optopt < NO_LETTER && strncmp(word, "--", 2)) return unknown(c, table, one);
        if (got == '?' && optopt) return vs_usage(c, "option %.*s takes no value", (int)strcspn(word, "="), word);
        if (got == '?') return unknown(c, table, word);
        for (i = 0; table[i].name; i++)
            if (got == (table[i].letter ? table[i].letter : NO_LETTER + i)) status = take(c, &table[i], optarg);
    }
    if (status >= 0) return status;
    operands->count = argc - optind;
    operands->text = argv + optind;
    return -1;
}

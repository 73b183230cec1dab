/* SPDX-License-Identifier: MIT
 *
 * options.h: a workload's command line, described by one table from which it is parsed and its help is printed.
 *
 * argv is never written to: it is the program's command line that a recorder reads.
 *
 * Ownership: text targets point into argv. Errors: the message is printed to stderr, with the nearest known option.
 */
#ifndef VS_WORKLOADS_OPTIONS_H
#define VS_WORKLOADS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VS_LIST_MAX 32

struct vs_sizes {
    size_t count;
    size_t value[VS_LIST_MAX];
};

struct vs_texts {
    size_t count;
    const char
        *value[VS_LIST_MAX]; /* words of a command line are in `text`: a copy of the struct shares those of the first */
    char text[512];
};

enum vs_option_kind {
    VS_OPTION_FLAG,   /* bool */
    VS_OPTION_COUNT,  /* size_t */
    VS_OPTION_NUMBER, /* double, finite and above 0 */
    VS_OPTION_AMOUNT, /* double, finite, 0 or above */
    VS_OPTION_SIZES,  /* struct vs_sizes: whole numbers with commas between them */
    VS_OPTION_TEXT,   /* const char * */
    VS_OPTION_TEXTS   /* struct vs_texts: words with commas between them */
};

struct vs_option {
    const char *name; /* without the dashes; a table ends with NULL */
    enum vs_option_kind kind;
    void *target;
    const char *argument; /* as the help shows it */
    const char *help;
};

/* 0: go on. 1: help was asked for and printed. 2: wrong, said so. Targets keep their value when not named. The dashes inside a
 * name may be underscores. */
int vs_options_parse(const struct vs_option *table, int argc, char **argv, const char *what);

/* A word of the user's as an error message may show it: what cannot be printed as \xNN. Returns text. */
const char *vs_option_shown(const char *word, char *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif

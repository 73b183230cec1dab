/* SPDX-License-Identifier: MIT
 *
 * option.h: one table of options per command gives its parsing, its help and the hint for a misspelled option.
 *
 * Ownership: values point into argv. Threading: getopt_long's state is global; one parse at a time.
 * Errors: told on stderr here; the caller only returns the status.
 */
#ifndef VS_CLI_OPTION_H
#define VS_CLI_OPTION_H

#include <stddef.h>

struct vs_command;

struct vs_option {
    char letter;             /* 0: only the long name */
    const char *name;
    const char *argument;    /* its name in the help; NULL: a switch */
    const char *help;
    const char **text;       /* where an argument goes */
    int *on;                 /* where a switch goes */
    const char *choices;     /* "a b c": the only values allowed; NULL: any */
};

struct vs_operands {
    int count;
    char **text;
    int stop; /* set by the caller: options end at the first operand, which begins another program's command line */
};

/* Returns -1 when the command should go on, else the exit status (after --help or a wrong option). The table ends with a
 * row without a name; --help is understood without being in it. */
int vs_options_parse(const struct vs_command *command, const struct vs_option *table, int argc, char **argv,
                     struct vs_operands *operands);

/* Says what is wrong with the operands and how to get help. Returns VS_USAGE. */
int vs_usage(const struct vs_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The candidate most like the word; NULL when none is near. Candidates end with NULL. */
const char *vs_nearest(const char *word, const char *const *candidates);

#endif

/* SPDX-License-Identifier: MIT
 *
 * command.h: what a command of the command line is. main.c holds the list; one file per command defines one.
 *
 * Exit status: VS_OK, VS_FAILED for what went wrong, VS_USAGE for a wrong command line. `run` returns its program's.
 */
#ifndef VS_CLI_COMMAND_H
#define VS_CLI_COMMAND_H

#ifndef VS_VERSION
#define VS_VERSION "0.1"
#endif

enum vs_status { VS_OK = 0, VS_FAILED = 1, VS_USAGE = 2, VS_NOT_EXECUTABLE = 126, VS_NOT_FOUND = 127 };

struct vs_command {
    const char *name;
    const char *operands; /* as in the usage line */
    const char *summary;  /* one line */
    const char *about;    /* more lines for its help; NULL: none */
    const char *example;
    int (*main)(const struct vs_command *self, int argc, char **argv); /* argv[0] is the command's name */
};

/* The one list of commands. */
#define VS_COMMANDS(X) \
    X(run)             \
    X(ingest)          \
    X(report)          \
    X(query)           \
    X(compare)         \
    X(check)           \
    X(export)          \
    X(plot)            \
    X(bench)           \
    X(suite)
#define X(name) extern const struct vs_command vs_command_##name;
VS_COMMANDS(X)
#undef X

/* Prints `vramscope: error: TEXT` on stderr and returns VS_FAILED. */
int vs_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

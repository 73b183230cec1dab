/* SPDX-License-Identifier: MIT
 *
 * main.c: finds the command and hands over. Must never do a command's work.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../db/record.h"
#include "../exporters/visible.h"
#include "command.h"
#include "option.h"

static const struct vs_command *const commands[] = {
#define X(name) &vs_command_##name,
    VS_COMMANDS(X)
#undef X
    NULL};

int vs_complain(const char *format, ...)
{
    char text[2048], shown[2 * sizeof text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vs_visible(text, strlen(text), 0, shown, sizeof shown);
    fprintf(stderr, "vramscope: error: %s\n", shown);
    return VS_FAILED;
}

static int show_help(FILE *out)
{
    const struct vs_command *const *c;
    fprintf(out, "vramscope: where the GPU memory and time of a program went, without changing the program\n\n"
                 "Usage: vramscope COMMAND ...\n\nCommands:\n");
    for (c = commands; *c; c++) fprintf(out, "  %-8s %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\nvramscope COMMAND --help tells more. vramscope --version prints the version.\n\nExample:\n"
                 "  vramscope run -o run.db -- python train.py\n  vramscope report run.db\n");
    return VS_OK;
}

static int show_version(void)
{
    printf("vramscope %s (log and database format %u, SQLite %s)\n", VS_VERSION, VS_FORMAT_VERSION, sqlite3_libversion());
    return VS_OK;
}

static const struct vs_command *find(const char *name)
{
    const struct vs_command *const *c;
    for (c = commands; *c; c++)
        if (!strcmp((*c)->name, name)) return *c;
    return NULL;
}

static int unknown(const char *word)
{
    const char *names[sizeof commands / sizeof commands[0] + 2] = {NULL}, *near;
    int option = word[0] == '-', n = 0;
    const struct vs_command *const *c;
    char shown[256];
    for (c = commands; *c && !option; c++) names[n++] = (*c)->name;
    if (option) {
        names[n++] = "--help";
        names[n++] = "--version";
    }
    near = vs_nearest(word, names);
    vs_visible(word, strlen(word), 60, shown, sizeof shown);
    fprintf(stderr, "vramscope: error: unknown %s %s", option ? "option" : "command", shown);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fprintf(stderr, "\nMore: vramscope --help\n");
    return VS_USAGE;
}

/* A database that took the number of a closed stdout or stderr would be written into. Reading stdin and writing stdout fail as
 * before; what is said on stderr nobody wants. */
static int occupy_standard(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) return -1;
    return 0;
}

int main(int argc, char **argv)
{
    const struct vs_command *c;
    const char *word = argc > 1 ? argv[1] : "";
    if (occupy_standard()) return VS_FAILED;
    if (argc < 2) {
        show_help(stderr);
        return VS_USAGE;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) return show_help(stdout);
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) return show_version();
    if (!strcmp(word, "help")) {
        char *help[] = {argv[2], "--help", NULL};
        if (argc < 3) return show_help(stdout);
        return (c = find(argv[2])) ? c->main(c, 2, help) : unknown(argv[2]);
    }
    c = find(word);
    return c ? c->main(c, argc - 1, argv + 1) : unknown(word);
}

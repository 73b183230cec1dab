/* SPDX-License-Identifier: MIT
 *
 * one_recording.h: the recording that a command's only operand names, and its --rank.
 *
 * Ownership: vs_db_close(db) when it was opened. Threading: none. Errors: told on stderr here; the caller only returns the
 * status.
 */
#ifndef VS_CLI_ONE_RECORDING_H
#define VS_CLI_ONE_RECORDING_H

struct vs_command;
struct vs_db;
struct vs_operands;

struct vs_one_recording {
    struct vs_db *db;
    char path[4200]; /* of the database, for messages */
    long rank;       /* -1: all */
};

/* rank: the option's value; NULL: not given. Returns -1 when the command should go on, else the exit status. */
int vs_one_recording_open(const struct vs_command *self, const struct vs_operands *operands, const char *rank,
                          struct vs_one_recording *out);

#endif

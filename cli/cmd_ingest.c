/* SPDX-License-Identifier: MIT
 *
 * cmd_ingest.c: `vramscope ingest`: log folders into a database. Must never call a damaged or cut log an error: what it
 * lacks is in table loss.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "../db/query.h"
#include "command.h"
#include "folder.h"
#include "human.h"
#include "option.h"

static void summary(const char *db_path)
{
    static const char sql[] = "SELECT COUNT(*), SUM(ended = 'killed'), SUM(ended = 'running'), SUM(log_bytes),"
                              " (SELECT SUM(count) FROM loss) FROM process";
    char bytes[VS_HUMAN], word[4300];
    struct vs_db *db = NULL;
    sqlite3_stmt *s = NULL;
    struct vs_error e;
    vs_human_path(db_path, word, sizeof word);
    if (!vs_db_open(db_path, &db, &e) && !sqlite3_prepare_v2(vs_db_handle(db), sql, -1, &s, NULL) &&
        sqlite3_step(s) == SQLITE_ROW) {
        sqlite3_int64 n = sqlite3_column_int64(s, 0), killed = sqlite3_column_int64(s, 1),
                      running = sqlite3_column_int64(s, 2), lost = sqlite3_column_int64(s, 4);
        printf("%s: %lld process%s", word, n, n == 1 ? "" : "es");
        if (killed) printf(" (%lld killed)", killed);
        if (running) printf(" (%lld still running: ingest again when %s ended)", running, running == 1 ? "it has" : "they have");
        printf(", %s of log, losses: ", vs_human_bytes(sqlite3_column_int64(s, 3), bytes));
        if (lost)
            printf("%lld records (see the report)\n", lost);
        else
            printf("none\n");
    }
    sqlite3_finalize(s);
    vs_db_close(db);
    printf("next: vramscope report %s\n", word);
}

static int ingest_main(const struct vs_command *self, int argc, char **argv)
{
    const char *output = NULL;
    const struct vs_option options[] = {
        {.letter = 'o', .name = "output", .argument = "DB", .help = "database to make or to add to", .text = &output}, {0}};
    struct vs_operands operands = {0};
    struct vs_error e;
    int status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (!operands.count) return vs_usage(self, "ingest needs the log folder of a run");
    if (!output || !*output) return vs_usage(self, "ingest needs -o DB");
    if (vs_folder_ingest(operands.text, operands.count, output, &e)) return vs_complain("%s", e.text);
    summary(output);
    return VS_OK;
}

const struct vs_command vs_command_ingest = {
    .name = "ingest",
    .operands = "FOLDER... -o DB",
    .summary = "Turn the log folders of a run into one database",
    .about = "What was read before is not read again, so it can be repeated while the program runs. The log of a\n"
             "killed program is complete up to its last record; what is missing is counted and shown by report.",
    .example = "LD_PRELOAD=libvramscope.so python train.py && vramscope ingest vramscope-* -o run.db",
    .main = ingest_main};

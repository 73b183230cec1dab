/* SPDX-License-Identifier: MIT
 *
 * cmd_export.c: `vramscope export`: writes what other tools draw from a recording. Must never leave half a file behind.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../db/query.h"
#include "../exporters/exporter.h"
#include "command.h"
#include "folder.h"
#include "option.h"

/* Of every stack at the peak of each process and device: its frames, outermost first, below the name of its place. */
static const char stacks_sql[] =
    "WITH RECURSIVE leaf(k, stack_id, bytes, place) AS"
    " (SELECT l.rowid, l.stack_id, l.bytes, COALESCE('rank ' || p.rank, 'pid ' || p.pid) ||"
    "  CASE WHEN l.device < 0 THEN ' host' ELSE ' GPU ' || l.device END"
    "  FROM at_peak_line l JOIN process p ON p.id = l.process_id WHERE ?1 IS NULL OR p.rank = ?1),"
    " up(k, id, depth) AS (SELECT k, stack_id, 0 FROM leaf WHERE stack_id IS NOT NULL"
    "  UNION ALL SELECT k, s.parent_id, depth + 1 FROM up JOIN stack s ON s.id = up.id WHERE s.parent_id IS NOT NULL)"
    " SELECT k, bytes, name FROM"
    " (SELECT leaf.k AS k, leaf.bytes AS bytes, leaf.place AS name, 1000000 AS depth FROM leaf"
    "  UNION ALL SELECT leaf.k, leaf.bytes, '(no Python stack known)', 0 FROM leaf WHERE leaf.stack_id IS NULL"
    "  UNION ALL SELECT up.k, leaf.bytes, CASE WHEN s.id IS NULL THEN '(not recorded)' WHEN s.frame_id IS NULL"
    "   THEN '(outer frames cut)' ELSE COALESCE(f.function, '?') || COALESCE(' (' || f.file || COALESCE(':' || f.line, '')"
    "   || ')', '') END, up.depth FROM up JOIN leaf ON leaf.k = up.k LEFT JOIN stack s ON s.id = up.id"
    "   LEFT JOIN frame f ON f.id = s.frame_id)"
    " ORDER BY k, depth DESC";

static int write_stacks(struct vs_db *db, const char *format, long rank, FILE *out, struct vs_error *e)
{
    sqlite3 *sql = vs_db_handle(db);
    sqlite3_stmt *q = NULL;
    int err;
    if (sqlite3_prepare_v2(sql, stacks_sql, -1, &q, NULL))
        return vs_fail(e, EIO, "cannot read the database: %s", sqlite3_errmsg(sql));
    if (rank >= 0) sqlite3_bind_int64(q, 1, rank);
    err = vs_export_rows(vs_exporter_find(format), sql, q, out, e);
    sqlite3_finalize(q);
    return err;
}

static int has_stacks(struct vs_db *db)
{
    sqlite3_stmt *q = NULL;
    int some = 0;
    if (!sqlite3_prepare_v2(vs_db_handle(db), "SELECT 1 FROM at_peak_line LIMIT 1", -1, &q, NULL))
        some = sqlite3_step(q) == SQLITE_ROW;
    sqlite3_finalize(q);
    return some;
}

/* Beside its place first: a reader never sees half of it, and what was there stays when it fails. */
static int export_to(struct vs_db *db, const char *format, long rank, const char *path, struct vs_error *e)
{
    char beside[4200];
    int err;
    FILE *out = stdout;
    if (!path) return write_stacks(db, format, rank, out, e);
    if (snprintf(beside, sizeof beside, "%s.part", path) >= (int)sizeof beside)
        return vs_fail(e, ENAMETOOLONG, "the path of the output is too long");
    if (!(out = fopen(beside, "w"))) return vs_fail(e, errno, "cannot write %s: %s", beside, strerror(errno));
    err = write_stacks(db, format, rank, out, e);
    if (fclose(out) && !err) err = vs_fail(e, EIO, "cannot write %s: %s", beside, strerror(errno));
    if (!err && rename(beside, path)) err = vs_fail(e, errno, "cannot write %s: %s", path, strerror(errno));
    if (err) unlink(beside);
    return err;
}

static int export_main(const struct vs_command *self, int argc, char **argv)
{
    const char *format = "collapsed", *output = NULL, *rank = NULL;
    const struct vs_option options[] = {
        {.letter = 'f', .name = "format", .argument = "FORMAT", .help = "collapsed: one Python stack a line and the bytes it held",
         .text = &format, .choices = "collapsed"},
        {.letter = 'o', .name = "output", .argument = "FILE", .help = "write there (default: stdout)", .text = &output},
        {.name = "rank", .argument = "N", .help = "only the processes of this rank", .text = &rank},
        {0}};
    struct vs_operands operands = {0};
    struct vs_db *db = NULL;
    struct vs_error e;
    char path[4200], *end = NULL;
    long number = -1;
    int err, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count != 1) return vs_usage(self, "export needs one database or log folder");
    if (rank) {
        number = strtol(rank, &end, 10);
        if (!*rank || *end || number < 0) return vs_usage(self, "--rank needs a number, not '%s'", rank);
    }
    err = vs_recording_open(operands.text[0], &db, path, sizeof path, &e);
    if (!err && !has_stacks(db))
        err = vs_fail(&e, ENOENT, "%s holds no Python stacks; record with: vramscope run --python-lines", path);
    if (!err) err = export_to(db, format, number, output, &e);
    vs_db_close(db);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

const struct vs_command vs_command_export = {
    .name = "export",
    .operands = "DB [--format collapsed] [-o FILE] [--rank N]",
    .summary = "Write the Python stacks of the memory at the peak for flame graph tools",
    .about = "DB is a database or a log folder of a run recorded with --python-lines. Every line is a stack of what\n"
             "PyTorch's allocator had handed out at the peak of a device, outermost frame first, and its bytes:\n"
             "what flamegraph.pl, inferno and speedscope read.",
    .example = "vramscope export run.db --format collapsed -o memory.txt",
    .main = export_main};

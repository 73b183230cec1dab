/* SPDX-License-Identifier: MIT
 *
 * cmd_export.c: `vramscope export`: writes what papers and other tools take from a recording. Must never leave half a file behind.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../db/beside.h"
#include "../db/query.h"
#include "../exporters/exporter.h"
#include "command.h"
#include "export_tables.h"
#include "folder.h"
#include "one_recording.h"
#include "option.h"
#include "outcome.h"

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

/* What is asked for: stacks of a recording, or tables of outcomes. */
struct job {
    const char *format, *table, *path;
    struct vs_db *recording; /* NULL: tables */
    long rank;
    sqlite3 *outcomes;
};

static int write_job(const struct job *j, FILE *out, struct vs_error *e)
{
    return j->recording ? write_stacks(j->recording, j->format, j->rank, out, e)
                        : vs_export_tables(j->outcomes, j->format, j->table, j->path, out, e);
}

/* Into a device or a pipe itself: a file must not take the place of /dev/null. */
static int export_into(const struct job *j, const char *path, struct vs_error *e)
{
    FILE *out = fopen(path, "we");
    int err;
    if (!out) return vs_fail(e, errno, "cannot write %s: %s", path, strerror(errno));
    err = write_job(j, out, e);
    if (fclose(out) && !err) err = vs_fail(e, EIO, "cannot write %s: %s", path, strerror(errno));
    return err;
}

static int export_to(const struct job *j, const char *path, struct vs_error *e)
{
    struct vs_beside beside;
    struct stat st;
    int err, lost;
    if (!path) return write_job(j, stdout, e);
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) return export_into(j, path, e);
    err = vs_beside_open(&beside, path, e);
    if (err) return err;
    err = write_job(j, beside.file, e);
    lost = vs_beside_close(&beside, !err, e);
    return err ? err : lost;
}

static int export_stacks(const struct vs_command *self, const struct vs_operands *operands, const char *rank, const char *output)
{
    struct vs_one_recording one;
    struct vs_error e;
    int err, status = vs_one_recording_open(self, operands, rank, &one);
    if (status >= 0) return status;
    const struct job j = {.format = "collapsed", .path = one.path, .recording = one.db, .rank = one.rank};
    err = has_stacks(one.db) ? export_to(&j, output, &e)
                             : vs_fail(&e, ENOENT, "%s holds no Python stacks; record with: vramscope run --python-lines", one.path);
    vs_db_close(one.db);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

static int export_tables(const char *path, const char *format, const char *table, const char *output)
{
    struct job j = {.format = format, .table = table, .path = path};
    struct vs_error e;
    int err = vs_outcomes_begin(&j.outcomes, &e);
    if (!err) err = vs_outcomes_load(j.outcomes, "A", path, &e);
    if (!err) err = export_to(&j, output, &e);
    sqlite3_close(j.outcomes);
    return err ? vs_complain("%s", e.text) : VS_OK;
}

#define X(name, help) " " #name
static const char table_choices[] = VS_EXPORT_TABLES(X);
#undef X

static int export_main(const struct vs_command *self, int argc, char **argv)
{
    const char *format = NULL, *output = NULL, *rank = NULL, *table = NULL;
    const struct vs_option options[] = {
        {.letter = 'f', .name = "format", .argument = "FORMAT", .help = "see above (default: markdown of experiments, else collapsed)",
         .text = &format, .choices = "collapsed markdown latex csv json"},
        {.name = "table", .argument = "TABLE", .help = "one table: see above (markdown and latex: both by default)", .text = &table,
         .choices = table_choices + 1},
        {.letter = 'o', .name = "output", .argument = "FILE", .help = "write there (default: stdout)", .text = &output},
        {.name = "rank", .argument = "N", .help = "with collapsed: only the processes of this rank", .text = &rank},
        {0}};
    struct vs_operands operands = {0};
    int experiments, status = vs_options_parse(self, options, argc, argv, &operands);
    if (status >= 0) return status;
    if (operands.count != 1) return vs_usage(self, "export needs one recording, result or folder of a run");
    experiments = vs_outcomes_are_experiments(operands.text[0]);
    if (!format) format = table || (experiments && !rank) ? "markdown" : "collapsed";
    if (!strcmp(format, "collapsed") && table) return vs_usage(self, "--table goes with --format markdown, latex, csv or json");
    if (!strcmp(format, "collapsed") && experiments && vs_folder_foreign(operands.text[0]))
        return vs_complain("%s holds results; stacks are in a recording, as suite.db in it is one", operands.text[0]);
    if (!strcmp(format, "collapsed")) return export_stacks(self, &operands, rank, output);
    if (rank) return vs_usage(self, "--rank goes with --format collapsed");
    return export_tables(operands.text[0], format, table, output);
}

const struct vs_command vs_command_export = {
    .name = "export",
    .operands = "DB|RESULT|FOLDER [--format FORMAT] [--table TABLE] [-o FILE]",
    .summary = "Write tables of experiments for papers, or Python stacks for flame graph tools",
    .about = "Tables, of a run of the suite (its folder, its database, or one result as JSON) or of the ranks of any\n"
             "recording; vanilla comes first, then what ran in the order it ran. MB are 2^20 bytes.\n"
#define X(name, help) "  --table " #name ": " help "\n"
             VS_EXPORT_TABLES(X)
#undef X
             "  --format markdown, latex (needs \\usepackage{booktabs}), csv, json\n\n"
             "Stacks, of a recording made with --python-lines:\n"
             "  --format collapsed: every line is a stack of what PyTorch's allocator had handed out at the peak of\n"
             "  a device, outermost frame first, and its bytes: what flamegraph.pl, inferno and speedscope read",
    .example = "vramscope export runs/run_20250101_120000 --format latex -o tables.tex",
    .main = export_main};
